import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import { Breather } from '../base/abort.ts';
import { type Digest, digestFromRaw, sha256Raw } from '../base/digest.ts';
import { fromSystemError, isMstoreError, MstoreError, systemCode } from '../base/errors.ts';
import { readFully } from '../base/files.ts';
import { printable } from '../base/names.ts';
import { Chunker, formatChunkParams } from '../chunk/chunker.ts';
import { type KernelKind, makeKernel } from '../chunk/kernel.ts';
import type { Scan } from '../chunk/scan.ts';
import type { ByteReader } from '../weights/byte-reader.ts';
import { findHardCuts } from '../weights/hard-cuts.ts';
import { recipeKey } from './keys.ts';
import type { Store } from './local-store.ts';
import { PackSink } from './pack-sink.ts';
import { ParallelReader } from './parallel-reader.ts';
import { publishObjects } from './publish.ts';
import { emptyBlob, formatRecipe, type Recipe, RecipeBuilder } from './recipe.ts';
import { RunBudget, type RunLimits } from './run-budget.ts';

/** Bytes read at once; a chunk always fits. */
const windowBytes = 8 * 1024 * 1024;
/** A job of this many bytes is read by several threads; starting them takes some 0.1 s. */
const parallelJobBytesMin = 64 * 1024 * 1024;
/** In such a job, files below this are read by one. */
const parallelFileBytesMin = 2 * 1024 * 1024;
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
  /** Raw bytes of the new chunks. */
  bytesNew: number;
  /** Bytes that the new chunks take in packs. */
  bytesStored: number;
}

/** Options of {@link BlobWriter}. */
export interface BlobWriterOptions {
  readonly signal?: AbortSignal | undefined;
  /** Bytes of all files together, where known: large jobs are worth starting threads for. */
  readonly bytesExpected?: number;
  /** Whether new chunks are encoded where that pays; by default they are not. */
  readonly compress?: boolean;
  /** 1 does all work on this thread. */
  readonly threads?: number | undefined;
  /** Kernels to try; without any the reference implementation does the work. All give the same cuts. */
  readonly kernels?: readonly KernelKind[];
  /** How far a blob may be spread over packs. */
  readonly runLimits?: RunLimits;
  /** Called with the bytes read since the last call. */
  readonly onBytes?: (bytes: number) => void;
}

/** Options of {@link BlobWriter.addFile}. */
export interface AddFileOptions {
  /**
   * Asked, with the size of the file, where the file is large enough for hard cuts and its own content
   * gives none: offsets inside it, ascending, none twice.
   */
  readonly hardCuts?: (size: number) => readonly number[];
}

/**
 * Stores blobs: reads each file once, cuts, hashes and keeps the chunks the store lacks. What was added
 * may be named elsewhere only after {@link finish}: then packs, then recipes are durable. Memory: the
 * read window of 8 MiB, or the ring of {@link ParallelReader} for large jobs, the pack block of 4 MiB, and
 * the recipes not yet published.
 */
export class BlobWriter {
  readonly #store: Store;
  readonly #sink: PackSink;
  readonly #breather: Breather;
  readonly #onBytes: (bytes: number) => void;
  readonly #options: BlobWriterOptions;
  #window: Buffer | undefined;
  #scan: Scan | undefined;
  #parallel: ParallelReader | undefined;
  #runs = new RunBudget();
  #recipes: Array<{ key: string; bytes: Buffer }> = [];
  #recipeBytes = 0;
  readonly stats: BlobWriterStats = {
    bytesRead: 0,
    chunks: 0,
    chunksNew: 0,
    bytesNew: 0,
    bytesStored: 0,
  };

  constructor(store: Store, options: BlobWriterOptions = {}) {
    this.#store = store;
    this.#sink = new PackSink(store, { compress: options.compress });
    this.#breather = new Breather(options.signal);
    this.#onBytes = options.onBytes ?? (() => {});
    this.#options = options;
  }

  /**
   * Reads and stores one regular file.
   * @throws MstoreError `file-changed` when the file changes while it is read; nothing is recorded of it
   */
  async addFile(file: string, options: AddFileOptions = {}): Promise<AddedBlob> {
    const fd = openRegular(file);
    try {
      const before = fs.fstatSync(fd, { bigint: true });
      const cuts = cutsOf(fd, Number(before.size), options);
      const digest = await this.#addOpen(fd, Number(before.size), file, cuts);
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
    this.#runs = new RunBudget(this.#options.runLimits);
    for (let start = 0; start < bytes.length; ) {
      const end = chunker.next(bytes, start, bytes.length, true);
      const raw = bytes.subarray(start, end);
      await this.#takeChunk(sha256Raw(raw), raw, recipe);
      start = end;
    }
    return this.#endBlob(recipe, recipe.count > 1 ? digestFromRaw(sha256Raw(bytes)) : undefined);
  }

  async #addOpen(
    fd: number,
    size: number,
    file: string,
    hardCuts: readonly number[],
  ): Promise<Digest> {
    const recipe = new RecipeBuilder();
    this.#runs = new RunBudget(this.#options.runLimits);
    const onShort = (): never => {
      throw changedWhileRead(file);
    };
    const reader = this.#parallelFor(size);
    let whole: Digest | undefined;
    if (reader === undefined) {
      whole = await this.#readAlone(fd, size, hardCuts, recipe, onShort);
    } else {
      whole = await reader.read(fd, size, hardCuts, {
        take: (id, raw) => this.#takeChunk(id, raw, recipe),
        onBytes: (bytes) => this.#countBytes(bytes),
        onShort,
        signal: this.#options.signal,
      });
    }
    if (readFully(fd, Buffer.alloc(1), size) !== 0) throw changedWhileRead(file);
    return this.#endBlob(recipe, whole);
  }

  /** The threads, where their start pays: for a large file, and for other files of a large job. */
  #parallelFor(size: number): ParallelReader | undefined {
    if (this.#options.threads === 1) return undefined;
    const largeJob = (this.#options.bytesExpected ?? 0) >= parallelJobBytesMin;
    if (size < (largeJob ? parallelFileBytesMin : parallelJobBytesMin)) return undefined;
    if (this.#parallel === undefined) {
      this.#parallel = ParallelReader.start(this.#options.kernels);
      if (this.#parallel !== undefined) this.#sink.useMemory(this.#parallel.writeMemory);
    }
    return this.#parallel;
  }

  #countBytes(bytes: number): void {
    this.stats.bytesRead += bytes;
    this.#onBytes(bytes);
  }

  /**
   * Reads, cuts and hashes a file on this thread.
   * @returns the digest of the whole; undefined for a file that can only be one chunk, whose id it is
   */
  async #readAlone(
    fd: number,
    size: number,
    hardCuts: readonly number[],
    recipe: RecipeBuilder,
    onShort: () => never,
  ): Promise<Digest | undefined> {
    const window = this.#windowFor(size);
    const sole = size <= formatChunkParams.min;
    const whole = sole ? undefined : createHash('sha256');
    const chunker = new Chunker(formatChunkParams, hardCuts, this.#scan);
    let fill = 0;
    for (let offset = 0; offset < size; ) {
      const part = window.subarray(fill, Math.min(window.length, fill + size - offset));
      if (readFully(fd, part, offset) !== part.length) onShort();
      offset += part.length;
      whole?.update(part);
      this.#countBytes(part.length);
      fill = await this.#cut(
        chunker,
        window.subarray(0, fill + part.length),
        offset === size,
        recipe,
      );
    }
    return whole && (whole.digest('hex') as Digest);
  }

  /** Working memory: small until a file needs more, so that small jobs stay small. */
  #windowFor(size: number): Buffer {
    const enough = this.#window !== undefined && this.#window.length >= Math.min(size, windowBytes);
    if (this.#window !== undefined && enough) return this.#window;
    const small = size <= formatChunkParams.min;
    const kernel = small ? undefined : makeKernel(windowBytes, this.#options.kernels);
    this.#scan = kernel?.scan;
    this.#window =
      kernel?.bytes ?? Buffer.allocUnsafeSlow(small ? formatChunkParams.min : windowBytes);
    return this.#window;
  }

  /** Stores all chunks that end in the filled part of the window and moves the rest to its start. */
  async #cut(
    chunker: Chunker,
    filled: Buffer,
    last: boolean,
    recipe: RecipeBuilder,
  ): Promise<number> {
    let start = 0;
    for (;;) {
      const end = chunker.next(filled, start, filled.length, last);
      if (end === -1) break;
      const raw = filled.subarray(start, end);
      await this.#takeChunk(sha256Raw(raw), raw, recipe);
      start = end;
      if (this.#breather.due()) await this.#breather.turn();
    }
    filled.copyWithin(0, start);
    return filled.length - start;
  }

  /** Notes a chunk of a blob and stores it if it is new. Waits only for the disk. */
  #takeChunk(id: Uint8Array, raw: Uint8Array, recipe: RecipeBuilder): Promise<void> | undefined {
    this.#addChunk(id, raw, recipe);
    return this.#sink.full ? this.#publish() : this.#sink.room();
  }

  #addChunk(id: Uint8Array, raw: Uint8Array, recipe: RecipeBuilder): void {
    recipe.add(id, raw.length);
    this.stats.chunks++;
    if (this.#shares(id, raw.length)) return;
    this.stats.chunksNew++;
    this.stats.bytesNew += raw.length;
    this.stats.bytesStored += this.#sink.append(id, raw);
  }

  /** Tells whether the blob can use a chunk that is there. */
  #shares(id: Uint8Array, length: number): boolean {
    const held = this.#sink.holds(id);
    const place = held ? undefined : this.#store.index().find(id);
    if (place !== undefined) return this.#runs.share(place, length);
    this.#runs.store(length);
    return held;
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
    this.#parallel?.close();
    this.#parallel = undefined;
  }
}

/** The hard cuts of a file; one that can only be one chunk has none. */
function cutsOf(fd: number, size: number, options: AddFileOptions): readonly number[] {
  if (size <= formatChunkParams.min) return [];
  const cuts = findHardCuts(byteReader(fd, size), formatChunkParams.min);
  return cuts.length > 0 ? cuts : (options.hardCuts?.(size) ?? []);
}

/** Random access to an open file. */
export function byteReader(fd: number, size: number): ByteReader {
  return {
    size,
    read: (offset, length) => {
      const bytes = Buffer.alloc(Math.min(length, Math.max(0, size - offset)));
      return bytes.subarray(0, readFully(fd, bytes, offset));
    },
  };
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
