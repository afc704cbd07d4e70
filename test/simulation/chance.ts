import type { Random } from '../../src/base/clock.ts';

/**
 * Chance that depends on a seed and on names alone. Nothing is drawn in an order, so that what happens in
 * one place of a simulation does not change the luck of another one.
 */
export class Chance {
  readonly #seed: string;

  constructor(seed: string | number) {
    this.#seed = String(seed);
  }

  /** Returns the number in [0, 1) that belongs to the names. */
  fraction(...names: readonly (string | number)[]): number {
    return hash53(`${this.#seed}/${names.join('/')}`) / 2 ** 53;
  }

  /** Returns a whole number from `min` to `max`. */
  between(min: number, max: number, ...names: readonly (string | number)[]): number {
    return min + Math.floor(this.fraction(...names) * (max - min + 1));
  }

  /** Tells whether something of this probability happens. */
  happens(probability: number, ...names: readonly (string | number)[]): boolean {
    return this.fraction(...names) < probability;
  }

  /** Chooses one of the items; there must be one. */
  pick<T>(items: readonly T[], ...names: readonly (string | number)[]): T {
    return items[Math.floor(this.fraction(...names) * items.length)] as T;
  }

  /** Chooses by weight. */
  weighted<T extends string>(
    weights: Readonly<Record<T, number>>,
    ...names: readonly (string | number)[]
  ): T {
    const all = Object.entries(weights) as [T, number][];
    let left = this.fraction(...names) * all.reduce((sum, [, weight]) => sum + weight, 0);
    for (const [item, weight] of all) {
      left -= weight;
      if (left < 0) return item;
    }
    return (all.at(-1) as [T, number])[0];
  }

  /** Returns a sequence of chance as programs take it from their surroundings. */
  sequence(name: string): Random {
    let drawn = 0;
    const fraction = (): number => this.fraction(name, drawn++);
    const byte = (): string =>
      Math.floor(fraction() * 256)
        .toString(16)
        .padStart(2, '0');
    return { fraction, hex: (bytes) => Array.from({ length: bytes }, byte).join('') };
  }
}

/** Hashes a text to 53 bits: two multiplicative hashes of 32 bits, mixed at the end. */
function hash53(text: string): number {
  let a = 0xdeadbeef;
  let b = 0x41c6ce57;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    a = Math.imul(a ^ unit, 2654435761);
    b = Math.imul(b ^ unit, 1597334677);
  }
  a = Math.imul(a ^ (a >>> 16), 2246822507) ^ Math.imul(b ^ (b >>> 13), 3266489909);
  b = Math.imul(b ^ (b >>> 16), 2246822507) ^ Math.imul(a ^ (a >>> 13), 3266489909);
  return (b & 0x1fffff) * 2 ** 32 + (a >>> 0);
}
