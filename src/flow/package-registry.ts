import { corruptPackage } from '../archive/corrupt.ts';
import type { PackagedObject, PackageManifest } from '../archive/manifest.ts';
import { type Digest, sha256 } from '../base/digest.ts';
import { isMstoreError, type MstoreError } from '../base/errors.ts';
import { compareUtf8 } from '../base/json.ts';
import { printable } from '../base/names.ts';
import { type EnvironmentEntry, parseEntry, type StateEntry } from '../registry/entry.ts';
import {
  bytesMaxOf,
  entryKey,
  type LogName,
  parseRegistryKey,
  signatureKey,
  versionKey,
} from '../registry/keys.ts';
import { registryNameProblem } from '../registry/names.ts';
import { parseRecord, type VersionRecord } from '../registry/record.ts';
import { environmentLog, type Registry, stateLog } from '../registry/registry.ts';
import { checkSignatureObject, type Sealed } from '../registry/sealed.ts';
import { type RemoteCallOptions, readObject } from '../remote/remote.ts';

/**
 * Lists the objects of a registry that go with a version: its record, signatures and states, the whole history of each
 * environment in which it was ever live, and the records and states of the versions that these name, with their signatures. So all of them
 * can be checked by what they say of each other, and no history speaks of a version that is unknown.
 * @throws MstoreError `corrupt-registry`
 */
export async function objectsOfVersion(
  registry: Registry,
  { model, version }: Pick<VersionRecord, 'model' | 'version'>,
  options: RemoteCallOptions = {},
): Promise<PackagedObject[]> {
  const names = await registry.namesOf(model);
  const keys: string[] = [];
  const versions = new Set([version]);
  for (const environment of names.environments.keys()) {
    const log = environmentLog(model, environment);
    const entries = await registry.log<EnvironmentEntry>(log);
    if (!entries.some(({ value }) => value.version === version)) continue;
    for (const { value } of entries) {
      keys.push(entryKey(log, value.number));
      versions.add(value.version);
    }
  }
  for (const { value } of await registry.records(model, [...versions])) {
    keys.push(versionKey(model, value.version));
    for (const sha256 of await registry.signatures(model, value.version)) {
      keys.push(signatureKey(model, value.version, sha256));
    }
    const log = stateLog(model, value.version);
    for (const entry of await registry.log<StateEntry>(log)) {
      keys.push(entryKey(log, entry.value.number));
    }
  }
  const objects: PackagedObject[] = [];
  for (const key of keys.sort(compareUtf8)) {
    const bytes = await readObject(registry.place, key, bytesMaxOf(key), options);
    objects.push({ key, size: bytes.length, sha256: sha256(bytes) });
  }
  return objects;
}

/**
 * Checks the objects of the registry in a package, one after the other: each by its own digest, histories for gaps and
 * broken chains, and that all they name is there. Memory: a digest for each version and history.
 */
export class PackagedRegistryCheck {
  readonly #manifest: PackageManifest;
  readonly #where: string;
  readonly #records = new Map<string, Sealed<VersionRecord>['sha256']>();
  /** By versions, the record that a history says they have; undefined where it says nothing of it. */
  readonly #named = new Map<string, Digest | undefined>();
  #log: (LogName & { readonly number: number; readonly sha256: Digest }) | undefined;

  /**
   * @param where the package, for errors
   * @throws MstoreError `corrupt-package` for names that cannot be
   */
  constructor(manifest: PackageManifest, where: string) {
    this.#manifest = manifest;
    this.#where = where;
    const { version } = manifest;
    if (version === undefined) return;
    const wrong =
      registryNameProblem('model', version.model) ??
      registryNameProblem('version', version.version);
    if (wrong !== undefined) throw this.#problem(`it names a version that cannot be: ${wrong}`);
  }

  /**
   * Checks the next object; they come sorted by their keys.
   * @throws MstoreError `corrupt-package`, `newer-format`
   */
  add(key: string, bytes: Uint8Array): void {
    const named = parseRegistryKey(key);
    const { version } = this.#manifest;
    if (named === undefined || named.model !== version?.model) {
      throw this.#problem(`${printable(key)} is no object of the registry of its model`);
    }
    try {
      if (named.kind === 'versions') this.#record(key, bytes, named);
      else if (named.kind === 'signatures') this.#signature(key, bytes, named);
      else this.#entry(key, bytes, named, named.number);
    } catch (error) {
      if (!isMstoreError(error, 'corrupt-registry')) throw error;
      throw this.#problem(error.message, error);
    }
  }

  #record(key: string, bytes: Uint8Array, { model, name }: LogOrVersion): void {
    const record = parseRecord(bytes, key, { model, version: name });
    this.#records.set(name, record.sha256);
    if (name !== this.#manifest.version?.version) return;
    if (record.sha256 !== this.#manifest.version.record) {
      throw this.#problem('the record of its version is another one than its manifest says');
    }
    const { content } = this.#manifest;
    if (contentKeys.every((key) => record.value.content[key] === content[key])) return;
    throw this.#problem('the record of its version speaks of other content than its manifest');
  }

  #signature(key: string, bytes: Uint8Array, { name, sha256 }: NamedSignature): void {
    checkSignatureObject(bytes, key, sha256);
    this.#named.set(name, this.#named.get(name));
  }

  #entry(key: string, bytes: Uint8Array, log: LogName, number: number): void {
    const { sha256: digest, value } = parseEntry(bytes, key, log, number);
    const before = this.#log;
    const isSame = before?.kind === log.kind && before.name === log.name;
    if (number !== (isSame ? before.number + 1 : 1)) {
      throw this.#problem(`an entry is missing before ${key}`);
    }
    if (value.previous !== (isSame ? before.sha256 : null)) {
      throw this.#problem(`${key} does not follow the entry before it`);
    }
    this.#log = { ...log, number, sha256: digest };
    const record = 'record' in value ? value.record : undefined;
    const known = this.#named.get(value.version) ?? record;
    if (record !== undefined && known !== record) {
      throw this.#problem(`its histories give ${value.version} two records`);
    }
    this.#named.set(value.version, known);
  }

  /**
   * Ends the check.
   * @throws MstoreError `corrupt-package` when something is missing that others speak of
   */
  finish(): void {
    const { version } = this.#manifest;
    if (version === undefined) return;
    if (!this.#records.has(version.version))
      throw this.#problem('the record of its version is missing');
    for (const [name, record] of this.#named) {
      const there = this.#records.get(name);
      if (there === undefined) throw this.#problem(`the record of ${name} is missing`);
      if (record === undefined || record === there) continue;
      throw this.#problem(`${name} has another record than its histories say`);
    }
  }

  #problem(what: string, cause?: unknown): MstoreError {
    return corruptPackage(this.#where, what, cause);
  }
}

const contentKeys = ['path', 'kind', 'sha256', 'size', 'executable'] as const;

type LogOrVersion = Pick<LogName, 'model' | 'name'>;
type NamedSignature = Pick<LogName, 'name'> & { readonly sha256: Digest };
