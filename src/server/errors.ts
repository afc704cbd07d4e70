import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { errorDocument } from '../base/error-document.ts';
import { isMstoreError, type MstoreError } from '../base/errors.ts';
import { asMstoreError, statusOf } from './answers.ts';
import { challengeHeaders } from './callers.ts';
import { RequestError } from './request-error.ts';

/** Answers errors in the form of the command line, and none with what is nobody's business. */
export function answerErrors(app: FastifyInstance): void {
  app.setNotFoundHandler(() => {
    throw new RequestError(404, 'not-found', 'There is nothing at this address', {
      hint: 'The interface is described at /api/v1/openapi.json',
    });
  });
  app.setErrorHandler((thrown: unknown, request, reply) =>
    reply.send(errorDocument(beginRefusal(thrown, request, reply))),
  );
}

/** Gives an answer the status and the headers of an error, and says which error it is. */
export function beginRefusal(
  thrown: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
): MstoreError {
  const error = asMstoreError(fromFastify(thrown));
  const status = statusOf(error);
  if (status >= 500) request.log.error({ err: thrown, status }, error.message);
  const wait = error.details['retryAfterMs'];
  if (typeof wait === 'number') reply.header('retry-after', Math.ceil(wait / 1000));
  // What was to come behind it is not read: its connection is of no more use.
  if (!request.raw.complete) reply.header('connection', 'close');
  reply.code(status).headers(challengeHeaders(error));
  return error;
}

/** Errors of the framework have a status of their own. */
function fromFastify(error: unknown): unknown {
  if (isMstoreError(error) || !(error instanceof Error) || !('statusCode' in error)) return error;
  const status = Number(error.statusCode);
  if (!(status >= 400 && status < 500)) return error;
  const code = status === 404 ? 'not-found' : 'bad-input';
  return new RequestError(status, code, error.message);
}
