import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, it } from 'vitest';
import { syncOnce } from '../../src/flow/sync/sync.ts';
import { noise } from '../support/flow-scratch.ts';
import { damage, textsBelow } from '../support/resolving.ts';
import { type Follower, goBack, publishedAndFollowed } from '../support/syncing.ts';
import { tempFolder } from '../support/temp.ts';
import { withTmpfs } from '../support/tmpfs.ts';

const one = { 'config.json': '{"v":1}', 'weights.bin': 'one '.repeat(50_000), same: 'same' };
const two = { 'config.json': '{"v":2}', 'weights.bin': 'two '.repeat(50_000), same: 'same' };

const followed = () => publishedAndFollowed({ v1: one, v2: two });

/** Files and links below a folder, with their bytes. */
function all(folder: string): Record<string, string> {
  return Object.fromEntries(
    fs.readdirSync(folder, { recursive: true, encoding: 'utf8' }).map((name) => {
      const full = path.join(folder, name);
      const stat = fs.lstatSync(full);
      if (stat.isSymbolicLink()) return [name, `-> ${fs.readlinkSync(full)}`];
      return [name, stat.isFile() ? fs.readFileSync(full, 'latin1') : 'folder'];
    }),
  );
}

const nothingLeft = (follower: Follower): void => {
  const left = fs
    .readdirSync(follower.directory, { recursive: true, encoding: 'utf8' })
    .filter((name) => /\.(?:tmp|lock)$/.test(name));
  expect(left).toEqual([]);
};

describe('sync and what it did not make', () => {
  it('touches no directory, file or link in its way, and says which it is', async () => {
    const { ws, follower } = await followed();
    const put = (name: string, make: (full: string) => void): void => {
      fs.rmSync(follower.directory, { recursive: true, force: true });
      fs.mkdirSync(follower.directory, { recursive: true });
      make(follower.at(name));
    };
    const makings: Record<string, (full: string) => void> = {
      v1: (full) => {
        fs.mkdirSync(full);
        fs.writeFileSync(path.join(full, 'mine'), 'mine');
      },
      current: (full) => fs.writeFileSync(full, 'mine'),
      latest: (full) => fs.mkdirSync(full),
      '.mstore-sync': (full) => fs.symlinkSync(tempFolder(), full),
    };
    const targets: Record<string, readonly string[]> = {
      v1: [tempFolder(), 'nowhere'],
      current: ['../elsewhere', '/etc', 'v0', '.hidden'],
      latest: ['v1'],
    };
    const cases = [
      ...Object.entries(makings),
      ...Object.entries(targets).flatMap(([name, places]) =>
        places.map((place) => [name, (full: string) => fs.symlinkSync(place, full)] as const),
      ),
      ['v1', (full: string) => fs.writeFileSync(full, 'mine')] as const,
    ];
    for (const [name, make] of cases) {
      put(name, make);
      const before = all(follower.directory);
      const error = await follower.refused();
      expect(error, name).toMatchObject({ code: 'destination-exists' });
      expect(error.message, name).toContain(follower.at(name));
      const after = all(follower.directory);
      for (const [there, what] of Object.entries(before)) expect(after[there], there).toBe(what);
      expect(follower.receipt()).toBeUndefined();
    }
    // Moved away, as the hint says, it goes on.
    put('v1', (full) => fs.mkdirSync(`${full}-mine`));
    await follower.once();
    await ws.deploy('v2');
    fs.mkdirSync(follower.at('v2'));
    expect(await follower.refused()).toMatchObject({ code: 'destination-exists' });
    expect(follower.texts()).toEqual(one);
    expect(fs.existsSync(follower.at('v1-mine'))).toBe(true);
  });

  it('does not remove what was put in the place of an old version', async () => {
    const { ws, follower } = await publishedAndFollowed({ v1: one, v2: two, v3: { a: 'a' } });
    await follower.once();
    await ws.deploy('v2');
    await follower.once();
    fs.renameSync(follower.at('v1'), follower.at('moved'));
    fs.mkdirSync(follower.at('v1'));
    fs.writeFileSync(follower.at('v1/mine'), 'mine');
    await ws.deploy('v3');
    const { removed } = await follower.once();
    expect(removed).toEqual([]);
    expect(fs.readFileSync(follower.at('v1/mine'), 'utf8')).toBe('mine');
    expect(textsBelow(follower.at('moved'))).toEqual(one);
    expect(follower.warnings.join()).toContain('v1 stays: it is not what sync built');
  });

  it('refuses versions that have the names of its own files, and other models', async () => {
    const { ws, follower } = await publishedAndFollowed({ current: one });
    expect(await follower.refused()).toMatchObject({ code: 'bad-name' });
    await ws.publish('receipt.json', two);
    await ws.deploy('receipt.json');
    expect(await follower.refused()).toMatchObject({ code: 'bad-name' });
    expect(fs.existsSync(follower.at('current'))).toBe(false);
    await ws.publish('v3', two);
    await ws.deploy('v3');
    await follower.once();
    expect(await follower.refused({ environment: 'staging' })).toMatchObject({
      code: 'destination-exists',
    });
    expect(await follower.refused({ model: '../x' })).toMatchObject({ code: 'bad-name' });
  });

  it('refuses repositories, workspaces, stores and remotes', async () => {
    const { ws, follower } = await followed();
    for (const to of [ws.root, ws.remote, ws.store]) {
      const before = fs.readdirSync(to);
      expect(await follower.refused({ to })).toMatchObject({ code: 'usage' });
      expect(fs.readdirSync(to)).toEqual(before);
    }
  });

  it('keeps a file that is no receipt, and writes through no link', async () => {
    const { follower } = await followed();
    const other = path.join(tempFolder(), 'other');
    fs.mkdirSync(follower.directory);
    for (const make of [
      () => fs.writeFileSync(follower.at('receipt.json'), '{"mine": 1}'),
      () => fs.symlinkSync(other, follower.at('receipt.json')),
      () => fs.mkdirSync(follower.at('receipt.json')),
    ]) {
      make();
      const before = all(follower.directory)['receipt.json'];
      expect(await follower.refused()).toMatchObject({ code: 'destination-exists' });
      expect(all(follower.directory)['receipt.json']).toBe(before);
      fs.rmSync(follower.at('receipt.json'), { recursive: true });
    }
    const elsewhere = path.join(tempFolder(), 'r.json');
    await follower.once({ receipt: elsewhere });
    expect(JSON.parse(fs.readFileSync(elsewhere, 'utf8'))).toMatchObject({ version: 'v1' });
    expect(fs.existsSync(follower.at('receipt.json'))).toBe(false);
  });
});

describe('sync and damage', () => {
  it('builds anew what was damaged, and takes what is whole of it from here', async () => {
    const big = noise(4_000_000, 'big');
    const { ws, follower } = await publishedAndFollowed({
      v1: { ...one, 'big.bin': big },
      v2: two,
    });
    await follower.once();
    damage(follower.at('v1/config.json'), (file) => fs.writeFileSync(file, '{"v":9}'));
    const healed = await follower.once();
    expect(healed).toMatchObject({ done: 'healed', switched: false });
    expect(healed.bytesReceived).toBeLessThan(1_000_000);
    expect(follower.texts()).toEqual({ ...one, 'big.bin': big.toString('latin1') });
    expect(follower.warnings.join()).toContain('config.json has other bytes');
    expect(follower.live()).toBe('v1');
    expect(fs.statSync(follower.at('v1/config.json')).nlink).toBe(1);
    // One that is not live.
    await ws.deploy('v2');
    await follower.once();
    damage(follower.at('v1/big.bin'), (file) => fs.truncateSync(file, 5));
    fs.writeFileSync(follower.at('v1/more'), 'more');
    await goBack(ws, 'v1');
    expect(await follower.once()).toMatchObject({ done: 'healed', switched: true });
    expect(follower.texts()['big.bin']?.length).toBe(4_000_000);
    nothingLeft(follower);
  });

  it('does not take damaged files of one version into another', async () => {
    const big = noise(4_000_000, 'big');
    const edited = Buffer.concat([big, Buffer.from('more')]);
    const { ws, follower } = await publishedAndFollowed({
      v1: { ...one, 'big.bin': big },
      v2: { ...two, 'big.bin': edited },
    });
    await follower.once();
    await ws.deploy('v2');
    for (const name of ['same', 'big.bin']) {
      damage(follower.at(`v1/${name}`), (file) => {
        const bytes = fs.readFileSync(file);
        bytes[0] = (bytes[0] ?? 0) ^ 1;
        fs.writeFileSync(file, bytes);
      });
    }
    await follower.once();
    expect(follower.texts()).toEqual({ ...two, 'big.bin': edited.toString('latin1') });
    expect(follower.warnings.join()).toContain('all of v2 is fetched');
    nothingLeft(follower);
  });

  it('takes over what is whole where all that it knew is lost', async () => {
    const { ws, follower } = await followed();
    await follower.once();
    for (const lose of [
      () => fs.writeFileSync(follower.at('.mstore-sync/state.json'), 'nothing'),
      () => fs.rmSync(follower.at('.mstore-sync'), { recursive: true }),
    ]) {
      lose();
      const inode = fs.statSync(follower.at('v1')).ino;
      expect(await follower.once()).toMatchObject({ done: 'kept', switched: false });
      expect(fs.statSync(follower.at('v1')).ino).toBe(inode);
    }
    expect(follower.warnings.join()).toContain('cannot be used');
    // A copy of all of it, elsewhere, is as good.
    const copy = path.join(tempFolder(), 'copy');
    fs.cpSync(follower.directory, copy, { recursive: true, verbatimSymlinks: true });
    await ws.deploy('v2');
    const moved = await syncOnce(follower.options({ to: copy }), follower.surroundings);
    expect(moved).toMatchObject({ switched: true, previous: 'v1' });
    expect(textsBelow(path.join(copy, 'v1'))).toEqual(one);
  });

  it('shares files by hard links only where that is asked for', async () => {
    const { ws, follower } = await followed();
    await follower.once();
    await ws.deploy('v2');
    const result = await follower.once({ link: ['hardlink'] });
    expect(result).toMatchObject({ bytesShared: 4, bytesCopied: 0 });
    expect(fs.statSync(follower.at('v2/same')).ino).toBe(fs.statSync(follower.at('v1/same')).ino);
    await goBack(ws, 'v1');
    await follower.once();
    expect(follower.texts()).toEqual(one);
  });
});

describe('sync and a disk that is full', () => {
  it('says so before it fetches, and leaves what is live', async () => {
    await withTmpfs(12_000_000, async ({ folder }) => {
      const { ws, follower } = await publishedAndFollowed({
        v1: { a: noise(2_000_000, 'a') },
        v2: { a: noise(20_000_000, 'b') },
        v3: { a: noise(6_000_000, 'c') },
      });
      const to = path.join(folder, 'srv');
      await follower.once({ to });
      for (const version of ['v2', 'v3']) {
        await ws.deploy(version);
        const error = await follower.refused({ to });
        expect(error).toMatchObject({ code: 'no-space' });
        expect(fs.readlinkSync(path.join(to, 'current'))).toBe('v1');
        expect(fs.readdirSync(to).sort()).toEqual(['.mstore-sync', 'current', 'latest', 'v1']);
        expect(fs.existsSync(path.join(to, 'receipt.json'))).toBe(false);
      }
      await goBack(ws, 'v1');
      expect(await follower.once({ to })).toMatchObject({ done: 'kept' });
    });
  });
});
