import { sleep as sleepAwake, throwIfAborted } from '../../base/abort.ts';
import type { Clock } from '../../base/clock.ts';
import { invariant } from '../../base/errors.ts';
import { limits } from '../../base/limits.ts';
import type { RemotePruner } from '../remote.ts';

/** Bounds the bytes a second of all that shares it; see {@link rateLimit}. */
export interface RateLimit {
  /**
   * Passes blocks on at the rate, cut to pieces of a twentieth of a second. Ended early, it ends them.
   * @throws MstoreError `interrupted` once the signal is aborted, while it waits as well
   */
  pace(
    blocks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<Uint8Array, void, void>;
}

/** What a limit is made from. */
export interface RateOptions {
  /** `limits.rateBytesMin` or more. */
  readonly bytesPerSecond: number;
  readonly clock: Clock;
  readonly sleep?: (ms: number, signal: AbortSignal | undefined) => Promise<void>;
}

/** What was not used of so many milliseconds may be made up for: a timer that was late, a slow disk. */
const burstMs = 100;
const pieceMs = 50;
const pieceBytesMax = 256 * 1024;

/**
 * Makes a limit: a token bucket, kept as the time at which all that was let through so far has been paid
 * for. Each piece waits for those before it, in the order of the calls, by one timer.
 */
export function rateLimit(options: RateOptions): RateLimit {
  const { bytesPerSecond, clock, sleep = sleepAwake } = options;
  invariant(bytesPerSecond >= limits.rateBytesMin, 'a limit that connections can live with');
  const bytesPerMs = bytesPerSecond / 1000;
  const pieceBytes = Math.min(pieceBytesMax, Math.floor(bytesPerMs * pieceMs));
  let paidAt = Number.NEGATIVE_INFINITY;
  const take = async (bytes: number, signal: AbortSignal | undefined): Promise<void> => {
    throwIfAborted(signal);
    const now = clock.monotonic();
    const turn = Math.max(paidAt, now - burstMs);
    paidAt = turn + bytes / bytesPerMs;
    if (turn <= now) return;
    await sleep(turn - now, signal);
    throwIfAborted(signal);
  };
  return {
    async *pace(blocks, signal) {
      for await (const block of blocks) {
        for (let at = 0; at < block.length; at += pieceBytes) {
          const piece = block.subarray(at, at + pieceBytes);
          await take(piece.length, signal);
          yield piece;
        }
      }
    },
  };
}

/**
 * Bounds the bytes a second that go to and come from a remote. It is the outermost wrapper, so that what
 * is sent again counts again.
 * @param where which bytes are bounded here: `reads` alone where the backend bounds bodies itself, as they
 * leave
 */
export function rateLimited(
  remote: RemotePruner,
  limit: RateLimit,
  where: 'both' | 'reads' = 'both',
): RemotePruner {
  return {
    ...remote,
    get: (key, range, options) => limit.pace(remote.get(key, range, options), options?.signal),
    create(key, source, options) {
      if (where === 'reads') return remote.create(key, source, options);
      const open = () => limit.pace(source.open(), options?.signal);
      return remote.create(key, { size: source.size, open }, options);
    },
  };
}
