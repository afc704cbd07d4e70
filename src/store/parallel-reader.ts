import { throwIfAborted } from '../base/abort.ts';
import { type Digest, digestBytes, digestFromRaw } from '../base/digest.ts';
import { readFullyAsync } from '../base/files.ts';
import { type WriteMemory, writeBlockBytes } from '../base/sequential-file.ts';
import { Chunker, formatChunkParams } from '../chunk/chunker.ts';
import { type Kernel, type KernelKind, makeKernel } from '../chunk/kernel.ts';
import { HashPool } from './hash-pool.ts';

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

/** Chunks of one slot with the jobs that hash them. */
interface SlotWork {
  readonly ranges: number[];
  readonly digests: Array<Promise<Uint8Array>>;
  readonly whole: Promise<void>;
}

/**
 * Reads large files once into shared memory, where one thread cuts and two hash: chunks and the whole
 * file side by side. Chunks are handed on in the order of the file. Memory: a ring of 30 MiB, 12 MiB to
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

  /**
   * Reads a file of `size` bytes.
   * @param onShort called when the file turns out to hold fewer bytes; throws
   */
  async read(
    fd: number,
    size: number,
    hardCuts: readonly number[],
    options: {
      readonly take: TakeChunk;
      readonly onBytes: (bytes: number) => void;
      readonly onShort: () => never;
      readonly signal: AbortSignal | undefined;
    },
  ): Promise<Digest> {
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
