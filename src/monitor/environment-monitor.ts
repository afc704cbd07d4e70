import type { Digest } from '../base/digest.ts';
import { isJsonObject } from '../base/json.ts';
import { type Breach, breaches, type Measured, measure } from './judge.ts';
import type { Outcome } from './outcome.ts';
import type { MonitorRules } from './rules.ts';
import { isCount } from './sketch.ts';
import { Tally } from './tally.ts';

/** What is live in an environment. */
export interface LiveEntry {
  readonly version: string;
  /** Number and digest of the entry that made it so. */
  readonly number: number;
  readonly sha256: Digest;
  /** When, as milliseconds since 1970-01-01 UTC. */
  readonly sinceMs: number;
  /** The version that one would go back to: what this one is compared with. */
  readonly before: string | undefined;
}

/** What a monitor says of what is live. */
export interface Judgement {
  readonly live: LiveEntry;
  readonly measured: Measured;
  /** Checks and loads that failed in a row, of which there are more. */
  readonly failuresInRow: number;
  /** Whether outcomes count already. */
  readonly isSettled: boolean;
  readonly breaches: readonly Breach[];
}

/** The window is kept in so many parts, which leave it one by one. */
const slicesInWindow = 12;
/** What is known of a version before is of one to two times this. */
const generationMs = 24 * 60 * 60 * 1000;
/** Versions of an environment that something is known of. */
const versionsMax = 8;
/** Where there are no rules, outcomes are shown by the same window as usual. */
const windowSecondsUsual = 300;

interface Slice {
  /** Milliseconds since 1970. */
  readonly start: number;
  readonly tally: Tally;
}

/** What is known of a version: its last days. */
interface Known {
  since: number;
  now: Tally;
  before: Tally;
}

/** Watches one environment of a model: counts outcomes, and holds what is live against the rules. */
export class EnvironmentMonitor {
  readonly rules: MonitorRules | undefined;
  #live: LiveEntry | undefined;
  #slices: Slice[] = [];
  /** By version; what was heard of last stands last. */
  readonly #known = new Map<string, Known>();
  #failedChecks = 0;
  #failedLoads = 0;

  constructor(rules: MonitorRules | undefined) {
    this.rules = rules;
  }

  get live(): LiveEntry | undefined {
    return this.#live;
  }

  /** Versions that something is known of. */
  get versions(): string[] {
    return [...this.#known.keys()];
  }

  /** Takes note of what is live. What was counted of another entry says nothing of this one. */
  setLive(live: LiveEntry | undefined): void {
    if (live?.sha256 === this.#live?.sha256) return;
    this.#live = live;
    this.#slices = [];
    this.#failedChecks = 0;
    this.#failedLoads = 0;
  }

  /**
   * Counts an outcome.
   * @param now milliseconds since 1970: when it came
   * @returns versions that are forgotten for it
   */
  take(outcome: Outcome, now: number): string[] {
    const isLive = outcome.version === this.#live?.version;
    if (isLive && outcome.kind === 'load') {
      this.#failedLoads = outcome.ok ? 0 : this.#failedLoads + outcome.count;
    }
    if (isLive && !this.#isSettled(now)) return [];
    const known = this.#knownOf(outcome.version, now);
    known.now.add(outcome);
    if (isLive) this.#slice(now).add(outcome);
    const forgotten = this.versions.slice(0, -versionsMax);
    for (const version of forgotten) this.#known.delete(version);
    return forgotten;
  }

  /** Takes note of a check of the health of what is live. */
  checked(isHealthy: boolean): void {
    this.#failedChecks = isHealthy ? 0 : this.#failedChecks + 1;
  }

  #isSettled(now: number): boolean {
    const settleMs = (this.rules?.settleSeconds ?? 0) * 1000;
    return now >= (this.#live?.sinceMs ?? 0) + settleMs;
  }

  #knownOf(version: string, now: number): Known {
    let known = this.#known.get(version) ?? { since: now, now: new Tally(), before: new Tally() };
    if (now - known.since >= generationMs) {
      known = { since: now, now: new Tally(), before: known.now };
    }
    this.#known.delete(version);
    this.#known.set(version, known);
    return known;
  }

  get #windowMs(): number {
    return (this.rules?.windowSeconds ?? windowSecondsUsual) * 1000;
  }

  #slice(now: number): Tally {
    const last = this.#slices.at(-1);
    if (last !== undefined && now - last.start < this.#windowMs / slicesInWindow) return last.tally;
    this.#drop(now);
    const tally = new Tally();
    this.#slices.push({ start: now, tally });
    return tally;
  }

  /** Leaves out what is older than the window, and what is of a time that is still to come: a clock was set back. */
  #drop(now: number): void {
    this.#slices = this.#slices.filter(({ start }) => start <= now && now - start < this.#windowMs);
  }

  /** Says how what is live is doing; undefined where nothing is. */
  judge(now: number): Judgement | undefined {
    const live = this.#live;
    if (live === undefined) return undefined;
    this.#drop(now);
    const window = new Tally();
    for (const { tally } of this.#slices) window.merge(tally);
    const rules = this.rules ?? noRules;
    const measured = measure(rules, window, this.#baseline(live.before));
    const failuresInRow = Math.max(this.#failedChecks, this.#failedLoads);
    const isSettled = this.#isSettled(now);
    const found = [...this.#healthBreach(rules, failuresInRow), ...breaches(rules, measured)];
    return { live, measured, failuresInRow, isSettled, breaches: found };
  }

  #healthBreach({ healthFailures }: MonitorRules, failuresInRow: number): Breach[] {
    if (healthFailures === undefined || failuresInRow < healthFailures) return [];
    const what = this.#failedChecks >= this.#failedLoads ? 'checks of health' : 'loads on hosts';
    const text = `${failuresInRow} ${what} failed in a row, of ${healthFailures} that are allowed to`;
    return [{ rule: 'health_failures', value: failuresInRow, limit: healthFailures, text }];
  }

  #baseline(version: string | undefined): Tally | undefined {
    const known = version === undefined ? undefined : this.#known.get(version);
    if (known === undefined) return undefined;
    const both = new Tally();
    both.merge(known.before);
    both.merge(known.now);
    return both;
  }

  /** What a monitor that takes over has to know. */
  toJSON(): object {
    const { sha256 } = this.#live ?? {};
    const known = [...this.#known].map(([version, { since, now, before }]) => ({
      ...{ version, since, now, before },
    }));
    return { live: sha256 ?? null, slices: this.#slices, known };
  }

  /**
   * Takes over what {@link toJSON} gave of the same environment. What is not of that form, or of another entry, is left out.
   */
  restore(value: unknown): void {
    if (!isJsonObject(value)) return;
    const { live, slices, known } = value;
    for (const item of Array.isArray(known) ? (known as unknown[]).slice(-versionsMax) : []) {
      if (!isJsonObject(item) || typeof item['version'] !== 'string') continue;
      const [now, before] = [Tally.from(item['now']), Tally.from(item['before'])];
      if (now === undefined || before === undefined || !isCount(item['since'])) continue;
      this.#known.set(item['version'], { since: item['since'], now, before });
    }
    if (this.#live === undefined || live !== this.#live.sha256 || !Array.isArray(slices)) return;
    const taken = (slices as unknown[]).slice(-slicesInWindow - 1).flatMap((slice): Slice[] => {
      const tally = isJsonObject(slice) ? Tally.from(slice['tally']) : undefined;
      const start = isJsonObject(slice) ? slice['start'] : undefined;
      return tally === undefined || !isCount(start) ? [] : [{ start, tally }];
    });
    this.#slices = taken;
  }
}

/** Where there are no rules nothing is broken. */
const noRules: MonitorRules = {
  name: '',
  mode: 'watch',
  windowSeconds: windowSecondsUsual,
  minCalls: 100,
  healthSeconds: 0,
  settleSeconds: 0,
  cooldownSeconds: 0,
  rollbacksPerDay: 1,
};
