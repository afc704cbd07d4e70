import type { PackFooter } from '../pack/format.ts';
import type { ChunkKeys } from './chunk-keys.ts';
import { type ChunkTable, TableDamage, type TableWriter, tableBlockBytes } from './chunk-table.ts';

const rowBytes = 16;
/** Blocks of one read while tables are merged. */
const blocksAtOnce = 16;

/**
 * Writes the rows of footers, sorted by key.
 * @param footers in the order of the writer's packs
 */
export function writeFooters(
  keys: ChunkKeys,
  footers: readonly PackFooter[],
  writer: TableWriter,
): void {
  const rows = footers.reduce((sum, footer) => sum + footer.count, 0);
  const high = new Uint32Array(rows);
  const low = new Uint32Array(rows);
  const packs = new Uint32Array(rows);
  const numbers = new Uint32Array(rows);
  let fill = 0;
  for (const [pack, footer] of footers.entries()) {
    for (let row = 0; row < footer.count; row++) {
      keys.make(footer.bytes, footer.idOffset(row));
      high[fill] = keys.high;
      low[fill] = keys.low;
      packs[fill] = pack;
      numbers[fill++] = row;
    }
  }
  for (const i of sortedOrder(high, low)) {
    writer.add(high[i] as number, low[i] as number, packs[i] as number, numbers[i] as number);
  }
}

/** Sorts by keys of two halves and returns the order; equal keys stay as they are. */
function sortedOrder(high: Uint32Array, low: Uint32Array): Uint32Array {
  let order = Uint32Array.from(high, (_, i) => i);
  let other = new Uint32Array(order.length);
  for (const [half, shift] of [
    [low, 0],
    [low, 16],
    [high, 0],
    [high, 16],
  ] as const) {
    const starts = new Uint32Array(0x10001);
    for (let i = 0; i < half.length; i++) {
      const digit = (((half[i] as number) >>> shift) & 0xffff) + 1;
      starts[digit] = (starts[digit] as number) + 1;
    }
    for (let digit = 1; digit < starts.length; digit++)
      starts[digit] = (starts[digit] as number) + (starts[digit - 1] as number);
    for (let from = 0; from < order.length; from++) {
      const i = order[from] as number;
      const digit = ((half[i] as number) >>> shift) & 0xffff;
      const at = starts[digit] as number;
      starts[digit] = at + 1;
      other[at] = i;
    }
    [order, other] = [other, order];
  }
  return order;
}

/** Reads the rows of a table in order. Memory: 64 KiB. */
export class TableCursor {
  readonly #table: ChunkTable;
  readonly #buffer = Buffer.allocUnsafe(blocksAtOnce * tableBlockBytes);
  #bytes: Buffer = Buffer.alloc(0);
  #block = 0;
  #at = 0;
  high = 0;
  low = 0;
  pack = 0;
  row = 0;

  constructor(table: ChunkTable) {
    this.#table = table;
  }

  /**
   * Steps to the next row; returns false behind the last one.
   * @throws TableDamage also when the rows are not in order
   */
  next(): boolean {
    if (this.#at === this.#bytes.length) {
      if (this.#block >= this.#table.blocks) return false;
      this.#bytes = this.#table.readBlocks(this.#block, blocksAtOnce, this.#buffer);
      this.#block += blocksAtOnce;
      this.#at = 0;
    }
    const low = this.#bytes.readUInt32LE(this.#at);
    const high = this.#bytes.readUInt32LE(this.#at + 4);
    if (high < this.high || (high === this.high && low < this.low))
      throw new TableDamage(this.#table);
    this.high = high;
    this.low = low;
    this.pack = this.#bytes.readUInt32LE(this.#at + 8);
    this.row = this.#bytes.readUInt32LE(this.#at + 12);
    this.#at += rowBytes;
    return true;
  }
}

/** A table to be merged. */
export interface MergeInput {
  readonly table: ChunkTable;
  /** By pack number: the number in the merged table, or -1 for a pack that is left out. */
  readonly numbers: Int32Array;
}

/**
 * Merges tables of one seed. Memory: 64 KiB a table.
 * @throws TableDamage
 */
export function mergeTables(inputs: readonly MergeInput[], writer: TableWriter): void {
  const heap: Source[] = [];
  for (const { table, numbers } of inputs) {
    const source = { cursor: new TableCursor(table), numbers };
    if (source.cursor.next()) heap.push(source);
  }
  for (let i = (heap.length >>> 1) - 1; i >= 0; i--) sink(heap, i);
  while (heap.length > 0) {
    const { cursor, numbers } = heap[0] as Source;
    const pack = numbers[cursor.pack] ?? -1;
    if (pack >= 0) writer.add(cursor.high, cursor.low, pack, cursor.row);
    if (!cursor.next()) {
      const last = heap.pop() as Source;
      if (heap.length > 0) heap[0] = last;
    }
    sink(heap, 0);
  }
}

interface Source {
  readonly cursor: TableCursor;
  readonly numbers: Int32Array;
}

/** Restores the order of a heap, smallest key first, after an entry has grown. */
function sink(heap: Source[], from: number): void {
  let at = from;
  for (;;) {
    let least = at;
    for (let child = 2 * at + 1; child <= 2 * at + 2; child++)
      if (child < heap.length && isBefore(heap[child] as Source, heap[least] as Source))
        least = child;
    if (least === at) return;
    const moved = heap[at] as Source;
    heap[at] = heap[least] as Source;
    heap[least] = moved;
    at = least;
  }
}

function isBefore(one: Source, other: Source): boolean {
  const difference = one.cursor.high - other.cursor.high;
  return difference < 0 || (difference === 0 && one.cursor.low < other.cursor.low);
}
