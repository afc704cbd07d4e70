import * as fs from 'node:fs';
import { fromSystemError, MstoreError } from '../base/errors.ts';
import { isJsonObject, type JsonObject } from '../base/json.ts';
import { printable } from '../base/names.ts';
import { type Outcome, outcomeBounds } from '../monitor/outcome.ts';
import { type MonitorRules, parseMonitorRules, rulesFor } from '../monitor/rules.ts';
import { type SeriesLine, type SimulatedAct, Simulation } from '../monitor/simulation.ts';
import type { PastEntry } from '../monitor/way-back.ts';
import { registryNameProblem } from '../registry/names.ts';
import { readConfigFile } from '../worktree/config-file.ts';

/** Bytes of a line: of a thousand outcomes, or a long history. */
const lineBytesMax = 4 * 1024 * 1024;
/** Environments in one file. */
const placesMax = 10_000;

/** What rules would have done in one environment. */
export interface SimulatedEnvironment {
  readonly model: string;
  readonly environment: string;
  /** Name of the rules that apply; null where there are none. */
  readonly rules: string | null;
  /** First and last time that the series tells of, as ISO 8601 in UTC. */
  readonly from: string;
  readonly to: string;
  readonly calls: number;
  readonly acts: readonly SimulatedAct[];
}

/** What {@link simulate} is asked for. */
export interface SimulateOptions {
  /** Absolute path of a recorded series. */
  readonly file: string;
  /** The tables of rules, and the file they were read from. */
  readonly rules: { readonly value: unknown; readonly file: string };
}

/** Reads the rules of another file than the configuration. */
export function rulesOfFile(file: string): SimulateOptions['rules'] {
  return { value: readConfigFile(file)['monitor'], file };
}

interface Place {
  readonly model: string;
  readonly environment: string;
  readonly rules: MonitorRules | undefined;
  readonly simulation: Simulation | undefined;
  readonly fromMs: number;
  toMs: number;
}

/**
 * Replays a series that `mstore serve --record` wrote down, and says what rules would have done.
 * @throws MstoreError `config-invalid`, `not-found`, `bad-input` for a line that is none
 */
export async function simulate({
  file,
  rules,
}: SimulateOptions): Promise<readonly SimulatedEnvironment[]> {
  const parsed = parseMonitorRules(rules.value, rules.file);
  const places = new Map<string, Place>();
  let number = 0;
  for await (const text of linesOf(file)) {
    number++;
    if (text.trim() === '') continue;
    const { model, environment, line } = parseLine(text, file, number);
    const key = `${model}@${environment}`;
    const place = places.get(key) ?? begin({ model, environment }, line.atMs, parsed);
    if (!places.has(key) && places.size >= placesMax)
      throw notALine(file, number, 'is one of too many environments');
    places.set(key, place);
    if (line.atMs < place.toMs)
      throw notALine(file, number, 'is of an earlier time than the one before');
    place.toMs = line.atMs;
    place.simulation?.take(line);
  }
  return [...places.values()].map(told);
}

function begin(
  name: { readonly model: string; readonly environment: string },
  fromMs: number,
  parsed: ReadonlyMap<string, MonitorRules>,
): Place {
  const rules = rulesFor(parsed, name.model, name.environment);
  const simulation = rules && new Simulation(rules);
  return { ...name, rules, simulation, fromMs, toMs: fromMs };
}

function told({
  model,
  environment,
  rules,
  simulation,
  fromMs,
  toMs,
}: Place): SimulatedEnvironment {
  simulation?.end();
  return {
    model,
    environment,
    rules: rules?.name ?? null,
    from: new Date(fromMs).toISOString(),
    to: new Date(toMs).toISOString(),
    calls: simulation?.calls ?? 0,
    acts: simulation?.acts ?? [],
  };
}

/** Reads a file line by line, none of which may be longer than its bound. */
async function* linesOf(file: string): AsyncGenerator<string> {
  let rest: Buffer = Buffer.alloc(0);
  let number = 1;
  try {
    for await (const block of fs.createReadStream(file) as AsyncIterable<Buffer>) {
      rest = rest.length === 0 ? block : Buffer.concat([rest, block]);
      let start = 0;
      for (let end = rest.indexOf(10); end !== -1; end = rest.indexOf(10, start)) {
        yield rest.toString('utf8', start, end);
        number++;
        start = end + 1;
      }
      rest = rest.subarray(start);
      if (rest.length > lineBytesMax) throw notALine(file, number, 'is too long');
    }
  } catch (error) {
    throw fromSystemError(error, `reading ${printable(file)}`);
  }
  if (rest.length > 0) yield rest.toString();
}

interface ParsedLine {
  readonly model: string;
  readonly environment: string;
  readonly line: SeriesLine;
}

function parseLine(text: string, file: string, number: number): ParsedLine {
  const problem = (what: string) => notALine(file, number, what);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw problem('is no JSON');
  }
  if (!isJsonObject(value)) throw problem('is no object');
  const { at, model, environment, history, outcomes } = value;
  const atMs = typeof at === 'string' ? Date.parse(at) : Number.NaN;
  if (Number.isNaN(atMs)) throw problem('has no time "at"');
  if (!isName('model', model)) throw problem('has no "model"');
  if (!isName('environment', environment)) throw problem('has no "environment"');
  const name = { model, environment };
  if (Array.isArray(history)) {
    const entries = (history as unknown[]).map((entry) => entryOf(entry, problem));
    return { ...name, line: { atMs, kind: 'history', history: entries } };
  }
  if (!Array.isArray(outcomes)) throw problem('has neither "history" nor "outcomes"');
  const told = (outcomes as unknown[]).map((outcome) => outcomeOf(outcome, problem));
  return { ...name, line: { atMs, kind: 'outcomes', outcomes: told } };
}

function isName(kind: 'model' | 'environment' | 'version', value: unknown): value is string {
  return typeof value === 'string' && registryNameProblem(kind, value) === undefined;
}

type Problem = (what: string) => MstoreError;

function entryOf(value: unknown, problem: Problem): PastEntry {
  if (!isJsonObject(value)) throw problem('has an entry that is no object');
  const { version, action, at, automatic } = value;
  const isAction = action === 'deploy' || action === 'promote' || action === 'rollback';
  const isTime = typeof at === 'string' && !Number.isNaN(Date.parse(at));
  if (isName('version', version) && isAction && isTime) {
    return { version, action, at, automatic: automatic === true };
  }
  throw problem('has an entry without a version, an action or a time');
}

function outcomeOf(value: unknown, problem: Problem): Outcome {
  if (!isJsonObject(value)) throw problem('has an outcome that is no object');
  const { version, ok, kind = 'call', count = 1, prediction } = value;
  if (!isName('version', version)) throw problem('has an outcome without a version');
  if (typeof ok !== 'boolean') throw problem('has an outcome without "ok"');
  if (kind !== 'call' && kind !== 'load') throw problem('has an outcome of an unknown kind');
  const latency = numberIn(value, 'latency_ms', outcomeBounds.latencyMs, problem);
  if (!Number.isInteger(count) || (count as number) < 1 || (count as number) > outcomeBounds.count)
    throw problem('has an outcome with a count that is none');
  const isLabel =
    typeof prediction === 'string' &&
    prediction !== '' &&
    [...prediction].length <= outcomeBounds.label;
  const isPrediction = prediction === undefined || Number.isFinite(prediction) || isLabel;
  if (!isPrediction)
    throw problem('has an outcome whose prediction is neither a label nor a number');
  return {
    ...{ version, ok, kind, count: count as number },
    latency_ms: latency,
    prediction: prediction as string | number | undefined,
  };
}

function numberIn(value: JsonObject, key: string, most: number, problem: Problem) {
  const number = value[key];
  if (number === undefined) return undefined;
  if (typeof number === 'number' && number >= 0 && number <= most) return number;
  throw problem(`has an outcome whose ${key} is none`);
}

function notALine(file: string, number: number, what: string): MstoreError {
  return new MstoreError('bad-input', `Line ${number} of ${printable(file)} ${what}`, {
    hint: 'Give a file that "mstore serve --record FILE" wrote',
    details: { path: file, line: number },
  });
}
