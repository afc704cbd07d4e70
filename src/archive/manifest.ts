import { type Digest, isDigest } from '../base/digest.ts';
import { MstoreError } from '../base/errors.ts';
import { compareUtf8, isJsonObject, type JsonObject, parseJsonBytes } from '../base/json.ts';
import { limits } from '../base/limits.ts';
import { nameProblem, pathProblem, printable } from '../base/names.ts';
import {
  canonicalEntry,
  checkEntries,
  isFileEntry,
  type TreeEntry,
  TreeProblem,
  treeDigest,
  treeSize,
} from '../base/tree.ts';
import { corruptPackage } from './corrupt.ts';

/** The format number of packages that this version reads and writes. */
const packageFormat = 1;

/** The name of the manifest in a package, and of the copy that an export may have. */
export const manifestName = 'mstore-package.json';

/** What a package is of. */
export interface PackagedContent {
  /** Tracked path from the top of the workspace. */
  readonly path: string;
  readonly kind: 'file' | 'tree';
  /** Digest of the file, or of the tree that lists the directory. */
  readonly sha256: Digest;
  /** Bytes of all files together. */
  readonly size: number;
  readonly executable?: true;
}

/** An object of the registry in a package, byte for byte as registries have it. */
export interface PackagedObject {
  readonly key: string;
  /** Bytes. */
  readonly size: number;
  /** Digest of the bytes of the object. */
  readonly sha256: Digest;
}

/** The version that a package is of. */
export interface PackagedVersion {
  readonly model: string;
  readonly version: string;
  /** Digest of its record. */
  readonly record: Digest;
}

/** What is in a package. */
export interface PackageManifest {
  /** The folder that all of it is in. */
  readonly name: string;
  /** Undefined for content that is no registered version. */
  readonly version?: PackagedVersion | undefined;
  readonly content: PackagedContent;
  /** Sorted by key; empty where there is no version. */
  readonly registry: readonly PackagedObject[];
  /** The entries of the directory, or the one file; sorted as in a tree. */
  readonly files: readonly TreeEntry[];
}

/** The bytes of a manifest: one line for each object and file, the same on every machine. */
export function formatManifest(manifest: PackageManifest, more: JsonObject = {}): Buffer {
  const { name, version, content, registry, files } = manifest;
  const lines = [
    member('mstore', packageFormat),
    member('name', name),
    ...Object.entries(version ?? {}).map(([key, value]) => member(key, value)),
    member('content', content),
    ...Object.entries(more).map(([key, value]) => member(key, value)),
    ...(version === undefined || registry.length === 0 ? [] : [list('registry', registry)]),
    list('files', files.map(canonicalEntry)),
  ];
  return Buffer.from(`{\n${lines.join(',\n')}\n}\n`);
}

function member(key: string, value: unknown): string {
  return `  ${JSON.stringify(key)}: ${JSON.stringify(value)}`;
}

function list(key: string, values: readonly object[]): string {
  const lines = values.map((value) => `\n    ${JSON.stringify(value)}`);
  return `  ${JSON.stringify(key)}: [${lines.join(',')}${lines.length === 0 ? '' : '\n  '}]`;
}

/**
 * Parses and checks a manifest: form, names, and that the list of files is what the content says. What keys of the
 * registry may be is for the registry to say.
 * @param where the package, for errors
 * @throws MstoreError `corrupt-package`, `newer-format`
 */
export function parseManifest(bytes: Uint8Array, where: string): PackageManifest {
  const problem = (what: string, cause?: unknown) =>
    corruptPackage(where, `its manifest ${what}`, cause);
  if (bytes.length > limits.packageManifestBytesMax || !isPlain(bytes)) {
    throw problem('is too large, or has too many parts');
  }
  let object: unknown;
  try {
    object = parseJsonBytes(bytes);
  } catch (error) {
    throw problem('is not UTF-8 JSON', error);
  }
  if (!isJsonObject(object)) throw problem('is no JSON object');
  checkFormat(object, where, problem);
  const name = object['name'];
  if (typeof name !== 'string' || !namePattern.test(name)) throw problem('has no usable name');
  const content = contentOf(object['content'], problem);
  const version = versionOf(object, problem);
  const registry = objectsOf(object['registry'] ?? [], problem);
  if (version === undefined && registry.length > 0) {
    throw problem('has objects of the registry and names no version');
  }
  const files = filesOf(object['files'], content, problem);
  return { name, version, content, registry, files };
}

type Problem = (what: string, cause?: unknown) => MstoreError;

const namePattern = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,254}$/;

/** Levels of lists and objects in each other that a manifest may have. */
const depthMax = 16;

/**
 * Tells, before it is parsed, whether a manifest has no more parts than one of its size needs: what is all commas and
 * brackets takes a parser many times its size.
 */
function isPlain(bytes: Uint8Array): boolean {
  const partsMax = 4_096 + bytes.length / 8;
  let parts = 0;
  let depth = 0;
  let inText = false;
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i];
    if (byte === 0x22) inText = !inText;
    else if (inText) {
      if (byte === 0x5c) i++;
    } else if (byte === 0x7b || byte === 0x5b) {
      parts++;
      if (++depth > depthMax) return false;
    } else if (byte === 0x7d || byte === 0x5d) depth--;
    else if (byte === 0x2c) parts++;
  }
  return parts <= partsMax;
}

function checkFormat(object: JsonObject, where: string, problem: Problem): void {
  const format = object['mstore'];
  if (typeof format !== 'number' || !Number.isInteger(format) || format < 1) {
    throw problem('has no format number');
  }
  if (format <= packageFormat) return;
  throw new MstoreError(
    'newer-format',
    `${printable(where)} has format ${format}; this mstore reads ${packageFormat}`,
    { hint: 'Install a newer mstore', details: { path: where, format } },
  );
}

function contentOf(value: unknown, problem: Problem): PackagedContent {
  if (!isJsonObject(value)) throw problem('has no content');
  const { path, kind, sha256, size, executable } = value;
  if (typeof path !== 'string') throw problem('has no path of its content');
  const wrong = pathProblem(path) ?? nameProblem(path.slice(path.lastIndexOf('/') + 1));
  if (wrong !== undefined) throw problem(`has ${wrong} in the path of its content`);
  if (kind !== 'file' && kind !== 'tree') throw problem('has content of no known kind');
  if (!isDigest(sha256)) throw problem('has no digest of its content');
  if (!isSize(size)) throw problem('has no size of its content');
  if (executable !== undefined && (executable !== true || kind !== 'file')) {
    throw problem('wrongly marks its content as executable');
  }
  return { path, kind, sha256, size, ...(executable ? { executable } : {}) };
}

function versionOf(object: JsonObject, problem: Problem): PackagedVersion | undefined {
  const { model, version, record } = object;
  if (model === undefined && version === undefined && record === undefined) return undefined;
  if (typeof model !== 'string' || typeof version !== 'string' || !isDigest(record)) {
    throw problem('names no version in full');
  }
  return { model, version, record };
}

function objectsOf(value: unknown, problem: Problem): PackagedObject[] {
  if (!Array.isArray(value)) throw problem('has no list of objects of the registry');
  let before = '';
  return value.map((one: unknown): PackagedObject => {
    if (!isJsonObject(one)) throw problem('has an object of the registry that is none');
    const { key, size, sha256 } = one;
    if (typeof key !== 'string' || pathProblem(key) !== undefined) {
      throw problem('has an object of the registry without a usable key');
    }
    if (compareUtf8(before, key) >= 0) throw problem(`has ${printable(key)} twice or out of order`);
    before = key;
    if (!isSize(size) || size > limits.signatureBytesMax || !isDigest(sha256)) {
      throw problem(`has a bad size or digest of ${printable(key)}`);
    }
    return { key, size, sha256 };
  });
}

function filesOf(value: unknown, content: PackagedContent, problem: Problem): TreeEntry[] {
  let entries: TreeEntry[];
  try {
    entries = checkEntries(value);
  } catch (error) {
    if (!(error instanceof TreeProblem)) throw error;
    throw problem(`lists files that cannot be: ${error.problem}`, error);
  }
  if (treeSize(entries) !== content.size)
    throw problem('gives its content another size than its files');
  const [first] = entries;
  const isSame =
    content.kind === 'tree'
      ? treeDigest(entries) === content.sha256
      : entries.length === 1 &&
        first !== undefined &&
        isFileEntry(first) &&
        first.path === content.path.slice(content.path.lastIndexOf('/') + 1) &&
        first.sha256 === content.sha256 &&
        first.executable === content.executable;
  if (!isSame) throw problem('lists other files than its content has');
  return entries;
}

function isSize(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}
