import { createHash } from 'node:crypto';
import type * as fs from 'node:fs';
import { Breather } from '../base/abort.ts';
import { type Digest, digestFromRaw, sha256Raw } from '../base/digest.ts';
import { fromSystemError, isMstoreError } from '../base/errors.ts';
import { readFully } from '../base/files.ts';
import { printable } from '../base/names.ts';
import { Chunker, formatChunkParams } from '../chunk/chunker.ts';
import { type KernelKind, makeKernel } from '../chunk/kernel.ts';
import type { Scan } from '../chunk/scan.ts';
import type { ChunkPlace } from '../index/chunk-index.ts';
import type { PackFooter } from '../pack/format.ts';
import { recipeKey } from './keys.ts';
import type { Store } from './local-store.ts';
import { PackSink } from './pack-sink.ts';
import { ParallelReader, sharedBytesMax, type TakeChunk } from './parallel-reader.ts';
import { publishObjects } from './publish.ts';
import { emptyBlob, formatRecipe, type Recipe, RecipeBuilder } from './recipe.ts';
import { RunBudget, type RunLimits } from './run-budget.ts';
import { SourceFile } from './source-file.ts';

/** Bytes read at once; a chunk always fits. */
const windowBytes = 8 * 1024 * 1024;
/** A job of this many bytes is read by several threads; starting them takes some 0.1 s. */
const parallelJobBytesMin = 64 * 1024 * 1024;
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

/** Where blobs are put together, where that is not the store: only packs under construction lie there then. */
export interface BlobPlace {
  /** Finds a chunk that is there. */
  find(id: Uint8Array): ChunkPlace | undefined;
  /** Takes a pack that is complete, in a temporary file; its chunks are found from then on. */
  publishPack(file: string, footer: PackFooter): Promise<void>;
  /** Takes recipes whose chunks are there. */
  publishRecipes(recipes: ReadonlyArray<{ key: string; bytes: Buffer }>): Promise<void>;
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
  /** Where the blobs are put; by default the store itself. */
  readonly place?: BlobPlace;
}

/** A file to be added. */
export interface FileToAdd {
  readonly file: string;
  /**
   * Asked, with the size of the file, where the file is large enough for hard cuts and its own content
   * gives none: offsets inside it, ascending, none twice.
   */
  readonly hardCuts?: (size: number) => readonly number[];
}

/** What is known so far of a blob whose chunks come one by one. */
interface Building {
  readonly recipe: RecipeBuilder;
  readonly runs: RunBudget;
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
    const { compress, place } = options;
    this.#sink = new PackSink(store, { compress, publish: place?.publishPack.bind(place) });
    this.#breather = new Breather(options.signal);
    this.#onBytes = options.onBytes ?? (() => {});
    this.#options = options;
  }

  /**
   * Reads and stores one regular file.
   * @throws MstoreError `file-changed` when the file changes while it is read; nothing is recorded of it
   */
  async addFile(file: string): Promise<AddedBlob> {
    const added: AddedBlob[] = [];
    await this.addFiles([{ file }], (_, blob) => added.push(blob));
    return added[0] as AddedBlob;
  }

  /**
   * Reads and stores regular files; small ones of a large job go to the threads many at once.
   * @param onAdded called once for each file, with its place among them; all have been when this ends
   * @throws MstoreError `file-changed` as {@link addFile}
   */
  async addFiles(
    files: readonly FileToAdd[],
    onAdded: (index: number, blob: AddedBlob) => void,
  ): Promise<void> {
    try {
      for (const [index, file] of files.entries()) {
        await this.#addOne(file, (blob) => onAdded(index, blob));
        if (this.#breather.due()) await this.#breather.turn();
      }
      await this.#parallel?.drain();
    } catch (error) {
      await this.#parallel?.abandon();
      throw error;
    }
  }

  async #addOne({ file, hardCuts }: FileToAdd, onAdded: (blob: AddedBlob) => void): Promise<void> {
    const source = new SourceFile(file);
    try {
      const cuts = source.hardCuts(hardCuts);
      const building = this.#begin();
      const reader = this.#parallelFor(source.size);
      const end = async (whole: Digest | undefined, stat: fs.BigIntStats): Promise<void> =>
        onAdded({ sha256: await this.#endBlob(building, whole), size: source.size, stat });
      if (reader === undefined) {
        const whole = await this.#readAlone(source, cuts, building);
        await end(whole, source.check());
        return;
      }
      const take: TakeChunk = (id, raw) => this.#takeChunk(id, raw, building);
      const { signal } = this.#options;
      if (source.size > sharedBytesMax) {
        const onBytes = (bytes: number): void => this.#countBytes(bytes);
        const whole = await reader.read(source, cuts, { take, onBytes, signal });
        await end(whole, source.check());
        return;
      }
      await reader.readTogether(source, cuts, { take, end, signal });
      this.#countBytes(source.size);
    } catch (error) {
      throw fromSystemError(error, `reading ${printable(file)}`);
    } finally {
      source.close();
    }
  }

  #begin(): Building {
    return { recipe: new RecipeBuilder(), runs: new RunBudget(this.#options.runLimits) };
  }

  /** Stores bytes that are in memory. */
  async addBytes(bytes: Buffer): Promise<Digest> {
    const chunker = new Chunker();
    const building = this.#begin();
    for (let start = 0; start < bytes.length; ) {
      const end = chunker.next(bytes, start, bytes.length, true);
      const raw = bytes.subarray(start, end);
      await this.#takeChunk(sha256Raw(raw), raw, building);
      start = end;
    }
    const sole = building.recipe.count <= 1;
    return this.#endBlob(building, sole ? undefined : digestFromRaw(sha256Raw(bytes)));
  }

  /** The threads, where their start pays: for a large file, and for all files of a large job. */
  #parallelFor(size: number): ParallelReader | undefined {
    if (this.#options.threads === 1) return undefined;
    const largeJob = (this.#options.bytesExpected ?? 0) >= parallelJobBytesMin;
    if (!largeJob && size < parallelJobBytesMin) return undefined;
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
    { fd, size, short }: SourceFile,
    hardCuts: readonly number[],
    building: Building,
  ): Promise<Digest | undefined> {
    const window = this.#windowFor(size);
    const sole = size <= formatChunkParams.min;
    const whole = sole ? undefined : createHash('sha256');
    const chunker = new Chunker(formatChunkParams, hardCuts, this.#scan);
    let fill = 0;
    for (let offset = 0; offset < size; ) {
      const part = window.subarray(fill, Math.min(window.length, fill + size - offset));
      if (readFully(fd, part, offset) !== part.length) short();
      offset += part.length;
      whole?.update(part);
      this.#countBytes(part.length);
      fill = await this.#cut(
        chunker,
        window.subarray(0, fill + part.length),
        offset === size,
        building,
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
  async #cut(chunker: Chunker, filled: Buffer, last: boolean, building: Building): Promise<number> {
    let start = 0;
    for (;;) {
      const end = chunker.next(filled, start, filled.length, last);
      if (end === -1) break;
      const raw = filled.subarray(start, end);
      await this.#takeChunk(sha256Raw(raw), raw, building);
      start = end;
      if (this.#breather.due()) await this.#breather.turn();
    }
    filled.copyWithin(0, start);
    return filled.length - start;
  }

  /** Notes a chunk of a blob and stores it if it is new. Waits only for the disk. */
  #takeChunk(id: Uint8Array, raw: Uint8Array, building: Building): Promise<void> | undefined {
    this.#addChunk(id, raw, building);
    return this.#sink.full ? this.#publish() : this.#sink.room();
  }

  #addChunk(id: Uint8Array, raw: Uint8Array, { recipe, runs }: Building): void {
    recipe.add(id, raw.length);
    this.stats.chunks++;
    if (this.#shares(id, raw.length, runs)) return;
    this.stats.chunksNew++;
    this.stats.bytesNew += raw.length;
    this.stats.bytesStored += this.#sink.append(id, raw);
  }

  /** Tells whether the blob can use a chunk that is there. */
  #shares(id: Uint8Array, length: number, runs: RunBudget): boolean {
    const held = this.#sink.holds(id);
    const { place: elsewhere } = this.#options;
    const place = held ? undefined : (elsewhere ?? this.#store.index()).find(id);
    if (place !== undefined) return runs.share(place, length);
    runs.store(length);
    return held;
  }

  async #endBlob({ recipe: rows }: Building, whole: Digest | undefined): Promise<Digest> {
    if (rows.count === 0) return emptyBlob;
    if (rows.count === 1) return rows.finish(emptyBlob).chunk(0);
    const recipe = rows.finish(whole as Digest);
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
    if (this.#options.place !== undefined) return false;
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
    const { place } = this.#options;
    await (place?.publishRecipes(recipes) ?? publishObjects(this.#store, recipes));
  }

  /** Ends: everything added is durable and visible. */
  async finish(): Promise<BlobWriterStats> {
    await this.#publish();
    this.#store.settle();
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
