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

  /** Tells whether there is such a row, in a buffer whose rows were added in the order of their bytes. */
  hasSorted(row: Uint8Array): boolean {
    return findSorted(this.#bytes.subarray(0, this.#count * this.#rowBytes), row);
  }

  /** Returns a copy of all rows. */
  finish(): Buffer {
    return Buffer.from(this.#bytes.subarray(0, this.#count * this.#rowBytes));
  }
}

/** Tells whether rows that stand back to back, in the order of their bytes, have one like `row`. */
export function findSorted(rows: Buffer, row: Uint8Array): boolean {
  let [low, high] = [0, rows.length / row.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    const at = middle * row.length;
    const order = rows.compare(row, 0, row.length, at, at + row.length);
    if (order === 0) return true;
    if (order < 0) low = middle + 1;
    else high = middle;
  }
  return false;
}
