import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  type CliResult,
  type CliWorkspace,
  expectError,
  expectNoLeftovers,
  makeWorkspace,
  mstore,
  startMstore,
  workspaceAt,
} from '../support/cli.ts';
import { git } from '../support/git.ts';
import { s3Environment, testS3Server } from '../support/s3-remote.ts';
import { tempFolder } from '../support/temp.ts';

const server = await testS3Server();
const awsEnv = {
  ...s3Environment(server),
  AWS_REGION: server.region,
  AWS_ENDPOINT_URL: server.endpoint,
};

/** Adds and registers a version of a model of two files. */
async function register(workspace: CliWorkspace, name: string, text: string): Promise<void> {
  workspace.write('models/bert/weights', text);
  workspace.write('models/bert/config', '{}');
  await workspace.add('models/bert');
  await workspace.ok('register', name, '--metric', `bleu=${text.length / 10}`);
}

/** Two versions, the first of which is live; all of it on the remote, and the pointers in Git. */
async function withVersions(): Promise<CliWorkspace> {
  const workspace = await makeWorkspace();
  await register(workspace, 'bert@v1', 'first');
  await workspace.ok('deploy', 'bert@v1', '--env', 'production', '--local');
  await register(workspace, 'bert@v2', 'second');
  git(workspace.root, 'add', '.');
  git(workspace.root, 'commit', '-q', '-m', 'A model');
  await workspace.ok('push');
  return workspace;
}

/** Another workspace of the same repository, with an empty store. */
function clone({ root, remote }: CliWorkspace): CliWorkspace {
  const other = path.join(path.dirname(root), `clone-${fs.readdirSync(path.dirname(root)).length}`);
  git(path.dirname(root), 'clone', '-q', root, other);
  return workspaceAt(other, remote);
}

function contents(folder: string): Record<string, string> {
  return Object.fromEntries(
    fs.readdirSync(folder).map((name) => [name, fs.readFileSync(path.join(folder, name), 'utf8')]),
  );
}

describe('versions of models on the command line', () => {
  it('are checked out, listed, printed and compared', async () => {
    const workspace = await withVersions();
    const { stderr } = await workspace.ok('checkout', 'production');
    expect(stderr).toContain('bert@production is v1');
    expect(workspace.read('models/bert/weights').toString()).toBe('first');
    expect(git(workspace.root, 'status', '--short')).toContain('M models/bert.mstore');
    await workspace.ok('checkout', 'bert@latest');
    expect(git(workspace.root, 'status', '--short')).toBe('');
    const { json } = await workspace.ok('ls', 'bert@production', '--json');
    expect(json).toMatchObject({
      commit: null,
      version: { model: 'bert', version: 'v1', environment: 'production' },
      paths: [{ path: 'models/bert', entries: [{ path: 'config' }, { path: 'weights', size: 5 }] }],
    });
    expect((await workspace.ok('cat', 'v1:models/bert/weights')).stdout).toBe('first');
    const diff = await workspace.ok('diff', 'bert@v1', 'bert@v2');
    expect(diff.stdout).toBe(
      [
        'models/bert  (2 B of 8 B shared)',
        '  ~ weights  5 B -> 6 B',
        'metrics',
        '  bleu  0.5  0.6  +0.1',
        '',
      ].join('\n'),
    );
    const { stdout } = await workspace.ok('diff', 'bert@v2');
    expect(stdout).toBe('');
  });

  it('move between workspaces by push, fetch and pull', async () => {
    const one = await withVersions();
    const two = clone(one);
    const before = await two.run('--json', 'checkout', 'bert@v1');
    expectError(before, {
      code: 'unknown-model',
      message: /no model bert/,
      hint: /mstore (models|fetch)/,
    });
    const pulled = await two.ok('--json', 'pull', 'bert@production');
    expect(pulled.json).toMatchObject({
      version: { version: 'v1', environment: 'production' },
      recordsFetched: 3,
      fetched: { paths: 1 },
      written: { pointersChanged: ['models/bert'] },
    });
    expect(contents(two.at('models/bert'))).toEqual({ config: '{}', weights: 'first' });
    const absent = await two.run('--json', 'checkout', 'v2');
    expectError(absent, {
      code: 'objects-missing',
      message: /models\/bert/,
      hint: /mstore pull v2/,
    });
    await two.ok('fetch', 'v2');
    await two.ok('checkout', 'v2');
    expect(git(two.root, 'status', '--short')).toBe('');

    await two.ok('promote', 'bert', '--from', 'production', '--to', 'canary', '--local');
    await register(two, 'bert@v3', 'third one');
    const sent = await two.ok('push', 'bert@v3', '--json');
    expect(sent.json).toMatchObject({ version: { version: 'v3' }, recordsSent: 1 });
    expect((await one.ok('pull', '--json', 'bert@v3', '--to', '../v3')).json).toMatchObject({
      recordsFetched: 1,
    });
    expect(contents(one.at('../v3'))).toEqual({ config: '{}', weights: 'third one' });
    const rest = await two.ok('push');
    expect(rest.stderr).toMatch(/of the registry/);
    const fetched = await one.ok('fetch');
    expect(fetched.stderr).toContain('of the registry from origin');
    expect((await one.ok('ls', 'bert@canary', '--json')).json).toMatchObject({
      version: { version: 'v1' },
    });
  });

  it('are told where both sides differ, with exit code 6, and taken over if that is wished', async () => {
    const one = await withVersions();
    const two = clone(one);
    await two.ok('fetch');
    await two.ok('pull', 'v2');
    for (const workspace of [one, two]) {
      await workspace.ok('deploy', 'bert@v2', '--env', 'production', '--local');
    }
    await register(two, 'bert@v3', 'third');
    await one.ok('push');
    const refused = await two.run('push');
    expect(refused.code).toBe(6);
    expect(refused.stderr).toContain('[histories-differ]');
    expect(refused.stderr).toContain('--take-history');
    expect((await one.ok('pull', 'bert@v3', '--json')).json).toMatchObject({
      version: { version: 'v3' },
    });
    expect((await two.run('fetch')).code).toBe(6);
    const taken = await two.ok('fetch', '--take-history', '--json');
    const { setAside } = taken.json as { setAside?: string };
    expect(fs.existsSync(path.join(setAside ?? '', 'refs/models/bert'))).toBe(true);
    await two.ok('push');
    await two.ok('fetch');
  });

  it('of other tools are refused with what can be done, and empty arguments too', async () => {
    const workspace = await makeWorkspace();
    for (const reference of ['hf:org/name', 's3://bucket/x', 'oci://host/m:v1', '']) {
      for (const command of ['checkout', 'pull', 'push', 'fetch', 'ls', 'diff']) {
        const result = await workspace.run('--json', command, reference);
        expect([result.code, result.json.error?.code], `${command} ${reference}`).toEqual([
          2,
          'usage',
        ]);
      }
    }
    const cat = await workspace.run('cat', 'hf:org/name:config.json');
    expect([cat.code, cat.stdout]).toEqual([2, '']);
    expect(cat.stderr).toMatch(/Hugging Face/);
  });
});

describe('a pull without a workspace', () => {
  const run = (
    cwd: string,
    args: readonly string[],
    env: NodeJS.ProcessEnv = {},
  ): Promise<CliResult> => startMstore(cwd, args, { env }).done;

  it('writes a version from a directory, and leaves nothing else behind', async () => {
    const { remote } = await withVersions();
    const place = tempFolder();
    for (const [reference, weights] of [
      ['bert@production', 'first'],
      ['bert@latest', 'second'],
      ['v1', 'first'],
    ]) {
      const result = await mstore(
        place,
        ...['pull', reference as string, '--remote', remote, '--to', 'out/bert', '--force'],
        '--json',
      );
      expect(result.code, result.stdout).toBe(0);
      expect(result.json).toMatchObject({
        version: { model: 'bert' },
        fetched: { location: remote },
        written: { files: 2 },
      });
      expect(contents(path.join(place, 'out/bert'))).toEqual({ config: '{}', weights });
    }
    expect(fs.readdirSync(place)).toEqual(['out']);
    expect(fs.readdirSync(path.join(place, 'out'))).toEqual(['bert']);
  });

  it('keeps a store where the environment names one, and needs less the next time', async () => {
    const { remote } = await withVersions();
    const place = tempFolder();
    const env = { MSTORE_STORE_PATH: path.join(place, 'kept'), MSTORE_REMOTE_ORIGIN_URL: remote };
    const chunks = async (reference: string, to: string) => {
      const args = ['pull', reference, '--to', to, '--json', '--link', 'symlink'];
      const result = await run(place, args, env);
      expect(result.code, result.stdout).toBe(0);
      return (result.json as unknown as { fetched: { chunksFetched: number } }).fetched
        .chunksFetched;
    };
    expect(await chunks('bert@v1', 'a')).toBeGreaterThan(0);
    expect(await chunks('bert@v2', 'b')).toBeGreaterThan(0);
    expect(await chunks('bert@v1', 'c')).toBe(0);
    expect(contents(path.join(place, 'c'))).toEqual({ config: '{}', weights: 'first' });
    expect(fs.readdirSync(place).sort()).toEqual(['a', 'b', 'c', 'kept']);
    expect(fs.existsSync(path.join(place, 'kept/refs'))).toBe(false);
  });

  it('says what is wrong before anything is written', async () => {
    const workspace = await withVersions();
    const { remote } = workspace;
    const place = tempFolder();
    fs.mkdirSync(path.join(place, 'taken'));
    fs.writeFileSync(path.join(place, 'taken/file'), 'mine');
    const at = ['--remote', remote, '--to', 'out'];
    const cases: Array<[args: string[], error: Parameters<typeof expectError>[1]]> = [
      [['brt@v1', ...at], { code: 'unknown-model', message: /brt/, hint: /bert/ }],
      [['bert@v7', ...at], { code: 'unknown-version', message: /v7/, hint: /bert@v/ }],
      [['main~1', ...at], { code: 'unknown-ref', message: /main~1/, hint: /workspace/ }],
      [['git:main', ...at], { code: 'unknown-ref', message: /git:main/, hint: /workspace/ }],
      [['hf:a/b', ...at], { code: 'unknown-ref', message: /hf:a\/b/, hint: /workspace/ }],
      [
        ['bert@v1', '--remote', remote, '--to', 'taken'],
        { code: 'destination-exists', message: /taken/, hint: /--force/ },
      ],
      [
        ['bert@v1', ...at, '--link', 'symlink'],
        { code: 'usage', message: /no store is kept/, hint: /MSTORE_STORE_PATH/ },
      ],
      [
        ['bert@v1', '--to', 'out'],
        { code: 'unknown-remote', message: /No remote/, hint: /--remote/ },
      ],
      [
        ['bert@v1', '--remote', remote],
        { code: 'no-workspace', message: /No mstore workspace/, hint: /--to DIR/ },
      ],
      [
        ['--remote', remote, '--to', 'out'],
        { code: 'no-workspace', message: /No/, hint: /--to DIR/ },
      ],
      [
        ['bert@v1', '--remote', place, '--to', 'out'],
        { code: 'unknown-model', message: /bert/, hint: /mstore/ },
      ],
    ];
    for (const [args, error] of cases) {
      expectError(await mstore(place, '--json', 'pull', ...args), error);
      expect(fs.readdirSync(place), args.join(' ')).toEqual(['taken']);
    }
    expectNoLeftovers(workspace);
  });

  it('comes from S3 with nothing but credentials, and writes nothing when it is ended', async () => {
    const workspace = await makeWorkspace();
    await register(workspace, 'bert@v1', 'x'.repeat(300_000));
    await workspace.ok('deploy', 'bert@v1', '--env', 'production', '--local');
    const url = 's3://models/team';
    const ok = async (cwd: string, ...args: string[]) => {
      const result = await run(cwd, args, awsEnv);
      expect(result.code, result.stdout + result.stderr).toBe(0);
      return result;
    };
    await ok(workspace.root, 'remote', 'add', 'bucket', url);
    await ok(workspace.root, 'push', '--remote', 'bucket');
    const place = tempFolder();
    await ok(place, 'pull', 'bert@production', '--remote', url, '--to', 'bert');
    expect(contents(path.join(place, 'bert'))['weights']).toBe('x'.repeat(300_000));
    expect(fs.readdirSync(place)).toEqual(['bert']);
    server.fault({ how: 'wrong-bytes', at: 'GET /models/team/packs', times: 99 });
    const damaged = await run(
      place,
      ['pull', 'bert@v1', '--remote', url, '--to', 'again', '--json'],
      awsEnv,
    );
    server.heal();
    expect(damaged.json.error?.code).toBe('corrupt-remote');
    expect(fs.readdirSync(place)).toEqual(['bert']);
    const offline = await run(
      place,
      ['--offline', 'pull', 'bert@v1', '--remote', url, '--to', 'again', '--json'],
      awsEnv,
    );
    expect([offline.code, offline.json.error?.code]).toEqual([8, 'offline']);
  });
});
