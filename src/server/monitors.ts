import * as path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { mapConcurrently } from '../base/concurrency.ts';
import { isMstoreError, MstoreError } from '../base/errors.ts';
import { printable } from '../base/names.ts';
import { modelHealth } from '../flow/health.ts';
import { type BadVersion, goBack, type MonitorAct, readLive } from '../flow/monitor.ts';
import { remoteRegistry } from '../flow/registry.ts';
import type { ChosenRemote } from '../flow/remotes.ts';
import type { Workspace } from '../flow/workspace.ts';
import { EnvironmentMonitor, type Judgement } from '../monitor/environment-monitor.ts';
import { reasonOf } from '../monitor/judge.ts';
import type { Outcome } from '../monitor/outcome.ts';
import { type MonitorRules, rulesFor } from '../monitor/rules.ts';
import type { EnvironmentEntry } from '../registry/entry.ts';
import { environmentLog } from '../registry/registry.ts';
import { MonitorState } from './monitor-state.ts';
import type { MonitorEvent } from './notify.ts';
import type { Recorder } from './recorder.ts';

/** Time between two looks at what is live. */
const lookEveryMs = 15_000;
/** The same where hosts tell of other versions. */
const followEveryMs = 2_000;
/** What could not be done is tried again after so long. */
const retryMs = 60_000;
/** What was counted is written to the disk so often. */
const saveEveryMs = 30_000;
/** Entries of one environment that are told of at once. */
const entriesToldMax = 20;
const readsAtOnce = 8;

/** Where a monitor writes what it does. */
export interface MonitorLog {
  info(facts: object, text: string): void;
  warn(facts: object, text: string): void;
}

/** What monitors are made from. */
export interface MonitorsOptions {
  readonly workspace: Workspace;
  readonly chosen: ChosenRemote;
  readonly rules: ReadonlyMap<string, MonitorRules>;
  /** Who stands in the history. */
  readonly by: string;
  /** Absolute folder of the server, in which is kept what was counted. */
  readonly stateFolder: string;
  readonly log: MonitorLog;
  /** Milliseconds between two looks at what was counted. */
  readonly judgeEveryMs: number;
  /** Told of each entry that comes to an environment, and of what monitors do; undefined where nobody asked. */
  readonly notify: ((event: MonitorEvent) => void) | undefined;
  readonly recorder: Recorder | undefined;
  readonly metrics: {
    outcome(place: PlaceName, outcome: Outcome): void;
    judged(place: PlaceName, judgement: Judgement): void;
    acted(place: PlaceName, act: MonitorAct): void;
    forget(place: PlaceName, version: string): void;
  };
}

/** An environment of a model. */
export interface PlaceName {
  readonly model: string;
  readonly environment: string;
}

/** One environment that is watched. */
interface Watched extends PlaceName {
  readonly monitor: EnvironmentMonitor;
  /** What was last done of rules that are broken, and for which entry. */
  last?: { readonly number: number; readonly at: string; readonly act: MonitorAct };
  retryAt: number;
  followAt: number;
  healthAt: number;
}

/**
 * Watches environments: counts the outcomes that hosts tell of, looks after the health of what is live, and brings an environment back
 * whose version breaks the rules.
 */
export class Monitors {
  readonly #options: MonitorsOptions;
  readonly #state: MonitorState;
  readonly #watched = new Map<string, Promise<Watched>>();
  /** Numbers of the last entries, by environment; undefined before the first look. */
  #numbers: Map<string, number> | undefined;
  readonly #stop = new AbortController();
  #loops: Promise<unknown> = Promise.resolve();
  #lookAt = 0;
  #saveAt = 0;

  constructor(options: MonitorsOptions) {
    this.#options = options;
    this.#state = new MonitorState(path.join(options.stateFolder, 'monitor.json'));
  }

  /** Begins to watch. */
  start(): void {
    this.#saveAt = this.#now() + saveEveryMs;
    this.#loops = Promise.all([
      this.#loop(() => this.#turn()),
      this.#loop(() => this.#checkHealth()),
    ]);
  }

  /** Ends it, and keeps what was counted. */
  async close(): Promise<void> {
    this.#stop.abort();
    await this.#loops;
    await this.#save();
  }

  async #loop(turn: () => Promise<void>): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      try {
        await turn();
      } catch (error) {
        if (!signal.aborted) this.#warn('monitor', error);
      }
      await delay(this.#options.judgeEveryMs, undefined, { signal }).catch(() => {});
    }
  }

  #warn(what: string, error: unknown): void {
    const text = isMstoreError(error) ? error.message : 'A fault of the monitor';
    this.#options.log.warn({ err: error, what }, text);
  }

  #now(): number {
    return this.#options.workspace.surroundings.clock.now();
  }

  async #turn(): Promise<void> {
    const now = this.#now();
    if (now >= this.#lookAt || this.#lookAt > now + lookEveryMs) {
      this.#lookAt = now + lookEveryMs;
      await this.#look();
    }
    for (const watched of await this.#all()) {
      await this.#alone('judge', () => this.#judge(watched));
    }
    if (now < this.#saveAt) return;
    this.#saveAt = now + saveEveryMs;
    await this.#save();
  }

  async #all(): Promise<Watched[]> {
    const settled = await Promise.allSettled(this.#watched.values());
    return settled.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
  }

  /** Finds out what is live now. */
  async #look(): Promise<void> {
    const { rules, notify, chosen } = this.#options;
    const hasRules = rules.size > 0;
    if (!hasRules && notify === undefined && this.#watched.size === 0) return;
    const numbers = new Map<string, number>();
    const places: PlaceName[] = [];
    for (const { model, environments } of await remoteRegistry(chosen, this.#call).names()) {
      for (const [environment, number] of environments) {
        numbers.set(keyOf({ model, environment }), number);
        places.push({ model, environment });
      }
    }
    const known = this.#numbers;
    this.#numbers ??= numbers;
    await mapConcurrently(places, readsAtOnce, (place) =>
      this.#alone('look', async () => {
        const key = keyOf(place);
        const number = numbers.get(key) ?? 0;
        const isWatched = this.#watched.has(key);
        const watchesHealth = this.#rulesOf(place)?.healthFailures !== undefined;
        if (isWatched || watchesHealth) await this.#refresh(await this.watch(place), number);
        if (known === undefined) return;
        await this.#tell(place, known.get(key) ?? 0, number);
        known.set(key, number);
      }),
    );
  }

  /** Does something about one environment: what fails there, such as a damaged history, is no matter of the others. */
  async #alone(what: string, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (!this.#stop.signal.aborted) this.#warn(what, error);
    }
  }

  get #call(): { readonly signal: AbortSignal } {
    return { signal: this.#stop.signal };
  }

  #rulesOf({ model, environment }: PlaceName): MonitorRules | undefined {
    return rulesFor(this.#options.rules, model, environment);
  }

  /** Tells of the entries that came to an environment. */
  async #tell({ model, environment }: PlaceName, seen: number, last: number): Promise<void> {
    const { notify, chosen } = this.#options;
    if (notify === undefined) return;
    const registry = remoteRegistry(chosen, this.#call);
    for (let number = Math.max(seen, last - entriesToldMax) + 1; number <= last; number++) {
      const log = environmentLog(model, environment);
      const { sha256, value } = await registry.entry<EnvironmentEntry>(log, number);
      notify({ id: sha256, type: 'environment.moved', at: value.at, data: { ...value } });
    }
  }

  /**
   * Finds an environment that is watched, or begins to watch it.
   * @throws MstoreError `unknown-environment` where nothing was ever live there
   */
  watch(place: PlaceName): Promise<Watched> {
    const key = keyOf(place);
    const known = this.#watched.get(key);
    if (known !== undefined) return known;
    const watched = this.#begin(place);
    this.#watched.set(key, watched);
    // What failed is tried again by whoever asks next.
    watched.catch(() => this.#watched.delete(key));
    return watched;
  }

  async #begin({ model, environment }: PlaceName): Promise<Watched> {
    const monitor = new EnvironmentMonitor(this.#rulesOf({ model, environment }));
    const watched = { model, environment, monitor, retryAt: 0, followAt: 0, healthAt: 0 };
    await this.#refresh(watched, undefined);
    if (monitor.live === undefined) {
      throw new MstoreError(
        'unknown-environment',
        `Nothing of ${printable(model)} was ever live in ${printable(environment)}`,
        { hint: 'Deploy a version there first', details: { model, environment } },
      );
    }
    monitor.restore(this.#state.take(keyOf(watched)));
    return watched;
  }

  /** @param number of the last entry, where that is known */
  async #refresh(watched: Watched, number: number | undefined): Promise<void> {
    const { model, environment, monitor } = watched;
    if (number !== undefined && monitor.live?.number === number) return;
    const registry = remoteRegistry(this.#options.chosen, this.#call);
    const live = await readLive(registry, model, environment);
    if (live?.entry.sha256 === monitor.live?.sha256) return;
    monitor.setLive(live?.entry);
    if (live === undefined) return;
    this.#options.recorder?.note({ model, environment, history: live.history });
  }

  /** Counts outcomes that a host tells of. */
  async take(place: PlaceName, outcomes: readonly Outcome[]): Promise<void> {
    const { metrics, recorder } = this.#options;
    const watched = await this.watch(place);
    const now = this.#now();
    // What is told counts, whether or not it can be found out what is live.
    await this.#follow(watched, outcomes, now).catch((error) => this.#warn('look', error));
    for (const outcome of outcomes) {
      metrics.outcome(place, outcome);
      for (const version of watched.monitor.take(outcome, now)) metrics.forget(place, version);
    }
    recorder?.note({ ...place, outcomes });
  }

  /** A host that runs another version than is known to be live may know better. */
  async #follow(watched: Watched, outcomes: readonly Outcome[], now: number): Promise<void> {
    const { live } = watched.monitor;
    const isOther = outcomes.some(({ version }) => version !== live?.version);
    const isDue = now >= watched.followAt || watched.followAt > now + followEveryMs;
    if (!isOther || !isDue) return;
    watched.followAt = now + followEveryMs;
    const { model, environment } = watched;
    const registry = remoteRegistry(this.#options.chosen, this.#call);
    const number = await registry.lastNumber(environmentLog(model, environment));
    await this.#refresh(watched, number);
  }

  async #judge(watched: Watched): Promise<void> {
    const { model, environment, monitor } = watched;
    const { metrics } = this.#options;
    const now = this.#now();
    const judgement = monitor.judge(now);
    if (judgement === undefined) return;
    metrics.judged(watched, judgement);
    const { live, measured, breaches } = judgement;
    const [first, ...rest] = breaches;
    const { rules } = monitor;
    if (rules === undefined || first === undefined) return;
    const isKnown = watched.last?.number === live.number;
    if (isKnown && now < watched.retryAt && watched.retryAt <= now + retryMs) return;
    watched.retryAt = now + retryMs;
    const bad: BadVersion = {
      ...{ model, environment, live, rules, measured },
      breaches: [first, ...rest],
    };
    await this.#act(watched, bad);
  }

  async #act(watched: Watched, bad: BadVersion): Promise<void> {
    const { model, environment, live } = bad;
    const { workspace, chosen, by, log, metrics, notify } = this.#options;
    const act = await goBack(workspace, bad, { remote: chosen, by, ...this.#call });
    const at = new Date(this.#now()).toISOString();
    const { last } = watched;
    const isNews = last?.number !== live.number || last.act.act !== act.act;
    watched.last = { number: live.number, at, act };
    metrics.acted(watched, act);
    if (act.act === 'moved' || act.act === 'overtaken') {
      // What is live now is another one, and is judged by what comes from now on.
      await this.#refresh(watched, undefined);
    }
    const text = reasonOf(bad.breaches);
    const facts = { act: `monitor: ${act.act}`, by, model, environment, version: live.version };
    if (!isNews) return;
    log.warn({ ...act, ...facts, number: live.number }, text);
    if (act.act !== 'would-move' && act.act !== 'blocked') return;
    notify?.({
      id: `${live.sha256}-${act.act}`,
      type: act.act === 'blocked' ? 'monitor.blocked' : 'monitor.would-move',
      at,
      data: {
        model,
        environment,
        version: live.version,
        number: live.number,
        reason: text,
        ...act,
      },
    });
  }

  /** Looks after the health of what is live, where rules ask for that. */
  async #checkHealth(): Promise<void> {
    const { workspace, chosen } = this.#options;
    const { signal } = this.#stop;
    for (const watched of await this.#all()) {
      const { model, monitor } = watched;
      const { rules, live } = monitor;
      const now = this.#now();
      const everyMs = (rules?.healthSeconds ?? 0) * 1000;
      const isDue = now >= watched.healthAt || watched.healthAt > now + everyMs;
      if (rules?.healthFailures === undefined || live === undefined || !isDue) continue;
      watched.healthAt = now + everyMs;
      // That the remote cannot be asked says nothing of the version.
      await this.#alone('health', async () => {
        const registry = remoteRegistry(chosen, { signal });
        const remotes = async () => [chosen];
        const question = { model, selector: live.version, remotes, signal };
        const { status } = await modelHealth(workspace, registry, question);
        if (monitor.live?.sha256 === live.sha256) monitor.checked(status !== 'unavailable');
      });
    }
  }

  async #save(): Promise<void> {
    const all = await this.#all();
    this.#state.save(all.map((watched) => [keyOf(watched), watched.monitor]));
  }

  /** How the environments of a model are doing that are watched. */
  async states(model: string): Promise<WatchedState[]> {
    const all = (await this.#all()).filter((watched) => watched.model === model);
    const now = this.#now();
    return all.map(({ environment, monitor, last }) => {
      const judgement = monitor.judge(now);
      return { environment, rules: monitor.rules, judgement, last };
    });
  }
}

/** How an environment is doing. */
export interface WatchedState {
  readonly environment: string;
  readonly rules: MonitorRules | undefined;
  readonly judgement: Judgement | undefined;
  readonly last: Watched['last'];
}

function keyOf({ model, environment }: PlaceName): string {
  return `${model}@${environment}`;
}
