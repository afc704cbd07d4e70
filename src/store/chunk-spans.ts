import type { Recipe } from './recipe.ts';

/** Finds the chunks of a blob by offsets. Memory: eight bytes a chunk beside the recipe. */
export class ChunkSpans {
  readonly recipe: Recipe;
  readonly #ends: Float64Array;

  constructor(recipe: Recipe) {
    this.recipe = recipe;
    this.#ends = new Float64Array(recipe.count);
    let end = 0;
    for (let row = 0; row < recipe.count; row++) {
      end += recipe.length(row);
      this.#ends[row] = end;
    }
  }

  /** The row of the chunk that holds the byte at an offset, which must be inside the blob. */
  rowAt(offset: number): number {
    let low = 0;
    let high = this.#ends.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#ends[middle] ?? 0) > offset) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  /** The rows of the chunks that hold bytes of a range of the blob. */
  *rowsOf(start: number, end: number): Generator<number, void, undefined> {
    if (start >= end) return;
    for (let row = this.rowAt(start); row < this.#ends.length && this.start(row) < end; row++) {
      yield row;
    }
  }

  /** Offset of the first byte of a chunk. */
  start(row: number): number {
    return row === 0 ? 0 : (this.#ends[row - 1] ?? 0);
  }

  /** Offset behind the last byte of a chunk. */
  end(row: number): number {
    return this.#ends[row] ?? 0;
  }
}

/**
 * Counts the bytes from an offset of each of two blobs on that are the same, as far as their recipes tell: those
 * that lie at the same place of the same chunk. Nothing is read, so this is as true as the recipes are.
 * @returns bytes up to the end of the chunk; 0 where nothing is told
 */
export function sharedBytesAt(a: ChunkSpans, atA: number, b: ChunkSpans, atB: number): number {
  if (atA >= a.recipe.size || atB >= b.recipe.size) return 0;
  const [rowA, rowB] = [a.rowAt(atA), b.rowAt(atB)];
  if (atA - a.start(rowA) !== atB - b.start(rowB)) return 0;
  const [idA, idB] = [a.recipe.idOffset(rowA), b.recipe.idOffset(rowB)];
  const isSame = a.recipe.rows.compare(b.recipe.rows, idB, idB + 32, idA, idA + 32) === 0;
  return isSame ? a.end(rowA) - atA : 0;
}
