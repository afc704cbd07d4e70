import * as path from 'node:path';
import { type Digest, isDigest } from '../base/digest.ts';
import { MstoreError } from '../base/errors.ts';
import { readBounded, settleFolder, writeAtomically } from '../base/files.ts';
import { isJsonObject, isTooDeep, type JsonObject, parseJsonBytes } from '../base/json.ts';
import { limits } from '../base/limits.ts';
import { nameProblem, printable, shellWord } from '../base/names.ts';
import {
  canonicalEntry,
  checkEntries,
  type TreeEntry,
  TreeProblem,
  treeDigest,
  treeSize,
} from '../base/tree.ts';

/** The suffix of pointer files. */
export const pointerSuffix = '.mstore';
/** The format number this version reads and writes. */
const pointerVersion = 1;

interface PointerBase {
  /** Name of the file or directory beside the pointer. */
  readonly path: string;
  readonly sha256: Digest;
  /** Bytes of all files together. */
  readonly size: number;
  /** Keys that this version does not know, kept when the pointer is rewritten. */
  readonly extra: JsonObject;
}

/** Stands for one file; `sha256` is the digest of its bytes. */
export interface FilePointer extends PointerBase {
  readonly kind: 'file';
  readonly executable?: true;
}

/** Stands for a directory; `sha256` is the digest of its tree. */
export interface TreePointer extends PointerBase {
  readonly kind: 'tree';
  /** Left out above 1,000 entries: the tree blob has them. */
  readonly files?: readonly TreeEntry[];
}

/** What Git keeps instead of a model: the content of a `PATH.mstore` file. */
export type Pointer = FilePointer | TreePointer;

const knownKeys = new Set(['mstore', 'path', 'kind', 'sha256', 'size', 'executable', 'files']);

/** Makes the pointer of a directory. */
export function treePointer(
  name: string,
  entries: readonly TreeEntry[],
  extra: JsonObject = {},
): TreePointer {
  const base = {
    kind: 'tree',
    path: name,
    sha256: treeDigest(entries),
    size: treeSize(entries),
    extra,
  } as const;
  return entries.length > limits.pointerFilesMax ? base : { ...base, files: entries };
}

/** The bytes of a pointer file: the same pointer gives the same bytes on any machine. */
export function formatPointer(pointer: Pointer): string {
  const { path: name, kind, sha256, size, extra } = pointer;
  const value: Record<string, unknown> = { mstore: pointerVersion, path: name, kind, sha256, size };
  if (pointer.kind === 'file' && pointer.executable) value['executable'] = true;
  let text = JSON.stringify({ ...value, ...extra }, null, 2);
  if (pointer.kind === 'tree' && pointer.files !== undefined) {
    // One line a file keeps the diffs of pointers short and easy to merge.
    const lines = pointer.files.map((entry) => `    ${inlineObject(canonicalEntry(entry))}`);
    const files = lines.length === 0 ? '[]' : `[\n${lines.join(',\n')}\n  ]`;
    text = `${text.slice(0, -2)},\n  "files": ${files}\n}`;
  }
  return `${text}\n`;
}

function inlineObject(value: TreeEntry): string {
  const parts = Object.entries(value).map(([k, v]) => `${JSON.stringify(k)}: ${JSON.stringify(v)}`);
  return `{ ${parts.join(', ')} }`;
}

/**
 * Parses and checks the bytes of a pointer.
 * @param where names the file in errors
 * @throws MstoreError `corrupt-pointer`, `merge-conflict` or `newer-format`
 */
export function parsePointer(bytes: Uint8Array, where: string): Pointer {
  const problem = (what: string, cause?: unknown): MstoreError =>
    new MstoreError('corrupt-pointer', `The pointer ${printable(where)} cannot be used: ${what}`, {
      hint: `Restore it from Git ("git checkout -- ${shellWord(where)}"), or add its file again`,
      details: { path: where },
      cause,
    });
  let value: unknown;
  try {
    value = parseJsonBytes(bytes);
  } catch (error) {
    if (hasConflictMarkers(bytes)) throw mergeConflict(where);
    throw problem('it is not UTF-8 JSON (cut short or edited?)', error);
  }
  if (!isJsonObject(value)) throw problem('it is not a JSON object');
  const version = value['mstore'];
  if (typeof version !== 'number' || !Number.isInteger(version) || version < 1) {
    throw problem('it has no format number');
  }
  if (version > pointerVersion) {
    throw new MstoreError(
      'newer-format',
      `The pointer ${printable(where)} has format ${version}; this mstore reads ${pointerVersion}`,
      {
        hint: 'Install a newer mstore',
        details: { path: where, format: version },
      },
    );
  }
  try {
    return checkPointer(value, problem);
  } catch (error) {
    if (error instanceof TreeProblem) throw problem(error.problem, error);
    throw error;
  }
}

function hasConflictMarkers(bytes: Uint8Array): boolean {
  return /^(?:<{7} |={7}$|>{7} )/m.test(
    Buffer.from(bytes.subarray(0, limits.pointerBytesMax)).toString('latin1'),
  );
}

function mergeConflict(where: string): MstoreError {
  return new MstoreError(
    'merge-conflict',
    `The pointer ${printable(where)} has an unresolved merge conflict`,
    {
      hint: `Choose one side ("git checkout --ours -- ${shellWord(where)}", or --theirs), then run "mstore checkout"; or add the merged files again`,
      details: { path: where },
    },
  );
}

function checkPointer(value: JsonObject, problem: (what: string) => MstoreError): Pointer {
  const { path: name, kind, sha256, size, executable, files } = value;
  if (typeof name !== 'string') throw problem('it has no path');
  const badName = nameProblem(name);
  if (badName !== undefined) throw problem(`its path ${printable(name)} has ${badName}`);
  if (!isDigest(sha256)) throw problem('its sha256 is no digest');
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0)
    throw problem('its size is no size');
  // Made from entries, so that a key __proto__ is kept like any other.
  const extra = Object.fromEntries(Object.entries(value).filter(([key]) => !knownKeys.has(key)));
  if (isTooDeep(extra)) throw problem('a key that is not known has too many levels');
  if (kind === 'file') {
    if (files !== undefined) throw problem('a file has no list of files');
    if (executable !== undefined && executable !== true)
      throw problem('its executable mark is not true');
    const base = { kind, path: name, sha256, size, extra } as const;
    return executable ? { ...base, executable } : base;
  }
  if (kind !== 'tree') throw problem('its kind is neither file nor tree');
  if (executable !== undefined) throw problem('a tree is not executable');
  if (files === undefined) return { kind, path: name, sha256, size, extra };
  const entries = checkEntries(files);
  if (treeSize(entries) !== size) throw problem('the sizes of its files do not add up to its size');
  if (treeDigest(entries) !== sha256)
    throw problem('its sha256 is not the digest of its list of files');
  return { kind, path: name, sha256, size, extra, files: entries };
}

/**
 * Reads a pointer file, and checks that it speaks of the name it lies beside.
 * @param file absolute path
 * @param where the path to show
 * @returns undefined when there is no such file
 */
export function readPointer(file: string, where: string): Pointer | undefined {
  const bytes = readBounded(file, limits.pointerBytesMax);
  return bytes === undefined ? undefined : checkPointerName(parsePointer(bytes, where), where);
}

/** Checks that a pointer speaks of the name it lies beside: it never yields a path of its own choice. */
export function checkPointerName(pointer: Pointer, where: string): Pointer {
  const name = path.posix.basename(where, pointerSuffix);
  if (pointer.path === name) return pointer;
  throw new MstoreError(
    'corrupt-pointer',
    `The pointer ${printable(where)} speaks of ${printable(pointer.path)}, not of ${printable(name)} beside it`,
    {
      hint: 'Was it renamed? Set its "path" to the new name, or move file and pointer together; or restore it from Git',
      details: { path: where },
    },
  );
}

/**
 * Writes a pointer file, unless it holds the same bytes already.
 * @returns whether it was written
 */
export function writePointer(file: string, pointer: Pointer): boolean {
  const text = formatPointer(pointer);
  const now = readBounded(file, limits.pointerBytesMax);
  if (now?.toString() !== text) return writeAtomically(file, text);
  settleFolder(path.dirname(file));
  return false;
}
