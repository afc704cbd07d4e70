import { throwIfAborted } from '../../base/abort.ts';
import type { Clock } from '../../base/clock.ts';
import { LoadedModel } from '../../session/loaded-model.ts';
import type { ModelEvents } from '../../session/model-events.ts';
import { openOnnx } from '../../session/onnx-session.ts';
import {
  type ImportedRuntime,
  type ImportRuntime,
  importRuntime,
  type ModelParts,
  type RuntimeName,
  type RuntimeSession,
} from '../../session/runtime.ts';
import { openTfjs } from '../../session/tfjs-session.ts';
import type { FileValidation } from '../../validate/validate.ts';
import { labelCandidates, parseLabels } from '../model-labels.ts';
import { chooseModelFile, readModel } from './model-parts.ts';
import { type ModelPlace, VerifiedFiles } from './verified-files.ts';

/** Memory that the files of a model may take. */
const bytesMaxDefault = 4 * 1024 ** 3;

/** How a model is opened. */
export interface OpenModelOptions {
  /** Path in the version of the model to load, where it has several. */
  readonly file?: string | undefined;
  /** By default the first of those for the format that is installed. */
  readonly runtime?: RuntimeName | undefined;
  /** Imports the package of the runtime; by default from where mstore is installed. */
  readonly importRuntime?: ImportRuntime | undefined;
  /** Options of a session of ONNX Runtime, such as `executionProviders`. */
  readonly sessionOptions?: Readonly<Record<string, unknown>> | undefined;
  /** Bytes of files that may be held in memory; 4 GiB by default. */
  readonly bytesMax?: number | undefined;
  readonly events?: ModelEvents | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** What opening a model takes from its workspace. */
export interface OpenModelTools {
  readonly clock: Clock;
  /** Applies the policy of validation; returns warnings. */
  readonly judge: (file: FileValidation) => readonly string[];
}

/**
 * Loads a model from where its version lies. The runtime is handed bytes that were read once and have the digests of
 * the version, never a path: what changes in the directory meanwhile is not loaded.
 * @throws MstoreError `runtime-missing`, `runtime-failed`, `unsupported-model`, `corrupt-model`, `file-changed`,
 * `too-large`, `usage`, and what `judge` throws
 */
export async function openModel(
  place: ModelPlace,
  options: OpenModelOptions,
  { clock, judge }: OpenModelTools,
): Promise<LoadedModel> {
  const { events, signal } = options;
  const { reference, exact, model, version } = place;
  const files = new VerifiedFiles(place, options.bytesMax ?? bytesMaxDefault, signal);
  const entry = await chooseModelFile(files, reference, options.file);
  const { parts, validation } = await readModel(files, entry, reference);
  const warnings = judge(validation);
  const imported = await importRuntime(parts.format, options.runtime, options.importRuntime);
  const { bytes } = files;
  const labels = await readPlaceLabels(place, signal);
  throwIfAborted(signal);
  const session = await openSession(imported, parts, options.sessionOptions ?? {});
  const info = {
    reference,
    exact,
    ...(model === undefined ? {} : { model }),
    ...(version === undefined ? {} : { version }),
    file: entry.path,
    sha256: entry.sha256,
    bytes,
    format: parts.format,
    runtime: imported.name,
    warnings,
  };
  return new LoadedModel({ info, labels, session, events, clock });
}

function openSession(
  imported: ImportedRuntime,
  parts: ModelParts,
  options: Readonly<Record<string, unknown>>,
): Promise<RuntimeSession> {
  return parts.format === 'onnx' ? openOnnx(imported, parts, options) : openTfjs(imported, parts);
}

/**
 * Reads the labels of a version that lies in a directory, of the same files as `info`.
 * @throws MstoreError `file-changed`
 */
export async function readPlaceLabels(
  place: ModelPlace,
  signal?: AbortSignal,
): Promise<readonly string[] | null> {
  const files = new VerifiedFiles(place, Number.MAX_SAFE_INTEGER, signal);
  for (const entry of labelCandidates(files.list)) {
    const labels = parseLabels(entry.path, new Uint8Array(await files.read(entry)));
    if (labels !== undefined) return labels;
  }
  return null;
}
