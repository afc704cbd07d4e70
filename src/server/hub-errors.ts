import type { FastifyReply, FastifyRequest } from 'fastify';
import type { MstoreError } from '../base/errors.ts';
import { beginRefusal } from './errors.ts';
import { RequestError } from './request-error.ts';

/** By this text Python's client tells a token that is wrong from one that is lacking. */
const wrongToken = 'Invalid credentials in Authorization header';

/**
 * Answers an error as the Hub does: clients go by the header X-Error-Code, and take a file for absent, a revision for unknown or a
 * repository for closed by nothing else.
 */
export function answerHubError(
  thrown: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
): FastifyReply {
  const error = beginRefusal(thrown, request, reply);
  const code = codeOf(error, request, reply);
  const text = error.hint === undefined ? error.message : `${error.message}. ${error.hint}`;
  const isWrong = reply.statusCode === 401 && isRefusedToken(request);
  return reply
    .headers({
      ...(code === undefined ? {} : { 'x-error-code': code }),
      'x-error-message': isWrong ? wrongToken : text.replace(/[^ -~]/g, '?'),
      'cache-control': 'no-store',
    })
    .send({ error: text });
}

function codeOf(
  error: MstoreError,
  request: FastifyRequest,
  reply: FastifyReply,
): string | undefined {
  if (error.code === 'unknown-model') return 'RepoNotFound';
  if (error.code === 'unknown-version') return 'RevisionNotFound';
  // An object of the remote that is gone is no file that a version never had.
  if (error.code === 'not-found')
    return error instanceof RequestError ? 'EntryNotFound' : undefined;
  if (reply.statusCode === 403 && request.method !== 'POST') return 'GatedRepo';
  // The Hub says so to whoever sends no token, and clients then tell their users about tokens.
  if (reply.statusCode === 401 && !isRefusedToken(request)) return 'RepoNotFound';
  return undefined;
}

function isRefusedToken({ headers }: FastifyRequest): boolean {
  return headers.authorization !== undefined;
}
