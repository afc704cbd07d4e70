import { expect, it } from 'vitest';
import { ChunkKeys } from '../../../src/index/chunk-keys.ts';
import { xorshiftBytes } from '../../support/xorshift.ts';

const rotated = (word: number, bits: number): number => (word << bits) | (word >>> (32 - bits));

/** One round of HalfSipHash, as its authors write it. */
function round(v: [number, number, number, number]): void {
  v[0] = (v[0] + v[1]) | 0;
  v[1] = rotated(v[1], 5) ^ v[0];
  v[0] = rotated(v[0], 16);
  v[2] = (v[2] + v[3]) | 0;
  v[3] = rotated(v[3], 8) ^ v[2];
  v[0] = (v[0] + v[3]) | 0;
  v[3] = rotated(v[3], 7) ^ v[0];
  v[2] = (v[2] + v[1]) | 0;
  v[1] = rotated(v[1], 13) ^ v[2];
  v[2] = rotated(v[2], 16);
}

/** HalfSipHash with one round for each word, three at the end, and 64 bits. */
function halfSipHash(seed: Buffer, id: Buffer): [number, number] {
  const [k0, k1] = [seed.readInt32LE(0), seed.readInt32LE(4)];
  const v: [number, number, number, number] = [k0, k1 ^ 0xee, 0x6c796765 ^ k0, 0x74656462 ^ k1];
  const words = Array.from({ length: id.length / 4 }, (_, i) => id.readInt32LE(i * 4));
  for (const word of [...words, id.length << 24]) {
    v[3] ^= word;
    round(v);
    v[0] ^= word;
  }
  v[2] ^= 0xee;
  for (let i = 0; i < 3; i++) round(v);
  const first = (v[1] ^ v[3]) >>> 0;
  v[1] ^= 0xdd;
  for (let i = 0; i < 3; i++) round(v);
  return [first, (v[1] ^ v[3]) >>> 0];
}

it('keys of chunks are those of HalfSipHash-1-3, wherever the id lies', () => {
  const bytes = xorshiftBytes(1, 8 * 50 + 40);
  for (let at = 0; at < 50; at++) {
    const seed = bytes.subarray(at * 8, at * 8 + 8);
    const keys = new ChunkKeys(seed);
    keys.make(bytes, at);
    expect([keys.high, keys.low]).toEqual(halfSipHash(seed, bytes.subarray(at, at + 32)));
    expect(keys.seed).toBe(seed);
  }
});
