import { throwIfAborted } from '../../base/abort.ts';
import type { Clock } from '../../base/clock.ts';
import { invariant, MstoreError } from '../../base/errors.ts';
import type { RemoteCallOptions } from '../remote.ts';

/** Leave to have one request under way. */
export interface Turn {
  /** Tells that so many bytes of the request were sent or have come. */
  moved(bytes: number): void;
  /**
   * Gives the turn to the next one, when the answer has been read or given up. Further calls do nothing.
   * @param error what the request failed with, if it did
   */
  end(error?: unknown): void;
}

/** Bounds the requests that are under way to one service; see {@link adaptiveGate}. */
export interface RequestGate {
  /** Most requests that will ever be under way. */
  readonly most: number;
  /** Requests that may be under way at this moment. */
  readonly limit: number;
  /**
   * Waits for a turn, in the order of the calls. Whoever holds one must not wait for another one.
   * @throws MstoreError `interrupted` once the signal is aborted
   */
  enter(options?: RemoteCallOptions): Promise<Turn>;
}

/** Bounds and beginning of an {@link adaptiveGate}. */
export interface GateOptions {
  readonly clock: Clock;
  readonly least?: number;
  readonly first?: number;
  readonly most?: number;
}

/** A time in which throughput is measured is no shorter than this. */
const windowMsMin = 1000;
/** What a request counts for at least, so that small ones show in the throughput as well. */
const requestWorthBytes = 256 * 1024;
/** More requests are worth while when the throughput is this many times what it was. */
const gainMin = 1.05;
/** Windows without a change after more requests turned out to be no gain, or too many. */
const quietWindows = 8;

/**
 * Makes a gate that finds out how many requests at once are best. While requests wait for a turn,
 * throughput is measured in windows, and the limit climbs: by half as long as that pays, later by an eighth at
 * a time, and back by one step where it brought no gain. It is halved when the service asks to slow down
 * or connections go silent, once for all requests that were under way then: additive increase and
 * multiplicative decrease, by which many clients come to fair shares (Chiu and Jain, 1989).
 */
export function adaptiveGate(options: GateOptions): RequestGate {
  const { clock, least = 2, first = 8, most = 64 } = options;
  invariant(least >= 1 && least <= first && first <= most, 'bounds of a gate in their order');
  const pace = new Pace(clock, { least, first, most });
  const waiting: Waiter[] = [];
  let underWay = 0;

  const open = (max: number | undefined): boolean => underWay < Math.min(pace.limit, max ?? most);
  const admit = (): void => {
    while (waiting.length > 0 && open(waiting[0]?.max)) waiting.shift()?.go(begin());
    if (underWay < pace.limit) pace.idle();
  };
  const begin = (): Turn => {
    underWay++;
    const round = pace.round;
    let ended = false;
    let lacking = requestWorthBytes;
    return {
      moved(bytes) {
        lacking -= bytes;
        pace.moved(bytes);
        admit();
      },
      end(error) {
        if (ended) return;
        ended = true;
        underWay--;
        if (asksForLess(error)) pace.slowDown(round);
        else if (lacking > 0) pace.moved(lacking);
        admit();
      },
    };
  };
  return {
    most,
    get limit() {
      return pace.limit;
    },
    async enter({ signal, requestsMax: max } = {}) {
      throwIfAborted(signal);
      if (waiting.length === 0 && open(max)) return begin();
      return new Promise((resolve, reject) => {
        const waiter: Waiter = {
          max,
          go(turn) {
            signal?.removeEventListener('abort', leave);
            resolve(turn);
          },
        };
        const leave = (): void => {
          waiting.splice(waiting.indexOf(waiter), 1);
          try {
            throwIfAborted(signal);
          } catch (error) {
            reject(error);
          }
          admit();
        };
        waiting.push(waiter);
        signal?.addEventListener('abort', leave, { once: true });
      });
    },
  };
}

interface Waiter {
  readonly max: number | undefined;
  go(turn: Turn): void;
}

/** Tells a service or a network that is overloaded from one that merely failed. */
function asksForLess(error: unknown): boolean {
  const reason = error instanceof MstoreError ? error.details['reason'] : undefined;
  return reason === 'throttled' || reason === 'stalled';
}

/** The limit of a gate as it follows what is measured. */
class Pace {
  limit: number;
  /** Grows each time the limit is cut: requests that began before it say nothing new. */
  round = 0;
  readonly #clock: Clock;
  readonly #least: number;
  readonly #most: number;
  /** The limit and the throughput before the last step up, while it is being tried. */
  #tried: { readonly from: number; readonly rate: number } | undefined;
  #quiet = 0;
  #leaping = true;
  #window: { readonly since: number; moves: number; bytes: number } | undefined;
  /** Moves that are not counted after a change, as they belong to the time before it. */
  #skip: number;

  constructor(
    clock: Clock,
    { least, first, most }: { least: number; first: number; most: number },
  ) {
    this.#clock = clock;
    this.#least = least;
    this.#most = most;
    this.limit = first;
    this.#skip = first;
  }

  /** A turn was free: the time shows what was asked for, not what could be had. */
  idle(): void {
    this.#window = undefined;
  }

  moved(bytes: number): void {
    if (this.#skip > 0) {
      this.#skip--;
      return;
    }
    const now = this.#clock.monotonic();
    const window = this.#window;
    if (window === undefined) {
      // What has moved now belongs to the time before.
      this.#window = { since: now, moves: 0, bytes: 0 };
      return;
    }
    window.moves++;
    window.bytes += bytes;
    const ms = now - window.since;
    if (ms < windowMsMin || window.moves < 2 * this.limit) return;
    this.#window = { since: now, moves: 0, bytes: 0 };
    this.#step(window.bytes / ms);
  }

  #step(rate: number): void {
    if (this.#tried !== undefined && rate < this.#tried.rate * gainMin) {
      this.#rest(this.#tried.from);
      return;
    }
    if (this.#quiet > 0) {
      this.#quiet--;
      return;
    }
    const from = this.limit;
    const step = this.#leaping ? from / 2 : from / 8;
    this.#set(Math.min(this.#most, from + Math.max(1, Math.floor(step))));
    this.#tried = this.limit > from ? { from, rate } : undefined;
  }

  /** @param round the one in which the request began that was turned away */
  slowDown(round: number): void {
    if (round < this.round) return;
    this.round++;
    this.#rest(Math.max(this.#least, Math.floor(this.limit / 2)));
  }

  #rest(limit: number): void {
    this.#tried = undefined;
    this.#quiet = quietWindows;
    this.#leaping = false;
    this.#set(limit);
  }

  #set(limit: number): void {
    this.limit = limit;
    this.#window = undefined;
    this.#skip = limit;
  }
}
