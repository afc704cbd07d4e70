import { MstoreError } from '../base/errors.ts';
import type { ImportedRuntime, ModelParts, RuntimeSession } from './runtime.ts';
import { reasonOf } from './runtime.ts';
import type { Feed, ModelTensor, TensorData, TensorFacts } from './tensors.ts';

/** What is used of ONNX Runtime: the same of both packages. */
interface OrtModule {
  readonly InferenceSession: {
    create(model: Uint8Array, options: Readonly<Record<string, unknown>>): Promise<OrtSession>;
  };
  readonly Tensor: new (type: string, data: unknown, dims: readonly number[]) => OrtTensor;
}

interface OrtTensor {
  readonly type: string;
  readonly dims: readonly number[];
  getData(): Promise<TensorData>;
  dispose(): void;
}

interface OrtFacts {
  readonly name: string;
  readonly isTensor: boolean;
  readonly type?: string;
  readonly shape?: ReadonlyArray<number | string>;
}

interface OrtSession {
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
  /** Not there before 1.21. */
  readonly inputMetadata?: readonly OrtFacts[];
  readonly outputMetadata?: readonly OrtFacts[];
  run(
    feeds: Readonly<Record<string, unknown>>,
    outputs: readonly string[],
  ): Promise<Readonly<Record<string, OrtTensor>>>;
  release(): Promise<void>;
}

/**
 * Opens an ONNX model. All its bytes come from memory: a runtime that was given a model without the files of its
 * tensors would look for them in the current folder.
 * @param options of the runtime, such as the execution providers
 * @throws MstoreError `runtime-failed`
 */
export async function openOnnx(
  { name, module }: ImportedRuntime,
  { model, external }: Extract<ModelParts, { format: 'onnx' }>,
  options: Readonly<Record<string, unknown>>,
): Promise<RuntimeSession> {
  const { InferenceSession, Tensor } = module as unknown as OrtModule;
  const externalData = [...external].flatMap(([path, data]) =>
    keysOf(path).map((key) => ({ path: key, data })),
  );
  let session: OrtSession;
  try {
    session = await inTurn(InferenceSession, () =>
      InferenceSession.create(model, { ...options, externalData }),
    );
  } catch (error) {
    throw new MstoreError('runtime-failed', `${name} does not load the model: ${reasonOf(error)}`, {
      hint: 'Check that the runtime is new enough for the opset and the operators of the model',
      cause: error,
      details: { runtime: name },
    });
  }
  return {
    inputs: factsOf(session.inputNames, session.inputMetadata),
    outputs: factsOf(session.outputNames, session.outputMetadata),
    own: (value) => (value instanceof Tensor ? { type: value.type, dims: value.dims } : undefined),
    async run(feeds, outputs) {
      const tensors = [...feeds].map(([input, feed]) => [input, tensorOf(feed, Tensor)]);
      const results = await session.run(Object.fromEntries(tensors), outputs);
      const plain: Array<[string, ModelTensor]> = [];
      for (const [output, tensor] of Object.entries(results)) {
        plain.push([
          output,
          { type: tensor.type, dims: [...tensor.dims], data: await tensor.getData() },
        ]);
        tensor.dispose();
      }
      return Object.fromEntries(plain);
    },
    close: () => session.release(),
  };
}

/**
 * Names a file in all ways in which it is looked for: onnxruntime-node takes one ./ off what it is told, and none off
 * what the model says.
 */
function keysOf(location: string): string[] {
  return location.startsWith('./') ? [location, `./${location}`] : [location];
}

const turns = new WeakMap<object, Promise<unknown>>();

/**
 * Loads one model after the other: onnxruntime-web keeps the files of tensors in one place for all models, where two
 * that are loaded at once would find those of each other.
 */
function inTurn<T>(runtime: object, load: () => Promise<T>): Promise<T> {
  const before = turns.get(runtime) ?? Promise.resolve();
  const turn = before.then(load, load);
  turns.set(runtime, turn);
  return turn;
}

function tensorOf(feed: Feed, Tensor: OrtModule['Tensor']): unknown {
  if (feed.own !== undefined) return feed.own;
  const { type, data, dims } = (feed as Extract<Feed, { own: undefined }>).tensor;
  return new Tensor(type, data, dims);
}

/** A shape without axes is that of a scalar, or of a tensor of which the model tells nothing: it says no more. */
function factsOf(
  names: readonly string[],
  metadata: readonly OrtFacts[] | undefined,
): TensorFacts[] {
  return names.map((name) => {
    const found = metadata?.find((one) => one.name === name);
    const shape = found?.shape?.map((axis) => (axis === '' || Number(axis) < 0 ? null : axis));
    return {
      name,
      type: found?.isTensor === true ? found.type : undefined,
      shape: shape === undefined || shape.length === 0 ? undefined : shape,
    };
  });
}
