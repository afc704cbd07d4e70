import { describe, expect, it } from 'vitest';
import { importRuntime } from '../../../src/session/runtime.ts';

/** Fails as an import of a package that is not installed does. */
function absent(name: string): Error {
  const error = new Error(`Cannot find package '${name}' imported from /app/main.js`);
  return Object.assign(error, { code: 'ERR_MODULE_NOT_FOUND' });
}

/** Packages that are installed, and what else an import throws. */
function packages(found: Readonly<Record<string, unknown>>) {
  const asked: string[] = [];
  const load = async (name: string): Promise<unknown> => {
    asked.push(name);
    const one = found[name] ?? absent(name);
    if (one instanceof Error) throw one;
    return one;
  };
  return { asked, load };
}

describe('importing a runtime', () => {
  it('takes the first one for the format that is installed', async () => {
    const both = packages({ 'onnxruntime-node': { a: 1 }, 'onnxruntime-web': { a: 2 } });
    const first = await importRuntime('onnx', undefined, both.load);
    expect(first).toEqual({ name: 'onnxruntime-node', module: { a: 1 } });
    expect(both.asked).toEqual(['onnxruntime-node']);
    const web = packages({ 'onnxruntime-web': { a: 2 } });
    expect((await importRuntime('onnx', undefined, web.load)).name).toBe('onnxruntime-web');
    const tf = packages({ '@tensorflow/tfjs': { default: { b: 3 } } });
    const tfjs = await importRuntime('tfjs', undefined, tf.load);
    expect([tfjs.name, tfjs.module['b']]).toEqual(['tfjs', 3]);
  });

  it('takes the one that is asked for, and no other', async () => {
    const both = packages({ 'onnxruntime-node': {}, 'onnxruntime-web': {} });
    expect((await importRuntime('onnx', 'onnxruntime-web', both.load)).name).toBe(
      'onnxruntime-web',
    );
    const node = packages({ 'onnxruntime-node': {} });
    await expect(importRuntime('onnx', 'onnxruntime-web', node.load)).rejects.toMatchObject({
      code: 'runtime-missing',
      message: 'onnxruntime-web is not installed',
      hint: 'Run "npm install onnxruntime-web" in your project',
    });
    await expect(importRuntime('onnx', 'tfjs', node.load)).rejects.toMatchObject({
      code: 'usage',
      message: 'tfjs does not run models of onnx',
    });
  });

  it('tells what to install where there is none', async () => {
    await expect(importRuntime('onnx', undefined, packages({}).load)).rejects.toMatchObject({
      code: 'runtime-missing',
      message: 'onnxruntime-node or onnxruntime-web is not installed',
      hint: 'Run "npm install onnxruntime-node" in your project',
      details: { packages: ['onnxruntime-node', 'onnxruntime-web'] },
    });
    await expect(importRuntime('tfjs', undefined, packages({}).load)).rejects.toMatchObject({
      code: 'runtime-missing',
      message: '@tensorflow/tfjs is not installed',
    });
  });

  it('takes no other in the place of one that is broken', async () => {
    const native = new Error('libonnxruntime.so.1: cannot open shared object file\nmore');
    const broken = packages({ 'onnxruntime-node': native, 'onnxruntime-web': {} });
    await expect(importRuntime('onnx', undefined, broken.load)).rejects.toMatchObject({
      code: 'runtime-failed',
      message:
        'onnxruntime-node cannot be loaded: libonnxruntime.so.1: cannot open shared object file',
      cause: native,
    });
    expect(broken.asked).toEqual(['onnxruntime-node']);
    const part = packages({ 'onnxruntime-node': absent('onnxruntime-common') });
    await expect(importRuntime('onnx', undefined, part.load)).rejects.toMatchObject({
      code: 'runtime-failed',
    });
  });

  it('imports from where mstore is installed by default', async () => {
    const { name, module } = await importRuntime('onnx', undefined);
    expect([name, typeof module['InferenceSession']]).toEqual(['onnxruntime-web', 'function']);
  });
});
