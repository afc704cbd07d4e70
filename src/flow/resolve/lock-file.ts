import * as fs from 'node:fs';
import * as path from 'node:path';
import { clearDeadTemps } from '../../base/dead-temps.ts';
import { type Digest, isDigest } from '../../base/digest.ts';
import { fromSystemError, isMstoreError, MstoreError } from '../../base/errors.ts';
import { readBounded, writeAtomically } from '../../base/files.ts';
import {
  isJsonObject,
  isTooDeep,
  type JsonObject,
  type JsonValue,
  parseJsonBytes,
} from '../../base/json.ts';
import { limits } from '../../base/limits.ts';
import { withLock } from '../../base/lock.ts';
import { printable } from '../../base/names.ts';
import { type Asked, exactForm, isPinOf, lockName, parseAsked, treeSaid } from './asked.ts';

/** The format number that this version reads and writes. */
const lockFormat = 1;

/** What a reference is pinned to. */
export interface Pin {
  /** The reference that names the same bytes for ever. */
  readonly exact: string;
  /** Digest of the tree of all files. */
  readonly tree: Digest;
  /** Bytes of all files. */
  readonly size: number;
  /** Digest of the record of a version. */
  readonly record?: Digest;
}

/** The pins of a lock file, by the reference as it is asked for. */
export interface LockFile {
  readonly pins: ReadonlyMap<string, Pin>;
  /** The whole document, with what this version does not know. */
  readonly document: JsonObject;
}

const emptyLock: LockFile = { pins: new Map(), document: { mstore: lockFormat, references: {} } };

/**
 * Parses a lock file and checks all of it: that each pin is one, and of what it stands for.
 * @param where names the file in errors
 * @throws MstoreError `corrupt-lock`, `newer-format`, `too-large`
 */
export function parseLock(bytes: Uint8Array, where: string): LockFile {
  const problem = (what: string, cause?: unknown) => corruptLock(where, what, cause);
  if (bytes.length > limits.lockFileBytesMax) {
    throw new MstoreError(
      'too-large',
      `${printable(where)} has more than ${limits.lockFileBytesMax} bytes`,
      {
        hint: 'It is no lock file of mstore; name another one with --lock',
        details: { path: where },
      },
    );
  }
  let document: unknown;
  try {
    document = parseJsonBytes(bytes);
  } catch (error) {
    throw problem(
      conflictMarks.test(bytes.toString())
        ? 'a merge left its marks in it'
        : 'it is not UTF-8 JSON',
      error,
    );
  }
  if (!isJsonObject(document) || isTooDeep(document))
    throw problem('it is no JSON object of few levels');
  const { mstore: format, references } = document;
  if (typeof format !== 'number' || !Number.isInteger(format) || format < 1) {
    throw problem('it has no format number');
  }
  if (format > lockFormat) {
    throw new MstoreError(
      'newer-format',
      `${printable(where)} has format ${format}; this mstore reads ${lockFormat}`,
      {
        hint: 'Install a newer mstore',
        details: { path: where, format },
      },
    );
  }
  if (!isJsonObject(references)) throw problem('it has no references');
  const found = protoKey(document);
  if (found !== undefined) throw problem(`it has a key ${found}`);
  const pins = new Map<string, Pin>();
  for (const [name, value] of Object.entries(references)) {
    pins.set(
      name,
      checkPin(name, value, (what) => problem(`${printable(name)} ${what}`)),
    );
  }
  return { pins, document };
}

const conflictMarks = /^(?:<{7}|={7}|>{7})/m;

/** A key that stands for no value in many programs that read such a file. */
function protoKey(value: JsonValue): string | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  if (!Array.isArray(value) && Object.hasOwn(value, '__proto__')) return '__proto__';
  for (const inner of Object.values(value)) {
    const found = protoKey(inner as JsonValue);
    if (found !== undefined) return found;
  }
  return undefined;
}

function checkPin(name: string, value: unknown, problem: (what: string) => MstoreError): Pin {
  if (!isJsonObject(value)) throw problem('is pinned to no object');
  const { exact, tree, size, record } = value;
  if (typeof exact !== 'string') throw problem('has no exact reference');
  if (!isDigest(tree)) throw problem('has a tree that is no digest');
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) {
    throw problem('has a size that is none');
  }
  if (record !== undefined && !isDigest(record)) throw problem('has a record that is no digest');
  const [asked, pinned] = [read(name, problem), read(exact, problem)];
  if (lockName(asked) !== name) throw problem('is not written as in a lock file');
  if (!isPinOf(pinned, asked)) throw problem(`cannot be pinned to ${printable(exact)}`);
  const said = treeSaid(pinned);
  if (said !== undefined && said !== tree)
    throw problem('has a tree that its exact reference does not name');
  const isVersion = pinned.reference.kind === 'model';
  if (isVersion !== (record !== undefined) || (isVersion && pinned.sha256 !== record)) {
    throw problem('has a record that its exact reference does not name');
  }
  return { exact, tree, size, ...(record === undefined ? {} : { record }) };
}

function read(text: string, problem: (what: string) => MstoreError): Asked {
  try {
    return parseAsked(text);
  } catch (error) {
    if (isMstoreError(error)) throw problem(`holds what is no reference: ${error.message}`);
    throw error;
  }
}

function corruptLock(where: string, what: string, cause?: unknown): MstoreError {
  return new MstoreError(
    'corrupt-lock',
    `The lock file ${printable(where)} cannot be used: ${what}`,
    {
      hint: 'Take it from Git again, or remove it and pin anew: mstore resolve REF --lock FILE',
      details: { path: where },
      cause,
    },
  );
}

/** The bytes of a lock file: the same pins give the same bytes, whoever wrote them in which order. */
export function formatLock(document: JsonObject): string {
  return `${JSON.stringify(sorted(document), null, 2)}\n`;
}

function sorted(value: JsonValue): JsonValue {
  if (Array.isArray(value)) return value.map(sorted);
  if (!isJsonObject(value)) return value;
  const keys = Object.keys(value).sort();
  return Object.fromEntries(keys.map((key) => [key, sorted(value[key] as JsonValue)]));
}

/**
 * Reads a lock file; one that is not there has no pins.
 * @param file absolute path
 * @throws MstoreError as {@link parseLock}; `io` for a link
 */
export function readLock(file: string): LockFile {
  const bytes = readBounded(file, limits.lockFileBytesMax, { noFollow: true });
  return bytes === undefined ? emptyLock : parseLock(bytes, file);
}

/**
 * Removes what a process that was killed while it pinned has left beside a lock file; waits for one that runs.
 * @param file absolute path
 */
export async function clearLeftovers(file: string): Promise<void> {
  clearDeadTemps(path.dirname(file), '.');
  const guard = guardOf(file);
  if (!fs.existsSync(guard)) return;
  try {
    await withLock(guard, () => {});
  } catch {
    // Where nothing may be written it does no harm; whoever pins will say what is wrong.
  }
}

/** The short lock that guards a change of a lock file. */
function guardOf(file: string): string {
  return path.join(path.dirname(file), `.${path.basename(file)}.lock`);
}

/**
 * Pins a reference in a lock file and keeps all else that is in it. Several processes may do so at once.
 * @param move replaces a pin that is there; without it the first one stays
 * @returns the pin that holds now, and the one before
 * @throws MstoreError as {@link readLock}
 */
export async function writePin(
  file: string,
  asked: Asked,
  pin: Pin,
  move: boolean,
): Promise<{ readonly pin: Pin; readonly before: Pin | undefined }> {
  const name = lockName(asked);
  try {
    return await withLock(guardOf(file), () => {
      const { pins, document } = readLock(file);
      const before = pins.get(name);
      if (before !== undefined && (!move || isSame(before, pin))) return { pin: before, before };
      const references = document['references'] as JsonObject;
      const kept = references[name] as JsonObject | undefined;
      const { record: _, ...rest } = kept ?? {};
      const text = formatLock({
        ...document,
        references: { ...references, [name]: { ...rest, ...pin } },
      });
      // What cannot be read again must not be written.
      parseLock(Buffer.from(text), file);
      writeAtomically(file, text);
      return { pin, before };
    });
  } catch (error) {
    throw fromSystemError(error, `writing ${printable(file)}`);
  }
}

function isSame(a: Pin, b: Pin): boolean {
  return a.exact === b.exact && a.tree === b.tree && a.size === b.size;
}

/** Checks that a reference that was resolved may stand in a lock file at all. */
export function pinOf(
  asked: Asked,
  {
    exact,
    tree,
    size,
    record,
  }: { exact: string; tree: Digest; size: number; record: Digest | undefined },
): Pin {
  const pin = { exact, tree, size, ...(record === undefined ? {} : { record }) };
  if (exactForm(parseAsked(exact)) !== undefined && isPinOf(parseAsked(exact), asked)) return pin;
  throw new MstoreError('usage', `${printable(asked.text)} cannot be pinned`, {
    hint: 'Name a version, a revision of Git or a place that models are imported from',
  });
}
