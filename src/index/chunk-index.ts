import type { Digest } from '../base/digest.ts';
import type { PackFooter, PackRow } from '../pack/format.ts';
import { type ChunkTable, TableDamage } from './chunk-table.ts';
import { FooterCache, type PackSource } from './footer-cache.ts';
import { FreshPacks, type UsablePlace } from './fresh-packs.ts';
import { type IndexedPack, type ListedPack, newestFirst, PackEntry } from './indexed-pack.ts';
import { TableSet, type TableStore } from './table-set.ts';

/** Where a chunk is found. */
export interface ChunkPlace extends PackRow {
  readonly pack: IndexedPack;
  /** Row of the pack's footer. */
  readonly number: number;
  /** Holds the 32 bytes of the chunk's id at {@link idAt}; the caller's own bytes where one asked by id. */
  readonly ids: Uint8Array;
  readonly idAt: number;
}

/** Returns the place of a row of a pack. */
export function placeOf(footer: PackFooter, number: number): ChunkPlace {
  const idAt = footer.idOffset(number);
  return { pack: footer, number, ids: footer.bytes, idAt, ...footer.row(number) };
}

/** Options of {@link ChunkIndex}. */
export interface ChunkIndexOptions {
  /** Rows of packs without a table from which on a table is written. */
  readonly freshRowsMax?: number;
  /** Packs without a table from which on one is written. */
  readonly freshPacksMax?: number;
  /** Bytes of footers of packs with a table that are kept. */
  readonly footerBytesMax?: number;
}

/** Tables that are written in a row before they are merged, when many packs come at once. */
const unsettledMax = 64;

/**
 * Maps chunk ids to their places in packs. Most packs are covered by tables in files, where a lookup reads
 * a block of 4 KiB; the others are in memory. A table only says where to look: a chunk is found when its
 * whole id stands in the verified footer of its pack. A chunk in several packs is found in the newest.
 *
 * Memory, whatever the number of chunks: 32 MiB of footers, 4 MiB of blocks, some 5 MB of packs that no
 * table covers; with it grow 0.05 bytes a chunk and some 300 a pack. Where no table can be written, packs
 * that have none take 60 to 70 bytes a chunk.
 */
export class ChunkIndex {
  readonly #source: PackSource;
  readonly #tables: TableSet;
  readonly #footers: FooterCache;
  readonly #freshRowsMax: number;
  readonly #freshPacksMax: number;
  readonly #packs = new Map<Digest, PackEntry>();
  #fresh: FreshPacks;
  #writable: boolean;
  #audited = false;

  /** Opens the tables that are there, if a place for them is given. */
  constructor(source: PackSource, tables?: TableStore, options: ChunkIndexOptions = {}) {
    this.#source = source;
    this.#tables = new TableSet(tables);
    this.#writable = this.#tables.writable;
    this.#fresh = new FreshPacks(this.#tables.keys);
    this.#freshRowsMax = options.freshRowsMax ?? 65_536;
    this.#freshPacksMax = options.freshPacksMax ?? 256;
    this.#footers = new FooterCache(source, options.footerBytesMax ?? 32 * 1024 * 1024);
  }

  /** The packs that can be used, as far as is known. */
  packs(): Iterable<IndexedPack> {
    return this.#packs.values();
  }

  /** Rows of all packs, chunks that stand in two packs counted twice. */
  get rows(): number {
    let rows = 0;
    for (const { count } of this.#packs.values()) rows += count;
    return rows;
  }

  /** What the index has done so far, for tests and measurements. */
  get counts(): {
    readonly footersLoaded: number;
    readonly tables: number;
    readonly fresh: number;
  } {
    return {
      footersLoaded: this.#footers.loads,
      tables: this.#tables.count,
      fresh: this.#fresh.rows,
    };
  }

  /** Returns a pack that is there. */
  pack(id: Digest): IndexedPack | undefined {
    return this.#packs.get(id);
  }

  /** Returns the footer of a pack that is there, read if need be; undefined when it cannot be used. */
  footer(id: Digest): PackFooter | undefined {
    return this.#untilSound(() => {
      const entry = this.#packs.get(id);
      if (entry === undefined) return undefined;
      const footer = this.#footers.footer(entry);
      if (footer === undefined) this.#lose(entry);
      return footer;
    });
  }

  /**
   * Takes up the packs that tables cover; once, before any other.
   * @returns the others, whose footers the caller gives to {@link addPack}
   */
  attach(listed: Iterable<ListedPack>): ListedPack[] {
    const byId = new Map<Digest, ListedPack>();
    for (const one of listed) byId.set(one.pack, one);
    for (const [id, entry] of this.#tables.attach(byId)) {
      this.#packs.set(id, entry);
      byId.delete(id);
    }
    return [...byId.values()];
  }

  /**
   * Adds a pack; one that is known already is left as it is. When there are many, they are written to a
   * table; {@link settle} is called at the end.
   * @param time when the pack was written, milliseconds
   */
  addPack(footer: PackFooter, time = 0): void {
    if (this.#packs.has(footer.id)) return;
    const entry = new PackEntry(footer.id, footer.count, { size: footer.packBytes, time });
    entry.footer = footer;
    this.#packs.set(footer.id, entry);
    this.#fresh.add(entry);
    const { rows, entries } = this.#fresh;
    if (rows >= this.#freshRowsMax || entries.length >= this.#freshPacksMax) this.#flush();
    if (this.#tables.count > unsettledMax) this.settle();
  }

  /** Moves the packs in memory to a table of their own. */
  #flush(): void {
    if (!this.#writable) return;
    const { entries } = this.#fresh;
    try {
      this.#tables.cover(entries);
    } catch {
      // A store that cannot be written has its index in memory.
      this.#writable = false;
      return;
    }
    for (const entry of entries) {
      entry.footer = undefined;
      entry.verified = true;
    }
    this.#fresh = new FreshPacks(this.#tables.keys);
  }

  /** Merges tables where there are too many. */
  settle(): void {
    this.#untilSound(() => {
      if (!this.#writable) return;
      try {
        this.#tables.settle();
      } catch (error) {
        if (error instanceof TableDamage) throw error;
        this.#writable = false;
      }
    });
  }

  /** Does something again while tables turn out to be damaged; their packs are read anew. */
  #untilSound<T>(work: () => T): T {
    for (;;) {
      try {
        return work();
      } catch (error) {
        if (!(error instanceof TableDamage)) throw error;
        this.#readAgain(error.table);
      }
    }
  }

  /** Replaces a table that is no good by the footers of its packs. */
  #readAgain(table: ChunkTable): void {
    for (const entry of this.#tables.drop(table)) {
      this.#packs.delete(entry.id);
      const footer = this.#source.load(entry.id, entry.packBytes);
      if (footer !== undefined) this.addPack(footer, entry.time);
    }
  }

  #lose(entry: PackEntry): void {
    entry.table = undefined;
    this.#packs.delete(entry.id);
  }

  /** Tells whether a chunk is known; its id is the 32 bytes at `ids[at]`. */
  has(ids: Uint8Array, at = 0): boolean {
    const { keys } = this.#tables;
    keys.make(ids, at);
    if (this.#fresh.find(ids, at, keys.low) !== undefined) return true;
    return this.#tables.count > 0 && this.find(ids, at) !== undefined;
  }

  /**
   * Finds a chunk by the 32 bytes at `ids[at]`. A chunk that is not found is most likely not there;
   * {@link recheck} makes sure.
   * @param usable denies places that are known to be damaged; by default all are good
   */
  find(ids: Uint8Array, at = 0, usable: UsablePlace = () => true): ChunkPlace | undefined {
    return this.#untilSound(() => {
      const { keys } = this.#tables;
      keys.make(ids, at);
      const { high, low } = keys;
      const fresh = this.#fresh.findUsable(ids, at, low, usable);
      const candidates = this.#tables.count > 0 ? this.#tables.candidates(high, low) : [];
      if (fresh !== undefined) candidates.push(fresh);
      if (candidates.length > 1) candidates.sort((a, b) => newestFirst(a.entry, b.entry));
      for (const { entry, row } of candidates) {
        if (!usable(entry, row)) continue;
        const confirmed = this.#footers.confirm(entry, row, ids, at);
        if (confirmed === 'lost') this.#lose(entry);
        else if (confirmed !== 'other')
          return { pack: entry, number: row, ids, idAt: at, ...confirmed };
      }
      return undefined;
    });
  }

  /**
   * Makes sure that no chunk is missed because a table lacks it: compares all tables with the footers of
   * their packs, once in the life of the index. For callers who are about to say that something is
   * missing. Reads all footers and tables.
   * @returns whether something changed, so that it is worth looking again
   */
  recheck(): boolean {
    if (this.#audited) return false;
    this.#audited = true;
    const wrong = this.#tables.audit((entry) => {
      const footer = this.#source.load(entry.id, entry.packBytes);
      if (footer === undefined) this.#lose(entry);
      return footer;
    });
    for (const table of wrong) this.#readAgain(table);
    if (wrong.length > 0) this.settle();
    return wrong.length > 0;
  }
}
