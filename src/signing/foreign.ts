import { createHash } from 'node:crypto';
import { Breather } from '../base/abort.ts';
import { isJsonObject, parseJsonBytes } from '../base/json.ts';
import { printable } from '../base/names.ts';
import type { Bundle } from './bundle.ts';
import { statementType } from './dsse.ts';
import { badSignature } from './problem.ts';
import {
  addName,
  ignoredUnsaid,
  parseStatement,
  type Resource,
  type Serialization,
  type Statement,
} from './statement.ts';

/*
 * What model_signing writes, or wrote, and mstore does not: digests of other kinds, digests of parts of files, and the
 * statements of releases before 1.0.
 */

/** How another program made digests of files. */
interface ForeignMethod {
  readonly hash: 'sha256' | 'blake2b' | 'blake3';
  /** The end of a part is at each multiple of it, and at the end of the file. */
  readonly shardBytes: number | undefined;
  /** What resources say of it. */
  readonly algorithm: string;
}

/** A file whose digests are wanted. */
export interface ForeignFile {
  /** As resources name it. */
  readonly name: string;
  /** Its bytes from the first to the last. */
  read(): AsyncIterable<Uint8Array> | Iterable<Uint8Array>;
}

const hexDigits = { sha256: 64, blake2b: 128, blake3: 64 } as const;

/** Tells whether the digests of a statement are SHA-256 of whole files, which mstore knows without reading them. */
export function isPlain({ method, hashType }: Serialization): boolean {
  return method === 'files' && hashType === 'sha256';
}

/**
 * Finds out how the digests of a statement were made, and checks that each is of that form.
 * @throws MstoreError `bad-signature`
 */
function foreignMethod(
  { serialization, resources }: Pick<Statement, 'serialization' | 'resources'>,
  where: string,
): ForeignMethod {
  const { shardSize: shardBytes, hashType } = serialization;
  const suffix = shardBytes === undefined ? '' : `-sharded-${shardBytes}`;
  // The hash of shards was called as its resources are, up to 0.3.
  const named = hashType.endsWith(suffix)
    ? hashType.slice(0, hashType.length - suffix.length)
    : hashType;
  if (named !== 'sha256' && named !== 'blake2b' && named !== 'blake3') {
    throw badSignature(
      where,
      `its digests are of a kind that is not known here: ${printable(hashType.slice(0, 80))}`,
    );
  }
  const algorithm = `${named}${suffix}`;
  for (const { name, algorithm: said, digest } of resources) {
    if (said === algorithm && digest.length === hexDigits[named]) continue;
    throw badSignature(where, `the digest of ${printable(name.slice(0, 200))} is no ${algorithm}`);
  }
  return { hash: named, shardBytes, algorithm };
}

/**
 * Makes the resources of a file as another program did; a file without bytes has none where there are shards.
 * @param partsMax parts that are worth a look: with more of them the file is not the one that was signed
 */
async function foreignResources(
  method: ForeignMethod,
  file: ForeignFile,
  { partsMax, signal }: { readonly partsMax: number; readonly signal?: AbortSignal | undefined },
): Promise<Resource[]> {
  const { shardBytes, algorithm } = method;
  const open = await hasherOf(method.hash);
  const breather = new Breather(signal);
  if (shardBytes === undefined) {
    const hasher = open();
    for await (const bytes of file.read()) {
      if (breather.due()) await breather.turn();
      hasher.update(bytes);
    }
    return [{ name: file.name, algorithm, digest: hasher.hex() }];
  }
  const found: Resource[] = [];
  let hasher = open();
  let [start, at] = [0, 0];
  const end = () => {
    found.push({ name: `${file.name}:${start}:${at}`, algorithm, digest: hasher.hex() });
    start = at;
    hasher = open();
  };
  for await (const bytes of file.read()) {
    if (breather.due()) await breather.turn();
    for (let from = 0; from < bytes.length && found.length <= partsMax; ) {
      const part = bytes.subarray(from, from + shardBytes - (at - start));
      hasher.update(part);
      from += part.length;
      at += part.length;
      if (at - start === shardBytes) end();
    }
    if (found.length > partsMax) return found;
  }
  if (at > start) end();
  return found;
}

/**
 * Lists files as the statement of another program does, so that both can be compared.
 * @throws MstoreError `bad-signature` for digests of a kind that is not known
 */
export async function foreignListing(
  statement: Pick<Statement, 'serialization' | 'resources'>,
  where: string,
  files: Iterable<ForeignFile>,
  signal: AbortSignal | undefined,
): Promise<Resource[]> {
  const method = foreignMethod(statement, where);
  const partsMax = statement.resources.length;
  const found: Resource[] = [];
  for (const file of files) {
    for (const one of await foreignResources(method, file, { partsMax, signal })) found.push(one);
  }
  return found;
}

interface Hasher {
  update(bytes: Uint8Array): unknown;
  hex(): string;
}

async function hasherOf(hash: ForeignMethod['hash']): Promise<() => Hasher> {
  if (hash === 'blake3') {
    const { blake3 } = await import('./blake3.ts');
    return () => {
      const hasher = blake3.create();
      return {
        update: (bytes) => hasher.update(bytes),
        hex: () => Buffer.from(hasher.digest()).toString('hex'),
      };
    };
  }
  const name = hash === 'blake2b' ? 'blake2b512' : hash;
  return () => {
    const hasher = createHash(name);
    return { update: (bytes) => hasher.update(bytes), hex: () => hasher.digest('hex') };
  };
}

/** What statements of release 0.2 are called: each subject is a file. */
const oldPredicateKind = 'https://model_signing/Digests/v0.1';

/**
 * Reads the statement of a bundle, of whichever release.
 * @throws MstoreError `bad-signature`
 */
export function readStatement(bundle: Pick<Bundle, 'payload' | 'where'>): Statement {
  return isOldStatement(bundle) ? parseOldStatement(bundle) : parseStatement(bundle);
}

/** Tells whether a bundle holds a statement of release 0.2, as far as can be told without trusting it. */
export function isOldStatement({ payload }: Pick<Bundle, 'payload'>): boolean {
  try {
    const value = parseJsonBytes(payload);
    return isJsonObject(value) && value['predicateType'] === oldPredicateKind;
  } catch {
    return false;
  }
}

/**
 * What release 0.2 signed of an envelope in place of its pre-authentication encoding: `DSSEV1`, and the payload as
 * Python shows bytes. Release 1 still takes that, and so does mstore, for statements of that release alone.
 */
export function oldPreAuthEncoding(payload: Buffer): Buffer {
  // A statement has double quotation marks, so Python puts single ones around it.
  const shown = payload
    .toString('latin1')
    .replace(/[^ -~]|[\\']/g, (one) => pythonEscapes.get(one) ?? hexEscape(one));
  const head = `DSSEV1 ${statementType.length} ${statementType} ${payload.length} `;
  return Buffer.from(`${head}b'${shown}'`);
}

const pythonEscapes = new Map([
  ['\t', '\\t'],
  ['\n', '\\n'],
  ['\r', '\\r'],
  ['\\', '\\\\'],
  ["'", "\\'"],
]);

function hexEscape(one: string): string {
  return `\\x${one.charCodeAt(0).toString(16).padStart(2, '0')}`;
}

function parseOldStatement({ payload, where }: Pick<Bundle, 'payload' | 'where'>): Statement {
  const problem = (what: string) => badSignature(where, what);
  const value = parseJsonBytes(payload);
  const subjects = isJsonObject(value) ? value['subject'] : undefined;
  if (!Array.isArray(subjects)) throw problem('it lists no files');
  const names = new Set<string>();
  const resources = subjects.map((one: unknown): Resource => {
    const name = isJsonObject(one) ? one['name'] : undefined;
    const digests = isJsonObject(one) ? one['digest'] : undefined;
    const digest = isJsonObject(digests) ? digests['sha256'] : undefined;
    if (typeof name !== 'string' || typeof digest !== 'string') {
      throw problem('a file of its list lacks its name or its digest');
    }
    const shown = addName(names, name, name, problem);
    if (!/^[0-9a-f]{64}$/.test(digest)) throw problem(`the digest of ${shown} is no SHA-256`);
    return { name, algorithm: 'sha256', digest };
  });
  return {
    name: '',
    serialization: {
      method: 'files',
      hashType: 'sha256',
      allowSymlinks: false,
      shardSize: undefined,
      ignored: ignoredUnsaid(resources),
    },
    resources,
    version: undefined,
  };
}
