import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import { Breather } from '../base/abort.ts';
import { type Digest, digestFromRaw, sha256Raw } from '../base/digest.ts';
import { fromSystemError, isMstoreError, MstoreError, systemCode } from '../base/errors.ts';
import { readFully } from '../base/files.ts';
import { printable } from '../base/names.ts';
import { Chunker, formatChunkParams } from '../chunk/chunker.ts';
import { makeKernel } from '../chunk/kernel.ts';
import type { Scan } from '../chunk/scan.ts';
import { findHardCuts } from '../weights/hard-cuts.ts';
import { recipeKey } from './keys.ts';
import type { Store } from './local-store.ts';
import { PackSink } from './pack-sink.ts';
import { publishObjects } from './publish.ts';
import { emptyBlob, formatRecipe, type Recipe, RecipeBuilder } from './recipe.ts';

/** Bytes read at once; a chunk always fits. */
const windowBytes = 8 * 1024 * 1024;
/** Recipe bytes held before they are published with the pack that their chunks are in. */
const recipeBytesHeldMax = 8 * 1024 * 1024;

/** A blob that was read and stored. */
export interface AddedBlob {
  readonly sha256: Digest;
  /** Bytes. */
  readonly size: number;
  readonly stat: fs.BigIntStats;
}

/** Work counted by a {@link BlobWriter}. */
export interface BlobWriterStats {
  bytesRead: number;
  chunks: number;
  chunksNew: number;
  bytesNew: number;
}

/** Options of {@link BlobWriter}. */
export interface BlobWriterOptions {
  readonly signal?: AbortSignal | undefined;
  /** Called with the bytes read since the last call. */
  readonly onBytes?: (bytes: number) => void;
}

/**
 * Stores blobs: reads each file once, cuts, hashes and keeps the chunks the store lacks. What was added
 * may be named elsewhere only after {@link finish}: then packs, then recipes are durable. Memory: the
 * read window of 8 MiB, the pack block of 4 MiB, and the recipes not yet published.
 */
export class BlobWriter {
  readonly #store: Store;
  readonly #sink: PackSink;
  readonly #breather: Breather;
  readonly #onBytes: (bytes: number) => void;
  readonly #window: Buffer;
  readonly #scan: Scan | undefined;
  #recipes: Array<{ key: string; bytes: Buffer }> = [];
  #recipeBytes = 0;
  readonly stats: BlobWriterStats = { bytesRead: 0, chunks: 0, chunksNew: 0, bytesNew: 0 };

  constructor(store: Store, options: BlobWriterOptions = {}) {
    this.#store = store;
    this.#sink = new PackSink(store);
    this.#breather = new Breather(options.signal);
    this.#onBytes = options.onBytes ?? (() => {});
    const kernel = makeKernel(windowBytes);
    this.#window = kernel?.bytes ?? Buffer.allocUnsafeSlow(windowBytes);
    this.#scan = kernel?.scan;
  }

  /**
   * Reads and stores one regular file.
   * @throws MstoreError `file-changed` when the file changes while it is read; nothing is recorded of it
   */
  async addFile(file: string): Promise<AddedBlob> {
    const fd = openRegular(file);
    try {
      const before = fs.fstatSync(fd, { bigint: true });
      const digest = await this.#addOpen(fd, Number(before.size), file);
      const after = fs.fstatSync(fd, { bigint: true });
      if (!sameStat(before, after)) throw changedWhileRead(file);
      return { sha256: digest, size: Number(before.size), stat: after };
    } catch (error) {
      throw fromSystemError(error, `reading ${printable(file)}`);
    } finally {
      fs.closeSync(fd);
    }
  }

  /** Stores bytes that are in memory. */
  async addBytes(bytes: Buffer): Promise<Digest> {
    const chunker = new Chunker();
    const recipe = new RecipeBuilder();
    for (let start = 0; start < bytes.length; ) {
      const end = chunker.next(bytes, start, bytes.length, true);
      this.#addChunk(bytes.subarray(start, end), recipe);
      if (this.#sink.full) await this.#publish();
      start = end;
    }
    return this.#endBlob(recipe, recipe.count > 1 ? digestFromRaw(sha256Raw(bytes)) : undefined);
  }

  async #addOpen(fd: number, size: number, file: string): Promise<Digest> {
    const window = this.#window;
    const recipe = new RecipeBuilder();
    // A file that can only be one chunk needs no second hash: its chunk id is its digest.
    const whole = size <= formatChunkParams.min ? undefined : createHash('sha256');
    const cuts = size <= formatChunkParams.min ? [] : cutsOf(fd, size);
    const chunker = new Chunker(formatChunkParams, cuts, this.#scan);
    let fill = 0;
    let offset = 0;
    for (;;) {
      const count = readFully(
        fd,
        window.subarray(fill, Math.min(window.length, fill + size - offset)),
        offset,
      );
      offset += count;
      const last = offset === size;
      if (!last && fill + count < window.length) throw changedWhileRead(file);
      whole?.update(window.subarray(fill, fill + count));
      this.stats.bytesRead += count;
      this.#onBytes(count);
      fill += count;
      fill = await this.#cut(chunker, fill, last, recipe);
      if (last) break;
    }
    if (readFully(fd, window.subarray(0, 1), offset) !== 0) throw changedWhileRead(file);
    return this.#endBlob(recipe, whole && (whole.digest('hex') as Digest));
  }

  /** Stores all chunks that end in the window and moves the rest to its start. */
  async #cut(
    chunker: Chunker,
    fill: number,
    last: boolean,
    recipe: RecipeBuilder,
  ): Promise<number> {
    let start = 0;
    for (;;) {
      const end = chunker.next(this.#window, start, fill, last);
      if (end === -1) break;
      this.#addChunk(this.#window.subarray(start, end), recipe);
      start = end;
      if (this.#sink.full) await this.#publish();
      if (this.#breather.due()) await this.#breather.turn();
    }
    this.#window.copyWithin(0, start, fill);
    return fill - start;
  }

  #addChunk(raw: Buffer, recipe: RecipeBuilder): void {
    const id = sha256Raw(raw);
    recipe.add(id, raw.length);
    this.stats.chunks++;
    if (this.#sink.has(id)) return;
    this.stats.chunksNew++;
    this.stats.bytesNew += raw.length;
    this.#sink.append(id, raw);
  }

  async #endBlob(builder: RecipeBuilder, whole: Digest | undefined): Promise<Digest> {
    if (builder.count === 0) return emptyBlob;
    const sole = builder.count === 1 ? builder.finish(emptyBlob).chunk(0) : undefined;
    if (sole !== undefined) return sole;
    const recipe = builder.finish(whole as Digest);
    if (!this.#knowsRecipe(recipe)) {
      const bytes = formatRecipe(recipe);
      this.#recipes.push({ key: recipeKey(recipe.blob), bytes });
      this.#recipeBytes += bytes.length;
      if (this.#recipeBytes > recipeBytesHeldMax) await this.#publish();
    }
    return recipe.blob;
  }

  /** Tells whether the store holds this very recipe; a damaged or another one is replaced. */
  #knowsRecipe(recipe: Recipe): boolean {
    try {
      return this.#store.recipe(recipe.blob)?.rows.equals(recipe.rows) ?? false;
    } catch (error) {
      if (isMstoreError(error, 'corrupt-recipe')) return false;
      throw error;
    }
  }

  async #publish(): Promise<void> {
    await this.#sink.publish();
    const recipes = this.#recipes;
    this.#recipes = [];
    this.#recipeBytes = 0;
    await publishObjects(this.#store, recipes);
  }

  /** Ends: everything added is durable and visible. */
  async finish(): Promise<BlobWriterStats> {
    await this.#publish();
    this.close();
    return this.stats;
  }

  /** Ends in any case; packs published so far stay, as chunks for the next attempt. */
  close(): void {
    this.#sink.close();
  }
}

function cutsOf(fd: number, size: number): number[] {
  return findHardCuts(
    {
      size,
      read: (offset, length) => {
        const bytes = Buffer.alloc(Math.min(length, Math.max(0, size - offset)));
        return bytes.subarray(0, readFully(fd, bytes, offset));
      },
    },
    formatChunkParams.min,
  );
}

/** Opens a regular file without following a link and without waiting on a FIFO. */
export function openRegular(file: string): number {
  const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = fs.constants;
  let fd: number;
  try {
    fd = fs.openSync(file, O_RDONLY | (O_NOFOLLOW ?? 0) | (O_NONBLOCK ?? 0));
  } catch (error) {
    if (systemCode(error) === 'ELOOP') throw changedWhileRead(file);
    throw fromSystemError(error, `reading ${printable(file)}`);
  }
  if (!fs.fstatSync(fd).isFile()) {
    fs.closeSync(fd);
    throw changedWhileRead(file);
  }
  return fd;
}

function sameStat(a: fs.BigIntStats, b: fs.BigIntStats): boolean {
  return a.size === b.size && a.mtimeNs === b.mtimeNs && a.ctimeNs === b.ctimeNs && a.ino === b.ino;
}

function changedWhileRead(file: string): MstoreError {
  return new MstoreError('file-changed', `${printable(file)} changed while it was being read`, {
    hint: 'Wait until the program that writes it has ended, then run the same command again',
    details: { path: file },
  });
}
