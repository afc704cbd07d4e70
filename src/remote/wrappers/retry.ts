import { sleep as sleepAwake, throwIfAborted } from '../../base/abort.ts';
import type { Clock, Random } from '../../base/clock.ts';
import { isMstoreError } from '../../base/errors.ts';
import { compareUtf8 } from '../../base/json.ts';
import { noObject } from '../keys.ts';
import type {
  ByteRange,
  RemoteCallOptions,
  RemoteObject,
  RemotePruner,
  RemoteReadOptions,
} from '../remote.ts';

/** What a policy of retries is made from. */
export interface RetryOptions {
  readonly clock: Clock;
  readonly random: Random;
  /** Tries in a row that bring nothing, the first one included. */
  readonly triesMax?: number;
  /** The first wait is up to this long, each further one up to twice the one before. */
  readonly waitMsFirst?: number;
  readonly waitMsMax?: number;
  /** No new try begins when so much time has passed since the first failure in a row. */
  readonly totalMsMax?: number;
  readonly sleep?: (ms: number, signal: AbortSignal | undefined) => Promise<void>;
}

/** Does work again while it fails for want of a connection; see {@link retryPolicy}. */
export interface RetryPolicy {
  /** Does `work` until it succeeds, or fails in a way that another try cannot mend. */
  again<T>(work: () => Promise<T>, signal: AbortSignal | undefined): Promise<T>;
  /**
   * The same for work that must not be done late: no further try begins when so much time has passed since the
   * first one began as all tries may last, by either clock. A host that slept may have missed it by one of them.
   */
  soon<T>(work: () => Promise<T>, signal: AbortSignal | undefined): Promise<T>;
  /** Starts to count the tries of one piece of work. */
  start(signal: AbortSignal | undefined): RetryTries;
}

/** The tries of one piece of work. */
export interface RetryTries {
  /** Waits before the next try, or throws `error` when there must be none. */
  next(error: unknown): Promise<void>;
  /** Tells that something arrived, so that a long transfer is not ended by its sum of failures. */
  progressed(): void;
}

/**
 * Makes a policy. The code decides: `remote-unreachable` is tried again, and nothing else. Waits grow
 * and are drawn by chance, so that many clients do not come back at once; one that the remote asks for
 * (`details.retryAfterMs`) is kept, unless it is longer than all tries may last. An error may ask for fewer
 * tries (`details.triesMax`), never for more. An error that the policy has given up once is final: where a
 * call is tried again whose own steps were tried again, the tries are not multiplied.
 */
export function retryPolicy(options: RetryOptions): RetryPolicy {
  const { clock, random, triesMax = 8, waitMsFirst = 250, waitMsMax = 20_000 } = options;
  const { totalMsMax = 300_000, sleep = sleepAwake } = options;

  const givenUp = new WeakSet<object>();

  const start = (signal: AbortSignal | undefined): RetryTries => {
    let failures = 0;
    let since = 0;
    return {
      async next(error) {
        throwIfAborted(signal);
        if (!isMstoreError(error, 'remote-unreachable') || givenUp.has(error)) throw error;
        if (failures === 0) since = clock.monotonic();
        failures++;
        const most = Math.min(triesMax, Number(error.details['triesMax'] ?? triesMax));
        const asked = Number(error.details['retryAfterMs'] ?? 0);
        const bound = Math.min(waitMsMax, waitMsFirst * 2 ** (failures - 1));
        const wait = asked + random.fraction() * (asked > 0 ? waitMsFirst : bound);
        if (failures >= most || clock.monotonic() - since + wait > totalMsMax) {
          givenUp.add(error);
          throw error;
        }
        await sleep(wait, signal);
        throwIfAborted(signal);
      },
      progressed() {
        failures = 0;
      },
    };
  };

  const tryOn = async <T>(
    work: () => Promise<T>,
    signal: AbortSignal | undefined,
    isLate: () => boolean,
  ): Promise<T> => {
    const tries = start(signal);
    for (;;) {
      try {
        return await work();
      } catch (error) {
        await tries.next(error);
        if (isLate()) throw error;
      }
    }
  };

  return {
    start,
    again: (work, signal) => tryOn(work, signal, () => false),
    soon(work, signal) {
      const begun = { wall: clock.now(), monotonic: clock.monotonic() };
      return tryOn(work, signal, () => {
        const wall = Math.abs(clock.now() - begun.wall);
        return Math.max(wall, clock.monotonic() - begun.monotonic) > totalMsMax;
      });
    },
  };
}

/**
 * Tries the calls of a remote again by a policy. A read goes on behind the last byte that arrived and a
 * listing behind the last key; a create hands the same source to the remote each time, by which a
 * backend knows a try of its own that had an unclear end.
 */
export function retrying(remote: RemotePruner, policy: RetryPolicy): RemotePruner {
  return {
    location: remote.location,
    probe: remote.probe,
    uploads: remote.uploads,
    get: (key, range, options) => readOn(remote, policy, key, range, options),
    stat: (key, options) => policy.again(() => remote.stat(key, options), options?.signal),
    list: (prefix, options) => listOn(remote, policy, prefix, options),
    create: (key, source, options) =>
      policy.again(() => remote.create(key, source, options), options?.signal),
    // What nobody needs now may be created again: a late try would take that away.
    delete: (key, options) => policy.soon(() => remote.delete(key, options), options?.signal),
  };
}

async function* readOn(
  remote: RemotePruner,
  policy: RetryPolicy,
  key: string,
  range: ByteRange | undefined,
  options: RemoteReadOptions | undefined,
): AsyncGenerator<Uint8Array, void, void> {
  const tries = policy.start(options?.signal);
  let wanted = range;
  for (;;) {
    let received = 0;
    try {
      for await (const block of remote.get(key, wanted, options)) {
        received += block.length;
        if (block.length > 0) tries.progressed();
        yield block;
      }
      return;
    } catch (error) {
      await tries.next(error);
    }
    if (received === 0) continue;
    // Objects never change, so that what is missing can be asked for by its place.
    wanted ??= { start: 0, end: await sizeOf(remote, policy, key, options) };
    wanted = { start: wanted.start + received, end: wanted.end };
    if (wanted.start >= wanted.end) return;
  }
}

async function sizeOf(
  remote: RemotePruner,
  policy: RetryPolicy,
  key: string,
  options: RemoteCallOptions | undefined,
): Promise<number> {
  const size = await policy.again(() => remote.stat(key, options), options?.signal);
  if (size === undefined) throw noObject(key, remote.location);
  return size;
}

async function* listOn(
  remote: RemotePruner,
  policy: RetryPolicy,
  prefix: string,
  options: RemoteCallOptions | undefined,
): AsyncGenerator<RemoteObject, void, void> {
  const tries = policy.start(options?.signal);
  let last = '';
  for (;;) {
    try {
      for await (const object of remote.list(prefix, options)) {
        if (compareUtf8(object.key, last) <= 0) continue;
        last = object.key;
        tries.progressed();
        yield object;
      }
      return;
    } catch (error) {
      await tries.next(error);
    }
  }
}
