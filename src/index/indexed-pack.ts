import type { Digest } from '../base/digest.ts';
import { type PackFooter, rowOffset, trailerBytes } from '../pack/format.ts';
import type { ChunkTable } from './chunk-table.ts';

/** A pack that is there, by its listing. */
export interface ListedPack {
  readonly pack: Digest;
  /** Size of the whole pack, in bytes. */
  readonly size: number;
  /** When it was written, milliseconds; 0 where that is not known. */
  readonly time: number;
}

/** A pack that an index knows; its footer may be in memory or not. */
export interface IndexedPack {
  readonly id: Digest;
  /** Rows of its footer. */
  readonly count: number;
  /** Size of the whole pack, in bytes. */
  readonly packBytes: number;
  /** Bytes of all stored chunks together. */
  readonly payloadBytes: number;
}

/** What the index itself keeps of a pack. */
export class PackEntry implements IndexedPack {
  readonly id: Digest;
  readonly count: number;
  readonly packBytes: number;
  readonly time: number;
  /** The footer, held as long as no table covers the pack. */
  footer: PackFooter | undefined;
  /** The table whose rows count for this pack. */
  table: ChunkTable | undefined;
  /** Whether the footer was verified in this process. */
  verified = false;
  /** Rows that were read singly since the footer was last in memory. */
  rowsRead = 0;

  constructor(id: Digest, count: number, { size, time }: { size: number; time: number }) {
    this.id = id;
    this.count = count;
    this.packBytes = size;
    this.time = time;
  }

  get payloadBytes(): number {
    return this.packBytes - rowOffset(this.count) - trailerBytes;
  }
}

/** Orders packs, the newest first; of those of one time, the greater name. */
export function newestFirst(one: PackEntry, other: PackEntry): number {
  if (one.time !== other.time) return other.time - one.time;
  if (one.id === other.id) return 0;
  return one.id > other.id ? -1 : 1;
}
