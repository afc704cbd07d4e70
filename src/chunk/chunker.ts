import { invariant } from '../base/errors.ts';
import { type Scan, scanBytes } from './scan.ts';

/** Sizes that steer the cuts, in bytes. */
export interface ChunkParams {
  /** No chunk is shorter, save where a blob or a segment between hard cuts ends. */
  readonly min: number;
  /** Below this length a cut is four times less likely than above it. */
  readonly norm: number;
  /** No chunk is longer. */
  readonly max: number;
}

/** The parameters of format 1. */
export const formatChunkParams: ChunkParams = {
  min: 128 * 1024,
  norm: 256 * 1024,
  max: 1024 * 1024,
};

/** The name of the cut rule of format 1. */
export const chunkRuleName = 'mh8';

/** Bytes before a position that decide, the position's own included. */
const windowBytes = 8;

/**
 * Content-defined chunking by the rule `mh8`, the reference implementation: the last eight bytes alone
 * decide, so that there is no state and no table. With `ld(i)` the little-endian 32-bit word that starts
 * at byte i, a chunk ends after byte i when
 * `int32(ld(i-7) * 0x9E3779B1 + ld(i-3) * 0x85EBCA77) < T`. A length in [min, norm) uses
 * T = -2^31 + 2^32 / (2 * norm), one in [norm, max) T = -2^31 + 2 * 2^32 / norm; at `max` the chunk ends
 * anyway. Two thresholds narrow the spread of sizes as in FastCDC (Xia et al., USENIX ATC 2016). The
 * constants are frozen in format 1; docs/format.md holds test vectors.
 *
 * Cuts do not depend on how the input is split into blocks. Hard cuts end a chunk wherever they lie.
 */
export class Chunker {
  readonly #params: ChunkParams;
  readonly #rareT: number;
  readonly #commonT: number;
  readonly #hardCuts: readonly number[];
  readonly #scan: Scan;
  #hardNext = 0;
  /** Offset in the blob at which the current chunk starts. */
  #at = 0;
  /** Bytes of the current chunk known to hold no cut. */
  #scanned = 0;

  /**
   * @param hardCuts offsets in the blob, ascending, at which a chunk ends whatever the content says
   * @param scan how to search; a faster one than the reference gives the same cuts
   */
  constructor(
    params: ChunkParams = formatChunkParams,
    hardCuts: readonly number[] = [],
    scan: Scan = scanBytes,
  ) {
    const { min, norm, max } = params;
    invariant(min >= windowBytes && min < norm && norm < max, 'chunk sizes are ordered');
    this.#params = params;
    this.#rareT = Math.floor(-(2 ** 31) + 2 ** 32 / (2 * norm));
    this.#commonT = Math.floor(-(2 ** 31) + (2 * 2 ** 32) / norm);
    this.#hardCuts = hardCuts;
    this.#scan = scan;
  }

  /**
   * Finds the end of the current chunk.
   * @param bytes holds the blob's bytes from the start of the current chunk at index `start` up to `end`
   * @param last whether the blob ends at `end`
   * @returns the index in `bytes` just behind the chunk, or -1 when more bytes are needed; never an empty
   * chunk. The next call starts there
   */
  next(bytes: Uint8Array, start: number, end: number, last: boolean): number {
    if (end <= start) return -1;
    const segmentEnd = start + this.#toHardCut();
    const bounded = segmentEnd <= end;
    const cut = this.#find(bytes, start, bounded ? segmentEnd : end, bounded || last);
    if (cut === -1) return -1;
    this.#at += cut - start;
    this.#scanned = 0;
    return cut;
  }

  #toHardCut(): number {
    const cuts = this.#hardCuts;
    while (this.#hardNext < cuts.length && (cuts[this.#hardNext] as number) <= this.#at) {
      this.#hardNext++;
    }
    const next = cuts[this.#hardNext];
    return next === undefined ? Number.POSITIVE_INFINITY : next - this.#at;
  }

  #find(bytes: Uint8Array, start: number, end: number, last: boolean): number {
    const { min, norm, max } = this.#params;
    const available = end - start;
    if (available < min) return last ? end : -1;
    const limit = Math.min(available, max - 1);
    let length = Math.max(min, this.#scanned + 1);
    const rareEnd = Math.min(limit, norm - 1);
    if (length <= rareEnd) {
      const hit = this.#scan(bytes, start + length - 1, start + rareEnd, this.#rareT);
      if (hit >= 0) return hit + 1;
      length = rareEnd + 1;
    }
    if (length <= limit) {
      const hit = this.#scan(bytes, start + length - 1, start + limit, this.#commonT);
      if (hit >= 0) return hit + 1;
    }
    if (available >= max) return start + max;
    if (last) return end;
    this.#scanned = available;
    return -1;
  }
}
