import { invariant } from '../base/errors.ts';
import { compareUtf8 } from '../base/json.ts';
import { printable } from '../base/names.ts';
import { nearest } from '../base/nearest.ts';
import { badMetrics, type Metrics, metricOf } from './metrics.ts';
import type { Policy, PolicyLimit } from './policy.ts';

/** A version with the metrics it is judged by. */
export interface Contender {
  readonly version: string;
  readonly metrics: Metrics;
}

/** The versions a candidate may be compared with. */
export interface Rivals {
  /** What is live in the environment. */
  readonly live?: Contender;
  /** All that were ever live there and still count, the first one first; what is live among them. */
  readonly history: readonly Contender[];
  /** The version that the policy names. */
  readonly named?: Contender;
}

/** How one metric of a policy came out. */
export interface MetricVerdict {
  readonly metric: string;
  /** Part of the score that it makes up, 0 to 1; absent for a metric that is only bounded. */
  readonly weight?: number;
  readonly better: 'higher' | 'lower';
  /** Of the candidate, in the unit of the metric, as all that follows but `share`. */
  readonly value: number;
  /** Of the rival; absent without one, or where it lacks a metric that needs no comparison. */
  readonly rival?: number;
  /** Value less that of the rival. */
  readonly difference?: number;
  /**
   * What it adds to the margin, or without a rival to the score: weight × difference, or weight × value,
   * with the other sign where less is better. In units of the score.
   */
  readonly share?: number;
}

/** How a bound came out. */
export interface LimitVerdict extends PolicyLimit {
  readonly value: number;
  readonly held: boolean;
}

/** How far a metric fell behind that of the rival. */
export interface RegressVerdict {
  readonly metric: string;
  /** By how much it is worse, 0 where it is not; absent without a rival. */
  readonly worse?: number;
  /** By how much it may be worse. */
  readonly allowed: number;
  readonly held: boolean;
}

/** What the gate says of a candidate, and why. */
export interface Verdict {
  readonly passed: boolean;
  /** Name of the policy. */
  readonly policy: string;
  readonly version: string;
  /** `best`, `live`, or the version that the policy names. */
  readonly compareWith: string;
  /** The version it was compared with. */
  readonly rival?: string;
  /**
   * Why there is no rival: no other version was ever live, or the candidate would be its own. Absent too
   * where the policy compares nothing.
   */
  readonly noRival?: 'first' | 'itself';
  /** Absent where the policy has no weights, as all of the score. */
  readonly score?: number;
  readonly rivalScore?: number;
  /** Score less that of the rival. */
  readonly margin?: number;
  /** The margin asked for. */
  readonly minImprovement?: number;
  /** Whether the margin is large enough; true without a rival. */
  readonly improved: boolean;
  /** All metrics of the policy, sorted by name. */
  readonly metrics: readonly MetricVerdict[];
  readonly limits: readonly LimitVerdict[];
  readonly regress: readonly RegressVerdict[];
  /** Versions of the history that lack metrics of the policy, with those, and were not looked at. */
  readonly leftOut: ReadonlyArray<{ readonly version: string; readonly lacks: readonly string[] }>;
}

/**
 * How much two sums may differ by the rounding of floating-point numbers, as a part of their largest
 * terms: a margin that is met exactly in decimal notation counts as met.
 */
const roundingTolerance = 1e-12;

/**
 * Judges a candidate by a policy. The score of a version is the sum of weight × metric, taken with a minus
 * where less is better; its unit is that of the metrics, which are not scaled. The margin is the score of the
 * candidate less that of the rival, and has to be at least what the policy asks for. A version is never
 * its own rival. Without a rival, limits alone decide.
 *
 * Of the history the best by the same score is the rival, of equals the one that came last; versions that lack a
 * metric that is compared are left out and told, and where that leaves none, it is an error.
 * @throws MstoreError `bad-metrics` where the candidate, or the only rival, lacks a metric, and for numbers
 * too large to be compared
 */
export function judge(policy: Policy, candidate: Contender, rivals: Rivals): Verdict {
  const { weights, regress, limits, compareWith } = policy;
  const compared = unique([...weights, ...regress]);
  const all = unique([...weights, ...regress, ...limits]);
  requireMetrics(candidate, all, policy);
  const { rival, noRival, leftOut } = chooseRival(policy, candidate, rivals, compared);
  const own = scoreOf(policy, candidate);
  const other = rival && scoreOf(policy, rival);
  const margin = own && other ? finite(own.score - other.score, candidate) : undefined;
  const slack = own && other ? slackOf(own, other) : 0;
  const improved = margin === undefined || margin >= policy.minImprovement - slack;
  const limitVerdicts = limits.map((limit) => judgeLimit(limit, measured(candidate, limit.metric)));
  const regressVerdicts = regress.map((rule) => judgeRegress(policy, rule, candidate, rival));
  const held = [...limitVerdicts, ...regressVerdicts].every((one) => one.held);
  return {
    passed: improved && held,
    policy: policy.name,
    version: candidate.version,
    compareWith,
    ...(rival === undefined ? {} : { rival: rival.version }),
    ...(noRival === undefined ? {} : { noRival }),
    ...(own === undefined ? {} : { score: own.score, minImprovement: policy.minImprovement }),
    ...(other === undefined ? {} : { rivalScore: other.score }),
    ...(margin === undefined ? {} : { margin }),
    improved,
    metrics: all.map((metric) => judgeMetric(policy, metric, candidate, rival)),
    limits: limitVerdicts,
    regress: regressVerdicts,
    leftOut,
  };
}

/** The names of metrics, each once, sorted as the parts of a policy are. */
function unique(parts: ReadonlyArray<{ readonly metric: string }>): string[] {
  return [...new Set(parts.map(({ metric }) => metric))].sort(compareUtf8);
}

/** Returns the names whose metrics are missing, or no finite numbers. */
function lacking({ metrics }: Contender, names: readonly string[]): string[] {
  return names.filter((name) => !Number.isFinite(metricOf(metrics, name)));
}

function requireMetrics(contender: Contender, names: readonly string[], policy: Policy): void {
  const [first, ...more] = lacking(contender, names);
  if (first === undefined) return;
  const known = Object.keys(contender.metrics).filter((name) => !names.includes(name));
  const near = nearest(first, known);
  const others = more.length === 0 ? '' : ` (nor ${more.map(printable).join(', ')})`;
  throw badMetrics(
    `${contender.version} has no finite metric ${printable(first)}${others}, which the policy ${policy.name} asks for`,
    {
      hint:
        near === undefined
          ? 'Measure it, or take it out of the policy; what is missing never counts as zero'
          : `Did you mean ${printable(near)}? What is missing never counts as zero`,
      metric: first,
    },
  );
}

type Choice = Pick<Verdict, 'noRival' | 'leftOut'> & { readonly rival?: Contender };

function chooseRival(
  policy: Policy,
  candidate: Contender,
  rivals: Rivals,
  compared: readonly string[],
): Choice {
  const { compareWith } = policy;
  if (compared.length === 0) return { leftOut: [] };
  if (compareWith === 'best') return chooseBest(policy, candidate, rivals.history, compared);
  const only = compareWith === 'live' ? rivals.live : rivals.named;
  if (compareWith === candidate.version || only?.version === candidate.version) {
    return { leftOut: [], noRival: 'itself' };
  }
  invariant(only !== undefined || compareWith === 'live', 'the version a policy names is there');
  if (only === undefined) return { leftOut: [], noRival: 'first' };
  if (lacking(only, compared).length > 0) {
    throw incomparable([{ version: only.version, lacks: lacking(only, compared) }], policy);
  }
  return { leftOut: [], rival: only };
}

function chooseBest(
  policy: Policy,
  candidate: Contender,
  history: readonly Contender[],
  compared: readonly string[],
): Choice {
  const others = new Map(history.map((one) => [one.version, one]));
  const wasThere = others.delete(candidate.version);
  if (others.size === 0) return { leftOut: [], noRival: wasThere ? 'itself' : 'first' };
  const leftOut: Array<{ version: string; lacks: string[] }> = [];
  let best: (Score & { rival: Contender }) | undefined;
  for (const rival of others.values()) {
    const lacks = lacking(rival, compared);
    const score = lacks.length > 0 ? undefined : scoreOf(policy, rival);
    if (score === undefined) leftOut.push({ version: rival.version, lacks });
    else if (best === undefined || score.score >= best.score - slackOf(score, best)) {
      best = { rival, ...score };
    }
  }
  if (best === undefined) throw incomparable(leftOut, policy);
  return { rival: best.rival, leftOut };
}

function incomparable(left: Verdict['leftOut'], policy: Policy): Error {
  const [first] = left;
  const told = left.slice(0, 5).map(({ version, lacks }) => `${version} lacks ${lacks.join(', ')}`);
  return badMetrics(
    `There is nothing to compare with: ${printable(told.join('; '))}, which the policy ${policy.name} compares`,
    {
      hint: 'Let compare_with name a version that has them, or deploy once with --force --reason TEXT',
      ...(first?.lacks[0] === undefined ? {} : { metric: first.lacks[0] }),
    },
  );
}

function measured({ metrics }: Contender, metric: string): number {
  const value = metricOf(metrics, metric);
  invariant(value !== undefined, 'metrics are asked for after they were required');
  return value;
}

function signOf(policy: Policy, metric: string): 1 | -1 {
  return policy.lowerIsBetter.has(metric) ? -1 : 1;
}

interface Score {
  readonly score: number;
  /** The size of its largest term. */
  readonly largest: number;
}

/** By how much two scores may differ through rounding alone. */
function slackOf(a: Score, b: Score): number {
  return roundingTolerance * Math.max(a.largest, b.largest);
}

/** Returns the score of a version, or undefined where the policy has no weights. */
function scoreOf(policy: Policy, contender: Contender): Score | undefined {
  if (policy.weights.length === 0) return undefined;
  const terms = policy.weights.map(
    ({ metric, weight }) => weight * signOf(policy, metric) * measured(contender, metric),
  );
  const score = terms.reduce((sum, term) => sum + term, 0);
  return {
    score: finite(score, contender),
    largest: Math.max(...terms.map((term) => Math.abs(term))),
  };
}

function finite(value: number, { version }: Contender): number {
  if (Number.isFinite(value)) return value;
  throw badMetrics(`The metrics of ${version} are too large to be compared`, {
    hint: 'Look at what measured them',
  });
}

function judgeMetric(
  policy: Policy,
  metric: string,
  candidate: Contender,
  rival: Contender | undefined,
): MetricVerdict {
  const weight = policy.weights.find((one) => one.metric === metric)?.weight;
  const value = measured(candidate, metric);
  const found = rival && metricOf(rival.metrics, metric);
  const other = Number.isFinite(found) ? found : undefined;
  const difference = other === undefined ? undefined : finite(value - other, candidate);
  const counted = rival === undefined ? value : difference;
  const share =
    weight === undefined || counted === undefined
      ? undefined
      : weight * signOf(policy, metric) * counted + 0;
  return {
    metric,
    ...(weight === undefined ? {} : { weight }),
    better: policy.lowerIsBetter.has(metric) ? 'lower' : 'higher',
    value,
    ...(other === undefined ? {} : { rival: other }),
    ...(difference === undefined ? {} : { difference }),
    ...(share === undefined ? {} : { share }),
  };
}

function judgeLimit(limit: PolicyLimit, value: number): LimitVerdict {
  const held = value >= (limit.min ?? -Infinity) && value <= (limit.max ?? Infinity);
  return { ...limit, value, held };
}

function judgeRegress(
  policy: Policy,
  { metric, allowed }: Policy['regress'][number],
  candidate: Contender,
  rival: Contender | undefined,
): RegressVerdict {
  if (rival === undefined) return { metric, allowed, held: true };
  const [value, other] = [measured(candidate, metric), measured(rival, metric)];
  const behind = finite((other - value) * signOf(policy, metric), candidate);
  const slack = roundingTolerance * Math.max(Math.abs(value), Math.abs(other));
  return { metric, worse: Math.max(behind, 0), allowed, held: behind <= allowed + slack };
}
