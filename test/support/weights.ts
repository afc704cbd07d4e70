import { expect } from 'vitest';
import type { ByteReader } from '../../src/weights/byte-reader.ts';

/** A reader that counts, and fails where it is asked for what no reader may be asked for. */
export interface CountingReader extends ByteReader {
  readonly counts: { reads: number; bytes: number };
}

/** Reads bytes in memory as if they were a file. */
export function readerOf(bytes: Buffer): CountingReader {
  const counts = { reads: 0, bytes: 0 };
  return {
    size: bytes.length,
    counts,
    read(offset, length) {
      if (offset < 0 || length < 0 || !Number.isInteger(offset + length)) {
        throw new Error(`A read of ${length} bytes at ${offset}`);
      }
      const part = bytes.subarray(offset, offset + length);
      counts.reads++;
      counts.bytes += part.length;
      return part;
    },
  };
}

/** Checks that cuts are ascending, none twice, strictly inside a file. */
export function expectCuts(cuts: readonly number[], size: number): void {
  for (const [i, cut] of cuts.entries()) {
    expect(cut).toBeGreaterThan(i === 0 ? 0 : (cuts[i - 1] as number));
    expect(cut).toBeLessThan(size);
  }
}

/**
 * Bytes that are distributed like weights in bfloat16: the low byte is noise, the high byte one of few
 * exponents, each step nearer to zero half as likely. The noise is from xorshift128 (Marsaglia, Journal of
 * Statistical Software 8/14, 2003): its period is so long that the sequences of two seeds do not meet.
 */
export function weightBytes(seed: number, length: number): Buffer {
  const words = new Uint32Array(Math.ceil(length / 4));
  let [x, y, z, w] = [Math.imul(seed, 0x9e3779b1), 362436069, seed, 88675123];
  for (let i = 0; i < words.length; i++) {
    const t = x ^ (x << 11);
    [x, y, z] = [y, z, w];
    w = w ^ (w >>> 19) ^ t ^ (t >>> 8);
    words[i] = w;
  }
  const bytes = Buffer.from(words.buffer, 0, length);
  for (let i = 1; i < length; i += 2) bytes[i] = highBytes[bytes[i] as number] as number;
  return bytes;
}

const highBytes = Uint8Array.from({ length: 256 }, (_, i) => {
  const stepsToZero = Math.clz32((i >> 1) | 1) - 25;
  return (i & 1) * 128 + 61 - stepsToZero;
});
