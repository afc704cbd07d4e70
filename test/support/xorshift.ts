/**
 * Makes pseudo-random bytes by xorshift32 (Marsaglia, Journal of Statistical Software 8/14, 2003): the
 * state starts as the seed, each step yields the new state as four little-endian bytes. docs/format.md
 * describes it for writers of other implementations; it must not change.
 */
export function xorshiftBytes(seed: number, length: number): Buffer {
  let state = seed | 0;
  const words = new Uint32Array(Math.ceil(length / 4));
  for (let i = 0; i < words.length; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    words[i] = state;
  }
  const bytes = Buffer.alloc(words.length * 4);
  for (let i = 0; i < words.length; i++) bytes.writeUInt32LE(words[i] as number, i * 4);
  return bytes.subarray(0, length);
}
