import { createHash, type Hash } from 'node:crypto';
import { parentPort, workerData } from 'node:worker_threads';
import { invariant } from '../base/errors.ts';

/** Work for a hashing thread; all positions are offsets in its memory. */
export type HashJob =
  | {
      readonly id: number;
      readonly kind: 'chunks';
      /** Start and end of each chunk, in turn. What lies beyond the memory goes on at its start. */
      readonly ranges: readonly number[];
    }
  | {
      readonly id: number;
      readonly kind: 'whole';
      /** Number of the file; its pieces come in order, to one thread. */
      readonly file: number;
      readonly start: number;
      readonly end: number;
      /** Positions, ascending, at which a digest is asked for and a new one begins. */
      readonly cuts?: readonly number[];
    }
  | { readonly id: number; readonly kind: 'end'; readonly file: number }
  | { readonly id: number; readonly kind: 'drop'; readonly file: number };

/** The memory of a hashing thread: a part of what it shares with others. */
export interface HashMemory {
  readonly memory: SharedArrayBuffer;
  readonly start: number;
  readonly length: number;
}

/** What a hashing thread answers: chunk ids of 32 bytes each, or the digest of a file, in raw bytes. */
export interface HashAnswer {
  readonly id: number;
  readonly digests: Uint8Array;
}

const none = new Uint8Array(0);
const wholes = new Map<number, Hash>();

function work(bytes: Uint8Array, job: HashJob): Uint8Array {
  if (job.kind === 'chunks') {
    const digests = new Uint8Array((job.ranges.length / 2) * 32);
    for (let i = 0; i < job.ranges.length; i += 2) {
      const end = job.ranges[i + 1] as number;
      const hash = createHash('sha256').update(bytes.subarray(job.ranges[i], end));
      if (end > bytes.length) hash.update(bytes.subarray(0, end - bytes.length));
      digests.set(hash.digest(), (i / 2) * 32);
    }
    return digests;
  }
  if (job.kind === 'drop') {
    wholes.delete(job.file);
    return none;
  }
  let hash = wholes.get(job.file) ?? createHash('sha256');
  if (job.kind === 'end') {
    wholes.delete(job.file);
    return hash.digest();
  }
  const { start, end, cuts = [] } = job;
  const digests = cuts.length === 0 ? none : new Uint8Array(cuts.length * 32);
  let from = start;
  for (const [i, cut] of cuts.entries()) {
    digests.set(hash.update(bytes.subarray(from, cut)).digest(), i * 32);
    hash = createHash('sha256');
    from = cut;
  }
  wholes.set(job.file, hash.update(bytes.subarray(from, end)));
  return digests;
}

const port = parentPort;
invariant(port !== null, 'this module runs in a thread');
const { memory, start, length } = workerData as HashMemory;
const shared = new Uint8Array(memory, start, length);
port.on('message', (job: HashJob) => {
  const answer: HashAnswer = { id: job.id, digests: work(shared, job) };
  port.postMessage(answer);
});
