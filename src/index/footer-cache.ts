import { type Digest, digestBytes } from '../base/digest.ts';
import { type PackFooter, type PackRow, parseRow } from '../pack/format.ts';
import { TableDamage } from './chunk-table.ts';
import type { PackEntry } from './indexed-pack.ts';

/** Gives an index the footers of packs; reading files is the store's. */
export interface PackSource {
  /**
   * Reads the footer of a pack and verifies it.
   * @param packBytes what the pack has; a footer that says otherwise is of no use
   * @returns undefined when the pack cannot be used; the source knows the reason
   */
  load(pack: Digest, packBytes: number): PackFooter | undefined;
  /** Reads the bytes of one row, not verified; undefined when that cannot be done. */
  readRow(pack: Digest, row: number): Buffer | undefined;
}

/** Rows of a verified footer that are read singly before it is worth reading whole again. */
const rowsReadMin = 16;
const rowsPerRead = 128;

/**
 * Footers of packs that tables cover, read when they are first asked for. Memory: `bytesMax`, or the one
 * footer asked for last. A footer that had to leave is not read again for a few chunks of it: rows are
 * read singly, as many as cost what the whole footer does.
 */
export class FooterCache {
  readonly #source: PackSource;
  readonly #bytesMax: number;
  readonly #footers = new Map<PackEntry, PackFooter>();
  #bytes = 0;
  #last: PackEntry | undefined;
  /** Footers read so far, for tests and measurements. */
  loads = 0;

  constructor(source: PackSource, bytesMax: number) {
    this.#source = source;
    this.#bytesMax = bytesMax;
  }

  /**
   * Returns the footer of a pack; undefined when the pack cannot be used.
   * @throws TableDamage when the table told another number of rows
   */
  footer(entry: PackEntry): PackFooter | undefined {
    return entry.footer ?? this.#kept(entry) ?? this.#load(entry);
  }

  #kept(entry: PackEntry): PackFooter | undefined {
    const footer = this.#footers.get(entry);
    if (footer !== undefined && entry !== this.#last) {
      this.#footers.delete(entry);
      this.#footers.set(entry, footer);
      this.#last = entry;
    }
    return footer;
  }

  #load(entry: PackEntry): PackFooter | undefined {
    this.loads++;
    const footer = this.#source.load(entry.id, entry.packBytes);
    if (footer === undefined) return undefined;
    if (footer.count !== entry.count && entry.table !== undefined)
      throw new TableDamage(entry.table);
    this.#keep(entry, footer);
    return footer;
  }

  #keep(entry: PackEntry, footer: PackFooter): void {
    entry.verified = true;
    entry.rowsRead = 0;
    this.#footers.set(entry, footer);
    this.#bytes += footer.bytes.length;
    this.#last = entry;
    for (const [oldest, { bytes }] of this.#footers) {
      if (this.#bytes <= this.#bytesMax || oldest === entry) break;
      this.#footers.delete(oldest);
      this.#bytes -= bytes.length;
    }
  }

  /**
   * Returns a row of a pack if it is that of the chunk whose id is at `ids[at]`.
   * @returns 'lost' when the pack cannot be used
   * @throws TableDamage
   */
  confirm(entry: PackEntry, row: number, ids: Uint8Array, at: number): PackRow | 'other' | 'lost' {
    if (row >= entry.count) return 'other';
    const held = entry.footer ?? this.#kept(entry);
    if (held === undefined) {
      const single = this.#single(entry, row, ids, at);
      if (single !== undefined) return single;
    }
    const footer = held ?? this.#load(entry);
    if (footer === undefined) return 'lost';
    const idAt = footer.idOffset(row);
    if (footer.bytes.compare(ids, at, at + digestBytes, idAt, idAt + digestBytes) !== 0)
      return 'other';
    return footer.row(row);
  }

  /** Reads one row, where that is cheaper than the footer and the footer has been verified before. */
  #single(entry: PackEntry, row: number, ids: Uint8Array, at: number): PackRow | undefined {
    if (!entry.verified || entry.rowsRead >= rowsReadMin + entry.count / rowsPerRead)
      return undefined;
    entry.rowsRead++;
    const bytes = this.#source.readRow(entry.id, row);
    if (bytes?.compare(ids, at, at + digestBytes, 0, digestBytes) !== 0) return undefined;
    const place = parseRow(bytes, 0);
    return place.offset + place.storedLength <= entry.payloadBytes ? place : undefined;
  }
}
