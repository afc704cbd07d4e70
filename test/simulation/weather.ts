import type { Chance } from './chance.ts';
import { contentsMax } from './content.ts';

const minute = 60_000;
const hour = 60 * minute;
const day = 24 * hour;

const paces = [1, 1, 1, 4];

/** When a host does not reach the remote, milliseconds since the beginning. */
interface Cut {
  readonly host: string;
  readonly from: number;
  readonly to: number;
}

/** When a host is asleep, and its programs with it. */
interface Nap {
  readonly from: number;
  readonly to: number;
}

/** How a host's clock differs from that of the service: from a moment on, by so much. */
interface ClockStep {
  readonly from: number;
  readonly byMs: number;
}

/** What a weather is drawn for. */
export interface WeatherOptions {
  readonly hosts: readonly string[];
  /** Whether much is cleaned up. */
  readonly isForCleaning: boolean;
  /** How long the hosts work at most, milliseconds. */
  readonly spanMs: number;
}

/** The conditions of one simulation, drawn from its seed. */
export class Weather {
  /** How long listings may be behind, milliseconds; 0 where they never are. */
  readonly lagMs: number;
  /** Whether much is cleaned up. */
  readonly isForCleaning: boolean;
  /** Whether versions are registered, which keep for good what would be given up. */
  readonly hasVersions: boolean;
  /** How many contents of each kind there are. */
  readonly variety: number;
  /** The grace periods of clean-ups, one of which each has, milliseconds. */
  readonly gracesMs: readonly number[];
  /** Chance that a command is killed on its way. */
  readonly crashes: number;
  /** Rows of one page of a listing. */
  readonly pageRows: number;
  readonly triesMax: number;
  /** After how long a lost request counts as failed, milliseconds. */
  readonly timeoutMs: number;
  /** Chance that a message takes up to {@link slowMs}. */
  readonly slow: number;
  readonly slowMs: number;
  /** Chance that a request or an answer is lost. */
  readonly #loss: number;
  readonly #cuts: readonly Cut[];
  readonly #clocks: ReadonlyMap<string, readonly ClockStep[]>;
  readonly #naps: ReadonlyMap<string, Nap>;
  #isQuiet = false;

  constructor(chance: Chance, { hosts, spanMs, isForCleaning }: WeatherOptions) {
    // A clean-up takes many requests: it comes to its end where few of them are lost.
    this.#loss = chance.pick(isForCleaning ? [0, 0, 0.01] : [0, 0.01, 0.05], 'loss');
    this.isForCleaning = isForCleaning;
    this.hasVersions = !isForCleaning || chance.happens(0.5, 'versions');
    // What is given up is garbage only where nobody else keeps the same.
    this.variety = isForCleaning ? chance.pick([1, 2, 2, 4], 'variety') : contentsMax;
    this.lagMs = this.isForCleaning ? 0 : chance.pick([0, 0, 20_000, 10 * minute], 'lag');
    this.gracesMs = chance.pick([[0], [0, 4_000], [0, 15_000], [4_000, minute]], 'grace');
    // A sweep that was killed keeps all others waiting for an hour.
    this.crashes = chance.pick(isForCleaning ? [0, 0, 0.05] : [0, 0.1, 0.3], 'crashes');
    // While a sweep that was killed counts, others try again and again, and every try is listed from then on.
    const pages = isForCleaning && this.crashes > 0 ? [10, 10, 1000] : [3, 10, 1000];
    this.pageRows = chance.pick(pages, 'page');
    this.triesMax = chance.pick(isForCleaning ? [3, 8] : [1, 3, 8], 'tries');
    this.timeoutMs = chance.between(5_000, 60_000, 'timeout');
    this.slow = chance.pick([0, 0.01, 0.05], 'slow');
    this.slowMs = chance.pick([minute, 5 * minute], 'slowest');
    const cut = isForCleaning ? 0 : chance.pick([0, 0, 2], 'cuts');
    this.#cuts = hosts.flatMap((host) =>
      Array.from({ length: cut }, (_, n) => {
        const from = chance.fraction('cut', host, n) * spanMs;
        return { host, from, to: from + chance.fraction('cut length', host, n) * 2 * hour };
      }),
    );
    this.#naps = new Map(
      hosts.flatMap((host): [string, Nap][] => {
        if (!chance.happens(0.3, 'nap', host)) return [];
        const from = Math.round(chance.fraction('nap at', host) * spanMs);
        const length = chance.pick([minute, 2 * hour, 2 * day], 'nap length', host);
        return [[host, { from, to: from + length }]];
      }),
    );
    this.#clocks = new Map(hosts.map((host) => [host, clockSteps(chance, host, spanMs)]));
  }

  /** Ends all that goes wrong; clocks stay as wrong as they are. */
  calm(): void {
    this.#isQuiet = true;
  }

  get isQuiet(): boolean {
    return this.#isQuiet;
  }

  /**
   * How long one message of a command takes, milliseconds.
   * @param id names the request, and `part` the message of it
   */
  latency(chance: Chance, command: string, id: string, part: string): number {
    if (this.#isQuiet) return 1;
    if (chance.happens(this.slow, id, part, 'slow')) {
      return Math.round(chance.fraction(id, part, 'ms') ** 3 * this.slowMs);
    }
    const ms = chance.fraction(id, part, 'ms') ** 3 * 2_000;
    return 1 + Math.round(ms * this.pace(chance, command));
  }

  /** How many times as long as others a command takes: while a slow one is at it, others come to their ends. */
  pace(chance: Chance, command: string): number {
    return chance.pick(paces, 'pace', command);
  }

  /** Whether a message, or the rest of one, is lost. */
  loses(chance: Chance, id: string, part: string): boolean {
    return !this.#isQuiet && chance.happens(this.#loss, id, part);
  }

  /** Whether a host cannot reach the remote. */
  isCut(host: string, at: number): boolean {
    if (this.#isQuiet) return false;
    return this.#cuts.some((cut) => cut.host === host && at >= cut.from && at < cut.to);
  }

  /** How long from now until a host is awake, milliseconds. */
  sleeps(host: string, at: number): number {
    const nap = this.#naps.get(host);
    return !this.#isQuiet && nap !== undefined && at >= nap.from && at < nap.to ? nap.to - at : 0;
  }

  /** How long a host has slept, milliseconds: its monotonic clock does not count it. */
  slept(host: string, at: number): number {
    const { from, to } = this.#naps.get(host) ?? { from: 0, to: 0 };
    return Math.max(0, Math.min(at, to) - from);
  }

  /** How much a host's clock is ahead of the service's, milliseconds. */
  skew(host: string, at: number): number {
    const steps = this.#clocks.get(host) ?? [];
    return steps.findLast(({ from }) => from <= at)?.byMs ?? 0;
  }

  /** The conditions in one line. */
  toString(): string {
    const skews = [...this.#clocks].map(([host, steps]) => {
      return `${host} ${steps.map(({ byMs }) => `${Math.round(byMs / 1000)} s`).join(', then ')}`;
    });
    return [
      `loss ${this.#loss}`,
      `lists behind by ${this.lagMs} ms`,
      `grace of ${this.gracesMs.join(' or ')} ms`,
      `crashes ${this.crashes}`,
      `pages of ${this.pageRows}`,
      `${this.triesMax} tries`,
      `slow ${this.slow} up to ${this.slowMs} ms`,
      `${this.#cuts.length} cuts`,
      `naps ${[...this.#naps].map(([host, { from, to }]) => `of ${host} from ${from} to ${to}`).join(', ') || 'none'}`,
      `clocks ahead by ${skews.join('; ')}`,
    ].join(', ');
  }
}

/** A clock begins somewhere and may jump once, forwards or backwards. */
function clockSteps(chance: Chance, host: string, spanMs: number): ClockStep[] {
  const spans = [0, 0, 5_000, hour, 3 * day, 400 * day];
  const draw = (n: number): number =>
    Math.round(chance.pick(spans, 'clock', host, n) * (chance.fraction('ahead', host, n) * 2 - 1));
  const jump = chance.happens(0.3, 'jump', host)
    ? [{ from: chance.fraction('jump at', host) * spanMs, byMs: draw(1) }]
    : [];
  return [{ from: 0, byMs: draw(0) }, ...jump];
}
