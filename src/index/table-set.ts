import { type Random, systemRandom } from '../base/clock.ts';
import type { Digest } from '../base/digest.ts';
import type { PackFooter } from '../pack/format.ts';
import { ChunkKeys, seedBytes } from './chunk-keys.ts';
import {
  BlockCache,
  type ChunkTable,
  openTable,
  type TableFile,
  TableWriter,
} from './chunk-table.ts';
import type { Candidate } from './fresh-packs.ts';
import { type ListedPack, newestFirst, PackEntry } from './indexed-pack.ts';
import { mergeTables, TableCursor, writeFooters } from './table-merge.ts';

/** Keeps the files of tables; reading and writing them is the store's. */
export interface TableStore {
  /** Opens all that are there. */
  open(): TableFile[];
  /**
   * Makes a file whole or not at all. What `fill` writes is copied before the call returns; what it
   * returns becomes part of the name.
   * @throws when the place cannot be written
   */
  write(fill: (write: (bytes: Uint8Array) => void) => Digest): TableFile;
  /** Closes a file and removes it; one that cannot be removed does no harm. */
  remove(file: TableFile): void;
}

interface Attached {
  readonly table: ChunkTable;
  /** By pack number; undefined for packs that are gone or that another table covers. */
  readonly entries: ReadonlyArray<PackEntry | undefined>;
}

/** Tables merged at once: bounds open files and memory. */
const mergedMax = 64;

/** The tables of one place. Memory: their directories, and 4 MiB for blocks. */
export class TableSet {
  readonly keys: ChunkKeys;
  readonly #store: TableStore | undefined;
  readonly #opened: ChunkTable[] = [];
  #tables: Attached[] = [];
  #cache: BlockCache | undefined;
  readonly #found: number[] = [];

  /**
   * Opens the tables that are there. All have one seed, else they could not be merged: that of the
   * largest. Files of another one, or that are no whole tables, are removed.
   */
  constructor(store: TableStore | undefined, random: Random = systemRandom) {
    this.#store = store;
    for (const file of store?.open() ?? []) {
      const table = openTable(file);
      if (table === undefined) store?.remove(file);
      else this.#opened.push(table);
    }
    this.#opened.sort((a, b) => b.rows - a.rows || (a.file.name < b.file.name ? -1 : 1));
    const seed = this.#opened[0]?.seed ?? Buffer.from(random.hex(seedBytes), 'hex');
    this.keys = new ChunkKeys(seed);
    for (const [i, table] of [...this.#opened.entries()].reverse()) {
      if (table.seed.equals(seed)) continue;
      this.#opened.splice(i, 1);
      store?.remove(table.file);
    }
  }

  /** Number of tables. */
  get count(): number {
    return this.#tables.length;
  }

  /** Tells whether tables can be written here at all. */
  get writable(): boolean {
    return this.#store !== undefined;
  }

  /**
   * Takes up the tables for the packs that are there. A pack of another size than the table says is
   * not covered; a table that covers nothing the larger ones do not is removed.
   */
  attach(listed: ReadonlyMap<Digest, ListedPack>): Map<Digest, PackEntry> {
    const covered = new Map<Digest, PackEntry>();
    for (const table of this.#opened.splice(0)) {
      const before = covered.size;
      const entries = table.packs.map(({ id, packBytes, count }) => {
        const there = listed.get(id);
        if (there === undefined || there.size !== packBytes || covered.has(id)) return undefined;
        const entry = new PackEntry(id, count, there);
        if (entry.payloadBytes < 0) return undefined;
        entry.table = table;
        covered.set(id, entry);
        return entry;
      });
      if (covered.size > before) this.#tables.push({ table, entries });
      else this.#store?.remove(table.file);
    }
    return covered;
  }

  /**
   * Finds what may be the places of a chunk, by its key, in no order.
   * @throws TableDamage
   */
  candidates(high: number, low: number): Candidate[] {
    const candidates: Candidate[] = [];
    const found = this.#found;
    for (const { table, entries } of this.#tables) {
      found.length = 0;
      this.#cache ??= new BlockCache();
      table.find(high, low, this.#cache, found);
      for (let i = 0; i < found.length; i += 2) {
        const entry = entries[found[i] as number];
        if (entry?.table === table) candidates.push({ entry, row: found[i + 1] as number });
      }
    }
    return candidates;
  }

  /**
   * Writes a table of packs.
   * @param packs each with its footer
   * @throws when the place cannot be written
   */
  cover(packs: readonly PackEntry[]): void {
    const entries = [...packs].sort(newestFirst);
    const footers = entries.map((entry) => entry.footer as PackFooter);
    this.#write(entries, (writer) => writeFooters(this.keys, footers, writer));
  }

  #write(entries: readonly PackEntry[], fill: (writer: TableWriter) => void): void {
    const file = this.#store?.write((write) => {
      const writer = new TableWriter(this.keys.seed, entries, write);
      fill(writer);
      return writer.finish();
    });
    const table = file === undefined ? undefined : openTable(file);
    if (table === undefined) throw new Error('the table that was written is not there');
    this.#tables.push({ table, entries });
    for (const entry of entries) entry.table = table;
  }

  /**
   * Merges tables until each is at least twice as large as all smaller ones together, so that there are
   * few, and every row is written again some log2(rows) times at most. A table of which half is gone is
   * written anew.
   * @throws TableDamage, or when the place cannot be written
   */
  settle(): void {
    for (;;) {
      const inputs = this.#mergePlan();
      if (inputs.length === 0) return;
      this.#merge(inputs);
    }
  }

  #mergePlan(): Attached[] {
    const sized = this.#tables
      .map((attached) => ({ attached, rows: ownRows(attached) }))
      .sort((a, b) => a.rows - b.rows);
    let sum = 0;
    let cut = 0;
    for (const [i, { rows }] of sized.entries()) {
      if (i > 0 && rows < 2 * sum) cut = i + 1;
      sum += rows;
    }
    const chosen = sized.filter(
      ({ attached, rows }, i) => i < cut || rows < attached.table.rows / 2,
    );
    return chosen.slice(0, mergedMax).map(({ attached }) => attached);
  }

  #merge(inputs: readonly Attached[]): void {
    const entries = inputs.flatMap(ownEntries).sort(newestFirst);
    const numberOf = new Map(entries.map((entry, number) => [entry, number]));
    const merged = inputs.map(({ table, entries: own }) => ({
      table,
      numbers: Int32Array.from(own, (entry) =>
        entry?.table === table ? (numberOf.get(entry) ?? -1) : -1,
      ),
    }));
    if (entries.length > 0) this.#write(entries, (writer) => mergeTables(merged, writer));
    for (const { table } of inputs) this.drop(table);
  }

  /** Removes a table; returns the packs that no table covers any more. */
  drop(table: ChunkTable): PackEntry[] {
    const dropped = this.#tables.find((attached) => attached.table === table);
    if (dropped === undefined) return [];
    this.#tables = this.#tables.filter((attached) => attached !== dropped);
    this.#store?.remove(table.file);
    const entries = ownEntries(dropped);
    for (const entry of entries) entry.table = undefined;
    return entries;
  }

  /**
   * Compares every table with the footers of its packs, by sums over all rows.
   * @param footer gives the footer of a pack, or undefined when the pack cannot be used
   * @returns the tables that do not say what the footers do
   */
  audit(footer: (entry: PackEntry) => PackFooter | undefined): ChunkTable[] {
    return this.#tables
      .filter((attached) => !this.#agrees(attached, footer))
      .map(({ table }) => table);
  }

  #agrees(
    { table, entries }: Attached,
    footerOf: (entry: PackEntry) => PackFooter | undefined,
  ): boolean {
    const sums = new Uint32Array(entries.length);
    const cursor = new TableCursor(table);
    try {
      while (cursor.next()) {
        const sum = sums[cursor.pack] ?? 0;
        sums[cursor.pack] = sum + mixed(cursor.high, cursor.low, cursor.row);
      }
    } catch {
      return false;
    }
    for (const [pack, entry] of entries.entries()) {
      if (entry?.table !== table) continue;
      const footer = footerOf(entry);
      if (footer === undefined) continue;
      let sum = 0;
      for (let row = 0; row < footer.count; row++) {
        this.keys.make(footer.bytes, footer.idOffset(row));
        sum = (sum + mixed(this.keys.high, this.keys.low, row)) >>> 0;
      }
      if (sum !== sums[pack]) return false;
    }
    return true;
  }
}

function mixed(high: number, low: number, row: number): number {
  return (Math.imul(high ^ Math.imul(row, 0x9e3779b1), 0x85ebca6b) ^ low) >>> 0;
}

function ownEntries({ table, entries }: Attached): PackEntry[] {
  return entries.flatMap((entry) => (entry?.table === table ? [entry] : []));
}

function ownRows(attached: Attached): number {
  return ownEntries(attached).reduce((sum, { count }) => sum + count, 0);
}
