import { isJsonObject, parseJsonBytes } from '../base/json.ts';
import type { ByteReader } from './byte-reader.ts';

/** Bytes of one tensor within its file. */
export interface TensorExtent {
  readonly name: string;
  /** Offset in the file. */
  readonly start: number;
  readonly end: number;
}

/** The layout of a safetensors file. */
export interface SafetensorsLayout {
  /** Offset in the file at which the tensor data starts. */
  readonly dataStart: number;
  readonly tensors: readonly TensorExtent[];
}

/** Headers above this are not read; a frozen part of the cut rules of format 1. */
const headerBytesMax = 16 * 1024 * 1024;
const lengthBytes = 8;

/**
 * Reads the header of a safetensors file: a little-endian 64-bit length, then that many bytes of JSON
 * that map each tensor to its dtype, shape and data_offsets (relative to the end of the header).
 * Source: the format description in the safetensors repository, README section "Format".
 * @returns undefined when the file is none, or its header is damaged or too large
 */
export function readSafetensorsLayout(file: ByteReader): SafetensorsLayout | undefined {
  if (file.size < lengthBytes + 2) return undefined;
  const head = file.read(0, lengthBytes + 1);
  if (head.length < lengthBytes + 1 || head[lengthBytes] !== 0x7b) return undefined;
  const view = new DataView(head.buffer, head.byteOffset, head.length);
  const headerLength = view.getBigUint64(0, true);
  if (headerLength > BigInt(headerBytesMax)) return undefined;
  const dataStart = lengthBytes + Number(headerLength);
  if (dataStart > file.size) return undefined;
  const bytes = file.read(lengthBytes, Number(headerLength));
  if (bytes.length !== Number(headerLength)) return undefined;
  let header: unknown;
  try {
    header = parseJsonBytes(bytes);
  } catch {
    return undefined;
  }
  if (!isJsonObject(header)) return undefined;
  const tensors: TensorExtent[] = [];
  for (const [name, value] of Object.entries(header)) {
    if (name === '__metadata__') continue;
    const extent = tensorExtent(name, value, dataStart, file.size);
    if (extent === undefined) return undefined;
    tensors.push(extent);
  }
  return { dataStart, tensors };
}

function tensorExtent(
  name: string,
  value: unknown,
  dataStart: number,
  fileSize: number,
): TensorExtent | undefined {
  if (!isJsonObject(value)) return undefined;
  const offsets = value['data_offsets'];
  if (!Array.isArray(offsets) || offsets.length !== 2) return undefined;
  const [from, to] = offsets as unknown[];
  if (!Number.isSafeInteger(from) || !Number.isSafeInteger(to)) return undefined;
  const start = dataStart + (from as number);
  const end = dataStart + (to as number);
  if (start < dataStart || end < start || end > fileSize) return undefined;
  return { name, start, end };
}
