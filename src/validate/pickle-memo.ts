import type { Value } from './pickle-values.ts';

/** An index of the memo: a number, or the digits of one that numbers do not hold exactly. */
export type MemoIndex = number | string;

/**
 * Values by their index, as an unpickler keeps them. Nearly all pickles number them without a gap, so most are held
 * in a list.
 */
export class PickleMemo {
  readonly #dense: Value[] = [];
  readonly #sparse = new Map<MemoIndex, Value>();
  /** What was kept before a branch, which does not change it. */
  readonly #below: PickleMemo | undefined;
  readonly #belowSize: number;

  constructor(below?: PickleMemo) {
    this.#below = below;
    this.#belowSize = below?.size ?? 0;
  }

  /** Values, those of the memo below included. */
  get size(): number {
    return this.#belowSize + this.#dense.length + this.#sparse.size;
  }

  get(index: MemoIndex): Value | undefined {
    const own =
      typeof index === 'number' && index < this.#dense.length
        ? this.#dense[index]
        : this.#sparse.get(index);
    return own ?? this.#below?.get(index);
  }

  set(index: MemoIndex, value: Value): void {
    if (typeof index === 'string' || index > this.#dense.length || this.#below !== undefined) {
      this.#sparse.set(index, value);
      return;
    }
    this.#dense[index] = value;
    this.#sparse.delete(index);
  }
}

/**
 * An index as the readers of CPython take it: space around it, a sign, single underscores and zeros at its start count
 * for nothing, and neither does what stands behind a NUL.
 * @returns undefined where they end with an error
 */
export function memoIndex(line: string): MemoIndex | undefined {
  const [text = ''] = line.split('\0', 1);
  const [, sign, written] = /^([+-]?)(\d+(?:_\d+)*)$/.exec(text.trim()) ?? [];
  if (written === undefined) return undefined;
  const digits = written.replaceAll('_', '').replace(/^0+(?=\d)/, '');
  const value = Number(digits);
  if (sign === '-' && value !== 0) return undefined;
  return Number.isSafeInteger(value) ? value : digits;
}
