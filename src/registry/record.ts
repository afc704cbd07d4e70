import { type Digest, isDigest } from '../base/digest.ts';
import type { MstoreError } from '../base/errors.ts';
import { isJsonObject, type JsonObject, type JsonValue } from '../base/json.ts';
import { nameProblem, pathProblem } from '../base/names.ts';
import { registryNameProblem } from './names.ts';
import {
  formatSealed,
  optionalTextIn,
  parseSealed,
  type Sealed,
  textIn,
  timeIn,
} from './sealed.ts';

/** What a version is of: a file or a directory, and where the workspace keeps it. */
export interface VersionContent {
  /** Path from the top of the workspace, `/`-separated. */
  readonly path: string;
  readonly kind: 'file' | 'tree';
  /** Digest of the file, or of the tree that lists the directory. */
  readonly sha256: Digest;
  /** Bytes of all files together. */
  readonly size: number;
  /** Of a file that may be executed. */
  readonly executable?: true;
}

/**
 * An immutable record of the registry: what `model@version` is, where it comes from and how good it is.
 * Its name is the SHA-256 of its canonical JSON. Keys that this version does not know are kept.
 */
export interface VersionRecord {
  readonly model: string;
  readonly version: string;
  readonly content: VersionContent;
  /** When it was registered, as ISO 8601 in UTC. */
  readonly created: string;
  readonly author: string;
  /** Program that registered it. */
  readonly tool: string;
  readonly description?: string;
  readonly changelog?: readonly string[];
  /** What its author calls its state, such as `candidate`; free text that no command acts on. */
  readonly status?: string;
  readonly labels?: Readonly<Record<string, string>>;
  /** By name; names of nested metrics are joined by dots. */
  readonly metrics: Readonly<Record<string, number>>;
  /** A metadata file, as it was given. */
  readonly metadata?: JsonObject;
  /** Where it comes from: the Git commit, or what it was imported from. */
  readonly source?: VersionSource;
}

/** Where a version comes from. */
export interface VersionSource {
  readonly git?: GitSource;
  readonly [kind: string]: JsonValue | GitSource | undefined;
}

/** The state of the Git repository when a version was registered. */
export interface GitSource {
  readonly commit?: string;
  readonly branch?: string;
  /** Whether tracked files differed from the commit. */
  readonly dirty: boolean;
  /** URL of the repository, without credentials. */
  readonly remote?: string;
}

const documentName = 'record';

/** The bytes of the object that holds a version record. */
export function formatRecord(record: Sealed<VersionRecord>): Buffer {
  return formatSealed(documentName, record);
}

/**
 * Parses and checks the object of a version record.
 * @param name what its key says it is
 * @throws MstoreError `corrupt-registry`, `newer-format`
 */
export function parseRecord(
  bytes: Uint8Array,
  where: string,
  name: { readonly model: string; readonly version: string },
): Sealed<VersionRecord> {
  return parseSealed(documentName, bytes, where, (value, problem) => {
    const record = checkRecord(value, problem);
    if (record.model === name.model && record.version === name.version) return record;
    throw problem(`it speaks of ${record.model}@${record.version}`);
  });
}

function checkRecord(value: JsonObject, problem: (what: string) => MstoreError): VersionRecord {
  for (const kind of ['model', 'version'] as const) {
    const wrong = registryNameProblem(kind, textIn(value, kind, problem));
    if (wrong !== undefined) throw problem(`the name of its ${kind} cannot be: ${wrong}`);
  }
  timeIn(value, 'created', problem);
  textIn(value, 'author', problem);
  textIn(value, 'tool', problem);
  for (const key of ['description', 'status']) optionalTextIn(value, key, problem);
  checkMap(value['metrics'], 'number', 'metrics', problem);
  if (value['labels'] !== undefined) checkMap(value['labels'], 'string', 'labels', problem);
  const changelog = value['changelog'] ?? [];
  if (!Array.isArray(changelog) || changelog.some((line) => typeof line !== 'string')) {
    throw problem('its changelog is no list of texts');
  }
  for (const key of ['metadata', 'source']) {
    if (value[key] !== undefined && !isJsonObject(value[key])) {
      throw problem(`its ${key} is no object`);
    }
  }
  checkContent(value['content'], problem);
  return value as unknown as VersionRecord;
}

function checkMap(
  value: JsonValue | undefined,
  type: 'number' | 'string',
  key: string,
  problem: (what: string) => MstoreError,
): void {
  const fine = isJsonObject(value) && Object.values(value).every((one) => typeof one === type);
  if (!fine) throw problem(`its ${key} are no ${type}s by name`);
}

function checkContent(value: JsonValue | undefined, problem: (what: string) => MstoreError): void {
  if (!isJsonObject(value)) throw problem('it has no content');
  const { path, kind, sha256, size, executable } = value;
  if (typeof path !== 'string') throw problem('its content has no path');
  const wrong = pathProblem(path) ?? nameProblem(path.slice(path.lastIndexOf('/') + 1));
  if (wrong !== undefined) throw problem(`the path of its content has ${wrong}`);
  if (kind !== 'file' && kind !== 'tree') throw problem('its content is neither file nor tree');
  if (!isDigest(sha256)) throw problem('the sha256 of its content is no digest');
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) {
    throw problem('the size of its content is no size');
  }
  if (executable !== undefined && (executable !== true || kind !== 'file')) {
    throw problem('its content is wrongly marked as executable');
  }
}
