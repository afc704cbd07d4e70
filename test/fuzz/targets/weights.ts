import type { ByteReader } from '../../../src/weights/byte-reader.ts';
import { DifferenceSum } from '../../../src/weights/difference.ts';
import { readGgufLayout } from '../../../src/weights/gguf.ts';
import { findHardCuts } from '../../../src/weights/hard-cuts.ts';
import { readOnnxExternalData, readOnnxTensors } from '../../../src/weights/onnx.ts';
import { readSafetensorsLayout } from '../../../src/weights/safetensors.ts';
import { openTensor } from '../../../src/weights/tensor-data.ts';
import { readTensors, tensorFormatOf } from '../../../src/weights/tensor-list.ts';
import { type TensorEntry, TensorsUnreadable } from '../../../src/weights/tensors.ts';
import { readZipMembers } from '../../../src/weights/zip.ts';
import { ggufFile, ggufFloats, ggufText, ggufTexts } from '../../support/gguf.ts';
import { externalTensor, field, nodeProto, onnxModel, tensorProto } from '../../support/onnx.ts';
import { safetensorsFile } from '../../support/safetensors.ts';
import { onnxTensor, typedFile } from '../../support/tensors.ts';
import { zipFile } from '../../support/zip.ts';
import { type FuzzTarget, promise } from '../target.ts';

/** Tensors from this size on count in all of these. */
const bytesMin = 16;

/** Reads bytes in memory as a file, and counts what is read. */
function fileOf(bytes: Buffer): ByteReader & { readonly bytesRead: () => number } {
  let read = 0;
  return {
    size: bytes.length,
    read(offset, length) {
      const sane = Number.isSafeInteger(offset) && Number.isSafeInteger(length);
      promise(sane && offset >= 0 && length >= 0, 'what is read is a range');
      // A reader may ask for more than there is, and must not be handed memory for it.
      const part = bytes.subarray(offset, offset + length);
      read += part.length;
      return part;
    },
    bytesRead: () => read,
  };
}

function checkExtents(extents: readonly { start: number; end: number }[], size: number): void {
  for (const { start, end } of extents) {
    promise(start >= 0 && start <= end && end <= size, 'tensors lie in their file');
  }
}

/** Runs a reader of one format; a file is read a few times at most, whatever its header claims. */
function reader(
  name: string,
  seeds: () => Record<string, Uint8Array>,
  words: readonly string[],
  read: (file: ByteReader) => readonly { start: number; end: number }[],
): FuzzTarget {
  return {
    name,
    bytesMax: 64 * 1024,
    seeds,
    words,
    run(bytes) {
      const file = fileOf(bytes);
      checkExtents(read(file), bytes.length);
      promise(
        file.bytesRead() <= 4 * bytes.length + 64 * 1024,
        'a header is read a few times at most',
      );
      const cuts = findHardCuts(fileOf(bytes), bytesMin);
      for (const [i, cut] of cuts.entries()) {
        promise(cut > (cuts[i - 1] ?? 0) && cut < bytes.length, 'cuts ascend, inside the file');
      }
    },
  };
}

const part = { name: 'weight', bytes: Buffer.alloc(64, 7) };

export const safetensors = reader(
  'safetensors',
  () => ({
    two: safetensorsFile([part, { name: 'bias', bytes: Buffer.alloc(8, 1) }]),
    none: safetensorsFile([], '"__metadata__":{"format":"pt"}'),
  }),
  ['"data_offsets":[', '"__metadata__"', '"dtype":"F32"', '"shape":['],
  (file) => readSafetensorsLayout(file)?.tensors ?? [],
);

export const gguf = reader(
  'gguf',
  () => ({
    tensors: ggufFile([part, { name: 'bias', bytes: Buffer.alloc(32, 1) }]),
    values: ggufFile([part], {
      metadata: {
        note: ggufText('text'),
        floats: ggufFloats(Buffer.alloc(64)),
        list: ggufTexts(['a', 'b']),
      },
      alignment: 64,
    }),
  }),
  ['GGUF', 'general.alignment'],
  (file) => {
    const layout = readGgufLayout(file, bytesMin);
    return layout === undefined ? [] : [...layout.tensors, ...layout.values];
  },
);

const external = { location: 'weights.bin', offset: '7', length: '64' };

function onnxSeeds(): Record<string, Uint8Array> {
  const attribute = Buffer.concat([field(1, 'a'), field(6, [field(5, tensorProto(part))])]);
  return {
    tensors: onnxModel([field(5, tensorProto(part))]),
    nested: onnxModel([field(1, nodeProto('n', [attribute])), field(5, tensorProto(part))]),
    external: onnxModel([field(5, externalTensor('e', external))]),
  };
}

export const onnx = reader('onnx', onnxSeeds, ['location', 'offset', 'length'], (file) => {
  for (const { location, offset, length } of readOnnxExternalData(file)) {
    promise(location !== '', 'a place has a name');
    promise(Number.isSafeInteger(offset) && offset >= 0, 'a place has an offset');
    promise(length === undefined || (Number.isSafeInteger(length) && length >= 0), 'and a length');
  }
  return readOnnxTensors(file, bytesMin) ?? [];
});

export const zip = reader(
  'zip',
  () => ({
    plain: zipFile([part, { name: 'b', bytes: Buffer.alloc(40) }]),
    wide: zipFile([part], { wide: true, comment: 'PK\x05\x06' }),
  }),
  ['PK\x03\x04', 'PK\x01\x02', 'PK\x05\x06', 'PK\x06\x06', 'PK\x06\x07', '\xff\xff\xff\xff'],
  (file) => readZipMembers(file, bytesMin) ?? [],
);

/** Lists the tensors of a file, and reads those that are in it, as `diff --tensors` does. */
function listAndRead(bytes: Buffer): void {
  const file = fileOf(bytes);
  for (const name of ['m.safetensors', 'm.gguf', 'm.onnx']) {
    const format = tensorFormatOf(file, name);
    promise(format !== undefined, 'a name tells a format');
    const entries = unreadable(() => readTensors(file, format)) ?? [];
    const names = new Set(entries.map((entry) => entry.name));
    promise(names.size === entries.length, 'a name stands for one tensor');
    for (const entry of entries) checkTensor(entry, file);
  }
}

function checkTensor(entry: TensorEntry, file: ByteReader): void {
  const { data, shape, coding } = entry;
  promise(
    shape.every((length) => Number.isSafeInteger(length) && length >= 0),
    'a shape is counts',
  );
  if (data.kind === 'none') return;
  promise(data.start >= 0 && data.start <= data.end, 'data is a range');
  if (data.kind === 'external') {
    promise(!data.location.split('/').includes('..'), 'data stays in the folder of its model');
    return;
  }
  promise(data.end <= file.size, 'data lies in its file');
  const tensor = unreadable(() => openTensor(entry, data, file));
  if (tensor === undefined || tensor.size > 4096) return;
  promise(data.kind === 'opaque' || tensor.size === entry.bytes, 'a tensor has its bytes');
  promise(tensor.size % coding.unitBytes === 0, 'a tensor is whole units');
  const sum = new DifferenceSum(coding);
  const part = tensor.read(0, tensor.size);
  sum.add(part, new Uint8Array(part.length));
  const { share, relativeNorm } = sum.result();
  promise(share >= 0 && share <= 1, 'a share is one');
  promise(relativeNorm === null || Number.isFinite(relativeNorm), 'a norm is a number');
}

/** Undefined where a file is said to be unreadable, in words that are fit for people. */
function unreadable<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof TensorsUnreadable)) throw error;
    promise(error.message.length < 1000 && !/\p{Cc}/u.test(error.message), 'a reason can be shown');
    return undefined;
  }
}

const typed = (dtype: string, bytes: number): Buffer =>
  typedFile([{ name: 'a', dtype, shape: [bytes / 2, 2], bytes: Buffer.alloc(bytes, 0x7f) }]);

export const tensors: FuzzTarget = {
  name: 'tensors',
  bytesMax: 64 * 1024,
  seeds: () => ({
    ...onnxSeeds(),
    typedFields: onnxModel([
      field(5, onnxTensor('i', 7, [2], [7, Buffer.from([0x96, 1, 5])])),
      field(5, onnxTensor('f', 1, [1], [4, Buffer.alloc(4, 1)])),
      field(5, onnxTensor('s', 8, [1], [6, Buffer.from('text')])),
    ]),
    quantized: ggufFile([{ name: 'q', bytes: Buffer.alloc(36, 1), type: 2, shape: [64] }]),
    half: typed('F16', 8),
    unknown: typed('F9', 8),
    nibbles: typedFile([{ name: 'n', dtype: 'F4', shape: [4], bytes: Buffer.alloc(2) }]),
  }),
  words: ['"dtype":"F8_E4M3"', '"shape":[', '"data_offsets":[0,', 'GGUF', 'location', '"U64"'],
  run: listAndRead,
};
