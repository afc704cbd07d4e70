import { makeWasmMemory, wasmPageBytes } from '../base/wasm-memory.ts';
import { HashPool } from './hash-pool.ts';

/** Bytes of one block of a lane. */
const laneBlockBytes = 2 * 1024 * 1024;
const blocksPerLane = 2;
const threads = 2;
const lanesMax = 8;

/** From this many bytes on, starting threads pays. */
const bytesMin = 64 * 1024 * 1024;

/** The way of one pack: memory that the threads see, and one of them. */
export interface PackLane {
  /**
   * Two blocks of 2 MiB, each at a page of the machine. One is filled while the other one
   * is hashed and passed on.
   */
  readonly blocks: readonly [Buffer, Buffer];
  /** Tells whether bytes lie in the memory of the lane, so that they can be hashed where they are. */
  holds(bytes: Uint8Array): boolean;
  /**
   * Hashes the next bytes of the pack, which must stay as they are until the promise has ended.
   * @param cuts offsets in `bytes`, ascending, at which a chunk ends
   * @returns 32 bytes for each cut: the digest of what came since the one before
   */
  hash(bytes: Uint8Array, cuts: readonly number[]): Promise<Uint8Array>;
}

interface OpenLane extends PackLane {
  /** Gives the lane back. What is being hashed must have ended. */
  close(): void;
}

/**
 * Threads that hash packs while they are sent or received.
 * Memory: 4 MiB a lane, of which there are 8 at most, and some 20 MB for the threads.
 */
export class PackThreads {
  readonly #bytes: Buffer;
  readonly #pool: HashPool;
  readonly #free: number[];

  /** @param lanes packs that can be under way at once */
  private constructor(lanes: number) {
    const { buffer } = makeWasmMemory((lanes * blocksPerLane * laneBlockBytes) / wasmPageBytes);
    this.#bytes = Buffer.from(buffer as unknown as ArrayBuffer);
    this.#pool = new HashPool(this.#bytes, threads);
    this.#free = Array.from({ length: lanes }, (_, lane) => lane);
  }

  /**
   * Starts threads where they pay.
   * @param bytes of all packs together
   * @param jobs packs under way at once; 1 asks for no threads
   */
  static for(bytes: number, jobs: number): PackThreads | undefined {
    return jobs > 1 && bytes >= bytesMin ? new PackThreads(Math.min(jobs, lanesMax)) : undefined;
  }

  /** Does work with a lane; without one where all are taken. */
  async withLane<T>(work: (lane: PackLane | undefined) => Promise<T>): Promise<T> {
    const lane = this.#take();
    try {
      return await work(lane);
    } finally {
      lane?.close();
    }
  }

  #take(): OpenLane | undefined {
    const lane = this.#free.pop();
    if (lane === undefined) return undefined;
    const at = lane * blocksPerLane * laneBlockBytes;
    const block = (start: number): Buffer => this.#bytes.subarray(start, start + laneBlockBytes);
    const stream = this.#pool.beginFile();
    return {
      blocks: [block(at), block(at + laneBlockBytes)],
      holds: ({ buffer }) => buffer === this.#bytes.buffer,
      hash: (bytes, cuts) => {
        const start = bytes.byteOffset - this.#bytes.byteOffset;
        return this.#pool.pieces(stream, start, start + bytes.length, cuts);
      },
      close: () => {
        this.#pool.dropFile(stream);
        this.#free.push(lane);
      },
    };
  }

  /** Ends the threads. */
  close(): void {
    this.#pool.close();
  }
}
