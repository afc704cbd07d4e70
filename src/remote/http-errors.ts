import { type ErrorCode, MstoreError, systemCode } from '../base/errors.ts';
import { printable } from '../base/names.ts';
import type { HttpAnswer } from './http-exchange.ts';
import {
  commonKinds,
  type FailureKind,
  kindOfSystemCode,
  refused,
  serviceError,
} from './service-errors.ts';

/** Whether requests carry a token; `withheld` where there is one that must not go to this address. */
export type HttpAccess = 'token' | 'none' | 'withheld';

/** What a server says of a request that it refuses. */
export interface Refusal {
  readonly code: string | undefined;
  readonly message: string | undefined;
  readonly hint: string | undefined;
}

const { busy, silent, failing, damagedOnTheWay, uploadGone } = commonKinds;

const noToken = refused(
  'no-credentials',
  'it answers nobody without a token',
  'Ask who runs the server for one, and set MSTORE_TOKEN',
);
const withheldToken = (location: string): FailureKind =>
  refused(
    'no-credentials',
    'it wants a token, and MSTORE_TOKEN was not sent, as the repository chose its address and not you',
    `If that server may have your token: MSTORE_TOKEN_ORIGIN=${new URL(location).origin}`,
  );
const badToken = refused(
  'bad-credentials',
  'the token is not accepted',
  'It may have expired or been revoked: ask who runs the server for a new one, and set MSTORE_TOKEN',
);
const forbidden = refused(
  'forbidden',
  'the token does not allow that',
  'Ask who runs the server for a token with that scope',
);
const redirected = refused(
  'redirects',
  'it redirects to another address',
  'Name the address that it redirects to',
);
const notServer: FailureKind = {
  code: 'not-a-remote',
  reason: 'not-mstore',
  what: 'what answers there is no mstore server',
  hint: 'Check the URL: it is where "mstore serve" listens, with the path that a proxy in front of it may add',
};
const newerProtocol = refused(
  'newer-protocol',
  'it speaks a newer protocol',
  'Update mstore on this machine',
);
const other = refused(
  'refused',
  'it refuses the request',
  'Look at the word in brackets; -v shows what the server said',
);

/** Makes the error of an answer that no mstore server gives. */
export function notServerError(attempt: string, location: string, said?: string): MstoreError {
  return serviceError(notServer, attempt, location, { said });
}

/** Makes the error of a server whose protocol is newer. */
export function newerProtocolError(attempt: string, location: string, said: string): MstoreError {
  return serviceError(newerProtocol, attempt, location, { said });
}

/** Turns a failed connection into the remote's own error; an MstoreError passes through unchanged. */
export function fromHttpError(error: unknown, attempt: string, location: string): unknown {
  const system = systemCode(error);
  const kind = kindOfSystemCode(system);
  if (error instanceof MstoreError || kind === undefined) return error;
  const cause = error instanceof Error ? error : undefined;
  return serviceError(kind, attempt, location, { said: system, cause });
}

/** Errors of the place behind the server, which are those of the call. */
const passedOn = new Set<ErrorCode>([
  'remote-refused',
  'remote-full',
  'remote-unreachable',
  'not-a-remote',
  'corrupt-remote',
]);

/**
 * Makes the error of an answer that is no success.
 * @param attempt what was tried, in front of the remote's name
 */
export function refusalError(
  answer: HttpAnswer,
  { code, message, hint }: Refusal,
  { attempt, location, access }: { attempt: string; location: string; access: HttpAccess },
): MstoreError {
  const { status } = answer;
  const facts = {
    status,
    retryAfter: answer.header('retry-after'),
    date: answer.header('date'),
    said: message ?? `HTTP ${status}`,
  };
  if (status >= 500 && code !== undefined && passedOn.has(code as ErrorCode)) {
    const kind = { code: code as ErrorCode, reason: 'behind', what: 'the place behind it answers' };
    return serviceError({ ...kind, hint: printable(hint ?? other.hint) }, attempt, location, facts);
  }
  return serviceError(kindOf(status, access, location), attempt, location, facts);
}

function kindOf(status: number, access: HttpAccess, location: string): FailureKind {
  if (status === 401) {
    return { token: badToken, none: noToken, withheld: withheldToken(location) }[access];
  }
  if (status === 403) return forbidden;
  if (status === 408) return silent;
  if (status === 410) return uploadGone;
  if (status === 422) return damagedOnTheWay;
  if (status === 429) return busy;
  if (status >= 500 && status !== 501 && status !== 505) return failing;
  return status >= 300 && status < 400 ? redirected : other;
}
