import { MstoreError } from '../base/errors.ts';
import { type Progress, silentProgress } from '../base/progress.ts';
import type { RemoteCallOptions, RemoteWriter } from '../remote/remote.ts';
import {
  type CleanUp,
  endSweep,
  listCleanUps,
  type Sweep,
  sweeperIsGone,
} from '../store/clean-up.ts';
import type { Surroundings } from './surroundings.ts';

/** A sweep deletes nothing later than this after it has begun. */
export const sweepMsMax = 40 * 60_000;
/** A sweep whose end was never told counts as over after this, by the clock of the place or for whoever saw it so long. */
export const lapsedMs = 60 * 60_000;
/** Nobody waits longer for sweeps that begin one after the other. */
const waitingMsMax = 3 * lapsedMs;
/** Objects of clean-ups are kept much longer than this: whoever works longer cannot rely on seeing them. */
const workMsMax = 24 * 60 * 60_000;
const waitMsMax = 2_000;

/** What a watch takes from its surroundings. */
type WatchSurroundings = Pick<Surroundings, 'clock' | 'sleep'>;

/** Options of {@link SweepWatch}. */
export interface WatchOptions extends RemoteCallOptions {
  readonly progress?: Progress | undefined;
  /** Whether no other machine is to be expected at the place; by default one is. */
  readonly isOwn?: boolean;
}

/**
 * Tells a writer whether a sweep may have taken away what it relied on. A sweep says that it begins, then reads
 * roots, then deletes. So a writer whose root is there before it looks for sweeps, and who finds none
 * that it has not seen ended before it began, knows that every later one reads its root. Otherwise it
 * waits for the end of those, and looks again at what is there. A mark gives roots up, also one on which a writer
 * relies who found it before: one that was not there at the last look is looked at as a sweep that was waited for.
 * Nothing depends on clocks, but that listings of the place are not stale.
 */
export class SweepWatch {
  readonly #place: RemoteWriter;
  readonly #surroundings: WatchSurroundings;
  readonly #options: WatchOptions;
  #since: { readonly wall: number; readonly monotonic: number };
  /** Sweeps that ended before the work began, or were waited for, and marks that were there. */
  #known: Known;

  private constructor(
    place: RemoteWriter,
    surroundings: WatchSurroundings,
    known: Known,
    options: WatchOptions,
  ) {
    this.#place = place;
    this.#surroundings = surroundings;
    this.#known = known;
    this.#options = options;
    this.#since = this.#now();
  }

  /**
   * Begins to watch; to be called before the index of the place is opened.
   * @param options `isEmpty` for a place that is not there yet
   */
  static async begin(
    place: RemoteWriter,
    surroundings: WatchSurroundings,
    { isEmpty = false, ...options }: WatchOptions & { readonly isEmpty?: boolean } = {},
  ): Promise<SweepWatch> {
    const { known } = sweepsOf(isEmpty ? [] : await listCleanUps(place, options));
    return new SweepWatch(place, surroundings, known, options);
  }

  /**
   * To be called when roots are published. Waits for sweeps that are under way.
   * @returns whether it must be looked again whether everything is there
   * @throws MstoreError `locked` when one sweep begins after the other
   */
  async mayHaveLost(): Promise<boolean> {
    const { signal, progress = silentProgress } = this.#options;
    const began = this.#now().monotonic;
    const seen = new Map<string, number>();
    let waits = 0;
    for (;;) {
      const { known, open } = sweepsOf(await listCleanUps(this.#place, this.#options));
      const isNews = open.length > 0 || [...known].some((name) => !this.#known.has(name));
      if (open.length === 0) {
        const tooLong = this.#worked() > workMsMax;
        this.#known = known;
        this.#since = this.#now();
        if (waits > 0) progress.finish();
        return isNews || tooLong;
      }
      if (await this.#endOver(open, seen)) continue;
      if (this.#now().monotonic - began > waitingMsMax) throw this.#stuck(open);
      if (waits === 0) progress.start('wait');
      await this.#surroundings.sleep(Math.min(50 * 2 ** waits++, waitMsMax), signal);
    }
  }

  /**
   * Ends sweeps that are over: their processes ran on this machine and are gone, or this watch has seen them for longer
   * than any goes on. Tells whether there were any.
   * @param seen when this watch saw each of them first
   */
  async #endOver(open: readonly OpenSweep[], seen: Map<string, number>): Promise<boolean> {
    let any = false;
    const { isOwn = false } = this.#options;
    for (const sweep of open) {
      const { id, number, begun } = sweep;
      const { wall, monotonic } = this.#now();
      const first = seen.get(nameOf(sweep)) ?? monotonic;
      seen.set(nameOf(sweep), first);
      const ageMs = begun === undefined || !isOwn ? 0 : wall - begun;
      const isOver =
        monotonic - first > lapsedMs ||
        (await sweeperIsGone(this.#place, id, { number, ageMs }, this.#options));
      if (!isOver) continue;
      await endSweep(this.#place, id, number, this.#options);
      any = true;
    }
    return any;
  }

  /** Clocks that count time asleep may jump, and those that do not jump do not count it. */
  #worked(): number {
    const { wall, monotonic } = this.#now();
    return Math.max(Math.abs(wall - this.#since.wall), monotonic - this.#since.monotonic);
  }

  #now(): { readonly wall: number; readonly monotonic: number } {
    const { clock } = this.#surroundings;
    return { wall: clock.now(), monotonic: clock.monotonic() };
  }

  #stuck(open: readonly OpenSweep[]): MstoreError {
    const { location } = this.#place;
    return new MstoreError(
      'locked',
      `Clean-ups of ${location} take things away one after the other: they may have removed what this needs`,
      {
        hint: 'Look who runs "mstore gc" in a loop, then run this command again',
        details: { location, sweeps: open.map(nameOf) },
      },
    );
  }
}

/** A sweep whose end was not told, of the clean-up `id`. */
type OpenSweep = Sweep & Pick<CleanUp, 'id'>;

function nameOf({ id, number }: OpenSweep): string {
  return `${id}/${number}`;
}

/** Names of sweeps that have ended, and of marks. */
type Known = ReadonlySet<string>;

function sweepsOf(cleanUps: readonly CleanUp[]): { known: Known; open: OpenSweep[] } {
  const all = cleanUps.flatMap(({ id, sweeps }) => sweeps.map((sweep) => ({ ...sweep, id })));
  const marks = cleanUps.filter(({ mark }) => mark !== undefined).map(({ id }) => `${id}/mark`);
  const ended = all.filter((sweep) => sweep.ended).map(nameOf);
  return { known: new Set([...marks, ...ended]), open: all.filter((sweep) => !sweep.ended) };
}
