import type { Encoding } from '../../src/pack/format.ts';
import { xorshiftBytes } from './xorshift.ts';

/** The frozen objects in all encodings of format 1. Nothing may write there. */
export const encodingsFolder = new URL('../fixtures/format-1-encodings/', import.meta.url).pathname;

/**
 * Makes bytes like those of trained weights: all planes random, but for the last one of each number, in
 * which few values are frequent. Frozen bytes are made by it: it must not change.
 * @param size bytes of a number
 */
export function weightBytes(seed: number, length: number, size: 2 | 4): Buffer {
  const bytes = xorshiftBytes(seed, length);
  for (let i = size - 1; i < length; i += size) {
    const byte = bytes[i] as number;
    // The sign, and the number of zeros at the end: halves from each value to the next.
    bytes[i] = (byte & 0x80) | (0x3c - Math.min(7, Math.clz32(((byte << 1) & 0xff) | 1) - 24));
  }
  return bytes;
}

/** Makes the text of a vocabulary. Frozen bytes are made by it: it must not change. */
export function vocabularyBytes(length: number): Buffer {
  let text = '{';
  for (let i = 0; text.length < length; i++) text += `"token-${(i * 7919) % 10007}":${i},`;
  return Buffer.from(text.slice(0, length));
}

/** A chunk of the frozen file, in its order. */
export interface FrozenChunk {
  readonly encoding: Encoding;
  readonly raw: Buffer;
}

/** The chunks of the frozen file `models/encoded.bin`, in order. */
export function frozenChunks(): FrozenChunk[] {
  const sparse = Buffer.alloc(9_001);
  weightBytes(5, 3_000, 4).copy(sparse, 6_001);
  const upcast = Buffer.alloc(20_000);
  weightBytes(6, 10_000, 2).forEach((byte, i) => {
    upcast[(i >> 1) * 4 + 2 + (i & 1)] = byte;
  });
  return [
    { encoding: 'raw', raw: xorshiftBytes(1, 3_000) },
    { encoding: 'deflate', raw: vocabularyBytes(20_000) },
    { encoding: 'planes2', raw: weightBytes(2, 20_001, 2) },
    { encoding: 'planes4', raw: weightBytes(3, 30_003, 4) },
    // Starts in the middle of a number.
    { encoding: 'planes4', raw: weightBytes(4, 30_002, 4).subarray(1) },
    { encoding: 'deflate', raw: sparse },
    { encoding: 'planes4', raw: upcast },
    { encoding: 'planes2', raw: weightBytes(7, 40_000, 2).subarray(1) },
  ];
}
