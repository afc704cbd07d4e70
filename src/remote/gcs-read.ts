import { throwIfAborted } from '../base/abort.ts';
import { MstoreError } from '../base/errors.ts';
import { crcText, type GcsPlace, loadCrc32c } from './gcs-client.ts';
import { damagedError, notGcsAnswer } from './gcs-errors.ts';
import type { HttpAnswer } from './http-exchange.ts';
import { checkRange, noObject, shortObject } from './keys.ts';
import type { ByteRange, RemoteCallOptions } from './remote.ts';
import { checkKeyIn, holdsAsked, parseContentRange, toldBytes } from './service.ts';
import { answerStatus } from './service-errors.ts';

/** Asks for the size of an object in bytes; undefined when there is none. */
export async function statObject(
  gcs: GcsPlace,
  key: string,
  options: RemoteCallOptions | undefined,
): Promise<number | undefined> {
  const attempt = `read ${key} from`;
  const found = await gcs.resource(attempt, options, key, 'size,generation');
  if (found === undefined) return undefined;
  const size = toldBytes(found.size);
  if (size === undefined) throw notGcsAnswer(attempt, gcs.location);
  return size;
}

interface OpenBytes {
  readonly body: HttpAnswer['body'];
  /** Ends the request, whether all was read or not. */
  close(error?: unknown): void;
  /** Of the whole object. */
  readonly size: number;
  /** Bytes that the answer says it holds. */
  readonly length: number;
  /** Checksum of the whole object, in base64, where the answer holds all of it. */
  readonly crc32c: string | undefined;
}

/** Asks for an object or a range that is not empty; what answers another question is an error. */
async function openBytes(
  gcs: GcsPlace,
  key: string,
  range: ByteRange | undefined,
  options: RemoteCallOptions | undefined,
): Promise<OpenBytes> {
  const attempt = `read ${key} from`;
  const { answer, turn } = await gcs.begin(attempt, options, {
    method: 'GET',
    path: gcs.objectPath(key),
    query: { alt: 'media' },
    key,
    headers: {
      // Without it, the service would unpack what is stored packed, and ignore the range.
      'accept-encoding': 'gzip',
      ...(range === undefined ? {} : { range: `bytes=${range.start}-${range.end - 1}` }),
    },
  });
  const { body } = answer;
  const close = (error?: unknown): void => {
    answer.close();
    turn?.end(error);
  };
  const refuse = (error: MstoreError): MstoreError => {
    close();
    return error;
  };
  const hash = answer.header('x-goog-hash');
  if (answer.header('x-goog-generation') === undefined && hash === undefined) {
    throw refuse(notGcsAnswer(attempt, gcs.location));
  }
  const length = Number(answer.header('content-length') ?? Number.NaN);
  const crc32c = /crc32c=([A-Za-z0-9+/]+=*)/.exec(hash ?? '')?.[1];
  if (range === undefined && Number.isSafeInteger(length)) {
    return { body, close, size: length, length, crc32c };
  }
  const contentRange = answer.header('content-range');
  const held = parseContentRange(contentRange);
  if (held !== undefined && holdsAsked(held, range, length)) {
    const { size } = held;
    return { body, close, size, length, crc32c: length === size ? crc32c : undefined };
  }
  if (range !== undefined && contentRange === undefined) throw refuse(noRanges(gcs, key));
  throw refuse(wrongAnswer(gcs, key, 'it answers with other bytes than those asked for'));
}

function noRanges(gcs: GcsPlace, key: string): MstoreError {
  return new MstoreError(
    'remote-refused',
    `Cannot read ${key} from the remote ${gcs.location}: ranges of objects are not answered`,
    {
      hint: 'Check remote.NAME.endpoint and what stands in between: ranged requests are needed',
      details: { key, reason: 'no-ranges' },
    },
  );
}

function wrongAnswer(gcs: GcsPlace, key: string, what: string): MstoreError {
  return new MstoreError(
    'remote-unreachable',
    `Cannot read ${key} from the remote ${gcs.location}: ${what}`,
    {
      hint: 'Run the same command again; if it fails again, look at proxies and caches in between',
      details: { key, reason: 'wrong-answer' },
    },
  );
}

/** Reads an object or a range of it, as the contract of a remote has it. */
export async function* readObject(
  gcs: GcsPlace,
  key: string,
  range: ByteRange | undefined,
  options: RemoteCallOptions | undefined,
): AsyncGenerator<Uint8Array, void, void> {
  checkKeyIn(gcs.place, key);
  checkRange(key, range, Number.MAX_SAFE_INTEGER, gcs.location);
  if (range !== undefined && range.start === range.end) {
    const size = await statObject(gcs, key, options);
    if (size === undefined) throw noObject(key, gcs.location);
    checkRange(key, range, size, gcs.location);
    return;
  }
  const opened = await openBytes(gcs, key, range, options).catch(async (error: unknown) => {
    if (answerStatus(error) === 416 && range !== undefined) {
      const size = await statObject(gcs, key, options);
      throw shortObject(key, range.end, size ?? 0, gcs.location);
    }
    throw error;
  });
  if (range !== undefined && range.end > opened.size) {
    opened.close();
    throw shortObject(key, range.end, opened.size, gcs.location);
  }
  yield* checkedBlocks(gcs, key, opened, options?.signal);
}

/**
 * Yields the body of an answer, as long as it said. Where it is a whole object its checksum is counted,
 * and the last block is kept until that is right.
 */
async function* checkedBlocks(
  gcs: GcsPlace,
  key: string,
  { body, close, length, crc32c }: OpenBytes,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array, void, void> {
  const attempt = `read ${key} from`;
  try {
    const count = await loadCrc32c();
    let received = 0;
    let sum = 0;
    for await (const block of body) {
      throwIfAborted(signal);
      received += block.length;
      if (received > length) throw wrongAnswer(gcs, key, 'it sends more bytes than it said');
      if (crc32c !== undefined) sum = count(block, sum);
      const wrong = received === length && crc32c !== undefined && crc32c !== crcText(sum);
      if (wrong) throw damagedError(attempt, gcs.location);
      yield block;
      throwIfAborted(signal);
    }
    if (received < length) throw wrongAnswer(gcs, key, 'the answer was cut off');
  } catch (error) {
    const failure = gcs.failure(error, attempt, signal);
    close(failure);
    throw failure;
  } finally {
    close();
  }
}
