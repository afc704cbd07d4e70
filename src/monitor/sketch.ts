import { isJsonObject } from '../base/json.ts';

/**
 * Width of a bucket: what a bucket stands for is at most 2 % away from what was counted in it.
 * Source: Masson, Rim, Lee, "DDSketch: a fast and fully-mergeable quantile sketch with relative-error guarantees",
 * PVLDB 12(12), 2019.
 */
const gamma = 1.04;
const logGamma = Math.log(gamma);
/** Bounds of what is told apart: less counts as 0, more as the most. */
const [magnitudeMin, magnitudeMax] = [1e-9, 1e12];
const bucketMin = Math.floor(Math.log(magnitudeMin) / logGamma);
const bucketMax = Math.ceil(Math.log(magnitudeMax) / logGamma);
/** Buckets of positive numbers are numbered from 1 on, those of negative ones from -1 down; 0 is that of zero. */
const shift = 1 - bucketMin;
const numberMax = bucketMax + shift;

/**
 * Counts numbers in buckets whose widths grow with them, so that quantiles are known to 2 % in bounded memory: 2,500 buckets
 * at most. Two of them can be added.
 */
export class QuantileSketch {
  readonly #buckets = new Map<number, number>();
  #count = 0;

  /** Numbers that were counted. */
  get count(): number {
    return this.#count;
  }

  /** @param value finite */
  add(value: number, times = 1): void {
    this.#put(bucketOf(value), times);
  }

  /** Adds all that another one counted. */
  merge(other: QuantileSketch): void {
    for (const [bucket, times] of other.#buckets) this.#put(bucket, times);
  }

  #put(bucket: number, times: number): void {
    this.#buckets.set(bucket, (this.#buckets.get(bucket) ?? 0) + times);
    this.#count += times;
  }

  /**
   * Finds a quantile.
   * @param share 0 to 1
   * @returns undefined where nothing was counted
   */
  quantile(share: number): number | undefined {
    const bucket = this.#bucketAt(share);
    return bucket === undefined ? undefined : middleOf(bucket);
  }

  #bucketAt(share: number): number | undefined {
    const rank = share * (this.#count - 1);
    let seen = 0;
    let last: number | undefined;
    for (const [bucket, times] of this.#sorted()) {
      seen += times;
      last = bucket;
      if (seen > rank) break;
    }
    return last;
  }

  /**
   * Finds numbers that cut what was counted into parts of about the same size. Where many numbers are alike there are fewer
   * parts.
   * @returns upper bounds of all parts but the last one, for {@link counts}
   */
  cuts(parts: number): number[] {
    const cuts = new Set<number>();
    for (let i = 1; i < parts; i++) {
      const bucket = this.#bucketAt(i / parts);
      if (bucket !== undefined) cuts.add(bucket);
    }
    return [...cuts];
  }

  /** Counts what is in each part by {@link cuts}, of this sketch or another one. */
  counts(cuts: readonly number[]): number[] {
    const counts = new Array<number>(cuts.length + 1).fill(0);
    for (const [bucket, times] of this.#buckets) {
      const part = cuts.findIndex((cut) => bucket <= cut);
      const at = part === -1 ? cuts.length : part;
      counts[at] = (counts[at] ?? 0) + times;
    }
    return counts;
  }

  #sorted(): Array<[number, number]> {
    return [...this.#buckets].sort(([a], [b]) => a - b);
  }

  /** The buckets with their counts, to be kept. */
  toJSON(): Array<[number, number]> {
    return this.#sorted();
  }

  /** Reads what {@link toJSON} gave; undefined where it is not of that form. */
  static from(value: unknown): QuantileSketch | undefined {
    if (!Array.isArray(value) || value.length > 2 * numberMax + 1) return undefined;
    const sketch = new QuantileSketch();
    for (const pair of value as unknown[]) {
      if (!Array.isArray(pair)) return undefined;
      const [bucket, times] = pair as unknown[];
      if (!Number.isInteger(bucket) || Math.abs(bucket as number) > numberMax) return undefined;
      if (!isCount(times)) return undefined;
      sketch.#put(bucket as number, times);
    }
    return sketch;
  }
}

function bucketOf(value: number): number {
  const magnitude = Math.abs(value);
  if (magnitude < magnitudeMin) return 0;
  const bounded = Math.min(magnitude, magnitudeMax);
  return Math.sign(value) * (Math.ceil(Math.log(bounded) / logGamma) + shift);
}

/** What stands in the middle of a bucket, as far from both of its ends in relation to it. */
function middleOf(bucket: number): number {
  if (bucket === 0) return 0;
  const upper = gamma ** (Math.abs(bucket) - shift);
  return (Math.sign(bucket) * 2 * upper) / (1 + gamma);
}

/** Tells whether a value that was kept is a count. */
export function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

/** Reads counts by name that were kept; undefined where they are none. */
export function countsFrom(value: unknown, most: number): Map<string, number> | undefined {
  if (!isJsonObject(value)) return undefined;
  const entries = Object.entries(value);
  if (entries.length > most || !entries.every(([, times]) => isCount(times))) return undefined;
  return new Map(entries as Array<[string, number]>);
}
