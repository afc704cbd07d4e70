import { execFile } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { deploy, rollback } from '../../src/flow/environments.ts';
import { importModel } from '../../src/flow/import/import.ts';
import { moveMirrored } from '../../src/flow/publish/mirror.ts';
import {
  type MlflowMajor,
  mlflowPlaces,
  mlflowPython,
  startMlflow,
} from '../support/mlflow-program.ts';
import { experiment, files, mlflowPublisher, publishAndImport } from '../support/mlflow-scene.ts';
import { makePublisher } from '../support/publishing.ts';
import { endServers } from '../support/server-process.ts';
import { tempFolder } from '../support/temp.ts';
import { onceEach, record } from '../support/transcript.ts';

const top = path.resolve(import.meta.dirname, '../..');
const fixtures = fileURLToPath(new URL('../fixtures/transcripts', import.meta.url));

afterAll(endServers);

describe.each<MlflowMajor>([3, 2])('with the real MLflow %i', (major) => {
  let uri = '';

  beforeAll(async () => {
    await mlflowPlaces[major].install();
    uri = await startMlflow(major);
  }, 600_000);

  it('a version is published, found again by its client, and taken back in', async () => {
    const scene = await mlflowPublisher();
    const recorder = await record(uri, () => scene.marks);
    scene.from.env['MLFLOW_TRACKING_URI'] = recorder.uri;
    const { number } = await publishAndImport(scene, 'bert');
    await recorder.stop();
    if (process.env['MSTORE_RECORD'] === '1') {
      fs.mkdirSync(fixtures, { recursive: true });
      const text = `${JSON.stringify(recorder.exchanges, undefined, 1)}\n`;
      fs.writeFileSync(path.join(fixtures, `mlflow-${major}.json`), text);
    }
    const folder = tempFolder();
    const script = `
import json, mlflow, os
from mlflow import MlflowClient
client = MlflowClient()
version = client.get_model_version_by_alias("bert", "production")
run = client.get_run(version.run_id)
folder = mlflow.artifacts.download_artifacts(artifact_uri="models:/bert@production", dst_path=${JSON.stringify(folder)})
found = {}
for at, _, names in os.walk(folder):
    for name in names:
        if name == "registered_model_meta": continue
        place = os.path.join(at, name)
        found[os.path.relpath(place, folder)] = open(place).read()
print(json.dumps({
    "version": version.version, "stage": version.current_stage, "description": version.description,
    "tags": version.tags, "experiment": client.get_experiment(run.info.experiment_id).name,
    "status": run.info.status, "metrics": run.data.metrics, "params": run.data.params,
    "runTags": run.data.tags, "files": found,
}))`;
    const said = await mlflowPython(
      major,
      script,
      { MLFLOW_TRACKING_URI: uri, HOME: folder },
      folder,
    );
    const found = JSON.parse(said.trim().split('\n').at(-1) ?? '') as Record<string, unknown>;
    expect(found).toMatchObject({
      version: major === 2 ? number : expect.anything(),
      stage: 'Production',
      description: 'The first one',
      tags: { 'mstore.model': 'bert', 'mstore.version': 'v1', team: 'vision' },
      experiment,
      status: 'FINISHED',
      metrics: { accuracy: 0.91, 'val.loss': 0.25 },
      params: { lr: '0.1', layers: '[1,2]', 'weight decay': 'none' },
      runTags: { 'mlflow.note.content': 'The first one', team: 'vision' },
      files,
    });
  }, 300_000);

  it.each(['busy', 'broken', 'silent'] as const)(
    'a server that is %s at each request once makes one run and one version',
    async (fault) => {
      const scene = await mlflowPublisher();
      const between = await record(uri, () => scene.marks, onceEach(fault));
      scene.from.env['MLFLOW_TRACKING_URI'] = between.uri;
      const name = `bert-${fault}`;
      const how = { aliases: ['live'], experiment: `{model}-${fault}` };
      const { reference } = await scene.from.publish('bert@v1', `mlflow:${name}`, how);
      expect(reference).toBe(`mlflow:models:/${name}/1`);
      scene.from.env['MLFLOW_TRACKING_URI'] = uri;
      const again = await scene.from.publish('bert@v1', `mlflow:${name}`, how);
      expect(again).toMatchObject({ changed: false, reference });
      await between.stop();
      const runs = await fetch(
        `${uri}/api/2.0/mlflow/model-versions/search?filter=name%3D'${name}'`,
      );
      const { model_versions: made } = (await runs.json()) as { model_versions: unknown[] };
      expect(made).toHaveLength(1);
    },
  );

  it('the page on publishing works line by line', async () => {
    const page = fs.readFileSync(path.join(top, 'docs/guide/publish.md'), 'utf8');
    const [, lines = ''] = /^```sh interop\n(.*?)^```$/ms.exec(page) ?? [];
    expect(lines).toContain('mstore publish');
    const folder = tempFolder();
    const program = path.join(folder, 'mstore');
    fs.writeFileSync(
      program,
      `#!/bin/sh\nexec '${process.execPath}' '${path.join(top, 'bin/mstore.js')}' "$@"\n`,
      { mode: 0o755 },
    );
    const before = [
      'set -eu; mkdir work; cd work; mstore init --no-git; mkdir ocr; echo weights > ocr/w',
      'mstore add ocr; mstore register ocr@v1 ocr',
    ];
    const PATH = `${folder}${path.delimiter}${process.env['PATH']}`;
    const env = { PATH, HOME: folder, PORT: new URL(uri).port };
    const script = [...before, lines, 'mstore checkout copy@v1 --to out; diff -r ocr out'].join(
      '\n',
    );
    await promisify(execFile)('sh', ['-c', script], { cwd: folder, env });
  });

  it('an alias follows an environment, back and forth', async () => {
    const from = await makePublisher({ PATH: process.env['PATH'], MLFLOW_TRACKING_URI: uri });
    const workspace = () => from.project.open();
    const live = async (): Promise<unknown> => {
      const query = 'name=followed&alias=production';
      const answer = await fetch(`${uri}/api/2.0/mlflow/registered-models/alias?${query}`);
      const { model_version: version } = (await answer.json()) as {
        model_version?: { tags: Array<{ key: string; value: string }> };
      };
      return version?.tags.find(({ key }) => key === 'mstore.version')?.value;
    };
    const to = 'mlflow:followed';
    const target = { model: 'bert', environment: 'production' };
    for (const version of ['v1', 'v2']) {
      await from.version(version, { 'config.json': version });
      const opened = await workspace();
      const move = (dryRun: boolean) => deploy(opened, { ...target, version }, { dryRun });
      const plan = await moveMirrored(opened, to, move, { dryRun: true });
      expect(plan).toMatchObject({ dryRun: true, mirror: { dryRun: true, changed: true } });
      expect(await live()).toBe(version === 'v1' ? undefined : 'v1');
      await moveMirrored(opened, to, move);
      expect(await live()).toBe(version);
    }
    const opened = await workspace();
    const back = await moveMirrored(opened, to, (dryRun) => rollback(opened, target, { dryRun }));
    expect(back).toMatchObject({ version: 'v1', mirror: { bytesSent: 0 } });
    expect(await live()).toBe('v1');
  });

  it('a model that Python logged is taken in, and runs from where it is checked out', async () => {
    const folder = tempFolder();
    const where = { MLFLOW_TRACKING_URI: uri, HOME: folder };
    const name = major === 2 ? 'artifact_path="model"' : 'name="model"';
    const script = `
import mlflow
class Twice(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return [2 * x for x in model_input]
mlflow.set_experiment("twice")
with mlflow.start_run():
    mlflow.pyfunc.log_model(${name}, python_model=Twice(), registered_model_name="twice", pip_requirements=[])
`;
    await mlflowPython(major, script, where, folder);
    const { project } = await makePublisher({
      PATH: process.env['PATH'],
      MLFLOW_TRACKING_URI: uri,
    });
    const request = {
      from: 'mlflow:models:/twice/1',
      model: 'twice',
      version: 'v1',
      cwd: project.root,
    };
    await importModel(await project.open(), request);
    const out = path.join(folder, 'out');
    await project.checkoutTo(out, ['twice@v1']);
    const run = `import mlflow; print(mlflow.pyfunc.load_model(${JSON.stringify(out)}).predict([1, 2]))`;
    expect((await mlflowPython(major, run, { HOME: folder }, folder)).trim()).toBe('[2, 4]');
  }, 300_000);

  it('a model with a flavour is published so that its client runs it by its alias', async () => {
    const folder = tempFolder();
    const saved = path.join(folder, 'saved');
    const script = `
import mlflow
class Thrice(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return [3 * x for x in model_input]
mlflow.pyfunc.save_model(${JSON.stringify(saved)}, python_model=Thrice(), pip_requirements=[])
`;
    await mlflowPython(major, script, { HOME: folder }, folder);
    const from = await makePublisher({ PATH: process.env['PATH'], MLFLOW_TRACKING_URI: uri });
    const made: Record<string, Buffer> = {};
    for (const file of fs.readdirSync(saved, { recursive: true, encoding: 'utf8' })) {
      const place = path.join(saved, file);
      if (fs.statSync(place).isFile()) made[file] = fs.readFileSync(place);
    }
    await from.version('v1', made);
    await from.publish('bert@v1', 'mlflow:thrice', { aliases: ['live'] });
    const run =
      'import mlflow; print(mlflow.pyfunc.load_model("models:/thrice@live").predict([1, 2]))';
    const where = { MLFLOW_TRACKING_URI: uri, HOME: folder };
    expect((await mlflowPython(major, run, where, folder)).trim()).toBe('[3, 6]');
  }, 300_000);
});

describe('with a server that asks who you are', () => {
  const admin = { name: 'admin', password: 'a long password 1' };
  let uri = '';

  beforeAll(async () => {
    await mlflowPlaces[3].install();
    uri = await startMlflow(3, { admin });
  }, 600_000);

  it('a password lets in, none and a wrong one do not', async () => {
    const scene = (env: NodeJS.ProcessEnv) =>
      makePublisher({ PATH: process.env['PATH'], MLFLOW_TRACKING_URI: uri, ...env });
    const known = {
      MLFLOW_TRACKING_USERNAME: admin.name,
      MLFLOW_TRACKING_PASSWORD: admin.password,
    };
    for (const env of [{}, { ...known, MLFLOW_TRACKING_PASSWORD: 'another' }]) {
      const from = await scene(env);
      await from.version('v1', files);
      await expect(from.publish('bert@v1', 'mlflow:bert')).rejects.toMatchObject({
        code: 'remote-refused',
        hint: expect.stringContaining('MLFLOW_TRACKING_USERNAME'),
      });
    }
    const from = await scene(known);
    await from.version('v1', files);
    const { reference } = await from.publish('bert@v1', 'mlflow:bert', { aliases: ['live'] });
    expect(reference).toBe('mlflow:models:/bert/1');
    const request = { from: 'mlflow:models:/bert@live', model: 'back', version: 'v1' };
    const taken = await importModel(await from.project.open(), {
      ...request,
      cwd: from.project.root,
    });
    expect(taken.from).toBe(reference);
  }, 300_000);
});
