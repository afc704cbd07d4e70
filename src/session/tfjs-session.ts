import { MstoreError } from '../base/errors.ts';
import { textAt } from '../weights/json-text.ts';
import { type ImportedRuntime, type ModelParts, type RuntimeSession, reasonOf } from './runtime.ts';
import type { Feed, ModelTensor, TensorData, TensorFacts } from './tensors.ts';

/** What is used of TensorFlow.js. */
interface TfModule {
  readonly io: {
    getModelArtifactsForJSON(
      model: unknown,
      weights: (manifest: readonly ManifestGroup[]) => Promise<[unknown, ArrayBuffer[]]>,
    ): Promise<unknown>;
    getWeightSpecs(manifest: readonly ManifestGroup[]): unknown;
  };
  readonly Tensor: new (...parts: never) => TfTensor;
  ready(): Promise<void>;
  tensor(data: unknown, dims: readonly number[], type: string): TfTensor;
  loadLayersModel(handler: unknown): Promise<TfLayersModel>;
  loadGraphModel(handler: unknown): Promise<TfGraphModel>;
}

interface ManifestGroup {
  readonly paths: readonly string[];
}

interface TfTensor {
  readonly dtype: string;
  readonly shape: readonly number[];
  data(): Promise<TensorData>;
  dispose(): void;
}

interface TfPlace {
  readonly name: string;
  readonly shape?: ReadonlyArray<number | null>;
  readonly dtype?: string;
  /** Of layers: names of tensors are numbered anew in each process, those of layers stay. */
  readonly sourceLayer?: { readonly name: string };
}

interface TfModel {
  readonly inputs: readonly TfPlace[];
  readonly outputs: readonly TfPlace[];
  dispose(): unknown;
}

interface TfLayersModel extends TfModel {
  predict(inputs: readonly TfTensor[]): TfTensor | TfTensor[];
}

interface TfGraphModel extends TfModel {
  execute(inputs: object, outputs: readonly string[]): TfTensor | TfTensor[];
  executeAsync(inputs: object, outputs: readonly string[]): Promise<TfTensor | TfTensor[]>;
}

/** Runs a model on tensors by name, and gives all outputs that are asked for in their order. */
type Execute = (
  inputs: ReadonlyMap<string, TfTensor>,
  outputs: readonly string[],
) => Promise<TfTensor[]>;

/**
 * Opens a model of TensorFlow.js, of layers or a graph.
 * @throws MstoreError `runtime-failed`
 */
export async function openTfjs(
  { name, module }: ImportedRuntime,
  { model: json, weights }: Extract<ModelParts, { format: 'tfjs' }>,
): Promise<RuntimeSession> {
  const tf = module as unknown as TfModule;
  const handler = {
    load: () =>
      tf.io.getModelArtifactsForJSON(json, async (manifest) => {
        const paths = manifest.flatMap((group) => group.paths);
        return [tf.io.getWeightSpecs(manifest), paths.map((path) => bytesOf(weights, path))];
      }),
  };
  try {
    await tf.ready();
    if (textAt(json, 'format') === 'graph-model') {
      const model = await tf.loadGraphModel(handler);
      return sessionOf(tf, model, placesOf(model), executorOf(model));
    }
    const model = await tf.loadLayersModel(handler);
    const places = placesOf(model);
    return sessionOf(tf, model, places, async (inputs, outputs) => {
      const ordered = places.inputs.map((input) => inputs.get(input.name) as TfTensor);
      const results = listOf(model.predict(ordered));
      const names = places.outputs.map((output) => output.name);
      for (const [i, tensor] of results.entries())
        if (!outputs.includes(names[i] ?? '')) tensor.dispose();
      return outputs.map((output) => results[names.indexOf(output)] as TfTensor);
    });
  } catch (error) {
    throw new MstoreError('runtime-failed', `${name} does not load the model: ${reasonOf(error)}`, {
      hint: 'Check that the version of TensorFlow.js knows the layers or operators of the model',
      cause: error,
      details: { runtime: name },
    });
  }
}

function bytesOf(weights: ReadonlyMap<string, ArrayBuffer>, path: string): ArrayBuffer {
  const bytes = weights.get(path);
  if (bytes === undefined) throw new Error(`Its weights ${path} were not read`);
  return bytes;
}

interface Places {
  readonly inputs: readonly TensorFacts[];
  readonly outputs: readonly TensorFacts[];
}

function placesOf(model: TfModel): Places {
  return { inputs: factsOf(model.inputs), outputs: factsOf(model.outputs) };
}

function factsOf(places: readonly TfPlace[]): TensorFacts[] {
  const layers = places.map(({ sourceLayer }) => sourceLayer?.name);
  const isNamed = !layers.includes(undefined) && new Set(layers).size === layers.length;
  return places.map(({ name, shape, dtype }, i) => ({
    name: (isNamed ? layers[i] : undefined) ?? name,
    type: dtype,
    shape: shape?.map((axis) => (axis === null || axis < 0 ? null : axis)),
  }));
}

function listOf(results: TfTensor | TfTensor[]): TfTensor[] {
  return Array.isArray(results) ? results : [results];
}

/** A graph with control flow runs asynchronously only; for others the runtime advises against that. */
function executorOf(model: TfGraphModel): Execute {
  let isDynamic = false;
  return async (inputs, outputs) => {
    const feeds = Object.fromEntries(inputs);
    if (!isDynamic) {
      try {
        return listOf(model.execute(feeds, outputs));
      } catch (error) {
        if (!(error instanceof Error && error.message.includes('executeAsync'))) throw error;
        isDynamic = true;
      }
    }
    return listOf(await model.executeAsync(feeds, outputs));
  };
}

function sessionOf(tf: TfModule, model: TfModel, places: Places, execute: Execute): RuntimeSession {
  return {
    ...places,
    own: (value) =>
      value instanceof tf.Tensor ? { type: value.dtype, dims: value.shape } : undefined,
    async run(feeds, outputs) {
      const made: TfTensor[] = [];
      try {
        const inputs = new Map<string, TfTensor>();
        for (const [name, feed] of feeds) inputs.set(name, tensorOf(tf, feed, made));
        const results = await execute(inputs, outputs);
        made.push(...results.filter((tensor) => ![...inputs.values()].includes(tensor)));
        const plain: Array<[string, ModelTensor]> = [];
        for (const [i, name] of outputs.entries()) {
          const { dtype, shape, data } = await valuesOf(results[i] as TfTensor);
          plain.push([name, { type: dtype, dims: shape, data }]);
        }
        return Object.fromEntries(plain);
      } finally {
        for (const tensor of made) tensor.dispose();
      }
    },
    async close() {
      model.dispose();
    },
  };
}

async function valuesOf(tensor: TfTensor) {
  return { dtype: tensor.dtype, shape: [...tensor.shape], data: await tensor.data() };
}

function tensorOf(tf: TfModule, feed: Feed, made: TfTensor[]): TfTensor {
  if (feed.own !== undefined) return feed.own as TfTensor;
  const { data, dims, type } = (feed as Extract<Feed, { own: undefined }>).tensor;
  const tensor = tf.tensor(data, dims, type);
  made.push(tensor);
  return tensor;
}
