import { digestBytes } from '../base/digest.ts';
import { makeWasmMemory, wasmPageBytes } from '../base/wasm-memory.ts';
import type { ChunkPlace } from '../index/chunk-index.ts';
import { chunkProblem } from '../pack/reader.ts';
import { ChunkReader } from './chunk-reader.ts';
import { HashPool } from './hash-pool.ts';
import { packKey } from './keys.ts';
import type { Store } from './local-store.ts';
import { type Recipe, recipeProblem } from './recipe.ts';

/** Bytes of one slot; a read from a pack fits. */
const slotBytes = 4 * 1024 * 1024;
/** Slots of the ring: one being read and written, the others being hashed. */
const slots = 6;
const threads = 2;

/**
 * Reads large blobs while two threads hash them: chunks and the whole side by side. Memory: a ring of
 * 24 MiB and some 20 MB for the threads, whatever the size of the blob.
 */
export class ParallelBlobReader {
  readonly #store: Store;
  readonly #bytes: Buffer;
  readonly #pool: HashPool;
  readonly #chunks: ChunkReader;

  /** Starts the threads. */
  constructor(store: Store) {
    this.#store = store;
    const { buffer } = makeWasmMemory((slots * slotBytes) / wasmPageBytes);
    this.#bytes = Buffer.from(buffer as unknown as ArrayBuffer);
    this.#pool = new HashPool(buffer, threads);
    this.#chunks = new ChunkReader(store);
  }

  /** Tells whether a chunk can be read so: stored raw, and no larger than a slot. */
  static canRead({ encoding, storedLength }: ChunkPlace): boolean {
    return encoding === 0 && storedLength <= slotBytes;
  }

  /**
   * Yields the bytes of a blob in order, before they are verified: they count only once the iteration
   * has ended. A block is valid until the next step.
   * @throws MstoreError `corrupt-chunk`, `corrupt-recipe`, `corrupt-pack`, `objects-missing`
   */
  async *read(
    recipe: Recipe,
    places: Iterable<ChunkPlace>,
  ): AsyncGenerator<Uint8Array, void, undefined> {
    const file = this.#pool.beginFile();
    const busy: Array<Promise<void>> = Array.from({ length: slots }, () => Promise.resolve());
    let slot = 0;
    try {
      for (const run of this.#chunks.runs(places, slotBytes)) {
        await busy[slot];
        const start = slot * slotBytes;
        const block = this.#bytes.subarray(start, start + run.bytes);
        this.#chunks.readStored(run, block);
        busy[slot] = this.#verify(file, run.places, start);
        // A failure is seen when the slot comes round again, or at the end.
        busy[slot]?.catch(() => {});
        yield block;
        slot = (slot + 1) % slots;
      }
      await Promise.all(busy);
      const whole = await this.#pool.endFile(file);
      if (Buffer.from(whole).toString('hex') !== recipe.blob) {
        throw recipeProblem(recipe.blob, 'it yields other bytes');
      }
    } finally {
      this.#pool.dropFile(file);
      // The memory is used again only when no thread looks at it any more.
      await Promise.allSettled(busy);
    }
  }

  async #verify(file: number, places: readonly ChunkPlace[], start: number): Promise<void> {
    const ranges: number[] = [];
    let end = start;
    for (const { storedLength } of places) {
      ranges.push(end, end + storedLength);
      end += storedLength;
    }
    const [ids] = await Promise.all([
      this.#pool.chunks(ranges),
      this.#pool.whole(file, start, end),
    ]);
    for (const [i, { footer, number }] of places.entries()) {
      const at = footer.idOffset(number);
      const actual = Buffer.from(ids.subarray(i * digestBytes, (i + 1) * digestBytes));
      if (actual.compare(footer.bytes, at, at + digestBytes) === 0) continue;
      const where = this.#store.file(packKey(footer.id));
      throw chunkProblem(footer.chunk(number), where, actual.toString('hex'));
    }
  }

  /** Ends the threads and closes the packs that are open. */
  close(): void {
    this.#pool.close();
    this.#chunks.close();
  }
}
