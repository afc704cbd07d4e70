import { ConfigPart } from '../registry/config-part.ts';

/** When an environment goes back by itself. */
export interface MonitorRules {
  /** `ENVIRONMENT`, or `MODEL@ENVIRONMENT` for the rules of one model. */
  readonly name: string;
  /** `act`, or `watch` to say what would be done. */
  readonly mode: 'act' | 'watch';
  /** Outcomes of so many seconds count. */
  readonly windowSeconds: number;
  /** Calls in the window below which nothing is said of them. */
  readonly minCalls: number;
  /** Share of calls that may fail. */
  readonly maxErrorRate?: number;
  /** 95th percentile of the time that a call may take, in milliseconds. */
  readonly maxLatencyMs?: number;
  /** By how much of itself that percentile may have grown over the version before: 0.5 for half as much again. */
  readonly maxLatencyGrowth?: number;
  /** Population stability index of predictions against those of the version before. */
  readonly maxDrift?: number;
  /** Checks of health, or loads on hosts, that fail in a row. */
  readonly healthFailures?: number;
  /** Seconds between two checks of health. */
  readonly healthSeconds: number;
  /** What comes within so many seconds after a version became live is not counted: hosts follow, and caches are cold. */
  readonly settleSeconds: number;
  /** After it went back by itself an environment does not do so again for so long. */
  readonly cooldownSeconds: number;
  /** How often an environment may go back by itself within a day. */
  readonly rollbacksPerDay: number;
}

/** The names of rules that can be broken, as in the configuration. */
export type RuleName =
  | 'max_error_rate'
  | 'max_latency_ms'
  | 'max_latency_growth'
  | 'max_drift'
  | 'health_failures';

interface NumberRule {
  readonly min: number;
  readonly max: number;
  readonly whole?: true;
  readonly usual?: number;
}

const day = 86_400;

const numbers: Readonly<Record<string, NumberRule>> = {
  window_seconds: { min: 10, max: day, whole: true, usual: 300 },
  min_calls: { min: 1, max: 1e9, whole: true, usual: 100 },
  max_error_rate: { min: 0, max: 1 },
  max_latency_ms: { min: 0, max: 1e9 },
  max_latency_growth: { min: 0, max: 1000 },
  max_drift: { min: 0, max: 1000 },
  health_failures: { min: 1, max: 1000, whole: true },
  health_seconds: { min: 5, max: day, whole: true, usual: 60 },
  settle_seconds: { min: 0, max: day, whole: true, usual: 60 },
  cooldown_seconds: { min: 0, max: 30 * day, whole: true, usual: 1800 },
  rollbacks_per_day: { min: 1, max: 1000, whole: true, usual: 3 },
};

const keys = ['mode', ...Object.keys(numbers)];

const limitKeys: readonly RuleName[] = [
  'max_error_rate',
  'max_latency_ms',
  'max_latency_growth',
  'max_drift',
  'health_failures',
];

/**
 * Checks the table `monitor` of a configuration.
 * @param table as it was read; undefined where there is none
 * @param file it was read from, for errors
 * @returns rules by name; see {@link rulesFor}
 * @throws MstoreError `config-invalid`
 */
export function parseMonitorRules(table: unknown, file: string): ReadonlyMap<string, MonitorRules> {
  if (table === undefined) return new Map();
  return new ConfigPart('monitor', file).perEnvironment(table, parseRules);
}

/** Rules by the keys of the configuration. */
export function rulesDocument(rules: MonitorRules): Readonly<Record<string, string | number>> {
  const { name, mode, windowSeconds, minCalls, healthSeconds, settleSeconds } = rules;
  const { maxErrorRate, maxLatencyMs, maxLatencyGrowth, maxDrift, healthFailures } = rules;
  const all = {
    name,
    mode,
    window_seconds: windowSeconds,
    min_calls: minCalls,
    max_error_rate: maxErrorRate,
    max_latency_ms: maxLatencyMs,
    max_latency_growth: maxLatencyGrowth,
    max_drift: maxDrift,
    health_failures: healthFailures,
    health_seconds: healthSeconds,
    settle_seconds: settleSeconds,
    cooldown_seconds: rules.cooldownSeconds,
    rollbacks_per_day: rules.rollbacksPerDay,
  };
  const given = Object.entries(all).filter(([, value]) => value !== undefined);
  return Object.fromEntries(given) as Record<string, string | number>;
}

/** The rules of a model where there are some, else those of the environment. The two are not joined. */
export function rulesFor(
  rules: ReadonlyMap<string, MonitorRules>,
  model: string,
  environment: string,
): MonitorRules | undefined {
  return rules.get(`${model}@${environment}`) ?? rules.get(environment);
}

function parseRules(name: string, value: unknown, part: ConfigPart): MonitorRules {
  const table = part.table(value);
  part.checkKeys(table, name, keys);
  const mode = table['mode'] ?? 'act';
  if (mode !== 'act' && mode !== 'watch') {
    throw part.inner('mode').invalid('is neither act nor watch', 'Write "watch" for a dry run');
  }
  if (!limitKeys.some((key) => table[key] !== undefined)) {
    throw part.invalid('asks for nothing', `Give it one of ${limitKeys.join(', ')}`);
  }
  const given = (key: string) => numberIn(table, key, part);
  const limit = <K extends string>(property: K, key: RuleName) => {
    const number = given(key);
    return (number === undefined ? {} : { [property]: number }) as { readonly [P in K]?: number };
  };
  const usual = (key: string) => given(key) ?? numbers[key]?.usual ?? 0;
  return {
    name,
    mode,
    windowSeconds: usual('window_seconds'),
    minCalls: usual('min_calls'),
    ...limit('maxErrorRate', 'max_error_rate'),
    ...limit('maxLatencyMs', 'max_latency_ms'),
    ...limit('maxLatencyGrowth', 'max_latency_growth'),
    ...limit('maxDrift', 'max_drift'),
    ...limit('healthFailures', 'health_failures'),
    healthSeconds: usual('health_seconds'),
    settleSeconds: usual('settle_seconds'),
    cooldownSeconds: usual('cooldown_seconds'),
    rollbacksPerDay: usual('rollbacks_per_day'),
  };
}

function numberIn(
  table: Readonly<Record<string, unknown>>,
  key: string,
  part: ConfigPart,
): number | undefined {
  if (table[key] === undefined) return undefined;
  const { min = 0, max = 0, whole = false } = numbers[key] ?? {};
  const inner = part.inner(key);
  const number = inner.number(table[key]);
  const isFine = number >= min && number <= max && (!whole || Number.isInteger(number));
  if (isFine) return number;
  throw inner.invalid(
    `is ${number}`,
    `Write a ${whole ? 'whole number' : 'number'} from ${min} to ${max}`,
  );
}
