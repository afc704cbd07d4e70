#!/usr/bin/env node
/**
 * Measures what edits of the structure of a model cost: the share of the second version that is stored
 * again, by the program as it is and by the same cut rule without hard cuts. Data is made on the fly: a
 * language model of 170 MiB in bfloat16.
 *
 *   node test/tools/structural-edits.js
 *
 * It uses the library in dist/. No time is measured, so that other work on the machine does not matter.
 */
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const hidden = 768;
const vocabulary = 24_000;
const layers = 10;

/**
 * Noise with the few exponents of weights in bfloat16, the same on every machine. The generator is
 * xorshift128 (Marsaglia, Journal of Statistical Software 8/14, 2003): its period is so long that the
 * sequences of two seeds do not meet.
 */
function weightBytes(seed, length) {
  const words = new Uint32Array(Math.ceil(length / 4));
  let [x, y, z, w] = [Math.imul(seed, 0x9e3779b1), 362436069, seed, 88675123];
  for (let i = 0; i < words.length; i++) {
    const t = x ^ (x << 11);
    [x, y, z] = [y, z, w];
    w = w ^ (w >>> 19) ^ t ^ (t >>> 8);
    words[i] = w;
  }
  const bytes = Buffer.from(words.buffer, 0, length);
  for (let i = 1; i < length; i += 2) {
    const stepsToZero = Math.clz32((bytes[i] >> 1) | 1) - 25;
    bytes[i] = (bytes[i] & 1) * 128 + 61 - stepsToZero;
  }
  return bytes;
}

/** The tensors in the order of the file. */
function makeModel() {
  const tensors = [];
  const add = (name, elements) =>
    tensors.push({ name, bytes: weightBytes(tensors.length + 1, 2 * elements) });
  add('embed', vocabulary * hidden);
  for (let layer = 0; layer < layers; layer++) {
    for (const name of ['q', 'k', 'v', 'o']) add(`layer${layer}.${name}`, hidden * hidden);
    for (const name of ['up', 'down']) add(`layer${layer}.${name}`, 4 * hidden * hidden);
    for (const name of ['norm1', 'norm2']) add(`layer${layer}.${name}`, hidden);
  }
  add('norm', hidden);
  return tensors;
}

function safetensorsFile(tensors, metadata = '') {
  const header = { __metadata__: { note: metadata } };
  let at = 0;
  for (const { name, bytes } of tensors) {
    const shape = [bytes.length / 2];
    header[name] = { dtype: 'BF16', shape, data_offsets: [at, at + bytes.length] };
    at += bytes.length;
  }
  const json = JSON.stringify(header);
  const head = Buffer.from(json.padEnd(Math.ceil(json.length / 8) * 8));
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(head.length));
  return Buffer.concat([size, head, ...tensors.map(({ bytes }) => bytes)]);
}

/** Other bytes under the names that are chosen, as after training. */
function tuned(tensors, chosen) {
  return tensors.map(({ name, bytes }, i) =>
    chosen.test(name) ? { name, bytes: weightBytes(1000 + i, bytes.length) } : { name, bytes },
  );
}

function appended([first, ...others], rows) {
  const bytes = Buffer.concat([first.bytes, weightBytes(999, rows * hidden * 2)]);
  return [{ name: first.name, bytes }, ...others];
}

/** The second versions: each a list of files, each file its tensors and a note for its header. */
function edits(tensors) {
  const one = (list, note = '') => [{ tensors: list, note }];
  const sorted = [...tensors].sort((a, b) => (a.name < b.name ? -1 : 1));
  const share = Math.ceil(sorted.length / 4);
  const shards = [0, 1, 2, 3].map((i) => ({
    tensors: sorted.slice(i * share, (i + 1) * share),
    note: '',
  }));
  const mixed = tensors.map((_, i) => tensors[(i * 17 + 5) % tensors.length]);
  return [
    ['64 bytes of metadata in the header', one(tensors, 'm'.repeat(64))],
    ['8 rows appended to the first tensor', one(appended(tensors, 8))],
    ['LoRA merged into q, v of all layers', one(tuned(tensors, /\.[qv]$/))],
    ['LoRA merged into q, k, v, o of 3 layers', one(tuned(tensors, /^layer[0-2]\.[qkvo]$/))],
    ['last layer and norms tuned', one(tuned(tensors, /^layer9\.|norm/))],
    ['the same tensors in 4 files, sorted', shards],
    ['the same tensors in another order', one(mixed)],
  ];
}

/** Bytes of tensors, and of rows of the first, that are not in the first version. */
function changedBytes(before, files) {
  const known = new Map(before.map(({ name, bytes }) => [name, bytes]));
  let changed = 0;
  for (const { name, bytes } of files.flatMap(({ tensors }) => tensors)) {
    const old = known.get(name);
    if (old === undefined || bytes.length < old.length) changed += bytes.length;
    else if (!bytes.subarray(0, old.length).equals(old)) changed += bytes.length;
    else changed += bytes.length - old.length;
  }
  return changed;
}

async function load(mstoreDist) {
  const from = (name) => import(pathToFileURL(path.join(mstoreDist, name)).href);
  const [{ BlobWriter }, { Store }, { Chunker }] = await Promise.all([
    from('store/blob-writer.js'),
    from('store/local-store.js'),
    from('chunk/chunker.js'),
  ]);
  return { BlobWriter, Store, Chunker };
}

/** Adds files to a store as a command does; returns the bytes that the store did not have. */
async function addFiles({ BlobWriter, Store }, store, file, contents) {
  const writer = new BlobWriter(new Store(store));
  try {
    for (const bytes of contents) {
      fs.writeFileSync(file, bytes);
      await writer.addFile(file);
    }
    return (await writer.finish()).bytesNew;
  } finally {
    writer.close();
  }
}

/** Chunks of some files by the cut rule alone: their lengths by their digests. */
function plainChunks({ Chunker }, contents) {
  const chunks = new Map();
  for (const bytes of contents) {
    const chunker = new Chunker();
    for (let start = 0; start < bytes.length; ) {
      const end = chunker.next(bytes, start, bytes.length, true);
      chunks.set(
        createHash('sha256').update(bytes.subarray(start, end)).digest('hex'),
        end - start,
      );
      start = end;
    }
  }
  return chunks;
}

/**
 * Makes the table.
 * @param place a folder for the data, which is left empty again
 * @param mstoreDist the folder of the built library
 * @returns a row an edit: its name, the bytes of the second version, those that truly changed, those
 * that are stored again with hard cuts and without, and these three in percent of the first
 */
export async function structuralEdits({ place, mstoreDist }) {
  const library = await load(mstoreDist);
  const tensors = makeModel();
  const first = safetensorsFile(tensors);
  const folder = fs.mkdtempSync(path.join(place, 'structural-edits-'));
  const rows = [];
  try {
    const file = path.join(folder, 'model.safetensors');
    await addFiles(library, path.join(folder, 'first'), file, [first]);
    const plainFirst = plainChunks(library, [first]);
    for (const [edit, files] of edits(tensors)) {
      const contents = files.map(({ tensors: list, note }) => safetensorsFile(list, note));
      const store = path.join(folder, 'second');
      fs.cpSync(path.join(folder, 'first'), store, { recursive: true });
      const bytesNew = await addFiles(library, store, file, contents);
      fs.rmSync(store, { recursive: true });
      let plainNew = 0;
      for (const [id, length] of plainChunks(library, contents)) {
        if (!plainFirst.has(id)) plainNew += length;
      }
      const bytes = contents.reduce((sum, content) => sum + content.length, 0);
      const changed = changedBytes(tensors, files);
      const percent = (part) => (100 * part) / bytes;
      rows.push({
        edit,
        bytes,
        changedBytes: changed,
        storedBytes: bytesNew,
        plainBytes: plainNew,
        changedPercent: percent(changed),
        storedPercent: percent(bytesNew),
        plainPercent: percent(plainNew),
      });
    }
  } finally {
    fs.rmSync(folder, { recursive: true, force: true });
  }
  return rows;
}

/** The rows as a table in Markdown. */
export function structuralEditsMarkdown(rows) {
  const lines = rows.map(({ edit, changedPercent, storedPercent, plainPercent }) => {
    const numbers = [changedPercent, storedPercent, plainPercent].map((value) => value.toFixed(2));
    return `| ${edit} | ${numbers.join(' | ')} |\n`;
  });
  const head = '| edit | % truly changed | % stored again | % without hard cuts |\n';
  return `${head}| --- | --- | --- | --- |\n${lines.join('')}`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const rows = await structuralEdits({
    place: os.tmpdir(),
    mstoreDist: fileURLToPath(new URL('../../dist', import.meta.url)),
  });
  process.stdout.write(structuralEditsMarkdown(rows));
}
