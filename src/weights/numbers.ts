/** A kind of number that tensors hold. */
export type NumberKind =
  | 'f64'
  | 'f32'
  | 'f16'
  | 'bf16'
  | 'f8e4m3'
  | 'f8e4m3fnuz'
  | 'f8e5m2'
  | 'f8e5m2fnuz'
  | 'f8e8m0'
  | 'i64'
  | 'i32'
  | 'i16'
  | 'i8'
  | 'u64'
  | 'u32'
  | 'u16'
  | 'u8'
  | 'bool'
  | 'c64'
  | 'c128';

/** Bytes of one value. */
export const kindBytes: Readonly<Record<NumberKind, number>> = {
  f64: 8,
  f32: 4,
  f16: 2,
  bf16: 2,
  f8e4m3: 1,
  f8e4m3fnuz: 1,
  f8e5m2: 1,
  f8e5m2fnuz: 1,
  f8e8m0: 1,
  i64: 8,
  i32: 4,
  i16: 2,
  i8: 1,
  u64: 8,
  u32: 4,
  u16: 2,
  u8: 1,
  bool: 1,
  c64: 8,
  c128: 16,
};

/** Numbers of one value: a complex one has two. */
export function lanesOf(kind: NumberKind): number {
  return kind === 'c64' || kind === 'c128' ? 2 : 1;
}

/** The form of a float of at most 16 bits. */
interface FloatForm {
  readonly exponentBits: number;
  readonly mantissaBits: number;
  readonly bias: number;
  /**
   * What is no number: as IEEE 754 has it, with infinities; all bits set alone; or minus zero alone, of which
   * there is none then.
   */
  readonly special: 'ieee' | 'ones' | 'minus-zero';
}

/**
 * Sources: IEEE 754 for F16; "FP8 Formats for Deep Learning" (arXiv 2209.05433) for E4M3 and E5M2; the page
 * "Float stored in 8 bits" of onnx/onnx for FNUZ.
 */
const floatForms: Readonly<Partial<Record<NumberKind, FloatForm>>> = {
  f16: { exponentBits: 5, mantissaBits: 10, bias: 15, special: 'ieee' },
  f8e5m2: { exponentBits: 5, mantissaBits: 2, bias: 15, special: 'ieee' },
  f8e4m3: { exponentBits: 4, mantissaBits: 3, bias: 7, special: 'ones' },
  f8e5m2fnuz: { exponentBits: 5, mantissaBits: 2, bias: 16, special: 'minus-zero' },
  f8e4m3fnuz: { exponentBits: 4, mantissaBits: 3, bias: 8, special: 'minus-zero' },
};

function floatOf(bits: number, form: FloatForm): number {
  const { exponentBits, mantissaBits, bias, special } = form;
  const signBit = 1 << (exponentBits + mantissaBits);
  const magnitude = bits & (signBit - 1);
  const sign = bits & signBit ? -1 : 1;
  const exponent = magnitude >> mantissaBits;
  const fraction = (magnitude & ((1 << mantissaBits) - 1)) / 2 ** mantissaBits;
  if (special === 'minus-zero' && bits === signBit) return Number.NaN;
  if (special === 'ones' && magnitude === signBit - 1) return Number.NaN;
  if (special === 'ieee' && exponent === 2 ** exponentBits - 1)
    return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return exponent === 0
    ? sign * fraction * 2 ** (1 - bias)
    : sign * (1 + fraction) * 2 ** (exponent - bias);
}

const tables = new Map<NumberKind, Float32Array>();

/** All values of a kind of at most 16 bits that is none of the processor's; a float of 32 bits holds each. */
function tableOf(kind: NumberKind): Float32Array {
  const known = tables.get(kind);
  if (known !== undefined) return known;
  const table = new Float32Array(2 ** (8 * kindBytes[kind]));
  const form = floatForms[kind];
  for (let bits = 0; bits < table.length; bits++) {
    if (form !== undefined) table[bits] = floatOf(bits, form);
    else if (kind === 'bool') table[bits] = bits === 0 ? 0 : 1;
    // E8M0 is a power of two alone. Source: the OCP specification of microscaling formats, version 1.0.
    else table[bits] = bits === 255 ? Number.NaN : 2 ** (bits - 127);
  }
  tables.set(kind, table);
  return table;
}

/** Makes views of more than one byte possible: the same bytes, copied where they start at an odd place. */
export function aligned(bytes: Uint8Array): Uint8Array {
  return bytes.byteOffset % 8 === 0 ? bytes : new Uint8Array(bytes);
}

/**
 * Reads the numbers of some whole values, little-endian. Integers of 64 bits are rounded to the nearest double.
 * @param bytes as {@link aligned} gives them
 * @param into has room for them
 * @returns how many there are
 */
export function readNumbers(kind: NumberKind, bytes: Uint8Array, into: Float64Array): number {
  const { buffer, byteOffset: at, length } = bytes;
  switch (kind) {
    case 'f64':
    case 'c128':
      return take(new Float64Array(buffer, at, length / 8), into);
    case 'f32':
    case 'c64':
      return take(new Float32Array(buffer, at, length / 4), into);
    case 'i32':
      return take(new Int32Array(buffer, at, length / 4), into);
    case 'u32':
      return take(new Uint32Array(buffer, at, length / 4), into);
    case 'i16':
      return take(new Int16Array(buffer, at, length / 2), into);
    case 'u16':
      return take(new Uint16Array(buffer, at, length / 2), into);
    case 'i8':
      return take(new Int8Array(buffer, at, length), into);
    case 'u8':
      return take(bytes, into);
    case 'bf16':
      return takeUpperHalves(new Uint16Array(buffer, at, length / 2), into);
    case 'f16':
      return takeByTable(new Uint16Array(buffer, at, length / 2), tableOf(kind), into);
    case 'i64':
    case 'u64':
      return takeWide(new Uint32Array(buffer, at, length / 4), kind === 'i64', into);
    default:
      return takeByTable(bytes, tableOf(kind), into);
  }
}

function take(values: ArrayLike<number>, into: Float64Array): number {
  into.set(values);
  return values.length;
}

function takeByTable(
  bits: Uint8Array | Uint16Array,
  table: Float32Array,
  into: Float64Array,
): number {
  for (let i = 0; i < bits.length; i++) into[i] = table[bits[i] as number] as number;
  return bits.length;
}

/** A float of 16 bits with the exponent of one of 32: its upper half. */
function takeUpperHalves(bits: Uint16Array, into: Float64Array): number {
  const words = new Uint32Array(bits.length);
  for (let i = 0; i < bits.length; i++) words[i] = (bits[i] as number) << 16;
  return take(new Float32Array(words.buffer), into);
}

function takeWide(words: Uint32Array, signed: boolean, into: Float64Array): number {
  const count = words.length / 2;
  for (let i = 0; i < count; i++) {
    const high = words[2 * i + 1] as number;
    into[i] = (signed ? high | 0 : high) * 2 ** 32 + (words[2 * i] as number);
  }
  return count;
}

/**
 * Subtracts integers of 64 bits, `b - a`, before they are rounded: neighbours above 2^53 differ too.
 * @param into has room for the differences
 */
export function subtractWide(
  kind: 'i64' | 'u64',
  a: Uint8Array,
  b: Uint8Array,
  into: Float64Array,
): void {
  const [wordsA, wordsB] = [a, b].map(
    ({ buffer, byteOffset, length }) => new Uint32Array(buffer, byteOffset, length / 4),
  ) as [Uint32Array, Uint32Array];
  const sign = (high: number): number => (kind === 'i64' ? high | 0 : high);
  for (let i = 0; i < wordsA.length / 2; i++) {
    const high = sign(wordsB[2 * i + 1] as number) - sign(wordsA[2 * i + 1] as number);
    into[i] = high * 2 ** 32 + ((wordsB[2 * i] as number) - (wordsA[2 * i] as number));
  }
}
