import { createHash } from 'node:crypto';
import { type Digest, isDigest } from '../base/digest.ts';
import type { MstoreError } from '../base/errors.ts';
import { compareUtf8, isJsonObject, type JsonObject, parseJsonBytes } from '../base/json.ts';
import { pathProblem, printable } from '../base/names.ts';
import type { Bundle } from './bundle.ts';
import { statementKind } from './dsse.ts';
import { badSignature } from './problem.ts';

/*
 * Statements of OpenSSF Model Signing 1.0, as the package model_signing writes and reads them: a statement of in-toto
 * whose predicate lists each file with its digest. What is ours stands below `mstore` in the predicate, which readers
 * of that version pass over.
 */

const predicateKind = 'https://model_signing/signature/v1.0';

/** The name of a model that is one file, in the list of its files. */
export const wholeName = '.';

/**
 * What signatures leave out at the top of a directory, as model_signing does: the signature itself, and what Git and
 * its hosts keep beside the files.
 */
export const ignoredByDefault = [
  'model.sig',
  '.git',
  '.gitattributes',
  '.github',
  '.gitignore',
] as const;

/** A file that a statement speaks of. */
export interface Resource {
  /** Path from the top of the model, `/`-separated; {@link wholeName} where the model is one file. */
  readonly name: string;
  /** `sha256`, or what another method is called. */
  readonly algorithm: string;
  /** Lower-case hexadecimal digits. */
  readonly digest: string;
}

/** How files became resources. */
export interface Serialization {
  readonly method: 'files' | 'shards';
  readonly hashType: string;
  readonly allowSymlinks: boolean;
  /** Bytes of a shard, where the method has shards. */
  readonly shardSize: number | undefined;
  /** Paths that are left out, with all below them. */
  readonly ignored: readonly string[];
}

/** The version that a signature of ours is for. */
export interface SignedVersion {
  readonly model: string;
  readonly version: string;
  /** Digest of the record, which holds the digest of all content. */
  readonly record: Digest;
  /** When it was signed, by the clock of who signed: ISO 8601 in UTC. */
  readonly signed: string;
}

/** What was signed. */
export interface Statement {
  /** What the signer called the model; it proves nothing. */
  readonly name: string;
  readonly serialization: Serialization;
  readonly resources: readonly Resource[];
  /** Absent in signatures that another program made. */
  readonly version: SignedVersion | undefined;
}

/** Makes the bytes of a statement: JSON without white space, which are signed and kept as they are. */
export function formatStatement(
  name: string,
  files: ReadonlyArray<{ readonly name: string; readonly sha256: Digest }>,
  { allowSymlinks, version }: { readonly allowSymlinks: boolean; readonly version?: SignedVersion },
): Buffer {
  const sorted = [...files].sort((a, b) => compareNames(a.name, b.name));
  const resources = sorted.map(({ name: path, sha256 }) => ({
    name: path,
    algorithm: 'sha256',
    digest: sha256,
  }));
  const isWhole = files.length === 1 && files[0]?.name === wholeName;
  const statement = {
    _type: statementKind,
    subject: [{ name, digest: { sha256: rootOf(resources) } }],
    predicateType: predicateKind,
    predicate: {
      serialization: {
        method: 'files',
        hash_type: 'sha256',
        allow_symlinks: allowSymlinks,
        ...(isWhole ? {} : { ignore_paths: ignoredByDefault }),
      },
      resources,
      ...(version === undefined ? {} : { mstore: { ...version } }),
    },
  };
  return Buffer.from(JSON.stringify(statement));
}

/** Compares paths by their components, as model_signing does: `a/b` comes before `a-b`. */
function compareNames(a: string, b: string): number {
  const [these, those] = [a.split('/'), b.split('/')];
  for (let i = 0; i < Math.min(these.length, those.length); i++) {
    const order = compareUtf8(these[i] as string, those[i] as string);
    if (order !== 0) return order;
  }
  return these.length - those.length;
}

/** SHA-256 over the raw digests of all resources, back to back; names are no part of it. */
function rootOf(resources: readonly Pick<Resource, 'digest'>[]): string {
  const hash = createHash('sha256');
  for (const { digest } of resources) hash.update(digest, 'hex');
  return hash.digest('hex');
}

/**
 * Reads the statement of a bundle, whose signature is another question.
 * @throws MstoreError `bad-signature`
 */
export function parseStatement({ payload, where }: Pick<Bundle, 'payload' | 'where'>): Statement {
  const problem = (what: string) => badSignature(where, what);
  let value: unknown;
  try {
    value = parseJsonBytes(payload);
  } catch (error) {
    throw badSignature(where, 'its statement is not UTF-8 JSON', error);
  }
  if (!isJsonObject(value)) throw problem('its statement is no JSON object');
  if (value['_type'] !== statementKind) throw problem('its statement is none of in-toto 1');
  if (value['predicateType'] !== predicateKind) {
    throw problem('its statement is not about the files of a model, in the form of version 1.0');
  }
  const predicate = value['predicate'];
  if (!isJsonObject(predicate)) throw problem('its statement has no predicate');
  const { name, sha256 } = subjectOf(value['subject'], problem);
  const said = serializationOf(predicate['serialization'], problem);
  const resources = resourcesOf(predicate['resources'], said, problem);
  const serialization = { ...said, ignored: said.ignored ?? ignoredUnsaid(resources) };
  if (rootOf(resources) !== sha256) {
    throw problem('the digest of its subject is not that of the files that it lists');
  }
  const version = versionOf(predicate['mstore'], problem);
  return { name, serialization, resources, version };
}

type Problem = (what: string) => MstoreError;

function subjectOf(value: unknown, problem: Problem): { name: string; sha256: unknown } {
  const one = Array.isArray(value) && value.length === 1 ? value[0] : undefined;
  const digest = isJsonObject(one) ? one['digest'] : undefined;
  if (!isJsonObject(one) || !isJsonObject(digest))
    throw problem('its statement has not exactly one subject with a digest');
  const name = one['name'] ?? '';
  if (typeof name !== 'string') throw problem('the name of its subject is no text');
  return { name, sha256: digest['sha256'] };
}

/** How files became resources; older releases did not say what they left out. */
type SaidSerialization = Omit<Serialization, 'ignored'> & {
  readonly ignored: readonly string[] | undefined;
};

/**
 * What releases before 1.1 left out without a word: what Git keeps, which they did unless they were told not to.
 * What is listed was not left out.
 */
export function ignoredUnsaid(resources: readonly Pick<Resource, 'name'>[]): string[] {
  const paths = resources.map(({ name }) => name.replace(/:\d+:\d+$/, ''));
  return ignoredByDefault.filter(
    (ignored) => !paths.some((path) => isIgnored(path, { ignored: [ignored] })),
  );
}

function serializationOf(value: unknown, problem: Problem): SaidSerialization {
  if (!isJsonObject(value)) throw problem('it does not say how files were read');
  const method = value['method'];
  if (method !== 'files' && method !== 'shards') {
    throw problem(
      `files were read by a method that is not known here: ${printable(String(method))}`,
    );
  }
  const hashType = value['hash_type'];
  if (typeof hashType !== 'string') throw problem('it does not say which digests it holds');
  const allowed = value['allow_symlinks'];
  if (typeof allowed !== 'boolean') throw problem('it does not say whether it follows links');
  const shardSize = value['shard_size'];
  if (method === 'shards' && !(Number.isSafeInteger(shardSize) && Number(shardSize) > 0)) {
    throw problem('the size of its shards is none');
  }
  const ignored = value['ignore_paths'] ?? undefined;
  const isList = Array.isArray(ignored) && ignored.every((one) => typeof one === 'string');
  if (ignored !== undefined && !isList) {
    throw problem('what it leaves out is no list of paths');
  }
  return {
    method,
    hashType,
    allowSymlinks: allowed,
    shardSize: method === 'shards' ? Number(shardSize) : undefined,
    ignored: ignored as string[] | undefined,
  };
}

function resourcesOf(value: unknown, how: SaidSerialization, problem: Problem): Resource[] {
  if (!Array.isArray(value)) throw problem('it lists no files');
  const names = new Set<string>();
  return value.map((one: unknown) => {
    if (!isJsonObject(one)) throw problem('a file of its list is no object');
    const { name, algorithm, digest } = one;
    if (typeof name !== 'string' || typeof algorithm !== 'string' || typeof digest !== 'string') {
      throw problem('a file of its list lacks its name, its algorithm or its digest');
    }
    const path = how.method === 'shards' ? name.replace(/:\d+:\d+$/, '') : name;
    const shown = addName(names, name, path, problem);
    if (!/^(?:[0-9a-f]{2})+$/.test(digest)) throw problem(`the digest of ${shown} is none`);
    if (how.hashType === 'sha256' && how.method === 'files') {
      if (algorithm !== 'sha256' || !isDigest(digest)) {
        throw problem(`the digest of ${shown} is no SHA-256`);
      }
    }
    return { name, algorithm, digest };
  });
}

/**
 * Checks the name of a resource: a path inside of the model, which no other one has.
 * @param path the name, without the part of the file that it may tell
 * @returns the name, for errors
 */
export function addName(
  names: Set<string>,
  name: string,
  path: string,
  problem: (what: string) => MstoreError,
): string {
  const shown = printable(name.slice(0, 200));
  const wrong = path === wholeName ? undefined : pathProblem(path);
  if (wrong !== undefined) throw problem(`the path ${shown} in its list has ${wrong}`);
  if (names.has(name)) throw problem(`it lists ${shown} twice`);
  names.add(name);
  return shown;
}

function versionOf(value: unknown, problem: Problem): SignedVersion | undefined {
  if (value === undefined) return undefined;
  const { model, version, record, signed } = isJsonObject(value) ? value : ({} as JsonObject);
  const isTime =
    typeof signed === 'string' && /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/.test(signed);
  if (
    typeof model !== 'string' ||
    typeof version !== 'string' ||
    !isDigest(record) ||
    !isTime ||
    Number.isNaN(Date.parse(signed))
  ) {
    throw problem('what it says of the version that was signed cannot be read');
  }
  return { model, version, record, signed };
}

/** Tells whether a path is one of those left out, or below one. */
export function isIgnored(path: string, { ignored }: Pick<Serialization, 'ignored'>): boolean {
  return ignored.some((one) => {
    const clean = one.replace(/^(?:\.\/)+/, '').replace(/\/+$/, '');
    return path === clean || path.startsWith(`${clean}/`);
  });
}
