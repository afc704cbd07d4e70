import { createHash } from 'node:crypto';
import * as path from 'node:path';
import { MstoreError } from '../base/errors.ts';
import { readBounded } from '../base/files.ts';
import { limits } from '../base/limits.ts';
import { printable } from '../base/names.ts';
import type { GitLayout } from './layout.ts';

/** One path of the index: what the next commit would hold, and the file it was taken from. */
export interface IndexEntry {
  readonly path: string;
  /** Mode as trees write it: `100644`, `100755`, `120000`, `160000`. */
  readonly mode: string;
  readonly oid: string;
  /** 0, or 1 to 3 for the versions of a file in conflict. */
  readonly stage: number;
  /** Whether the file is meant to be absent (sparse checkout) or to be taken as unchanged. */
  readonly unwatched: boolean;
  /** Whether only the path is in the index, not yet the content (`git add -N`). */
  readonly intentToAdd: boolean;
  /** Size of the file in bytes, modulo 2^32; times in nanoseconds since 1970. */
  readonly size: number;
  readonly mtimeNs: bigint;
  readonly ctimeNs: bigint;
}

/** Some five million files. */
const indexBytesMax = 512 * 1024 * 1024;
const headerBytes = 12;
const checksumBytes = 20;
/** Stat data, object id and flags. */
const fixedBytes = 62;

/**
 * Reads the index of a working tree: versions 2 to 4 of the format, with SHA-1 ids. Sorted by path and
 * stage; empty when there is none. Source: gitformat-index(5).
 * @throws MstoreError `git-failed` for a damaged index, and for one whose entries are partly elsewhere
 */
export function readIndex(layout: GitLayout): IndexEntry[] {
  const bytes = readBounded(path.join(layout.gitDir, 'index'), indexBytesMax);
  if (bytes === undefined) return [];
  const failed = (reason: string) =>
    new MstoreError(
      'git-failed',
      `Failed reading the index of ${printable(layout.root)}: ${reason}`,
      {
        hint: 'Install git; if git fails too, remove the file index of its directory and run git reset',
      },
    );
  const version = bytes.length < headerBytes + checksumBytes ? 0 : bytes.readUInt32BE(4);
  if (bytes.toString('latin1', 0, 4) !== 'DIRC' || version < 2 || version > 4) {
    throw failed('it has no known form');
  }
  const end = bytes.length - checksumBytes;
  const sum = bytes.subarray(end);
  // Git leaves the sum out when it is told to (index.skipHash).
  const isSummed = sum.some((byte) => byte !== 0);
  if (isSummed && !createHash('sha1').update(bytes.subarray(0, end)).digest().equals(sum)) {
    throw failed('its checksum is wrong');
  }
  const entries: IndexEntry[] = [];
  let at = headerBytes;
  let last = Buffer.alloc(0);
  for (let left = bytes.readUInt32BE(8); left > 0; left--) {
    const read = readEntry(bytes.subarray(0, end), at, version, last);
    if (read === undefined) throw failed('it ends within an entry, or one has no known form');
    entries.push(read.entry);
    last = read.path;
    at = read.next;
  }
  const elsewhere = extensionNames(bytes.subarray(at, end)).find((name) => /^[a-z]/.test(name));
  if (elsewhere !== undefined) throw failed(`it uses the extension ${printable(elsewhere)}`);
  return entries;
}

/** Reads one entry; undefined when the bytes end too early, or its path is longer than a system takes. */
function readEntry(
  bytes: Buffer,
  at: number,
  version: number,
  last: Buffer<ArrayBufferLike>,
): { entry: IndexEntry; path: Buffer<ArrayBuffer>; next: number } | undefined {
  if (at + fixedBytes + 2 > bytes.length) return undefined;
  const flags = bytes.readUInt16BE(at + 60);
  const isExtended = version >= 3 && (flags & 0x4000) !== 0;
  const more = isExtended ? bytes.readUInt16BE(at + fixedBytes) : 0;
  let start = at + fixedBytes + (isExtended ? 2 : 0);
  let kept = 0;
  if (version === 4) {
    const cut = readOffset(bytes, start);
    if (cut === undefined || cut.value > last.length) return undefined;
    kept = last.length - cut.value;
    start = cut.next;
  }
  const stop = bytes.indexOf(0, start);
  if (stop < 0) return undefined;
  // Version 4 repeats paths: without a bound, a small file could stand for any number of long ones.
  if (kept + stop - start > limits.pathBytesMax) return undefined;
  const name = Buffer.concat([last.subarray(0, kept), bytes.subarray(start, stop)]);
  const time = (from: number) =>
    BigInt(bytes.readUInt32BE(from)) * 1_000_000_000n + BigInt(bytes.readUInt32BE(from + 4));
  return {
    entry: {
      path: name.toString('utf8'),
      mode: bytes.readUInt32BE(at + 24).toString(8),
      oid: bytes.toString('hex', at + 40, at + 60),
      stage: (flags >> 12) & 3,
      unwatched: (flags & 0x8000) !== 0 || (more & 0x4000) !== 0,
      intentToAdd: (more & 0x2000) !== 0,
      size: bytes.readUInt32BE(at + 36),
      ctimeNs: time(at),
      mtimeNs: time(at + 8),
    },
    path: name,
    // Up to version 3, entries end at multiples of eight bytes, with one zero byte at least.
    next: version === 4 ? stop + 1 : at + ((stop - at + 8) & ~7),
  };
}

/** Reads a number as version 4 writes how much of the path before is cut off. */
function readOffset(bytes: Buffer, at: number): { value: number; next: number } | undefined {
  let value = -1;
  for (let i = 0; i < 4; i++) {
    const byte = bytes[at + i];
    if (byte === undefined) return undefined;
    value = (value + 1) * 128 + (byte & 127);
    if (byte < 128) return { value, next: at + i + 1 };
  }
  return undefined;
}

/** Lists the extensions behind the entries; those in small letters change what the entries mean. */
function extensionNames(bytes: Buffer): string[] {
  const names: string[] = [];
  for (let at = 0; at + 8 <= bytes.length; at += 8 + bytes.readUInt32BE(at + 4)) {
    names.push(bytes.toString('latin1', at, at + 4));
  }
  return names;
}
