import type { Clock } from '../base/clock.ts';

/** How long the outcome of a write can be asked for, and how many are kept. */
const keptMs = 10 * 60_000;
const keptMax = 10_000;

/** Who makes a write, its number, and what of. */
export interface Write {
  readonly by: string;
  readonly number: string;
  readonly key: string;
  /** SHA-256 of the bytes, in base64. */
  readonly digest: string;
}

interface Kept {
  /** Undefined once it failed, when it may have been done all the same. */
  outcome: Promise<'created' | 'exists'> | undefined;
  readonly at: number;
}

/** What {@link Outcomes.once} does a write by. */
export interface WriteWork {
  create(): Promise<'created' | 'exists'>;
  /** Tells whether the object that is there has the bytes of the write. */
  isSame(): Promise<boolean>;
}

/**
 * Outcomes of writes: a client that lost the answer asks again under the same number, and is told the same. Without that
 * it would take its own object for somebody else's. A write of before that failed, and may have been done, is known by
 * its bytes.
 */
export class Outcomes {
  readonly #kept = new Map<string, Kept>();
  readonly #clock: Clock;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Does a write, unless it was done or is under way. */
  once(write: Write, work: WriteWork): Promise<'created' | 'exists'> {
    const now = this.#clock.monotonic();
    for (const [old, { at }] of this.#kept) {
      if (now - at < keptMs && this.#kept.size < keptMax) break;
      this.#kept.delete(old);
    }
    const { by, number, key, digest } = write;
    const id = JSON.stringify([by, number, key, digest]);
    const known = this.#kept.get(id);
    if (known?.outcome !== undefined) return known.outcome;
    const kept: Kept = { outcome: outcomeOf(work, known !== undefined), at: now };
    this.#kept.set(id, kept);
    kept.outcome?.catch(() => {
      kept.outcome = undefined;
    });
    return kept.outcome as Promise<'created' | 'exists'>;
  }
}

async function outcomeOf(work: WriteWork, isRepeated: boolean): Promise<'created' | 'exists'> {
  const outcome = await work.create();
  return outcome === 'exists' && isRepeated && (await work.isSame()) ? 'created' : outcome;
}
