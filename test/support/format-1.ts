import * as fs from 'node:fs';
import * as path from 'node:path';
import { systemRandom } from '../../src/base/clock.ts';
import type { Surroundings } from '../../src/flow/surroundings.ts';
import { xorshiftBytes } from './xorshift.ts';

/** The frozen files of format 1. Nothing may write there. */
export const format1Folder = new URL('../fixtures/format-1/', import.meta.url).pathname;

/** The tracked paths of the frozen workspace, in the order they were added. */
export const format1Paths = [
  'models/model.bin',
  'models/weights.safetensors',
  'models/run.sh',
  'models/empty.bin',
  'bert',
  'hollow',
  'many',
] as const;

/** What a path of the frozen workspace is. */
export type Format1Entry =
  | { readonly bytes: Buffer; readonly executable?: true }
  | { readonly link: string }
  | { readonly directory: true };

/** The files that the frozen pointers of version 1 or 2 stand for, by path from the top. */
export function format1Files(version: 1 | 2): Map<string, Format1Entry> {
  const model = xorshiftBytes(224, 700_000);
  const inserted = Buffer.concat([
    model.subarray(0, 650_000),
    Buffer.alloc(64, 'new'),
    model.subarray(650_000),
  ]);
  const files = new Map<string, Format1Entry>([
    ['models/model.bin', { bytes: version === 1 ? model : inserted }],
    ['models/weights.safetensors', { bytes: safetensors(version) }],
    ['models/run.sh', { bytes: Buffer.from('#!/bin/sh\nexec true\n'), executable: true }],
    ['models/empty.bin', { bytes: Buffer.alloc(0) }],
    ['bert/config.json', { bytes: Buffer.from(`{"version":${version}}\n`) }],
    ['bert/tools/run.sh', { bytes: Buffer.from('#!/bin/sh\nexec true\n'), executable: true }],
    ['bert/latest', { link: 'tools/../config.json' }],
    ['bert/cache', { directory: true }],
    ['bert/empty', { bytes: Buffer.alloc(0) }],
    ['bert/\u{1f600} größe "π".txt', { bytes: Buffer.from('unicode\n') }],
    ['bert/\ufb01.txt', { bytes: Buffer.from('sorts before the emoji, not behind it\n') }],
    ['hollow', { directory: true }],
  ]);
  for (let i = 0; i < 1_001; i++) {
    files.set(`many/${String(i).padStart(4, '0')}`, { bytes: Buffer.from(`${i % 40}\n`) });
  }
  return files;
}

/** A safetensors file whose header differs between the versions and whose tensors do not. */
function safetensors(version: number): Buffer {
  const lengths = { embed: 150_000, bias: 100, layer: 140_000, tail: 5_000 };
  const header: Record<string, unknown> = { __metadata__: { note: 'x'.repeat(version * 10) } };
  let at = 0;
  for (const [name, length] of Object.entries(lengths)) {
    header[name] = { dtype: 'U8', shape: [length], data_offsets: [at, at + length] };
    at += length;
  }
  const json = Buffer.from(JSON.stringify(header));
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(json.length));
  return Buffer.concat([size, json, xorshiftBytes(99, at)]);
}

/** Writes the files of a version below a folder. */
export function writeFormat1Files(root: string, version: 1 | 2): void {
  for (const [name, entry] of format1Files(version)) {
    const full = path.join(root, name);
    fs.mkdirSync('directory' in entry ? full : path.dirname(full), { recursive: true });
    if ('link' in entry) {
      fs.rmSync(full, { force: true });
      fs.symlinkSync(entry.link, full);
    }
    if ('bytes' in entry) {
      fs.writeFileSync(full, entry.bytes);
      fs.chmodSync(full, entry.executable ? 0o755 : 0o644);
    }
  }
}

/** The clock and the random numbers under which the fixture was made. */
export function format1Surroundings(version: 1 | 2): Pick<Surroundings, 'clock' | 'random'> {
  return {
    clock: { now: () => Date.UTC(2025, 0, version), monotonic: () => performance.now() },
    // Identities have 16 bytes; the names of temporary files must differ.
    random: {
      ...systemRandom,
      hex: (bytes) => (bytes === 16 ? '0f1e'.repeat(8) : systemRandom.hex(bytes)),
    },
  };
}

/** All files below a folder with their bytes, by path from it. */
export function filesBelow(folder: string): Map<string, Buffer> {
  const found = new Map<string, Buffer>();
  for (const dirent of fs.readdirSync(folder, { withFileTypes: true, recursive: true })) {
    if (!dirent.isFile()) continue;
    const full = path.join(dirent.parentPath, dirent.name);
    found.set(path.relative(folder, full), fs.readFileSync(full));
  }
  return new Map([...found].sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** Writes the frozen pointers of a version below a folder, under their names in a workspace. */
export function writeFormat1Pointers(root: string, version: 1 | 2): void {
  for (const [name, bytes] of filesBelow(path.join(format1Folder, `v${version}`))) {
    const full = path.join(root, name.replace(/\.pointer$/, '.mstore'));
    fs.mkdirSync(path.dirname(full), { recursive: true });
    fs.writeFileSync(full, bytes);
  }
}

/**
 * A header with the rules for hard cuts that there were when the fixture was written: they are the one
 * part of it that a later program writes otherwise, and that no reader looks at.
 */
export function withFrozenCuts(header: Buffer): Buffer {
  const value = JSON.parse(header.toString()) as { chunking: object };
  const chunking = { ...value.chunking, cuts: ['safetensors'] };
  return Buffer.from(`${JSON.stringify({ ...value, chunking }, null, 2)}\n`);
}
