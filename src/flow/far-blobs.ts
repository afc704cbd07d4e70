import { type Digest, sha256 } from '../base/digest.ts';
import { isMstoreError, type MstoreError } from '../base/errors.ts';
import { limits } from '../base/limits.ts';
import { parseTree } from '../base/tree.ts';
import { BlobReader } from '../store/blob-reader.ts';
import { ChunkSpans } from '../store/chunk-spans.ts';
import { type Recipe, recipeProblem } from '../store/recipe.ts';
import type { ByteReader } from '../weights/byte-reader.ts';
import type { WorkOptions } from './add.ts';
import { FarSource } from './far-source.ts';
import { missingError } from './missing.ts';
import { chooseFetchRemotes, type RemoteChoice } from './several-remotes.ts';
import { type Tracked, type TrackedFiles, trackedFiles } from './tracked.ts';
import type { Workspace } from './workspace.ts';

/** Bytes of chunks that are fetched ahead of where a file is read on. */
const aheadBytesMax = 16 * 1024 * 1024;

/** Rounds of one read after which chunks below this size are fetched together, not one after the other. */
const roundsAlone = 8;
const smallChunkBytes = 16 * 1024;

/** Thrown inside a read that needs chunks which are not here. */
class ChunksAbsent extends Error {
  readonly rows: readonly number[];

  constructor(rows: readonly number[]) {
    super('Chunks are not in the local store');
    this.rows = rows;
  }
}

/** Options of reads that may go to a remote. */
export interface FarOptions extends WorkOptions {
  /**
   * Opens the remotes, in the order in which they are asked; called where something is lacking. By default those that
   * a fetch asks.
   */
  readonly remotes?: () => Promise<readonly RemoteChoice[]>;
  /** Bytes of chunks that are fetched ahead of where a file is read on; asked for each time. 16 MiB unless told. */
  readonly aheadBytes?: () => number;
}

/**
 * Reads parts of blobs: chunks from the local store and, where it lacks them, from remotes, each verified by its
 * digest. What comes from a remote is not stored. Memory: what is read at once of the headers of files, 16 MiB of
 * data or what `aheadBytes` says, and twice as much of ranges on their way.
 */
export class FarBlobs {
  readonly #workspace: Workspace;
  readonly #reader: BlobReader;
  readonly #options: FarOptions;
  #sources: Promise<FarSource[]> | undefined;

  constructor(workspace: Workspace, options: FarOptions = {}) {
    this.#workspace = workspace;
    this.#reader = new BlobReader(workspace.store);
    this.#options = options;
  }

  /** Bytes that came from remotes so far, index and recipes included. */
  async bytesReceived(): Promise<number> {
    const sources = (await this.#sources) ?? [];
    return sources.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  /**
   * Lists the files of a tracked path, also where the list of a large directory is on a remote.
   * @throws MstoreError `objects-missing`, or the failure of the first remote that failed
   */
  async filesOf(item: Tracked): Promise<TrackedFiles> {
    const { pointer } = item;
    const { store } = this.#workspace;
    if (pointer.kind === 'file' || pointer.files !== undefined || store.has(pointer.sha256))
      return trackedFiles(store, item);
    const blob = await this.open(pointer.sha256, pointer.size, item.path);
    const bytes = await blob.reading((file) =>
      file.read(0, Math.min(file.size, limits.treeBytesMax)),
    );
    if (sha256(bytes) !== pointer.sha256)
      throw recipeProblem(pointer.sha256, 'it yields other bytes');
    return { base: item.path, entries: parseTree(Buffer.from(bytes)) };
  }

  /**
   * Opens a blob.
   * @param size its bytes, as the version tells them
   * @param shown what it is called in errors
   */
  async open(blob: Digest, size: number, shown: string): Promise<FarBlob> {
    const { store } = this.#workspace;
    const here = store.recipe(blob) ?? (store.recheck() ? store.recipe(blob) : undefined);
    const recipe = here ?? (await this.#farRecipe(blob));
    if (recipe === undefined) throw await this.#missing(shown, size);
    return new FarBlob(recipe, {
      isHere: (row) => store.index().has(recipe.rows, recipe.idOffset(row)),
      open: (absent) => this.#reader.openRecipe(recipe, absent),
      fetch: (rows, take) => this.#fetch(recipe, rows, take, shown),
      aheadBytes: this.#options.aheadBytes ?? (() => aheadBytesMax),
    });
  }

  /**
   * Counts the bytes of a blob that are neither here nor on a remote that was asked, by their indexes: all of them where
   * nobody knows how it is put together.
   * @throws MstoreError the failure of the first remote that failed, where something is lacking
   */
  async missingBytes(blob: Digest, size: number): Promise<number> {
    const { store } = this.#workspace;
    const recipe = store.recipe(blob) ?? (await this.#farRecipe(blob));
    let lacking: number[] = [];
    if (recipe !== undefined) {
      const rows = Array.from({ length: recipe.count }, (_, row) => row);
      lacking = rows.filter((row) => !store.index().has(recipe.rows, recipe.idOffset(row)));
      for (const source of await this.#opened()) {
        if (lacking.length > 0) lacking = await source.lacks(recipe, lacking);
      }
      if (lacking.length === 0) return 0;
    }
    const failure = (await this.#opened()).find((source) => source.failure !== undefined)?.failure;
    if (failure !== undefined) throw failure;
    return recipe === undefined ? size : lacking.reduce((sum, row) => sum + recipe.length(row), 0);
  }

  async #farRecipe(blob: Digest): Promise<Recipe | undefined> {
    for (const source of await this.#opened()) {
      const recipe = await source.recipe(blob);
      if (recipe !== undefined) return recipe;
    }
    return undefined;
  }

  async #fetch(
    recipe: Recipe,
    rows: readonly number[],
    take: (row: number, bytes: Uint8Array) => void,
    shown: string,
  ): Promise<void> {
    const left = new Set(rows);
    for (const source of await this.#opened()) {
      await source.give(recipe, [...left], (row, bytes) => {
        left.delete(row);
        take(row, bytes);
      });
      if (left.size === 0) return;
    }
    const bytes = [...left].reduce((sum, row) => sum + recipe.length(row), 0);
    throw await this.#missing(shown, bytes);
  }

  /** Opens the remotes, once; none where none is set up. */
  #opened(): Promise<FarSource[]> {
    this.#sources ??= this.#openAll();
    return this.#sources;
  }

  async #openAll(): Promise<FarSource[]> {
    const workspace = this.#workspace;
    const choose =
      this.#options.remotes ?? (() => chooseFetchRemotes(workspace, [], workspace.root));
    try {
      const choices = await choose();
      return choices.map((choice) => new FarSource(workspace, choice, this.#options));
    } catch (error) {
      if (isMstoreError(error, 'unknown-remote')) return [];
      throw error;
    }
  }

  /** What is nowhere to be had is missing; a remote that could not be asked may have it. */
  async #missing(shown: string, bytes: number): Promise<MstoreError> {
    const failures = (await this.#opened()).flatMap(({ failure }) => failure ?? []);
    const failure = failures.find(({ code }) => code !== 'offline');
    if (failure !== undefined) return failure;
    const where =
      failures.length > 0
        ? 'not in the local store, and no remote may be asked offline'
        : 'not in the local store, nor on a remote that was asked';
    const hint = 'Run "mstore fetch" where a remote has them';
    return missingError([{ path: shown, bytes }], where, hint);
  }

  /** Closes what is open. */
  close(): void {
    this.#reader.close();
  }
}

/** What a blob is read with. */
interface FarParts {
  readonly isHere: (row: number) => boolean;
  readonly open: (absent: (row: number) => Uint8Array) => ByteReader;
  readonly fetch: (
    rows: readonly number[],
    take: (row: number, bytes: Uint8Array) => void,
  ) => Promise<void>;
  readonly aheadBytes: () => number;
}

/** A blob of which some chunks may be far. */
export class FarBlob {
  readonly size: number;
  readonly #recipe: Recipe;
  readonly #spans: ChunkSpans;
  readonly #parts: FarParts;
  readonly #file: ByteReader;
  readonly #came = new Map<number, Uint8Array>();

  constructor(recipe: Recipe, parts: FarParts) {
    this.size = recipe.size;
    this.#recipe = recipe;
    this.#spans = new ChunkSpans(recipe);
    this.#parts = parts;
    const file = parts.open((row) => {
      const bytes = this.#came.get(row);
      if (bytes === undefined) throw new ChunksAbsent([row]);
      return bytes;
    });
    this.#file = {
      size: this.size,
      read: (offset, length) => {
        const end = Math.min(offset + length, this.size);
        const absent = [...this.#spans.rowsOf(offset, end)].filter((row) => this.#isAbsent(row));
        if (absent.length > 0) throw new ChunksAbsent(absent);
        return file.read(offset, length);
      },
      near: (offset, length) => this.#near(offset, offset + length) - offset,
    };
  }

  /** Where the bytes from an offset on end that are in one chunk with the first, or here. */
  #near(start: number, end: number): number {
    const [first, ...others] = this.#spans.rowsOf(start, end);
    const absent = others.find((row) => this.#isAbsent(row));
    if (first === undefined || absent === undefined) return end;
    return this.#spans.start(absent);
  }

  #isAbsent(row: number): boolean {
    return !this.#came.has(row) && !this.#parts.isHere(row);
  }

  /**
   * Runs a reader of the file. Where it needs chunks that are not here, they are fetched, and it is run again: it must
   * do nothing but read. What was fetched is kept until it ends.
   */
  async reading<T>(read: (file: ByteReader) => T): Promise<T> {
    try {
      for (let round = 1; ; round++) {
        try {
          return read(this.#file);
        } catch (error) {
          if (!(error instanceof ChunksAbsent)) throw error;
          const more = round === roundsAlone ? this.#smallRows() : [];
          await this.#fetch([...new Set([...error.rows, ...more])]);
        }
      }
    } finally {
      this.#came.clear();
    }
  }

  /** Chunks between tensors are small: in formats that describe each where it is, most are needed. */
  #smallRows(): number[] {
    const rows: number[] = [];
    let bytes = 0;
    for (let row = 0; row < this.#recipe.count && bytes < aheadBytesMax; row++) {
      const length = this.#recipe.length(row);
      if (length >= smallChunkBytes || !this.#isAbsent(row)) continue;
      rows.push(row);
      bytes += length;
    }
    return rows;
  }

  /** Yields the bytes of a range in blocks, in order, each valid until the next step. */
  async *blocks(start: number, end: number): AsyncGenerator<Uint8Array, void, void> {
    let rows: number[] = [];
    let bytes = 0;
    for (const row of this.#spans.rowsOf(start, end)) {
      rows.push(row);
      bytes += this.#recipe.length(row);
      if (bytes < this.#parts.aheadBytes()) continue;
      yield* this.#blocksOf(rows, start, end);
      rows = [];
      bytes = 0;
    }
    yield* this.#blocksOf(rows, start, end);
  }

  async *#blocksOf(
    rows: readonly number[],
    start: number,
    end: number,
  ): AsyncGenerator<Uint8Array, void, void> {
    await this.#fetch(rows.filter((row) => this.#isAbsent(row)));
    for (const row of rows) {
      const from = Math.max(start, this.#spans.start(row));
      const to = Math.min(end, this.#spans.end(row));
      yield this.#file.read(from, to - from);
      this.#came.delete(row);
    }
  }

  async #fetch(rows: readonly number[]): Promise<void> {
    if (rows.length === 0) return;
    await this.#parts.fetch(rows, (row, bytes) => this.#came.set(row, bytes));
  }
}
