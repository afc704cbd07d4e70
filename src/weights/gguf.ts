import type { ByteReader } from './byte-reader.ts';
import type { Extent } from './extents.ts';
import { expectFormat, ifThisFormat, WindowReader } from './window-reader.ts';

/** The parts of a GGUF file that stay the same on their own. */
export interface GgufLayout {
  /** Offset in the file at which the tensor data starts. */
  readonly dataStart: number;
  readonly tensors: readonly Extent[];
  /** Elements of metadata arrays, and metadata strings, of at least the bytes asked for. */
  readonly values: readonly Extent[];
}

/** Metadata and tensor table end within this; a frozen part of the cut rules. */
const headerBytesMax = 64 * 1024 * 1024;
/** Metadata values, and tensors; frozen too. */
const countMax = 1024 * 1024;
const dimensionsMax = 4;
const alignmentDefault = 32;
const magic = 0x46554747;

const typeU32 = 4;
const typeString = 8;
const typeArray = 9;
/** Bytes of metadata values of fixed size, by type. */
const scalarBytes: Readonly<Record<number, number>> = {
  0: 1,
  1: 1,
  2: 2,
  3: 2,
  4: 4,
  5: 4,
  6: 4,
  7: 1,
  10: 8,
  11: 8,
  12: 8,
};

/** Elements and bytes of a block, by tensor type. Source: ggml.h, ggml-common.h of ggml-org/ggml. */
export const ggufBlocks: Readonly<Record<number, readonly [elements: number, bytes: number]>> = {
  0: [1, 4],
  1: [1, 2],
  2: [32, 18],
  3: [32, 20],
  6: [32, 22],
  7: [32, 24],
  8: [32, 34],
  9: [32, 36],
  10: [256, 84],
  11: [256, 110],
  12: [256, 144],
  13: [256, 176],
  14: [256, 210],
  15: [256, 292],
  16: [256, 66],
  17: [256, 74],
  18: [256, 98],
  19: [256, 50],
  20: [32, 18],
  21: [256, 110],
  22: [256, 82],
  23: [256, 136],
  24: [1, 1],
  25: [1, 2],
  26: [1, 4],
  27: [1, 8],
  28: [1, 8],
  29: [256, 56],
  30: [1, 2],
  34: [256, 54],
  35: [256, 66],
  39: [32, 17],
};

/** Tells whether a file may be GGUF by its first bytes. */
export function looksLikeGguf(head: DataView): boolean {
  return head.byteLength >= 8 && head.getUint32(0, true) === magic;
}

/**
 * Reads the header of a GGUF file, version 2 or 3, little-endian: metadata, then a table of tensors, then
 * their data. Source: docs/gguf.md and src/gguf.cpp of ggml-org/ggml.
 * @param valueBytesMin metadata values below this are not listed
 * @returns undefined when the file is none, or its header is damaged or too large
 */
export function readGgufLayout(file: ByteReader, valueBytesMin: number): GgufLayout | undefined {
  return ifThisFormat(() => {
    const reader = new WindowReader(file, 0, headerBytesMax);
    expectFormat(reader.u32() === magic);
    const version = reader.u32();
    expectFormat(version === 2 || version === 3);
    const tensorCount = reader.u64();
    const valueCount = reader.u64();
    expectFormat(tensorCount <= countMax && valueCount <= countMax);
    const { values, alignment } = readMetadata(reader, valueCount, valueBytesMin);
    const table: TableRow[] = [];
    for (let i = 0; i < tensorCount; i++) table.push(readTableRow(reader));
    const dataStart = Math.ceil(reader.at / alignment) * alignment;
    expectFormat(dataStart <= file.size);
    return { dataStart, tensors: placeTensors(table, dataStart, file.size), values };
  });
}

/** Reads metadata, of which those of at least so many bytes are listed; tells the alignment of tensors. */
export function readMetadata(
  reader: WindowReader,
  count: number,
  bytesMin: number,
): { values: Extent[]; alignment: number } {
  const values: Extent[] = [];
  let alignment = alignmentDefault;
  for (let i = 0; i < count; i++) {
    const keyLength = reader.u64();
    const isAlignment = keyLength === 17 && reader.text(keyLength) === 'general.alignment';
    if (keyLength !== 17) reader.skip(keyLength);
    const type = reader.u32();
    if (isAlignment) {
      expectFormat(type === typeU32);
      alignment = reader.u32();
      expectFormat(alignment > 0 && (alignment & (alignment - 1)) === 0);
      continue;
    }
    const value = readValue(reader, type);
    if (value.end - value.start >= bytesMin) values.push(value);
  }
  return { values, alignment };
}

/** Steps over a value; returns where its elements or characters lie, behind what counts them. */
function readValue(reader: WindowReader, type: number): Extent {
  if (type === typeArray) return readArray(reader);
  if (type === typeString) {
    const length = reader.u64();
    const start = reader.at;
    reader.skip(length);
    return { start, end: reader.at };
  }
  const bytes = scalarBytes[type];
  expectFormat(bytes !== undefined);
  const start = reader.at;
  reader.skip(bytes);
  return { start, end: reader.at };
}

function readArray(reader: WindowReader): Extent {
  const type = reader.u32();
  const count = reader.u64();
  const start = reader.at;
  if (type === typeString) {
    for (let i = 0; i < count; i++) reader.skip(reader.u64());
  } else {
    const bytes = scalarBytes[type];
    expectFormat(bytes !== undefined);
    reader.skip(count * bytes);
  }
  return { start, end: reader.at };
}

interface TableRow {
  /** Relative to the start of the data. */
  readonly offset: number;
  /** Undefined for a type that is not known here. */
  readonly bytes: number | undefined;
}

function readTableRow(reader: WindowReader): TableRow {
  reader.skip(reader.u64());
  const dimensions = reader.u32();
  expectFormat(dimensions <= dimensionsMax);
  let elements = 1;
  let rowElements = 1;
  for (let i = 0; i < dimensions; i++) {
    const length = reader.u64();
    if (i === 0) rowElements = length;
    elements *= length;
    expectFormat(elements <= Number.MAX_SAFE_INTEGER);
  }
  const block = ggufBlocks[reader.u32()];
  const offset = reader.u64();
  if (block === undefined) return { offset, bytes: undefined };
  expectFormat(rowElements % block[0] === 0);
  return { offset, bytes: (elements / block[0]) * block[1] };
}

/** A tensor of unknown type ends where the next one starts, or with the file. */
function placeTensors(table: readonly TableRow[], dataStart: number, fileSize: number): Extent[] {
  const rows = [...table].sort((a, b) => b.offset - a.offset);
  const tensors: Extent[] = [];
  let next = fileSize;
  let last = fileSize;
  for (const { offset, bytes } of rows) {
    const start = dataStart + offset;
    if (start < last) {
      next = last;
      last = start;
    }
    const end = bytes === undefined ? next : start + bytes;
    expectFormat(start <= fileSize && end <= fileSize);
    tensors.push({ start, end });
  }
  return tensors;
}
