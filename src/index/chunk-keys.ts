import { digestBytes } from '../base/digest.ts';

/** Bytes of the secret of {@link ChunkKeys}. */
export const seedBytes = 8;

const words = digestBytes / 4;
/** Words, the length, and three rounds for each half of the key. */
const steps = words + 1 + 3 + 3;

/**
 * Turns chunk ids into keys of 64 bits with HalfSipHash-1-3. Keys are evenly spread whatever the ids are,
 * and nobody who does not know the seed can make ids of one key: a footer from outside may hold any ids.
 */
export class ChunkKeys {
  readonly seed: Buffer;
  readonly #k0: number;
  readonly #k1: number;
  /** Upper half of the key made last. */
  high = 0;
  /** Lower half of the key made last. */
  low = 0;

  constructor(seed: Buffer) {
    this.seed = seed;
    this.#k0 = seed.readInt32LE(0);
    this.#k1 = seed.readInt32LE(4);
  }

  /** Makes the key of the 32 bytes at `ids[at]`, in {@link high} and {@link low}. */
  make(ids: Uint8Array, at: number): void {
    let v0 = this.#k0;
    let v1 = this.#k1 ^ 0xee;
    let v2 = this.#k0 ^ 0x6c796765;
    let v3 = this.#k1 ^ 0x74656462;
    let high = 0;
    for (let step = 0; step < steps; step++) {
      let word = 0;
      if (step < words) word = wordAt(ids, at + 4 * step);
      else if (step === words) word = digestBytes << 24;
      else if (step === words + 1) v2 ^= 0xee;
      else if (step === words + 4) {
        high = v1 ^ v3;
        v1 ^= 0xdd;
      }
      v3 ^= word;
      v0 = (v0 + v1) | 0;
      v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0;
      v0 = (v0 << 16) | (v0 >>> 16);
      v2 = (v2 + v3) | 0;
      v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2;
      v0 = (v0 + v3) | 0;
      v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0;
      v2 = (v2 + v1) | 0;
      v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2;
      v2 = (v2 << 16) | (v2 >>> 16);
      v0 ^= word;
    }
    this.high = high >>> 0;
    this.low = (v1 ^ v3) >>> 0;
  }
}

function wordAt(bytes: Uint8Array, at: number): number {
  return (
    (bytes[at] as number) |
    ((bytes[at + 1] as number) << 8) |
    ((bytes[at + 2] as number) << 16) |
    ((bytes[at + 3] as number) << 24)
  );
}
