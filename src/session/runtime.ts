import { MstoreError, systemCode } from '../base/errors.ts';
import type { JsonObject } from '../base/json.ts';
import { printable } from '../base/names.ts';
import type { Feed, ModelTensor, OwnTensor, TensorFacts } from './tensors.ts';

/** Names of the runtimes, and of the packages that have them. */
export const runtimePackages = {
  'onnxruntime-node': 'onnxruntime-node',
  'onnxruntime-web': 'onnxruntime-web',
  tfjs: '@tensorflow/tfjs',
} as const;

/** A runtime that models are run by. */
export type RuntimeName = keyof typeof runtimePackages;

/** What a runtime is handed: bytes that were verified, and nothing it would have to look for. */
export type ModelParts =
  | {
      readonly format: 'onnx';
      readonly model: Uint8Array;
      /** Files of tensors, by the location that the model has for them. */
      readonly external: ReadonlyMap<string, Uint8Array>;
    }
  | {
      readonly format: 'tfjs';
      readonly model: JsonObject;
      /** Files of weights, by the path in the manifest. */
      readonly weights: ReadonlyMap<string, ArrayBuffer>;
    };

/** Formats that there are runtimes for. */
export type ModelFormat = ModelParts['format'];

/** The runtimes of a format, the best one first. */
const runtimesOf: Readonly<Record<ModelFormat, readonly RuntimeName[]>> = {
  onnx: ['onnxruntime-node', 'onnxruntime-web'],
  tfjs: ['tfjs'],
};

/** A model in a runtime. */
export interface RuntimeSession {
  readonly inputs: readonly TensorFacts[];
  readonly outputs: readonly TensorFacts[];
  readonly own: OwnTensor;
  /** Runs the model; may be called while it runs. Inputs and outputs were checked. */
  run(
    feeds: ReadonlyMap<string, Feed>,
    outputs: readonly string[],
  ): Promise<Record<string, ModelTensor>>;
  /** Frees the model; called once, when nothing runs. */
  close(): Promise<void>;
}

/** Imports a package by its name; its own functions may be on its default export. */
export type ImportRuntime = (name: string) => Promise<unknown>;

const importFromHere: ImportRuntime = (name) => import(name);

/** A runtime that was imported. */
export interface ImportedRuntime {
  readonly name: RuntimeName;
  readonly module: Readonly<Record<string, unknown>>;
}

/**
 * Imports the runtime for a format: the one that is asked for, else the first one that is installed. One that is
 * installed and cannot be loaded is an error; no other is taken in its place.
 * @param load imports a package; by default from where mstore is installed
 * @throws MstoreError `runtime-missing`, `runtime-failed`, `usage`
 */
export async function importRuntime(
  format: ModelFormat,
  wanted: RuntimeName | undefined,
  load: ImportRuntime = importFromHere,
): Promise<ImportedRuntime> {
  const fitting = runtimesOf[format];
  if (wanted !== undefined && !fitting.includes(wanted)) {
    throw new MstoreError(
      'usage',
      `${printable(String(wanted))} does not run models of ${format}`,
      {
        hint: `Leave the runtime away, or name ${fitting.join(' or ')}`,
        details: { runtime: String(wanted), format },
      },
    );
  }
  const names = wanted === undefined ? fitting : [wanted];
  for (const name of names) {
    const module = await importOrNone(name, load);
    if (module !== undefined) return { name, module };
  }
  const packages = names.map((name) => runtimePackages[name]);
  throw new MstoreError('runtime-missing', `${packages.join(' or ')} is not installed`, {
    hint: `Run "npm install ${packages[0]}" in your project`,
    details: { packages },
  });
}

async function importOrNone(
  name: RuntimeName,
  load: ImportRuntime,
): Promise<ImportedRuntime['module'] | undefined> {
  const wanted: string = runtimePackages[name];
  try {
    const loaded = (await load(wanted)) as Readonly<Record<string, unknown>>;
    // What is CommonJS is whole only as the default export.
    const inner = loaded['default'];
    return typeof inner === 'object' && inner !== null
      ? { ...loaded, ...(inner as Readonly<Record<string, unknown>>) }
      : loaded;
  } catch (error) {
    if (isAbsent(error, wanted)) return undefined;
    throw new MstoreError('runtime-failed', `${wanted} cannot be loaded: ${reasonOf(error)}`, {
      hint: `Install ${wanted} anew for this system and this Node.js, or name another runtime`,
      cause: error,
      details: { package: wanted },
    });
  }
}

/**
 * Tells whether a package itself is not there; that one of its own parts is not is another matter. Vite puts a module
 * in place of optional packages that are absent, which throws without a code.
 */
function isAbsent(error: unknown, wanted: string): boolean {
  if (typeof error !== 'object' || error === null || !('message' in error)) return false;
  const { message } = error;
  if (typeof message !== 'string') return false;
  if (message.startsWith(`Could not resolve "${wanted}"`)) return true;
  const code = systemCode(error);
  const isMissing = code === 'ERR_MODULE_NOT_FOUND' || code === 'MODULE_NOT_FOUND';
  return isMissing && message.includes(`'${wanted}'`);
}

const reasonMax = 500;

/** The first line of what a runtime throws, which may be anything. */
export function reasonOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return printable((text.split('\n')[0] ?? '').slice(0, reasonMax));
}
