import { describe, expect, it } from 'vitest';
import { type Digest, digestFromRaw, sha256, sha256Raw } from '../../../src/base/digest.ts';
import { ChunkIndex } from '../../../src/index/chunk-index.ts';
import { ChunkKeys } from '../../../src/index/chunk-keys.ts';
import {
  BlockCache,
  type ChunkTable,
  openTable,
  type TableFile,
  TableWriter,
} from '../../../src/index/chunk-table.ts';
import { TableCursor, writeFooters } from '../../../src/index/table-merge.ts';
import { type PackFooter, rowBytes } from '../../../src/pack/format.ts';
import { MemoryTables } from '../../support/made-index.ts';
import { footerOf } from '../../support/packs.ts';

const idOf = (n: number) => sha256Raw(Buffer.from(String(n)));
const idsFrom = (first: number, count: number) =>
  Array.from({ length: count }, (_, i) => idOf(first + i));
const seed = Buffer.from('0123456789abcdef', 'hex');

function write(tables: MemoryTables, footers: readonly PackFooter[]): TableFile {
  return tables.write((out) => {
    const writer = new TableWriter(seed, footers, out);
    writeFooters(new ChunkKeys(seed), footers, writer);
    return writer.finish();
  });
}

function find(table: ChunkTable, id: Buffer, cache = new BlockCache()): number[] {
  const keys = new ChunkKeys(seed);
  keys.make(id, 0);
  const found: number[] = [];
  table.find(keys.high, keys.low, cache, found);
  return found;
}

/** Twenty packs of ten chunks whose footers are read by an index that keeps few of them. */
function packsOf(
  tables: MemoryTables,
  readRow: (footer: PackFooter, row: number) => Buffer | undefined,
) {
  const footers = Array.from({ length: 20 }, (_, n) => footerOf(idsFrom(10 * n, 10)));
  const byId = new Map(footers.map((footer) => [footer.id, footer]));
  const source = {
    load: (id: Digest) => byId.get(id),
    readRow: (id: Digest, row: number) => readRow(byId.get(id) as PackFooter, row),
  };
  const open = () => {
    const index = new ChunkIndex(source, tables, { footerBytesMax: 2_000 });
    index.attach(footers.map(({ id, packBytes }) => ({ pack: id, size: packBytes, time: 0 })));
    return index;
  };
  return { footers, open };
}

const rowOf = (footer: PackFooter, row: number): Buffer => {
  const at = footer.idOffset(row);
  return Buffer.from(footer.bytes.subarray(at, at + rowBytes));
};

describe('an index in memory', () => {
  it('finds what it knew before it grew', () => {
    const index = new ChunkIndex({ load: () => undefined, readRow: () => undefined });
    for (let pack = 0; pack < 12; pack++) {
      index.addPack(footerOf(idsFrom(500 * pack, 500)), pack);
      for (let n = 0; n < 500 * (pack + 1); n++) {
        const place = index.find(idOf(n));
        if (place?.number !== n % 500) expect(`${n} ${place?.number}`).toBe('found');
      }
    }
  });
});

describe('a chunk table', () => {
  it('of more rows than its writer has room for at first finds all of them', () => {
    const footer = footerOf(idsFrom(0, 20_000));
    const table = openTable(write(new MemoryTables(), [footer])) as ChunkTable;
    expect(table.blocks).toBe(79);
    const cache = new BlockCache();
    for (let n = 0; n < 20_000; n += 7) {
      const [pack, row] = find(table, idOf(n), cache);
      if (pack !== 0 || row !== n) expect(`${n} ${pack} ${row}`).toBe('found');
    }
  });

  it('of another version or kind is none, though its sum is right', () => {
    const tables = new MemoryTables();
    const { name, size } = write(tables, [footerOf(idsFrom(0, 10))]);
    const whole = tables.files.get(name) as Buffer;
    const trailerAt = size - 56;
    const opens = (change: (trailer: Buffer) => void): boolean => {
      const bytes = Buffer.from(whole);
      const trailer = bytes.subarray(trailerAt);
      change(trailer);
      const summed = [trailer.subarray(0, 24), bytes.subarray(10 * 16, trailerAt)];
      trailer.write(sha256(Buffer.concat(summed)), 24, 32, 'hex');
      tables.files.set(name, bytes);
      return openTable(tables.open()[0] as TableFile) !== undefined;
    };
    expect(opens(() => {})).toBe(true);
    expect(opens((trailer) => trailer.writeUInt32LE(2, 8))).toBe(false);
    expect(opens((trailer) => trailer.write('MSTORETX'))).toBe(false);
  });

  it('forgets a block that could not be read', () => {
    const file = write(new MemoryTables(), [footerOf(idsFrom(0, 600))]);
    let fails = false;
    const table = openTable({
      ...file,
      read(target, position) {
        if (fails) throw new Error('the disk fails');
        return file.read(target, position);
      },
    }) as ChunkTable;
    const cache = new BlockCache();
    fails = true;
    expect(() => find(table, idOf(5), cache)).toThrow('the disk fails');
    fails = false;
    for (let n = 0; n < 600; n++) expect(find(table, idOf(n), cache)).toEqual([0, n]);
  });

  it('whose keys fall by either half is damaged', () => {
    for (const [high, low] of [
      [4, 9],
      [5, 4],
    ] as const) {
      const file = new MemoryTables().write((out) => {
        const writer = new TableWriter(seed, [footerOf(idsFrom(0, 2))], out);
        writer.add(5, 5, 0, 0);
        writer.add(high, low, 0, 1);
        return writer.finish();
      });
      const cursor = new TableCursor(openTable(file) as ChunkTable);
      expect(cursor.next()).toBe(true);
      expect(() => cursor.next()).toThrow('damaged');
    }
  });

  it('of tables that were merged knows the newest packs of a chunk', () => {
    const footers = Array.from({ length: 60 }, (_, n) => footerOf([idOf(0), idOf(1_000 + n)]));
    const byId = new Map(footers.map((footer) => [footer.id, footer]));
    const source = { load: (id: Digest) => byId.get(id), readRow: () => undefined };
    for (const order of [1, -1]) {
      const index = new ChunkIndex(source, new MemoryTables(), { freshPacksMax: 10 });
      for (const time of [...footers.keys()].sort((a, b) => order * (a - b))) {
        index.addPack(footers[time] as PackFooter, time);
        index.settle();
      }
      expect(index.counts.fresh).toBe(0);
      expect(index.find(idOf(0))?.pack.id).toBe(footers[59]?.id);
    }
  });
});

describe('rows of packs that a table covers', () => {
  it('are read by footers, of which no more are kept than there is room for', () => {
    const tables = new MemoryTables();
    const { footers, open } = packsOf(tables, rowOf);
    write(tables, footers);
    const index = open();
    const [first] = footers as [PackFooter];
    expect(index.pack(first.id)?.payloadBytes).toBe(10);
    for (const { id } of footers) expect(index.footer(id)?.id).toBe(id);
    expect(index.counts.footersLoaded).toBe(20);
    expect(index.footer(footers[19]?.id as Digest)?.count).toBe(10);
    expect(index.counts.footersLoaded).toBe(20);
    expect(index.footer(first.id)?.count).toBe(10);
    expect(index.counts.footersLoaded).toBe(21);
    // Room for three is kept by use.
    expect(index.footer(footers[19]?.id as Digest)?.count).toBe(10);
    expect(index.counts.footersLoaded).toBe(21);
    expect(index.footer(digestFromRaw(idOf(0)))).toBeUndefined();
  });

  it('are taken one by one only where they are of the chunk, and within the pack', () => {
    const tables = new MemoryTables();
    let reads = 0;
    const { footers, open } = packsOf(tables, (footer, row) => {
      reads++;
      const bytes = rowOf(footer, row);
      // The offset of the chunk.
      if (row === 7) bytes.writeUInt32LE(0x7fff_ffff, 32);
      return bytes;
    });
    write(tables, footers);
    const index = open();
    // All are verified then, and most of them not in memory any more.
    for (const { id } of footers) index.footer(id);
    for (let n = 0; n < 200; n++) {
      expect(index.find(idOf(n))).toMatchObject({ number: n % 10, offset: n % 10 });
    }
    expect(reads).toBeGreaterThan(20);
    tables.files.clear();
    tables.write((out) => {
      const writer = new TableWriter(seed, footers, out);
      const keys = new ChunkKeys(seed);
      keys.make(idOf(0), 0);
      writer.add(keys.high, keys.low, 3, 2);
      return writer.finish();
    });
    const led = open();
    for (const { id } of footers) led.footer(id);
    expect(led.find(idOf(0))).toBeUndefined();
  });

  it('are read anew where the table tells another number of them', () => {
    const tables = new MemoryTables();
    const { footers, open } = packsOf(tables, rowOf);
    tables.write((out) => {
      const told = footers.map(({ id, packBytes }) => ({ id, packBytes, count: 9 }));
      return new TableWriter(seed, told, out).finish();
    });
    const index = open();
    expect(index.footer(footers[3]?.id as Digest)?.count).toBe(10);
    for (let n = 0; n < 200; n++) expect(index.has(idOf(n))).toBe(true);
  });
});
