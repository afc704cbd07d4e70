import { MstoreError } from './errors.ts';

/** Throws the `interrupted` error once `signal` has been aborted. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) {
    throw new MstoreError('interrupted', 'Interrupted before the work was complete', {
      hint: 'Run the same command again; what was already stored or sent is not repeated',
    });
  }
}

/**
 * Waits for work that cannot be stopped, no longer than until `signal` is aborted. What the work comes to then is of no interest.
 * @throws MstoreError `interrupted`, and what the work throws
 */
export async function untilAborted<T>(
  work: Promise<T>,
  signal: AbortSignal | undefined,
): Promise<T> {
  if (signal === undefined) return work;
  let stop = (): void => {};
  const aborted = new Promise<void>((resolve) => {
    const done = (): void => resolve();
    if (signal.aborted) done();
    signal.addEventListener('abort', done, { once: true });
    stop = () => signal.removeEventListener('abort', done);
  });
  try {
    await Promise.race([work, aborted]);
    throwIfAborted(signal);
    return await work;
  } finally {
    stop();
    work.catch(() => {});
  }
}

/** Waits `ms` milliseconds, or until `signal` is aborted. */
export function sleep(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const timer = setTimeout(done, ms);
    signal?.addEventListener('abort', done, { once: true });
    function done(): void {
      clearTimeout(timer);
      signal?.removeEventListener('abort', done);
      resolve();
    }
  });
}

/**
 * Lets signals and timers run while synchronous file work goes on. `pause()` returns at once until
 * `sliceMs` have passed since the last turn, so it may be called after every block.
 */
export class Breather {
  readonly #signal: AbortSignal | undefined;
  readonly #sliceMs: number;
  #last = performance.now();

  constructor(signal?: AbortSignal, sliceMs = 20) {
    this.#signal = signal;
    this.#sliceMs = sliceMs;
  }

  /** Tells whether it is time to await {@link turn}. */
  due(): boolean {
    return performance.now() - this.#last >= this.#sliceMs;
  }

  /** Yields one turn of the event loop, then throws when the work was aborted. */
  async turn(): Promise<void> {
    await new Promise<void>((resolve) => setImmediate(resolve));
    this.#last = performance.now();
    throwIfAborted(this.#signal);
  }
}
