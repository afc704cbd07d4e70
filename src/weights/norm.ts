/** Squares of larger numbers, added up, may leave what a double holds; those of smaller ones may be lost. */
const largeFrom = 2 ** 470;
const smallBelow = 2 ** -470;
const largeScale = 2 ** -600;
const smallScale = 2 ** 600;

/**
 * Adds up squares of any finite doubles, in three sums: what would overflow or vanish is scaled first (Blue, ACM
 * TOMS 4/1, 1978).
 */
export class SumOfSquares {
  #large = 0;
  #usual = 0;
  #small = 0;

  /** Adds a sum of squares that is none of large or small numbers. */
  addSum(squares: number): void {
    this.#usual += squares;
  }

  /** Adds the square of a finite number. */
  add(value: number): void {
    const size = Math.abs(value);
    if (size >= largeFrom) this.#large += (value * largeScale) ** 2;
    else if (size < smallBelow) this.#small += (value * smallScale) ** 2;
    else this.#usual += value * value;
  }

  /** Adds the square of `b - a`, which may be larger than a double holds. */
  addDifference(a: number, b: number): void {
    const difference = b - a;
    if (Number.isFinite(difference)) this.add(difference);
    else this.#large += (b * largeScale - a * largeScale) ** 2;
  }

  /** The root of the sum, as a number and the power of two that it is to be multiplied by. */
  #root(): { readonly value: number; readonly exponent: number } {
    if (this.#large > 0) {
      const rest = this.#usual * largeScale * largeScale;
      return { value: Math.sqrt(this.#large + rest), exponent: 600 };
    }
    if (this.#usual > 0) {
      const rest = this.#small / smallScale / smallScale;
      return { value: Math.sqrt(this.#usual + rest), exponent: 0 };
    }
    return { value: Math.sqrt(this.#small), exponent: -600 };
  }

  /** Divides one root by another: null where no double is that, 0 where both are zero. */
  static ratio(part: SumOfSquares, whole: SumOfSquares): number | null {
    const [a, b] = [part.#root(), whole.#root()];
    if (a.value === 0) return 0;
    if (b.value === 0) return null;
    // In two steps: the power alone may be more than a double holds.
    const half = 2 ** ((a.exponent - b.exponent) / 2);
    const ratio = (a.value / b.value) * half * half;
    return Number.isFinite(ratio) ? ratio : null;
  }
}
