import type { ByteReader } from './byte-reader.ts';
import { looksLikeGguf } from './gguf.ts';
import { readGgufTensors } from './gguf-tensors.ts';
import { isOnnx } from './onnx.ts';
import { readOnnxTensorList } from './onnx-tensors.ts';
import { looksLikeSafetensors, readSafetensorsTensors } from './safetensors-tensors.ts';
import type { TensorEntry, TensorFormat } from './tensors.ts';

const suffixes: ReadonlyArray<readonly [string, TensorFormat]> = [
  ['.safetensors', 'safetensors'],
  ['.gguf', 'gguf'],
  ['.onnx', 'onnx'],
];

/** Tells which format a file should have by its name; undefined where that says nothing. */
export function tensorFormatByName(name: string): TensorFormat | undefined {
  const lower = name.toLowerCase();
  return suffixes.find(([suffix]) => lower.endsWith(suffix))?.[1];
}

/**
 * Tells which format a file has: by its content, else by its name, so that one that is damaged is known for
 * what it should be.
 * @param name of the file, without folders
 */
export function tensorFormatOf(file: ByteReader, name: string): TensorFormat | undefined {
  const head = file.read(0, 16);
  const view = new DataView(head.buffer, head.byteOffset, head.length);
  const expected = tensorFormatByName(name);
  if (looksLikeGguf(view)) return 'gguf';
  if (looksLikeSafetensors(view, file.size) && (expected !== undefined || startsAsHeader(view)))
    return 'safetensors';
  if (head[0] === 0x08 && isOnnx(file)) return 'onnx';
  return expected;
}

/** A header of a file whose name says nothing must go on as JSON does. */
function startsAsHeader(head: DataView): boolean {
  return head.byteLength > 9 && ['"', '}', ' '].includes(String.fromCharCode(head.getUint8(9)));
}

const readers: Readonly<Record<TensorFormat, (file: ByteReader) => TensorEntry[]>> = {
  safetensors: readSafetensorsTensors,
  gguf: readGgufTensors,
  onnx: readOnnxTensorList,
};

/**
 * Lists the tensors of a file. Only what describes them is read.
 * @throws TensorsUnreadable for a file that cannot be read as its format
 */
export function readTensors(file: ByteReader, format: TensorFormat): TensorEntry[] {
  return readers[format](file);
}
