import { throwIfAborted } from '../base/abort.ts';
import { isMstoreError, MstoreError } from '../base/errors.ts';
import {
  crcText,
  drain,
  type GcsOptions,
  GcsPlace,
  loadCrc32c,
  type ObjectResource,
} from './gcs-client.ts';
import { createGcsObject } from './gcs-create.ts';
import { damagedError, notGcsAnswer } from './gcs-errors.ts';
import type { HttpAnswer } from './http-exchange.ts';
import {
  checkKey,
  checkPrefix,
  checkRange,
  isKeyName,
  noObject,
  reservedName,
  shortObject,
} from './keys.ts';
import type { ByteRange, RemoteObject, RemotePruner } from './remote.ts';
import type { BucketPlace } from './service.ts';
import { answerStatus } from './service-errors.ts';
import type { UnclearWrites } from './unclear-writes.ts';

/**
 * Makes a remote of a folder of a bucket on Google Cloud Storage, by its JSON interface. Nothing is loaded
 * or asked before the first call. Every call is tried once, save parts of large objects, for which the
 * policy stands in the options: wrap the remote to have all calls tried again.
 */
export function gcsRemote(place: BucketPlace, options: GcsOptions): RemotePruner {
  const gcs = new GcsPlace(place, options);
  const unclear: UnclearWrites = new WeakMap();
  return {
    location: place.location,
    get: (key, range, call) => readObject(gcs, key, range, call?.signal),
    async stat(key, call) {
      checkKey(key);
      return statObject(gcs, key, call?.signal);
    },
    list: (prefix, call) => listObjects(gcs, prefix, call?.signal),
    create: (key, source, call) => createGcsObject(gcs, unclear, key, source, call?.signal),
    async delete(key, call) {
      checkKey(key);
      try {
        const path = gcs.objectPath(key);
        await drain(
          await gcs.call(`delete ${key} from`, call?.signal, { method: 'DELETE', path, key }),
        );
      } catch (error) {
        if (!isMstoreError(error, 'not-found')) throw error;
      }
    },
  };
}

async function statObject(
  gcs: GcsPlace,
  key: string,
  signal: AbortSignal | undefined,
): Promise<number | undefined> {
  const attempt = `read ${key} from`;
  const query = { fields: 'size,generation' };
  try {
    const found = await gcs.json<ObjectResource>(attempt, signal, {
      method: 'GET',
      path: gcs.objectPath(key),
      query,
      key,
    });
    if (found.generation === undefined || !/^\d+$/.test(found.size ?? '')) {
      throw notGcsAnswer(attempt, gcs.location);
    }
    return Number(found.size);
  } catch (error) {
    if (isMstoreError(error, 'not-found')) return undefined;
    throw error;
  }
}

interface OpenBytes {
  readonly answer: HttpAnswer;
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
  signal: AbortSignal | undefined,
): Promise<OpenBytes> {
  const attempt = `read ${key} from`;
  const answer = await gcs.call(attempt, signal, {
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
  const refuse = (error: MstoreError) => {
    answer.close();
    return error;
  };
  const hash = answer.header('x-goog-hash');
  if (answer.header('x-goog-generation') === undefined && hash === undefined) {
    throw refuse(notGcsAnswer(attempt, gcs.location));
  }
  const length = Number(answer.header('content-length') ?? Number.NaN);
  const crc32c = /crc32c=([A-Za-z0-9+/]+=*)/.exec(hash ?? '')?.[1];
  if (range === undefined && Number.isSafeInteger(length)) {
    return { answer, size: length, length, crc32c };
  }
  const contentRange = answer.header('content-range');
  const [, first, last, total] = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(contentRange ?? '') ?? [];
  const [start, end, size] = [Number(first), Number(last) + 1, Number(total)];
  const right =
    range !== undefined &&
    start === range.start &&
    end === Math.min(range.end, size) &&
    length === end - start;
  if (right) return { answer, size, length, crc32c: length === size ? crc32c : undefined };
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

async function* readObject(
  gcs: GcsPlace,
  key: string,
  range: ByteRange | undefined,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array, void, void> {
  checkKey(key);
  checkRange(key, range, Number.MAX_SAFE_INTEGER, gcs.location);
  if (range !== undefined && range.start === range.end) {
    const size = await statObject(gcs, key, signal);
    if (size === undefined) throw noObject(key, gcs.location);
    checkRange(key, range, size, gcs.location);
    return;
  }
  const opened = await openBytes(gcs, key, range, signal).catch(async (error: unknown) => {
    if (answerStatus(error) === 416 && range !== undefined) {
      const size = await statObject(gcs, key, signal);
      throw shortObject(key, range.end, size ?? 0, gcs.location);
    }
    throw error;
  });
  if (range !== undefined && range.end > opened.size) {
    opened.answer.close();
    throw shortObject(key, range.end, opened.size, gcs.location);
  }
  yield* checkedBlocks(gcs, key, opened, signal);
}

/**
 * Yields the body of an answer, as long as it said. Where it is a whole object its checksum is counted,
 * and the last block is kept until that is right.
 */
async function* checkedBlocks(
  gcs: GcsPlace,
  key: string,
  { answer, length, crc32c }: OpenBytes,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array, void, void> {
  const attempt = `read ${key} from`;
  try {
    const count = await loadCrc32c();
    let received = 0;
    let sum = 0;
    for await (const block of answer.body) {
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
    throw gcs.failure(error, attempt, signal);
  } finally {
    answer.close();
  }
}

interface ObjectPage {
  readonly kind: string;
  readonly nextPageToken: string;
  readonly items: ReadonlyArray<Partial<ObjectResource>>;
}

async function* listObjects(
  gcs: GcsPlace,
  prefix: string,
  signal: AbortSignal | undefined,
): AsyncGenerator<RemoteObject, void, void> {
  checkPrefix(prefix);
  const attempt = `list ${prefix || 'the objects'} of`;
  const root = gcs.place.prefix;
  const query = {
    prefix: root + prefix,
    maxResults: '1000',
    fields: 'kind,nextPageToken,items(name,size)',
  };
  let pageToken: string | undefined;
  let last = '';
  do {
    const page = await gcs.json<ObjectPage>(attempt, signal, {
      method: 'GET',
      path: gcs.objectsPath,
      query: { ...query, pageToken },
    });
    if (page.kind !== 'storage#objects') throw notGcsAnswer(attempt, gcs.location);
    for (const { name = '', size = '0' } of page.items ?? []) {
      const key = name.slice(root.length);
      // Other tools leave things in buckets, such as empty objects that stand for folders.
      const names = key.split('/');
      if (!name.startsWith(root + prefix) || !names.every(isKeyName) || names[0] === reservedName)
        continue;
      if (key <= last) throw unusableList(gcs, attempt, 'it lists objects in another order');
      last = key;
      yield { key, size: Number(size) };
      throwIfAborted(signal);
    }
    const next: string | undefined = page.nextPageToken || undefined;
    if (next !== undefined && next === pageToken) {
      throw unusableList(gcs, attempt, 'its list has no end');
    }
    pageToken = next;
  } while (pageToken !== undefined);
}

function unusableList(gcs: GcsPlace, attempt: string, what: string): MstoreError {
  return new MstoreError(
    'remote-refused',
    `Cannot ${attempt} the remote ${gcs.location}: ${what}`,
    {
      hint: 'Check remote.NAME.endpoint: the service must list in the order of names',
      details: { reason: 'unusable-list' },
    },
  );
}
