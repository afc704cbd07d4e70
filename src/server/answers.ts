import { once } from 'node:events';
import type { FastifyReply } from 'fastify';
import { type ErrorCode, isMstoreError, MstoreError } from '../base/errors.ts';
import type { ByteRange } from '../remote/remote.ts';
import { RequestError } from './request-error.ts';

const statusOfCode: Partial<Record<ErrorCode, number>> = {
  'not-found': 404,
  'unknown-ref': 404,
  'unknown-model': 404,
  'unknown-version': 404,
  'unknown-environment': 404,
  'no-earlier-version': 404,
  'bad-input': 400,
  'bad-name': 400,
  'bad-metadata': 400,
  'bad-metrics': 400,
  usage: 400,
  'lost-race': 409,
  'name-taken': 409,
  'version-retired': 409,
  'version-exists': 409,
  'version-in-use': 409,
  'step-skipped': 409,
  'gate-refused': 409,
  untrusted: 403,
  'objects-missing': 409,
  'remote-unreachable': 503,
  interrupted: 503,
  'remote-refused': 502,
  'not-logged': 502,
  'not-a-remote': 502,
  'remote-full': 507,
  'no-space': 507,
};

/** The status that an error is answered with. */
export function statusOf(error: MstoreError): number {
  if (error instanceof RequestError) return error.status;
  const known = statusOfCode[error.code];
  if (known !== undefined) return known;
  // What is damaged is so behind the server, and no other request mends it.
  return error.code.startsWith('corrupt-') ? 502 : 500;
}

/** What goes out behind the head of an answer. */
export interface Answered {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | number>>;
}

/**
 * Sends blocks as the body of an answer, one behind the other, none before the connection has taken the one before:
 * so blocks may be reused, and a slow client holds one. A failure behind the first block ends the connection, by
 * which the client knows that something is lacking.
 */
export async function sendBlocks(
  reply: FastifyReply,
  blocks: AsyncIterable<Uint8Array>,
  { status, headers }: Answered,
): Promise<void> {
  const iterator = blocks[Symbol.asyncIterator]();
  // What fails at once can still be answered.
  let step = await iterator.next();
  reply.hijack();
  const { raw } = reply;
  try {
    raw.writeHead(status, { ...reply.getHeaders(), ...headers } as Record<string, string>);
    for (; step.done !== true; step = await iterator.next()) {
      await written(reply, step.value);
      reply.request.sentBytes += step.value.length;
    }
    raw.end();
  } catch {
    raw.destroy();
  } finally {
    await iterator.return?.();
  }
}

/** Writes a block, and waits until it has left our memory. */
function written({ raw }: FastifyReply, block: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    if (raw.destroyed) return reject(new Error('The client is gone'));
    const onClose = (): void => reject(new Error('The client is gone'));
    raw.once('close', onClose);
    raw.write(block, (error) => {
      raw.off('close', onClose);
      if (error) reject(error);
      else resolve();
    });
  });
}

/** A signal that is aborted when the client of an answer is gone before its end. */
export function clientSignal({ raw }: FastifyReply): AbortSignal {
  const stop = new AbortController();
  if (raw.destroyed) stop.abort();
  void once(raw, 'close').then(
    () => stop.abort(),
    () => {},
  );
  return stop.signal;
}

/**
 * Reads the header Range: one range of bytes. Source: RFC 9110, section 14.2; several ranges, or units that nobody knows, count for
 * nothing.
 * @returns undefined for all of it
 * @throws RequestError 416 where none of it is there
 */
export function rangeOf(header: string | undefined, size: number): ByteRange | undefined {
  const [, first = '', last = ''] =
    /^bytes=(\d{0,16})-(\d{0,16})$/.exec(header?.trim() ?? '') ?? [];
  if (first === '' && last === '') return undefined;
  const start = first === '' ? Math.max(0, size - Number(last)) : Number(first);
  const end = first === '' || last === '' ? size : Math.min(size, Number(last) + 1);
  if (first !== '' && last !== '' && Number(last) < Number(first)) return undefined;
  if (start < end) return { start, end };
  throw new RequestError(416, 'bad-input', `The range is not within the ${size} bytes`, {
    details: { size },
  });
}

/** Reads If-None-Match: a list of tags, which may be weak, or any. */
export function matches(header: string | undefined, etag: string): boolean {
  if (header === undefined) return false;
  if (header.trim() === '*') return true;
  return header.split(',').some((tag) => tag.trim().replace(/^W\//, '') === etag);
}

/** Reads Accept-Encoding: tells whether a client takes a coding. Source: RFC 9110, section 12.5.3. */
export function accepts(header: string | undefined, coding: string): boolean {
  const named = (header ?? '').split(',').map((part) =>
    part
      .trim()
      .toLowerCase()
      .split(/\s*;\s*q=/),
  );
  const [, weight = '1'] = named.find(([name]) => name === coding) ?? ['', '0'];
  return Number(weight) > 0;
}

/** Reads a body of JSON or bytes that is held in memory. */
export async function bodyBytes(body: AsyncIterable<Uint8Array>, into: Buffer): Promise<void> {
  let filled = 0;
  for await (const block of body) {
    if (filled + block.length > into.length) throw wrongLength();
    into.set(block, filled);
    filled += block.length;
  }
  if (filled !== into.length) throw wrongLength();
}

function wrongLength(): RequestError {
  return new RequestError(400, 'bad-input', 'The body is not as long as the request says');
}

/** Makes an error of the server's own that a client can do nothing about. */
export function asMstoreError(error: unknown): MstoreError {
  if (isMstoreError(error)) return error;
  return new MstoreError('internal', 'The server failed at this request', { cause: error });
}
