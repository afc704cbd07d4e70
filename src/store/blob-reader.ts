import { createHash } from 'node:crypto';
import { Breather } from '../base/abort.ts';
import type { Digest } from '../base/digest.ts';
import type { DirectFile } from '../base/direct-file.ts';
import { MstoreError } from '../base/errors.ts';
import type { ChunkPlace } from '../index/chunk-index.ts';
import type { ByteReader } from '../weights/byte-reader.ts';
import { ChunkReader } from './chunk-reader.ts';
import { ChunkSpans } from './chunk-spans.ts';
import type { Store } from './local-store.ts';
import { ParallelBlobReader, type WriteToOptions } from './parallel-blob-reader.ts';
import { type Recipe, recipeProblem } from './recipe.ts';

/** From this size on, starting threads pays. */
const parallelBytesMin = 64 * 1024 * 1024;

/** Reads blobs, each chunk verified before it is handed out and the whole blob before the end. */
export class BlobReader {
  readonly #store: Store;
  readonly #chunks: ChunkReader;
  readonly #threads: number;
  #parallel: ParallelBlobReader | undefined;

  /** @param threads 1 does all work on this thread */
  constructor(store: Store, threads = 2) {
    this.#store = store;
    this.#threads = threads;
    this.#chunks = new ChunkReader(store);
  }

  /**
   * Yields the bytes of a blob in order. A block is valid until the next step. The digest of the whole
   * is checked before the iteration ends: bytes handed out count only once it has ended.
   * @throws MstoreError `objects-missing`, `corrupt-chunk`, `corrupt-recipe`, `corrupt-pack`
   */
  *read(blob: Digest): Generator<Uint8Array, void, undefined> {
    const recipe = this.#recipe(blob);
    // The one chunk of a small blob has the blob's own digest, and was just verified.
    const whole = recipe.count > 1 ? createHash('sha256') : undefined;
    for (const { bytes } of this.#chunks.read(this.#places(recipe))) {
      whole?.update(bytes);
      yield bytes;
    }
    if (whole !== undefined && whole.digest('hex') !== blob) {
      throw recipeProblem(blob, 'it yields other bytes');
    }
  }

  /**
   * Writes a blob to a new file that gets its name only afterwards: the bytes of a large blob are
   * written while threads verify them, and the promise is kept only if all were right.
   * @throws MstoreError as {@link read}
   */
  async writeTo(blob: Digest, out: DirectFile, options: WriteToOptions): Promise<void> {
    const recipe = this.#store.recipe(blob);
    const places = recipe && recipe.size >= parallelBytesMin ? [...this.#places(recipe)] : [];
    if (
      recipe !== undefined &&
      this.#threads > 1 &&
      places.length > 0 &&
      places.every(ParallelBlobReader.canRead)
    ) {
      this.#parallel ??= new ParallelBlobReader(this.#store);
      await this.#parallel.copy(recipe, places, out, options);
      return;
    }
    const breather = new Breather(options.signal);
    let position = 0;
    for (const block of this.read(blob)) {
      out.writeSync(block, position);
      position += block.length;
      options.onBytes(block.length);
      if (breather.due()) await breather.turn();
    }
  }

  /** Reads a blob whole. For small ones: trees and the like. */
  readWhole(blob: Digest, bytesMax: number): Buffer {
    const recipe = this.#recipe(blob);
    if (recipe.size > bytesMax) {
      throw new MstoreError(
        'too-large',
        `The blob ${blob} has ${recipe.size} bytes; at most ${bytesMax} are read here`,
      );
    }
    const whole = Buffer.alloc(recipe.size);
    let at = 0;
    for (const block of this.read(blob)) {
      whole.set(block, at);
      at += block.length;
    }
    return whole;
  }

  /**
   * Opens a blob for reads at any place: each reads the chunks that it needs, and verifies them. That they are
   * those of the blob is told by its recipe, which only {@link read} proves as a whole. Valid until this reader
   * is closed.
   * @throws MstoreError as {@link read}, also from each read
   */
  open(blob: Digest): ByteReader {
    const recipe = this.#recipe(blob);
    return this.openRecipe(recipe, (row) => {
      throw chunkMissing(this.#store, recipe, row);
    });
  }

  /**
   * Opens a blob as {@link open} does, by a recipe that may be from elsewhere.
   * @param absent gives the bytes, verified, of a chunk that the store does not have
   */
  openRecipe(recipe: Recipe, absent: (row: number) => Uint8Array): ByteReader {
    return new RandomReader(recipe, (row) => {
      const place = this.#place(recipe, row);
      if (place === undefined) return absent(row);
      const [block] = this.#chunks.read([place]);
      return Buffer.from(block?.bytes ?? []);
    });
  }

  #recipe(blob: Digest): Recipe {
    const store = this.#store;
    const recipe = store.recipe(blob) ?? (store.recheck() ? store.recipe(blob) : undefined);
    if (recipe === undefined) throw blobMissing(blob);
    return recipe;
  }

  *#places(recipe: Recipe): Generator<ChunkPlace, void, undefined> {
    for (let row = 0; row < recipe.count; row++) {
      const place = this.#place(recipe, row);
      if (place === undefined) throw chunkMissing(this.#store, recipe, row);
      yield place;
    }
  }

  #place(recipe: Recipe, row: number): ChunkPlace | undefined {
    const index = this.#store.index();
    const at = recipe.idOffset(row);
    let place = index.find(recipe.rows, at);
    if (place === undefined && index.recheck()) place = index.find(recipe.rows, at);
    if (place !== undefined && place.rawLength !== recipe.length(row)) {
      throw recipeProblem(recipe.blob, `its chunk ${row} has another length in its pack`);
    }
    return place;
  }

  /** Closes the packs that are open. */
  close(): void {
    this.#chunks.close();
    this.#parallel?.close();
    this.#parallel = undefined;
  }
}

/** Reads parts of a blob; keeps the chunk that was read last. */
class RandomReader implements ByteReader {
  readonly size: number;
  readonly #spans: ChunkSpans;
  readonly #load: (row: number) => Uint8Array;
  #row = -1;
  #chunk: Uint8Array = new Uint8Array(0);

  constructor(recipe: Recipe, load: (row: number) => Uint8Array) {
    this.size = recipe.size;
    this.#spans = new ChunkSpans(recipe);
    this.#load = load;
  }

  read(offset: number, length: number): Uint8Array {
    const bytes = Buffer.alloc(Math.max(0, Math.min(length, this.size - offset)));
    for (let done = 0; done < bytes.length; ) {
      const row = this.#spans.rowAt(offset + done);
      if (row !== this.#row) {
        this.#chunk = this.#load(row);
        this.#row = row;
      }
      const start = this.#spans.start(row);
      const part = this.#chunk.subarray(offset + done - start);
      bytes.set(part.subarray(0, bytes.length - done), done);
      done += Math.min(part.length, bytes.length - done);
    }
    return bytes;
  }
}

function blobMissing(blob: Digest): MstoreError {
  return new MstoreError('objects-missing', `The blob ${blob} is not in the local store`, {
    hint: 'Run "mstore pull" to get it from a remote',
    details: { blob },
  });
}

/** A chunk that only a damaged pack holds is damage, not absence: the two need different remedies. */
function chunkMissing(store: Store, recipe: Recipe, row: number): MstoreError {
  const [damaged] = store.damagedPacks();
  const details = { blob: recipe.blob, chunk: recipe.chunk(row) };
  if (damaged !== undefined) {
    return new MstoreError(
      'corrupt-pack',
      `A chunk of the blob ${recipe.blob} cannot be read; the pack ${damaged[0]} is damaged: ${damaged[1]}`,
      {
        hint: 'Run "mstore fetch" to get the data again from a remote, or add the file again where it is whole',
        details,
      },
    );
  }
  return new MstoreError(
    'objects-missing',
    `A chunk of the blob ${recipe.blob} is not in the local store`,
    {
      hint: 'Run "mstore pull" to get it from a remote',
      details,
    },
  );
}
