import { crc32 } from 'node:zlib';
import { type ByteReader, memoryFile, partOf } from '../weights/byte-reader.ts';
import {
  expectFormat,
  ifThisFormat,
  NotThisFormat,
  WindowReader,
} from '../weights/window-reader.ts';
import { readZipEntry, type ZipEntry } from '../weights/zip.ts';
import { type InflateBudget, InflatedFile, inflatedHead } from './inflated-file.ts';
import { quoted, type Report } from './report.ts';
import { findDirectory } from './zip-end.ts';

const entriesMax = 100_000;
const directoryBytesMax = 64 * 1024 * 1024;
const localSignature = 0x04034b50;
const localBytes = 30;
/** Members up to this are read whole to compare their CRC. */
const smallBytesMax = 64 * 1024;
/** Bytes that deflated members may unfold to, to be looked into. */
const inflatedBytesMax = 256 * 1024 * 1024;
/** Bytes that tell what a member is. */
const headBytes = 16;
/** Deflate itself cannot do better than 1032 to 1; real members stay far below. */
const ratioMax = 200;
const ratioBytesMin = 16 * 1024 * 1024;
/** Behind a member: its sizes once more, where they were not known before. */
const descriptorBytesMax = 24;
const flagDescriptor = 8;
/** Encrypted, strongly encrypted, and names in the central directory encrypted. */
const flagsEncrypted = 0x2041;
/** Methods by which members may be packed. */
export const stored = 0;
const deflated = 8;

/** A member of an archive, its content as a file. */
export interface ZipMember {
  readonly name: string;
  /** Bytes of its content. */
  readonly size: number;
  /** Where and how it is stored; `start` is undefined where that cannot be told. */
  readonly placed: Pick<Placed, 'start' | 'bytes' | 'method' | 'crc' | 'attributes'>;
  /** Reads the first bytes of the content, none where it cannot be had. */
  head(): Uint8Array;
  /** Opens the content; undefined where it cannot be had. */
  open(): ByteReader | undefined;
}

interface Placed extends ZipEntry {
  /** Offset of the local header in the file. */
  readonly from: number;
  /** Where the stored bytes are; undefined when the local header cannot be used. */
  readonly start: number | undefined;
}

/**
 * Reads a zip archive as loaders do, and notes all in which they could differ about it: every one of that has
 * hidden a pickle from a scanner before. Source: APPNOTE.TXT of PKWARE, Lib/zipfile of CPython.
 * @returns the members that can be looked into, in the order of the central directory
 */
export function checkZip(file: ByteReader, report: Report): ZipMember[] {
  const directory = findDirectory(file, report);
  if (directory === undefined) return [];
  const { start, end, count, shift, otherEnds } = directory;
  if (count > entriesMax || end - start > directoryBytesMax) {
    report.add('zip-directory', `It has ${count} members, more than are looked at`);
    return [];
  }
  const reader = new WindowReader(file, start, end);
  const members: Placed[] = [];
  try {
    for (let i = 0; i < count; i++) {
      const entry = readZipEntry(reader, true);
      members.push(checkEntry(file, entry, entry.at + shift, report));
    }
    expectFormat(reader.at === end);
  } catch (error) {
    if (!(error instanceof NotThisFormat)) throw error;
    report.add('zip-directory', 'The central directory is damaged', `byte ${reader.at}`);
  }
  report.summary.members = members.length;
  checkNames(members, report);
  checkLayout(members, start, report);
  checkEnds(otherEnds, members, report);
  const budget = { left: inflatedBytesMax };
  return members.map((member) => ({
    name: member.name,
    size: member.rawBytes,
    placed: member,
    head: () => headOf(file, member),
    open: () => openMember(file, member, budget, report),
  }));
}

function headOf(file: ByteReader, { start, bytes, method }: Placed): Uint8Array {
  if (start === undefined || start + bytes > file.size) return new Uint8Array(0);
  const stream = partOf(file, start, start + bytes);
  if (method === stored) return stream.read(0, headBytes);
  return method === deflated ? inflatedHead(stream).subarray(0, headBytes) : new Uint8Array(0);
}

function checkEntry(file: ByteReader, entry: ZipEntry, from: number, report: Report): Placed {
  const where = `member ${quoted(entry.name)}`;
  checkName(entry, where, report);
  if (entry.method !== stored && entry.method !== deflated)
    report.add('zip-method', `It is packed by method ${entry.method}`, where);
  if (entry.method === stored && entry.bytes !== entry.rawBytes)
    report.add('zip-headers-differ', 'It is stored, and has two sizes', where);
  if (entry.rawBytes > ratioBytesMin && entry.rawBytes > entry.bytes * ratioMax)
    report.add('zip-bomb', `${entry.bytes} bytes unfold to ${entry.rawBytes}`, where);
  const start = ifThisFormat(() => checkLocal(file, entry, from, where, report));
  if (start === undefined)
    report.add('zip-headers-differ', 'There is no local header where it should be', where);
  return { ...entry, from, start };
}

function checkName({ name, attributes }: ZipEntry, where: string, report: Report): void {
  const parts = name.split('/');
  const leaves = name.startsWith('/') || parts.includes('..') || /^[A-Za-z]:/.test(name);
  if (leaves || /[\\\0]/.test(name) || name === '')
    report.add('zip-path', 'Its name leads out of a folder, or cannot be used', where);
  // The type of the file in attributes of Unix: a symbolic link.
  if (((attributes >>> 16) & 0xf000) === 0xa000)
    report.add('zip-path', 'It is a symbolic link', where);
}

/** Compares the local header with the entry; returns where the stored bytes start. */
function checkLocal(
  file: ByteReader,
  entry: ZipEntry,
  from: number,
  where: string,
  report: Report,
): number {
  const reader = new WindowReader(file, from, file.size, 256);
  expectFormat(reader.u32() === localSignature);
  reader.skip(2);
  const flags = reader.u16();
  const method = reader.u16();
  reader.skip(4);
  const crc = reader.u32();
  const sizes = [reader.u32(), reader.u32()];
  const nameBytes = reader.u16();
  const extraBytes = reader.u16();
  const name = reader.text(nameBytes);
  const differ = (what: string): void =>
    report.add('zip-headers-differ', `Its local header has another ${what}`, where);
  if (name !== entry.name) differ(`name, ${quoted(name)}`);
  if (method !== entry.method) differ('method');
  if ((flags & flagDescriptor) !== (entry.flags & flagDescriptor)) differ('flag');
  const isLater = (flags & flagDescriptor) !== 0;
  if (crc !== entry.crc && !(isLater && crc === 0)) differ('CRC');
  const wanted = [entry.bytes, entry.rawBytes];
  const same = sizes.every(
    (size, i) => size === wanted[i] || size === 0xffffffff || (isLater && size === 0),
  );
  if (!same) differ('size');
  if (((flags | entry.flags) & flagsEncrypted) !== 0)
    report.add('zip-encrypted', 'It is marked as encrypted', where);
  return from + localBytes + nameBytes + extraBytes;
}

function checkNames(members: readonly Placed[], report: Report): void {
  const names = new Set<string>();
  for (const { name } of members) {
    if (names.has(name))
      report.add('zip-duplicate', 'Its name stands twice', `member ${quoted(name)}`);
    names.add(name);
  }
}

/** Another end of a directory belongs to an archive that is a member, or readers could take it for the end. */
function checkEnds(ends: readonly number[], members: readonly Placed[], report: Report): void {
  const stray = ends.find(
    (at) =>
      !members.some(({ start, bytes }) => start !== undefined && at >= start && at < start + bytes),
  );
  if (stray !== undefined)
    report.add('zip-several-ends', 'There is another end of a directory', `byte ${stray}`);
}

/** Members must lie side by side from the first byte to the central directory. */
function checkLayout(members: readonly Placed[], directory: number, report: Report): void {
  const sorted = [...members].sort((a, b) => a.from - b.from);
  let at = 0;
  let room = 0;
  for (const { name, from, start, bytes, flags } of sorted) {
    const where = `member ${quoted(name)}`;
    if (from < at) report.add('zip-overlap', 'It overlaps the member before it', where);
    else if (from > at + room) tellGap(at, from, where, report);
    const end = (start ?? from + localBytes) + bytes;
    if (end > directory) report.add('zip-overlap', 'It overlaps the central directory', where);
    at = Math.max(at, end);
    room = (flags & flagDescriptor) === 0 ? 0 : descriptorBytesMax;
  }
  if (sorted.length > 0 && directory > at + room)
    report.add('zip-gap', `${directory - at} bytes lie before the directory`, `byte ${at}`);
}

function tellGap(at: number, from: number, where: string, report: Report): void {
  if (at === 0) report.add('zip-data-before', `${from} bytes lie before the first member`);
  else report.add('zip-gap', `${from - at} bytes lie before it`, where);
}

function openMember(
  file: ByteReader,
  member: Placed,
  budget: InflateBudget,
  report: Report,
): ByteReader | undefined {
  const { start, bytes, rawBytes, method, crc } = member;
  const where = `member ${quoted(member.name)}`;
  if (start === undefined || start + bytes > file.size) return undefined;
  const checked = (content: Uint8Array): ByteReader => {
    if (crc32(content) !== crc)
      report.add('zip-checksum', 'It has another CRC than is told', where);
    return memoryFile(content);
  };
  if (method === stored)
    return bytes <= smallBytesMax
      ? checked(file.read(start, bytes))
      : partOf(file, start, start + bytes);
  if (method !== deflated) return undefined;
  const stream = partOf(file, start, start + bytes);
  return new InflatedFile(stream, rawBytes, budget, (content) => {
    if (content === undefined)
      report.add('zip-checksum', 'It does not unfold to what is told', where);
    else checked(content);
  });
}
