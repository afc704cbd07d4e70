import { MstoreError } from '../base/errors.ts';
import { compareUtf8, isJsonObject } from '../base/json.ts';
import { limits } from '../base/limits.ts';
import { printable } from '../base/names.ts';
import { nonNumberHint, readDataFile } from './data-file.ts';

/**
 * Numbers that tell how good a model is, by name, sorted by the UTF-8 bytes of the names. All are
 * finite. Units are those of whoever measured.
 */
export type Metrics = Readonly<Record<string, number>>;

/** What a file of metrics holds. */
export interface MetricsFile {
  readonly metrics: Metrics;
  /** Names of values that are no numbers; empty unless these were to be left out. */
  readonly leftOut: readonly string[];
}

/** Options of {@link readMetrics}. */
export interface MetricsOptions {
  /** Leave texts, dates, true, false and null out; otherwise they are errors. */
  readonly numbersOnly?: boolean;
}

/**
 * Reads a file of metrics, JSON, YAML or TOML. Names of nested values are joined by dots, places in lists
 * count from 0: `{"eval": {"loss": [0.2]}}` holds `eval.loss.0`.
 * @param file absolute path
 * @throws MstoreError `bad-metrics` for a file that cannot be read so, a name that stands twice (after
 * joining too), no number at all, or a number that is not finite (also a text that says so, such as
 * "NaN"); `too-large`, `not-found`
 */
export async function readMetrics(
  file: string,
  options: MetricsOptions = {},
): Promise<MetricsFile> {
  const value = await readDataFile(file, {
    code: 'bad-metrics',
    bytesMax: limits.metricsBytesMax,
  });
  return flattenMetrics(value, file, options);
}

/**
 * Makes metrics of nested values; see {@link readMetrics}.
 * @param where the values come from, for errors
 */
export function flattenMetrics(
  value: unknown,
  where: string,
  options: MetricsOptions = {},
): MetricsFile {
  if (!isJsonObject(value)) {
    throw badMetrics(`${printable(where)} does not map names to numbers`, {
      hint: 'Write {"NAME": NUMBER} or, in YAML, NAME: NUMBER',
    });
  }
  const gathered = new Gathered(where, options.numbersOnly === true);
  gathered.take(value, []);
  return gathered.finish();
}

class Gathered {
  readonly #where: string;
  readonly #numbersOnly: boolean;
  readonly #numbers = new Map<string, number>();
  readonly #leftOut = new Set<string>();
  #seen = 0;

  constructor(where: string, numbersOnly: boolean) {
    this.#where = printable(where);
    this.#numbersOnly = numbersOnly;
  }

  take(value: unknown, path: readonly string[]): void {
    // Aliases of YAML make much of little, so that the size of the file bounds nothing.
    if (++this.#seen > limits.metricsMax || path.length > limits.metricsDepthMax) {
      throw new MstoreError('too-large', `${this.#where} holds too many values`, {
        hint: `At most ${limits.metricsMax} values are read, ${limits.metricsDepthMax} levels deep`,
      });
    }
    if (Array.isArray(value)) {
      for (const [i, inner] of value.entries()) this.take(inner, [...path, String(i)]);
    } else if (isPlainObject(value)) {
      for (const [key, inner] of Object.entries(value)) this.take(inner, [...path, key]);
    } else {
      this.#leaf(value, path.join('.'));
    }
  }

  #leaf(value: unknown, name: string): void {
    const problem = metricNameProblem(name);
    if (problem !== undefined) {
      throw badMetrics(`${this.#where} names a metric with ${problem}: ${printable(name)}`, {
        hint: 'Rename it where it is written',
      });
    }
    if (this.#numbers.has(name) || this.#leftOut.has(name)) {
      throw badMetrics(`${this.#where} names ${printable(name)} twice`, {
        hint: 'Names of nested values are joined by dots: rename one of the two',
        metric: name,
      });
    }
    if (typeof value === 'number') this.#numbers.set(name, finite(value, name, this.#where));
    else if (typeof value === 'string' && saysNonNumber.test(value)) {
      finite(Number.NaN, name, this.#where);
    } else if (this.#numbersOnly) this.#leftOut.add(name);
    else {
      throw badMetrics(
        `${printable(name)} in ${this.#where} is ${kindOf(value)} instead of a number`,
        {
          hint: 'Take it out of the file, or write a number without quotes',
          metric: name,
        },
      );
    }
  }

  finish(): MetricsFile {
    if (this.#numbers.size === 0) {
      throw badMetrics(`${this.#where} holds no numbers`, {
        hint: 'Look at what wrote it, or name another file',
      });
    }
    return { metrics: sorted(this.#numbers), leftOut: [...this.#leftOut].sort(compareUtf8) };
  }
}

/** Texts that programs write for numbers that are none. */
const saysNonNumber = /^[-+]?\.?(?:nan|inf|infinity)$/i;

function isPlainObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !(value instanceof Date);
}

function kindOf(value: unknown): string {
  if (typeof value === 'string') return 'a text';
  if (typeof value === 'boolean') return String(value);
  return value === null ? 'null' : 'a date';
}

/** Returns a metric as it is kept: finite, and without the sign of a zero, which JSON drops. */
function finite(value: number, name: string, where: string): number {
  if (Number.isFinite(value)) return value + 0;
  throw badMetrics(`${printable(name)} in ${where} is not a finite number`, {
    hint: nonNumberHint,
    metric: name,
  });
}

function sorted(numbers: ReadonlyMap<string, number>): Metrics {
  return Object.fromEntries([...numbers].sort(([a], [b]) => compareUtf8(a, b)));
}

const loneSurrogate = /\p{Surrogate}/u;

/** Says what makes a name unfit for a metric, or undefined. */
function metricNameProblem(name: string): string | undefined {
  if (name.split('.').includes('')) return 'an empty part';
  if (Buffer.byteLength(name) > limits.metricNameBytesMax)
    return `a name of more than ${limits.metricNameBytesMax} bytes`;
  if (printable(name) !== name || loneSurrogate.test(name)) return 'a control character';
  if (name.trim() !== name) return 'a space at an end';
  return name === '__proto__' ? 'a name that JavaScript keeps for itself' : undefined;
}

const numberPattern = /^[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?$/;

/**
 * Parses metrics of the command line, each `NAME=NUMBER`; what is before the last `=` is the name.
 * @throws MstoreError `usage` without a name or a `=`, `bad-metrics` for a name that comes twice or no
 * finite number in decimal notation
 */
export function parseMetricOptions(given: readonly string[]): Metrics {
  const numbers = new Map<string, number>();
  for (const text of given) {
    const at = text.lastIndexOf('=');
    const name = text.slice(0, Math.max(at, 0));
    const problem = metricNameProblem(name);
    if (at === -1 || problem !== undefined) {
      throw new MstoreError('usage', `--metric cannot be ${printable(text)}`, {
        hint: `Write --metric NAME=NUMBER${at > 0 ? `; the name has ${problem}` : ''}`,
      });
    }
    if (numbers.has(name)) {
      throw badMetrics(`--metric names ${printable(name)} twice`, {
        hint: 'Give each metric once',
        metric: name,
      });
    }
    const value = text.slice(at + 1);
    if (!numberPattern.test(value) || !Number.isFinite(Number(value))) {
      throw badMetrics(`--metric ${printable(text)} gives no finite number`, {
        hint: 'Write it in decimal notation, such as 0.31 or 3.1e-1',
        metric: name,
      });
    }
    numbers.set(name, Number(value) + 0);
  }
  return sorted(numbers);
}

/**
 * Joins metrics of two sources.
 * @throws MstoreError `bad-metrics` for a name that both have
 */
export function joinMetrics(first: Metrics, second: Metrics): Metrics {
  const twice = Object.keys(second).find((name) => Object.hasOwn(first, name));
  if (twice === undefined) {
    return sorted(new Map([...Object.entries(first), ...Object.entries(second)]));
  }
  throw badMetrics(`The metric ${printable(twice)} is given twice`, {
    hint: 'Give it in the file or on the command line',
    metric: twice,
  });
}

/** Returns a metric, or undefined where there is none of that name. */
export function metricOf(metrics: Metrics, name: string): number | undefined {
  return Object.hasOwn(metrics, name) ? metrics[name] : undefined;
}

/** Makes the error of metrics that cannot be read or compared. */
export function badMetrics(
  message: string,
  { hint, metric }: { readonly hint: string; readonly metric?: string },
): MstoreError {
  return new MstoreError('bad-metrics', message, {
    hint,
    ...(metric === undefined ? {} : { details: { metric } }),
  });
}
