import type { ByteReader } from '../weights/byte-reader.ts';
import { expectFormat, ifThisFormat, WindowReader } from '../weights/window-reader.ts';
import type { Report } from './report.ts';

const endSignature = 0x06054b50;
const end64Signature = 0x06064b50;
const locatorSignature = 0x07064b50;
const endBytes = 22;
const locatorBytes = 20;
const end64BytesMin = 56;
const commentBytesMax = 0xffff;
const elsewhere16 = 0xffff;
const elsewhere32 = 0xffffffff;
const entryBytes = 46;

/** The central directory of an archive. */
interface ZipDirectory {
  readonly start: number;
  readonly end: number;
  /** Members. */
  readonly count: number;
  /** What is added to offsets in it: bytes that lie before the archive. */
  readonly shift: number;
  /** Offsets of what may be other ends of a directory. */
  readonly otherEnds: readonly number[];
}

/** What the record at the end tells. */
interface EndRecord {
  readonly count: number;
  readonly bytes: number;
  readonly start: number;
  /** Where the directory must end. */
  readonly at: number;
}

/**
 * Finds the central directory by the last record that may be its end, as readers do, and notes what makes
 * them differ: several ends, a comment of another length, bytes before the archive.
 */
export function findDirectory(file: ByteReader, report: Report): ZipDirectory | undefined {
  const tailStart = Math.max(0, file.size - endBytes - commentBytesMax);
  const tail = Buffer.from(file.read(tailStart, file.size - tailStart));
  const ends = candidates(tail);
  const at = ends.at(-1);
  if (at === undefined) {
    report.add('zip-directory', 'There is no end of a central directory');
    return undefined;
  }
  if (at + endBytes + tail.readUInt16LE(at + 20) !== tail.length)
    report.add(
      'zip-directory',
      'The comment at the end has another length',
      `byte ${tailStart + at}`,
    );
  const record = ifThisFormat(() => readEnd(file, tailStart + at));
  if (record === undefined) {
    report.add('zip-directory', 'The end of the directory is damaged', `byte ${tailStart + at}`);
    return undefined;
  }
  const others = ends.filter((one) => one !== at && isPlausible(tail, one, tailStart));
  return place(
    record,
    others.map((one) => tailStart + one),
    report,
  );
}

function candidates(tail: Buffer): number[] {
  const signature = Buffer.from([0x50, 0x4b, 0x05, 0x06]);
  const found: number[] = [];
  for (let at = tail.indexOf(signature); at >= 0; at = tail.indexOf(signature, at + 1))
    if (at + endBytes <= tail.length) found.push(at);
  return found;
}

/** Tells an end of a directory from bytes that only look like its signature. */
function isPlausible(tail: Buffer, at: number, tailStart: number): boolean {
  const isOneDisk = tail.readUInt32LE(at + 4) === 0;
  const isCounted = tail.readUInt16LE(at + 8) === tail.readUInt16LE(at + 10);
  return isOneDisk && isCounted && tail.readUInt32LE(at + 12) <= tailStart + at;
}

function readEnd(file: ByteReader, at: number): EndRecord {
  const reader = new WindowReader(file, at, file.size, 64);
  expectFormat(reader.u32() === endSignature && reader.u16() === 0 && reader.u16() === 0);
  const here = reader.u16();
  const narrow = { count: reader.u16(), bytes: reader.u32(), start: reader.u32(), at };
  expectFormat(here === narrow.count);
  return readEnd64(file, narrow) ?? narrow;
}

/** Reads the record of 64 bits where its locator stands before the one of 32, and they agree. */
function readEnd64(file: ByteReader, narrow: EndRecord): EndRecord | undefined {
  const locatorAt = narrow.at - locatorBytes;
  if (locatorAt < 0) return undefined;
  const locator = new WindowReader(file, locatorAt, narrow.at, locatorBytes);
  if (locator.u32() !== locatorSignature) return undefined;
  expectFormat(locator.u32() === 0);
  const told = locator.u64();
  // Bytes before the archive shift the record as well: it has to stand right before its locator.
  const at = locatorAt - end64BytesMin;
  expectFormat(told <= at);
  const reader = new WindowReader(file, at, locatorAt, end64BytesMin);
  expectFormat(reader.u32() === end64Signature);
  expectFormat(reader.u64() === end64BytesMin - 12);
  reader.skip(4);
  expectFormat(reader.u32() === 0 && reader.u32() === 0);
  const here = reader.u64();
  const wide = { count: reader.u64(), bytes: reader.u64(), start: reader.u64(), at };
  // Some readers follow the locator, others take what stands before it: both must find the same record.
  expectFormat(here === wide.count && told === wide.start + wide.bytes);
  const agrees = (small: number, large: number, elsewhere: number): boolean =>
    small === large || small === elsewhere;
  expectFormat(agrees(narrow.count, wide.count, elsewhere16));
  expectFormat(agrees(narrow.bytes, wide.bytes, elsewhere32));
  expectFormat(agrees(narrow.start, wide.start, elsewhere32));
  return wide;
}

function place(
  { count, bytes, start, at }: EndRecord,
  otherEnds: readonly number[],
  report: Report,
): ZipDirectory | undefined {
  const shift = at - bytes - start;
  if (shift < 0 || count * entryBytes > bytes) {
    report.add('zip-directory', 'The directory does not fit where it should be', `byte ${at}`);
    return undefined;
  }
  if (shift > 0) report.add('zip-data-before', `${shift} bytes lie before the archive`, 'byte 0');
  return { start: at - bytes, end: at, count, shift, otherEnds };
}
