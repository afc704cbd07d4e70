/**
 * Returns the first index in [from, to) behind which the rule `mh8` cuts, or -1. Reads the seven bytes
 * before `from` as well.
 */
export type Scan = (bytes: Uint8Array, from: number, to: number, threshold: number) => number;

const k1 = 0x9e3779b1 | 0;
const k2 = 0x85ebca77 | 0;

/** The reference implementation of {@link Scan}. */
export const scanBytes: Scan = (bytes, from, to, threshold) => {
  // Two words roll along, one ending at i and one ending at i - 4; each step shifts one byte in.
  let late = word(bytes, from - 4);
  let early = word(bytes, from - 8);
  for (let i = from; i < to; i++) {
    late = (late >>> 8) | ((bytes[i] as number) << 24);
    early = (early >>> 8) | ((bytes[i - 4] as number) << 24);
    if (((Math.imul(early, k1) + Math.imul(late, k2)) | 0) < threshold) return i;
  }
  return -1;
};

/** The little-endian word at `at`; bytes before the array count as zero, as they are shifted out. */
function word(bytes: Uint8Array, at: number): number {
  const byte = (i: number): number => (i < 0 ? 0 : (bytes[i] as number));
  return byte(at) | (byte(at + 1) << 8) | (byte(at + 2) << 16) | (byte(at + 3) << 24);
}
