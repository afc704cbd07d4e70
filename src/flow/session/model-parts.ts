import * as path from 'node:path';
import { invariant, MstoreError } from '../../base/errors.ts';
import { isJsonObject } from '../../base/json.ts';
import { printable } from '../../base/names.ts';
import type { FileEntry } from '../../base/tree.ts';
import type { ModelParts } from '../../session/runtime.ts';
import { expectedFormat } from '../../validate/detect.ts';
import type { Rule } from '../../validate/rules.ts';
import type { OpenSource, Source } from '../../validate/source.ts';
import { type FileValidation, validateFile } from '../../validate/validate.ts';
import { member, readJson } from '../../weights/json-text.ts';
import { readOnnxExternalData } from '../../weights/onnx.ts';
import { plainLocation } from '../../weights/onnx-places.ts';
import type { VerifiedFiles } from './verified-files.ts';

const filesShown = 8;

/**
 * Chooses the file of a version that is loaded: the one that is named, else the only one that is a model by its name
 * or by being alone.
 * @throws MstoreError `not-found`, `unsupported-model`, `usage` when there are several
 */
export async function chooseModelFile(
  files: VerifiedFiles,
  reference: string,
  wanted: string | undefined,
): Promise<FileEntry> {
  if (wanted !== undefined) {
    const found = files.find(wanted);
    if (found !== undefined) return found;
    throw new MstoreError('not-found', `${printable(reference)} has no file ${printable(wanted)}`, {
      hint: `It has ${list(files.list)}`,
      details: { path: wanted, files: files.list.map((entry) => entry.path) },
    });
  }
  const found: FileEntry[] = [];
  for (const entry of files.list) if (await isModel(files, entry)) found.push(entry);
  const [only, ...others] = found.length === 0 ? files.list : found;
  if (only !== undefined && others.length === 0) return only;
  if (found.length === 0) throw unsupported(reference, `has no model that can be run`, files.list);
  throw new MstoreError(
    'usage',
    `${printable(reference)} has ${found.length} models: ${list(found)}`,
    {
      hint: 'Name one of them with the option file',
      details: { files: found.map((entry) => entry.path) },
    },
  );
}

/** Tells a model by its name; of a model of TensorFlow.js the content has to say that it is one. */
async function isModel(files: VerifiedFiles, entry: FileEntry): Promise<boolean> {
  const name = path.posix.basename(entry.path);
  if (/\.onnx$/i.test(name)) return true;
  if (name !== 'model.json') return false;
  const { value } = readJson(new Uint8Array(await files.read(entry)));
  return member(value, 'weightsManifest') !== undefined;
}

function list(entries: readonly FileEntry[]): string {
  const names = entries.slice(0, filesShown).map((entry) => printable(entry.path));
  const more = entries.length - names.length;
  return names.join(', ') + (more > 0 ? ` and ${more} more` : '');
}

function unsupported(reference: string, what: string, entries: readonly FileEntry[]): MstoreError {
  return new MstoreError('unsupported-model', `${printable(reference)} ${what}`, {
    hint: `ONNX models and those of TensorFlow.js are run; resolve the reference and load other formats by a library of their own. It has ${list(entries)}`,
    details: { files: entries.map((entry) => entry.path) },
  });
}

/** Formats of models that only other libraries run: the name tells without a look at gigabytes. */
const foreign = new Set([
  ...([
    'safetensors',
    'gguf',
    'torch',
    'pickle',
    'keras',
    'hdf5',
    'saved-model',
    'tflite',
  ] as const),
  ...(['npy', 'npz', 'labels', 'code'] as const),
]);

/** What was read of a model. */
export interface ReadModel {
  readonly parts: ModelParts;
  readonly validation: FileValidation;
}

/** What a model must not say of other files, for a runtime not to look for them by itself. */
const fatal: ReadonlySet<Rule> = new Set<Rule>([
  ...([
    'onnx-external-path',
    'onnx-external-file',
    'onnx-external-range',
    'not-read-to-end',
  ] as const),
  ...(['tfjs-path', 'tfjs-file', 'tfjs-size', 'tfjs-config'] as const),
]);

/**
 * Reads a model with all files that belong to it. Where it says that they are elsewhere than in the version, or not
 * all of it can be seen, it is refused: a runtime would look for them by itself.
 * @throws MstoreError `unsupported-model`, `corrupt-model`, and those of {@link VerifiedFiles.read}
 */
export async function readModel(
  files: VerifiedFiles,
  entry: FileEntry,
  reference: string,
): Promise<ReadModel> {
  const expected = expectedFormat(path.posix.basename(entry.path));
  if (expected !== undefined && foreign.has(expected as never))
    throw unsupported(
      reference,
      `has ${printable(entry.path)}, which is no model for a runtime here`,
      [entry],
    );
  const bytes = new Uint8Array(await files.read(entry));
  const folder = path.posix.dirname(entry.path);
  const beside = (name: string): FileEntry | undefined =>
    files.find(path.posix.join(folder, plainLocation(name)).normalize('NFC'));
  const validation = validateFile(sourceOf(entry, bytes), {
    around: { find: (name) => sizeOnly(beside(name)) },
  });
  refuseBroken(validation);
  const at = (name: string): Promise<ArrayBuffer> => {
    const found = beside(name);
    invariant(found !== undefined, 'what a model needs was found when it was checked');
    return files.read(found);
  };
  if (validation.format === 'onnx') {
    const locations = new Set(
      readOnnxExternalData(readerOf(bytes)).map(({ location }) => location),
    );
    const external = new Map<string, Uint8Array>();
    for (const location of locations) external.set(location, new Uint8Array(await at(location)));
    return { validation, parts: { format: 'onnx', model: bytes, external } };
  }
  if (validation.format !== 'tfjs')
    throw unsupported(
      reference,
      `has ${printable(entry.path)}, which is no model for a runtime here`,
      [entry],
    );
  const { value } = readJson(bytes);
  invariant(isJsonObject(value), 'a model of TensorFlow.js was checked to be an object');
  const weights = new Map<string, ArrayBuffer>();
  for (const name of manifestPaths(value)) weights.set(name, await at(name));
  return { validation, parts: { format: 'tfjs', model: value, weights } };
}

function manifestPaths(value: unknown): Set<string> {
  const groups = member(value, 'weightsManifest') as ReadonlyArray<{ paths: readonly string[] }>;
  return new Set(groups.flatMap(({ paths }) => paths));
}

function refuseBroken({ path: name, findings, findingsMore, verdict }: FileValidation): void {
  // Among very many findings one that is fatal may not be listed.
  const isHidden = findingsMore !== undefined && verdict !== 'ok' && verdict !== 'warning';
  const found =
    findings.find(({ rule }) => fatal.has(rule)) ?? (isHidden ? findings[0] : undefined);
  if (found === undefined) return;
  const where = found.where === undefined ? '' : ` (${printable(found.where)})`;
  throw new MstoreError(
    'corrupt-model',
    `${printable(name)} cannot be loaded: ${printable(found.message)}${where}`,
    {
      hint: 'Run "mstore validate" for the model, and register a version that holds all of its files',
      details: { path: name, rule: found.rule },
    },
  );
}

function readerOf(bytes: Uint8Array): OpenSource {
  return {
    size: bytes.length,
    read: (offset, length) => bytes.subarray(offset, offset + length),
    close: () => undefined,
  };
}

function sourceOf({ path: name, size }: FileEntry, bytes: Uint8Array): Source {
  return { path: name, size, open: () => readerOf(bytes) };
}

/** The files beside a model are told by their sizes alone. */
function sizeOnly(entry: FileEntry | undefined): Source | undefined {
  return (
    entry && {
      path: entry.path,
      size: entry.size,
      open: () => {
        throw new MstoreError('internal', 'Files beside a model are not read by its check');
      },
    }
  );
}
