import * as fs from 'node:fs';
import * as path from 'node:path';
import { crc32 } from 'node:zlib';
import { sha256, sha256Raw } from '../../../src/base/digest.ts';
import { openTable, TableDamage } from '../../../src/index/chunk-table.ts';
import { PackEntry } from '../../../src/index/indexed-pack.ts';
import { TableCursor } from '../../../src/index/table-merge.ts';
import { TableSet } from '../../../src/index/table-set.ts';
import { StatCache } from '../../../src/worktree/stat-cache.ts';
import { MemoryTables } from '../../support/made-index.ts';
import { footerOf } from '../../support/packs.ts';
import { type FuzzTarget, fuzzFolder, promise } from '../target.ts';

const digestBytes = 32;
const trailerBytes = 56;

const raw = (text: string): Buffer => sha256Raw(Buffer.from(text));

/** Footers of packs that the tables in the seeds are about. */
const footers = [1, 2].map((pack) =>
  footerOf(Array.from({ length: 300 }, (_, i) => raw(`chunk ${pack * 200 + i}`))),
);

function tableSeeds(): Record<string, Uint8Array> {
  const random = { hex: () => '0123456789abcdef', fraction: () => 0 };
  const seeds = [footers, footers.slice(0, 1), [footerOf([raw('alone')])]].map((packs) => {
    const tables = new MemoryTables();
    new TableSet(tables, random).cover(
      packs.map((footer) => {
        const entry = new PackEntry(footer.id, footer.count, { size: footer.packBytes, time: 1 });
        entry.footer = footer;
        return entry;
      }),
    );
    return [...tables.files.values()][0] ?? Buffer.alloc(0);
  });
  return Object.fromEntries(seeds.map((bytes, i) => [String(i), bytes]));
}

/** Gives a table the digest of its directory, so that what is behind it is reached. */
function resealed(bytes: Buffer): Buffer {
  if (bytes.length < trailerBytes) return bytes;
  const trailer = bytes.length - trailerBytes;
  const rows = bytes.readBigUInt64LE(trailer + 16);
  const start = Number(rows) * 16;
  if (start > trailer) return bytes;
  const sealed = Buffer.from(bytes);
  const summed = Buffer.concat([
    sealed.subarray(trailer, trailer + 24),
    sealed.subarray(start, trailer),
  ]);
  sha256Raw(summed).copy(sealed, sealed.length - digestBytes);
  return sealed;
}

/** Runs what may find a table damaged. */
function unlessDamaged(work: () => void): void {
  try {
    work();
  } catch (error) {
    if (!(error instanceof TableDamage)) throw error;
  }
}

export const chunkTable: FuzzTarget = {
  name: 'chunk-table',
  bytesMax: 64 * 1024,
  seeds: tableSeeds,
  words: ['MSTORETB'],
  run(bytes) {
    for (const given of [bytes, resealed(bytes)]) {
      const tables = new MemoryTables();
      tables.files.set('given', given);
      const [file] = tables.open();
      const table = file && openTable(file);
      if (table !== undefined) {
        promise(table.rows * 16 < given.length, 'a table has no more rows than there is room for');
        promise(table.packs.length * 48 < given.length, 'nor more packs');
        unlessDamaged(() => {
          const cursor = new TableCursor(table);
          while (cursor.next());
        });
      }
      useTables(tables);
    }
  },
};

/** Opens an index's tables as a process does, looks up, merges, and compares them with the footers. */
function useTables(tables: MemoryTables): void {
  const set = new TableSet(tables);
  const listed = footers.map(({ id, packBytes }) => ({ pack: id, size: packBytes, time: 1 }));
  set.attach(new Map(listed.map((one) => [one.pack, one])));
  unlessDamaged(() => {
    for (let i = 0; i < 32; i++) {
      set.keys.make(raw(`chunk ${200 + 16 * i}`), 0);
      promise(set.candidates(set.keys.high, set.keys.low).length <= 64, 'a chunk has few places');
    }
  });
  set.audit(({ id }) => footers.find((footer) => footer.id === id));
  unlessDamaged(() => set.settle());
}

const tracked = 'models/bert';

export const statCache: FuzzTarget = {
  name: 'stat-cache',
  bytesMax: 64 * 1024,
  seeds: () => ({
    usual: JSON.stringify({
      version: 3,
      tracked,
      rows: [['a.bin', '5 1 1 7', sha256('a')]],
      links: [['b', 'a.bin']],
    }),
    none: '',
  }),
  words: ['"version":3', '"rows":[', '"links":[', '"tracked"'],
  run(bytes) {
    for (const given of [bytes, Buffer.concat([cacheSum(bytes), bytes])]) useStatCache(given);
  },
};

/** What stands in front of a stat cache, so that what is behind it is reached. */
function cacheSum(bytes: Buffer): Buffer {
  return Buffer.from(`${crc32(bytes).toString(16).padStart(8, '0')}\n`);
}

function useStatCache(bytes: Buffer): void {
  const folder = path.join(fuzzFolder(), 'stat');
  fs.mkdirSync(folder, { recursive: true });
  fs.writeFileSync(path.join(folder, `${sha256(tracked).slice(0, 32)}.json`), bytes);
  const cache = StatCache.open(folder, tracked, 10n ** 18n);
  const stat = { size: 5n, mtimeNs: 1n, ctimeNs: 1n, ino: 7n, mode: 0o644n, nlink: 1n };
  const found = cache.find('a.bin', stat);
  promise(found === undefined || /^[0-9a-f]{64}$/.test(found), 'a cache knows digests');
  cache.knowsLink('b', 'a.bin');
  cache.rememberWritten('a.bin', stat, sha256('b'));
  cache.keepOnly(new Set(['a.bin']));
  cache.save(tracked);
  const again = StatCache.open(folder, tracked, 10n ** 18n);
  promise(again.find('a.bin', stat) === sha256('b'), 'what was remembered is known');
}
