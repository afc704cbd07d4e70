import type { ChunkPlace } from '../index/chunk-index.ts';

/** Numbers that steer a {@link RunBudget}. */
export interface RunLimits {
  /** Runs a blob may have before it has to earn them. */
  readonly runsFree: number;
  /** Bytes of the blob that earn one more run. */
  readonly bytesPerRun: number;
  /** Runs to be earned, once all are spent, before chunks are shared again: what is joined is long. */
  readonly runsJoined: number;
}

const usualLimits: RunLimits = { runsFree: 256, bytesPerRun: 512 * 1024, runsJoined: 64 };

/**
 * Keeps a blob readable in runs: chunks that follow each other in one pack. Every edit of a version puts a
 * new chunk between two old ones, and after many nearly every chunk would be a run of its own. So the
 * runs of a blob are limited, to 256 and one for every 512 KiB: where there are more, a chunk that the
 * store has is stored once more, beside its neighbours, and later versions share that one. Nothing is
 * stored twice before that, and what is edited less than once every MiB never comes there.
 */
export class RunBudget {
  readonly #limits: RunLimits;
  /** Runs that may still begin; below zero where new chunks needed more. */
  #left: number;
  #spent = false;
  #before: ChunkPlace | undefined;

  constructor(limits: RunLimits = usualLimits) {
    this.#limits = limits;
    this.#left = limits.runsFree;
  }

  /** Tells whether the next chunk, of `length` raw bytes, may be shared with the one at `place`. */
  share(place: ChunkPlace, length: number): boolean {
    const before = this.#before;
    const follows =
      before !== undefined &&
      before.pack === place.pack &&
      (place.number === before.number + 1 || place.number === before.number);
    if (!follows && this.#left < 1) this.#spent = true;
    if (!follows && this.#spent) {
      this.store(length);
      return false;
    }
    if (!follows) this.#left--;
    this.#earn(length);
    this.#before = place;
    return true;
  }

  /** Notes that the next chunk, of `length` raw bytes, stands in the pack that is being written. */
  store(length: number): void {
    if (this.#before !== undefined) this.#left--;
    this.#earn(length);
    this.#before = undefined;
  }

  #earn(length: number): void {
    const { runsFree, bytesPerRun, runsJoined } = this.#limits;
    this.#left = Math.min(runsFree, this.#left + length / bytesPerRun);
    if (this.#left >= runsJoined) this.#spent = false;
  }
}
