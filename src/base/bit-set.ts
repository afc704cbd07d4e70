/** A set of small numbers. Memory: a bit for each number below its bound. */
export class BitSet {
  readonly #bits: Uint8Array;
  #count = 0;

  /** @param bound all numbers are below it */
  constructor(bound: number) {
    this.#bits = new Uint8Array(Math.ceil(bound / 8));
  }

  /** How many numbers are in it. */
  get count(): number {
    return this.#count;
  }

  has(number: number): boolean {
    return ((this.#bits[number >>> 3] ?? 0) & (1 << (number & 7))) !== 0;
  }

  add(number: number): void {
    if (this.has(number)) return;
    this.#bits[number >>> 3] = (this.#bits[number >>> 3] ?? 0) | (1 << (number & 7));
    this.#count++;
  }

  /** Adds all numbers from `first` to before `end`. */
  addRange(first: number, end: number): void {
    for (let number = first; number < end; number++) this.add(number);
  }
}
