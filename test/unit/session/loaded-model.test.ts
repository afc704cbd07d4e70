import { describe, expect, it } from 'vitest';
import { systemClock } from '../../../src/base/clock.ts';
import { LoadedModel } from '../../../src/session/loaded-model.ts';
import type { ModelTensor } from '../../../src/session/tensors.ts';
import { listening } from '../../support/sessions.ts';

/** A model of a runtime that answers when it is told to. */
function slowModel() {
  const { events, heard } = listening();
  const runs: Array<Deferred<Record<string, ModelTensor>>> = [];
  const state = { closed: 0 };
  const model = new LoadedModel({
    info: {
      reference: 'm@v1',
      exact: 'm@v1#sha256=0',
      file: 'm.onnx',
      sha256: '0',
      bytes: 1,
      format: 'onnx',
      runtime: 'onnxruntime-web',
      warnings: [],
    },
    labels: null,
    session: {
      inputs: [],
      outputs: [{ name: 'y', type: 'float32', shape: [1] }],
      own: () => undefined,
      run() {
        const run = deferred<Record<string, ModelTensor>>();
        runs.push(run);
        return run.promise;
      },
      async close() {
        state.closed++;
      },
    },
    events,
    clock: systemClock,
  });
  return { model, runs, heard, state };
}

interface Deferred<T> {
  readonly promise: Promise<T>;
  readonly resolve: (value: T) => void;
  readonly reject: (reason: Error) => void;
}

function deferred<T>(): Deferred<T> {
  let resolve: Deferred<T>['resolve'] = () => {};
  let reject: Deferred<T>['reject'] = () => {};
  const promise = new Promise<T>((yes, no) => {
    [resolve, reject] = [yes, no];
  });
  return { promise, resolve, reject };
}

const result = { y: { type: 'float32', dims: [1], data: new Float32Array(1) } } as const;

describe('a prediction that is given up', () => {
  it('ends at once, and the model is freed when the runtime has ended', async () => {
    const { model, runs, heard, state } = slowModel();
    const control = new AbortController();
    const waiting = model.predict({}, { signal: control.signal });
    const other = model.predict({});
    control.abort();
    await expect(waiting).rejects.toMatchObject({ code: 'interrupted' });
    const closing = model.close();
    runs[1]?.resolve(result);
    expect(await other).toEqual(result);
    await new Promise((resolve) => setImmediate(resolve));
    expect(state.closed).toBe(0);
    runs[0]?.reject(new Error('late'));
    await closing;
    expect(state.closed).toBe(1);
    expect(heard.map(([name]) => name)).toEqual(['failed', 'predicted']);
    expect(heard[0]?.[1]).toMatchObject({ phase: 'predict', error: { code: 'interrupted' } });
  });

  it('is not begun where it was given up before', async () => {
    const { model, runs } = slowModel();
    const signal = AbortSignal.abort();
    await expect(model.predict({}, { signal })).rejects.toMatchObject({ code: 'interrupted' });
    expect(runs).toEqual([]);
    const kept = new AbortController();
    const waiting = model.predict({}, { signal: kept.signal });
    runs[0]?.resolve(result);
    expect(await waiting).toEqual(result);
    kept.abort();
    const broken = model.predict({}, { signal: new AbortController().signal });
    runs[1]?.reject(new Error('no'));
    await expect(broken).rejects.toMatchObject({ code: 'runtime-failed' });
  });
});
