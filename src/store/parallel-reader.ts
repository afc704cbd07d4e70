import type * as fs from 'node:fs';
import { throwIfAborted } from '../base/abort.ts';
import { type Digest, digestBytes, digestFromRaw } from '../base/digest.ts';
import { readFully, readFullyAsync } from '../base/files.ts';
import { type WriteMemory, writeBlockBytes } from '../base/sequential-file.ts';
import { Chunker, formatChunkParams } from '../chunk/chunker.ts';
import { type Kernel, type KernelKind, makeKernel } from '../chunk/kernel.ts';
import { HashPool } from './hash-pool.ts';
import type { SourceFile } from './source-file.ts';

/** Bytes of one read. */
const dataBytes = 4 * 1024 * 1024;
/** Room before the bytes of a slot for the chunk that began in the slot before. */
const leadBytes = formatChunkParams.max;
const slotBytes = leadBytes + dataBytes;
/** Slots of the ring: one being read, the others being hashed and written. */
const slots = 6;
const ringBytes = slots * slotBytes;
/** Blocks of a pack behind the ring: one being filled, the others being written. */
const writeBlocks = 3;
/** Chunks of about this many bytes go to a thread at once. */
const jobBytes = 2 * 1024 * 1024;
/** Two passes of SHA-256 are nearly all of the work; what this thread does fits beside them. */
const threads = 2;

/** Takes a chunk; its bytes are valid until the returned promise has ended. */
export type TakeChunk = (id: Uint8Array, raw: Uint8Array) => void | Promise<void>;

/** Files up to this size are read together with others: several share a slot. */
export const sharedBytesMax = 2 * 1024 * 1024;

/** Small files that share a slot. */
interface Batch {
  readonly slot: number;
  bytes: number;
  /** Start and end of each chunk, and behind those of a file of several chunks its own. */
  readonly ranges: number[];
  readonly files: BatchFile[];
}

interface BatchFile {
  readonly chunks: number;
  readonly take: TakeChunk;
  readonly end: (whole: Digest | undefined) => Promise<void>;
}

/** Chunks of one slot with the jobs that hash them. */
interface SlotWork {
  readonly ranges: number[];
  readonly digests: Array<Promise<Uint8Array>>;
  readonly whole: Promise<void>;
}

/**
 * Reads files once into shared memory, where one thread cuts and two hash: chunks and the whole file side
 * by side. Small files share a slot and one message. Chunks are handed on in the order in which they were
 * read. Memory: a ring of 30 MiB, 12 MiB to
 * write packs from, and some 20 MB for the threads, whatever the size of the file.
 */
export class ParallelReader {
  readonly #kernel: Kernel;
  /** For the packs that take the chunks: part of the same memory, so that copies are cheap. */
  readonly writeMemory: WriteMemory;
  readonly #pool: HashPool;
  /** Ends when a slot may be filled again. */
  readonly #free: Array<Promise<void>> = Array.from({ length: slots }, () => Promise.resolve());
  #slot = 0;
  #batch: Batch | undefined;
  /** Ends when the batches posted so far have been handed on. */
  #handed: Promise<void> = Promise.resolve();

  private constructor(kernel: Kernel) {
    this.#kernel = kernel;
    const blocks = Array.from({ length: writeBlocks }, (_, i) => {
      const start = ringBytes + i * writeBlockBytes;
      return kernel.bytes.subarray(start, start + writeBlockBytes);
    });
    this.writeMemory = {
      blocks,
      copy: (target, at, source) => {
        if (source.buffer === kernel.bytes.buffer) kernel.copy(target, at, source);
        else target.set(source, at);
      },
    };
    this.#pool = new HashPool(kernel.bytes, threads);
  }

  /** Starts the threads; undefined where there is no compiled kernel. */
  static start(kinds?: readonly KernelKind[]): ParallelReader | undefined {
    const kernel = makeKernel(ringBytes + writeBlocks * writeBlockBytes, kinds);
    return kernel === undefined ? undefined : new ParallelReader(kernel);
  }

  /** Reads a file whole. */
  async read(
    { fd, size, short: onShort }: SourceFile,
    hardCuts: readonly number[],
    given: {
      readonly take: TakeChunk;
      readonly onBytes: (bytes: number) => void;
      readonly signal: AbortSignal | undefined;
    },
  ): Promise<Digest> {
    await this.drain();
    const options = { ...given, onShort };
    const chunker = new Chunker(formatChunkParams, hardCuts, this.#kernel.scan);
    const file = this.#pool.beginFile();
    let order: Promise<void> = Promise.resolve();
    // A failure is seen at the next slot; until then it must not count as unhandled.
    order.catch(() => {});
    let carried = this.#kernel.bytes.subarray(0, 0);
    let reading = this.#read(fd, 0, size, options);
    try {
      for (let offset = 0; offset < size; ) {
        const slot = this.#slot;
        const length = await reading;
        this.#slot = (slot + 1) % slots;
        const base = slot * slotBytes + leadBytes;
        this.#kernel.copy(this.#kernel.bytes, base - carried.length, carried);
        offset += length;
        const start = base - carried.length;
        const end = base + length;
        const { work, rest } = this.#cut(chunker, file, start, base, end, offset === size);
        carried = this.#kernel.bytes.subarray(rest, end);
        order = order.then(() => this.#hand(work, options.take));
        order.catch(() => {});
        this.#free[slot] = order;
        reading = this.#read(fd, offset, size, options);
        options.onBytes(length);
      }
      await order;
      return digestFromRaw(await this.#pool.endFile(file));
    } catch (error) {
      this.#pool.dropFile(file);
      // The ring is used again only when no thread looks at it any more.
      await Promise.allSettled([reading, order]);
      this.#free.fill(Promise.resolve());
      throw error;
    }
  }

  /**
   * Reads a file of at most {@link sharedBytesMax} bytes together with others. It is read and unchanged
   * when this ends; its chunks are handed on later, and at last `end` is called, with the digest of the
   * whole where it has several chunks.
   */
  async readTogether(
    source: SourceFile,
    hardCuts: readonly number[],
    options: {
      readonly take: TakeChunk;
      readonly end: (whole: Digest | undefined, stat: fs.BigIntStats) => Promise<void>;
      readonly signal: AbortSignal | undefined;
    },
  ): Promise<void> {
    const { size } = source;
    if (this.#batch !== undefined && this.#batch.bytes + size > dataBytes) this.#post();
    this.#batch ??= await this.#beginBatch(options.signal);
    const batch = this.#batch;
    const start = batch.slot * slotBytes + leadBytes + batch.bytes;
    const end = start + size;
    if (readFully(source.fd, this.#kernel.bytes.subarray(start, end), 0) !== size) source.short();
    const stat = source.check();
    const chunker = new Chunker(formatChunkParams, hardCuts, this.#kernel.scan);
    let chunks = 0;
    for (let at = start; at < end; chunks++) {
      const cut = chunker.next(this.#kernel.bytes, at, end, true);
      batch.ranges.push(at, cut);
      at = cut;
    }
    if (chunks > 1) batch.ranges.push(start, end);
    batch.bytes += size;
    batch.files.push({ chunks, take: options.take, end: (whole) => options.end(whole, stat) });
  }

  async #beginBatch(signal: AbortSignal | undefined): Promise<Batch> {
    const slot = this.#slot;
    await this.#free[slot];
    throwIfAborted(signal);
    this.#slot = (slot + 1) % slots;
    return { slot, bytes: 0, ranges: [], files: [] };
  }

  /** Gives the files read so far to a thread, in one message. */
  #post(): void {
    const batch = this.#batch;
    if (batch === undefined) return;
    this.#batch = undefined;
    const hashing = this.#pool.chunks(batch.ranges);
    hashing.catch(() => {});
    this.#handed = this.#handed.then(async () => this.#handBatch(batch, await hashing));
    // A failure is seen when the slot comes round again, or at the end.
    this.#handed.catch(() => {});
    this.#free[batch.slot] = this.#handed;
  }

  async #handBatch({ ranges, files }: Batch, ids: Uint8Array): Promise<void> {
    let range = 0;
    for (const { chunks, take, end } of files) {
      for (let i = 0; i < chunks; i++, range++) {
        const raw = this.#kernel.bytes.subarray(ranges[2 * range], ranges[2 * range + 1]);
        const taken = take(ids.subarray(range * digestBytes, (range + 1) * digestBytes), raw);
        if (taken !== undefined) await taken;
      }
      await end(chunks > 1 ? digestFromRaw(ids, digestBytes * range++) : undefined);
    }
  }

  /** Waits until all files that were read together have been handed on. */
  async drain(): Promise<void> {
    this.#post();
    await this.#handed;
  }

  /** Gives up what was read and not handed on, after a failure; reading may go on then. */
  async abandon(): Promise<void> {
    this.#batch = undefined;
    await Promise.allSettled([this.#handed]);
    this.#handed = Promise.resolve();
    this.#free.fill(this.#handed);
  }

  /**
   * Reads the next piece of a file into the current slot, once that is free, while the one before is
   * being cut; returns the number of its bytes.
   */
  #read(
    fd: number,
    offset: number,
    size: number,
    { onShort, signal }: { onShort: () => never; signal: AbortSignal | undefined },
  ): Promise<number> {
    const slot = this.#slot;
    const reading = (async () => {
      await this.#free[slot];
      throwIfAborted(signal);
      const base = slot * slotBytes + leadBytes;
      const data = this.#kernel.bytes.subarray(base, base + Math.min(dataBytes, size - offset));
      if ((await readFullyAsync(fd, data, offset)) !== data.length) onShort();
      return data.length;
    })();
    // A failure is seen at the next slot; until then it must not count as unhandled.
    reading.catch(() => {});
    return reading;
  }

  /** Cuts a slot and gives its pieces to the threads. */
  #cut(
    chunker: Chunker,
    file: number,
    start: number,
    base: number,
    end: number,
    last: boolean,
  ): { work: SlotWork; rest: number } {
    const whole = this.#pool.whole(file, base, end);
    const work: SlotWork = { ranges: [], digests: [], whole };
    let job: number[] = [];
    let bytes = 0;
    let at = start;
    const post = (): void => {
      if (job.length > 0) work.digests.push(this.#pool.chunks(job));
      job = [];
      bytes = 0;
    };
    for (;;) {
      const cut = chunker.next(this.#kernel.bytes, at, end, last);
      if (cut === -1) break;
      work.ranges.push(at, cut);
      job.push(at, cut);
      bytes += cut - at;
      at = cut;
      if (bytes >= jobBytes) post();
    }
    post();
    for (const promise of [whole, ...work.digests]) promise.catch(() => {});
    return { work, rest: at };
  }

  /** Hands the chunks of a slot on once they are hashed; ends when the slot is free. */
  async #hand({ ranges, digests, whole }: SlotWork, take: TakeChunk): Promise<void> {
    const results = await Promise.allSettled([...digests, whole]);
    for (const result of results) if (result.status === 'rejected') throw result.reason;
    let row = 0;
    for (const part of digests) {
      const ids = await part;
      for (let at = 0; at < ids.length; at += digestBytes) {
        const raw = this.#kernel.bytes.subarray(ranges[row], ranges[row + 1]);
        row += 2;
        const taken = take(ids.subarray(at, at + digestBytes), raw);
        if (taken !== undefined) await taken;
      }
    }
  }

  /** Ends the threads. */
  close(): void {
    this.#pool.close();
  }
}
