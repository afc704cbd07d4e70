import { MstoreError } from '../base/errors.ts';
import { isJsonObject, type JsonObject, jsonDepthMax } from '../base/json.ts';
import { limits } from '../base/limits.ts';
import { printable } from '../base/names.ts';
import { readDataFile } from './data-file.ts';
import { flattenMetrics, type Metrics } from './metrics.ts';

/**
 * Reads a file of metadata, JSON, YAML or TOML, which is kept as it is: what comes back later is what was read, in
 * the same order.
 * @param file absolute path
 * @throws MstoreError `bad-metadata` for what JSON cannot hold unchanged, `too-large`, `not-found`
 */
export async function readMetadata(file: string): Promise<JsonObject> {
  const bad = (problem: string, hint: string): MstoreError =>
    new MstoreError('bad-metadata', `${printable(file)} ${problem}`, {
      hint,
      details: { path: file },
    });
  const value = await readDataFile(file, {
    code: 'bad-metadata',
    bytesMax: limits.metadataBytesMax,
  });
  if (!isJsonObject(value)) {
    throw bad('does not map names to values', 'Write {"NAME": VALUE} or, in YAML, NAME: VALUE');
  }
  // A YAML file of few bytes may stand for a tree without end.
  let left = limits.metricsMax;
  const lost = findLost(value, { path: '', depth: 0 }, () => left-- > 0);
  if (lost !== undefined) {
    throw bad(`holds ${lost}`, 'Write it as a text, in quotes, or leave it out');
  }
  return value;
}

/** Returns the metrics of metadata, those below `metrics`; texts among them are left out. */
export function metricsOf(metadata: JsonObject | undefined, where: string): Metrics {
  const metrics = metadata?.['metrics'];
  if (!isJsonObject(metrics) || Object.keys(metrics).length === 0) return {};
  return flattenMetrics(metrics, where, { numbersOnly: true }).metrics;
}

/** Finds a value that would come back as another one, and describes it. */
function findLost(
  value: unknown,
  { path, depth }: { readonly path: string; readonly depth: number },
  more: () => boolean,
): string | undefined {
  if (!more()) return `more than ${limits.metricsMax} values`;
  // The record that it becomes a part of is one level more.
  if (depth >= jsonDepthMax) return `more than ${jsonDepthMax} levels`;
  if (typeof value === 'number') {
    if (!Number.isFinite(value)) return `the number ${value} at ${printable(path)}`;
    // Below 1e21 it would be written with all its digits, and not with those that were read.
    const inexact = Number.isInteger(value) && !Number.isSafeInteger(value);
    return inexact && Math.abs(value) < 1e21
      ? `an integer of more than 53 bits at ${printable(path)}`
      : undefined;
  }
  if (typeof value !== 'object' || value === null) return undefined;
  if (!Array.isArray(value) && !isPlain(value))
    return `a value of no kind of JSON at ${printable(path)}`;
  for (const [key, inner] of Object.entries(value)) {
    const place = { path: path === '' ? key : `${path}.${key}`, depth: depth + 1 };
    const lost = findLost(inner, place, more);
    if (lost !== undefined) return lost;
  }
  return undefined;
}

function isPlain(value: object): boolean {
  return Object.getPrototypeOf(value) === Object.prototype;
}
