import { throwIfAborted } from '../base/abort.ts';
import { isMstoreError, MstoreError } from '../base/errors.ts';
import { compareUtf8 } from '../base/json.ts';
import { checkKey, checkPrefix, checkRange, noObject, shortObject } from './keys.ts';
import type { ByteRange, RemoteCallOptions, RemoteObject, RemotePruner } from './remote.ts';
import { type S3Options, S3Place } from './s3-client.ts';
import { createS3Object } from './s3-create.ts';
import { notS3Answer } from './s3-errors.ts';
import { s3Probe } from './s3-probe.ts';
import { s3Uploads } from './s3-uploads.ts';
import {
  type BucketPlace,
  checkKeyIn,
  holdsAsked,
  isKeyIn,
  pagesWithoutMax,
  parseContentRange,
  toldBytes,
} from './service.ts';
import { answerStatus } from './service-errors.ts';
import type { UnclearWrites } from './unclear-writes.ts';

/**
 * Makes a remote of a folder of a bucket, on Amazon S3 or a service that speaks its protocol. Nothing is
 * loaded or asked before the first call. Every call is tried once, save parts of large objects, for
 * which the policy stands in the options: wrap the remote to have all calls tried again.
 */
export function s3Remote(place: BucketPlace, options: S3Options): RemotePruner {
  const s3 = new S3Place(place, options);
  const unclear: UnclearWrites = new WeakMap();
  return {
    location: place.location,
    probe: s3Probe(s3),
    uploads: s3Uploads(s3),
    get: (key, range, call) => readObject(s3, key, range, call),
    async stat(key, call) {
      checkKeyIn(s3.place, key);
      return statObject(s3, key, call);
    },
    list: (prefix, call) => listObjects(s3, prefix, call),
    create: (key, source, call) => createS3Object(s3, unclear, key, source, call),
    async delete(key, call) {
      checkKey(key);
      try {
        await s3.call(`delete ${key} from`, call, ({ sdk, client }, request) =>
          client.send(new sdk.DeleteObjectCommand(s3.object(key)), request),
        );
      } catch (error) {
        if (!isMissing(error)) throw error;
      }
    },
  };
}

/** Tells whether a call failed because there is no such object; no such bucket or user is no such case. */
function isMissing(error: unknown): boolean {
  if (answerStatus(error) !== 404 || !isMstoreError(error)) return false;
  return error.code !== 'not-a-remote' && error.details['reason'] !== 'bad-credentials';
}

async function statObject(
  s3: S3Place,
  key: string,
  call: RemoteCallOptions | undefined,
): Promise<number | undefined> {
  try {
    const head = await s3.call(`read ${key} from`, call, ({ sdk, client }, request) =>
      client.send(new sdk.HeadObjectCommand(s3.object(key)), request),
    );
    const size = toldBytes(head.ContentLength);
    if (head.ETag === undefined || size === undefined) {
      throw notS3Answer(`read ${key} from`, s3.location);
    }
    return size;
  } catch (error) {
    if (isMissing(error)) return undefined;
    if (!isMstoreError(error, 'remote-refused')) throw error;
    // An answer to HEAD has no body and therefore no code: asking for a byte tells what is wrong.
    const { size, close } = await openBytes(s3, key, { start: 0, end: 1 }, call).catch(
      (failure: unknown) => {
        if (isMissing(failure)) return { size: undefined, close: undefined };
        if (answerStatus(failure) === 416) return { size: 0, close: undefined };
        throw failure;
      },
    );
    close?.();
    return size;
  }
}

/** The body of an answer, as the SDK hands it over under Node. */
type Body = AsyncIterable<Uint8Array> & { destroy(): void };

interface OpenBytes {
  /** Of the whole object. */
  readonly size: number;
  /** Bytes that the answer says it holds. */
  readonly length: number;
  readonly body: Body;
  /** Ends the request, whether all was read or not. */
  close(error?: unknown): void;
  moved(bytes: number): void;
}

/** Asks for an object or a range that is not empty; what answers another question is an error. */
async function openBytes(
  s3: S3Place,
  key: string,
  range: ByteRange | undefined,
  call: RemoteCallOptions | undefined,
): Promise<OpenBytes> {
  const attempt = `read ${key} from`;
  const { answer, turn } = await s3.begin(attempt, call, ({ sdk, client }, request) =>
    client.send(
      new sdk.GetObjectCommand({
        ...s3.object(key),
        ...(range === undefined ? {} : { Range: `bytes=${range.start}-${range.end - 1}` }),
      }),
      request,
    ),
  );
  const body = answer.Body as unknown as Body;
  const close = (error?: unknown): void => {
    body.destroy();
    turn?.end(error);
  };
  const moved = (bytes: number): void => turn?.moved(bytes);
  if (answer.ETag === undefined) {
    close();
    throw notS3Answer(attempt, s3.location);
  }
  const length = toldBytes(answer.ContentLength);
  if (range === undefined && length !== undefined)
    return { size: length, length, body, close, moved };
  const held = parseContentRange(answer.ContentRange);
  if (held !== undefined && length !== undefined && holdsAsked(held, range, length)) {
    return { size: held.size, length, body, close, moved };
  }
  close();
  if (range !== undefined && answer.ContentRange === undefined) {
    throw new MstoreError(
      'remote-refused',
      `Cannot ${attempt} the remote ${s3.location}: ranges of objects are not answered`,
      {
        hint: 'Check remote.NAME.endpoint and what stands in between: ranged requests are needed',
        details: { key, reason: 'no-ranges' },
      },
    );
  }
  throw wrongAnswer(s3, key, 'it answers with other bytes than those asked for');
}

function wrongAnswer(s3: S3Place, key: string, what: string): MstoreError {
  return new MstoreError(
    'remote-unreachable',
    `Cannot read ${key} from the remote ${s3.location}: ${what}`,
    {
      hint: 'Run the same command again; if it fails again, look at proxies and caches in between',
      details: { key, reason: 'wrong-answer' },
    },
  );
}

async function* readObject(
  s3: S3Place,
  key: string,
  range: ByteRange | undefined,
  call: RemoteCallOptions | undefined,
): AsyncGenerator<Uint8Array, void, void> {
  checkKeyIn(s3.place, key);
  checkRange(key, range, Number.MAX_SAFE_INTEGER, s3.location);
  if (range !== undefined && range.start === range.end) {
    const size = await statObject(s3, key, call);
    if (size === undefined) throw noObject(key, s3.location);
    checkRange(key, range, size, s3.location);
    return;
  }
  const opened = await openBytes(s3, key, range, call).catch(async (error: unknown) => {
    if (isMissing(error)) throw noObject(key, s3.location);
    if (answerStatus(error) === 416 && range !== undefined) {
      const size = await statObject(s3, key, call);
      throw shortObject(key, range.end, size ?? 0, s3.location);
    }
    throw error;
  });
  const { size, length, body, close, moved } = opened;
  try {
    if (range !== undefined && range.end > size)
      throw shortObject(key, range.end, size, s3.location);
    let received = 0;
    for await (const block of body) {
      throwIfAborted(call?.signal);
      received += block.length;
      moved(block.length);
      if (received > length) throw wrongAnswer(s3, key, 'it sends more bytes than it said');
      yield block;
      throwIfAborted(call?.signal);
    }
    if (received < length) throw wrongAnswer(s3, key, 'the answer was cut off');
  } catch (error) {
    const failure = s3.failure(error, `read ${key} from`, call?.signal);
    close(failure);
    throw failure;
  } finally {
    close();
  }
}

async function* listObjects(
  s3: S3Place,
  prefix: string,
  call: RemoteCallOptions | undefined,
): AsyncGenerator<RemoteObject, void, void> {
  checkPrefix(prefix);
  const attempt = `list ${prefix || 'the objects'} of`;
  const root = s3.place.prefix;
  let token: string | undefined;
  let last = '';
  let pagesWithout = 0;
  do {
    const before = last;
    const page = await s3.call(attempt, call, ({ sdk, client }, request) =>
      client.send(
        new sdk.ListObjectsV2Command({
          Bucket: s3.place.bucket,
          Prefix: root + prefix,
          ...s3.payer,
          ...(token === undefined ? {} : { ContinuationToken: token }),
        }),
        request,
      ),
    );
    if (page.IsTruncated === undefined) throw notS3Answer(attempt, s3.location);
    for (const { Key = '', Size, LastModified } of page.Contents ?? []) {
      const key = Key.slice(root.length);
      // Other tools leave things in buckets, such as empty objects that stand for folders.
      if (!Key.startsWith(root + prefix) || !isKeyIn(s3.place, key)) continue;
      if (compareUtf8(key, last) <= 0)
        throw unusableList(s3, attempt, 'it lists objects in another order');
      last = key;
      const size = toldBytes(Size);
      if (size === undefined) throw notS3Answer(attempt, s3.location);
      yield { key, size, time: timeOrNone(LastModified?.getTime()) };
      throwIfAborted(call?.signal);
    }
    const next = page.IsTruncated ? page.NextContinuationToken : undefined;
    pagesWithout = last === before ? pagesWithout + 1 : 0;
    const endless = next === undefined || next === token || pagesWithout > pagesWithoutMax;
    if (page.IsTruncated && endless) {
      throw unusableList(s3, attempt, 'its list has no end');
    }
    token = next;
  } while (token !== undefined);
}

/** A date that cannot be read is none. */
function timeOrNone(time: number | undefined): number | undefined {
  return Number.isFinite(time) ? time : undefined;
}

function unusableList(s3: S3Place, attempt: string, what: string): MstoreError {
  return new MstoreError('remote-refused', `Cannot ${attempt} the remote ${s3.location}: ${what}`, {
    hint: 'Use a bucket of the general kind, on a service that lists in the order of names',
    details: { reason: 'unusable-list' },
  });
}
