import { type Digest, isDigest, sha256 } from '../base/digest.ts';
import { MstoreError } from '../base/errors.ts';
import { canonicalJson, isJsonObject, type JsonObject, parseJsonBytes } from '../base/json.ts';
import { printable } from '../base/names.ts';

/** The format number of registry objects that this version reads and writes. */
const sealedFormat = 1;

/**
 * A document of the registry with its digest, the SHA-256 of its canonical JSON (RFC 8785). The object that
 * holds it carries the digest beside it, so that what was damaged or edited by hand is noticed wherever it is read.
 */
export interface Sealed<T> {
  readonly sha256: Digest;
  readonly value: T;
  /** A signature of the digest, which the object carries beside it; it is worth what whoever checks it finds. */
  readonly signature?: JsonObject;
}

/** Seals a document. */
export function seal<T extends object>(value: T): Sealed<T> {
  return { sha256: sha256(canonicalJson(value as JsonObject)), value };
}

/** The bytes of the object that holds a document: readable JSON, the same on every machine. */
export function formatSealed(
  name: string,
  { sha256: digest, value, signature }: Sealed<object>,
): Buffer {
  const signed = signature === undefined ? {} : { signature };
  const object = { mstore: sealedFormat, sha256: digest, [name]: value, ...signed };
  return Buffer.from(`${JSON.stringify(object, null, 2)}\n`);
}

/**
 * Parses an object of the registry and compares it with its digest.
 * @param name the key of the document in it
 * @param where names the object in errors
 * @param check checks the document and returns it typed; it calls `problem` for the error to throw
 * @throws MstoreError `corrupt-registry`, `newer-format`
 */
export function parseSealed<T extends object>(
  name: string,
  bytes: Uint8Array,
  where: string,
  check: (value: JsonObject, problem: (what: string) => MstoreError) => T,
): Sealed<T> {
  const problem = (what: string, cause?: unknown) => corruptRegistry(where, what, cause);
  let object: unknown;
  try {
    object = parseJsonBytes(bytes);
  } catch (error) {
    throw problem('it is not UTF-8 JSON', error);
  }
  if (!isJsonObject(object)) throw problem('it is not a JSON object');
  const format = object['mstore'];
  if (typeof format !== 'number' || !Number.isInteger(format) || format < 1) {
    throw problem('it has no format number');
  }
  if (format > sealedFormat) {
    throw new MstoreError(
      'newer-format',
      `${printable(where)} has format ${format}; this mstore reads ${sealedFormat}`,
      { hint: 'Install a newer mstore', details: { path: where, format } },
    );
  }
  const digest = object['sha256'];
  const value = object[name];
  if (!isDigest(digest)) throw problem('its sha256 is no digest');
  if (!isJsonObject(value)) throw problem(`it holds no ${name}`);
  if (digestOf(value, problem) !== digest) {
    throw problem('its content does not fit its digest: it was damaged or changed afterwards');
  }
  const { signature } = object;
  if (signature !== undefined && !isJsonObject(signature)) throw problem('its signature is none');
  const checked = check(value, problem);
  return { sha256: digest, value: checked, ...(signature === undefined ? {} : { signature }) };
}

/** Tells whether bytes are an object that fits its digest, whatever document it holds. */
export function isSealed(bytes: Uint8Array): boolean {
  let object: unknown;
  try {
    object = parseJsonBytes(bytes);
  } catch {
    return false;
  }
  if (!isJsonObject(object)) return false;
  const names = Object.keys(object).filter((key) => key !== 'mstore');
  try {
    return names.some((name) => {
      const value = object[name];
      return isJsonObject(value) && seal(value).sha256 === object['sha256'];
    });
  } catch {
    return false;
  }
}

function digestOf(
  value: JsonObject,
  problem: (what: string, cause?: unknown) => MstoreError,
): Digest {
  try {
    return sha256(canonicalJson(value));
  } catch (error) {
    throw problem('it has too many levels of lists and objects in each other', error);
  }
}

/**
 * Checks that a signature, or another object that is named by its bytes, has them.
 * @throws MstoreError `corrupt-registry`
 */
export function checkSignatureObject(bytes: Uint8Array, where: string, wanted: Digest): void {
  if (sha256(bytes) === wanted) return;
  throw corruptRegistry(where, 'its bytes are not those that it is named by');
}

/** Builds the error of an object of the registry that cannot be used. */
export function corruptRegistry(where: string, what: string, cause?: unknown): MstoreError {
  return new MstoreError('corrupt-registry', `${printable(where)} cannot be used: ${what}`, {
    hint: `Remove it; then ${restoredBy}`,
    details: { path: where },
    cause,
  });
}

/** Builds the error of an object of the registry that is gone, while others speak of it. */
export function missingInRegistry(where: string): MstoreError {
  return new MstoreError('corrupt-registry', `${printable(where)} cannot be used: it is missing`, {
    hint: `It is to be had again: ${restoredBy}`,
    details: { path: where },
  });
}

/** What is absent on one side is copied from the other. */
const restoredBy =
  'run "mstore fetch" to bring it back to the local store, or "mstore push" to a remote, where the other has it';

/** Reads a text of a document. */
export function textIn(
  value: JsonObject,
  key: string,
  problem: (what: string) => MstoreError,
): string {
  const text = value[key];
  if (typeof text === 'string') return text;
  throw problem(`its ${key} is no text`);
}

/** Reads a text that may be absent. */
export function optionalTextIn(
  value: JsonObject,
  key: string,
  problem: (what: string) => MstoreError,
): string | undefined {
  return value[key] === undefined ? undefined : textIn(value, key, problem);
}

/** Reads a point in time: ISO 8601 in UTC. */
export function timeIn(
  value: JsonObject,
  key: string,
  problem: (what: string) => MstoreError,
): string {
  const text = textIn(value, key, problem);
  if (/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/.test(text) && !Number.isNaN(Date.parse(text)))
    return text;
  throw problem(`its ${key} is no time of the form 2026-01-31T12:00:00.000Z`);
}
