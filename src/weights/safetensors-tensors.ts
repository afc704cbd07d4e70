import { isJsonObject } from '../base/json.ts';
import type { ByteReader } from './byte-reader.ts';
import { safetensorsBits } from './dtypes.ts';
import { readJson } from './json-text.ts';
import { kindBytes, type NumberKind } from './numbers.ts';
import {
  bytesCoding,
  type Coding,
  elementsOf,
  expectSound,
  numbersCoding,
  type TensorEntry,
  tensorText,
} from './tensors.ts';

/** The limit of the reference implementation. */
export const headerBytesMax = 100_000_000;
const lengthBytes = 8;
const openingBrace = 0x7b;

const kinds: Readonly<Record<string, NumberKind>> = {
  BOOL: 'bool',
  U8: 'u8',
  I8: 'i8',
  F8_E5M2: 'f8e5m2',
  F8_E4M3: 'f8e4m3',
  F8_E8M0: 'f8e8m0',
  F8_E4M3FNUZ: 'f8e4m3fnuz',
  F8_E5M2FNUZ: 'f8e5m2fnuz',
  I16: 'i16',
  U16: 'u16',
  F16: 'f16',
  BF16: 'bf16',
  I32: 'i32',
  U32: 'u32',
  F32: 'f32',
  C64: 'c64',
  F64: 'f64',
  I64: 'i64',
  U64: 'u64',
};

/** Tells whether a file may be safetensors by its first nine bytes. */
export function looksLikeSafetensors(head: DataView, size: number): boolean {
  if (head.byteLength < lengthBytes + 1 || head.getUint8(lengthBytes) !== openingBrace)
    return false;
  return head.getBigUint64(0, true) <= BigInt(Math.max(size, headerBytesMax));
}

/**
 * Lists the tensors of a safetensors file, in the order of its header. Memory: some ten times the header, which
 * has 100 MB at most.
 * @throws TensorsUnreadable
 */
export function readSafetensorsTensors(file: ByteReader): TensorEntry[] {
  expectSound(file.size >= lengthBytes, 'It is shorter than the length of a header');
  const head = file.read(0, lengthBytes);
  const length = new DataView(head.buffer, head.byteOffset, head.length).getBigUint64(0, true);
  expectSound(
    length <= BigInt(headerBytesMax) && Number(length) <= file.size - lengthBytes,
    `Its header is said to have ${length} bytes, which cannot be`,
  );
  const dataStart = lengthBytes + Number(length);
  const { value, problem, duplicate } = readJson(file.read(lengthBytes, Number(length)));
  expectSound(isJsonObject(value), `Its header is no JSON object: ${problem ?? 'another value'}`);
  expectSound(
    duplicate === undefined,
    `A name stands twice in its header: ${tensorText(duplicate ?? '')}`,
  );
  return Object.entries(value)
    .filter(([name]) => name !== '__metadata__')
    .map(([name, entry]) => tensorOf(name, entry, dataStart, file.size));
}

function tensorOf(name: string, value: unknown, dataStart: number, fileSize: number): TensorEntry {
  const entry = isJsonObject(value) ? value : {};
  const { dtype, shape, data_offsets: offsets } = entry as Record<string, unknown>;
  const where = tensorText(name);
  expectSound(
    typeof dtype === 'string' && isCounts(shape) && isCounts(offsets) && offsets.length === 2,
    `The ${where} needs a dtype, a shape of whole numbers and two data_offsets`,
  );
  const [begin = 0, end = 0] = offsets;
  expectSound(
    begin <= end && dataStart + end <= fileSize,
    `The data of the ${where} leave the file`,
  );
  const elements = elementsOf(shape, name);
  const bits = safetensorsBits.get(dtype);
  const bytes = end - begin;
  expectSound(
    bits === undefined || elements * bits === bytes * 8,
    `The shape and dtype of the ${where} do not need the ${bytes} bytes that it has`,
  );
  const data = { kind: 'plain', start: dataStart + begin, end: dataStart + end } as const;
  return { name, dtype, shape, bytes, coding: codingOf(dtype, bits), data };
}

function codingOf(dtype: string, bits: number | undefined): Coding {
  const kind = Object.hasOwn(kinds, dtype) ? kinds[dtype] : undefined;
  return kind === undefined ? bytesCoding(bits) : numbersCoding(kind, kindBytes[kind]);
}

function isCounts(value: unknown): value is number[] {
  return (
    Array.isArray(value) &&
    value.every((item) => typeof item === 'number' && Number.isSafeInteger(item) && item >= 0)
  );
}
