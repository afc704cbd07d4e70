/** Rows of one fixed width in one growing buffer. Memory: at most twice what the rows need. */
export class RowBuffer {
  readonly #rowBytes: number;
  #bytes: Buffer;
  #count = 0;

  constructor(rowBytes: number) {
    this.#rowBytes = rowBytes;
    this.#bytes = Buffer.allocUnsafe(16 * rowBytes);
  }

  get count(): number {
    return this.#count;
  }

  /** Adds a row and returns its bytes, for the caller to fill before the next call. */
  add(): Buffer {
    const at = this.#count * this.#rowBytes;
    if (at === this.#bytes.length) {
      const larger = Buffer.allocUnsafe(this.#bytes.length * 2);
      this.#bytes.copy(larger);
      this.#bytes = larger;
    }
    this.#count++;
    return this.#bytes.subarray(at, at + this.#rowBytes);
  }

  /** Returns a copy of all rows. */
  finish(): Buffer {
    return Buffer.from(this.#bytes.subarray(0, this.#count * this.#rowBytes));
  }
}
