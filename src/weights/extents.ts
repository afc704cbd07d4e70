/** Bytes within a file. */
export interface Extent {
  /** Offset of the first byte. */
  readonly start: number;
  /** Offset behind the last byte. */
  readonly end: number;
}

/**
 * The offsets at both ends of extents. They are taken in the order of their starts, then of their ends;
 * one that is shorter than `bytesMin`, or starts before the end of one that was taken, is passed over. So
 * there are never more than two for each `bytesMin` of the file, whatever a header claims.
 * @param more further offsets
 * @returns offsets inside a file of `size` bytes, ascending, none twice
 */
export function cutsAround(
  extents: readonly Extent[],
  size: number,
  bytesMin: number,
  more: readonly number[] = [],
): number[] {
  const large = extents.filter(({ start, end }) => end - start >= bytesMin && end <= size);
  large.sort((a, b) => a.start - b.start || a.end - b.end);
  const cuts = new Set(more);
  let taken = 0;
  for (const { start, end } of large) {
    if (start < taken) continue;
    cuts.add(start);
    cuts.add(end);
    taken = end;
  }
  return insideFile(cuts, size);
}

/** Sorts offsets and drops those that are not strictly inside a file of `size` bytes. */
export function insideFile(cuts: ReadonlySet<number>, size: number): number[] {
  return [...cuts].filter((cut) => cut > 0 && cut < size).sort((a, b) => a - b);
}
