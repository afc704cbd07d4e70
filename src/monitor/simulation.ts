import { type Digest, sha256 } from '../base/digest.ts';
import { EnvironmentMonitor, type LiveEntry } from './environment-monitor.ts';
import { type Measured, reasonOf } from './judge.ts';
import type { Outcome } from './outcome.ts';
import type { MonitorRules } from './rules.ts';
import { type PastEntry, type WayBack, wayBack, waysBack } from './way-back.ts';

/** A line of a recorded series, of one environment. */
export type SeriesLine = { readonly atMs: number } & (
  | { readonly kind: 'history'; readonly history: readonly PastEntry[] }
  | { readonly kind: 'outcomes'; readonly outcomes: readonly Outcome[] }
);

/** What a monitor would have done. */
export interface SimulatedAct {
  /** When, as ISO 8601 in UTC. */
  readonly at: string;
  readonly version: string;
  readonly act: 'moved' | 'would-move' | 'blocked';
  readonly to?: string;
  /** Why, in words: the rules that were broken, and what kept the environment where it is. */
  readonly reason: string;
  readonly blocked?: string;
  readonly measured: Measured;
}

/** Time between two looks of a simulated monitor, as of a real one. */
const lookMs = 5_000;
/** Looks between two lines: where little is told, they come less often. */
const looksMax = 100;

/**
 * Replays a recorded series of one environment against rules: what outcomes were told when, and what was live. When the rules bring the
 * environment back, that version is live until the series says that somebody moved it. Nothing is asked for but the series: whether files could be had and
 * loaded is not known, and checks of health are left out.
 */
export class Simulation {
  readonly acts: SimulatedAct[] = [];
  readonly #rules: MonitorRules;
  readonly #monitor: EnvironmentMonitor;
  #history: readonly PastEntry[] = [];
  #lookedMs = 0;
  #told = '';
  #calls = 0;

  constructor(rules: MonitorRules) {
    this.#rules = rules;
    this.#monitor = new EnvironmentMonitor(rules);
  }

  /** Calls that the series told of. */
  get calls(): number {
    return this.#calls;
  }

  /** Takes the next line; lines come in the order of their times. */
  take(line: SeriesLine): void {
    this.#pass(line.atMs);
    if (line.kind === 'history') this.#setHistory(line.history);
    for (const outcome of line.kind === 'outcomes' ? line.outcomes : []) {
      this.#monitor.take(outcome, line.atMs);
      if (outcome.kind === 'call') this.#calls += outcome.count;
    }
    // A monitor may look just now: whoever waits for its next look may be overtaken by what really was done.
    this.#look(line.atMs);
  }

  /** Ends the series: what came last is looked at too. */
  end(): void {
    this.#pass(this.#lookedMs + lookMs);
  }

  /** Looks as often as a monitor would have until then. */
  #pass(untilMs: number): void {
    if (this.#lookedMs === 0) this.#lookedMs = untilMs;
    const windowMs = this.#rules.windowSeconds * 1000;
    const step = Math.max(lookMs, windowMs / looksMax);
    // Behind the window nothing is left to be judged.
    const last = Math.min(untilMs, this.#lookedMs + windowMs);
    for (let now = this.#lookedMs + step; now <= last; now += step) {
      this.#look(now);
      this.#lookedMs = now;
    }
    if (untilMs - this.#lookedMs >= windowMs) this.#lookedMs = untilMs;
  }

  #setHistory(history: readonly PastEntry[]): void {
    this.#history = history;
    this.#monitor.setLive(this.#live());
  }

  #live(): LiveEntry | undefined {
    const last = this.#history.at(-1);
    if (last === undefined) return undefined;
    const number = this.#history.length;
    const digest: Digest = sha256(JSON.stringify([number, last.version, last.action, last.at]));
    const [before] = waysBack(this.#history);
    return { version: last.version, number, sha256: digest, sinceMs: Date.parse(last.at), before };
  }

  #look(now: number): void {
    const judgement = this.#monitor.judge(now);
    const [first] = judgement?.breaches ?? [];
    if (judgement === undefined || first === undefined) return;
    const { live, measured, breaches } = judgement;
    const at = new Date(now).toISOString();
    const way = wayBack(this.#history, () => true, this.#rules, now);
    const done = this.#actOf(way);
    const what = way.kind === 'blocked' ? way.why : done.act;
    this.#tell(`${live.number} ${what}`, {
      ...{ at, version: live.version, reason: reasonOf(breaches), measured },
      ...done,
    });
    const { act, to = '' } = done;
    if (act !== 'moved') return;
    this.#setHistory([...this.#history, { version: to, action: 'rollback', at, automatic: true }]);
  }

  #actOf(way: WayBack): Pick<SimulatedAct, 'act' | 'to' | 'blocked'> {
    if (way.kind === 'blocked') return { act: 'blocked', blocked: way.text };
    const [to = ''] = way.versions;
    return { act: this.#rules.mode === 'watch' ? 'would-move' : 'moved', to };
  }

  /** Tells of each thing once for an entry. */
  #tell(key: string, act: SimulatedAct): void {
    if (key === this.#told) return;
    this.#told = key;
    this.acts.push(act);
  }
}
