import { inflateRawSync } from 'node:zlib';
import { systemCode } from '../base/errors.ts';
import { type Encoding, encodingNumber, type PackRow } from './format.ts';
import { mergePlanes, planeLength, planesMemory, splitPlanes } from './planes.ts';
import { choosePlan, deflateBytes, type Method, type Plan, worthwhileShare } from './probe.ts';

/** How the stored bytes of a chunk yield its raw bytes. */
export type ChunkForm = Pick<PackRow, 'encoding' | 'rawLength'>;

/** A chunk as it is to be stored. */
export interface StoredChunk {
  readonly bytes: Uint8Array;
  readonly form: ChunkForm;
}

/** Bytes of the length of one plane, in front of the planes. */
const lengthBytes = 4;

/**
 * Encodes chunks where that pays. It holds working memory of three times the largest chunk: make one and
 * use it for many chunks. It is as good in a thread: nothing outside is used.
 */
export class ChunkEncoder {
  #raw = new Uint8Array(0);
  #planes = new Uint8Array(0);
  #stored = new Uint8Array(0);

  /**
   * Returns a chunk as it should be stored: encoded when that saves five in a hundred, else as it is. The
   * bytes are valid until the next call, those of a raw chunk as long as `raw`.
   * @param plan how to encode it; by default a probe of the bytes chooses
   */
  encode(raw: Uint8Array, plan: Plan = choosePlan(raw)): StoredChunk {
    const bytes = this.#encode(raw, plan);
    if (bytes === undefined || bytes.length > raw.length * worthwhileShare) {
      return { bytes: raw, form: { encoding: encodingNumber('raw'), rawLength: raw.length } };
    }
    return { bytes, form: { encoding: encodingNumber(plan.encoding), rawLength: raw.length } };
  }

  #encode(raw: Uint8Array, { encoding, methods }: Plan): Uint8Array | undefined {
    if (encoding === 'raw') return undefined;
    if (this.#raw.length < raw.length) this.#raw = new Uint8Array(raw.length);
    // Loops over words need them aligned, and zlib memory that no other thread sees.
    const own = this.#raw.subarray(0, raw.length);
    own.set(raw);
    if (encoding !== 'deflate') return this.#encodePlanes(own, encoding, methods);
    const [method = 'raw'] = methods;
    return method === 'raw' ? undefined : deflateBytes(own, method);
  }

  #encodePlanes(
    raw: Uint8Array,
    encoding: 'planes2' | 'planes4',
    methods: readonly Method[],
  ): Uint8Array | undefined {
    const count = planeCount(encoding);
    const memory = planesMemory(raw.length, count);
    if (this.#planes.length < memory) this.#planes = new Uint8Array(memory);
    const parts = splitPlanes(raw, count, this.#planes).map((plane, i) =>
      shorter(plane, methods[i] ?? 'raw'),
    );
    const total = parts.reduce((sum, part) => sum + part.length, count * lengthBytes);
    if (total >= raw.length) return undefined;
    if (this.#stored.length < total) this.#stored = new Uint8Array(raw.length);
    const stored = this.#stored.subarray(0, total);
    const lengths = new DataView(stored.buffer, 0, count * lengthBytes);
    let at = count * lengthBytes;
    for (const [i, part] of parts.entries()) {
      lengths.setUint32(i * lengthBytes, part.length, true);
      stored.set(part, at);
      at += part.length;
    }
    return stored;
  }
}

function planeCount(encoding: Encoding): 2 | 4 {
  return encoding === 'planes2' ? 2 : 4;
}

/** A plane as it is stored; of the same length means raw. */
function shorter(plane: Uint8Array, method: Method): Uint8Array {
  if (method === 'raw') return plane;
  const deflated = deflateBytes(plane, method);
  return deflated.length < plane.length ? deflated : plane;
}

/**
 * Decodes the stored bytes of a chunk; the caller verifies the result. Memory: twice the raw length,
 * whatever the bytes claim.
 * @param encoding one of format 1
 * @returns undefined when the bytes are not what their encoding says
 */
export function decodeBytes(
  stored: Uint8Array,
  encoding: Encoding,
  rawLength: number,
): Uint8Array | undefined {
  if (encoding === 'raw') return stored.length === rawLength ? stored : undefined;
  if (encoding === 'deflate') return inflateBytes(stored, rawLength);
  return decodePlanes(stored, planeCount(encoding), rawLength);
}

function decodePlanes(
  stored: Uint8Array,
  count: number,
  rawLength: number,
): Uint8Array | undefined {
  let at = count * lengthBytes;
  if (stored.length < at) return undefined;
  const lengths = new DataView(stored.buffer, stored.byteOffset, at);
  const parts: Array<{ bytes: Uint8Array; length: number }> = [];
  for (let plane = 0; plane < count; plane++) {
    const storedLength = lengths.getUint32(plane * lengthBytes, true);
    const length = planeLength(rawLength, count, plane);
    if (storedLength > length) return undefined;
    parts.push({ bytes: stored.subarray(at, at + storedLength), length });
    at += storedLength;
  }
  if (at !== stored.length) return undefined;
  const planes: Uint8Array[] = [];
  for (const { bytes, length } of parts) {
    const plane = bytes.length === length ? bytes : inflateBytes(bytes, length);
    if (plane === undefined) return undefined;
    planes.push(plane);
  }
  const raw = Buffer.allocUnsafeSlow(rawLength);
  mergePlanes(planes, raw);
  return raw;
}

/** What zlib says of bytes that are no stream, that end too early, or that yield too much. */
const streamFaults = new Set(['Z_DATA_ERROR', 'Z_BUF_ERROR', 'ERR_BUFFER_TOO_LARGE']);

/** Inflates a stream that ends with the last of `bytes` and yields exactly `length` bytes. */
function inflateBytes(bytes: Uint8Array, length: number): Uint8Array | undefined {
  try {
    // One byte more than wanted: the stream that is right ends in the first buffer.
    const options = {
      chunkSize: Math.max(64, length + 1),
      maxOutputLength: Math.max(1, length),
      info: true,
    };
    const { buffer, engine } = inflateRawSync(bytes, options) as unknown as {
      buffer: Uint8Array;
      engine: { bytesWritten: number };
    };
    return buffer.length === length && engine.bytesWritten === bytes.length ? buffer : undefined;
  } catch (error) {
    if (streamFaults.has(systemCode(error) ?? '')) return undefined;
    throw error;
  }
}
