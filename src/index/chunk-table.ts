import { crc32 } from 'node:zlib';
import { type Digest, digestBytes, digestFromRaw, sha256 } from '../base/digest.ts';
import { seedBytes } from './chunk-keys.ts';

/*
 * A chunk table says in which pack, and in which row of its footer, chunks are. It is a cache of one host,
 * made from footers, and no part of the format of stores. Integers are little-endian:
 *   blocks     rows of 16 bytes: key u64 (low, high), pack number u32, row number u32; sorted by key, then
 *              by pack number; 256 rows a block, the last one shorter
 *   directory  seed[8]; a pack: name[32] size u64 rows u32 zero u32; a block: first key u64, CRC-32 u32
 *   trailer    "MSTORETB" u32 version u32 packs u64 rows sha256(first 24 bytes of it, directory)[32]
 */
const magic = Buffer.from('MSTORETB');
const version = 1;
const rowBytes = 16;
const blockRows = 256;
const packBytes = 48;
const blockEntryBytes = 12;
const tableTrailerBytes = 56;
const summedBytes = 24;

/** Bytes of a full block. */
export const tableBlockBytes = blockRows * rowBytes;
/** No directory is larger: this is that of more than a thousand million chunks. */
const directoryBytesMax = 64 * 1024 * 1024;
/** Places kept of one chunk, the newest: more tell nothing, and a lookup reads them all. */
const copiesMax = 16;

/** A file that holds a table; how it is read is the store's. */
export interface TableFile {
  /** Name of the file, for its removal. */
  readonly name: string;
  /** Bytes. */
  readonly size: number;
  /** Fills `target` from a position on; returns the number of bytes that could be read. */
  read(target: Uint8Array, position: number): number;
  close(): void;
}

/** A pack whose chunks a table lists. */
export interface TablePack {
  readonly id: Digest;
  /** Size of the whole pack, in bytes. */
  readonly packBytes: number;
  /** Rows of its footer. */
  readonly count: number;
}

/** Thrown when a table turns out to be damaged: it must be dropped, and its packs be read again. */
export class TableDamage extends Error {
  readonly table: ChunkTable;

  constructor(table: ChunkTable) {
    super('A chunk table is damaged');
    this.table = table;
  }
}

/** Keeps blocks of tables that were read and checked. Memory: 4 MiB. */
export class BlockCache {
  static readonly #slots = 1024;
  readonly #bytes = Buffer.allocUnsafeSlow(BlockCache.#slots * tableBlockBytes);
  readonly #slotOf = new Map<number, number>();
  readonly #keys: Array<number | undefined> = [];
  #next = 0;

  /** Returns the bytes kept under a key. */
  get(key: number): Buffer | undefined {
    const slot = this.#slotOf.get(key);
    if (slot === undefined) return undefined;
    return this.#bytes.subarray(slot * tableBlockBytes, (slot + 1) * tableBlockBytes);
  }

  /** Returns room for a block, which is kept from then on; what was kept longest is given up. */
  add(key: number): Buffer {
    const slot = this.#next;
    this.#next = (slot + 1) % BlockCache.#slots;
    const before = this.#keys[slot];
    if (before !== undefined) this.#slotOf.delete(before);
    this.#keys[slot] = key;
    this.#slotOf.set(key, slot);
    return this.#bytes.subarray(slot * tableBlockBytes, (slot + 1) * tableBlockBytes);
  }

  /** Gives up what was added last, because it is no good. */
  dropLast(): void {
    this.#next = (this.#next + BlockCache.#slots - 1) % BlockCache.#slots;
    const key = this.#keys[this.#next];
    if (key !== undefined) this.#slotOf.delete(key);
    this.#keys[this.#next] = undefined;
  }
}

let tablesOpened = 0;

/**
 * A table in a file. Memory: the directory, 12 bytes for each 256 chunks and 48 a pack. A lookup is a
 * binary search over the first keys of the blocks, then in one block of 4 KiB, rarely two. Blocks are
 * checked when they are read, so that opening a table costs no more than its directory.
 */
export class ChunkTable {
  readonly file: TableFile;
  readonly packs: readonly TablePack[];
  /** Rows of all packs. */
  readonly rows: number;
  readonly seed: Buffer;
  readonly #blocks: Buffer;
  /** Unlike that of any other table of this process, and of no other block together with its number. */
  readonly #cacheKey: number;

  /** Use {@link openTable}. */
  constructor(file: TableFile, directory: Buffer, packs: number, rows: number) {
    this.file = file;
    this.rows = rows;
    this.seed = directory.subarray(0, seedBytes);
    const packsEnd = seedBytes + packs * packBytes;
    this.packs = Array.from({ length: packs }, (_, number) => {
      const at = seedBytes + number * packBytes;
      return {
        id: digestFromRaw(directory, at),
        packBytes: Number(directory.readBigUInt64LE(at + 32)),
        count: directory.readUInt32LE(at + 40),
      };
    });
    this.#blocks = directory.subarray(packsEnd);
    this.#cacheKey = tablesOpened++ * 2 ** 24;
  }

  /** Number of blocks. */
  get blocks(): number {
    return this.#blocks.length / blockEntryBytes;
  }

  /**
   * Finds the rows of a key.
   * @param found gets a pack number and a row number for each
   * @throws TableDamage
   */
  find(high: number, low: number, cache: BlockCache, found: number[]): void {
    let number = this.#blockBefore(high, low);
    let at = -1;
    for (; number < this.blocks; number++) {
      const block = this.#block(number, cache);
      const rows = this.#rowsOf(number);
      if (at === -1) at = lowerBound(block, rows, high, low);
      for (; at < rows; at++) {
        const row = at * rowBytes;
        if (block.readUInt32LE(row + 4) !== high || block.readUInt32LE(row) !== low) return;
        found.push(block.readUInt32LE(row + 8), block.readUInt32LE(row + 12));
        if (found.length > 2 * copiesMax) return;
      }
      at = 0;
      if (number + 1 < this.blocks && this.#compare(number + 1, high, low) > 0) return;
    }
  }

  /** The last block whose first key is below a key: rows of the key begin there or in the next one. */
  #blockBefore(high: number, low: number): number {
    let from = 0;
    let to = this.blocks;
    while (from < to) {
      const middle = (from + to) >>> 1;
      if (this.#compare(middle, high, low) < 0) from = middle + 1;
      else to = middle;
    }
    return Math.max(0, from - 1);
  }

  /** Compares the first key of a block with a key. */
  #compare(number: number, high: number, low: number): number {
    const at = number * blockEntryBytes;
    const difference = this.#blocks.readUInt32LE(at + 4) - high;
    return difference === 0 ? this.#blocks.readUInt32LE(at) - low : difference;
  }

  #rowsOf(number: number): number {
    return Math.min(blockRows, this.rows - number * blockRows);
  }

  #block(number: number, cache: BlockCache): Buffer {
    const key = this.#cacheKey + number;
    const kept = cache.get(key);
    if (kept !== undefined) return kept;
    const block = cache.add(key);
    try {
      this.readBlocks(number, 1, block);
    } catch (error) {
      cache.dropLast();
      throw error;
    }
    return block;
  }

  /**
   * Reads blocks that follow each other, and checks them.
   * @param target room for that many blocks
   * @returns the rows read, 16 bytes each
   * @throws TableDamage
   */
  readBlocks(first: number, count: number, target: Buffer): Buffer {
    const rows = Math.min(count * blockRows, this.rows - first * blockRows);
    const bytes = target.subarray(0, rows * rowBytes);
    if (this.file.read(bytes, first * tableBlockBytes) !== bytes.length)
      throw new TableDamage(this);
    for (let at = 0; at < bytes.length; at += tableBlockBytes) {
      const entry = (first + at / tableBlockBytes) * blockEntryBytes;
      const sum = crc32(bytes.subarray(at, at + tableBlockBytes));
      if (sum !== this.#blocks.readUInt32LE(entry + 8)) throw new TableDamage(this);
    }
    return bytes;
  }
}

function lowerBound(block: Buffer, rows: number, high: number, low: number): number {
  let from = 0;
  let to = rows;
  while (from < to) {
    const middle = (from + to) >>> 1;
    const at = middle * rowBytes;
    const difference = block.readUInt32LE(at + 4) - high;
    if (difference < 0 || (difference === 0 && block.readUInt32LE(at) < low)) from = middle + 1;
    else to = middle;
  }
  return from;
}

/** Opens a table; returns undefined for a file that is none, or not whole. */
export function openTable(file: TableFile): ChunkTable | undefined {
  if (file.size < tableTrailerBytes + seedBytes) return undefined;
  const trailer = Buffer.alloc(tableTrailerBytes);
  if (file.read(trailer, file.size - tableTrailerBytes) !== tableTrailerBytes) return undefined;
  if (!trailer.subarray(0, 8).equals(magic) || trailer.readUInt32LE(8) !== version)
    return undefined;
  const packs = trailer.readUInt32LE(12);
  const rows = Number(trailer.readBigUInt64LE(16));
  const blocks = Math.ceil(rows / blockRows);
  const length = seedBytes + packs * packBytes + blocks * blockEntryBytes;
  if (length > directoryBytesMax) return undefined;
  if (file.size !== rows * rowBytes + length + tableTrailerBytes) return undefined;
  const summed = Buffer.alloc(summedBytes + length);
  trailer.copy(summed, 0, 0, summedBytes);
  const directory = summed.subarray(summedBytes);
  if (file.read(directory, rows * rowBytes) !== length) return undefined;
  if (sha256(summed) !== digestFromRaw(trailer, summedBytes)) return undefined;
  return new ChunkTable(file, directory, packs, rows);
}

/** Writes a table, row by row. Memory: a block, and what becomes the directory. */
export class TableWriter {
  readonly #seed: Buffer;
  readonly #packs: readonly TablePack[];
  readonly #write: (bytes: Uint8Array) => void;
  #block = Buffer.alloc(tableBlockBytes);
  #fill = 0;
  #rows = 0;
  #entries = Buffer.alloc(64 * blockEntryBytes);
  #blocks = 0;
  #high = -1;
  #low = -1;
  /** Pack and row added last. */
  #pack = -1;
  #row = -1;
  /** Those added before it under the same key. */
  readonly #others: Array<[pack: number, row: number]> = [];

  /**
   * @param packs newest first: of a chunk in too many packs, those of the smallest numbers are kept
   * @param write takes the bytes of the file in order; they are valid during the call
   */
  constructor(seed: Buffer, packs: readonly TablePack[], write: (bytes: Uint8Array) => void) {
    this.#seed = seed;
    this.#packs = packs;
    this.#write = write;
  }

  /** Adds a row; keys must not fall. Of one key, each pack counts once. */
  add(high: number, low: number, pack: number, row: number): void {
    if (high !== this.#high || low !== this.#low) {
      this.#endKey();
      this.#high = high;
      this.#low = low;
    } else if (pack === this.#pack) {
      return;
    } else {
      this.#others.push([this.#pack, this.#row]);
    }
    this.#pack = pack;
    this.#row = row;
  }

  #endKey(): void {
    const others = this.#others;
    if (others.length === 0) {
      if (this.#pack >= 0) this.#put(this.#pack, this.#row);
      return;
    }
    others.push([this.#pack, this.#row]);
    others.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
    let kept = 0;
    let last = -1;
    for (const [pack, row] of others) {
      if (pack === last || kept === copiesMax) continue;
      last = pack;
      kept++;
      this.#put(pack, row);
    }
    others.length = 0;
  }

  #put(pack: number, row: number): void {
    const at = this.#fill;
    this.#block.writeUInt32LE(this.#low, at);
    this.#block.writeUInt32LE(this.#high, at + 4);
    this.#block.writeUInt32LE(pack, at + 8);
    this.#block.writeUInt32LE(row, at + 12);
    this.#fill += rowBytes;
    this.#rows++;
    if (this.#fill === tableBlockBytes) this.#endBlock();
  }

  #endBlock(): void {
    if (this.#fill === 0) return;
    const bytes = this.#block.subarray(0, this.#fill);
    const at = this.#blocks * blockEntryBytes;
    if (at === this.#entries.length)
      this.#entries = Buffer.concat([this.#entries], 2 * this.#entries.length);
    bytes.copy(this.#entries, at, 0, 8);
    this.#entries.writeUInt32LE(crc32(bytes), at + 8);
    this.#blocks++;
    this.#write(bytes);
    this.#fill = 0;
  }

  /** Completes the table; returns a name that tells it from all others. */
  finish(): Digest {
    this.#endKey();
    this.#endBlock();
    const trailer = Buffer.alloc(tableTrailerBytes);
    magic.copy(trailer);
    trailer.writeUInt32LE(version, 8);
    trailer.writeUInt32LE(this.#packs.length, 12);
    trailer.writeBigUInt64LE(BigInt(this.#rows), 16);
    const directory = Buffer.concat([
      this.#seed,
      ...this.#packs.map(packEntry),
      this.#entries.subarray(0, this.#blocks * blockEntryBytes),
    ]);
    const digest = sha256(Buffer.concat([trailer.subarray(0, summedBytes), directory]));
    trailer.write(digest, summedBytes, digestBytes, 'hex');
    this.#write(directory);
    this.#write(trailer);
    return digest;
  }
}

function packEntry(pack: TablePack): Buffer {
  const bytes = Buffer.alloc(packBytes);
  bytes.write(pack.id, 0, digestBytes, 'hex');
  bytes.writeBigUInt64LE(BigInt(pack.packBytes), 32);
  bytes.writeUInt32LE(pack.count, 40);
  return bytes;
}
