import { type Digest, isDigest } from '../base/digest.ts';
import { invariant } from '../base/errors.ts';
import { limits } from '../base/limits.ts';
import { type NameKind, registryNameProblem } from './names.ts';

/*
 * Names of the objects of a registry, the same in the local store and on a remote:
 *
 *   refs/models/MODEL/versions/VERSION.json
 *   refs/models/MODEL/environments/ENVIRONMENT/NUMBER.json
 *   refs/models/MODEL/states/VERSION/NUMBER.json
 *   refs/models/MODEL/signatures/VERSION/SHA256.json
 *
 * NUMBER has eight digits and starts at 1; the highest one of a folder counts.
 * SHA256 is the digest of the object itself: of signatures a version has any number, in no order.
 */

/** All that belongs to registries is below this. */
export const modelsPrefix = 'refs/models/';

const suffix = '.json';
const numberDigits = 8;

/** Most entries of one log. */
const entriesMax = 10 ** numberDigits - 1;

/** One log of a registry: the history of an environment, or the states of a version. */
export interface LogName {
  readonly model: string;
  readonly kind: 'environments' | 'states';
  /** The environment, or the version. */
  readonly name: string;
}

/** One entry of a log. */
export type LogKey = LogName & { readonly number: number };

/** What a key of a registry names. */
export type RegistryKey =
  | { readonly model: string; readonly kind: 'versions'; readonly name: string }
  | {
      readonly model: string;
      readonly kind: 'signatures';
      /** The version. */
      readonly name: string;
      readonly sha256: Digest;
    }
  | LogKey;

/** Bytes that the object of a key has at most. */
export function bytesMaxOf(key: string): number {
  const isSignature = parseRegistryKey(key)?.kind === 'signatures';
  return isSignature ? limits.signatureBytesMax : limits.registryObjectBytesMax;
}

/** Tells whether a key is of an entry. */
export function isLogKey(named: RegistryKey): named is LogKey {
  return named.kind === 'environments' || named.kind === 'states';
}

/** Returns the prefix of all objects of a model. */
export function modelPrefix(model: string): string {
  return `${modelsPrefix}${checked('model', model)}/`;
}

/** Returns the key of the record of a version. */
export function versionKey(model: string, version: string): string {
  return `${modelPrefix(model)}versions/${checked('version', version)}${suffix}`;
}

/** Returns the prefix of the entries of a log. */
export function logPrefix({ model, kind, name }: LogName): string {
  const named = kind === 'environments' ? 'environment' : 'version';
  return `${modelPrefix(model)}${kind}/${checked(named, name)}/`;
}

/** Returns the key of an entry of a log. */
export function entryKey(log: LogName, number: number): string {
  invariant(
    Number.isInteger(number) && number >= 1 && number <= entriesMax,
    'the number of an entry',
  );
  return `${logPrefix(log)}${String(number).padStart(numberDigits, '0')}${suffix}`;
}

/** Returns the prefix of all signatures of a version. */
export function signaturesPrefix(model: string, version: string): string {
  return `${modelPrefix(model)}signatures/${checked('version', version)}/`;
}

/** Returns the key of a signature, by the digest of its bytes. */
export function signatureKey(model: string, version: string, sha256: Digest): string {
  return `${signaturesPrefix(model, version)}${sha256}${suffix}`;
}

/** Reads a key; undefined for one that is none of a registry. */
export function parseRegistryKey(key: string): RegistryKey | undefined {
  if (!key.startsWith(modelsPrefix) || !key.endsWith(suffix)) return undefined;
  const parts = key.slice(modelsPrefix.length, -suffix.length).split('/');
  const [model = '', kind, name = '', digits = ''] = parts;
  if (registryNameProblem('model', model) !== undefined) return undefined;
  if (kind === 'versions' && parts.length === 3) {
    return registryNameProblem('version', name) === undefined ? { model, kind, name } : undefined;
  }
  if (kind === 'signatures' && parts.length === 4 && isDigest(digits)) {
    const isVersion = registryNameProblem('version', name) === undefined;
    return isVersion ? { model, kind, name, sha256: digits } : undefined;
  }
  if ((kind !== 'environments' && kind !== 'states') || parts.length !== 4) return undefined;
  const named = kind === 'environments' ? 'environment' : 'version';
  if (registryNameProblem(named, name) !== undefined) return undefined;
  const number = /^\d{8}$/.test(digits) ? Number(digits) : 0;
  return number === 0 ? undefined : { model, kind, name, number };
}

function checked(kind: NameKind, name: string): string {
  invariant(registryNameProblem(kind, name) === undefined, `a checked name of a ${kind}`);
  return name;
}
