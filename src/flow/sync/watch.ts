import { isMstoreError, type MstoreError } from '../../base/errors.ts';
import type { Surroundings } from '../surroundings.ts';
import { hasMoved } from './ask.ts';
import { isUnreachable, type LookResult, look, lookHere } from './look.ts';
import { openSync, type SyncOptions, type SyncSession } from './session.ts';

/** What happens while an environment is followed. */
export type SyncEvent =
  /** A look came to its end: the first one, and each that changed something. */
  | ({ readonly event: 'synced' } & LookResult)
  /** A command said no: the version that was live before is live. */
  | { readonly event: 'refused'; readonly error: MstoreError }
  /** Something else failed; it is tried again. */
  | { readonly event: 'failed'; readonly error: MstoreError; readonly retryMs: number }
  /** No remote can be asked; said once. */
  | { readonly event: 'unreachable'; readonly error: MstoreError }
  /** A remote can be asked again. */
  | { readonly event: 'reachable' };

/** Options of {@link syncWatch}. */
export interface WatchOptions extends SyncOptions {
  /** Milliseconds between two looks; by default 30 seconds. */
  readonly everyMs?: number | undefined;
  readonly onEvent: (event: SyncEvent) => void;
  /** Given a function that has the next look happen at once. */
  readonly onWake?: ((wake: () => void) => void) | undefined;
}

/** Bounds of the time between two looks. */
const watchEveryMs = { min: 1_000, usual: 30_000, max: 24 * 60 * 60 * 1000 } as const;
/** The longest time between two looks after failures, unless what was asked for is longer. */
const backOffMsMax = 5 * 60 * 1000;
/** Hosts that were started together shall not ask together: a tenth more or less. */
const jitterShare = 0.1;

/**
 * Follows an environment until the signal is aborted. A remote that cannot be asked, a disk that is full and the like end
 * nothing: what is live stays, and the next look comes later.
 * @throws MstoreError what is no use to try again: `locked`, `usage`, `destination-exists` and the like at the beginning
 */
export async function syncWatch(options: WatchOptions, surroundings: Surroundings): Promise<void> {
  const session = await openSync(options, surroundings);
  try {
    await new Watch(session, options).run();
  } finally {
    session.close();
  }
}

class Watch {
  readonly #session: SyncSession;
  readonly #options: WatchOptions;
  readonly #everyMs: number;
  #failures = 0;
  #isUnreachable = false;
  /** The number of an entry that a command refused: it is not tried again. */
  #refused: number | undefined;
  /** Whether a look came to its end, so that only a new entry is a reason for another one. */
  #isDone = false;
  #wake = new AbortController();
  #isWoken = false;

  constructor(session: SyncSession, options: WatchOptions) {
    this.#session = session;
    this.#options = options;
    const { min, usual, max } = watchEveryMs;
    this.#everyMs = Math.min(max, Math.max(min, options.everyMs ?? usual));
  }

  async run(): Promise<void> {
    const { onWake, signal } = this.#options;
    onWake?.(() => {
      this.#isWoken = true;
      this.#wake.abort();
    });
    signal?.addEventListener('abort', () => this.#wake.abort(), { once: true });
    while (!signal?.aborted) {
      try {
        await this.#look();
        this.#failures = 0;
      } catch (error) {
        if (signal?.aborted) return;
        await this.#fail(error);
      }
      await this.#pause();
    }
  }

  async #look(): Promise<void> {
    const session = this.#session;
    session.checkHeld();
    if (this.#isWoken) this.#refused = undefined;
    this.#isWoken = false;
    const { model, environment, signal } = this.#options;
    const { seen } = session.state.value;
    const isSettled = this.#isDone || (seen !== undefined && this.#refused === seen.number);
    if (isSettled) {
      const question = { model, environment, seen, signal };
      const moved = await hasMoved(await session.remotes(), question);
      this.#reached();
      if (!moved) return;
    }
    this.#isDone = false;
    const result = await look(session);
    this.#reached();
    this.#isDone = true;
    this.#options.onEvent({ event: 'synced', ...result });
  }

  #reached(): void {
    if (this.#isUnreachable) this.#options.onEvent({ event: 'reachable' });
    this.#isUnreachable = false;
  }

  async #fail(error: unknown): Promise<void> {
    if (!isMstoreError(error) || endsIt(error)) throw error;
    const { onEvent } = this.#options;
    if (isMstoreError(error, 'check-refused')) {
      this.#reached();
      this.#refused = this.#session.state.value.seen?.number;
      this.#failures = 0;
      onEvent({ event: 'refused', error });
      return;
    }
    this.#failures++;
    if (!isUnreachable(error)) {
      this.#reached();
      onEvent({ event: 'failed', error, retryMs: this.#delayMs() });
      return;
    }
    if (!this.#isUnreachable) await this.#lose(error);
  }

  /** Says once that nobody can be asked, and what is taken meanwhile. */
  async #lose(error: MstoreError): Promise<void> {
    const { onEvent, allowStale } = this.#options;
    this.#isUnreachable = true;
    onEvent({ event: 'unreachable', error });
    if (!allowStale || this.#isDone) return;
    try {
      onEvent({ event: 'synced', ...(await lookHere(this.#session, error)) });
    } catch (here) {
      // It has been said that nobody can be asked, and of what is damaged here there is a warning.
      if (here !== error) throw here;
    }
  }

  #delayMs(): number {
    const longest = Math.max(this.#everyMs, backOffMsMax);
    return Math.min(longest, this.#everyMs * 2 ** Math.min(this.#failures, 20));
  }

  async #pause(): Promise<void> {
    const { surroundings } = this.#session;
    const ms = this.#failures === 0 ? this.#everyMs : this.#delayMs();
    const jitter = 1 + jitterShare * (2 * surroundings.random.fraction() - 1);
    if (!this.#isWoken && !this.#options.signal?.aborted) {
      await surroundings.sleep(ms * jitter, this.#wake.signal);
    }
    this.#wake = new AbortController();
  }
}

/** Tells whether to try again is no use: somebody has to do something here, or another process has the directory. */
function endsIt(error: MstoreError): boolean {
  return isMstoreError(error, 'locked', 'usage', 'config-invalid', 'internal', 'unknown-remote');
}
