import type { JsonObject } from '../base/json.ts';
import { isFileEntry } from '../base/tree.ts';
import type { FoundVersion } from '../registry/find.ts';
import type { GitSource } from '../registry/record.ts';
import type { FileValidation, Format } from '../validate/validate.ts';
import type { WorkOptions } from './add.ts';
import { type ModelLabels, readLabels } from './model-labels.ts';
import { findTargets } from './targets.ts';
import { neededBlobs, type Tracked, trackedFiles } from './tracked.ts';
import { validateAll } from './validate-files.ts';
import { StoredSources } from './validate-sources.ts';
import type { Workspace } from './workspace.ts';

/** One file of a model. */
export interface InfoFile {
  readonly path: string;
  readonly size: number;
  readonly sha256: string;
  /** Undefined when its bytes are not here. */
  readonly format?: Format;
}

/** What is known of a model from its files. */
export interface ModelInfo {
  /** Tracked path from the top of the workspace. */
  readonly path: string;
  readonly kind: 'file' | 'tree';
  readonly sha256: string;
  /** Bytes. */
  readonly size: number;
  /** The model type of `config.json`, else the architecture or the format of its weights. */
  readonly modelType: string | null;
  readonly labels: ModelLabels | null;
  readonly tensors: number;
  readonly parameters: number;
  /** Tensors by type. */
  readonly dtypes: Readonly<Record<string, number>>;
  readonly opset: Readonly<Record<string, number>>;
  readonly files: readonly InfoFile[];
  /** Bytes that the local store has, and lacks. */
  readonly availability: { readonly complete: boolean; readonly missingBytes: number };
}

/** What {@link info} found. */
export interface InfoResult {
  readonly version: FoundVersion | undefined;
  /** Commit that the pointers were read from. */
  readonly commit: string | undefined;
  /** Where a version comes from, as it was registered. */
  readonly source: (JsonObject & { readonly git?: GitSource }) | undefined;
  readonly models: readonly ModelInfo[];
}

/**
 * Tells what a reference names: type, labels, parameters, files, and whether all of it is in the local store.
 * Headers are read from the store; what is not here is left out of the sums.
 * @param args a reference, or tracked paths
 * @throws MstoreError those of {@link findTargets}
 */
export async function info(
  workspace: Workspace,
  args: readonly string[],
  cwd: string,
  options: WorkOptions = {},
): Promise<InfoResult> {
  const { tracked, version, commit } = await findTargets(workspace, args, cwd);
  const stored = new StoredSources(workspace);
  const models: ModelInfo[] = [];
  try {
    for (const item of tracked) models.push(await infoOf(workspace, item, stored, options));
  } finally {
    stored.close();
  }
  const source = version?.record.value.source as InfoResult['source'];
  return { version, commit, source, models };
}

/**
 * Counts the bytes of a tracked path that the local store lacks. Of a directory whose list is not here all are missing.
 * @throws MstoreError `corrupt-pointer`
 */
export function availabilityOf({ store }: Workspace, item: Tracked): ModelInfo['availability'] {
  const { kind, sha256, size } = item.pointer;
  if (kind === 'tree' && item.pointer.files === undefined && !store.has(sha256))
    return { complete: false, missingBytes: size };
  const missingBytes = neededBlobs(store, item).reduce(
    (sum, blob) => sum + (store.missing(blob.sha256, blob.size)?.bytes ?? 0),
    0,
  );
  return { complete: missingBytes === 0, missingBytes };
}

async function infoOf(
  workspace: Workspace,
  item: Tracked,
  stored: StoredSources,
  options: WorkOptions,
): Promise<ModelInfo> {
  const { kind, sha256, size } = item.pointer;
  const facts = { path: item.path, kind, sha256, size };
  const { store } = workspace;
  if (kind === 'tree' && item.pointer.files === undefined && !store.has(sha256)) {
    return { ...facts, ...nothing, availability: availabilityOf(workspace, item) };
  }
  const { base, entries } = trackedFiles(store, item);
  const files = entries.filter(isFileEntry).map((entry) => ({
    path: base === '' ? entry.path : `${base}/${entry.path}`,
    size: entry.size,
    sha256: entry.sha256,
  }));
  const here = new Set(files.filter((file) => store.has(file.sha256)).map((file) => file.path));
  const sources = stored.list(item).filter(({ source }) => here.has(source.path));
  const { files: seen } = await validateAll(sources, options);
  const formats = new Map(seen.map((file) => [file.path, file.format]));
  return {
    ...facts,
    modelType: modelTypeOf(seen),
    labels: readLabels(sources.map(({ source }) => source)),
    ...sums(seen),
    files: files.map((file) => {
      const format = formats.get(file.path);
      return format === undefined ? file : { ...file, format };
    }),
    availability: availabilityOf(workspace, item),
  };
}

const nothing = {
  modelType: null,
  labels: null,
  tensors: 0,
  parameters: 0,
  dtypes: {},
  opset: {},
  files: [],
} as const;

/** Formats of weights, the first one that is there names a model of no other type. */
const weightFormats: readonly Format[] = [
  ...(['safetensors', 'gguf', 'onnx', 'torch-zip', 'torch-legacy', 'keras'] as const),
  ...(['saved-model', 'tfjs', 'tflite', 'hdf5', 'npz', 'npy', 'pickle'] as const),
];

/** The model type of `config.json`, else the architecture or the format of the weights. */
export function modelTypeOf(files: readonly FileValidation[]): string | null {
  const named = (name: string): string | undefined =>
    files.find(({ path, format }) => format === 'config' && path.split('/').at(-1) === name)
      ?.summary.architecture;
  const inWeights = files.find(
    ({ format, summary }) => weightFormats.includes(format) && summary.architecture !== undefined,
  )?.summary.architecture;
  const format = weightFormats.find((one) => files.some((file) => file.format === one));
  return named('config.json') ?? inWeights ?? format ?? null;
}

/** Adds up what the files of weights hold; an index of shards counts nothing of its own. */
function sums(
  files: readonly FileValidation[],
): Pick<ModelInfo, 'tensors' | 'parameters' | 'dtypes' | 'opset'> {
  const dtypes = new Map<string, number>();
  const opset = new Map<string, number>();
  let tensors = 0;
  let parameters = 0;
  for (const { format, summary } of files) {
    if (!weightFormats.includes(format)) continue;
    tensors += summary.tensors ?? 0;
    parameters += summary.parameters ?? 0;
    for (const [name, count] of Object.entries(summary.dtypes ?? {}))
      dtypes.set(name, (dtypes.get(name) ?? 0) + count);
    for (const [domain, version] of Object.entries(summary.opset ?? {}))
      opset.set(domain, Math.max(version, opset.get(domain) ?? 0));
  }
  return {
    tensors,
    parameters,
    dtypes: Object.fromEntries(dtypes),
    opset: Object.fromEntries(opset),
  };
}
