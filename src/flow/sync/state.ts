import * as path from 'node:path';
import { writeCacheFile } from '../../base/cache-file.ts';
import { type Digest, isDigest, sha256 } from '../../base/digest.ts';
import { isMstoreError, MstoreError } from '../../base/errors.ts';
import { readBounded, removeFile, writeAtomically } from '../../base/files.ts';
import { isJsonObject, type JsonObject, type JsonValue } from '../../base/json.ts';
import { limits } from '../../base/limits.ts';
import { printable } from '../../base/names.ts';
import { formatTree, parseTree, type TreeEntry } from '../../base/tree.ts';
import { registryNameProblem } from '../../registry/names.ts';
import { formatSealed, parseSealed, seal } from '../../registry/sealed.ts';
import { listFolder } from '../../store/pack-files.ts';
import type { Identity, SyncPlace } from './place.ts';

const documentName = 'sync';

/** A version that sync has put here. */
export interface KeptVersion {
  readonly version: string;
  /** Digest of its record. */
  readonly record: Digest;
  readonly tree: Digest;
  /** The directory that was built. */
  readonly identity: Identity;
}

/** The entry of an environment that was seen last. */
export interface SeenEntry {
  readonly number: number;
  readonly sha256: Digest;
}

/** A command that has to run after a switch: it is run again where a crash came between. */
export interface OwedCommand {
  readonly version: string;
  /** What was live before. */
  readonly previous: string | null;
}

/** What is kept about a directory. */
export interface SyncState {
  readonly model: string;
  readonly environment: string;
  readonly seen?: SeenEntry | undefined;
  /** Those that were live last come first. */
  readonly versions: readonly KeptVersion[];
  readonly owed?: OwedCommand | undefined;
}

/** Keeps what sync knows of its directory: one small file, replaced whole. */
export class StateFile {
  readonly #place: SyncPlace;
  /** Why what was there could not be used. */
  readonly damage: string | undefined;
  #state: SyncState;

  /**
   * Reads what is kept.
   * @throws MstoreError `destination-exists` when the directory is of another model or environment
   */
  constructor(place: SyncPlace, of: Pick<SyncState, 'model' | 'environment'>) {
    this.#place = place;
    const read = readState(this.#file);
    this.damage = 'damage' in read ? read.damage : undefined;
    const found = 'state' in read ? read.state : undefined;
    if (found !== undefined) refuseOther(place, found, of);
    this.#state = found ?? { ...of, versions: [] };
  }

  get #file(): string {
    return path.join(this.#place.folder, 'state.json');
  }

  get value(): SyncState {
    return this.#state;
  }

  find(version: string): KeptVersion | undefined {
    return this.#state.versions.find((one) => one.version === version);
  }

  /** Changes what is kept; durable when it returns. */
  write(change: Partial<SyncState>): void {
    this.#state = { ...this.#state, ...change };
    const bytes = formatSealed(documentName, seal(this.#state as unknown as JsonObject));
    writeAtomically(this.#file, bytes, { mode: 0o644 });
  }

  /** Adds a version, or what is known of it now; one that is new comes last. */
  put(kept: KeptVersion): void {
    const { versions } = this.#state;
    const isNew = this.find(kept.version) === undefined;
    const changed = versions.map((one) => (one.version === kept.version ? kept : one));
    this.write({ versions: isNew ? [...versions, kept] : changed });
  }

  forget(version: string): void {
    this.write({ versions: this.#state.versions.filter((one) => one.version !== version) });
    const trees = new Set<string>(this.#state.versions.map(({ tree }) => tree));
    for (const name of listFolder(this.#treesFolder)) {
      if (!trees.has(name)) removeFile(path.join(this.#treesFolder, name));
    }
  }

  /** The versions in the order in which they stay: the one that is live now comes first. */
  livesNow(version: string): readonly KeptVersion[] {
    const { versions } = this.#state;
    const isIt = (one: KeptVersion): boolean => one.version === version;
    return [...versions.filter(isIt), ...versions.filter((one) => !isIt(one))];
  }

  get #treesFolder(): string {
    return path.join(this.#place.folder, 'trees');
  }

  /** The entries of a tree, where its list is here and whole. */
  list(tree: Digest): readonly TreeEntry[] | undefined {
    try {
      const bytes = readBounded(path.join(this.#treesFolder, tree), limits.treeBytesMax);
      return bytes === undefined || sha256(bytes) !== tree ? undefined : parseTree(bytes);
    } catch (error) {
      if (isMstoreError(error)) return undefined;
      throw error;
    }
  }

  /** Keeps the entries of a tree: they tell what is wrong with a directory, and what two versions share. */
  keepList(tree: Digest, entries: readonly TreeEntry[]): void {
    if (this.list(tree) === undefined)
      writeCacheFile(path.join(this.#treesFolder, tree), formatTree(entries));
  }
}

function readState(
  file: string,
): { readonly state: SyncState | undefined } | { readonly damage: string } {
  try {
    const bytes = readBounded(file, limits.registryObjectBytesMax);
    if (bytes === undefined) return { state: undefined };
    return { state: parseSealed(documentName, bytes, file, checkState).value };
  } catch (error) {
    if (!isMstoreError(error, 'corrupt-registry', 'too-large')) throw error;
    return { damage: error.message };
  }
}

/** Checks what was kept: names in it become names of directories. */
function checkState(value: JsonObject, problem: (what: string) => MstoreError): SyncState {
  const { model, environment, seen, versions, owed } = value;
  const isName = (kind: 'model' | 'version' | 'environment', name: JsonValue | undefined) =>
    typeof name === 'string' && registryNameProblem(kind, name) === undefined;
  if (!isName('model', model) || !isName('environment', environment)) {
    throw problem('it does not say what it is of');
  }
  const isSeen = isJsonObject(seen) && isDigest(seen['sha256']) && Number.isInteger(seen['number']);
  if (seen !== undefined && !isSeen) throw problem('the entry in it is none');
  const isKept = (one: JsonValue): boolean =>
    isJsonObject(one) &&
    isName('version', one['version']) &&
    isDigest(one['record']) &&
    isDigest(one['tree']) &&
    isJsonObject(one['identity']);
  if (!Array.isArray(versions) || !versions.every(isKept)) throw problem('its versions are none');
  const isOwed =
    isJsonObject(owed) &&
    isName('version', owed['version']) &&
    (owed['previous'] === null || isName('version', owed['previous']));
  if (owed !== undefined && !isOwed) throw problem('the command in it is none');
  return value as unknown as SyncState;
}

function refuseOther(
  { directory }: SyncPlace,
  found: SyncState,
  { model, environment }: Pick<SyncState, 'model' | 'environment'>,
): void {
  if (found.model === model && found.environment === environment) return;
  throw new MstoreError(
    'destination-exists',
    `${printable(directory)} holds ${found.model} in ${found.environment}, not ${model} in ${environment}`,
    {
      hint: 'Give each model and environment a directory of its own: --to DIR',
      details: { path: directory },
    },
  );
}
