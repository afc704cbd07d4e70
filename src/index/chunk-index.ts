import { systemRandom } from '../base/clock.ts';
import { type Digest, digestBytes } from '../base/digest.ts';
import { invariant } from '../base/errors.ts';
import type { PackFooter, PackRow } from '../pack/format.ts';

/** Where a chunk is found. */
export interface ChunkPlace extends PackRow {
  readonly footer: PackFooter;
  /** Row of the footer. */
  readonly number: number;
}

/** Returns the place of a row of a pack. */
export function placeOf(footer: PackFooter, number: number): ChunkPlace {
  return { footer, number, ...footer.row(number) };
}

/**
 * Maps chunk ids to their places in packs: open addressing over the packs' own footers, which are kept
 * as they are. Memory: 52 bytes a chunk for the footers and 4 to 8 for the table.
 */
export class ChunkIndex {
  readonly #footers: PackFooter[] = [];
  readonly #byId = new Map<Digest, PackFooter>();
  /** Number of the first row of each footer, among the rows of all. */
  readonly #firstRows: number[] = [];
  #rows = 0;
  /** Row number + 1, or 0 where free. */
  #table = new Uint32Array(1024);
  #used = 0;

  /** Rows of all packs, chunks that stand in two packs counted twice. */
  get rows(): number {
    return this.#rows;
  }

  /** The packs, in the order they were added. */
  get packs(): readonly PackFooter[] {
    return this.#footers;
  }

  /** Returns the footer of a pack that was added. */
  pack(id: Digest): PackFooter | undefined {
    return this.#byId.get(id);
  }

  /** Adds a pack; one that is known already is left as it is. */
  addPack(footer: PackFooter): void {
    if (this.#byId.has(footer.id)) return;
    this.#byId.set(footer.id, footer);
    this.#footers.push(footer);
    this.#firstRows.push(this.#rows);
    this.#rows += footer.count;
    invariant(this.#rows < 2 ** 32 - 1, 'row numbers fit 32 bits');
    this.#grow();
    const first = this.#rows - footer.count;
    for (let row = 0; row < footer.count; row++) {
      this.#insert(footer.bytes, footer.idOffset(row), first + row);
    }
  }

  #grow(): void {
    let size = this.#table.length;
    while (size < this.#rows * 1.5) size *= 2;
    if (size === this.#table.length) return;
    const old = this.#table;
    this.#table = new Uint32Array(size);
    this.#used = 0;
    for (const slot of old) {
      if (slot === 0) continue;
      const footer = this.#footerOf(slot - 1);
      const at = footer.idOffset(slot - 1 - this.#firstRowOf(slot - 1));
      this.#insert(footer.bytes, at, slot - 1);
    }
  }

  #insert(ids: Buffer, at: number, row: number): void {
    const slot = this.#slot(ids, at);
    // The first place known for a chunk stays: later packs that repeat it are not preferred.
    if (this.#table[slot] !== 0) return;
    this.#table[slot] = row + 1;
    this.#used++;
  }

  /** Distinct chunks. */
  get size(): number {
    return this.#used;
  }

  /** Finds the slot that holds the id, or the free one where it would go. */
  #slot(ids: Uint8Array, at: number): number {
    const mask = this.#table.length - 1;
    let slot = hashOf(ids, at) & mask;
    for (;;) {
      const value = this.#table[slot] as number;
      if (value === 0) return slot;
      const number = this.#ordinal(value - 1);
      const footer = this.#footers[number] as PackFooter;
      const rowAt = footer.idOffset(value - 1 - (this.#firstRows[number] as number));
      if (footer.bytes.compare(ids, at, at + digestBytes, rowAt, rowAt + digestBytes) === 0)
        return slot;
      slot = (slot + 1) & mask;
    }
  }

  /** Binary search for the footer that holds a row. */
  #ordinal(row: number): number {
    let low = 0;
    let high = this.#firstRows.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if ((this.#firstRows[middle] as number) <= row) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  #footerOf(row: number): PackFooter {
    return this.#footers[this.#ordinal(row)] as PackFooter;
  }

  #firstRowOf(row: number): number {
    return this.#firstRows[this.#ordinal(row)] as number;
  }

  /** Tells whether a chunk is known; its id is the 32 bytes at `ids[at]`. */
  has(ids: Uint8Array, at = 0): boolean {
    return this.#table[this.#slot(ids, at)] !== 0;
  }

  /** Finds a chunk by the 32 bytes at `ids[at]`. */
  find(ids: Uint8Array, at = 0): ChunkPlace | undefined {
    const value = this.#table[this.#slot(ids, at)] as number;
    if (value === 0) return undefined;
    return placeOf(this.#footerOf(value - 1), value - 1 - this.#firstRowOf(value - 1));
  }
}

/** Unlike in every process, so that nobody can make ids that all want the same slot. */
const seed = Number.parseInt(systemRandom.hex(4), 16) | 1;

/** Mixes four words of an id; ids that agree in some bytes are as far apart as any others. */
function hashOf(ids: Uint8Array, at: number): number {
  let hash = seed;
  for (let word = at; word < at + digestBytes; word += 8) {
    const value =
      (ids[word] as number) |
      ((ids[word + 1] as number) << 8) |
      ((ids[word + 2] as number) << 16) |
      ((ids[word + 3] as number) << 24);
    hash = Math.imul(hash ^ value, 0x85ebca6b);
    hash ^= hash >>> 15;
  }
  return hash >>> 0;
}
