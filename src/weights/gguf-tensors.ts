import type { ByteReader } from './byte-reader.ts';
import { ggufTypeBlocks, ggufTypeNames } from './dtypes.ts';
import { readMetadata } from './gguf.ts';
import { kindBytes, type NumberKind } from './numbers.ts';
import {
  bytesCoding,
  type Coding,
  elementsOf,
  expectSound,
  numbersCoding,
  readingTensors,
  type TensorEntry,
  tensorText,
} from './tensors.ts';
import { WindowReader } from './window-reader.ts';

const headerBytesMax = 256 * 1024 * 1024;
const countMax = 1_000_000;
const dimensionsMax = 4;
const nameBytesMax = 64 * 1024;
const magic = 0x46554747;
/** Bytes of the smallest entries of metadata and of the table of tensors. */
const valueBytesMin = 8 + 4 + 1;
const tensorBytesMin = 8 + 4 + 4 + 8;

const kinds: Readonly<Record<number, NumberKind>> = {
  0: 'f32',
  1: 'f16',
  24: 'i8',
  25: 'i16',
  26: 'i32',
  27: 'i64',
  28: 'f64',
  30: 'bf16',
};

/**
 * Lists the tensors of a GGUF file, in the order of its table. The lengths of their axes are turned around: ggml
 * counts the axis first whose elements are neighbours.
 * @throws TensorsUnreadable
 */
export function readGgufTensors(file: ByteReader): TensorEntry[] {
  return readingTensors(() => {
    const reader = new WindowReader(file, 0, headerBytesMax);
    expectSound(reader.u32() === magic, 'It does not start as GGUF');
    const version = reader.u32();
    expectSound(
      version === 2 || version === 3,
      `It has version ${version}, or another order of bytes; 2 and 3 are read`,
    );
    const tensors = reader.u64();
    const values = reader.u64();
    const hasRoom = tensors * tensorBytesMin + values * valueBytesMin <= file.size;
    expectSound(hasRoom, `It has no room for ${tensors} tensors and ${values} values`);
    expectSound(
      tensors <= countMax && values <= countMax,
      `It has more than ${countMax} tensors or values`,
    );
    const { alignment } = readMetadata(reader, values, Number.POSITIVE_INFINITY);
    const rows = Array.from({ length: tensors }, () => readRow(reader));
    const names = new Set(rows.map(({ name }) => name));
    expectSound(names.size === rows.length, 'A name stands twice in its table of tensors');
    const dataStart = Math.ceil(reader.at / alignment) * alignment;
    return placed(rows, dataStart, file.size);
  });
}

interface Row {
  readonly name: string;
  readonly type: number;
  readonly shape: readonly number[];
  /** Relative to the start of the data. */
  readonly offset: number;
  /** Undefined for a type that is not known here. */
  readonly bytes: number | undefined;
}

function readRow(reader: WindowReader): Row {
  const nameBytes = reader.u64();
  expectSound(nameBytes <= nameBytesMax, 'The name of a tensor is too long');
  const name = reader.text(nameBytes);
  const dimensions = reader.u32();
  expectSound(
    dimensions <= dimensionsMax,
    `The ${tensorText(name)} has ${dimensions} dimensions; ${dimensionsMax} are possible`,
  );
  const lengths = Array.from({ length: dimensions }, () => reader.u64());
  const type = reader.u32();
  const offset = reader.u64();
  const elements = elementsOf(lengths, name);
  const block = ggufTypeBlocks[type];
  const shape = lengths.toReversed();
  if (block === undefined) return { name, type, shape, offset, bytes: undefined };
  const [blockElements, blockBytes] = block;
  const bytes = (elements / blockElements) * blockBytes;
  expectSound(
    (lengths[0] ?? 1) % blockElements === 0 && Number.isSafeInteger(bytes),
    `The rows of the ${tensorText(name)} are no whole blocks of ${blockElements}`,
  );
  return { name, type, shape, offset, bytes };
}

/** A tensor of unknown type ends where the next one starts, or with the file. */
function placed(rows: readonly Row[], dataStart: number, fileSize: number): TensorEntry[] {
  const starts = [...new Set(rows.map(({ offset }) => dataStart + offset))].sort((a, b) => a - b);
  const nextOf = new Map(starts.map((start, i) => [start, starts[i + 1] ?? fileSize]));
  return rows.map(({ name, type, shape, offset, bytes }) => {
    const start = dataStart + offset;
    const end = bytes === undefined ? Math.max(start, nextOf.get(start) ?? 0) : start + bytes;
    expectSound(end <= fileSize, `The data of the ${tensorText(name)} leave the file`);
    const dtype = ggufTypeNames[type] ?? `type ${type}`;
    const data = { kind: 'plain', start, end } as const;
    return { name, dtype, shape, bytes: end - start, coding: codingOf(type), data };
  });
}

function codingOf(type: number): Coding {
  const kind = kinds[type];
  if (kind !== undefined) return numbersCoding(kind, kindBytes[kind]);
  const [elements, unitBytes] = ggufTypeBlocks[type] ?? [];
  if (elements === undefined || unitBytes === undefined) return bytesCoding();
  return { kind: undefined, unit: 'blocks', unitBytes, elementBits: (8 * unitBytes) / elements };
}
