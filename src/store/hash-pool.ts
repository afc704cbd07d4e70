import { Worker } from 'node:worker_threads';
import { MstoreError } from '../base/errors.ts';
import { programThread } from '../base/program-files.ts';
import type { HashAnswer, HashJob, HashMemory } from './hash-worker.ts';

type JobBody = HashJob extends infer Job ? (Job extends HashJob ? Omit<Job, 'id'> : never) : never;

interface Thread {
  readonly worker: Worker;
  /** Bytes given to it that it has not answered for. */
  load: number;
  /** Files that were begun on it and not ended. */
  files: number;
}

interface Waiting {
  readonly thread: Thread;
  readonly bytes: number;
  readonly resolve: (digests: Uint8Array) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Threads that hash pieces of one shared memory. Only positions travel in messages, never bytes. A
 * piece must stay as it is until its job has been answered.
 */
export class HashPool {
  readonly #threads: Thread[];
  readonly #waiting = new Map<number, Waiting>();
  readonly #owners = new Map<number, Thread>();
  #jobs = 0;
  #files = 0;
  #failure: unknown;

  /**
   * Starts the threads.
   * @param bytes shared memory; positions are offsets in it
   */
  constructor(bytes: Buffer, threads: number) {
    const { buffer, byteOffset: start, length } = bytes;
    const memory: HashMemory = { memory: buffer as unknown as SharedArrayBuffer, start, length };
    const { entry, isScript } = programThread('store/hash-worker');
    this.#threads = Array.from({ length: threads }, () => {
      // Flags of the process are about its own entry, and some cannot be used for a thread.
      const worker = new Worker(entry, { eval: isScript, workerData: memory, execArgv: [] });
      const thread: Thread = { worker, load: 0, files: 0 };
      worker.on('message', (answer: HashAnswer) => this.#answered(answer));
      worker.on('error', (error) => this.#fail(error));
      worker.on('exit', () => this.#fail(new Error('a hashing thread ended')));
      // A pool that is not waited for must not keep the process alive.
      worker.unref();
      return thread;
    });
  }

  /** Hashes chunks; the answer holds 32 bytes for each, in order. */
  chunks(ranges: readonly number[]): Promise<Uint8Array> {
    let bytes = 0;
    for (let i = 0; i < ranges.length; i += 2)
      bytes += (ranges[i + 1] as number) - (ranges[i] as number);
    return this.#post(this.#idlest(), bytes, { kind: 'chunks', ranges });
  }

  /** Begins the digest of a whole file; its thread is chosen now and stays. */
  beginFile(): number {
    const file = this.#files++;
    // Of files that are begun together none has given anything to do yet.
    const owner = this.#threads.reduce((a, b) =>
      b.files < a.files || (b.files === a.files && b.load < a.load) ? b : a,
    );
    owner.files++;
    this.#owners.set(file, owner);
    return file;
  }

  /** Adds the next piece of a file. */
  async whole(file: number, start: number, end: number): Promise<void> {
    await this.#post(this.#owner(file), end - start, { kind: 'whole', file, start, end });
  }

  /**
   * Adds the next piece of a file that is digested in pieces of its own.
   * @param cuts offsets from `start`, ascending, at which a digest ends and the next one begins
   * @returns 32 bytes for each cut, in order
   */
  pieces(file: number, start: number, end: number, cuts: readonly number[]): Promise<Uint8Array> {
    const positions = cuts.map((cut) => start + cut);
    return this.#post(this.#owner(file), end - start, {
      kind: 'whole',
      file,
      start,
      end,
      cuts: positions,
    });
  }

  /** Ends the digest of a file and returns its 32 bytes. */
  async endFile(file: number): Promise<Uint8Array> {
    return this.#post(this.#release(file) ?? this.#idlest(), 0, { kind: 'end', file });
  }

  /** Forgets a file that will not be ended. */
  dropFile(file: number): void {
    const owner = this.#release(file);
    if (owner === undefined) return;
    this.#post(owner, 0, { kind: 'drop', file }).catch(() => {});
  }

  #release(file: number): Thread | undefined {
    const owner = this.#owners.get(file);
    this.#owners.delete(file);
    if (owner !== undefined) owner.files--;
    return owner;
  }

  #owner(file: number): Thread {
    return this.#owners.get(file) ?? this.#idlest();
  }

  #idlest(): Thread {
    return this.#threads.reduce((a, b) => (b.load < a.load ? b : a));
  }

  #post(thread: Thread, bytes: number, body: JobBody): Promise<Uint8Array> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    const id = this.#jobs++;
    thread.load += bytes;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { thread, bytes, resolve, reject });
      thread.worker.postMessage({ id, ...body });
      // While an answer is awaited the process must live.
      thread.worker.ref();
    });
  }

  #answered({ id, digests }: HashAnswer): void {
    const waiting = this.#waiting.get(id);
    if (waiting === undefined) return;
    this.#waiting.delete(id);
    waiting.thread.load -= waiting.bytes;
    if (this.#waiting.size === 0) for (const { worker } of this.#threads) worker.unref();
    waiting.resolve(digests);
  }

  #fail(cause: unknown): void {
    this.#failure ??= new MstoreError('internal', 'A hashing thread failed', { cause });
    for (const { reject } of this.#waiting.values()) reject(this.#failure);
    this.#waiting.clear();
  }

  /** Ends the threads. */
  close(): void {
    this.#failure ??= new MstoreError('internal', 'The hashing threads have been closed');
    for (const { worker } of this.#threads) {
      worker.removeAllListeners();
      void worker.terminate();
    }
  }
}
