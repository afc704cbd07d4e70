import * as fs from 'node:fs';
import * as path from 'node:path';
import { pack } from 'tar-stream';
import { describe, expect, it } from 'vitest';
import { sha256 } from '../../src/base/digest.ts';
import { treeDigest } from '../../src/base/tree.ts';
import { HubServer } from '../support/hub-server.ts';
import { damage, hostAt, makeHost, publishTwo, textsBelow } from '../support/resolving.ts';
import { tempFolder } from '../support/temp.ts';

const first = { 'config.json': '{"v":1}', 'weights.bin': 'one '.repeat(50_000) };
const second = { 'config.json': '{"v":2}', 'weights.bin': 'two '.repeat(50_000), 'more/x': '' };

/** Two versions, of which the first is live in production. */
const published = () => publishTwo(first, second);

describe('resolve of versions', () => {
  it('brings them on a host without a workspace, and finds them again without the remote', async () => {
    const { ws, v1, v2, remotes } = await published();
    const host = makeHost();
    const live = await host.resolve('bert@production', { remotes });
    expect(live).toMatchObject({
      reference: 'bert@production',
      exact: `bert@v1#sha256=${v1}`,
      model: 'bert',
      version: 'v1',
      by: 'production',
      done: 'written',
      warnings: [],
      size: 200_007,
    });
    expect(live.directory).toBe(path.join(host.cache, 'models', live.tree));
    expect(live.tree).toBe(treeDigest(live.files));
    expect(live.record?.content.sha256).toBe(live.tree);
    expect(textsBelow(live.directory)).toEqual(first);
    expect((await host.resolve('bert@latest', { remotes })).exact).toBe(`bert@v2#sha256=${v2}`);
    expect((await host.resolve('v2', { remotes })).done).toBe('kept');

    // What it says of itself gives the same again, wherever the remote is.
    fs.renameSync(ws.remote, `${ws.remote}-away`);
    const again = await host.resolve(live.exact);
    expect(again).toMatchObject({ tree: live.tree, done: 'kept', version: 'v1' });
    expect(again.record).toEqual(live.record);
    expect(again.directory).toBe(live.directory);
    await expect(host.resolve('bert@v1')).rejects.toMatchObject({ code: 'unknown-remote' });
    expect(fs.readdirSync(path.join(host.cache, 'tmp'))).toEqual([]);
  });

  it('finds in a workspace what every way of writing it names', async () => {
    const { ws, v1, v2 } = await published();
    const commit = await commitOf(ws.root);
    const cache = tempFolder();
    const here = hostAt(ws.root, cache);
    const exact = async (reference: string) => (await here.resolve(reference)).exact;
    const one = `bert@v1#sha256=${v1}`;
    const two = `bert@v2#sha256=${v2}`;
    expect(await exact('bert@v1')).toBe(one);
    expect(await exact('v1')).toBe(one);
    expect(await exact('bert@production')).toBe(one);
    expect(await exact('production')).toBe(one);
    expect(await exact('latest')).toBe(two);
    expect(await exact(one)).toBe(one);
    const tree = (await here.resolve(two)).tree;
    expect(await exact('git:HEAD')).toBe(`git:${commit}`);
    expect(await exact('HEAD')).toBe(`git:${commit}`);
    expect(await exact(`git:${commit}`)).toBe(`git:${commit}`);
    expect(await exact('models/bert')).toBe(`./models/bert#sha256=${tree}`);
    expect(await exact('./models/bert')).toBe(`./models/bert#sha256=${tree}`);
    expect(await exact(`./models/bert#sha256=${tree}`)).toBe(`./models/bert#sha256=${tree}`);
    expect(fs.readdirSync(path.join(cache, 'models')).sort()).toHaveLength(2);
  });

  it('asks the remote what is live, as pull does, and takes a file for a directory', async () => {
    const { ws } = await published();
    const other = tempFolder();
    const clone = hostAt(path.join(other, 'clone'), path.join(other, 'cache'));
    const { git } = await import('../support/git.ts');
    git(ws.root, 'add', '-A');
    git(ws.root, 'commit', '-qm', 'x');
    git(other, 'clone', '-q', ws.root, 'clone');
    const remotes = [ws.remote];
    expect((await clone.resolve('bert@production', { remotes })).version).toBe('v1');
    await ws.deploy('v2');
    const moved = await clone.resolve('bert@production', { remotes });
    expect(moved.version).toBe('v2');
    expect(textsBelow(moved.directory)).toEqual(second);

    ws.write('labels.txt', 'cat\ndog\n');
    await ws.add('labels.txt');
    const here = hostAt(ws.root, path.join(other, 'cache'));
    const file = await here.resolve('./labels.txt');
    expect(textsBelow(file.directory)).toEqual({ 'labels.txt': 'cat\ndog\n' });
    git(ws.root, 'add', '-A');
    git(ws.root, 'commit', '-qm', 'y');
    const both = await here.resolve('HEAD');
    expect(Object.keys(textsBelow(both.directory))).toEqual([
      'labels.txt',
      'models/bert/config.json',
      'models/bert/more/x',
      'models/bert/weights.bin',
    ]);
  });

  it('refuses another record than the one that is pinned', async () => {
    const { v1, remotes } = await published();
    const host = makeHost();
    const pinned = `bert@v2#sha256=${v1}`;
    await expect(host.resolve(pinned, { remotes })).rejects.toMatchObject({
      code: 'drift',
      message: expect.stringContaining(pinned),
    });
    expect(fs.existsSync(path.join(host.cache, 'models'))).toBe(false);
  });

  it('says what cannot be resolved, and leaves nothing behind', async () => {
    const host = makeHost();
    const refused = async (reference: string | undefined, code: string, text: string) => {
      const error = await host.resolve(reference).catch((thrown: unknown) => thrown);
      expect(error).toMatchObject({ code, message: expect.stringContaining(text) });
    };
    await refused('mlflow:models:/a/1', 'usage', 'MLflow');
    await refused('dvc:a/b', 'not-found', 'no repository of DVC');
    await refused('oci://h.example/a:b', 'usage', 'OCI');
    await refused('git:HEAD', 'no-workspace', 'there is none here');
    await refused('./models', 'no-workspace', 'there is none here');
    await refused('hf:a/b#sha256=00', 'usage', 'no digest');
    await refused(`hf:a/b#sha256=${'0'.repeat(64)}`, 'usage', 'pinned by a commit');
    await refused('local:nowhere', 'not-found', 'does not exist');
    await refused(undefined, 'usage', 'MODEL_REF');
    expect(fs.readdirSync(host.folder)).toEqual([]);
    expect(fs.existsSync(path.join(host.cache, 'models'))).toBe(false);
  });
});

async function commitOf(root: string): Promise<string> {
  const { git } = await import('../support/git.ts');
  git(root, 'add', '-A');
  git(root, 'commit', '-qm', 'A model');
  return git(root, 'rev-parse', 'HEAD');
}

async function tarOf(files: Readonly<Record<string, string>>): Promise<Buffer> {
  const archive = pack();
  for (const [name, text] of Object.entries(files))
    archive.entry({ name }, Buffer.from(text, 'latin1'));
  archive.finalize();
  const blocks: Buffer[] = [];
  for await (const block of archive) blocks.push(block as Buffer);
  return Buffer.concat(blocks);
}

describe('resolve of sources', () => {
  it('takes a model of the Hub at the commit of its branch, and asks for no file twice', async () => {
    const hub = await HubServer.start();
    const commit = hub.commit('org/bert', first);
    const host = makeHost({ HF_ENDPOINT: hub.endpoint });
    const taken = await host.resolve('hf:org/bert');
    expect(taken).toMatchObject({ exact: `hf:org/bert@${commit}`, done: 'written' });
    expect(textsBelow(taken.directory)).toEqual(first);
    hub.requests.length = 0;
    expect((await host.resolve('hf:org/bert@main')).done).toBe('kept');
    expect(hub.downloads).toEqual([]);
    hub.requests.length = 0;
    // A commit needs nobody to say what it is.
    expect((await host.resolve(`hf:org/bert@${commit}`)).tree).toBe(taken.tree);
    expect(hub.requests).toEqual([]);
    const later = hub.commit('org/bert', second);
    expect((await host.resolve('hf:org/bert')).exact).toBe(`hf:org/bert@${later}`);
    expect(fs.readdirSync(path.join(host.cache, 'work/.modelstore/tmp'))).toEqual([]);
  });

  it('goes on where it was interrupted', async () => {
    const hub = await HubServer.start();
    hub.commit('org/bert', { 'a.safetensors': Buffer.alloc(3_000_000, 1), 'b.txt': 'b' });
    const host = makeHost({ HF_ENDPOINT: hub.endpoint });
    hub.faults = [{ at: '/cdn/', how: 'truncate', times: 50 }];
    await expect(host.resolve('hf:org/bert')).rejects.toMatchObject({ code: 'remote-unreachable' });
    hub.faults = [];
    hub.requests.length = 0;
    const taken = await host.resolve('hf:org/bert');
    expect(taken.files.map(({ path: name }) => name)).toEqual(['a.safetensors', 'b.txt']);
    expect(hub.downloads.some(({ range }) => /^bytes=[1-9]/.test(range ?? ''))).toBe(true);
  });

  it('takes a file and an archive of the web by their digests, and pins no secrets', async () => {
    const hub = await HubServer.start();
    const file = Buffer.alloc(5_000, 7);
    const archive = await tarOf({
      'config.json': '{}',
      'sub/weights.bin': file.toString('latin1'),
    });
    const commit = hub.commit('org/bert', { 'm.bin': file, 'm.tar': archive });
    const host = makeHost();
    const lock = path.join(host.folder, 'models.lock');
    const at = (name: string) => `${hub.endpoint}/org/bert/resolve/${commit}/${name}`;
    const bin = `#sha256=${sha256(file)}`;
    const one = await host.resolve(`${at('m.bin')}?token=secret${bin}`, { lock });
    expect(one.exact).toBe(at('m.bin') + bin);
    expect(Object.keys(textsBelow(one.directory))).toEqual(['m.bin']);
    const tar = await host.resolve(`${at('m.tar')}#sha256=${sha256(archive)}`, { lock });
    expect(Object.keys(textsBelow(tar.directory))).toEqual(['config.json', 'sub/weights.bin']);
    expect(fs.readFileSync(lock, 'utf8')).not.toContain('secret');
    hub.requests.length = 0;
    const offline = await host.resolve(`${at('m.bin')}?token=other${bin}`, { lock, offline: true });
    expect(offline).toMatchObject({ directory: one.directory, done: 'kept' });
    expect(hub.requests).toEqual([]);
    const wrong = `${at('m.bin')}#sha256=${sha256('other')}`;
    await expect(host.resolve(wrong)).rejects.toMatchObject({ code: 'corrupt-source' });
  });

  it('takes a snapshot of a directory, which may change afterwards', async () => {
    const host = makeHost();
    const folder = path.join(host.folder, 'bert');
    fs.mkdirSync(path.join(folder, 'empty'), { recursive: true });
    fs.writeFileSync(path.join(folder, 'run.sh'), 'echo', { mode: 0o755 });
    fs.symlinkSync('run.sh', path.join(folder, 'link'));
    const taken = await host.resolve('local:bert');
    expect(taken.exact).toBe(`local:bert#sha256=${taken.tree}`);
    fs.writeFileSync(path.join(folder, 'run.sh'), 'other');
    expect(fs.readFileSync(path.join(taken.directory, 'link'), 'utf8')).toBe('echo');
    expect(fs.statSync(path.join(taken.directory, 'run.sh')).mode & 0o777).toBe(0o555);
    expect(fs.readdirSync(path.join(taken.directory, 'empty'))).toEqual([]);
    expect((await host.resolve(taken.exact)).done).toBe('kept');
    fs.rmSync(host.cache, { recursive: true });
    await expect(host.resolve(taken.exact)).rejects.toMatchObject({ code: 'drift' });
  });

  it('applies the policy of checks', async () => {
    const host = makeHost({ MSTORE_VALIDATE_POLICY: 'deny' });
    fs.mkdirSync(path.join(host.folder, 'bad'));
    fs.writeFileSync(path.join(host.folder, 'bad/model.safetensors'), 'no header');
    await expect(host.resolve('local:bad')).rejects.toMatchObject({
      code: 'validation-refused',
      hint: expect.stringContaining('Nothing was taken'),
    });
    const lax = makeHost();
    fs.cpSync(path.join(host.folder, 'bad'), path.join(lax.folder, 'bad'), { recursive: true });
    const taken = await lax.resolve('local:bad');
    expect(taken.warnings.join()).toContain('model.safetensors');
  });
});

describe('the directory in the cache', () => {
  it('is healed from the remote, whatever was done to it', async () => {
    const { remotes } = await published();
    const host = makeHost();
    const { directory } = await host.resolve('bert@v1', { remotes });
    const at = (name: string) => path.join(directory, name);
    const kinds: Record<string, () => void> = {
      'config.json has other bytes': () =>
        damage(at('config.json'), (file) => fs.writeFileSync(file, '{"v":9}')),
      'weights.bin has 3 bytes, not 200000': () =>
        damage(at('weights.bin'), (file) => fs.truncateSync(file, 3)),
      'weights.bin is missing': () => damage(at('weights.bin'), (file) => fs.rmSync(file)),
      'extra.py does not belong there': () =>
        damage(at('extra.py'), (file) => fs.writeFileSync(file, 'x')),
      '.git does not belong there': () => damage(at('.git'), (file) => fs.mkdirSync(file)),
      'config.json has another mode': () =>
        damage(at('config.json'), (file) => fs.chmodSync(file, 0o755)),
      'config.json is no file': () =>
        damage(at('config.json'), (file) => {
          fs.rmSync(file);
          fs.symlinkSync('weights.bin', file);
        }),
      'it is no directory': () => {
        fs.chmodSync(directory, 0o755);
        fs.rmSync(directory, { recursive: true });
        fs.writeFileSync(directory, '');
      },
    };
    for (const [problem, harm] of Object.entries(kinds)) {
      harm();
      const healed = await host.resolve('bert@v1', { remotes });
      expect(healed.done, problem).toBe('healed');
      expect(healed.warnings, problem).toEqual([
        `the copy in the cache was damaged: ${problem} (${directory})`,
      ]);
      expect(textsBelow(directory), problem).toEqual(first);
    }
    expect(fs.readdirSync(path.join(host.cache, 'models'))).toEqual([path.basename(directory)]);
  });

  it('is an error where it cannot be healed, and nothing of it is printed', async () => {
    const { ws, remotes } = await published();
    const host = makeHost();
    const { directory, exact } = await host.resolve('bert@v1', { remotes });
    damage(path.join(directory, 'config.json'), (file) => fs.writeFileSync(file, 'x'));
    fs.renameSync(ws.remote, `${ws.remote}-away`);
    await expect(host.resolve(exact)).rejects.toMatchObject({
      code: 'unknown-remote',
      hint: expect.stringContaining('The copy in the cache was damaged: config.json has 1 bytes'),
    });
  });

  it('is found out by its bytes, though the list of it is gone or another', async () => {
    const { remotes } = await published();
    const host = makeHost();
    const { directory, tree } = await host.resolve('bert@v1', { remotes });
    const list = path.join(host.cache, 'lists', tree);
    for (const text of [undefined, '[]', 'garbled']) {
      if (text === undefined) fs.rmSync(list);
      else fs.writeFileSync(list, text);
      expect((await host.resolve('bert@v1', { remotes })).done).toBe('kept');
      damage(path.join(directory, 'config.json'), (file) => fs.writeFileSync(file, '{"v":7}'));
      expect((await host.resolve('bert@v1', { remotes })).done).toBe('healed');
    }
  });

  it('is of one of two processes that build it at once', async () => {
    const { remotes } = await published();
    const host = makeHost();
    const all = await Promise.all(
      Array.from({ length: 4 }, () => host.resolve('bert@v1', { remotes })),
    );
    expect(new Set(all.map(({ directory }) => directory)).size).toBe(1);
    expect(all.filter(({ done }) => done === 'written')).toHaveLength(1);
    expect(textsBelow(all[0]?.directory ?? '')).toEqual(first);
  });
});

describe('the cache', () => {
  it('is healed by one of several that find the damage at once', async () => {
    const { remotes } = await published();
    const host = makeHost();
    const { directory } = await host.resolve('bert@v1', { remotes });
    for (let round = 0; round < 3; round++) {
      damage(path.join(directory, 'weights.bin'), (file) => fs.writeFileSync(file, 'x'));
      const all = await Promise.all(
        Array.from({ length: 4 }, () => host.resolve('bert@v1', { remotes })),
      );
      expect(all.map(({ directory: place }) => place)).toEqual(Array(4).fill(directory));
      expect(textsBelow(directory)).toEqual(first);
    }
    expect(fs.readdirSync(path.join(host.cache, 'models'))).toEqual([path.basename(directory)]);
  });

  it('is where the environment says, and no relative path is guessed at', async () => {
    const host = makeHost({ MSTORE_CACHE: '', XDG_CACHE_HOME: '' });
    fs.mkdirSync(path.join(host.folder, 'm'));
    fs.writeFileSync(path.join(host.folder, 'm/x'), 'x');
    const home = String(host.env['HOME']);
    const at = async (env: NodeJS.ProcessEnv): Promise<string> => {
      const surroundings = { ...host.surroundings, env: { ...host.env, ...env } };
      const { directory } = await host.resolve('local:m', { surroundings });
      return path.relative(home, path.dirname(path.dirname(directory)));
    };
    expect(await at({})).toBe('.cache/mstore');
    expect(await at({ XDG_CACHE_HOME: path.join(home, 'xdg') })).toBe('xdg/mstore');
    expect(await at({ XDG_CACHE_HOME: 'xdg' })).toBe('.cache/mstore');
    expect(await at({ MSTORE_CACHE: '~/mine' })).toBe('mine');
    await expect(at({ MSTORE_CACHE: 'mine' })).rejects.toMatchObject({ code: 'usage' });
  });
});

describe('resolve --to', () => {
  it('writes a directory whole, keeps it while it is right, and refuses another', async () => {
    const { remotes } = await published();
    const host = makeHost();
    const to = path.join(host.folder, 'deep/bert');
    const done = async (reference: string, more = {}) =>
      (await host.resolve(reference, { remotes, to, ...more })).done;
    expect(await done('bert@v1')).toBe('written');
    expect(textsBelow(to)).toEqual(first);
    expect(fs.existsSync(path.join(host.cache, 'models'))).toBe(false);
    expect(await done('bert@v1')).toBe('kept');
    expect(await done('bert@v1', { force: true })).toBe('kept');
    await expect(done('bert@v2')).rejects.toMatchObject({ code: 'destination-exists' });
    expect(textsBelow(to)).toEqual(first);
    fs.writeFileSync(path.join(to, 'extra'), '');
    await expect(done('bert@v1')).rejects.toMatchObject({
      code: 'destination-exists',
      message: expect.stringContaining('extra does not belong there'),
    });
    expect(await done('bert@v2', { force: true })).toBe('written');
    expect(textsBelow(to)).toEqual(second);
    expect(fs.readdirSync(path.join(host.folder, 'deep'))).toEqual(['bert']);
  });

  it('takes from the cache what is there, verified once more', async () => {
    const { ws, remotes } = await published();
    const host = makeHost();
    const { exact } = await host.resolve('bert@v1', { remotes });
    fs.renameSync(ws.remote, `${ws.remote}-away`);
    const to = path.join(host.folder, 'bert');
    expect((await host.resolve(exact, { to })).directory).toBe(to);
    expect(textsBelow(to)).toEqual(first);
    fs.writeFileSync(path.join(to, 'config.json'), 'mine');
  });

  it('refuses places that hold more than a model', async () => {
    const { remotes } = await published();
    const host = makeHost();
    for (const to of [host.folder, path.dirname(host.folder), path.join(host.cache, 'x')]) {
      await expect(host.resolve('bert@v1', { remotes, to, force: true })).rejects.toMatchObject({
        code: 'usage',
      });
    }
  });
});
