import type { MonitorRules, RuleName } from './rules.ts';
import { driftOf, type Tally } from './tally.ts';

/** A rule that a version breaks, with what shows it. */
export interface Breach {
  readonly rule: RuleName;
  /** What was measured, in the unit of the rule. */
  readonly value: number;
  /** What the rule allows. */
  readonly limit: number;
  /** The same in words. */
  readonly text: string;
}

/** What is known of a version that is live. */
export interface Measured {
  readonly calls: number;
  readonly errors: number;
  readonly error_rate: number | null;
  readonly latency_p95_ms: number | null;
  /** Against the version before; null where one of the two is not known well enough. */
  readonly latency_growth: number | null;
  readonly drift: number | null;
  /** What of the drift may be chance. */
  readonly drift_noise: number | null;
}

/** Measures a version against the one before. */
export function measure(
  { minCalls }: MonitorRules,
  window: Tally,
  before: Tally | undefined,
): Measured {
  const p95 = window.latency.quantile(latencyShare);
  const isEnough = (count: number | undefined) => (count ?? 0) >= minCalls;
  const p95Before =
    isEnough(before?.latency.count) && isEnough(window.latency.count)
      ? before?.latency.quantile(latencyShare)
      : undefined;
  const isTold = before !== undefined && isEnough(before.predictions);
  const drift = isTold && isEnough(window.predictions) ? driftOf(before, window) : undefined;
  return {
    calls: window.calls,
    errors: window.errors,
    error_rate: window.errorRate ?? null,
    latency_p95_ms: p95 ?? null,
    latency_growth: p95 === undefined || !p95Before ? null : p95 / p95Before - 1,
    drift: drift?.index ?? null,
    drift_noise: drift?.noise ?? null,
  };
}

const latencyShare = 0.95;

/**
 * Finds the rules that a version breaks by its outcomes. Drift counts only beyond what chance makes of it; nothing is said
 * below the number of calls that the rules ask for.
 */
export function breaches(rules: MonitorRules, measured: Measured): Breach[] {
  const { calls, errors, error_rate: rate, latency_p95_ms: p95 } = measured;
  const found: Breach[] = [];
  if (calls < rules.minCalls) return found;
  const within = `in ${rules.windowSeconds} s`;
  const { maxErrorRate, maxLatencyMs, maxLatencyGrowth, maxDrift } = rules;
  if (maxErrorRate !== undefined && rate !== null && rate > maxErrorRate) {
    const text = `${percent(rate)} of ${calls} calls ${within} failed (${errors}), more than ${percent(maxErrorRate)}`;
    found.push({ rule: 'max_error_rate', value: rate, limit: maxErrorRate, text });
  }
  if (maxLatencyMs !== undefined && p95 !== null && p95 > maxLatencyMs) {
    const text = `the 95th percentile of ${calls} calls ${within} took ${shown(p95)} ms, more than ${shown(maxLatencyMs)}`;
    found.push({ rule: 'max_latency_ms', value: p95, limit: maxLatencyMs, text });
  }
  const { latency_growth: growth, drift, drift_noise: noise } = measured;
  if (maxLatencyGrowth !== undefined && growth !== null && growth > maxLatencyGrowth) {
    const text = `the 95th percentile of ${calls} calls ${within} took ${percent(growth)} longer than before, more than ${percent(maxLatencyGrowth)}`;
    found.push({ rule: 'max_latency_growth', value: growth, limit: maxLatencyGrowth, text });
  }
  if (maxDrift !== undefined && drift !== null && drift > maxDrift + (noise ?? 0)) {
    const text = `predictions ${within} moved from those before by ${shown(drift)} (population stability index), more than ${shown(maxDrift)}`;
    found.push({ rule: 'max_drift', value: drift, limit: maxDrift, text });
  }
  return found;
}

/** All rules that were broken, in words. */
export function reasonOf(breaches: readonly Breach[]): string {
  const text = breaches.map((breach) => breach.text).join('; ');
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}`;
}

function percent(share: number): string {
  return `${shown(share * 100)} %`;
}

function shown(value: number): string {
  return String(Number(value.toPrecision(3)));
}
