import { field, numberField, onnxModel } from './onnx.ts';
import { withHeader } from './safetensors.ts';

/** A tensor with its type and shape. */
export interface TypedTensor {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly bytes: Buffer;
}

/** A safetensors file with tensors of any type, in the order given. */
export function typedFile(tensors: readonly TypedTensor[]): Buffer {
  let at = 0;
  const entries = tensors.map(({ name, dtype, shape, bytes }) => {
    const start = at;
    at += bytes.length;
    return [name, { dtype, shape, data_offsets: [start, at] }] as const;
  });
  const header = Object.fromEntries(entries);
  return withHeader(JSON.stringify(header), Buffer.concat(tensors.map(({ bytes }) => bytes)));
}

/** A tensor of floats of 32 bits. */
export function floats(
  name: string,
  values: readonly number[],
  shape = [values.length],
): TypedTensor {
  const bytes = Buffer.alloc(4 * values.length);
  for (const [i, value] of values.entries()) bytes.writeFloatLE(value, 4 * i);
  return { name, dtype: 'F32', shape, bytes };
}

/** A TensorProto of a type by its number, its values in a field by its number. */
export function onnxTensor(
  name: string,
  type: number,
  shape: readonly number[],
  [number, content]: readonly [number: number, content: Buffer],
): Buffer[] {
  const dims = shape.map((length) => numberField(1, length));
  return [...dims, numberField(2, type), field(8, name), field(number, content)];
}

/** A model with one tensor of floats in another file. */
export function onnxWithExternal(name: string, place: Readonly<Record<string, string>>): Buffer {
  const entries = Object.entries(place).map(([key, value]) =>
    field(13, [field(1, key), field(2, value)]),
  );
  const head = [numberField(1, 1), numberField(2, 1), field(8, name)];
  return onnxModel([field(5, [...head, ...entries, numberField(14, 1)])]);
}

/**
 * Reads a float of at most 16 bits as its definition says, by strings of bits: slow, and nothing like what reads
 * them elsewhere.
 */
export function floatByBits(
  bits: number,
  [exponents, mantissas]: readonly [number, number],
): number {
  const text = bits.toString(2).padStart(1 + exponents + mantissas, '0');
  const sign = text[0] === '1' ? -1 : 1;
  const exponent = Number.parseInt(text.slice(1, 1 + exponents), 2);
  const mantissa = [...text.slice(1 + exponents)].reduce(
    (sum, bit, i) => sum + Number(bit) / 2 ** (i + 1),
    0,
  );
  const bias = 2 ** (exponents - 1) - 1;
  if (exponent === 2 ** exponents - 1) return mantissa === 0 ? sign * Infinity : Number.NaN;
  if (exponent === 0) return sign * mantissa * 2 ** (1 - bias);
  return sign * (1 + mantissa) * 2 ** (exponent - bias);
}

/** Reads one value of a type by its definition; complex ones are no single number. */
export function naiveValue(dtype: string, bytes: Buffer, at: number): number {
  switch (dtype) {
    case 'F64':
      return bytes.readDoubleLE(at);
    case 'F32':
      return bytes.readFloatLE(at);
    case 'F16':
      return floatByBits(bytes.readUInt16LE(at), [5, 10]);
    case 'BF16':
      return floatByBits(bytes.readUInt16LE(at), [8, 7]);
    case 'F8_E5M2':
      return floatByBits(bytes.readUInt8(at), [5, 2]);
    case 'F8_E4M3':
      return (bytes.readUInt8(at) & 0x7f) === 0x7f ? Number.NaN : e4m3(bytes.readUInt8(at));
    case 'BOOL':
      return bytes.readUInt8(at) === 0 ? 0 : 1;
    case 'I64':
      return Number(bytes.readBigInt64LE(at));
    case 'U64':
      return Number(bytes.readBigUInt64LE(at));
    case 'I32':
      return bytes.readInt32LE(at);
    case 'U32':
      return bytes.readUInt32LE(at);
    case 'I16':
      return bytes.readInt16LE(at);
    case 'U16':
      return bytes.readUInt16LE(at);
    case 'I8':
      return bytes.readInt8(at);
    case 'U8':
      return bytes.readUInt8(at);
    default:
      throw new Error(`No naive reading of ${dtype}`);
  }
}

/** E4M3 has no infinity: its largest exponent is one of numbers. */
function e4m3(bits: number): number {
  const exponent = (bits >> 3) & 15;
  if (exponent < 15) return floatByBits(bits, [4, 3]);
  return (bits & 0x80 ? -1 : 1) * 2 ** 8 * (1 + (bits & 7) / 8);
}

/** Bytes of a value by the name of its type in safetensors. */
export const naiveBytes: Readonly<Record<string, number>> = {
  F64: 8,
  F32: 4,
  F16: 2,
  BF16: 2,
  F8_E5M2: 1,
  F8_E4M3: 1,
  BOOL: 1,
  I64: 8,
  U64: 8,
  I32: 4,
  U32: 4,
  I16: 2,
  U16: 2,
  I8: 1,
  U8: 1,
};

/** How two tensors of one type differ, value by value. */
export function naiveDifference(
  dtype: string,
  before: Buffer,
  after: Buffer,
): { total: number; differing: number; relativeNorm: number | null; notFinite: number } {
  const size = naiveBytes[dtype] as number;
  const total = before.length / size;
  let [differing, notFinite] = [0, 0];
  const [whole, part]: [number[], number[]] = [[], []];
  for (let i = 0; i < total; i++) {
    const [from, to] = [i * size, (i + 1) * size];
    if (!before.subarray(from, to).equals(after.subarray(from, to))) differing++;
    const [a, b] = [naiveValue(dtype, before, from), naiveValue(dtype, after, from)];
    if (!Number.isFinite(a) || !Number.isFinite(b)) {
      notFinite++;
      continue;
    }
    whole.push(a);
    part.push(differenceOf(dtype, before, after, from));
  }
  const [norm, change] = [Math.hypot(...whole), Math.hypot(...part)];
  return {
    total,
    differing,
    relativeNorm: change === 0 ? 0 : norm === 0 ? null : change / norm,
    notFinite,
  };
}

function differenceOf(dtype: string, before: Buffer, after: Buffer, at: number): number {
  if (dtype === 'I64') return Number(after.readBigInt64LE(at) - before.readBigInt64LE(at));
  if (dtype === 'U64') return Number(after.readBigUInt64LE(at) - before.readBigUInt64LE(at));
  return naiveValue(dtype, after, at) - naiveValue(dtype, before, at);
}
