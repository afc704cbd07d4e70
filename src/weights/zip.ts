import type { ByteReader } from './byte-reader.ts';
import type { Extent } from './extents.ts';
import { expectFormat, ifThisFormat, NotThisFormat, WindowReader } from './window-reader.ts';

/** Bounds of the central directory; frozen parts of the cut rules. */
const entriesMax = 1_000_000;
const directoryBytesMax = 128 * 1024 * 1024;

const localSignature = 0x04034b50;
const entrySignature = 0x02014b50;
const endSignature = 0x06054b50;
const end64Signature = 0x06064b50;
const locatorSignature = 0x07064b50;
const endBytes = 22;
const commentBytesMax = 0xffff;
const locatorBytes = 20;
const end64BytesMin = 56;
const localBytes = 30;
const entryBytes = 46;
/** Id of the extra field that holds sizes and offsets of 64 bits. */
const extra64 = 1;
/** Values that stand for one of 64 bits elsewhere. */
const elsewhere16 = 0xffff;
const elsewhere32 = 0xffffffff;

/** Tells whether a file may be a zip archive by its first bytes. */
export function looksLikeZip(head: DataView): boolean {
  return head.byteLength >= 4 && head.getUint32(0, true) === localSignature;
}

/**
 * Finds the stored data of the members of a zip archive, as PyTorch, NumPy and Keras write them: of
 * those of at least `bytesMin` bytes. Compressed or not plays no part. Source: APPNOTE.TXT of PKWARE,
 * version 6.3.
 * @returns in the order of the central directory; undefined when the file is none, or anything in it is
 * inconsistent, or there are too many members
 */
export function readZipMembers(file: ByteReader, bytesMin: number): Extent[] | undefined {
  return ifThisFormat(() => {
    expectFormat(new WindowReader(file, 0, file.size).u32() === localSignature);
    const directory = findDirectory(file);
    const large = readDirectory(file, directory, bytesMin);
    return large.map((member) => locate(file, member, directory.start));
  });
}

interface Directory extends Extent {
  readonly entries: number;
}

/** Finds the central directory by the record at the end of the file, behind which a comment may be. */
function findDirectory(file: ByteReader): Directory {
  const tailStart = Math.max(0, file.size - endBytes - commentBytesMax);
  const tail = file.read(tailStart, file.size - tailStart);
  expectFormat(tail.length === file.size - tailStart);
  const view = new DataView(tail.buffer, tail.byteOffset, tail.length);
  for (let at = tail.length - endBytes; at >= 0; at--) {
    if (view.getUint32(at, true) !== endSignature) continue;
    if (at + endBytes + view.getUint16(at + 20, true) !== tail.length) continue;
    return readEnd(file, tailStart + at);
  }
  throw new NotThisFormat();
}

/** Reads the record at the end, and the one of 64 bits where its locator stands before it. */
function readEnd(file: ByteReader, at: number): Directory {
  const reader = new WindowReader(file, at + 4, file.size);
  expectFormat(reader.u16() === 0 && reader.u16() === 0);
  const entriesHere = reader.u16();
  const entries = reader.u16();
  const bytes = reader.u32();
  const start = reader.u32();
  expectFormat(entriesHere === entries);
  const wide = readEnd64(file, at - locatorBytes);
  if (wide === undefined) return checked({ start, end: start + bytes, entries }, at);
  const same = (narrow: number, value: number, elsewhere: number): boolean =>
    narrow === value || narrow === elsewhere;
  expectFormat(same(entries, wide.entries, elsewhere16));
  expectFormat(same(bytes, wide.end - wide.start, elsewhere32));
  expectFormat(same(start, wide.start, elsewhere32));
  return wide;
}

function readEnd64(file: ByteReader, locatorAt: number): Directory | undefined {
  if (locatorAt < 0) return undefined;
  const locator = new WindowReader(file, locatorAt, locatorAt + locatorBytes);
  if (locator.u32() !== locatorSignature) return undefined;
  expectFormat(locator.u32() === 0);
  const at = locator.u64();
  expectFormat(locator.u32() <= 1 && at + end64BytesMin <= locatorAt);
  const reader = new WindowReader(file, at, locatorAt);
  expectFormat(reader.u32() === end64Signature);
  expectFormat(at + 12 + reader.u64() === locatorAt);
  reader.skip(4);
  expectFormat(reader.u32() === 0 && reader.u32() === 0);
  const entriesHere = reader.u64();
  const entries = reader.u64();
  const bytes = reader.u64();
  const start = reader.u64();
  expectFormat(entriesHere === entries);
  return checked({ start, end: start + bytes, entries }, at);
}

/** The directory must end where the record that names it starts. */
function checked(directory: Directory, recordAt: number): Directory {
  const { start, end, entries } = directory;
  expectFormat(end === recordAt && end - start <= directoryBytesMax);
  expectFormat(entries <= entriesMax && entries * entryBytes <= end - start);
  return directory;
}

/** What the central directory says of a member. */
export interface ZipEntry {
  readonly flags: number;
  readonly method: number;
  readonly crc: number;
  /** Bytes as they are stored. */
  readonly bytes: number;
  /** Not exact above 2^53. */
  readonly rawBytes: number;
  readonly nameBytes: number;
  /** What is not UTF-8 is U+FFFD; empty where names were not asked for. */
  readonly name: string;
  readonly disk: number;
  /** Attributes of the file, as the system that made the archive has them. */
  readonly attributes: number;
  /** Offset of its local header. */
  readonly at: number;
}

/** Lists the large members; together they must have room before the directory. */
function readDirectory(file: ByteReader, directory: Directory, bytesMin: number): ZipEntry[] {
  const reader = new WindowReader(file, directory.start, directory.end);
  const large: ZipEntry[] = [];
  let bytesTotal = 0;
  for (let i = 0; i < directory.entries; i++) {
    const member = readZipEntry(reader, false);
    expectFormat(member.disk === 0);
    if (member.bytes < bytesMin) continue;
    bytesTotal += member.bytes + localBytes;
    expectFormat(bytesTotal <= directory.start);
    large.push(member);
  }
  expectFormat(reader.at === directory.end);
  return large;
}

/**
 * Reads one entry of the central directory, whose first byte is the next one.
 * @throws NotThisFormat when there is none, or it is damaged
 */
export function readZipEntry(reader: WindowReader, withName: boolean): ZipEntry {
  expectFormat(reader.u32() === entrySignature);
  reader.skip(4);
  const flags = reader.u16();
  const method = reader.u16();
  reader.skip(4);
  const crc = reader.u32();
  const narrow = { bytes: reader.u32(), rawBytes: reader.u32(), at: 0 };
  const nameBytes = reader.u16();
  const extraBytes = reader.u16();
  const commentBytes = reader.u16();
  const disk = reader.u16();
  reader.skip(2);
  const attributes = reader.u32();
  narrow.at = reader.u32();
  const name = withName ? reader.text(nameBytes) : '';
  if (!withName) reader.skip(nameBytes);
  const extraEnd = reader.at + extraBytes;
  const wide = widen(reader, extraEnd, narrow);
  reader.skip(extraEnd - reader.at + commentBytes);
  return { flags, method, crc, nameBytes, name, disk, attributes, ...wide };
}

/** Sizes and the offset of a member. */
interface Sizes {
  readonly bytes: number;
  readonly rawBytes: number;
  readonly at: number;
}

/** Takes values of 64 bits from the extra field where the entry says that they are there. */
function widen(reader: WindowReader, extraEnd: number, narrow: Sizes): Sizes {
  let { bytes, rawBytes, at } = narrow;
  const isWide = [rawBytes, bytes, at].includes(elsewhere32);
  while (isWide && reader.at + 4 <= extraEnd) {
    const id = reader.u16();
    const fieldEnd = reader.u16() + reader.at;
    expectFormat(fieldEnd <= extraEnd);
    if (id === extra64) {
      if (rawBytes === elsewhere32) rawBytes = reader.u32() + reader.u32() * 2 ** 32;
      if (bytes === elsewhere32) bytes = reader.u64();
      if (at === elsewhere32) at = reader.u64();
      expectFormat(reader.at <= fieldEnd);
      break;
    }
    reader.skip(fieldEnd - reader.at);
  }
  return { bytes, rawBytes, at };
}

/** Finds the data of a member behind its local header, whose name must have the length of the entry's. */
function locate(file: ByteReader, member: ZipEntry, directoryStart: number): Extent {
  const reader = new WindowReader(file, member.at, member.at + localBytes);
  expectFormat(reader.u32() === localSignature);
  reader.skip(22);
  expectFormat(reader.u16() === member.nameBytes);
  const extraBytes = reader.u16();
  const start = member.at + localBytes + member.nameBytes + extraBytes;
  expectFormat(start + member.bytes <= directoryStart);
  return { start, end: start + member.bytes };
}
