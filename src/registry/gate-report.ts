import { printable } from '../base/names.ts';
import type { LimitVerdict, RegressVerdict, Verdict } from './gate.ts';

/** What a verdict is about, for those who read of it later. */
export interface GateFacts {
  readonly model: string;
  readonly environment: string;
  /** Digest of the record of the version. */
  readonly record: string;
  /** The file whose metrics were judged, as it was given; absent where those of the record were. */
  readonly results?: string;
  /** When, as ISO 8601 in UTC. */
  readonly at: string;
  /** The program that judged. */
  readonly tool: string;
}

/** Names of the files that {@link gateFiles} makes. */
export const gateFileNames = [
  'deployment_info.json',
  'model_comparison.json',
  'deployment.log',
] as const;

/** Makes the files that tell of a verdict, by name: the decision, the comparison, and a log for people. */
export function gateFiles(
  verdict: Verdict,
  facts: GateFacts,
): Readonly<Record<(typeof gateFileNames)[number], string>> {
  return {
    'deployment_info.json': json(deploymentInfo(verdict, facts)),
    'model_comparison.json': json(modelComparison(verdict, facts)),
    'deployment.log': logLines(verdict, facts)
      .map(([topic, text]) => `${facts.at}  ${topic.padEnd(8)}  ${text}\n`)
      .join(''),
  };
}

function json(value: object): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}

function deploymentInfo(verdict: Verdict, facts: GateFacts): object {
  return {
    model_name: facts.model,
    version: verdict.version,
    environment: facts.environment,
    passed: verdict.passed,
    reason: verdictSentence(verdict, facts.environment),
    policy: verdict.policy,
    ...scores(verdict),
    record: facts.record,
    results: facts.results ?? null,
    judged_at: facts.at,
    tool: facts.tool,
  };
}

function modelComparison(verdict: Verdict, facts: GateFacts): object {
  return {
    model_name: facts.model,
    version: verdict.version,
    environment: facts.environment,
    passed: verdict.passed,
    policy: verdict.policy,
    compare_with: verdict.compareWith,
    ...scores(verdict),
    metrics: verdict.metrics.map((one) => ({
      metric: one.metric,
      weight: one.weight ?? null,
      better: one.better,
      value: one.value,
      rival: one.rival ?? null,
      difference: one.difference ?? null,
      share: one.share ?? null,
    })),
    limits: verdict.limits.map(({ metric, value, min, max, held }) => ({
      metric,
      value,
      min: min ?? null,
      max: max ?? null,
      held,
    })),
    regress: verdict.regress.map(({ metric, worse, allowed, held }) => ({
      metric,
      worse: worse ?? null,
      allowed,
      held,
    })),
    left_out: verdict.leftOut,
  };
}

function scores(verdict: Verdict): object {
  return {
    score: verdict.score ?? null,
    rival: verdict.rival ?? null,
    rival_score: verdict.rivalScore ?? null,
    margin: verdict.margin ?? null,
    min_improvement: verdict.minImprovement ?? null,
  };
}

/** Lines of the log: a topic of one or two words, and what there is to say of it. */
function logLines(verdict: Verdict, facts: GateFacts): Array<[topic: string, text: string]> {
  const { version, policy, rival, score, metrics, limits, regress, leftOut } = verdict;
  const part = (label: string, value: number | undefined): string =>
    value === undefined ? '' : `, ${label} ${formatNumber(value)}`;
  return [
    ['gate', `${facts.model}@${version} for ${facts.environment}, policy ${policy}`],
    ['record', facts.record],
    ['metrics', facts.results === undefined ? 'of the record' : `of ${printable(facts.results)}`],
    ['rival', rival === undefined ? 'none' : `${rival}, ${rivalTold(verdict)}`],
    ...leftOut.map(({ version: left, lacks }): [string, string] => [
      'left out',
      `${left} lacks ${printable(lacks.join(', '))}`,
    ]),
    ...metrics.map((one): [string, string] => [
      'metric',
      `${printable(one.metric)} ${formatNumber(one.value)}, ${one.better} is better${part('weight', one.weight)}${part('rival', one.rival)}${part('difference', one.difference)}${part('share', one.share)}`,
    ]),
    ...limits.map((one): [string, string] => ['limit', `${limitTold(one)}: ${heldTold(one)}`]),
    ...regress
      .filter(({ worse }) => worse !== undefined)
      .map((one): [string, string] => ['regress', `${regressTold(one)}: ${heldTold(one)}`]),
    ...(score === undefined
      ? []
      : [
          [
            'score',
            `${formatNumber(score)}${part('rival', verdict.rivalScore)}${part('margin', verdict.margin)}${part('asked for', verdict.minImprovement)}`,
          ] as [string, string],
        ]),
    ['verdict', verdictSentence(verdict, facts.environment)],
  ];
}

/** Says in one sentence what the gate decided, and why. */
export function verdictSentence(verdict: Verdict, environment: string): string {
  if (verdict.passed) return `passed: ${passedTold(verdict, environment)}`;
  const failed = [
    ...(verdict.improved ? [] : [scoreTold(verdict)]),
    ...verdict.limits.filter(({ held }) => !held).map(limitTold),
    ...verdict.regress.filter(({ held }) => !held).map(regressTold),
  ];
  return `refused: ${failed.join('; ')}`;
}

function passedTold(verdict: Verdict, environment: string): string {
  const { version, rival, noRival, margin, compareWith } = verdict;
  if (margin !== undefined) return scoreTold(verdict);
  const bounds = verdict.limits.length > 0 ? ', and all limits hold' : '';
  if (rival !== undefined) {
    return `nothing is worse than in ${rival} by more than is allowed${bounds}`;
  }
  if (noRival === 'first') {
    return `${version} has no rival, as no other version was ever live in ${environment}${bounds}`;
  }
  if (noRival === 'itself') {
    const what = compareWith === 'best' ? 'the only one that was ever live' : `the rival itself`;
    return `${version} is ${what}, so there is nothing to compare with${bounds}`;
  }
  return 'all limits hold';
}

function scoreTold(verdict: Verdict): string {
  const { version, rival = '', score = 0, margin = 0, minImprovement = 0 } = verdict;
  const [reached, asked] = apart(Math.abs(margin), minImprovement);
  const how = margin === 0 ? 'as much as' : `${reached} ${margin > 0 ? 'above' : 'below'}`;
  const needed = minImprovement === 0 ? 'not below it' : `at least ${asked} above it`;
  return `${version} scores ${formatNumber(score)}, ${how} ${rival}, ${rivalTold(verdict)} (asked for is ${needed})`;
}

function rivalTold({ compareWith }: Verdict): string {
  if (compareWith === 'best') return 'the best so far';
  return compareWith === 'live' ? 'which is live' : 'which the policy names';
}

/** Says what a limit asks for, and how the metric is. */
export function limitTold({ metric, value, min, max }: LimitVerdict): string {
  const tooLow = min !== undefined && (value < min || max === undefined);
  const bound = (tooLow ? min : max) ?? 0;
  const [is, asked] = apart(value, bound);
  const range =
    min !== undefined && max !== undefined && value >= min && value <= max
      ? `from ${formatNumber(min)} to ${formatNumber(max)}`
      : `${tooLow ? 'at least' : 'at most'} ${asked}`;
  return `${printable(metric)} is ${is}, ${range} is asked for`;
}

/** Says by how much a metric is worse, and by how much it may be. */
export function regressTold({ metric, worse = 0, allowed }: RegressVerdict): string {
  const [is, asked] = apart(worse, allowed);
  const name = printable(metric);
  const bound = allowed === 0 ? 'nothing' : asked;
  return worse === 0
    ? `${name} is not worse, ${bound} is allowed`
    : `${name} is worse by ${is}, ${bound} is allowed`;
}

function heldTold({ held }: { readonly held: boolean }): string {
  return held ? 'held' : 'not held';
}

/** Writes two numbers, with all digits that mean something where else they would look alike. */
function apart(a: number, b: number): [string, string] {
  const [x, y] = [formatNumber(a), formatNumber(b)];
  return x === y ? [formatNumber(a, digitsMax), formatNumber(b, digitsMax)] : [x, y];
}

/** Digits of a number that rounding leaves alone. */
const digitsMax = 12;

/** Writes a metric or score with a few digits: `0.312346`, `1234.5`, `2.5e-7`. */
export function formatNumber(value: number, digits = 6): string {
  return String(Number(value.toPrecision(digits)));
}
