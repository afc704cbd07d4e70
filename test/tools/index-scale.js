#!/usr/bin/env node
/**
 * Measures the index of a store with very many chunks: the packs are made up, files of the right size and
 * name that are holes but for their footers, with index objects beside them.
 *
 *   node test/tools/index-scale.js                      10 million chunks, packs of 65,536 and of 800
 *   node test/tools/index-scale.js --chunks 1000000     fewer
 *
 * Options: --chunks N, --rows N (rows of a pack; may be given twice), --lookups N, --place DIR.
 * Runs dist/: build it first. Each measurement is a process of its own, so that memory is its own.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const self = fileURLToPath(import.meta.url);
const footerHead = 16;
const rowBytes = 52;
const trailerBytes = 56;
const chunkBytes = 262_144;

/** Writes the 32 bytes of the id of chunk `n`: four mixed words, and the number, so that none is twice. */
export function writeId(target, at, n) {
  let x = n;
  for (let word = 0; word < 32; word += 4) {
    x = (x + 0x9e3779b9) | 0;
    let y = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
    y = Math.imul(y ^ (y >>> 13), 0xc2b2ae35);
    target.writeInt32LE((y ^ (y >>> 16)) | 0, at + word);
  }
  target.writeUInt32LE(n, at + 28);
}

/** Makes up a footer of chunks that follow each other from number `first` on. */
export function makeFooter(first, rows) {
  const bytes = Buffer.alloc(footerHead + rows * rowBytes);
  bytes.write('MSTOREFT');
  bytes.writeUInt32LE(1, 8);
  bytes.writeUInt32LE(rows, 12);
  for (let row = 0; row < rows; row++) {
    const at = footerHead + row * rowBytes;
    writeId(bytes, at, first + row);
    bytes.writeUIntLE(row * chunkBytes, at + 32, 6);
    bytes.writeUInt32LE(chunkBytes, at + 40);
    bytes.writeUInt32LE(chunkBytes, at + 44);
  }
  return bytes;
}

/** Makes a store of packs that are holes but for footer and trailer. Returns the number of packs. */
export function makeStore(store, chunks, rowsOfPack) {
  const shards = new Set();
  let packs = 0;
  for (let first = 0; first < chunks; first += rowsOfPack) {
    const rows = Math.min(rowsOfPack, chunks - first);
    const footer = makeFooter(first, rows);
    const digest = createHash('sha256').update(footer).digest();
    const id = digest.toString('hex');
    const shard = id.slice(0, 2);
    if (!shards.has(shard)) {
      for (const kind of ['packs', 'index'])
        fs.mkdirSync(path.join(store, kind, shard), { recursive: true });
      shards.add(shard);
    }
    const trailer = Buffer.alloc(trailerBytes);
    trailer.write('MSTOREPK');
    trailer.writeUInt32LE(1, 8);
    trailer.writeUInt32LE(footer.length, 16);
    digest.copy(trailer, 24);
    fs.writeFileSync(path.join(store, 'index', shard, `${id}.idx`), footer);
    const payload = rows * chunkBytes;
    const fd = fs.openSync(path.join(store, 'packs', shard, `${id}.pack`), 'w');
    fs.ftruncateSync(fd, payload + footer.length);
    fs.writeSync(fd, trailer, 0, trailerBytes, payload + footer.length);
    fs.closeSync(fd);
    packs++;
  }
  return packs;
}

const mib = (bytes) => Math.round(bytes / 1024 / 1024);

/** Opens a store in this process and returns what it took; looks up chunks where asked to. */
async function measure(folder, chunks, lookups) {
  const { Store } = await import('../../dist/store/local-store.js');
  const base = process.memoryUsage().rss;
  let start = performance.now();
  const store = new Store(folder);
  const index = store.index();
  const openMs = performance.now() - start;
  const result = {
    openMs,
    openMiB: mib(process.memoryUsage().rss - base),
    tables: index.counts.tables,
    footersAtOpen: index.counts.footersLoaded,
  };
  const id = Buffer.alloc(32);
  const rate = (count, numberOf, wanted) => {
    start = performance.now();
    for (let i = 0; i < count; i++) {
      writeId(id, 0, numberOf(i));
      if (index.has(id) !== wanted) throw new Error(`chunk ${numberOf(i)} is wrong`);
    }
    return Math.round(count / ((performance.now() - start) / 1000));
  };
  if (lookups > 0) {
    result.missesPerSecond = rate(lookups, (i) => chunks + i, false);
    result.hitsInOrderPerSecond = rate(lookups, (i) => ((i + chunks / 3) % chunks) | 0, true);
    const scattered = (i) => (Math.imul(i, 0x9e3779b1) >>> 0) % chunks;
    result.hitsScatteredPerSecond = rate(lookups, scattered, true);
    result.footersLoaded = index.counts.footersLoaded;
  }
  return result;
}

async function child([folder, chunks, lookups]) {
  const result = await measure(folder, Number(chunks), Number(lookups));
  result.peakMiB = mib(process.resourceUsage().maxRSS * 1024);
  process.stdout.write(JSON.stringify(result));
}

function run(folder, chunks, lookups) {
  const args = [self, '--child', folder, String(chunks), String(lookups)];
  return JSON.parse(execFileSync(process.execPath, args, { encoding: 'utf8' }));
}

/**
 * Measures one shape of store.
 * @param place folder for the data, which is removed afterwards
 * @returns milliseconds, mebibytes and lookups a second: of building the tables, and of opening with them
 */
export function indexScale({ place, chunks = 10_000_000, rows = 65_536, lookups = 200_000 }) {
  const store = fs.mkdtempSync(path.join(place, 'index-scale-'));
  try {
    const packs = makeStore(store, chunks, rows);
    const built = run(store, chunks, 0);
    const opened = run(store, chunks, lookups);
    const tables = path.join(store, 'tables');
    const tableBytes = fs
      .readdirSync(tables)
      .reduce((sum, name) => sum + fs.statSync(path.join(tables, name)).size, 0);
    return {
      chunks,
      packs,
      rows,
      tableMiB: mib(tableBytes),
      buildMs: built.openMs,
      buildPeakMiB: built.peakMiB,
      ...opened,
    };
  } finally {
    fs.rmSync(store, { recursive: true, force: true });
  }
}

async function main() {
  const { values } = parseArgs({
    options: {
      chunks: { type: 'string', default: '10000000' },
      rows: { type: 'string', multiple: true, default: ['65536', '800'] },
      lookups: { type: 'string', default: '200000' },
      place: { type: 'string', default: os.tmpdir() },
    },
  });
  for (const rows of values.rows) {
    const { place } = values;
    const counts = { chunks: Number(values.chunks), lookups: Number(values.lookups) };
    const result = indexScale({ place, rows: Number(rows), ...counts });
    process.stdout.write(`${JSON.stringify(result, undefined, 2)}\n`);
  }
}

if (process.argv[1] === self) {
  if (process.argv[2] === '--child') await child(process.argv.slice(3));
  else await main();
}
