import { describe, expect, it } from 'vitest';
import { type Digest, sha256, sha256Raw } from '../../../src/base/digest.ts';
import { ChunkIndex } from '../../../src/index/chunk-index.ts';
import { ChunkKeys } from '../../../src/index/chunk-keys.ts';
import { BlockCache, openTable, TableDamage, TableWriter } from '../../../src/index/chunk-table.ts';
import { writeFooters } from '../../../src/index/table-merge.ts';
import type { PackFooter } from '../../../src/pack/format.ts';
import { MadePacks, MemoryTables } from '../../support/made-index.ts';
import { footerOf } from '../../support/packs.ts';

const idOf = (n: number) => sha256Raw(Buffer.from(String(n)));
const idsFrom = (first: number, count: number) =>
  Array.from({ length: count }, (_, i) => idOf(first + i));
const seed = Buffer.from('0123456789abcdef', 'hex');

/** Writes a table of footers; returns what it finds of an id. */
function tableOf(tables: MemoryTables, footers: readonly PackFooter[]) {
  const keys = new ChunkKeys(seed);
  const file = tables.write((write) => {
    const writer = new TableWriter(seed, footers, write);
    writeFooters(keys, footers, writer);
    return writer.finish();
  });
  const table = openTable(file);
  const cache = new BlockCache();
  return (id: Buffer): number[] => {
    keys.make(id, 0);
    const found: number[] = [];
    table?.find(keys.high, keys.low, cache, found);
    return found;
  };
}

describe('keys of chunks', () => {
  it('differ by every byte of an id and by the seed', () => {
    const keys = new ChunkKeys(seed);
    const seen = new Set<string>();
    for (let at = 0; at < 32; at++) {
      for (const bit of [1, 128]) {
        const id = Buffer.alloc(32);
        id[at] = bit;
        keys.make(id, 0);
        seen.add(`${keys.high} ${keys.low}`);
      }
    }
    const other = new ChunkKeys(Buffer.from('0123456789abcdee', 'hex'));
    other.make(Buffer.alloc(32), 0);
    seen.add(`${other.high} ${other.low}`);
    keys.make(Buffer.alloc(32), 0);
    seen.add(`${keys.high} ${keys.low}`);
    expect(seen.size).toBe(66);
  });

  it('are evenly spread for ids that nearly agree', () => {
    const keys = new ChunkKeys(seed);
    const counts = new Uint32Array(64);
    for (let n = 0; n < 64_000; n++) {
      const id = Buffer.alloc(32, 7);
      id.writeUInt32LE(n, 24);
      keys.make(id, 0);
      counts[keys.high >>> 26] = (counts[keys.high >>> 26] as number) + 1;
    }
    expect(Math.min(...counts)).toBeGreaterThan(800);
    expect(Math.max(...counts)).toBeLessThan(1_200);
  });
});

describe('a chunk table', () => {
  it.each([0, 1, 255, 256, 257, 5_000])('finds each of %i chunks, and no other', (count) => {
    const find = tableOf(new MemoryTables(), [
      footerOf(idsFrom(0, Math.floor(count / 2))),
      footerOf(idsFrom(Math.floor(count / 2), Math.ceil(count / 2))),
    ]);
    for (let n = 0; n < count; n++) {
      const half = Math.floor(count / 2);
      expect(find(idOf(n))).toEqual(n < half ? [0, n] : [1, n - half]);
    }
    for (const other of idsFrom(1_000_000, 500)) expect(find(other)).toEqual([]);
  });

  it('lists a chunk once for each pack, and no more than sixteen times', () => {
    const ids = idsFrom(0, 300);
    const packs = Array.from({ length: 40 }, (_, n) => footerOf([...ids, idOf(1_000 + n)]));
    const find = tableOf(new MemoryTables(), packs);
    for (const id of ids) {
      const found = find(id);
      expect(found.filter((_, i) => i % 2 === 0)).toEqual([...Array(16).keys()]);
    }
    const repeated = footerOf(Array.from({ length: 1_000 }, () => idOf(1)));
    expect(tableOf(new MemoryTables(), [repeated])(idOf(1))).toEqual([0, 0]);
  });

  it('with one byte changed is refused, or tells the damage when it is asked', () => {
    const tables = new MemoryTables();
    tableOf(tables, [footerOf(idsFrom(0, 600))]);
    const [[name, whole]] = [...tables.files] as [[string, Buffer]];
    for (let at = 0; at < whole.length; at += at < whole.length - 400 ? 97 : 1) {
      const bytes = Buffer.from(whole);
      bytes[at] = (bytes[at] as number) ^ 0x10;
      tables.files.set(name, bytes);
      const table = openTable(tables.open()[0] as never);
      if (table === undefined) continue;
      const blocks = () => table.readBlocks(0, table.blocks, Buffer.alloc(4096 * table.blocks));
      expect(blocks, `byte ${at}`).toThrow(TableDamage);
    }
  });

  it('cut short or made longer anywhere is refused', () => {
    const tables = new MemoryTables();
    tableOf(tables, [footerOf(idsFrom(0, 300))]);
    const [[name, whole]] = [...tables.files] as [[string, Buffer]];
    for (let length = 0; length < whole.length; length += 61) {
      tables.files.set(name, whole.subarray(0, length));
      expect(openTable(tables.open()[0] as never)).toBeUndefined();
    }
    tables.files.set(name, Buffer.concat([whole, Buffer.alloc(1)]));
    expect(openTable(tables.open()[0] as never)).toBeUndefined();
    const claims = Buffer.alloc(200);
    claims.write('MSTORETB', 144);
    claims.writeUInt32LE(1, 152);
    claims.fill(0xff, 156, 168);
    tables.files.set(name, claims);
    expect(openTable(tables.open()[0] as never)).toBeUndefined();
  });
});

describe('an index with tables', () => {
  /** Packs of ten chunks each, all in tables. */
  function made(count: number): MadePacks {
    const packs = new MadePacks();
    for (let n = 0; n < count; n++) packs.add(footerOf(idsFrom(10 * n, 10)), n);
    packs.open();
    return packs;
  }

  it('keeps few tables, each at least twice the smaller ones, however many packs come', () => {
    const packs = new MadePacks();
    for (let n = 0; n < 200; n++) {
      packs.add(footerOf(idsFrom(10 * n, 10)), n);
      if (n % 2 === 0) packs.open();
    }
    const index = packs.open();
    expect(index.counts.tables).toBeLessThanOrEqual(8);
    expect(index.counts.fresh).toBeLessThan(20);
    expect(index.counts.footersLoaded).toBe(0);
    for (let n = 0; n < 2_000; n++) expect(index.has(idOf(n))).toBe(true);
  });

  it('passes over rows of packs that are gone, and writes a table anew when half of it is', () => {
    const packs = made(20);
    const before = [...packs.tables.files.values()].reduce((sum, { length }) => sum + length, 0);
    for (const pack of [...packs.packs.keys()].slice(0, 15)) packs.packs.delete(pack);
    const index = packs.open();
    for (let n = 0; n < 200; n++) expect(index.has(idOf(n))).toBe(n >= 150);
    const after = [...packs.tables.files.values()].reduce((sum, { length }) => sum + length, 0);
    expect(after).toBeLessThan(before / 2);
  });

  it('asks for the footer of a pack that has another size than its table says', () => {
    const packs = made(20);
    const index = new ChunkIndex({ load: () => undefined, readRow: () => undefined }, packs.tables);
    const listed = [...packs.packs].map(([pack, { footer }], n) => {
      return { pack, size: footer.packBytes + (n === 3 ? 1 : 0), time: 0 };
    });
    expect(index.attach(listed)).toEqual([listed[3]]);
    expect(index.pack(listed[3]?.pack as Digest)).toBeUndefined();
    expect(index.pack(listed[4]?.pack as Digest)?.packBytes).toBe(listed[4]?.size);
  });

  it('counts what a pack holds as absent once the pack turns out to be damaged', () => {
    const packs = made(20);
    const index = packs.open();
    packs.damaged.add([...packs.packs.keys()][3] as Digest);
    for (let n = 0; n < 200; n++) expect(index.has(idOf(n))).toBe(n < 30 || n >= 40);
    packs.damaged.clear();
    index.addPack(footerOf(idsFrom(30, 10)), 9);
    expect(index.has(idOf(35))).toBe(true);
  });

  it('that lack chunks is found out before somebody says that they are missing', () => {
    const packs = made(20);
    const footers = [...packs.packs.values()].map(({ footer }) => footer);
    // A table with right sums that knows only the first chunk of each pack.
    packs.tables.files.clear();
    packs.tables.write((write) => {
      const keys = new ChunkKeys(seed);
      const writer = new TableWriter(seed, footers, write);
      const firsts = footers.map((footer, pack) => {
        keys.make(footer.bytes, footer.idOffset(0));
        return { pack, high: keys.high, low: keys.low };
      });
      firsts.sort((a, b) => a.high - b.high || a.low - b.low);
      for (const { high, low, pack } of firsts) writer.add(high, low, pack, 0);
      return writer.finish();
    });
    const index = packs.open();
    expect(index.has(idOf(10))).toBe(true);
    expect(index.has(idOf(11))).toBe(false);
    expect(index.recheck()).toBe(true);
    for (let n = 0; n < 200; n++) expect(index.has(idOf(n))).toBe(true);
    expect(index.recheck()).toBe(false);
    expect(packs.open().recheck()).toBe(false);
  });

  it('is not led astray by tables that tell other rows, packs or counts', () => {
    const packs = made(20);
    const footers = [...packs.packs.values()].map(({ footer }) => footer);
    packs.tables.files.clear();
    packs.tables.write((write) => {
      const keys = new ChunkKeys(seed);
      const told = footers.map(({ id, packBytes }) => ({ id, packBytes, count: 9 }));
      const writer = new TableWriter(seed, told, write);
      keys.make(idOf(0), 0);
      writer.add(keys.high, keys.low, 3, 7);
      writer.add(keys.high, keys.low, 4_000_000_000, 7);
      writer.add(keys.high, keys.low, 5, 4_000_000_000);
      return writer.finish();
    });
    const index = packs.open();
    expect(index.find(idOf(0))?.pack.id ?? footers[0]?.id).toBe(footers[0]?.id);
    index.recheck();
    for (let n = 0; n < 200; n++)
      expect(index.find(idOf(n))?.pack.id).toBe(footers[Math.floor(n / 10)]?.id);
  });

  it('of two seeds keeps the larger one and reads the packs of the other again', () => {
    const packs = made(20);
    const other = new MadePacks();
    for (let n = 20; n < 30; n++) other.add(footerOf(idsFrom(10 * n, 10)), n);
    other.open();
    for (const [id, { footer, time }] of other.packs) {
      packs.add(footer, time);
      expect(packs.packs.has(id)).toBe(true);
    }
    for (const [name, bytes] of other.tables.files) packs.tables.files.set(name, bytes);
    const index = packs.open();
    for (let n = 0; n < 300; n++) expect(index.has(idOf(n))).toBe(true);
    expect(index.has(sha256Raw(Buffer.from(sha256('none'))))).toBe(false);
  });

  it('works in memory where nothing can be written', () => {
    const packs = new MadePacks();
    packs.tables.writable = false;
    for (let n = 0; n < 30; n++) packs.add(footerOf(idsFrom(10 * n, 10)), n);
    const index = packs.open();
    expect(index.counts).toEqual({ footersLoaded: 0, tables: 0, fresh: 300 });
    for (let n = 0; n < 300; n++) expect(index.has(idOf(n))).toBe(true);
  });
});
