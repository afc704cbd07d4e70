import type { ChunkParams } from '../../src/chunk/chunker.ts';

/**
 * The rule mh8 written down once more, as slowly and plainly as docs/format.md states it: the oracle of
 * every chunker. Returns the offsets at which chunks end, the length of the input included.
 */
export function naiveCuts(
  bytes: Uint8Array,
  { min, norm, max }: ChunkParams,
  hardCuts: readonly number[] = [],
): number[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const rare = BigInt.asIntN(64, -(2n ** 31n) + 2n ** 32n / (2n * BigInt(norm)));
  const common = -(2n ** 31n) + (2n * 2n ** 32n) / BigInt(norm);
  const cuts: number[] = [];
  let start = 0;
  for (let end = 1; end <= bytes.length; end++) {
    const length = end - start;
    const forced = end === bytes.length || length === max || hardCuts.includes(end);
    if (!forced && (length < min || !hashBelow(view, end, length < norm ? rare : common))) continue;
    cuts.push(end);
    start = end;
  }
  return cuts;
}

function hashBelow(view: DataView, end: number, threshold: bigint): boolean {
  const early = Math.imul(view.getInt32(end - 8, true), 0x9e3779b1);
  const late = Math.imul(view.getInt32(end - 4, true), 0x85ebca77);
  return BigInt((early + late) | 0) < threshold;
}

/** Runs a chunker over input that arrives in blocks of the given lengths, the last one repeated. */
export function cutsInBlocks(
  next: (bytes: Uint8Array, start: number, end: number, last: boolean) => number,
  bytes: Uint8Array,
  blocks: readonly number[],
): number[] {
  const cuts: number[] = [];
  let start = 0;
  let arrived = 0;
  for (let block = 0; ; block++) {
    const size = blocks[Math.min(block, blocks.length - 1)] ?? bytes.length;
    arrived = Math.min(bytes.length, arrived + Math.max(1, size));
    for (;;) {
      // A copy without what has not arrived: a chunker that looks ahead fails here.
      const cut = next(bytes.subarray(0, arrived), start, arrived, arrived === bytes.length);
      if (cut === -1) break;
      cuts.push(cut);
      start = cut;
    }
    if (arrived === bytes.length) return cuts;
  }
}
