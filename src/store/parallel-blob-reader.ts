import { createHash } from 'node:crypto';
import { Breather, throwIfAborted } from '../base/abort.ts';
import { mapConcurrently } from '../base/concurrency.ts';
import { type Digest, digestBytes, digestFromRaw } from '../base/digest.ts';
import type { DirectFile } from '../base/direct-file.ts';
import { MstoreError } from '../base/errors.ts';
import { makeWasmMemory, wasmPageBytes } from '../base/wasm-memory.ts';
import { makeKernel } from '../chunk/kernel.ts';
import type { ChunkPlace } from '../index/chunk-index.ts';
import { chunkProblem } from '../pack/reader.ts';
import { type Bounce, ChunkReader, readsAtOnceMax } from './chunk-reader.ts';
import { HashPool } from './hash-pool.ts';
import { packKey } from './keys.ts';
import type { Store } from './local-store.ts';
import { type Recipe, recipeProblem } from './recipe.ts';

/** Bytes of one block; the bytes of a file at a multiple of it lie at such a multiple in the ring. */
const blockBytes = 4 * 1024 * 1024;
/** Blocks of the ring: one being read, the others being hashed and written. */
const blocks = 6;
const ringBytes = blocks * blockBytes;
/** Bytes of one read of a pack; several side by side are faster than one of their size. */
const partBytesMax = 1024 * 1024;
/** A read, and room to start and end at pages of the disk. */
const bounceBytes = partBytesMax + wasmPageBytes;
/** Chunks of about this many bytes go to a thread at once. */
const jobBytes = 2 * 1024 * 1024;
const threads = 2;

/** Options of writing a blob to a file. */
export interface WriteToOptions {
  /** Called with the bytes written since the last call. */
  readonly onBytes: (bytes: number) => void;
  /**
   * What the file holds already: chunks of it that stand at the same place in the blob are verified and
   * not written again.
   */
  readonly seed?: Recipe | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Copies large blobs out of packs into files while threads hash them: the whole blob, whose digest is that of every
 * byte of it. Chunks are hashed as well where bytes come from elsewhere, to tell what of those is wrong, and to find what is
 * damaged once the whole is not right. Packs are read to where the bytes are written from, so that nothing is copied in between.
 * Memory: a ring of 24 MiB, 4 MiB to read past the page cache, and some 20 MB for the threads, whatever the size of the blob.
 */
export class ParallelBlobReader {
  readonly #store: Store;
  readonly #bytes: Buffer;
  readonly #pool: HashPool;
  readonly #chunks: ChunkReader;
  /** Memory for reads past the page cache, one for each at once. */
  readonly #bounces: Bounce[] = [];

  /** Starts the threads. */
  constructor(store: Store) {
    this.#store = store;
    const kernel = makeKernel(ringBytes + readsAtOnceMax * bounceBytes);
    const memory = kernel?.bytes ?? plainMemory();
    this.#bytes = memory.subarray(0, ringBytes);
    for (let i = 0; kernel !== undefined && i < readsAtOnceMax; i++) {
      const start = ringBytes + i * bounceBytes;
      const bytes = memory.subarray(start, start + bounceBytes);
      this.#bounces.push({ bytes, copy: kernel.copy });
    }
    this.#pool = new HashPool(this.#bytes, threads);
    this.#chunks = new ChunkReader(store);
  }

  /** Tells whether a chunk can be read so: stored raw, and no larger than a block. */
  static canRead({ encoding, storedLength }: ChunkPlace): boolean {
    return encoding === 0 && storedLength <= blockBytes;
  }

  /**
   * Writes a blob to a new file. Bytes may be written before they are verified: the file counts only
   * when the promise is kept.
   * @throws MstoreError `corrupt-chunk`, `corrupt-recipe`, `corrupt-pack`, `objects-missing`
   */
  async copy(
    recipe: Recipe,
    places: readonly ChunkPlace[],
    out: DirectFile,
    { onBytes, seed, signal }: WriteToOptions,
  ): Promise<void> {
    const file = this.#pool.beginFile();
    const shared = sharedRows(recipe, seed);
    const walk = new Walk(places, shared);
    const done: Array<Promise<void>> = Array.from({ length: blocks }, () => Promise.resolve());
    try {
      out.reserve(recipe.size);
      for (let at = 0; at < recipe.size; at += blockBytes) {
        const slot = (at / blockBytes) % blocks;
        // Of what the block held, the last chunk may have ended in the block behind it.
        await done[slot];
        await done[(slot + 1) % blocks];
        throwIfAborted(signal);
        const from = slot * blockBytes;
        const bytes = this.#bytes.subarray(from, from + Math.min(blockBytes, recipe.size - at));
        const { parts, ended } = walk.take(bytes.length);
        await mapConcurrently(parts, readsAtOnceMax, ({ pack, offset, start, end }) => {
          const target = bytes.subarray(start, end);
          return pack === undefined
            ? out.read(target, at + start)
            : this.#readPart(pack, offset, target);
        });
        const there = parts.every(({ pack }) => pack === undefined);
        const verified = shared.size > 0 ? ended : [];
        done[slot] = this.#finish(file, verified, bytes, there ? undefined : { out, at });
        // A failure is seen when the slot comes round again, or at the end.
        done[slot]?.catch(() => {});
        onBytes(bytes.length);
      }
      await Promise.all(done);
      const whole = await this.#pool.endFile(file);
      if (Buffer.from(whole).toString('hex') !== recipe.blob) {
        throw await this.#whatIsWrong(recipe, places, signal);
      }
    } finally {
      this.#pool.dropFile(file);
      // The memory is used again only when no thread and no write looks at it any more.
      await Promise.allSettled(done);
    }
  }

  /** Reads a blob again, chunk by chunk, to find why it is not right. */
  async #whatIsWrong(
    { blob }: Recipe,
    places: readonly ChunkPlace[],
    signal: AbortSignal | undefined,
  ): Promise<unknown> {
    const breather = new Breather(signal);
    const whole = createHash('sha256');
    try {
      for (const { bytes } of this.#chunks.read(places)) {
        whole.update(bytes);
        if (breather.due()) await breather.turn();
      }
    } catch (error) {
      return error;
    }
    if (whole.digest('hex') !== blob) return recipeProblem(blob, 'it yields other bytes');
    return new MstoreError('io', `Failed reading ${blob}: a moment later its bytes were others`, {
      hint: 'Run the same command again; if this comes back, the memory or the disk of this machine fails',
      details: { blob },
    });
  }

  async #readPart(pack: Digest, offset: number, target: Buffer): Promise<void> {
    const bounce = this.#bounces.pop();
    try {
      await this.#chunks.readPart(pack, offset, target, bounce);
    } finally {
      if (bounce !== undefined) this.#bounces.push(bounce);
    }
  }

  /** Hashes a block, writes it unless it is there, and verifies chunks. */
  async #finish(
    file: number,
    ended: readonly Ended[],
    bytes: Buffer,
    to: { out: DirectFile; at: number } | undefined,
  ): Promise<void> {
    const from = bytes.byteOffset - this.#bytes.byteOffset;
    const work: Array<Promise<void>> = [this.#pool.whole(file, from, from + bytes.length)];
    for (const job of jobsOf(ended)) work.push(this.#verify(job));
    if (to !== undefined) {
      const { out, at } = to;
      work.push(bytes.length === blockBytes ? out.writeBlock(bytes, at) : out.write(bytes, at));
    }
    for (const result of await Promise.allSettled(work)) {
      if (result.status === 'rejected') throw result.reason;
    }
  }

  async #verify(job: readonly Ended[]): Promise<void> {
    const ranges = job.flatMap(({ place, start }) => {
      const from = start % ringBytes;
      return [from, from + place.storedLength];
    });
    const ids = await this.#pool.chunks(ranges);
    for (const [i, { place }] of job.entries()) {
      const { ids: wanted, idAt } = place;
      const actual = Buffer.from(ids.subarray(i * digestBytes, (i + 1) * digestBytes));
      if (actual.compare(wanted, idAt, idAt + digestBytes) === 0) continue;
      const where = this.#store.file(packKey(place.pack.id));
      throw chunkProblem(digestFromRaw(wanted, idAt), where, actual.toString('hex'));
    }
  }

  /** Ends the threads and closes the packs that are open. */
  close(): void {
    this.#pool.close();
    this.#chunks.close();
  }
}

/** Memory for threads where there is no kernel to make it. */
function plainMemory(): Buffer {
  const { buffer } = makeWasmMemory(ringBytes / wasmPageBytes);
  return Buffer.from(buffer as unknown as ArrayBuffer);
}

/** A chunk of a blob of which all bytes have come. */
interface Ended {
  readonly place: ChunkPlace;
  /** Offset in the blob. */
  readonly start: number;
}

/** Bytes that lie side by side in a pack, or in the file already, and in a block. */
interface Part {
  /** Undefined where the file has them. */
  readonly pack: Digest | undefined;
  /** Offset in the pack. */
  readonly offset: number;
  /** Offsets in the block. */
  readonly start: number;
  end: number;
}

/** Walks along the chunks of a blob, block by block. */
class Walk {
  readonly #places: readonly ChunkPlace[];
  readonly #shared: ReadonlySet<number>;
  #next = 0;
  /** Bytes of the next chunk that were taken with the block before. */
  #taken = 0;
  #at = 0;

  /** @param shared rows of which the file has the bytes */
  constructor(places: readonly ChunkPlace[], shared: ReadonlySet<number>) {
    this.#places = places;
    this.#shared = shared;
  }

  /** Takes the next `length` bytes: where they lie, and which chunks are complete with them. */
  take(length: number): { parts: Part[]; ended: Ended[] } {
    const parts: Part[] = [];
    const ended: Ended[] = [];
    for (let fill = 0; fill < length; ) {
      const place = this.#places[this.#next] as ChunkPlace;
      const count = Math.min(place.storedLength - this.#taken, length - fill);
      const shared = this.#shared.has(this.#next);
      const pack = shared ? undefined : place.pack.id;
      const offset = (shared ? this.#at : place.offset) + this.#taken;
      const last = parts.at(-1);
      if (
        last !== undefined &&
        last.pack === pack &&
        last.offset + last.end - last.start === offset
      )
        last.end += count;
      else parts.push({ pack, offset, start: fill, end: fill + count });
      fill += count;
      this.#taken += count;
      if (this.#taken < place.storedLength) continue;
      ended.push({ place, start: this.#at });
      this.#at += place.storedLength;
      this.#taken = 0;
      this.#next++;
    }
    return { parts: parts.flatMap(piecesOf), ended };
  }
}

/** Cuts a part into reads. */
function piecesOf({ pack, offset, start, end }: Part): Part[] {
  const pieces: Part[] = [];
  for (let from = start; from < end; from += partBytesMax) {
    const to = Math.min(from + partBytesMax, end);
    pieces.push({ pack, offset: offset + from - start, start: from, end: to });
  }
  return pieces;
}

/** Finds the rows of a recipe that stand in another one at the same offset. */
function sharedRows(recipe: Recipe, seed: Recipe | undefined): Set<number> {
  const shared = new Set<number>();
  if (seed === undefined) return shared;
  const rowAt = new Map<number, number>();
  for (let row = 0, offset = 0; row < seed.count; offset += seed.length(row++))
    rowAt.set(offset, row);
  for (let row = 0, offset = 0; row < recipe.count; offset += recipe.length(row++)) {
    const other = rowAt.get(offset);
    if (other !== undefined && recipe.chunk(row) === seed.chunk(other)) shared.add(row);
  }
  return shared;
}

/** Shares chunks out to the threads. */
function* jobsOf(ended: readonly Ended[]): Generator<Ended[], void, undefined> {
  let job: Ended[] = [];
  let bytes = 0;
  for (const chunk of ended) {
    job.push(chunk);
    bytes += chunk.place.storedLength;
    if (bytes < jobBytes) continue;
    yield job;
    job = [];
    bytes = 0;
  }
  if (job.length > 0) yield job;
}
