import { formatMetric } from './format.ts';
import type { VersionSummary } from './wire.ts';

/** The value of a metric of one version. */
export interface Point {
  /** Place of the version among all of them, the oldest one 0. */
  readonly index: number;
  readonly version: string;
  readonly value: number;
  readonly live: readonly string[];
}

/** A metric over versions. */
export interface Series {
  readonly metric: string;
  /** Versions that have the metric, the oldest first. */
  readonly points: readonly Point[];
  /** Number of all versions. */
  readonly versions: number;
}

/** Lists the metrics of some versions: those that most of them have first. */
export function metricNames(versions: readonly VersionSummary[]): string[] {
  const counts = new Map<string, number>();
  for (const { metrics } of versions) {
    for (const name of Object.keys(metrics)) counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  return [...counts].sort(([a, x], [b, y]) => y - x || (a < b ? -1 : 1)).map(([name]) => name);
}

/** Gathers one metric of versions, which come with the latest first. */
export function seriesOf(versions: readonly VersionSummary[], metric: string): Series {
  const points = versions.toReversed().flatMap(({ version, metrics, live }, index): Point[] => {
    const value = Object.hasOwn(metrics, metric) ? metrics[metric] : undefined;
    return value === undefined ? [] : [{ index, version, value, live }];
  });
  return { metric, points, versions: versions.length };
}

/** Finds the lowest and the highest point; of several that are alike, the newest. */
function extremes(points: readonly Point[]): { low: Point; high: Point } | undefined {
  const [first] = points;
  if (first === undefined) return undefined;
  let [low, high] = [first, first];
  for (const point of points) {
    if (point.value <= low.value) low = point;
    if (point.value >= high.value) high = point;
  }
  return { low, high };
}

/** Where the name of a point stands, so that the line does not run through it. */
export interface NamePlace {
  readonly side: 'above' | 'below';
  readonly anchor: 'start' | 'middle' | 'end';
}

/** Finds the free side of a point by the values before and behind it, where there are any. */
export function namePlace(
  before: number | undefined,
  value: number,
  after: number | undefined,
): NamePlace {
  const [left, right] = [(before ?? value) - value, (after ?? value) - value];
  if (before === undefined && after === undefined) return { side: 'above', anchor: 'middle' };
  // At an end the line is on one side alone: the name begins or ends there, opposite to it.
  if (after === undefined) return { side: left > 0 ? 'below' : 'above', anchor: 'end' };
  if (before === undefined) return { side: right > 0 ? 'below' : 'above', anchor: 'start' };
  if (left > 0 && right > 0) return { side: 'below', anchor: 'middle' };
  if (left <= 0 && right <= 0) return { side: 'above', anchor: 'middle' };
  return { side: 'above', anchor: right > 0 ? 'end' : 'start' };
}

/** Tells in a sentence or two what a plot shows, for who cannot see it. */
export function describeSeries({ metric, points, versions }: Series): string {
  const [first] = points;
  const last = points.at(-1);
  const ends = extremes(points);
  if (first === undefined || last === undefined || ends === undefined) {
    return `No version has ${metric}.`;
  }
  const at = ({ version, value }: Point): string => `${formatMetric(value)} at ${version}`;
  if (points.length === 1) return `${metric} is ${at(first)}, the only version that has it.`;
  const of = points.length === versions ? `${versions}` : `${points.length} of ${versions}`;
  const live = points.filter((point) => point.live.length > 0);
  const told = live.slice(-4).map((point) => `${point.live.join(', ')}: ${at(point)}`);
  return [
    `${metric} over ${of} versions, from ${at(first)} to ${at(last)}.`,
    `Lowest ${at(ends.low)}, highest ${at(ends.high)}.`,
    ...(told.length === 0 ? [] : [`Live: ${told.join('; ')}.`]),
  ].join(' ');
}

/** Whether a change of a metric is good. */
export type Verdict = 'better' | 'worse' | 'unknown';

/** How a metric changed. */
export interface MetricDelta {
  readonly difference: number;
  /** Part of the value before; undefined where that was zero. */
  readonly relative: number | undefined;
  readonly verdict: Verdict;
}

/** What the gates say of metrics. */
export interface MetricRules {
  readonly judged: readonly string[];
  readonly lowerIsBetter: readonly string[];
}

/** Compares two values of a metric; whether it is better now is said only of metrics that a gate judges. */
export function metricDelta(
  name: string,
  before: number,
  after: number,
  { judged, lowerIsBetter }: MetricRules,
): MetricDelta {
  const difference = after - before;
  const relative = before === 0 ? undefined : difference / Math.abs(before);
  if (difference === 0 || !judged.includes(name)) {
    return { difference, relative, verdict: 'unknown' };
  }
  const isBetter = difference > 0 !== lowerIsBetter.includes(name);
  return { difference, relative, verdict: isBetter ? 'better' : 'worse' };
}
