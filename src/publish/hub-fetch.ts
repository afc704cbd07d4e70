import { throwIfAborted } from '../base/abort.ts';
import { MstoreError } from '../base/errors.ts';
import { printable } from '../base/names.ts';
import type { HttpAnswer, StreamedBody } from '../remote/http-exchange.ts';
import { refused } from '../remote/service-errors.ts';
import { passingError, sourceError } from '../source/failures.ts';
import { bodyOf, type Web } from '../source/http.ts';
import type { HubPlace } from '../source/hub-place.ts';
import { countedBody } from './counted-body.ts';
import { EditionBlob } from './edition-blob.ts';

/** Answers to what is written are small. */
const answerBytesMax = 16 * 1024 * 1024;

/** Who writes where on the Hub. */
export interface HubWriting {
  /** The reference, for errors. */
  readonly where: string;
  readonly repository: string;
  readonly place: HubPlace;
  readonly web: Web;
  readonly signal: AbortSignal | undefined;
  /** Called with the bytes of files that were sent since the last call; what is sent again counts once. */
  readonly sent: (bytes: number) => void;
}

/**
 * What the Hub's client sends by: files as they are read, credentials to the Hub alone, tried again where that changes
 * nothing. A commit is sent once: whether one whose answer was lost was made shows the branch.
 */
export function hubSender(writing: HubWriting): typeof fetch {
  const { where, place, web, signal } = writing;
  const own: Record<string, string> =
    place.token === undefined ? {} : { authorization: `Bearer ${place.token}` };
  return async (input, init) => {
    const address = input instanceof Request ? input.url : String(input);
    const url = addressOf(address, writing);
    const isHub = url.origin === place.endpoint.origin;
    const given = Object.fromEntries(new Headers(init?.headers).entries());
    const headers = isHub ? { ...given, ...own } : withoutCredentials(given);
    const method = init?.method ?? 'GET';
    const body = bodyFor(init?.body, writing);
    const isCommit = isHub && /\/commit\/[^/]+$/.test(url.pathname);
    const once = async (): Promise<Response> => {
      const request = { method, headers, body, signal, isSentOnce: isCommit };
      const answer = await web.send(url, where, request);
      const passing = passingError(answer, where, 'publish');
      if (passing !== undefined) answer.close();
      if (passing !== undefined) throw passing;
      return answered(answer, writing);
    };
    throwIfAborted(signal);
    return isCommit ? once() : web.policy.again(once, signal);
  };
}

/** The Hub says where the bytes of files go; what is asked by TLS does not lead to what is sent without. */
function addressOf(text: string, { where, place }: HubWriting): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const isOpen = url?.protocol === 'http:' && place.endpoint.protocol === 'http:';
  if (url?.protocol === 'https:' || (url !== undefined && isOpen)) return url;
  throw wrongAnswer(where, 'it sends files to what is no address');
}

function withoutCredentials(headers: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => name !== 'authorization'));
}

function bodyFor(
  body: RequestInit['body'],
  { sent }: HubWriting,
): Uint8Array | StreamedBody | undefined {
  if (body === undefined || body === null) return undefined;
  if (typeof body === 'string') return Buffer.from(body);
  if (body instanceof EditionBlob) return countedBody(body.size, () => body.blocks(), sent);
  throw new MstoreError('internal', 'The client of the Hub sends what is neither text nor file');
}

async function answered(answer: HttpAnswer, writing: HubWriting): Promise<Response> {
  const { status } = answer;
  const body = await bodyOf(answer, writing.where, answerBytesMax);
  if (status >= 300) throw hubWriteRefusal(answer, body, writing);
  const headers: Record<string, string> = {};
  for (const name of ['content-type', 'etag', 'link', 'x-request-id']) {
    const value = answer.header(name);
    if (value !== undefined) headers[name] = value;
  }
  return new Response(status === 204 || body.length === 0 ? null : body, { status, headers });
}

/** Makes the error of an answer that is final to what was to be written. */
function hubWriteRefusal(
  answer: HttpAnswer,
  body: Buffer,
  { where, repository, place }: HubWriting,
): MstoreError {
  const { status } = answer;
  const said = answer.header('x-error-message') ?? saidIn(body);
  const told = { act: 'publish', said: said === '' ? `HTTP ${status}` : said, status } as const;
  const page = `${place.endpoint.href.replace(/\/$/, '')}/${repository}`;
  const denied = (what: string, hint: string): MstoreError =>
    sourceError(refused('denied', what, hint), where, told);
  if (status === 401) {
    return denied(
      'the token is not known there',
      'Set HF_TOKEN to a token that is valid and may write',
    );
  }
  if (status === 403 || (status === 404 && answer.header('x-error-code') === 'RepoNotFound')) {
    return denied(
      'this token may not write there',
      `Set HF_TOKEN to a token with the right to write to ${page}`,
    );
  }
  if (status === 409) {
    return new MstoreError('name-taken', `${printable(where)} has that name already`, {
      hint: `Look at ${page}`,
      details: { source: where, status, said },
    });
  }
  if (status === 412) {
    return new MstoreError(
      'lost-race',
      `Somebody else wrote to ${printable(where)} at the same time`,
      {
        hint: 'Run the same command again: it starts from what is there now',
        details: { source: where, status },
      },
    );
  }
  return sourceError(
    refused('wrong-answer', 'it does not take this', `Look at what it says, and at ${page}`),
    where,
    told,
  );
}

/** What an answer says in words, if it is short. */
function saidIn(body: Buffer): string {
  try {
    const value = JSON.parse(body.toString('utf8')) as { error?: unknown; message?: unknown };
    const text = value.error ?? value.message;
    return typeof text === 'string' ? text : '';
  } catch {
    return '';
  }
}

/** Makes the error of an answer that nothing can be made of. */
export function wrongAnswer(where: string, what: string, cause?: unknown): MstoreError {
  return sourceError(refused('wrong-answer', what, 'Check the address'), where, {
    act: 'publish',
    cause,
  });
}
