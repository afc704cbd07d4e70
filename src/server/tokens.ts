import { createHash, timingSafeEqual } from 'node:crypto';
import * as fs from 'node:fs';
import type { Random } from '../base/clock.ts';
import { MstoreError } from '../base/errors.ts';
import { readBounded } from '../base/files.ts';
import { isJsonObject, parseJsonBytes } from '../base/json.ts';
import { printable } from '../base/names.ts';

/** What a token may be allowed to do. */
export const scopes = ['read', 'push', 'deploy', 'report', 'collect'] as const;

export type Scope = (typeof scopes)[number];

/** A token as it is kept: what lets its holder in is not here, only the digest of it. */
export interface TokenRecord {
  readonly name: string;
  /** SHA-256 of the token, in hexadecimal digits. Tokens are random, so that nobody finds one by trying. */
  readonly sha256: string;
  readonly scopes: readonly Scope[];
  /** Models whose registry it sees and changes; all where it is left out. */
  readonly models?: readonly string[] | undefined;
  /** When it was made, as ISO 8601 in UTC. */
  readonly created: string;
  /** When it ends. */
  readonly expires?: string | undefined;
}

const bytesMax = 4 * 1024 * 1024;
const tokensMax = 10_000;
const prefix = 'mst_';
const format = 1;

/** Who makes a request. */
export interface Caller {
  /** Name of the token, or `anonymous`. */
  readonly name: string;
  readonly scopes: ReadonlySet<Scope>;
  readonly models: ReadonlySet<string> | undefined;
}

/** Draws a new token: 256 bits, with a prefix by which tools that look for secrets know it. */
export function drawToken(random: Random): string {
  return prefix + Buffer.from(random.hex(32), 'hex').toString('base64url');
}

/** The digest under which a token is kept. */
export function tokenDigest(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}

/**
 * Reads a file of tokens; one that is not there has none.
 * @throws MstoreError `config-invalid`
 */
export function readTokens(file: string): TokenRecord[] {
  const bytes = readBounded(file, bytesMax);
  return bytes === undefined ? [] : parseTokens(bytes, file);
}

function parseTokens(bytes: Uint8Array, file: string): TokenRecord[] {
  const invalid = (why: string) =>
    new MstoreError('config-invalid', `The file of tokens ${printable(file)} ${why}`, {
      hint: 'Restore it from a copy; tokens are made by "mstore token create"',
      details: { path: file },
    });
  let document: unknown;
  try {
    document = parseJsonBytes(bytes);
  } catch {
    throw invalid('is no JSON');
  }
  if (!isJsonObject(document) || !Array.isArray(document['tokens'])) throw invalid('has no tokens');
  if (document['format'] !== format) throw invalid('is of a format that is not known here');
  const tokens = document['tokens'] as unknown[];
  if (tokens.length > tokensMax) throw invalid(`has more than ${tokensMax} tokens`);
  const names = new Set<string>();
  return tokens.map((value, index) => {
    const token = tokenOf(value);
    if (token === undefined || names.has(token.name)) {
      throw invalid(`has no usable token at place ${index + 1}`);
    }
    names.add(token.name);
    return token;
  });
}

function tokenOf(value: unknown): TokenRecord | undefined {
  if (!isJsonObject(value)) return undefined;
  const { name, sha256, scopes: given, models, created, expires } = value;
  const isTime = (text: unknown) => typeof text === 'string' && !Number.isNaN(Date.parse(text));
  const isList = (list: unknown): list is string[] =>
    Array.isArray(list) && list.every((item) => typeof item === 'string');
  if (typeof name !== 'string' || !tokenNamePattern.test(name)) return undefined;
  if (typeof sha256 !== 'string' || !/^[0-9a-f]{64}$/.test(sha256)) return undefined;
  if (!isList(given) || !given.every((scope) => scopes.includes(scope as Scope))) return undefined;
  if (models !== undefined && !isList(models)) return undefined;
  if (!isTime(created) || (expires !== undefined && !isTime(expires))) return undefined;
  return value as unknown as TokenRecord;
}

const tokenNamePattern = /^[a-z0-9][a-z0-9._-]{0,63}$/;

/** Tells whether a token may have this name. */
export function isTokenName(name: string): boolean {
  return tokenNamePattern.test(name);
}

/** The bytes of a file of tokens. */
export function formatTokens(tokens: readonly TokenRecord[]): string {
  return `${JSON.stringify({ format, tokens }, null, 2)}\n`;
}

/** How often the file is looked at, at most. */
const lookMs = 1000;

/** The tokens that a server lets in. A change of their file counts within a second, and needs no restart. */
export class Tokens {
  readonly #file: string;
  readonly #now: () => number;
  #records: readonly TokenRecord[];
  #identity: string;
  #looked: number;

  /**
   * @param now milliseconds since 1970
   * @throws MstoreError `config-invalid`, `not-found`
   */
  constructor(file: string, now: () => number) {
    this.#file = file;
    this.#now = now;
    this.#identity = this.#identify();
    if (this.#identity === '') {
      throw new MstoreError('not-found', `There is no file of tokens ${printable(file)}`, {
        hint: 'Make a token: mstore token create NAME --scope read --token-file FILE',
        details: { path: file },
      });
    }
    this.#records = readTokens(file);
    this.#looked = now();
  }

  /**
   * Finds out who a token lets in. All digests are compared, each in constant time, so that the time that it takes tells
   * nothing of them.
   */
  find(token: string): Caller | 'expired' | undefined {
    this.#look();
    const digest = tokenDigest(token);
    let found: TokenRecord | undefined;
    for (const record of this.#records) {
      if (timingSafeEqual(Buffer.from(record.sha256, 'hex'), digest)) found = record;
    }
    if (found === undefined) return undefined;
    const { name, expires, models } = found;
    if (expires !== undefined && Date.parse(expires) <= this.#now()) return 'expired';
    return {
      name,
      scopes: new Set(found.scopes),
      models: models === undefined ? undefined : new Set(models),
    };
  }

  #look(): void {
    const now = this.#now();
    if (Math.abs(now - this.#looked) < lookMs) return;
    this.#looked = now;
    const identity = this.#identify();
    if (identity === this.#identity) return;
    // Closed until it can be read again: a token that was taken out must not go on.
    this.#records = [];
    this.#identity = '';
    this.#records = readTokens(this.#file);
    this.#identity = identity;
  }

  #identify(): string {
    const stat = fs.statSync(this.#file, { bigint: true, throwIfNoEntry: false });
    return stat === undefined ? '' : `${stat.dev}:${stat.ino}:${stat.size}:${stat.mtimeNs}`;
  }
}
