import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, it } from 'vitest';
import { sha256 } from '../../src/base/digest.ts';
import type { GcPlace } from '../../src/flow/gc/place.ts';
import { usage } from '../../src/flow/usage.ts';
import { TableWriter } from '../../src/index/chunk-table.ts';
import { localRemote } from '../../src/remote/local.ts';
import { counting } from '../../src/remote/wrappers/counting.ts';
import { Store } from '../../src/store/local-store.ts';
import { RemoteStore } from '../../src/store/remote-store.ts';
import { TableFolder } from '../../src/store/table-folder.ts';
import {
  emptyRemote,
  makePlainProject,
  type Project,
  withRemotes,
} from '../support/flow-project.ts';
import { noise } from '../support/flow-scratch.ts';
import { openedBelow } from '../support/flow-state.ts';
import { remoteOf } from '../support/gc.ts';
import { madeId, makeStore } from '../support/made-stores.ts';
import { tempFolder } from '../support/temp.ts';

const chunks = 200_000;
/** Rows of a pack: 200 packs. */
const rows = 1_000;
const jobs = { jobs: 4 };

/** A project with a file of 3 MB, in whose store 200,000 other chunks are. */
async function largeProject(remote?: string): Promise<{ project: Project; store: string }> {
  const remotes = remote === undefined ? {} : withRemotes({ origin: localRemote(remote) });
  const project = await makePlainProject(remotes);
  project.write('model.bin', noise(3_000_000, 'one file'));
  await project.add('model.bin');
  const store = project.at('.modelstore/store');
  makeStore(store, chunks, rows);
  new Store(store).index();
  return { project, store };
}

const isIndex = (name: string) => name.startsWith('index/');

describe('a command that touches one file of a large store', () => {
  it('checks it out without loading the index of the rest', async () => {
    const { project, store } = await largeProject();
    fs.rmSync(project.at('model.bin'));
    const opened = await openedBelow(store, () => project.checkout(['model.bin']));
    // At most the packs that no table covers, and that of the file.
    const bytes = opened
      .filter(isIndex)
      .reduce((sum, name) => sum + fs.statSync(path.join(store, name)).size, 0);
    expect(bytes).toBeLessThan(0.35 * chunks * 52);
    expect(opened.filter((name) => name.startsWith('packs/'))).toHaveLength(1);
    expect(project.read('model.bin').equals(noise(3_000_000, 'one file'))).toBe(true);
  });

  it('adds another one so as well', async () => {
    const { project, store } = await largeProject();
    project.write('other.bin', Buffer.concat([noise(2_000_000, 'another'), noise(9, 'x')]));
    const opened = await openedBelow(store, () => project.add('other.bin'));
    expect(opened.filter(isIndex).length).toBeLessThan(70);
    expect((await project.status()).paths.map(({ state }) => state)).toEqual([
      'unchanged',
      'unchanged',
    ]);
  });
});

/** Puts a table into a folder that covers the packs of a store, with right sums and without a row. */
function lie(folder: string, store: string): void {
  const packs = [...new Store(store).index().packs()];
  expect(packs.length).toBeGreaterThan(0);
  new TableFolder(folder, path.join(store, 'tmp')).write((write) =>
    new TableWriter(Buffer.alloc(8), packs, write).finish(),
  );
}

describe('a chunk table that wrongly lacks chunks', () => {
  it('does not make a file look missing', async () => {
    const project = await makePlainProject();
    project.write('model.bin', noise(3_000_000, 'one file'));
    await project.add('model.bin');
    const store = project.at('.modelstore/store');
    lie(path.join(store, 'tables'), store);
    const blob = sha256(noise(3_000_000, 'one file'));
    expect(new Store(store).has(blob)).toBe(false);
    fs.rmSync(project.at('model.bin'));
    await project.checkout(['model.bin']);
    expect(project.read('model.bin').equals(noise(3_000_000, 'one file'))).toBe(true);
    expect(new Store(store).has(blob)).toBe(true);
  });

  /** A project whose packs are on its remote alone, with a table of it that lies. */
  async function misled(): Promise<{ project: Project; place: GcPlace }> {
    const remote = await emptyRemote();
    const remotes = withRemotes({ origin: remote });
    const project = await makePlainProject(remotes);
    project.write('model.bin', noise(3_000_000, 'one file'));
    await project.add('model.bin');
    await project.push();
    const store = project.at('.modelstore/store');
    const { id } = await RemoteStore.open(remote, new Store(store));
    lie(project.at(`.modelstore/store/remotes/${id}/tables`), store);
    // The packs themselves are lost here; their index objects are kept of the remote.
    fs.mkdirSync(path.join(store, 'remotes', id), { recursive: true });
    fs.renameSync(path.join(store, 'index'), path.join(store, 'remotes', id, 'index'));
    fs.rmSync(path.join(store, 'packs'), { recursive: true });
    const there = await RemoteStore.open(remote, new Store(store));
    expect((await there.index(jobs)).counts).toMatchObject({ tables: 1, fresh: 0 });
    return { project, place: await remoteOf(project) };
  }

  it('does not make a remote seem to lack what it has', async () => {
    const { project } = await misled();
    await project.fetch();
    fs.rmSync(project.at('model.bin'));
    await project.checkout(['model.bin']);
    expect(project.read('model.bin').equals(noise(3_000_000, 'one file'))).toBe(true);
  });

  it('does not make its usage call anything absent', async () => {
    const { project, place } = await misled();
    const { entries } = await usage(await project.open(), place);
    expect(entries).toMatchObject([{ path: 'model.bin', absent: 0 }]);
    expect(entries[0]?.stored).toBeGreaterThan(2_900_000);
  });
});

describe('the index of a large remote', () => {
  /** A remote of 200,000 chunks. */
  function largeRemote(): string {
    const remote = tempFolder();
    makeStore(remote, chunks, rows);
    fs.cpSync(
      path.resolve(import.meta.dirname, '../fixtures/format-1/remote/mstore.json'),
      path.join(remote, 'mstore.json'),
    );
    return remote;
  }

  it('is fetched once; then only its tables are opened', async () => {
    const folder = tempFolder();
    const remote = largeRemote();
    for (const gets of [201, 1]) {
      const counted = counting(localRemote(remote));
      const there = await RemoteStore.open(counted, new Store(folder));
      const index = await there.index(jobs);
      expect(counted.counts().get.calls).toBe(gets);
      for (let n = 0; n < chunks; n += 997) expect(index.has(madeId(n))).toBe(true);
      expect(index.has(madeId(chunks))).toBe(false);
    }
    makeStore(remote, chunks + 500, chunks + 500);
    const counted = counting(localRemote(remote));
    const there = await RemoteStore.open(counted, new Store(folder));
    expect((await there.index(jobs)).has(madeId(chunks + 1))).toBe(true);
    expect(counted.counts().get.calls).toBe(2);
  });

  it('outlives damage of what is kept of it', async () => {
    const folder = tempFolder();
    const remote = largeRemote();
    const open = () => RemoteStore.open(localRemote(remote), new Store(folder));
    await (await open()).index(jobs);
    const kept = path.join(folder, 'remotes', (await open()).id);
    const shards = fs.readdirSync(path.join(kept, 'index'));
    for (const shard of shards) {
      const below = path.join(kept, 'index', shard);
      for (const name of fs.readdirSync(below)) fs.truncateSync(path.join(below, name), 1_000);
    }
    const there = await open();
    const index = await there.index(jobs);
    expect(index.has(madeId(0)) && index.has(madeId(chunks - 1))).toBe(false);
    for (let n = 0; n < chunks; n += 499) index.has(madeId(n));
    expect(await there.recheck(jobs)).toBe(true);
    for (let n = 0; n < chunks; n += 499) expect(index.has(madeId(n))).toBe(true);
    fs.rmSync(path.join(kept, 'index'), { recursive: true });
    const again = await (await open()).index(jobs);
    for (let n = 0; n < chunks; n += 499) expect(again.has(madeId(n))).toBe(true);
  });

  it('does not make pushing one file load all of it', async () => {
    const remote = largeRemote();
    const { project, store } = await largeProject(remote);
    await project.push(['model.bin']);
    project.write('model.bin', noise(3_000_000, 'the next version'));
    await project.add('model.bin');
    const opened = await openedBelow(store, () => project.push(['model.bin']));
    const indexes = opened.filter((name) => /(^|\/)index\//.test(name));
    expect(indexes.length).toBeLessThan(150);
  });
});
