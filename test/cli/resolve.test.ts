import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, it } from 'vitest';
import { type CliResult, cliEnv, startMstore } from '../support/cli.ts';
import { HubServer } from '../support/hub-server.ts';
import { plainBuckets } from '../support/plain-buckets.ts';
import { programLine } from '../support/program.ts';
import { damage, makePublished, textsBelow } from '../support/resolving.ts';
import { tempFolder } from '../support/temp.ts';
import { withTmpfs } from '../support/tmpfs.ts';
import { xorshiftBytes } from '../support/xorshift.ts';

const files = { 'config.json': '{"model_type":"bert"}', 'weights.bin': 'w'.repeat(300_000) };
const noSockets = { NODE_OPTIONS: `--require ${path.resolve('test/support/no-sockets.cjs')}` };
const { env: bucketEnv, buckets } = await plainBuckets();

/** A host without a workspace. */
function host(env: NodeJS.ProcessEnv = {}) {
  const top = tempFolder();
  const [folder, cache] = [path.join(top, 'host'), path.join(top, 'cache')];
  fs.mkdirSync(folder);
  const all = { HOME: top, MSTORE_CACHE: cache, ...env };
  const start = (args: string[], more: NodeJS.ProcessEnv = {}) =>
    startMstore(folder, ['resolve', ...args], { env: { ...all, ...more } });
  const run = (args: string[], more: NodeJS.ProcessEnv = {}): Promise<CliResult> =>
    start(args, more).done;
  const ok = async (args: string[], more: NodeJS.ProcessEnv = {}): Promise<string> => {
    const result = await run(args, more);
    expect(result.code, result.stdout + result.stderr).toBe(0);
    expect(result.stdout).toMatch(/^\/.*\n$/);
    expect(result.stdout.split('\n')).toHaveLength(2);
    return result.stdout.trim();
  };
  return { folder, cache, env: all, start, run, ok };
}

/** The places that an error lists. */
function lookedAt({ json }: CliResult): string[] {
  return (json.error?.details?.['looked'] ?? []) as string[];
}

async function published() {
  const ws = await makePublished();
  await ws.publish('v1', files);
  await ws.deploy('v1');
  return ws;
}

describe('mstore resolve', () => {
  it('prints one line, the directory, and nothing where it fails', async () => {
    const ws = await published();
    const { ok, run, env, folder, cache } = host();
    const directory = await ok(['bert@production', '--remote', ws.remote]);
    expect(textsBelow(directory)).toEqual(files);
    const script = `cd "$(${programLine} resolve -q)" && pwd && ls`;
    const printed = execFileSync('sh', ['-ec', script], {
      cwd: folder,
      env: { ...cliEnv, ...env, MODEL_REF: 'bert@v1', MSTORE_REMOTE_ORIGIN_URL: ws.remote },
      encoding: 'utf8',
    });
    expect(printed).toBe(`${directory}\nconfig.json\nweights.bin\n`);
    const failed = await run(['bert@v9', '--remote', ws.remote]);
    expect(failed).toMatchObject({ code: 3, stdout: '' });
    expect(failed.stderr).toContain('[unknown-version]');
    expect((await run([])).stderr).toMatch(/No model is named.*\n.*MODEL_REF/);
    const both = await run([], { MODEL_REF: 'a@v1', ML_MODEL_REF: 'b@v1' });
    expect(both).toMatchObject({ code: 2, stdout: '' });
    expect(fs.readdirSync(folder)).toEqual([]);
    expect(fs.readdirSync(path.join(cache, 'models'))).toEqual([path.basename(directory)]);
  });

  it('prints one document with --json, warnings and pins included', async () => {
    const ws = await published();
    const { run, folder } = host();
    const args = ['bert@production', '--remote', ws.remote, '--lock', 'l.json', '--json'];
    const first = JSON.parse((await run(args)).stdout) as Record<string, unknown>;
    expect(first).toMatchObject({ model: 'bert', by: 'production', files: 2, done: 'written' });
    expect(first['locked']).toMatchObject({ before: null, pin: { tree: first['tree'] } });
    damage(path.join(String(first['directory']), 'config.json'), (file) =>
      fs.writeFileSync(file, ''),
    );
    const second = await run(args);
    expect(second.stderr).toContain('warning: the copy in the cache was damaged: config.json');
    expect(JSON.parse(second.stdout)).toMatchObject({ done: 'healed', tree: first['tree'] });
    expect(fs.readdirSync(folder)).toEqual(['l.json']);
    const refused = await run(['bert@v1', '--lock', 'l.json', '--frozen', '--json']);
    expect(refused.json.error).toMatchObject({ code: 'not-locked' });
    expect(refused.code).toBe(3);
  });

  it.each(Object.entries(buckets))(
    'takes plain files of a bucket of %s, and finds out when they have changed',
    async (_, { url, put, remove }) => {
      for (const [name, text] of Object.entries(files)) put(name, Buffer.from(text));
      put('folder/', Buffer.alloc(0));
      const { ok, run } = host(bucketEnv);
      const directory = await ok([url, '--lock', 'm.lock']);
      expect(textsBelow(directory)).toEqual(files);
      const offline = { ...noSockets, MSTORE_OFFLINE: '1' };
      expect(await ok([url, '--lock', 'm.lock'], offline)).toBe(directory);
      const unpinned = await run([url, '--json'], offline);
      expect(unpinned.json.error).toMatchObject({
        code: 'offline',
        details: { looked: [`the place itself, ${url} (not asked: it needs the network)`] },
      });
      remove('config.json');
      const frozen = await run([url, '--lock', 'm.lock', '--frozen', '--json']);
      expect([frozen.json.error?.code, frozen.code]).toEqual(['drift', 6]);
      // The pin is in the cache still, and nowhere else.
      expect(await ok([url, '--lock', 'm.lock'])).toBe(directory);
      damage(path.join(directory, 'config.json'), fs.rmSync);
      const lost = await run([url, '--lock', 'm.lock', '--json']);
      expect([lost.json.error?.code, lost.code]).toEqual(['drift', 6]);
      const moved = await ok([url, '--lock', 'm.lock', '--update']);
      expect(textsBelow(moved)).toEqual({ 'weights.bin': files['weights.bin'] });
      const none = await run([`${url}/nowhere`, '--json']);
      expect(none.json.error?.code).toBe('not-found');
    },
  );

  it('goes on after it was killed, and leaves no half model at any time', async () => {
    const hub = await HubServer.start();
    const bytes = xorshiftBytes(5, 20_000_000);
    hub.commit('org/bert', { 'model.safetensors': bytes, 'config.json': '{}' });
    const { start, ok, cache } = host({ HF_ENDPOINT: hub.endpoint });
    hub.faults = [{ at: '/cdn/', how: 'stall' }];
    const running = start(['hf:org/bert']);
    while (!hub.requests.some(({ url, sent }) => url.startsWith('/cdn/') && sent > 0)) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    running.child.kill('SIGKILL');
    expect((await running.done).stdout).toBe('');
    expect(fs.existsSync(path.join(cache, 'models'))).toBe(false);
    hub.requests.length = 0;
    const directory = await ok(['hf:org/bert']);
    expect(hub.downloads.at(-1)?.range).toMatch(/^bytes=[1-9]/);
    expect(fs.readFileSync(path.join(directory, 'model.safetensors')).equals(bytes)).toBe(true);
    expect(fs.readdirSync(path.join(cache, 'models'))).toEqual([path.basename(directory)]);
    expect(fs.readdirSync(path.join(cache, 'work/.modelstore/tmp'))).toEqual([]);
  });

  it('gives several processes that start at once one directory, and one lock file', async () => {
    const ws = await published();
    const { run, folder, cache } = host();
    const args = ['bert@v1', '--remote', ws.remote, '--lock', 'models.lock'];
    const results = await Promise.all([1, 2, 3, 4].map(() => run(args)));
    for (const { code, stderr } of results) expect(code, stderr).toBe(0);
    expect(new Set(results.map(({ stdout }) => stdout)).size).toBe(1);
    expect(fs.readdirSync(path.join(cache, 'models'))).toHaveLength(1);
    expect(fs.readdirSync(folder)).toEqual(['models.lock']);
  });

  it('reads a cache that cannot be written, and says what to do where it must be', async () => {
    const ws = await published();
    await withTmpfs(16 * 1024 * 1024, async ({ folder: disk, remount }) => {
      const { ok, run, folder } = host({ MSTORE_CACHE: path.join(disk, 'cache') });
      const args = ['bert@v1', '--remote', ws.remote, '--lock', 'models.lock'];
      const directory = await ok(args);
      remount('ro');
      expect(await ok(args)).toBe(directory);
      const other = await run(['bert@v1', '--remote', ws.remote, '--to', path.join(disk, 'x')]);
      expect(other).toMatchObject({ code: 1, stdout: '' });
      expect(other.stderr).toContain('[read-only]');
      fs.mkdirSync(path.join(folder, 'm'));
      fs.writeFileSync(path.join(folder, 'm/x'), 'x');
      const local = await run(['local:m']);
      expect(local.stderr).toContain('[read-only]');
      remount('rw');
    });
  });
});

describe('mstore resolve --offline', () => {
  it('opens no socket, and lists where it looked', async () => {
    const hub = await HubServer.start();
    const commit = hub.commit('org/bert', files);
    const ws = await published();
    const { ok, run, folder, env } = host({ HF_ENDPOINT: hub.endpoint });
    // What forbids sockets does so.
    expect((await run(['hf:org/bert'], noSockets)).code).toBe(99);
    const directory = await ok(['hf:org/bert', '--lock', 'l']);
    const offline = { ...noSockets, MSTORE_OFFLINE: '1' };
    expect(await ok(['hf:org/bert', '--lock', 'l'], offline)).toBe(directory);
    expect(await ok([`hf:org/bert@${commit}`, '--offline'], noSockets)).toBe(directory);
    expect(await ok(['bert@v1', '--remote', ws.remote], offline)).toMatch(/models/);
    const frozen = await run(['hf:org/bert', '--lock', 'l', '--frozen'], offline);
    expect(frozen).toMatchObject({ code: 0, stdout: `${directory}\n` });
    expect(frozen.stderr).toContain('was not looked for');

    const moving = await run(['hf:org/bert', '--json'], offline);
    expect(moving.json.error).toMatchObject({
      code: 'offline',
      hint: expect.stringMatching(/Looked at: .*mstore resolve hf:org\/bert/),
    });
    const kept = `${env.HOME}/.cache/huggingface/hub/models--org--bert`;
    const place = 'the place itself, hf:org/bert (not asked: it needs the network)';
    const clients = (where: string, said: string) =>
      `the cache of the Hub's clients, ${where} (${said})`;
    const looks = (...args: string[]) => run([...args, '--json'], offline).then(lookedAt);
    expect(lookedAt(moving)).toEqual([clients(kept, 'not there'), place]);
    fs.mkdirSync(`${kept}/snapshots/${commit}`, { recursive: true });
    const alone = 'is told by the Hub or a lock file alone';
    const branch = clients(kept, `there, but which commit main is ${alone}`);
    expect(await looks('hf:org/bert')).toEqual([branch, place]);
    const byHub = { ...noSockets, HF_HUB_OFFLINE: '1' };
    const refused = await run(['hf:org/bert@main', '--json'], byHub);
    expect(refused.json.error?.code).toBe('offline');
    expect(lookedAt(refused)[0]).toBe(branch);
    const other = commit.replace(/^./, commit.startsWith('0') ? '1' : '0');
    const unseen = clients(`${kept}/snapshots/${other}`, 'not there');
    expect((await looks(`hf:org/bert@${other}`))[0]).toBe(unseen);
    fs.mkdirSync(`${kept}/snapshots/${other}`);
    expect((await looks(`hf:org/bert@${other}`))[0]).toBe(
      clients(`${kept}/snapshots/${other}`, `there, but which files that commit has ${alone}`),
    );
    fs.rmSync(kept, { recursive: true });
    const remotes = ['--remote', ws.remote, '--remote', 's3://bucket/models'];
    const absent = await run(['other@v1', ...remotes, '--json'], offline);
    expect(absent.json.error?.details?.['looked']).toEqual(
      [`the remote ${ws.remote}`, 's3://bucket/models'].map((name) =>
        name.startsWith('s3') ? `the remote ${name} (not asked: it needs the network)` : name,
      ),
    );
    fs.rmSync(directory, { recursive: true });
    const pinned = await run(['hf:org/bert', '--lock', 'l', '--json'], offline);
    expect(pinned.json.error).toMatchObject({ code: 'offline' });
    const looked = pinned.json.error?.details?.['looked'] as string[];
    expect(looked.map((place) => place.replace(/[ ,].*/, ''))).toEqual(['the', 'the', 'the']);
    expect(looked.join()).toMatch(
      /the cache .*not there.*the cache of the Hub's clients.*not there/,
    );
    expect(fs.readdirSync(folder)).toEqual(['l']);
  });

  it("takes from the cache of the Hub's clients what is the pin, and nothing that is not", async () => {
    const hub = await HubServer.start();
    const commit = hub.commit('org/bert', files);
    const { ok, run, cache, env } = host({ HF_ENDPOINT: hub.endpoint });
    await ok(['hf:org/bert', '--lock', 'l']);
    fs.rmSync(cache, { recursive: true });
    const snapshot = path.join(
      String(env['HOME']),
      `.cache/huggingface/hub/models--org--bert/snapshots/${commit}`,
    );
    const blobs = path.join(snapshot, '../../blobs');
    fs.mkdirSync(snapshot, { recursive: true });
    fs.mkdirSync(blobs);
    const offline = { ...noSockets, MSTORE_OFFLINE: '1' };
    for (const [name, text] of Object.entries(files)) {
      const early = await run(['hf:org/bert', '--lock', 'l'], offline);
      expect(early).toMatchObject({ code: 8, stdout: '' });
      fs.writeFileSync(path.join(blobs, `b-${name}`), text);
      fs.symlinkSync(`../../blobs/b-${name}`, path.join(snapshot, name));
    }
    const directory = await ok(['hf:org/bert', '--lock', 'l'], offline);
    expect(textsBelow(directory)).toEqual(files);
    expect(fs.lstatSync(path.join(directory, 'config.json')).isFile()).toBe(true);
    fs.rmSync(cache, { recursive: true });
    fs.writeFileSync(path.join(blobs, 'b-config.json'), '{"model_type":"BERT"}');
    const wrong = await run(['hf:org/bert', '--lock', 'l'], offline);
    expect(wrong.stderr).toContain('it has other files, or not all of them');
  });
});

describe('mstore resolve --prune', () => {
  it('removes what nobody asked for, and nothing that a running program did', async () => {
    const ws = await published();
    const { ok, run, cache, folder, env } = host();
    const directory = await ok(['bert@v1', '--remote', ws.remote]);
    const old = new Date(Date.now() - 10 * 24 * 3600 * 1000);
    const age = () => fs.utimesSync(path.join(cache, 'lists', path.basename(directory)), old, old);
    age();
    // This test is what started the command, and it runs.
    const held = await run(['--prune', '5', '--json']);
    expect(JSON.parse(held.stdout)).toMatchObject({ removed: 0, held: 1, cache });
    expect(fs.existsSync(directory)).toBe(true);

    fs.rmSync(path.join(cache, 'uses'), { recursive: true });
    const script = `${programLine} resolve -q bert@v1 --remote '${ws.remote}' & wait`;
    execFileSync('sh', ['-c', script], { cwd: folder, env: { ...cliEnv, ...env } });
    expect(JSON.parse((await run(['--prune', '5', '--json'])).stdout)).toMatchObject({
      removed: 0,
      held: 0,
    });
    age();
    const pruned = await run(['--prune', '5', '--json']);
    expect(JSON.parse(pruned.stdout)).toMatchObject({ removed: 1, bytesFreed: 300_021, held: 0 });
    expect(fs.readdirSync(path.join(cache, 'models'))).toEqual([]);
    expect(fs.readdirSync(path.join(cache, 'lists'))).toEqual([]);
    for (const args of [
      ['--prune', 'x'],
      ['--prune', '-1'],
      ['bert@v1', '--prune', '1'],
    ]) {
      expect((await run(args)).code).toBe(2);
    }
    expect(await ok(['bert@v1', '--remote', ws.remote])).toBe(directory);
  });
});
