import { digestBytes } from '../base/digest.ts';
import { invariant } from '../base/errors.ts';
import { type PackFooter, rowBytes, rowOffset } from '../pack/format.ts';
import type { ChunkKeys } from './chunk-keys.ts';
import { type IndexedPack, newestFirst, type PackEntry } from './indexed-pack.ts';

/** A row of a pack. */
export interface Candidate {
  readonly entry: PackEntry;
  readonly row: number;
}

/** Tells whether a chunk may be taken from a row of a pack. */
export type UsablePlace = (pack: IndexedPack, row: number) => boolean;

/**
 * The packs that no table covers yet: open addressing over their footers, which are kept as they are.
 * Memory: 52 bytes a chunk for the footers and 8 to 16 for the table.
 */
export class FreshPacks {
  readonly #keys: ChunkKeys;
  readonly #entries: PackEntry[] = [];
  /** Number of the first row of each pack, among the rows of all. */
  readonly #firstRows: number[] = [];
  #rows = 0;
  /** Packs whose chunks are in the table. */
  #entered = 0;
  /** Row number + 1, or 0 where free. */
  #slots = new Uint32Array(1024);
  /** Lower halves of the keys, by slot. */
  #lows = new Uint32Array(1024);

  constructor(keys: ChunkKeys) {
    this.#keys = keys;
  }

  /** Rows of all packs, chunks that stand in two packs counted twice. */
  get rows(): number {
    return this.#rows;
  }

  /** The packs, in the order they were added; each has its footer. */
  get entries(): readonly PackEntry[] {
    return this.#entries;
  }

  /** Adds a pack, which has its footer. Its chunks are entered when one is looked for. */
  add(entry: PackEntry): void {
    this.#entries.push(entry);
    this.#firstRows.push(this.#rows);
    this.#rows += footerOf(entry).count;
    invariant(this.#rows < 2 ** 32 - 1, 'row numbers fit 32 bits');
  }

  #enterAll(): void {
    if (this.#entered === this.#entries.length) return;
    this.#grow();
    for (; this.#entered < this.#entries.length; this.#entered++) this.#enter(this.#entered);
  }

  #enter(number: number): void {
    const entry = this.#entries[number] as PackEntry;
    const first = this.#firstRows[number] as number;
    const footer = footerOf(entry);
    for (let row = 0; row < footer.count; row++) {
      const at = footer.idOffset(row);
      this.#keys.make(footer.bytes, at);
      const low = this.#keys.low;
      const slot = this.#slot(footer.bytes, at, low);
      const there = this.#slots[slot] as number;
      // Of a chunk in several packs the newest counts; within a pack, the first row.
      if (there !== 0 && newestFirst(entry, this.#entryOf(there - 1)) >= 0) continue;
      this.#slots[slot] = first + row + 1;
      this.#lows[slot] = low;
    }
  }

  #grow(): void {
    let size = this.#slots.length;
    while (size < this.#rows * 1.5) size *= 2;
    if (size === this.#slots.length) return;
    const slots = new Uint32Array(size);
    const lows = new Uint32Array(size);
    for (let from = 0; from < this.#slots.length; from++) {
      const value = this.#slots[from] as number;
      if (value === 0) continue;
      const low = this.#lows[from] as number;
      let slot = low & (size - 1);
      while (slots[slot] !== 0) slot = (slot + 1) & (size - 1);
      slots[slot] = value;
      lows[slot] = low;
    }
    this.#slots = slots;
    this.#lows = lows;
  }

  /** Finds the slot that holds the id, or the free one where it would go. */
  #slot(ids: Uint8Array, at: number, low: number): number {
    const mask = this.#slots.length - 1;
    let slot = low & mask;
    for (;;) {
      const value = this.#slots[slot] as number;
      if (value === 0) return slot;
      if (this.#lows[slot] === low) {
        const number = this.#ordinal(value - 1);
        const footer = footerOf(this.#entries[number] as PackEntry);
        const rowAt = footer.idOffset(value - 1 - (this.#firstRows[number] as number));
        if (footer.bytes.compare(ids, at, at + digestBytes, rowAt, rowAt + digestBytes) === 0)
          return slot;
      }
      slot = (slot + 1) & mask;
    }
  }

  /** Binary search for the pack that holds a row. */
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

  #entryOf(row: number): PackEntry {
    return this.#entries[this.#ordinal(row)] as PackEntry;
  }

  /**
   * Finds a chunk by the 32 bytes at `ids[at]`. Makes other keys.
   * @param low lower half of its key
   */
  find(ids: Uint8Array, at: number, low: number): Candidate | undefined {
    this.#enterAll();
    const value = this.#slots[this.#slot(ids, at, low)] as number;
    if (value === 0) return undefined;
    const number = this.#ordinal(value - 1);
    return {
      entry: this.#entries[number] as PackEntry,
      row: value - 1 - (this.#firstRows[number] as number),
    };
  }

  /**
   * Finds the newest place of a chunk that is not denied. After a denial all footers are looked through,
   * which takes a millisecond: for chunks that are known to be damaged in one pack. Makes other keys.
   */
  findUsable(ids: Uint8Array, at: number, low: number, usable: UsablePlace): Candidate | undefined {
    const newest = this.find(ids, at, low);
    if (newest === undefined || usable(newest.entry, newest.row)) return newest;
    const id = Buffer.from(ids.buffer, ids.byteOffset + at, digestBytes);
    for (const entry of [...this.#entries].sort(newestFirst)) {
      for (const row of rowsOf(id, footerOf(entry))) {
        if (usable(entry, row)) return { entry, row };
      }
    }
    return undefined;
  }
}

/** Yields the rows of a footer that are of a chunk. */
function* rowsOf(id: Buffer, { bytes }: PackFooter): Generator<number, void, undefined> {
  for (let at = bytes.indexOf(id, rowOffset(0)); at !== -1; at = bytes.indexOf(id, at + 1)) {
    const row = (at - rowOffset(0)) / rowBytes;
    if (Number.isInteger(row)) yield row;
  }
}

function footerOf(entry: PackEntry): PackFooter {
  invariant(entry.footer !== undefined, 'a fresh pack has its footer');
  return entry.footer;
}
