import * as fs from 'node:fs';
import * as path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type CliResult, filesBelow, startMstore } from '../support/cli.ts';
import { dvc, dvcEnv, dvcReleases, installDvc } from '../support/dvc-program.ts';
import { git } from '../support/git.ts';
import { s3Environment, testS3Server } from '../support/s3-remote.ts';
import { startVersityGateway } from '../support/s3-servers.ts';
import { testCredentials } from '../support/s3-target.ts';
import { endServers } from '../support/server-process.ts';
import { tempFolder } from '../support/temp.ts';
import { xorshiftBytes } from '../support/xorshift.ts';

const top = path.resolve(import.meta.dirname, '../..');
const page = fs.readFileSync(path.join(top, 'docs/guide/dvc.md'), 'utf8');

beforeAll(async () => {
  for (const release of Object.values(dvcReleases)) await installDvc(release);
}, 600_000);

/** What the real DVC is given: names and bytes of which some are hard. */
const files: Readonly<Record<string, Buffer>> = {
  'models/m.bin': xorshiftBytes(1, 3_000_000),
  'models/crlf.txt': Buffer.from('one\r\ntwo\r\n'),
  'models/mixed.txt': Buffer.concat([
    Buffer.alloc(1024 * 1024, 'line\r\n'),
    Buffer.from([0, 13, 10]),
  ]),
  'data/a.txt': Buffer.from('a'),
  'data/b/ü 𝒳.txt': Buffer.from('y\r\n'),
  'data/b/｡.bin': xorshiftBytes(2, 100_000),
  'data/empty': Buffer.alloc(0),
};
const pipeline = `stages:
  copy:
    wdir: p
    cmd: mkdir -p out/sub && cp ../models/m.bin out/sub/m.bin && cp measured.json metrics.json
    deps: [../models/m.bin, measured.json]
    outs: [out]
    metrics:
    - metrics.json: {cache: false}
`;
const made: Readonly<Record<string, Buffer>> = {
  'p/out/sub/m.bin': files['models/m.bin'] as Buffer,
};

type Release = (typeof dvcReleases)[keyof typeof dvcReleases];

/** A repository that the real DVC makes. */
class Repository {
  readonly place = tempFolder();
  readonly root = path.join(this.place, 'repo');
  readonly env: NodeJS.ProcessEnv;
  readonly #release: Release;

  constructor(release: Release, more: NodeJS.ProcessEnv = {}) {
    this.#release = release;
    const bin = path.join(this.place, 'bin');
    fs.mkdirSync(bin);
    const program = [process.execPath, path.join(top, 'bin/mstore.js')];
    const script = `#!/bin/sh\nexec ${program.map((part) => `'${part}'`).join(' ')} "$@"\n`;
    fs.writeFileSync(path.join(bin, 'mstore'), script, { mode: 0o755 });
    const env = dvcEnv(this.place);
    this.env = { ...env, PATH: `${bin}${path.delimiter}${env['PATH']}`, ...more };
    fs.mkdirSync(this.root);
    git(this.root, 'init', '-q');
  }

  dvc(...args: string[]): Promise<string> {
    return dvc(this.#release, this.root, this.env, ...args);
  }

  run(...args: string[]): Promise<CliResult> {
    return startMstore(this.root, args, { env: this.env }).done;
  }

  async ok(...args: string[]): Promise<CliResult> {
    const result = await this.run(...args);
    expect(result.code, result.stdout + result.stderr).toBe(0);
    return result;
  }

  write(name: string, bytes: Buffer | string): void {
    const full = path.join(this.root, name);
    fs.mkdirSync(path.dirname(full), { recursive: true });
    fs.writeFileSync(full, bytes);
  }

  remove(...names: string[]): void {
    for (const name of names) {
      fs.rmSync(path.join(this.root, name), { recursive: true, force: true });
    }
  }

  commit(tag: string): void {
    git(this.root, 'add', '-A');
    git(this.root, 'commit', '-q', '-m', tag);
    git(this.root, 'tag', tag);
  }

  /** Makes it all, with a remote. */
  async fill(...remote: ReadonlyArray<readonly string[]>): Promise<void> {
    await this.dvc('init', '-q');
    for (const args of remote) await this.dvc('remote', ...args);
    for (const [name, bytes] of Object.entries(files)) this.write(name, bytes);
    fs.chmodSync(path.join(this.root, 'models/m.bin'), 0o755);
    await this.dvc('add', '-q', 'models/m.bin', 'models/crlf.txt', 'models/mixed.txt', 'data');
    this.write('dvc.yaml', pipeline);
    this.write('p/measured.json', '{"f1": 0.5}');
    await this.dvc('repro', '-q');
    await this.dvc('push', '-q');
    this.commit('v1.0');
  }

  expectFiles(wanted: Readonly<Record<string, Buffer>>): void {
    for (const [name, bytes] of Object.entries(wanted)) {
      expect(fs.readFileSync(path.join(this.root, name)).equals(bytes), name).toBe(true);
    }
  }
}

describe.each(Object.entries(dvcReleases))('with the real dvc, the %s one', (kind, release) => {
  it('a repository comes over byte for byte from a folder, and DVC goes on working', async () => {
    const one = new Repository(release);
    await one.fill(['add', '-q', '-d', 'store', path.join(one.place, 'store')]);
    one.remove('.dvc/cache', ...Object.keys({ ...files, ...made }));
    await one.ok('init');
    const planned = await one.ok('import', 'dvc', '--dry-run', '--json');
    const taken = await one.ok('import', 'dvc', '--json');
    const outcomes = (result: CliResult) =>
      (
        (result.json as { outputs?: unknown }).outputs as Array<{ path: string; outcome: string }>
      ).map((output) => `${output.path} ${output.outcome}`);
    expect(outcomes(taken)).toEqual(outcomes(planned));
    expect(outcomes(taken)).toEqual([
      'data taken',
      'models/crlf.txt taken',
      'models/m.bin taken',
      'models/mixed.txt taken',
      'p/metrics.json left-out',
      'p/out taken',
    ]);
    await one.ok('checkout');
    one.expectFiles({ ...files, ...made });
    // What mstore wrote is what DVC has in its files.
    await one.dvc('fetch', '-q');
    expect(JSON.parse(await one.dvc('status', '--json'))).toEqual({});
    expect(
      git(one.root, 'status', '--short')
        .split('\n')
        .filter((line) => !line.startsWith('??')),
    ).toEqual([]);
    const again = await one.ok('import', 'dvc', '--json');
    expect(again.json).toMatchObject({ bytesReceived: 0, bytesNew: 0 });
    expect(outcomes(again).filter((text) => text.endsWith('taken'))).toEqual([]);
    // DVC changes something, and the pointers follow.
    one.write('data/new.txt', 'new');
    await one.dvc('add', '-q', 'data');
    expect(outcomes(await one.ok('import', 'dvc', '--json'))).toContain('data taken');
    expect((await one.ok('status')).stdout).not.toContain('modified');
    if (kind === 'new')
      expect(fs.statSync(path.join(one.root, 'models/m.bin')).mode & 0o100).not.toBe(0);
  }, 120_000);

  it('tags become versions, each with what DVC had then', async () => {
    const one = new Repository(release);
    await one.fill(['add', '-q', '-d', 'store', path.join(one.place, 'store')]);
    one.write('data/a.txt', 'second');
    await one.dvc('add', '-q', 'data');
    await one.dvc('push', '-q');
    one.commit('v2.0');
    one.remove('.dvc/cache');
    await one.ok('init');
    await one.ok('import', 'dvc', 'data', '--tags', '--as', 'set');
    for (const [version, text] of [
      ['v1.0', 'a'],
      ['v2.0', 'second'],
    ] as const) {
      const to = path.join(one.place, version);
      await one.ok('checkout', `set@${version}`, '--to', to);
      expect(fs.readFileSync(path.join(to, 'a.txt'), 'utf8')).toBe(text);
      for (const name of ['b/ü 𝒳.txt', 'b/｡.bin', 'empty']) {
        expect(fs.readFileSync(path.join(to, name)).equals(files[`data/${name}`] as Buffer)).toBe(
          true,
        );
      }
    }
    const single = await one.ok('import', 'dvc:data/b#rev=v1.0', '--as', 'part@v1', '--json');
    expect(single.json).toMatchObject({ files: 2, bytesReceived: 0 });
  }, 120_000);
});

describe('with objects of the real dvc in a bucket', () => {
  const bucket = 's3://models/dvc store';

  /** What DVC pushed to a folder is laid into a bucket, where its keys are the same. */
  async function pushed() {
    const server = await testS3Server();
    const one = new Repository(dvcReleases.new, s3Environment(server));
    const store = path.join(one.place, 'store');
    await one.fill(['add', '-q', '-d', 'folder', store]);
    await one.dvc('remote', 'add', '-q', '-d', 'store', bucket);
    await one.dvc('remote', 'modify', '-q', 'store', 'endpointurl', server.endpoint);
    await one.dvc('remote', 'modify', '-q', 'store', 'region', server.region);
    for (const file of filesBelow(store)) {
      const [name, bytes] = [path.relative(store, file), fs.readFileSync(file)];
      server.buckets.get('models')?.set(`dvc store/${name}`, { bytes, etag: '"e"', headers: {} });
    }
    one.remove('.dvc/cache', ...Object.keys({ ...files, ...made }));
    await one.ok('init');
    const objects = server.buckets.get('models') ?? new Map();
    const keyOf = (part: string): string =>
      [...objects.keys()].find((key) => key.includes(part)) ?? '';
    return { server, one, objects, keyOf };
  }

  it('all comes over, with keys that DVC has in a file of its own', async () => {
    const { server, one } = await pushed();
    const keys = `[team]\naws_access_key_id = ${server.accessKey}\naws_secret_access_key = ${server.secret}\n`;
    one.write('.dvc/keys', keys);
    await one.dvc(
      'remote',
      'modify',
      '-q',
      '--local',
      'store',
      'credentialpath',
      path.join(one.root, '.dvc/keys'),
    );
    await one.dvc('remote', 'modify', '-q', '--local', 'store', 'profile', 'team');
    Object.assign(one.env, { AWS_ACCESS_KEY_ID: 'wrong', AWS_SECRET_ACCESS_KEY: 'wrong' });
    const { json } = await one.ok('import', 'dvc', '--json');
    expect(json).toMatchObject({ bytesReceived: expect.any(Number) });
    expect((json as { bytesReceived?: number }).bytesReceived).toBeGreaterThan(3_000_000);
    await one.ok('checkout');
    one.expectFiles({ ...files, ...made });
    server.log.length = 0;
    await one.ok('import', 'dvc');
    // The lists of directories are all that is asked for again.
    expect(
      server.log.filter((line) => line.startsWith('GET')).every((line) => line.includes('.dir')),
    ).toBe(true);
  }, 120_000);

  it('what is missing, damaged or refused is named, and the rest is taken', async () => {
    const { server, one, objects, keyOf } = await pushed();
    const md5Of = (name: string): string =>
      /md5: (\S+)/.exec(fs.readFileSync(path.join(one.root, `${name}.dvc`), 'utf8'))?.[1] ?? '';
    const [gone, damaged] = ['models/crlf.txt', 'models/mixed.txt'].map((name) =>
      keyOf(md5Of(name).slice(2)),
    ) as [string, string];
    const [lost, whole] = [objects.get(gone), objects.get(damaged)];
    objects.delete(gone);
    const bytes = Buffer.from(whole?.bytes ?? []);
    bytes[100] = (bytes[100] ?? 0) ^ 1;
    if (whole !== undefined) objects.set(damaged, { ...whole, bytes });
    const refused = await one.run('import', 'dvc', '--json');
    expect(refused.code).toBe(2);
    const { code, message } = refused.json['error'] as { code: string; message: string };
    expect(code).toBe('import-refused');
    expect(message).toContain('3 of 6 outputs of DVC are taken');
    expect(message).toMatch(/models\/crlf\.txt: .*is in none of the places/);
    expect(message).toMatch(/models\/mixed\.txt: .*has other bytes/);
    const stopped = await one.run('import', 'dvc:models/crlf.txt', '--as', 'm@v1');
    expect(stopped).toMatchObject({ code: 3, stderr: expect.stringContaining('dvc push') });
    if (lost !== undefined) objects.set(gone, lost);
    if (whole !== undefined) objects.set(damaged, whole);
    Object.assign(one.env, { AWS_SECRET_ACCESS_KEY: 'wrong' });
    expect(await one.run('import', 'dvc')).toMatchObject({
      code: 8,
      stderr: expect.stringContaining('remote-refused'),
    });
    Object.assign(one.env, s3Environment(server));
    // A server that is gone half-way: what came is not asked for again.
    server.fault({ how: 'reset', at: `/models/${encodeURI(damaged)}`, times: 2 });
    await one.ok('import', 'dvc');
    await one.ok('checkout');
    one.expectFiles({ ...files, ...made });
  }, 180_000);

  it('says that it cannot be reached', async () => {
    const { server, one } = await pushed();
    await server.close();
    const result = await one.run('import', 'dvc:models/m.bin', '--as', 'm@v1');
    expect(result).toMatchObject({
      code: 8,
      stderr: expect.stringContaining('remote-unreachable'),
    });
  }, 180_000);
});

describe('with a bucket that the real dvc pushed to', () => {
  afterAll(endServers);

  it('all comes over', async () => {
    const { endpoint, region } = await startVersityGateway();
    const { accessKeyId: accessKey, secretAccessKey: secret } = testCredentials;
    // The SDK for Python takes no device for a file.
    const none = path.join(tempFolder(), 'none');
    fs.writeFileSync(none, '');
    const one = new Repository(dvcReleases.new, {
      ...s3Environment({ accessKey, secret }),
      AWS_CONFIG_FILE: none,
      AWS_SHARED_CREDENTIALS_FILE: none,
    });
    await one.fill(
      ['add', '-q', '-d', 'store', 's3://models/of dvc'],
      ['modify', '-q', 'store', 'endpointurl', endpoint],
      ['modify', '-q', 'store', 'region', region],
    );
    one.remove('.dvc/cache', ...Object.keys({ ...files, ...made }));
    await one.ok('init');
    const { json } = await one.ok('import', 'dvc', '--json');
    expect((json as { bytesReceived?: number }).bytesReceived).toBeGreaterThan(3_000_000);
    await one.ok('checkout');
    one.expectFiles({ ...files, ...made });
  }, 180_000);
});

describe.each(Object.entries(dvcReleases))(
  'the stages of the page, by dvc repro, the %s one',
  (_, release) => {
    it('run once, and again only where something has changed', async () => {
      const one = new Repository(release);
      await one.dvc('init', '-q');
      await one.ok('init');
      one.write('.dvcignore', '.modelstore\n');
      one.write('models/base/weights.bin', 'base');
      await one.ok('add', 'models/base');
      one.remove('models/base');
      one.write('params.yaml', 'version: v1\n');
      one.write(
        'train.py',
        'import os\nos.makedirs("models/tuned", exist_ok=True)\nbase = open("models/base/weights.bin").read()\nopen("models/tuned/weights.bin", "w").write(base + " tuned")\nopen("metrics.json", "w").write(\'{"f1": 0.5}\')\n',
      );
      const [, stages = ''] = /^```yaml dvc\.yaml\n([\s\S]*?)^```$/m.exec(page) ?? [];
      expect(stages).toContain('mstore checkout');
      one.write('dvc.yaml', stages);
      const env = { ...one.env, MSTORE_REMOTE_ORIGIN_URL: path.join(one.place, 'remote') };
      const [, lines = ''] = /^```sh dvc repro\n([\s\S]*?)^```$/m.exec(page) ?? [];
      const first = lines.split('\n').filter((line) => line.startsWith('dvc '));
      expect(first).toEqual(['dvc repro']);
      expect(await one.dvc('repro')).toContain("Running stage 'register'");
      const again = await one.dvc('repro');
      expect(again).not.toContain('Running stage');
      git(one.root, 'add', '-A');
      git(one.root, 'commit', '-q', '-m', 'tuned');
      expect(git(one.root, 'ls-files')).toContain('models/tuned.mstore');
      expect(git(one.root, 'ls-files')).not.toContain('weights.bin');
      expect((await one.ok('show', 'tuned@v1', '--json')).json).toMatchObject({
        record: { metrics: { f1: 0.5 }, content: { path: 'models/tuned' } },
      });
      // A version never changes: the stage fails until it has another name.
      one.write('models/base/weights.bin', 'other');
      await one.ok('add', 'models/base');
      await expect(one.dvc('repro')).rejects.toMatchObject({
        stderr: expect.stringMatching(/version-exists[\s\S]*failed to reproduce 'register'/),
      });
      one.write('params.yaml', 'version: v2\n');
      await one.dvc('repro');
      const to = path.join(one.place, 'v2');
      await one.ok('checkout', 'tuned@v2', '--to', to);
      expect(fs.readFileSync(path.join(to, 'weights.bin'), 'utf8')).toBe('other tuned');
      expect(JSON.parse(await one.dvc('status', '--json'))).toEqual({});
      // On another machine the data comes by mstore, and DVC finds it unchanged.
      fs.mkdirSync(env.MSTORE_REMOTE_ORIGIN_URL);
      git(one.root, 'add', '-A');
      git(one.root, 'commit', '-q', '-m', 'v2');
      await one.ok('remote', 'add', 'origin', env.MSTORE_REMOTE_ORIGIN_URL);
      await one.ok('push');
      one.remove('models/base', 'models/tuned', '.modelstore/store', '.modelstore/cache');
      await one.ok('pull');
      expect(JSON.parse(await one.dvc('status', '--json'))).toEqual({});
    }, 120_000);
  },
);
