import * as fs from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, onTestFinished } from 'vitest';
import { deploy } from '../../src/flow/environments.ts';
import { moveMirrored } from '../../src/flow/publish/mirror.ts';
import type { PublishRequest } from '../../src/flow/publish/publish.ts';
import { localRegistry } from '../../src/flow/registry.ts';
import { mlflowPublisher, publishAndImport } from '../support/mlflow-scene.ts';
import { makePublisher } from '../support/publishing.ts';
import {
  type Exchange,
  type Faults,
  onceEach,
  replay,
  type TranscriptServer,
} from '../support/transcript.ts';

function transcriptOf(major: number): Exchange[] {
  const place = new URL(`../fixtures/transcripts/mlflow-${major}.json`, import.meta.url);
  return JSON.parse(fs.readFileSync(fileURLToPath(place), 'utf8')) as Exchange[];
}

/** Plays the scene against what a real server said. */
async function play(major: number, faults?: Faults): Promise<TranscriptServer> {
  const scene = await mlflowPublisher();
  const server = await replay(transcriptOf(major), () => scene.marks, faults);
  onTestFinished(() => server.stop());
  scene.from.env['MLFLOW_TRACKING_URI'] = server.uri;
  await publishAndImport(scene, 'bert');
  return server;
}

describe.each([3, 2])('what was said with the real MLflow %i', (major) => {
  it('is said again, request by request', async () => {
    const { unexpected, exchanges } = await play(major);
    expect(unexpected).toEqual([]);
    expect(exchanges).toEqual([]);
  });

  it('is said again where a server is busy', async () => {
    const { unexpected, exchanges } = await play(major, onceEachOf('busy'));
    expect(unexpected).toEqual([]);
    expect(exchanges).toEqual([]);
  });
});

/** Faults of what may be sent twice without a look in between. */
function onceEachOf(fault: 'busy' | 'broken'): Faults {
  const faults = onceEach(fault);
  return (method, path) => (/\/create$/.test(path) ? undefined : faults(method, path));
}

describe('what cannot be published to MLflow', () => {
  const to = 'mlflow:bert';
  const server = { MLFLOW_TRACKING_URI: 'http://127.0.0.1:9' };
  const cases: Array<[string, NodeJS.ProcessEnv, Partial<PublishRequest>, string]> = [
    ['without a server', {}, {}, 'MLFLOW_TRACKING_URI'],
    ['to files', { MLFLOW_TRACKING_URI: 'file:///x' }, {}, 'https://HOST'],
    ['with a password in the address', { MLFLOW_TRACKING_URI: 'http://a:b@h' }, {}, 'PASSWORD'],
    ['unchecked', { ...server, MLFLOW_TRACKING_INSECURE_TLS: 'true' }, {}, 'CERT_PATH'],
    ['to two servers', { ...server, MLFLOW_REGISTRY_URI: 'http://h' }, {}, 'unset'],
    ['under the alias latest', server, { aliases: ['latest'] }, 'taken by MLflow'],
    ['under the alias v1', server, { aliases: ['v1'] }, 'taken by MLflow'],
    ['under the alias a b', server, { aliases: ['a b'] }, 'letters'],
    ['to a stage of its own', server, { stage: 'live' }, 'Production'],
    ['to an experiment by a label that is not there', server, { experiment: '{x}' }, '--label x='],
    ['to an experiment named a/b', server, { experiment: 'a/b' }, 'characters'],
    ['to an experiment without a name', server, { experiment: ' ' }, 'characters'],
  ];

  it.each(cases)('%s is refused before anything is asked', async (_, env, more, hint) => {
    const from = await makePublisher({ ...env });
    await from.version('v1', { 'config.json': '{}' });
    await expect(from.publish('bert@v1', to, more)).rejects.toMatchObject({
      code: 'usage',
      hint: expect.stringContaining(hint),
    });
  });

  it('has a name that MLflow cannot keep', async () => {
    const from = await makePublisher({ ...server });
    await from.version('v1', { 'a#b': '' });
    await expect(from.publish('bert@v1', to)).rejects.toMatchObject({ code: 'bad-name' });
  });

  it.each([
    ['{"error_code":"PERMISSION_DENIED","message":"no"}', 403, 'remote-refused'],
    ['Invalid Host header', 403, 'remote-refused'],
    ['<html>', 200, 'corrupt-source'],
    ['[]', 200, 'corrupt-source'],
    ['{"error_code":"INVALID_PARAMETER_VALUE","message":"no"}', 400, 'remote-refused'],
    ['gone', 404, 'remote-refused'],
    ['later', 503, 'remote-unreachable'],
  ])('is answered by %s (%i): told, and nothing is written', async (said, status, code) => {
    const from = await makePublisher({});
    const transcript = Array.from({ length: 20 }, () => ({
      method: 'GET',
      path: '/api/2.0/mlflow/registered-models/get?name=bert',
      status,
      response: said,
    }));
    const answering = await replay(transcript, () => ({}));
    onTestFinished(() => answering.stop());
    from.env['MLFLOW_TRACKING_URI'] = answering.uri;
    await from.version('v1', { 'config.json': '{}' });
    await expect(from.publish('bert@v1', to)).rejects.toMatchObject({ code });
    expect(answering.unexpected).toEqual([]);
  });
});

describe('an alias that is to follow an environment', () => {
  it.each([
    ['where no server answers', 'mlflow:bert', 'production', 'remote-unreachable'],
    ['by a name that MLflow does not take', 'mlflow:bert', 'eu.production', 'usage'],
    ['on the Hub', 'hf:org/bert', 'production', 'usage'],
  ])('%s is told before anything moves', async (_, to, environment, code) => {
    const from = await makePublisher({ MLFLOW_TRACKING_URI: 'http://127.0.0.1:9' });
    await from.version('v1', { 'config.json': '{}' });
    const workspace = await from.project.open();
    const target = { model: 'bert', version: 'v1', environment };
    const move = (dryRun: boolean) => deploy(workspace, target, { dryRun });
    await expect(moveMirrored(workspace, to, move)).rejects.toMatchObject({ code });
    const registry = await localRegistry(await from.project.open(), {});
    expect(await registry.live('bert', environment)).toBeUndefined();
  });

  it('and cannot once the environment has moved: the error tells both', async () => {
    const scene = await mlflowPublisher();
    const transcript = transcriptOf(3);
    const server = await replay(
      transcript,
      () => scene.marks,
      (method) => (method === 'GET' ? undefined : 'busy'),
    );
    onTestFinished(() => server.stop());
    scene.from.env['MLFLOW_TRACKING_URI'] = server.uri;
    scene.from.env['MSTORE_PUBLISH_EXPERIMENT'] = '{date}_{model}_{experiment_type}_{version}';
    const workspace = await scene.from.project.open();
    const target = { model: 'bert', version: 'v1', environment: 'staging' };
    const move = (dryRun: boolean) => deploy(workspace, target, { dryRun });
    await expect(moveMirrored(workspace, 'mlflow:bert', move)).rejects.toMatchObject({
      code: 'remote-unreachable',
      message: expect.stringMatching(
        /bert@v1 is live in staging now, but its alias did not follow: /,
      ),
      hint: expect.stringContaining('mstore publish bert@v1 --to mlflow:bert --alias staging'),
    });
    const registry = await localRegistry(await scene.from.project.open(), {});
    expect((await registry.live('bert', 'staging'))?.value.version).toBe('v1');
  });
});
