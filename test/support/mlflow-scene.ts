import { expect } from 'vitest';
import { importModel } from '../../src/flow/import/import.ts';
import type { PublishResult } from '../../src/flow/publish/publish.ts';
import { localRegistry } from '../../src/flow/registry.ts';
import { makePublisher } from './publishing.ts';
import type { Marks } from './transcript.ts';

/** What a version is told of; every value of it is to be found in MLflow. */
const told = {
  description: 'The first one',
  metrics: { accuracy: 0.91, 'val.loss': 0.25 },
  labels: { team: 'vision', experiment_type: 'finetune' },
  metadata: { hyperparameters: { lr: 0.1, layers: [1, 2], 'weight decay': 'none' } },
} as const;

/** The files of the version. */
export const files = {
  'config.json': '{"a":1}',
  'deep/a b&c.txt': 'text '.repeat(500),
  empty: '',
};

const now = Date.parse('2026-11-22T10:00:00Z');
export const experiment = '2026-11-22_bert_finetune_v1';

/** What {@link publishAndImport} found. */
export interface MlflowScene {
  readonly first: PublishResult;
  /** Number of the version in MLflow. */
  readonly number: string;
}

/** A place where a scene is played, opened before its server is. */
export async function mlflowPublisher() {
  const env = { PATH: process.env['PATH'], MSTORE_CORE_AUTHOR: 'Ann <ann@example.org>' };
  const clock = { now: () => now, monotonic: () => performance.now() };
  const from = await makePublisher(env, { clock });
  await from.version('v1', files, told);
  const registry = await localRegistry(await from.project.open(), {});
  const record = await registry.record('bert', 'v1');
  const marks: Marks = {
    record: record?.sha256 ?? '',
    content: record?.value.content.sha256 ?? '',
  };
  return { from, marks };
}

/** Publishes a version to MLflow, again, under more names, and takes it back in, byte for byte. */
export async function publishAndImport(
  { from }: Awaited<ReturnType<typeof mlflowPublisher>>,
  name: string,
): Promise<MlflowScene> {
  const to = `mlflow:${name}`;
  const template = '{date}_{model}_{experiment_type}_{version}';
  const how = { experiment: template, aliases: ['staging'] };
  const plan = await from.publish('bert@v1', to, { ...how, dryRun: true });
  const first = await from.publish('bert@v1', to, how);
  expect(first.steps).toEqual(plan.steps);
  expect(first.steps.map(({ act, what }) => `${act} ${what}`)).toEqual([
    `create experiment ${experiment}`,
    'create run bert v1',
    ...Object.keys(files).map((path) => `upload ${path}`),
    `create registered model ${name}`,
    `register version of ${name}`,
    'alias staging',
  ]);
  expect(first.bytesSent).toBe(Object.values(files).join('').length);
  const number = /\/(\d+)$/.exec(first.reference ?? '')?.[1] ?? '';
  expect(first.reference).toBe(`mlflow:models:/${name}/${number}`);
  const again = await from.publish('bert@v1', to, how);
  expect(again).toMatchObject({ changed: false, bytesSent: 0, reference: first.reference });
  const moved = await from.publish('bert@v1', to, { aliases: ['production'], stage: 'production' });
  expect(moved.steps).toEqual([
    { act: 'alias', what: 'production' },
    { act: 'stage', what: 'Production' },
  ]);
  const taken = await importModel(await from.project.open(), {
    from: `mlflow:models:/${name}@production`,
    model: 'back',
    version: 'v1',
    path: 'models/bert',
    cwd: from.project.root,
  });
  expect(taken).toMatchObject({ created: true, from: first.reference, bytesNew: 0 });
  const registry = await localRegistry(await from.project.open(), {});
  const [before, after] = [
    await registry.record('bert', 'v1'),
    await registry.record('back', 'v1'),
  ];
  expect(after?.value.content).toEqual(before?.value.content);
  expect(after?.value.source?.['imported']).toMatchObject({ kind: 'mlflow', version: number });
  return { first, number };
}
