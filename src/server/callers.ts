import type { FastifyRequest } from 'fastify';
import { RequestError } from './request-error.ts';
import type { Caller, Scope, Tokens } from './tokens.ts';

/** Who may do what without a token. */
export type AnonymousAccess = 'none' | 'read';

const nobody: Caller = { name: 'anonymous', scopes: new Set(), models: undefined };
const anonymousReader: Caller = { ...nobody, scopes: new Set<Scope>(['read']) };

/** Answers that ask for a token, by RFC 6750. */
const challenge = { 'www-authenticate': 'Bearer realm="mstore"' };

/** Says who makes a request, by its header Authorization. */
export class Callers {
  readonly #tokens: Tokens | undefined;
  readonly #anonymous: AnonymousAccess;

  constructor(tokens: Tokens | undefined, anonymous: AnonymousAccess) {
    this.#tokens = tokens;
    this.#anonymous = anonymous;
  }

  /** @throws RequestError 401 for a token that lets nobody in */
  of({ headers }: FastifyRequest): Caller {
    const { authorization } = headers;
    if (authorization === undefined) return this.#anonymous === 'read' ? anonymousReader : nobody;
    // Clients of other kinds have a place for a user and a password only: the token is the password.
    const token = bearerOf(authorization) ?? passwordOf(authorization);
    // The Hub's client for JavaScript sends nothing that does not begin as tokens of the Hub do.
    const plain = token?.replace(/^hf_(?=mst_)/, '');
    const found = plain === undefined ? undefined : this.#tokens?.find(plain);
    if (found === 'expired') throw refusedToken('The token has expired');
    if (found === undefined) throw refusedToken('The token is not known here');
    return found;
  }
}

function bearerOf(authorization: string): string | undefined {
  return /^Bearer +(\S{1,4096})$/i.exec(authorization)?.[1];
}

function passwordOf(authorization: string): string | undefined {
  const [, coded] = /^Basic +([A-Za-z0-9+/=]{1,8192})$/i.exec(authorization) ?? [];
  const text = coded === undefined ? '' : Buffer.from(coded, 'base64').toString();
  return text.includes(':') ? text.slice(text.indexOf(':') + 1) : undefined;
}

function refusedToken(message: string): RequestError {
  return new RequestError(401, 'remote-refused', message, {
    hint: 'Ask who runs the server for a new token',
  });
}

/** Headers of an answer that asks for a token. */
export function challengeHeaders(error: unknown): Readonly<Record<string, string>> {
  return error instanceof RequestError && error.status === 401 ? challenge : {};
}

/**
 * Makes sure that a caller may do something.
 * @param model the one whose registry it is about, if it is about one
 * @throws RequestError 401 without a token, 403 with one that does not allow it
 */
export function requireScope(caller: Caller, scope: Scope, model?: string): void {
  if (!caller.scopes.has(scope)) {
    if (caller.name === nobody.name) {
      throw new RequestError(401, 'remote-refused', `This needs a token with the scope ${scope}`, {
        hint: 'Send it as "Authorization: Bearer TOKEN"',
      });
    }
    throw new RequestError(
      403,
      'remote-refused',
      `The token ${caller.name} has no scope ${scope}`,
      { hint: 'Ask who runs the server for one that has it' },
    );
  }
  if (model !== undefined && !maySee(caller, model)) {
    throw new RequestError(403, 'remote-refused', `The token ${caller.name} is not for ${model}`, {
      hint: 'Ask who runs the server for one that is',
    });
  }
}

/** Tells whether the registry of a model is any of a caller's. */
export function maySee({ models }: Caller, model: string): boolean {
  return models === undefined || models.has(model);
}
