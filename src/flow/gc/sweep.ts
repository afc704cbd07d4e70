import { throwIfAborted } from '../../base/abort.ts';
import { mapConcurrently } from '../../base/concurrency.ts';
import type { Digest } from '../../base/digest.ts';
import { isMstoreError, type MstoreError } from '../../base/errors.ts';
import { silentProgress } from '../../base/progress.ts';
import {
  beginSweep,
  type CleanUp,
  endSweep,
  listCleanUps,
  type Mark,
  markKey,
  readMark,
  sweeperIsGone,
  sweepKey,
} from '../../store/clean-up.ts';
import { indexKey, packKey, recipeKey } from '../../store/keys.ts';
import { readRemoteRows } from '../../store/remote-rows.ts';
import { RemoteStore, type TransferOptions } from '../../store/remote-store.ts';
import type { WorkOptions } from '../add.ts';
import { lapsedMs, sweepMsMax } from '../sweep-watch.ts';
import type { Workspace } from '../workspace.ts';
import { type GcPlace, isOwn } from './place.ts';
import { Reach } from './reach.ts';
import { isRefusedDeletion, type RefusedDeletions } from './refused.ts';
import { placeRoots, recordsToGiveUp } from './roots.ts';
import { contested, refuseMissing, tooSlow } from './sweep-errors.ts';

/** What is over is told to writers for this long, by the clock of the place. */
const historyMs = 14 * 24 * 60 * 60_000;

/** Times that a sweep is tried while others are under way. */
const triesMax = 60;
const pauseMsMax = 10_000;
/** The same where tries take long. */
const slowPauseMsMax = 5 * 60_000;
/** Sweeps in a row without any result before it is given up. */
const fruitlessMax = 3;

/** What sweeps removed. */
export interface Swept {
  packs: number;
  recipes: number;
  indexes: number;
  roots: number;
  bytes: number;
  /** Packs that are needed again since they were marked. */
  rescued: number;
}

/** A mark that waits for its time. */
export interface PendingMark {
  readonly id: string;
  readonly bytes: number;
  readonly packs: number;
  readonly reason: string;
  /** Until it may be swept, by the clock of the place. */
  readonly dueInSeconds: number;
}

/** When a sweep began. */
interface SweepBegun {
  /** By the clocks of this host. */
  readonly wall: number;
  readonly monotonic: number;
  /** By the clock of the place, which not every place tells. */
  readonly placeNow: number | undefined;
}

/** What {@link sweepPlace} did. */
export interface SweepResult {
  readonly swept: Swept;
  readonly pending: readonly PendingMark[];
  /** Copies that were found damaged, so that the packs with the other copies stay. */
  readonly damage: readonly MstoreError[];
  readonly refused: RefusedDeletions;
}

/** Takes away what marks name whose time has come, and nothing that is needed. */
export async function sweepPlace(
  workspace: Workspace,
  place: GcPlace,
  options: WorkOptions = {},
): Promise<SweepResult> {
  const sweeper = new Sweeper(workspace, place, options);
  return sweeper.run();
}

class Sweeper {
  readonly #workspace: Workspace;
  readonly #place: GcPlace;
  readonly #transfer: TransferOptions;
  readonly #options: WorkOptions;
  readonly #swept: Swept = { packs: 0, recipes: 0, indexes: 0, roots: 0, bytes: 0, rescued: 0 };
  readonly #pending: PendingMark[] = [];
  readonly #damage: MstoreError[] = [];
  readonly #refused: RefusedDeletions = { objects: 0, bytes: 0 };
  /** Sweeps in a row that had no time left to remove anything. */
  #fruitless = 0;

  constructor(workspace: Workspace, place: GcPlace, options: WorkOptions) {
    this.#workspace = workspace;
    this.#place = place;
    this.#options = options;
    const { jobs, requestsMax } = place;
    this.#transfer = { signal: options.signal, jobs, requestsMax };
  }

  async run(): Promise<SweepResult> {
    const { remote } = this.#place;
    const marked = (await listCleanUps(remote, this.#transfer)).filter(
      ({ mark }) => mark !== undefined,
    );
    let now: number | undefined;
    for (const state of marked) {
      if (now !== undefined && (await this.#isPending(state, now))) continue;
      for (let tries = 0, isDone = false; !isDone; tries++) {
        throwIfAborted(this.#options.signal);
        if (tries > triesMax) throw contested(this.#place);
        const one = await this.#sweepOne(state.id);
        now = one.now ?? now;
        isDone = one.isDone;
        if (!isDone) await this.#pause(tries, one.inTheWayMs);
      }
    }
    if (now !== undefined) await this.#clearHistory(now);
    const [swept, refused] = [this.#swept, this.#refused];
    return { swept, pending: this.#pending, damage: this.#damage, refused };
  }

  /** Tells whether the time of a mark has not come, and notes it then. */
  async #isPending(state: CleanUp, now: number | undefined): Promise<boolean> {
    const mark = await this.#markOf(state.id, state);
    if (mark === undefined) return false;
    const dueInMs = dueIn(mark, state, now);
    if (dueInMs <= 0) return false;
    const { id, bytes, packs, reason } = mark;
    const dueInSeconds = Math.ceil(dueInMs / 1000);
    this.#pending.push({ id, bytes, packs: packs.length, reason, dueInSeconds });
    return true;
  }

  /**
   * Sweeps one mark if its time has come.
   * @returns what the clock of the place says, whether nothing is left to do now, and how long it was in the way of
   * another one
   */
  async #sweepOne(
    id: string,
  ): Promise<{ now: number | undefined; isDone: boolean; inTheWayMs?: number }> {
    const { remote } = this.#place;
    const number = this.#workspace.surroundings.random.hex(4);
    const { clock } = this.#workspace.surroundings;
    // For others it may be over so long after they see it: the answer may come late.
    const begun = { wall: clock.now(), monotonic: clock.monotonic() };
    await beginSweep(remote, id, number, this.#transfer);
    try {
      const all = await listCleanUps(remote, this.#transfer);
      const state = all.find((one) => one.id === id);
      const now = state?.sweeps.find((sweep) => sweep.number === number)?.begun;
      // Two at once might each take away the copy that the other one leaves.
      if (await this.#isContested(all, `${id}/${number}`, now))
        return { now, isDone: false, inTheWayMs: clock.monotonic() - begun.monotonic };
      if (state === undefined || (await this.#isPending(state, now))) return { now, isDone: true };
      const mark = await this.#markOf(id, state);
      if (mark === undefined) return { now, isDone: true };
      // Roots are read from here on: whoever saw no sweep when its root was there is seen.
      const before = removedOf(this.#swept);
      const isDone = await this.#sweepInTime(mark, { ...begun, placeNow: now });
      // A clock that was set looks like time that has passed: that happens once.
      const isFruitless = !isDone && removedOf(this.#swept) === before;
      this.#fruitless = isFruitless ? this.#fruitless + 1 : 0;
      if (this.#fruitless === fruitlessMax) throw tooSlow(this.#place);
      if (isDone) await this.#delete(markKey(id), 0);
      return { now, isDone };
    } finally {
      // Nothing is deleted any more by this process, however it ended.
      await endSweep(remote, id, number, { requestsMax: this.#place.requestsMax });
    }
  }

  /** Tells whether another sweep is under way; ends those that were broken off. */
  async #isContested(
    all: readonly CleanUp[],
    own: string,
    now: number | undefined,
  ): Promise<boolean> {
    const { remote } = this.#place;
    let isContested = false;
    for (const { id, sweeps } of all) {
      for (const { number, begun, ended } of sweeps) {
        if (ended || `${id}/${number}` === own) continue;
        const ageMs = now === undefined || begun === undefined ? 0 : now - begun;
        const sweep = { number, ageMs: isOwn(this.#place) ? ageMs : 0 };
        const isOver = ageMs > lapsedMs || (await sweeperIsGone(remote, id, sweep, this.#transfer));
        if (isOver) await endSweep(remote, id, number, this.#transfer);
        else isContested = true;
      }
    }
    return isContested;
  }

  /** Waits, longer each time, not as long as others, and soon for longer than it is in their way with each try. */
  #pause(tries: number, tookMs = 0): Promise<void> {
    const { random, sleep } = this.#workspace.surroundings;
    const most = Math.min(slowPauseMsMax, Math.max(pauseMsMax, 8 * tookMs));
    const ms = Math.min(most, (100 + tookMs) * 2 ** tries) * (0.5 + random.fraction());
    return sleep(ms, this.#options.signal);
  }

  /** Reads a mark; undefined when it was taken back. */
  async #markOf(id: string, state: CleanUp | undefined): Promise<Mark | undefined> {
    if (state?.mark === undefined) return undefined;
    return readMark(this.#place.remote, id, this.#transfer);
  }

  /**
   * Sweeps. What is missing when its time is over is no damage: for others it had ended, and they may have taken away
   * what it had seen.
   * @returns whether all was done that was to be done
   */
  async #sweepInTime(mark: Mark, begun: SweepBegun): Promise<boolean> {
    try {
      return await this.#sweep(mark, begun);
    } catch (error) {
      const mayPass = isMstoreError(error, 'corrupt-remote', 'not-found');
      if (!mayPass || this.#hasTime(begun)) throw error;
      return false;
    }
  }

  /** Tells whether a sweep has time left, by two clocks: one may stand still while the host sleeps, one may be set. */
  #hasTime({ wall, monotonic }: SweepBegun): boolean {
    const { clock } = this.#workspace.surroundings;
    return Math.max(Math.abs(clock.now() - wall), clock.monotonic() - monotonic) < sweepMsMax;
  }

  /** @returns whether all was done that was to be done */
  async #sweep(mark: Mark, begun: SweepBegun): Promise<boolean> {
    const { remote } = this.#place;
    const without = await recordsToGiveUp(this.#place, mark, begun.placeNow, this.#transfer);
    const { kept } = await placeRoots(
      this.#workspace,
      this.#place,
      // What a policy gave up elsewhere is in the records that the mark names.
      this.#place.isLocal ? { policy: mark.policy } : {},
      { without, placeNow: undefined },
      this.#transfer,
    );
    // After the roots: what they lead to is in it.
    const there = await RemoteStore.open(remote, this.#workspace.store, new Set(mark.packs));
    const index = await there.index(this.#transfer);
    const reach = new Reach(there, this.#workspace.store, this.#transfer);
    await reach.add(kept);
    if (!this.#place.isLocal) refuseMissing(this.#place, reach);
    const doomed = mark.packs.filter((pack) => {
      const isNeeded = reach.usedRows(pack) !== undefined;
      if (isNeeded) this.#swept.rescued++;
      return !isNeeded;
    });
    const gone = await this.#withSoundCopies(doomed, there, reach);
    // A process that was killed may have made the copies that stay, and not flushed their names.
    await remote.settle?.(this.#transfer);
    const mayGoOn = () => {
      throwIfAborted(this.#options.signal);
      return this.#hasTime(begun);
    };
    const progress = this.#options.progress ?? silentProgress;
    const remove = async (keys: readonly string[], sizeOf: (key: string) => number) => {
      const removed = new Set<string>();
      await mapConcurrently(keys, this.#transfer.jobs, async (key) => {
        const bytes = sizeOf(key);
        if (!mayGoOn() || !(await this.#delete(key, bytes))) return;
        this.#swept.bytes += bytes;
        progress.advance({ bytes });
        removed.add(key);
      });
      return removed;
    };
    const { objects: refusedBefore } = this.#refused;
    // What names something goes before it, so that nothing ever names what is not there.
    this.#swept.roots += (await remove([...without], () => 0)).size;
    // A record that stays keeps what it names, and so does a recipe.
    if (this.#refused.objects > refusedBefore) return mayGoOn();
    const recipes = mark.recipes.filter((blob) => !reach.needsRecipe(blob));
    this.#swept.recipes += (await remove(recipes.map(recipeKey), () => 0)).size;
    if (this.#refused.objects > refusedBefore) return mayGoOn();
    const orphans = mark.indexes.filter((pack) => index.pack(pack) === undefined);
    this.#swept.indexes += (await remove(orphans.map(indexKey), () => 0)).size;
    if (!mayGoOn()) return false;
    const sizes = new Map(gone.map((pack) => [packKey(pack), index.pack(pack)?.packBytes ?? 0]));
    const unnamed = await remove(gone.map(indexKey), () => 0);
    const packs = gone.filter((pack) => unnamed.has(indexKey(pack))).map(packKey);
    this.#swept.packs += (await remove(packs, (key) => sizes.get(key) ?? 0)).size;
    return mayGoOn();
  }

  /**
   * Deletes an object; where the place does not let us, it is noted.
   * @returns whether it is gone
   */
  async #delete(key: string, bytes: number): Promise<boolean> {
    try {
      await this.#place.remote.delete(key, this.#transfer);
      return true;
    } catch (error) {
      if (!isRefusedDeletion(error)) throw error;
      this.#refused.error ??= error;
      this.#refused.objects++;
      this.#refused.bytes += bytes;
      return false;
    }
  }

  /**
   * Leaves out packs with chunks that are needed and whose other copies, which would be the only ones then, are
   * damaged: what stays is read and verified before what goes is deleted.
   */
  async #withSoundCopies(
    doomed: readonly Digest[],
    there: RemoteStore,
    reach: Reach,
  ): Promise<Digest[]> {
    const index = await there.index(this.#transfer);
    const owners = new Map<string, Set<Digest>>();
    const wanted = new Map<Digest, Set<number>>();
    for (const pack of doomed) {
      const entry = index.pack(pack);
      if (entry === undefined) continue;
      const footer = await there.footerOf(entry, this.#transfer);
      for (let row = 0; row < footer.count; row++) {
        const place = index.find(footer.bytes, footer.idOffset(row));
        if (place === undefined || place.pack.id === pack) continue;
        if (!reach.isUsed(place.pack.id, place.number)) continue;
        wanted.set(place.pack.id, (wanted.get(place.pack.id) ?? new Set()).add(place.number));
        const name = `${place.pack.id} ${place.number}`;
        owners.set(name, (owners.get(name) ?? new Set()).add(pack));
      }
    }
    const keep = new Set<Digest>();
    for (const [pack, rows] of wanted) {
      const entry = index.pack(pack);
      if (entry === undefined) continue;
      const footer = await there.footerOf(entry, this.#transfer);
      const sorted = [...rows].sort((a, b) => a - b);
      for await (const { row, damage } of readRemoteRows(
        this.#place.remote,
        footer,
        sorted,
        this.#transfer,
      )) {
        if (damage === undefined) continue;
        this.#damage.push(damage);
        for (const owner of owners.get(`${pack} ${row}`) ?? []) keep.add(owner);
      }
    }
    return doomed.filter((pack) => !keep.has(pack));
  }

  /** Takes away what tells of sweeps that are long over. */
  async #clearHistory(now: number): Promise<void> {
    const { remote } = this.#place;
    for (const { id, mark, sweeps } of await listCleanUps(remote, this.#transfer)) {
      for (const { number, begun, ended } of sweeps) {
        const ageMs = begun === undefined ? Number.POSITIVE_INFINITY : now - begun;
        if (ended && ageMs > historyMs && mark === undefined) {
          // In this order: a sweep that seems to be under way would hold writers up.
          if (await this.#delete(sweepKey(id, number, 'sweep'), 0)) {
            await this.#delete(sweepKey(id, number, 'swept'), 0);
          }
        }
      }
    }
  }
}

function removedOf({ packs, recipes, indexes, roots }: Swept): number {
  return packs + recipes + indexes + roots;
}

/** Milliseconds until a mark may be swept. Where the place tells no time, only marks without grace are. */
function dueIn({ graceMs }: Mark, state: CleanUp | undefined, now: number | undefined): number {
  if (graceMs === 0) return 0;
  const marked = state?.mark?.time;
  if (marked === undefined || now === undefined) return graceMs;
  return graceMs - (now - marked);
}
