import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, it } from 'vitest';
import { sha256 } from '../../../src/base/digest.ts';
import type { ChunkIndex } from '../../../src/index/chunk-index.ts';
import { parseFooter } from '../../../src/pack/format.ts';
import { Store } from '../../../src/store/local-store.ts';
import { readBlob, storeBlobs } from '../../support/blobs.ts';
import { madeId, makeStore } from '../../support/made-stores.ts';
import { tempFolder } from '../../support/temp.ts';
import { withTmpfs } from '../../support/tmpfs.ts';

const chunks = 90_000;
const rows = 3_000;

/** A store of 30 packs, in which no index was opened yet. */
function made(): { folder: string; store: string; tables: () => string[] } {
  const folder = tempFolder();
  const store = path.join(folder, 'store');
  expect(makeStore(store, chunks, rows)).toBe(30);
  const below = path.join(store, 'tables');
  const tables = () => fs.readdirSync(below).map((name) => path.join(below, name));
  return { folder, store, tables };
}

/** Chunks that are found or not as they should; a sample, the edges of packs with it. */
function wrongIn(index: ChunkIndex, lost: (n: number) => boolean = () => false): number {
  let wrong = 0;
  for (let n = 0; n < chunks; n += n % rows === 0 ? 1 : 37) {
    if (index.has(madeId(n)) === lost(n)) wrong++;
    if (index.has(madeId(chunks + n))) wrong++;
  }
  return wrong;
}

function flip(file: string, at: number): void {
  const bytes = fs.readFileSync(file);
  bytes[at] = (bytes[at] as number) ^ 1;
  fs.writeFileSync(file, bytes);
}

describe('the chunk tables of a store', () => {
  it('are written when there are many chunks, and are all that the next one opens', () => {
    const { store, tables } = made();
    expect(wrongIn(new Store(store).index())).toBe(0);
    expect(tables().length).toBeGreaterThan(0);
    const index = new Store(store).index();
    expect(index.counts).toMatchObject({ footersLoaded: 0, fresh: 24_000 });
    expect(index.rows).toBe(chunks);
    expect(wrongIn(index)).toBe(0);
  });

  it('can be deleted, cut short, replaced by anything, and come again', () => {
    const { store, tables } = made();
    new Store(store).index();
    const first = tables()[0] as string;
    const whole = fs.readFileSync(first);
    const damages: Array<() => void> = [
      () => fs.rmSync(first),
      () => fs.truncateSync(first, 40_960),
      () => fs.writeFileSync(first, ''),
      () => fs.writeFileSync(first, Buffer.alloc(whole.length)),
      () => flip(first, 100),
      () => flip(first, whole.length - 200),
      () => flip(first, whole.length - 1),
      () => {
        fs.rmSync(first);
        fs.mkdirSync(first);
      },
    ];
    for (const [n, damage] of damages.entries()) {
      fs.rmSync(path.join(store, 'tables'), { recursive: true });
      fs.mkdirSync(path.join(store, 'tables'));
      fs.writeFileSync(first, whole);
      damage();
      expect(wrongIn(new Store(store).index()), `damage ${n}`).toBe(0);
    }
    fs.rmSync(path.join(store, 'tables'), { recursive: true });
    expect(wrongIn(new Store(store).index())).toBe(0);
    expect(tables().length).toBeGreaterThan(0);
  });

  it('leave unfinished files where others clear them', async () => {
    const { folder, store } = made();
    fs.mkdirSync(path.join(store, 'tmp'));
    fs.writeFileSync(
      path.join(store, 'tmp', 'aaaaaaaaaaaa-1-0123456789abcdef.tmp'),
      'half a table',
    );
    expect(wrongIn(new Store(store).index())).toBe(0);
    const { digests } = await storeBlobs(folder, [Buffer.from('more')]);
    expect(readBlob(folder, digests[0] ?? sha256('')).toString()).toBe('more');
    expect(wrongIn(new Store(store).index())).toBe(0);
    expect(fs.readdirSync(path.join(store, 'tmp'))).toHaveLength(1);
  });

  it('are done without in a store that cannot be written', async () => {
    await withTmpfs(16 * 1024 * 1024, (tmpfs) => {
      const store = path.join(tmpfs.folder, 'store');
      makeStore(store, chunks, rows);
      tmpfs.remount('ro');
      expect(wrongIn(new Store(store).index())).toBe(0);
      tmpfs.remount('rw');
      new Store(store).index();
      tmpfs.remount('ro');
      const index = new Store(store).index();
      expect(index.counts).toMatchObject({ footersLoaded: 0, fresh: 24_000 });
      expect(wrongIn(index)).toBe(0);
      tmpfs.remount('rw');
    });
  });

  it('are done without where their folder cannot be made', () => {
    const { store } = made();
    fs.writeFileSync(path.join(store, 'tables'), 'a file');
    expect(wrongIn(new Store(store).index())).toBe(0);
  });

  it('do not hide damage of a pack that they cover', () => {
    const { store } = made();
    const covered = [...new Store(store).index().packs()].slice(0, 22);
    const index = (pack: string) => path.join(store, 'index', pack.slice(0, 2), `${pack}.idx`);
    const pack = (id: string) => path.join(store, 'packs', id.slice(0, 2), `${id}.pack`);
    const [one = '', other = '', gone = '', short = ''] = covered.map(({ id }) => id as string);
    const footers = new Map(
      covered.map(({ id }) => [id, parseFooter(fs.readFileSync(index(id)), id)]),
    );
    const first = (id: string) =>
      [...Array(30).keys()].find((n) =>
        madeId(n * rows).equals(footers.get(id as never)?.bytes.subarray(16, 48) as Buffer),
      );
    // The trailer of these packs stands behind a hole: without an index object they are damaged.
    for (const id of [one, other]) flip(index(id), 30);
    fs.rmSync(pack(gone));
    fs.truncateSync(pack(short), 1_000);
    const lost = [one, other, gone, short].map(first);
    const opened = new Store(store);
    expect([...opened.damagedPacks().keys()]).toEqual([short]);
    expect(wrongIn(opened.index(), (n) => lost.includes(Math.floor(n / rows)))).toBe(0);
    expect([...opened.damagedPacks().keys()].sort()).toEqual([one, other, short].sort());
    expect(opened.footer(one as never)).toBeUndefined();
    expect([...opened.index().packs()]).toHaveLength(26);
  });

  it('let a chunk be found in the newest pack, by the time of its file', () => {
    const { store } = made();
    const twin = tempFolder();
    makeStore(path.join(twin, 'store'), 1_000, 1_000);
    fs.cpSync(path.join(twin, 'store'), store, { recursive: true });
    const small = [...new Store(path.join(twin, 'store')).index().packs()][0]?.id as string;
    const file = path.join(store, 'packs', small.slice(0, 2), `${small}.pack`);
    for (const [seconds, newest] of [
      [4_000_000_000, true],
      [1_000, false],
    ] as const) {
      fs.utimesSync(file, seconds, seconds);
      const index = new Store(store).index();
      expect(index.find(madeId(7))?.pack.id === small).toBe(newest);
    }
  });
});
