import { execFile } from 'node:child_process';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import { sha256 } from '../../src/base/digest.ts';
import { cliEnv } from '../support/cli.ts';
import { debianImage, nodeImage } from '../support/debian-root.ts';
import { parseDockerfile } from '../support/dockerfile.ts';
import { git } from '../support/git.ts';
import {
  type BuildOptions,
  buildImage,
  buildStages,
  type Image,
  type ImageRun,
  type RunOptions,
  runInImage,
} from '../support/image.ts';
import { s3Environment, testS3Server } from '../support/s3-remote.ts';
import { tempFolder } from '../support/temp.ts';
import { xorshiftBytes } from '../support/xorshift.ts';

const top = path.resolve(import.meta.dirname, '../..');
const deploy = path.join(top, 'docs/deploy');
const run = promisify(execFile);
const server = await testS3Server();
const url = 's3://models/images';

/** What AWS tools would find in their configuration: the service is not Amazon's. */
const service = { AWS_ENDPOINT_URL: server.endpoint, AWS_REGION: server.region };
const weights = xorshiftBytes(1, 3_000_000);
const files = {
  v1: { 'config.json': Buffer.from('{"model_type":"bert"}'), 'weights.bin': weights },
  v2: {
    'config.json': Buffer.from('{"model_type":"bert"}'),
    'weights.bin': Buffer.concat([weights, Buffer.from('more')]),
  },
};
/** What {@link contentOf} tells of them. */
const content = { v1: digestsOf(files.v1), v2: digestsOf(files.v2) };

let place: string;
let lab: string;
let debian: Image;
let tool: Image;
let serve: Image;
let credentials: string;

/** Runs the package in the workspace, with credentials. */
async function mstore(...args: string[]): Promise<string> {
  const words = [path.join(top, 'bin/mstore.js'), ...args];
  const env = { ...cliEnv, ...s3Environment(server), ...service };
  return (await run(process.execPath, words, { cwd: lab, env })).stdout;
}

async function publish(): Promise<void> {
  fs.mkdirSync(path.join(lab, 'models/ocr'), { recursive: true });
  git(lab, 'init', '-q');
  await mstore('init');
  await mstore('remote', 'add', 'origin', url);
  for (const version of ['v1', 'v2'] as const) {
    for (const [name, bytes] of Object.entries(files[version]))
      fs.writeFileSync(path.join(lab, 'models/ocr', name), bytes);
    await mstore('add', 'models/ocr');
    git(lab, 'add', '-A');
    git(lab, 'commit', '-qm', version);
    git(lab, 'tag', version);
    await mstore('register', `ocr@${version}`, 'models/ocr');
    await mstore('push');
  }
  for (const [version, environment] of Object.entries({
    production: 'v1',
    blue: 'v1',
    green: 'v2',
  }))
    await mstore('deploy', `ocr@${environment}`, '--env', version);
}

function cacheOf(target: string): string {
  const folder = path.join(place, 'caches', target);
  fs.mkdirSync(folder, { recursive: true });
  return folder;
}

/** What the engine of this machine would hand on to each step: names of hosts, certificates, the registry. */
async function network(): Promise<Pick<BuildOptions, 'env' | 'mounts'>> {
  const { stdout: registry } = await run('npm', ['config', 'get', 'registry'], { cwd: top });
  const extra = process.env['NODE_EXTRA_CA_CERTS'];
  return {
    env: {
      npm_config_registry: registry.trim(),
      ...(extra === undefined ? {} : { NODE_EXTRA_CA_CERTS: '/etc/ssl/extra.crt' }),
    },
    mounts: {
      '/etc/resolv.conf': fs.realpathSync('/etc/resolv.conf'),
      ...(extra === undefined ? {} : { '/etc/ssl/extra.crt': extra }),
    },
  };
}

async function buildTool(): Promise<void> {
  const { stdout: npmCache } = await run('npm', ['config', 'get', 'cache'], { cwd: top });
  const text = fs.readFileSync(path.join(deploy, 'Dockerfile'), 'utf8');
  const folder = path.join(place, 'build');
  fs.mkdirSync(folder);
  const built = await buildStages(parseDockerfile(text), ['serve', 'tool'], {
    context: top,
    place: folder,
    images: { 'node:22-bookworm-slim': await nodeImage(folder), 'debian:bookworm-slim': debian },
    caches: () => npmCache.trim(),
    ...(await network()),
  });
  ({ serve, tool } = built as { serve: Image; tool: Image });
}

beforeAll(async () => {
  place = fs.mkdtempSync(path.join(fs.realpathSync(os.tmpdir()), 'mstore-images-'));
  fs.chmodSync(place, 0o755);
  lab = path.join(place, 'lab');
  fs.mkdirSync(lab);
  credentials = path.join(place, 'credentials');
  const [id, secret] = [server.accessKey, server.secret];
  fs.writeFileSync(
    credentials,
    `[default]\naws_access_key_id = ${id}\naws_secret_access_key = ${secret}\n`,
  );
  debian = await debianImage();
  await buildTool();
  await publish();
}, 600_000);

afterAll(async () => {
  await run('rm', ['-rf', place]);
});

/** Names and digests. */
function digestsOf(found: Readonly<Record<string, Buffer>>): Record<string, string> {
  return Object.fromEntries(Object.entries(found).map(([name, bytes]) => [name, sha256(bytes)]));
}

/** The files of a folder, by name. */
function contentOf(folder: string): Record<string, string> {
  const names = fs.readdirSync(folder).sort();
  return digestsOf(
    Object.fromEntries(names.map((name) => [name, fs.readFileSync(path.join(folder, name))])),
  );
}

/** Runs the words behind the entry point of an image, as a container without any right does. */
function container(image: Image, args: readonly string[], options: RunOptions): Promise<ImageRun> {
  const strict = { readOnly: true, restricted: true };
  return runInImage(image, [...image.entrypoint, ...args], { ...strict, ...options });
}

/** A folder that is mounted, and may be written to by a number. */
function volume(uid: number): string {
  const folder = tempFolder();
  fs.chmodSync(folder, 0o700);
  fs.chownSync(folder, uid, uid);
  return folder;
}

describe('the image of the tool', () => {
  it('is built by its steps, and has nothing of them', () => {
    expect(tool).toMatchObject({ entrypoint: ['mstore'], cmd: ['--help'], user: '65532:65532' });
    expect(fs.readdirSync(path.join(tool.root, 'usr/local/bin'))).toEqual(['mstore']);
    expect(fs.existsSync(path.join(tool.root, 'usr/bin/node'))).toBe(false);
    expect(fs.existsSync(path.join(tool.root, 'src'))).toBe(false);
  });

  it.each(['65532:65532', '0:0', '12345:0', '54321:54321'])(
    'runs as %s, with a root that is read-only',
    async (user) => {
      expect(await container(tool, ['--version'], { user })).toMatchObject({ code: 0, stderr: '' });
      const uid = Number(user.split(':')[0]);
      const mounts = {
        '/models': volume(uid),
        '/tmp': volume(uid),
        '/run/credentials': readable(),
      };
      const env = { ...service, AWS_SHARED_CREDENTIALS_FILE: '/run/credentials' };
      const pull = ['pull', 'ocr@production', '--remote', url, '--to', '/models/ocr'];
      expect(await container(tool, pull, { user, mounts, env })).toMatchObject({ code: 0 });
      expect(contentOf(path.join(mounts['/models'], 'ocr'))).toEqual(content.v1);
    },
  );

  it('gives out a remote, and says whether it runs', async () => {
    const tokens = path.join(tempFolder(), 'tokens.json');
    await mstore('token', 'create', 'a', '--scope', 'read', '--token-file', tokens);
    fs.chmodSync(path.dirname(tokens), 0o755);
    fs.chmodSync(tokens, 0o644);
    const mounts = {
      '/var/lib/mstore': volume(65_532),
      '/tmp': volume(65_532),
      '/run/credentials': readable(),
      '/run/secrets/mstore-tokens': tokens,
    };
    const env = { ...service, AWS_SHARED_CREDENTIALS_FILE: '/run/credentials' };
    const abort = new AbortController();
    const running = container(serve, ['--remote', url], { mounts, env, signal: abort.signal });
    const healthy = async () =>
      (await runInImage(serve, serve.healthcheck, { restricted: true })).code === 0;
    try {
      await until(healthy, running);
    } finally {
      abort.abort();
    }
    expect((await running).code, (await running).stderr).toBe(0);
    expect(await healthy()).toBe(false);
  });
});

function readable(): string {
  const file = path.join(tempFolder(), 'credentials');
  fs.copyFileSync(credentials, file);
  fs.chmodSync(path.dirname(file), 0o755);
  fs.chmodSync(file, 0o644);
  return file;
}

/** Waits until something holds, as long as a process runs. */
async function until(
  holds: () => boolean | Promise<boolean>,
  running: Promise<ImageRun>,
): Promise<void> {
  let ended: ImageRun | undefined;
  void running.then((result) => {
    ended = result;
  });
  while (!(await holds())) {
    if (ended !== undefined)
      throw new Error(`Ended with ${ended.code}: ${ended.stdout}${ended.stderr}`);
    await delay(50);
  }
}

describe('a model in an image', () => {
  const secretsIn = (root: string) =>
    run('grep', ['-rlF', server.secret, root]).then(
      ({ stdout }) => stdout,
      ({ stdout }) => stdout as string,
    );

  async function build(
    name: string,
    context: string,
    args: Record<string, string>,
  ): Promise<Image> {
    const text = fs.readFileSync(path.join(deploy, name), 'utf8');
    return buildImage(parseDockerfile(text), {
      context,
      place: fs.mkdtempSync(path.join(place, 'model-')),
      images: { 'registry.example.com/mstore:0.1.0': tool, 'debian:bookworm-slim': debian },
      caches: cacheOf,
      secrets: { aws: credentials },
      env: service,
      args,
    });
  }

  it('comes from the registry, and the next one brings what is new', async () => {
    const read: string[][] = [];
    for (const version of ['v1', 'v2'] as const) {
      const before = server.log.length;
      const image = await build('model.Dockerfile', lab, { MODEL: `ocr@${version}`, REMOTE: url });
      expect(contentOf(path.join(image.root, 'model'))).toEqual(content[version]);
      expect(fs.existsSync(path.join(image.root, 'usr/local/bin/mstore'))).toBe(false);
      expect(await secretsIn(image.root)).toBe('');
      const packs = server.log.slice(before).flatMap((line) => /packs\/\S{6,}/.exec(line) ?? []);
      read.push([...new Set(packs)]);
    }
    const [first = [], second = []] = read;
    expect([first.length, second.length]).toEqual([1, 1]);
    expect(second).not.toEqual(first);
  });

  it('comes from a revision of a repository', async () => {
    for (const version of ['v1', 'v2'] as const) {
      const image = await build('repository.Dockerfile', lab, { REVISION: version });
      expect(contentOf(path.join(image.root, 'model'))).toEqual(content[version]);
      expect(await secretsIn(image.root)).toBe('');
      const listed = await runInImage(image, image.cmd);
      expect(listed.stdout).toContain('weights.bin');
    }
  });

  it('is not built without what it needs', async () => {
    const missing = build('model.Dockerfile', lab, { MODEL: 'ocr@v9', REMOTE: url });
    await expect(missing).rejects.toThrow(/ended with 3\n[\s\S]*unknown-version/);
  });
});

interface PodContainer {
  readonly args: readonly string[];
  readonly env: ReadonlyArray<{ readonly name: string; readonly value: string }>;
  readonly volumeMounts: ReadonlyArray<{ readonly name: string; readonly mountPath: string }>;
  readonly startupProbe?: { readonly exec?: { readonly command: readonly string[] } };
}

/** The first container of the workloads of a manifest. */
function podsOf(file: string): PodContainer[] {
  const text = fs.readFileSync(path.join(deploy, 'kubernetes', file), 'utf8');
  const all = parseAllDocuments(text).map((document) => document.toJS());
  return all
    .filter(({ kind }) => ['Deployment', 'DaemonSet'].includes(kind as string))
    .map(({ spec }) => (spec.template.spec.initContainers ?? spec.template.spec.containers)[0]);
}

/** How a kubelet would run it: volumes of the group, a secret, and the bucket of this test in place of that of the page. */
function podOptions(pod: PodContainer, models: string): RunOptions {
  const secrets = path.dirname(readable());
  const volumes: Record<string, string> = { models, credentials: secrets };
  const mounts = pod.volumeMounts.map(({ name, mountPath }) => [
    mountPath,
    volumes[name] ?? volume(65_532),
  ]);
  const env = pod.env.map(({ name, value }) => [name, value.replace('s3://bucket/models', url)]);
  return {
    user: '65532:65532',
    mounts: Object.fromEntries(mounts),
    env: { ...Object.fromEntries(env), ...service },
  };
}

describe('on Kubernetes', () => {
  it('the init container has what is live in production, or fails', async () => {
    const [pod] = podsOf('init-container.yaml') as [PodContainer];
    const models = volume(65_532);
    const options = podOptions(pod, models);
    const done = await container(tool, pod.args, options);
    expect(done).toMatchObject({ code: 0, stdout: '/models/ocr/v1\n' });
    const receipt = path.join(models, 'ocr/receipt.json');
    expect(JSON.parse(fs.readFileSync(receipt, 'utf8'))).toMatchObject({
      version: 'v1',
      environment: 'production',
      stale: false,
    });
    expect(contentOf(path.join(models, 'ocr/current'))).toEqual(content.v1);
    // A container that is started anew, on the same volume, when nothing can be asked.
    const env = { ...options.env, AWS_ENDPOINT_URL: 'http://127.0.0.1:9' };
    expect((await container(tool, pod.args, { ...options, env })).code).toBe(8);
    expect(fs.existsSync(receipt)).toBe(false);
    expect(contentOf(path.join(models, 'ocr/current'))).toEqual(content.v1);
    const args = pod.args.map((word) => (word === 'production' ? 'elsewhere' : word));
    const fresh = podOptions(pod, volume(65_532));
    expect((await container(tool, args, fresh)).code).toBe(3);
  });

  it('the sidecar lets the service start, and follows', async () => {
    const [pod] = podsOf('sidecar.yaml') as [PodContainer];
    const models = volume(65_532);
    const options = podOptions(pod, models);
    const abort = new AbortController();
    const args = [...pod.args, '--every', '1'];
    const running = container(tool, args, { ...options, signal: abort.signal });
    const probe = async () =>
      (await container({ ...tool, entrypoint: [] }, pod.startupProbe?.exec?.command ?? [], options))
        .code === 0;
    try {
      await until(probe, running);
      expect(contentOf(path.join(models, 'ocr/current'))).toEqual(content.v1);
      await mstore('deploy', 'ocr@v2', '--env', 'production');
      const current = path.join(models, 'ocr/current');
      await until(() => fs.readlinkSync(current) === 'v2', running);
      expect(contentOf(current)).toEqual(content.v2);
    } finally {
      abort.abort();
      await running;
      await mstore('rollback', 'ocr', '--env', 'production');
    }
    expect((await running).code, (await running).stderr).toBe(0);
  });

  it('blue and green have each their own', async () => {
    const pods = podsOf('blue-green.yaml');
    expect(pods).toHaveLength(2);
    for (const [i, version] of (['v1', 'v2'] as const).entries()) {
      const pod = pods[i] as PodContainer;
      const models = volume(65_532);
      expect((await container(tool, pod.args, podOptions(pod, models))).code).toBe(0);
      expect(contentOf(path.join(models, 'ocr/current'))).toEqual(content[version]);
    }
  });

  it('the cache of a node gives the bucket out to who has a token, and reads it once', async () => {
    const [pod] = podsOf('node-cache.yaml') as [PodContainer];
    const tokens = path.join(tempFolder(), 'tokens.json');
    const token = await mstore(
      'token',
      'create',
      'pods',
      '--scope',
      'read',
      '--token-file',
      tokens,
    );
    fs.chmodSync(path.dirname(tokens), 0o755);
    fs.chmodSync(tokens, 0o644);
    const options = podOptions(pod, volume(65_532));
    const mounts = {
      ...options.mounts,
      '/run/secrets/tokens': path.dirname(tokens),
      '/cache': volume(65_532),
    };
    const urlFile = path.join(mounts['/cache'], 'url');
    const args = pod.args.map((word) =>
      word === '8080' ? '0' : word.replace('s3://bucket/models', url),
    );
    const abort = new AbortController();
    const running = container(tool, [...args, '--url-file', '/cache/url'], {
      ...options,
      mounts,
      signal: abort.signal,
    });
    try {
      await until(() => fs.existsSync(urlFile), running);
      const address = fs.readFileSync(urlFile, 'utf8').trim().replace('0.0.0.0', '127.0.0.1');
      for (const probe of ['/livez', '/readyz'])
        expect((await fetch(`${address}${probe}`)).status).toBe(200);
      const pull = async (env: Record<string, string>) => {
        const own = { '/models': volume(65_532), '/tmp': volume(65_532) };
        const words = ['pull', 'ocr@v1', '--remote', address, '--to', '/models/ocr'];
        const done = await container(tool, words, { mounts: own, env });
        if (done.code === 0)
          expect(contentOf(path.join(own['/models'], 'ocr'))).toEqual(content.v1);
        return done.code;
      };
      expect(await pull({})).toBe(8);
      expect(await pull({ MSTORE_TOKEN: token.trim() })).toBe(0);
      const packs = () => server.log.filter((line) => line.includes('/packs/')).length;
      const before = packs();
      expect(await pull({ MSTORE_TOKEN: token.trim() })).toBe(0);
      expect(packs()).toBe(before);
    } finally {
      abort.abort();
      await running;
    }
  });
});

describe('with Compose', () => {
  it('the container of the model is healthy when the model is there', async () => {
    const text = fs.readFileSync(path.join(deploy, 'compose.yaml'), 'utf8');
    const filled = text.replaceAll(/\$\{(\w+):-([^}]*)\}/g, (_, _name, value: string) => value);
    const { services } = parse(filled) as {
      services: Record<
        string,
        {
          command: string[];
          user: string;
          healthcheck: { test: string[] };
          environment: Record<string, string>;
        }
      >;
    };
    const { command, user, healthcheck, environment } = services[
      'model'
    ] as (typeof services)[string];
    const mounts = {
      '/models': volume(65_532),
      '/tmp': volume(65_532),
      '/run/secrets/aws': readable(),
    };
    const env = { ...environment, MSTORE_REMOTE_ORIGIN_URL: url, ...service };
    const abort = new AbortController();
    const running = container(tool, command, { user, mounts, env, signal: abort.signal });
    const [, ...check] = healthcheck.test;
    const healthy = async () =>
      (await container({ ...tool, entrypoint: [] }, check, { user, mounts })).code === 0;
    try {
      await until(healthy, running);
      expect(contentOf(path.join(mounts['/models'], 'ocr/current'))).toEqual(content.v1);
    } finally {
      abort.abort();
    }
    expect((await running).code).toBe(0);
  });
});
