import type { JsonObject } from '../base/json.ts';
import { listIn, objectIn, textIn } from '../source/mlflow-api.ts';

/** A run as it is there. */
export interface MlflowRun {
  readonly id: string;
  readonly artifacts: string;
  readonly isFinished: boolean;
  readonly metrics: ReadonlySet<string>;
  readonly params: ReadonlySet<string>;
  readonly tags: ReadonlyMap<string, string>;
}

/** Names and values as requests of MLflow hold them. */
export function pairs(all: ReadonlyArray<readonly [string, string]>): JsonObject[] {
  return all.map(([key, value]) => ({ key, value }));
}

/** The tags of a run or a version. */
export function tagsOf(one: JsonObject): Map<string, string> {
  return new Map(listIn(one, 'tags').map((tag) => [textIn(tag, 'key'), textIn(tag, 'value')]));
}

/** Reads a run out of an answer; undefined where it holds none. */
export function runOf(answer: JsonObject | undefined): MlflowRun | undefined {
  const run = objectIn(answer, 'run');
  const info = objectIn(run, 'info');
  const data = objectIn(run, 'data');
  const id = textIn(info, 'run_id');
  if (id === '') return undefined;
  const keys = (list: string): Set<string> =>
    new Set(listIn(data, list).map((one) => textIn(one, 'key')));
  return {
    id,
    artifacts: textIn(info, 'artifact_uri'),
    isFinished: textIn(info, 'status') === 'FINISHED',
    metrics: keys('metrics'),
    params: keys('params'),
    tags: tagsOf(data),
  };
}
