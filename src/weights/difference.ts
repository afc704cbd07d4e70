import { SumOfSquares } from './norm.ts';
import {
  aligned,
  kindBytes,
  lanesOf,
  type NumberKind,
  readNumbers,
  subtractWide,
} from './numbers.ts';
import type { Coding } from './tensors.ts';

/** Bytes of each side that are looked at together, or one value of the wider side. */
const blockBytes = 256 * 1024;

/** How much two tensors of one shape differ. */
export interface TensorDifference {
  readonly unit: Coding['unit'];
  /** Units of each. */
  readonly total: number;
  /** Units that differ. */
  readonly differing: number;
  /** `differing / total`. */
  readonly share: number;
  /**
   * The root of the sum of squares of `after - before`, divided by that of `before`. Null where values are not read as
   * numbers, where all of `before` is zero and something differs, and where no double is that large. Pairs in which
   * one is infinite or no number are left out of both sums.
   */
  readonly relativeNorm: number | null;
  /** Pairs of values that were left out of the norm. */
  readonly notFinite: number;
}

/**
 * Adds up how much two tensors differ, part by part. Two values of one type differ when their bytes do: 0 and -0 are
 * two values, and a NaN is the same as one of the same bits. Values of two types differ when the numbers do, and all
 * NaN are one. Memory: six arrays for a part of 256 KiB, 12 MiB at most.
 */
export class DifferenceSum {
  readonly coding: Coding;
  readonly #kinds: readonly [NumberKind, NumberKind] | undefined;
  readonly #whole = new SumOfSquares();
  readonly #part = new SumOfSquares();
  #total = 0;
  #differing = 0;
  #notFinite = 0;
  #a = new Float64Array(0);
  #b = new Float64Array(0);
  #d = new Float64Array(0);

  /** @param after the coding of the later side, where it is another */
  constructor(coding: Coding, after: Coding = coding) {
    this.coding = coding;
    this.#kinds = comparableKinds(coding, after);
  }

  /** Whether bytes that both sides share have to be read all the same, for the norm of `before`. */
  get needsShared(): boolean {
    return this.#kinds !== undefined;
  }

  /** Units that are looked at together. */
  get unitsAtOnce(): number {
    const bytes = this.#kinds?.map((kind) => kindBytes[kind]) ?? [this.coding.unitBytes];
    return Math.max(1, Math.floor(blockBytes / Math.max(...bytes)));
  }

  /** Counts units that are the same on both sides, and were not read. */
  addUnread(units: number): void {
    this.#total += units;
  }

  /** Counts bytes that only one side has; for types that are compared by bytes. */
  addLonger(bytes: number): void {
    this.#total += bytes;
    this.#differing += bytes;
  }

  /** Adds units that are the same on both sides. */
  addSame(bytes: Uint8Array): void {
    this.add(bytes, bytes);
  }

  /** Adds as many units of each side. */
  add(before: Uint8Array, after: Uint8Array): void {
    const a = aligned(before);
    const b = after === before ? a : aligned(after);
    if (this.#kinds === undefined) {
      const { unitBytes } = this.coding;
      this.#total += Math.ceil(a.length / unitBytes);
      if (a !== b) this.#differing += countDiffering(a, b, unitBytes);
      return;
    }
    const [kind, kindAfter] = this.#kinds;
    this.#total += a.length / kindBytes[kind];
    this.#addNumbers(kind, a, kindAfter, b);
  }

  #addNumbers(kind: NumberKind, a: Uint8Array, kindAfter: NumberKind, b: Uint8Array): void {
    const numbers = (a.length / kindBytes[kind]) * lanesOf(kind);
    if (this.#a.length < numbers) {
      this.#a = new Float64Array(numbers);
      this.#b = new Float64Array(numbers);
      this.#d = new Float64Array(numbers);
    }
    readNumbers(kind, a, this.#a);
    if (a === b && kind === kindAfter) {
      this.#addSquares(kind, numbers);
      return;
    }
    readNumbers(kindAfter, b, this.#b);
    if (kind !== kindAfter) this.#differing += countUnequal(this.#a, this.#b, numbers);
    else this.#differing += countDiffering(a, b, kindBytes[kind]);
    const isWide = kind === kindAfter && (kind === 'i64' || kind === 'u64');
    if (isWide) subtractWide(kind as 'i64' | 'u64', a, b, this.#d);
    else subtract(this.#a, this.#b, this.#d, numbers);
    const lanes = lanesOf(kind);
    if (mayOverflow(kind) || mayOverflow(kindAfter) || lanes > 1)
      this.#addCarefully(numbers, lanes);
    else this.#addPlainly(numbers);
  }

  /** Adds the squares of `before` alone. */
  #addSquares(kind: NumberKind, numbers: number): void {
    this.#b.set(this.#a.subarray(0, numbers));
    if (mayOverflow(kind) || lanesOf(kind) > 1) {
      this.#addCarefully(numbers, lanesOf(kind));
      return;
    }
    const values = this.#a;
    let whole = 0;
    for (let i = 0; i < numbers; i++) {
      const value = values[i] as number;
      if (value - value === 0) whole += value * value;
      else this.#notFinite++;
    }
    this.#whole.addSum(whole);
  }

  /** Adds numbers whose squares no double is too small for: a difference is finite where both of a pair are. */
  #addPlainly(numbers: number): void {
    const [values, differences] = [this.#a, this.#d];
    let whole = 0;
    let part = 0;
    for (let i = 0; i < numbers; i++) {
      const difference = differences[i] as number;
      if (difference - difference !== 0) {
        this.#notFinite++;
        continue;
      }
      const value = values[i] as number;
      whole += value * value;
      part += difference * difference;
    }
    this.#whole.addSum(whole);
    this.#part.addSum(part);
  }

  #addCarefully(numbers: number, lanes: number): void {
    for (let i = 0; i < numbers; i += lanes) {
      if (!this.#isFinitePair(i, lanes)) {
        this.#notFinite++;
        continue;
      }
      for (let j = i; j < i + lanes; j++) {
        this.#whole.add(this.#a[j] as number);
        this.#part.addDifference(this.#a[j] as number, this.#b[j] as number);
      }
    }
  }

  #isFinitePair(at: number, lanes: number): boolean {
    for (let j = at; j < at + lanes; j++) {
      if (!Number.isFinite(this.#a[j]) || !Number.isFinite(this.#b[j])) return false;
    }
    return true;
  }

  /** What was added up. */
  result(): TensorDifference {
    const relativeNorm =
      this.#kinds === undefined ? null : SumOfSquares.ratio(this.#part, this.#whole);
    return {
      unit: this.coding.unit,
      total: this.#total,
      differing: this.#differing,
      share: this.#total === 0 ? 0 : this.#differing / this.#total,
      relativeNorm,
      notFinite: this.#notFinite,
    };
  }
}

/** Tells whether tensors of one shape and two types can be compared value by value. */
export function areComparable(before: Coding, after: Coding): boolean {
  return comparableKinds(before, after) !== undefined;
}

function comparableKinds(
  { kind: a }: Coding,
  { kind: b }: Coding,
): readonly [NumberKind, NumberKind] | undefined {
  return a !== undefined && b !== undefined && lanesOf(a) === lanesOf(b) ? [a, b] : undefined;
}

function mayOverflow(kind: NumberKind): boolean {
  return kind === 'f64' || kind === 'c128';
}

function subtract(a: Float64Array, b: Float64Array, into: Float64Array, numbers: number): void {
  for (let i = 0; i < numbers; i++) into[i] = (b[i] as number) - (a[i] as number);
}

function countUnequal(a: Float64Array, b: Float64Array, numbers: number): number {
  let count = 0;
  for (let i = 0; i < numbers; i++) {
    const x = a[i] as number;
    const y = b[i] as number;
    if (x !== y && !(Number.isNaN(x) && Number.isNaN(y))) count++;
  }
  return count;
}

/** Counts units whose bytes differ. */
function countDiffering(a: Uint8Array, b: Uint8Array, unitBytes: number): number {
  if (unitBytes === 2 || unitBytes === 4) {
    const halves = unitBytes === 2;
    return halves
      ? countUnlikeOnes(halvesOf(a), halvesOf(b))
      : countUnlikeOnes(wordsOf(a), wordsOf(b));
  }
  if (unitBytes === 1) return countUnlikeOnes(a, b);
  if (unitBytes % 8 !== 0) return countUnlike(a, b, unitBytes);
  return countUnlike(wordsOf(a), wordsOf(b), unitBytes / 4);
}

function halvesOf({ buffer, byteOffset, length }: Uint8Array): Uint16Array {
  return new Uint16Array(buffer, byteOffset, length / 2);
}

function wordsOf({ buffer, byteOffset, length }: Uint8Array): Uint32Array {
  return new Uint32Array(buffer, byteOffset, length / 4);
}

/** Counts numbers that are not the same. */
function countUnlikeOnes<T extends Uint8Array | Uint16Array | Uint32Array>(a: T, b: T): number {
  let count = 0;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) count++;
  return count;
}

/** Counts groups of `size` numbers that are not the same; the last one may be shorter. */
function countUnlike<T extends Uint8Array | Uint16Array | Uint32Array>(
  a: T,
  b: T,
  size: number,
): number {
  let count = 0;
  for (let start = 0; start < a.length; start += size) {
    const end = Math.min(start + size, a.length);
    let i = start;
    while (i < end && a[i] === b[i]) i++;
    if (i < end) count++;
  }
  return count;
}
