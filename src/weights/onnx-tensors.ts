import { printable } from '../base/names.ts';
import type { ByteReader } from './byte-reader.ts';
import { onnxTypes } from './dtypes.ts';
import { kindBytes, type NumberKind } from './numbers.ts';
import { isOnnx, type OnnxKind, onnxKinds } from './onnx.ts';
import { OnnxNames } from './onnx-names.ts';
import { decimalBytes, locationProblem, plainLocation } from './onnx-places.ts';
import { type Field, lengthDelimited, TooManyFields, walkMessages } from './protobuf.ts';
import {
  bytesCoding,
  type Coding,
  elementsOf,
  expectSound,
  numbersCoding,
  readingTensors,
  type TensorData,
  type TensorEntry,
  TensorsUnreadable,
  tensorText,
} from './tensors.ts';
import type { WindowReader } from './window-reader.ts';

const kinds: Readonly<Record<string, NumberKind>> = {
  FLOAT: 'f32',
  UINT8: 'u8',
  INT8: 'i8',
  UINT16: 'u16',
  INT16: 'i16',
  INT32: 'i32',
  INT64: 'i64',
  BOOL: 'bool',
  FLOAT16: 'f16',
  DOUBLE: 'f64',
  UINT32: 'u32',
  UINT64: 'u64',
  COMPLEX64: 'c64',
  COMPLEX128: 'c128',
  BFLOAT16: 'bf16',
  FLOAT8E4M3FN: 'f8e4m3',
  FLOAT8E4M3FNUZ: 'f8e4m3fnuz',
  FLOAT8E5M2: 'f8e5m2',
  FLOAT8E5M2FNUZ: 'f8e5m2fnuz',
  FLOAT8E8M0: 'f8e8m0',
};

/** Fields with values: those whose content is the bytes of the values, and those of integers of variable length. */
const rawData = 9;
const plainFields: ReadonlySet<number> = new Set([4, rawData, 10]);
const varintFields: ReadonlySet<number> = new Set([5, 7, 11]);
const textData = 6;
const textBytesMax = 4096;
const dimensionsMax = 64;
const tensorsMax = 1_000_000;
const fieldsMax = 20 * 1024 * 1024;
/** Values in fields of variable length are decoded whole; real models keep large tensors otherwise. */
const varintsBytesMax = 16 * 1024 * 1024;

/**
 * Lists the tensors of an ONNX model, in its order: initializers by their names, tensors in attributes of nodes as
 * `OUTPUT.ATTRIBUTE`, those of graphs in attributes behind `OUTPUT.ATTRIBUTE/`. Data of tensors is not read.
 * @throws TensorsUnreadable
 */
export function readOnnxTensorList(file: ByteReader): TensorEntry[] {
  expectSound(isOnnx(file), 'It is no ONNX model, or one of its outermost fields is damaged');
  const list = new TensorList();
  try {
    readingTensors(() => walkMessages(file, 'model', onnxKinds, list, fieldsMax));
  } catch (error) {
    if (!(error instanceof TooManyFields)) throw error;
    throw new TensorsUnreadable(`It has more than ${fieldsMax} fields`);
  }
  const names = new Set(list.tensors.map(({ name }) => name));
  expectSound(names.size === list.tensors.length, 'Two of its tensors have one name');
  return list.tensors;
}

/** What was read of one TensorProto. */
class TensorParts {
  name = '';
  type = 0;
  readonly shape: number[] = [];
  /** Fields with values. */
  readonly fields: Field<OnnxKind>[] = [];
  isExternal = false;
  readonly entries = new Map<string, string>();
}

class TensorList {
  readonly tensors: TensorEntry[] = [];
  readonly #names = new OnnxNames();
  #tensor = new TensorParts();
  #key = '';
  #value = '';

  enter(kind: OnnxKind): boolean {
    this.#names.enter(kind);
    if (kind === 'tensor') this.#tensor = new TensorParts();
    if (kind === 'entry') this.#key = this.#value = '';
    return true;
  }

  field(field: Field<OnnxKind>, reader: WindowReader): void {
    const { kind, number, wireType, start, end } = field;
    const text = (): string => {
      const isText = wireType === lengthDelimited && end - start <= textBytesMax;
      return isText ? reader.text(end - start) : '';
    };
    if (kind === 'tensor') this.#tensorField(field, reader, text);
    else if (kind === 'entry' && number === 1) this.#key = text();
    else if (kind === 'entry' && number === 2) this.#value = text();
    else if (kind !== 'entry') this.#names.field(kind, number, text);
  }

  leave(kind: OnnxKind): void {
    if (kind === 'entry') this.#tensor.entries.set(this.#key, this.#value);
    if (kind === 'tensor') {
      expectSound(this.tensors.length < tensorsMax, `It has more than ${tensorsMax} tensors`);
      this.tensors.push(entryOf(this.#tensor, this.#names.nameTensor(this.#tensor.name)));
    }
    this.#names.leave();
  }

  #tensorField(field: Field<OnnxKind>, reader: WindowReader, text: () => string): void {
    const { number, wireType, value, end } = field;
    const tensor = this.#tensor;
    if (number === 1 && wireType === 0) tensor.shape.push(value);
    else if (number === 1) {
      while (reader.at < end && tensor.shape.length <= dimensionsMax)
        tensor.shape.push(reader.anyVarint());
    } else if (number === 2) tensor.type = value;
    else if (number === 8) tensor.name = text();
    else if (number === 14) tensor.isExternal = value === 1;
    else if (plainFields.has(number) || varintFields.has(number) || number === textData) {
      // The first and the last tell where all of them are.
      if (tensor.fields.length < 2) tensor.fields.push(field);
      else tensor.fields[1] = field;
    }
    expectSound(
      tensor.shape.length <= dimensionsMax,
      `A tensor has more than ${dimensionsMax} axes`,
    );
  }
}

function entryOf(parts: TensorParts, name: string): TensorEntry {
  const { type, shape } = parts;
  const [dtype, bits] = onnxTypes[type] ?? [`type ${type}`, undefined];
  const elements = elementsOf(shape, name);
  const needed = bits === undefined ? undefined : Math.ceil((elements * bits) / 8);
  expectSound(
    Number.isSafeInteger(needed ?? 0),
    `The shape of the ${tensorText(name)} is too large`,
  );
  const data = dataOf(parts, needed);
  const given = data.kind === 'none' ? 0 : data.end - data.start;
  const coding = data.kind === 'opaque' ? bytesCoding() : codingOf(dtype, bits);
  return { name, dtype, shape, bytes: needed ?? given, coding, data };
}

function codingOf(dtype: string, bits: number | undefined): Coding {
  const kind = Object.hasOwn(kinds, dtype) ? kinds[dtype] : undefined;
  return kind === undefined ? bytesCoding(bits) : numbersCoding(kind, kindBytes[kind]);
}

function dataOf(parts: TensorParts, needed: number | undefined): TensorData {
  const { isExternal, entries, fields } = parts;
  if (isExternal || (entries.size > 0 && fields.length === 0)) return externalData(entries, needed);
  const [first, last = first] = fields;
  if (first === undefined || last === undefined) {
    if (needed === 0) return { kind: 'plain', start: 0, end: 0 };
    return { kind: 'none', why: 'are not in the model' };
  }
  const { number, wireType, start, end } = first;
  const isOne = last === first && wireType !== 0;
  if (isOne && plainFields.has(number)) {
    if (end - start === needed) return { kind: 'plain', start, end };
    if (number === rawData && needed !== undefined)
      return { kind: 'none', why: `have ${end - start} bytes; its type and shape need ${needed}` };
  }
  const width = widthOf(parts, needed);
  if (isOne && varintFields.has(number) && width !== undefined && end - start <= varintsBytesMax)
    return { kind: 'varints', width, start, end };
  return { kind: 'opaque', start, end: last.end };
}

/** Bytes that an integer of variable length stands for; two values of less than a byte share one. */
function widthOf({ type }: TensorParts, needed: number | undefined): number | undefined {
  const [, bits] = onnxTypes[type] ?? [];
  if (needed === undefined || bits === undefined || bits > 64) return undefined;
  return Math.max(1, bits / 8);
}

function externalData(
  entries: ReadonlyMap<string, string>,
  needed: number | undefined,
): TensorData {
  const location = entries.get('location') ?? '';
  const problem = locationProblem(location);
  const shown = `"${printable(location.slice(0, 120))}"`;
  if (problem !== undefined) return { kind: 'none', why: `are at ${shown}, which ${problem}` };
  const start = decimalBytes(entries.get('offset') ?? '0');
  const lengthText = entries.get('length');
  const length = lengthText === undefined ? needed : decimalBytes(lengthText);
  if (start === undefined || length === undefined)
    return { kind: 'none', why: `are in ${shown} at a place that is no number of bytes` };
  if (needed !== undefined && length !== needed)
    return { kind: 'none', why: `have ${length} bytes; its type and shape need ${needed}` };
  return { kind: 'external', location: plainLocation(location), start, end: start + length };
}
