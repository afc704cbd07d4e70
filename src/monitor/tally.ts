import { compareUtf8, isJsonObject } from '../base/json.ts';
import type { Outcome } from './outcome.ts';
import { countsFrom, isCount, QuantileSketch } from './sketch.ts';

/** Labels of predictions that are told apart; more are counted together. */
const labelsMax = 256;
/** Under which those are counted. No label has this name, as labels are not empty. */
const otherLabels = '';

/** What predictions were, in the form in which two times can be compared. */
export interface Drift {
  /** Population stability index: 0 for the same distribution; 0.1 is taken for little, 0.25 for much. */
  readonly index: number;
  /** What chance alone makes of it with so few predictions, nearly always: three standard deviations above the mean. */
  readonly noise: number;
}

/** Counts of outcomes: how many, how fast, and what was predicted. Memory is bounded; two can be added. */
export class Tally {
  calls = 0;
  errors = 0;
  loads = 0;
  loadErrors = 0;
  /** Milliseconds of calls that succeeded. */
  readonly latency: QuantileSketch;
  /** Predictions that are numbers. */
  readonly values: QuantileSketch;
  /** Predictions that are texts. */
  readonly labels: Map<string, number>;

  constructor(
    latency = new QuantileSketch(),
    values = new QuantileSketch(),
    labels: Map<string, number> = new Map(),
  ) {
    this.latency = latency;
    this.values = values;
    this.labels = labels;
  }

  add({ kind, ok, latency_ms: latency, prediction, count }: Outcome): void {
    if (kind === 'load') {
      this.loads += count;
      if (!ok) this.loadErrors += count;
      return;
    }
    this.calls += count;
    if (!ok) this.errors += count;
    else if (latency !== undefined) this.latency.add(latency, count);
    if (typeof prediction === 'number') this.values.add(prediction, count);
    else if (prediction !== undefined) this.#addLabel(prediction, count);
  }

  #addLabel(label: string, count: number): void {
    const isRoom = this.labels.has(label) || this.labels.size < labelsMax;
    const name = isRoom ? label : otherLabels;
    this.labels.set(name, (this.labels.get(name) ?? 0) + count);
  }

  /** Adds all that another one counted. */
  merge(other: Tally): void {
    this.calls += other.calls;
    this.errors += other.errors;
    this.loads += other.loads;
    this.loadErrors += other.loadErrors;
    this.latency.merge(other.latency);
    this.values.merge(other.values);
    for (const [label, count] of other.labels) this.#addLabel(label, count);
  }

  /** Share of calls that failed; undefined where there were none. */
  get errorRate(): number | undefined {
    return this.calls === 0 ? undefined : this.errors / this.calls;
  }

  /** Predictions that were told. */
  get predictions(): number {
    let sum = this.values.count;
    for (const count of this.labels.values()) sum += count;
    return sum;
  }

  /** To be kept. */
  toJSON(): object {
    const { calls, errors, loads, loadErrors, latency, values, labels } = this;
    const counts = Object.fromEntries(labels);
    return { calls, errors, loads, loadErrors, latency, values, labels: counts };
  }

  /** Reads what {@link toJSON} gave; undefined where it is not of that form. */
  static from(value: unknown): Tally | undefined {
    if (!isJsonObject(value)) return undefined;
    const { calls, errors, loads, loadErrors } = value;
    const latency = QuantileSketch.from(value['latency']);
    const values = QuantileSketch.from(value['values']);
    const labels = countsFrom(value['labels'], labelsMax + 1);
    if (latency === undefined || values === undefined || labels === undefined) return undefined;
    if (!isCount(calls) || !isCount(errors) || !isCount(loads) || !isCount(loadErrors))
      return undefined;
    return Object.assign(new Tally(latency, values, labels), { calls, errors, loads, loadErrors });
  }
}

/** Parts that predictions which are numbers are cut into: tenths of what they were before. */
const valueParts = 10;

/**
 * Says how far predictions have moved from what they were, for texts and numbers by what there are more of.
 * Source of the index: Siddiqi, "Credit risk scorecards", 2006; of what chance makes of it: Yurdakul, "Statistical properties of
 * population stability index", 2018, by which it goes with a chi-square distribution.
 * @returns undefined where one of the two has no predictions
 */
export function driftOf(before: Tally, now: Tally): Drift | undefined {
  const areTexts = before.predictions > 2 * before.values.count;
  if (!areTexts) {
    const cuts = before.values.cuts(valueParts);
    return stabilityIndex(before.values.counts(cuts), now.values.counts(cuts));
  }
  const names = [...new Set([...before.labels.keys(), ...now.labels.keys()])].sort(compareUtf8);
  const of = ({ labels }: Tally) => names.map((name) => labels.get(name) ?? 0);
  return stabilityIndex(of(before), of(now));
}

function stabilityIndex(before: readonly number[], now: readonly number[]): Drift | undefined {
  const sum = (counts: readonly number[]) => counts.reduce((total, count) => total + count, 0);
  const [total, totalNow] = [sum(before), sum(now)];
  if (total === 0 || totalNow === 0) return undefined;
  const parts = before.length;
  // Half a prediction more in each part: a part that is empty on one side would make it infinite.
  const shareOf = (count: number, all: number) => (count + 0.5) / (all + 0.5 * parts);
  let index = 0;
  for (const [i, count] of before.entries()) {
    const [p, q] = [shareOf(count, total), shareOf(now[i] ?? 0, totalNow)];
    index += (q - p) * Math.log(q / p);
  }
  const freedom = parts - 1;
  const scale = 1 / total + 1 / totalNow;
  return { index, noise: scale * (freedom + 3 * Math.sqrt(2 * freedom)) };
}
