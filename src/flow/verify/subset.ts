import type { Digest } from '../../base/digest.ts';
import { invariant, MstoreError } from '../../base/errors.ts';
import { printable } from '../../base/names.ts';

/** Parts of the ring of names; a slice is some of them. */
const parts = 10_000n;
const dayMs = 86_400_000;
/** Most slices that a ring is cut into by hand. */
const slicesMax = 10_000;

/** A share of all objects, chosen by their names alone. */
export interface Subset {
  /** The slice for people and programs: `45% to 50%`. */
  readonly slice: string;
  /** Tells whether an object of this name belongs to it. */
  has(name: Digest): boolean;
}

/**
 * Reads what `--subset` was given: `5%`, of which each day has its own slice, one next to that of the day
 * before, so that a job that runs every day comes to everything within 100 / 5 days; or `3/20`, the third of
 * twenty slices. An object stays in its slice whatever is added or removed: its place on the ring is its name.
 * @param nowMs milliseconds since 1970-01-01 UTC; the day changes at midnight UTC
 * @throws MstoreError `usage`
 */
export function parseSubset(text: string, nowMs: number): Subset {
  const [, whole, decimals = ''] = /^(\d{1,3})(?:\.(\d{1,2}))?%$/.exec(text) ?? [];
  if (whole !== undefined) {
    const width = Number(whole) * 100 + Number(decimals.padEnd(2, '0'));
    if (width < 1 || width > Number(parts)) throw badSubset(text);
    const start = (BigInt(Math.floor(nowMs / dayMs)) * BigInt(width)) % parts;
    return slice(start, start + BigInt(width), parts);
  }
  const [, number, of] = /^(\d{1,5})\/(\d{1,5})$/.exec(text) ?? [];
  const [n, total] = [Number(number), Number(of)];
  if (number === undefined || n < 1 || n > total || total > slicesMax) throw badSubset(text);
  return slice(BigInt(n - 1), BigInt(n), BigInt(total));
}

function badSubset(text: string): MstoreError {
  return new MstoreError('usage', `--subset cannot be ${printable(text)}`, {
    hint: 'Write a share such as 5%, of which every day has another slice, or a slice such as 3/20',
  });
}

/** The names from `start / of` to before `end / of` of the ring, which may go round its end. */
function slice(start: bigint, end: bigint, of: bigint): Subset {
  invariant(start >= 0n && start < of && end <= start + of, 'a slice of the ring');
  return {
    slice: `${percent(start, of)} to ${percent(end > of ? end - of : end, of)}`,
    has(name) {
      // The first 48 bits of a digest are spread evenly enough for any number of objects.
      const at = BigInt(`0x${name.slice(0, 12)}`) * of;
      const inside = (from: bigint, to: bigint): boolean => at >= from << 48n && at < to << 48n;
      return inside(start, end) || (end > of && inside(0n, end - of));
    },
  };
}

function percent(part: bigint, of: bigint): string {
  return `${Number(((part * 10_000n) / of).toString()) / 100}%`;
}
