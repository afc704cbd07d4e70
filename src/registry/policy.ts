import { compareUtf8 } from '../base/json.ts';
import { printable } from '../base/names.ts';
import { nearest } from '../base/nearest.ts';
import { ConfigPart, isTable } from './config-part.ts';
import { registryNameProblem } from './names.ts';

/** What a version must reach before it may go to an environment. */
export interface Policy {
  /** `ENVIRONMENT`, or `MODEL@ENVIRONMENT` for a policy of one model. */
  readonly name: string;
  /** What each metric counts for, sorted by name; the weights sum to 1. Empty where no score is asked for. */
  readonly weights: ReadonlyArray<{ readonly metric: string; readonly weight: number }>;
  /** Metrics of which less is better; of all others more is. */
  readonly lowerIsBetter: ReadonlySet<string>;
  /** By how much the score must be above that of the rival, in units of the score; 0 or more. */
  readonly minImprovement: number;
  /** The rival: the `best` version that was ever live, the one that is `live`, or a version by name. */
  readonly compareWith: string;
  /** Bounds that hold whatever the rival is, both included, sorted by name. */
  readonly limits: readonly PolicyLimit[];
  /** By how much a metric may be worse than that of the rival, in its own units, sorted by name. */
  readonly regress: ReadonlyArray<{ readonly metric: string; readonly allowed: number }>;
}

/** A bound of a metric; one of the two is there. */
export interface PolicyLimit {
  readonly metric: string;
  readonly min?: number;
  readonly max?: number;
}

/** How far the sum of the weights may be from 1: they are written in decimal notation. */
const weightSumTolerance = 1e-9;

const policyKeys = [
  'weights',
  'lower_is_better',
  'min_improvement',
  'compare_with',
  'limits',
  'regress',
] as const;

/**
 * Checks the table `policy` of a configuration and finds what applies to a model in an environment: the
 * policy of the model where there is one, else that of the environment. The two are not joined. All
 * policies are checked, so that a mistake shows in the first command that asks for one.
 * @param table as it was read; undefined where there is none
 * @param file it was read from, for errors
 * @returns undefined where no policy applies
 * @throws MstoreError `config-invalid`
 */
export function findPolicy(
  table: unknown,
  file: string,
  model: string,
  environment: string,
): Policy | undefined {
  const policies = parsePolicies(table, file);
  return policies.get(`${model}@${environment}`) ?? policies.get(environment);
}

/** Returns the names of all policies, sorted; see {@link findPolicy}. */
export function policyNames(table: unknown, file: string): string[] {
  return [...parsePolicies(table, file).keys()].sort(compareUtf8);
}

function parsePolicies(table: unknown, file: string): Map<string, Policy> {
  if (table === undefined) return new Map();
  const top = new ConfigPart('policy', file);
  return top.perEnvironment(table, (name, value, part) => parsePolicy(name, value, part));
}

function parsePolicy(name: string, value: unknown, part: ConfigPart): Policy {
  const table = part.table(value);
  part.checkKeys(table, name, policyKeys);
  const weights = parseWeights(table['weights'], part.inner('weights'));
  const limits = parseLimits(table['limits'], part.inner('limits'));
  const regress = parseRegress(table['regress'], part.inner('regress'));
  if (weights.length + limits.length + regress.length === 0) {
    throw part.invalid('asks for nothing', 'Give it weights, limits or regress');
  }
  const named = [...weights, ...limits, ...regress].map(({ metric }) => metric);
  return {
    name,
    weights,
    lowerIsBetter: parseLower(table['lower_is_better'], named, part.inner('lower_is_better')),
    minImprovement: parseImprovement(table['min_improvement'], weights.length > 0, part),
    compareWith: parseRival(table['compare_with'], weights.length > 0, part.inner('compare_with')),
    limits,
    regress,
  };
}

function parseWeights(value: unknown, part: ConfigPart): Policy['weights'] {
  if (value === undefined) return [];
  const weights = part.numbers(value).map(([metric, weight]) => ({ metric, weight }));
  const negative = weights.find(({ weight }) => weight < 0);
  if (negative !== undefined) {
    throw part
      .inner(negative.metric)
      .invalid('is below 0', 'Name the metric in lower_is_better instead');
  }
  const sum = weights.reduce((total, { weight }) => total + weight, 0);
  if (Math.abs(sum - 1) <= weightSumTolerance) return weights;
  throw part.invalid(
    `sums to ${Number(sum.toPrecision(12))} instead of 1`,
    'Weights are shares of the whole score: correct one of them',
  );
}

function parseRegress(value: unknown, part: ConfigPart): Policy['regress'] {
  if (value === undefined) return [];
  return part.numbers(value).map(([metric, allowed]) => {
    if (allowed >= 0) return { metric, allowed };
    throw part
      .inner(metric)
      .invalid(
        'is below 0',
        'Write by how much it may get worse, 0 or more, in units of the metric',
      );
  });
}

function parseLimits(value: unknown, part: ConfigPart): PolicyLimit[] {
  if (value === undefined) return [];
  return part
    .leaves(value, (inner) => {
      const values = Object.values(inner);
      return values.some((bound) => !isTable(bound));
    })
    .map(([metric, bounds]) => parseLimit(metric, bounds, part.inner(metric)));
}

function parseLimit(metric: string, value: unknown, part: ConfigPart): PolicyLimit {
  const hint = 'Write { min = 0.2 }, { max = 50 } or both';
  if (!isTable(value)) throw part.invalid('is no table', hint);
  const unknown = Object.keys(value).find((key) => key !== 'min' && key !== 'max');
  if (unknown !== undefined) throw part.invalid(`has no key ${printable(unknown)}`, hint);
  const { min, max } = value;
  if (min === undefined && max === undefined) throw part.invalid('bounds nothing', hint);
  const bounds = {
    ...(min === undefined ? {} : { min: part.inner('min').number(min) }),
    ...(max === undefined ? {} : { max: part.inner('max').number(max) }),
  };
  if ((bounds.min ?? -Infinity) > (bounds.max ?? Infinity)) {
    throw part.invalid('can never hold: min is above max', 'Correct one of them');
  }
  return { metric, ...bounds };
}

function parseLower(
  value: unknown,
  named: readonly string[],
  part: ConfigPart,
): ReadonlySet<string> {
  const names = value ?? [];
  if (!Array.isArray(names) || names.some((name) => typeof name !== 'string')) {
    throw part.invalid('is no list of names', 'Write ["loss", "latency_ms"]');
  }
  for (const name of names as string[]) {
    if (named.includes(name)) continue;
    const near = nearest(name, named);
    throw part.invalid(
      `names ${printable(name)}, which the policy uses nowhere`,
      near === undefined
        ? 'Take it out, or use it in weights, limits or regress'
        : `Did you mean ${near}?`,
    );
  }
  return new Set(names as string[]);
}

function parseImprovement(value: unknown, scored: boolean, policy: ConfigPart): number {
  if (value === undefined) return 0;
  const part = policy.inner('min_improvement');
  const improvement = part.number(value);
  if (improvement < 0) {
    throw part.invalid('is below 0', 'Write 0 to ask for a score that is not lower');
  }
  if (scored) return improvement;
  throw part.invalid('needs weights: without them there is no score', 'Add weights');
}

function parseRival(value: unknown, scored: boolean, part: ConfigPart): string {
  if (value === undefined) return scored ? 'best' : 'live';
  if (typeof value !== 'string' || registryNameProblem('version', value) !== undefined) {
    throw part.invalid('names no version', 'Write "best", "live" or a version such as "v1.2.0"');
  }
  if (value !== 'best' || scored) return value;
  throw part.invalid('needs weights to tell which one is best', 'Add weights, or write "live"');
}
