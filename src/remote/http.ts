import { throwIfAborted } from '../base/abort.ts';
import { isMstoreError, type MstoreError } from '../base/errors.ts';
import { compareUtf8 } from '../base/json.ts';
import { drain, parseObject } from './http-answers.ts';
import { createHttpObject } from './http-create.ts';
import { notServerError } from './http-errors.ts';
import type { HttpAnswer } from './http-exchange.ts';
import { type HttpOptions, HttpPlace } from './http-place.ts';
import { checkKey, checkPrefix, checkRange, isKeyName, noObject, shortObject } from './keys.ts';
import type { ByteRange, RemoteCallOptions, RemoteObject, RemotePruner } from './remote.ts';
import { holdsAsked, parseContentRange, toldBytes } from './service.ts';
import { answerStatus, refused, serviceError, unreachable } from './service-errors.ts';
import type { UnclearWrites } from './unclear-writes.ts';

/** Bound of one line of a list. */
const lineBytesMax = 16 * 1024;

/**
 * Makes a remote of what `mstore serve` gives out at a URL. Nothing is asked before the first call. Every call is
 * tried once, save parts of large objects, for which the policy stands in the options: wrap the remote to have all
 * calls tried again. The protocol is written down in docs/format.md.
 */
export function httpRemote(url: URL, options: HttpOptions): RemotePruner {
  const place = new HttpPlace(url, options);
  const unclear: UnclearWrites = new WeakMap();
  return {
    location: place.location,
    probe: {
      rights: {
        read: 'a token with the scope read',
        list: 'a token with the scope read',
        write: 'a token with the scope push',
        parts: 'a token with the scope push',
        delete: 'a token with the scope collect',
      },
      endpoint: async () => place.location,
      identity: (options) => identity(place, options),
      reach: async (options) => {
        await identity(place, options);
      },
    },
    get: (key, range, options) => readObject(place, key, range, options),
    async stat(key, options) {
      checkKey(key);
      return statObject(place, key, options);
    },
    list: (prefix, options) => listObjects(place, prefix, options),
    create: (key, source, options) => createHttpObject(place, unclear, key, source, options),
    async delete(key, options) {
      checkKey(key);
      const call = { method: 'DELETE', path: place.objectPath(key), accept: [404] } as const;
      await place.call(`delete ${key} from`, options, call, drain);
    },
  };
}

/** Asks who the server takes us for. */
async function identity(place: HttpPlace, options: RemoteCallOptions | undefined): Promise<string> {
  if (place.access === 'withheld') {
    return 'nobody: MSTORE_TOKEN goes to addresses that you chose, or that MSTORE_TOKEN_ORIGIN names';
  }
  const call = { method: 'GET', path: 'whoami' } as const;
  const told = await place.json<{ name: unknown; scopes: unknown }>('reach', options, call);
  const { name, scopes } = told;
  if (typeof name !== 'string' || !Array.isArray(scopes)) {
    throw notServerError('reach', place.location);
  }
  return `${name}, who may ${scopes.map(String).join(', ') || 'do nothing'}`;
}

async function statObject(
  place: HttpPlace,
  key: string,
  options: RemoteCallOptions | undefined,
): Promise<number | undefined> {
  const attempt = `read ${key} from`;
  const call = { method: 'HEAD', path: place.objectPath(key), key } as const;
  try {
    return await place.call(attempt, options, call, async (answer) => {
      await drain(answer);
      const size = toldBytes(answer.header('content-length'));
      if (size === undefined) throw notServerError(attempt, place.location);
      return size;
    });
  } catch (error) {
    if (isMstoreError(error, 'not-found')) return undefined;
    throw error;
  }
}

async function* readObject(
  place: HttpPlace,
  key: string,
  range: ByteRange | undefined,
  options: RemoteCallOptions | undefined,
): AsyncGenerator<Uint8Array, void, void> {
  checkKey(key);
  checkRange(key, range, Number.MAX_SAFE_INTEGER, place.location);
  if (range !== undefined && range.start === range.end) {
    const size = await statObject(place, key, options);
    if (size === undefined) throw noObject(key, place.location);
    checkRange(key, range, size, place.location);
    return;
  }
  const attempt = `read ${key} from`;
  const { answer, turn } = await place
    .begin(attempt, options, {
      method: 'GET',
      path: place.objectPath(key),
      key,
      headers: range === undefined ? {} : { range: `bytes=${range.start}-${range.end - 1}` },
    })
    .catch(async (error: unknown) => {
      if (answerStatus(error) === 416 && range !== undefined) {
        const size = await statObject(place, key, options);
        throw shortObject(key, range.end, size ?? 0, place.location);
      }
      throw error;
    });
  try {
    const { length, size } = heldBytes(place, key, range, answer);
    if (range !== undefined && range.end > size) {
      throw shortObject(key, range.end, size, place.location);
    }
    let received = 0;
    for await (const block of answer.body) {
      throwIfAborted(options?.signal);
      received += block.length;
      if (received > length) throw wrongAnswer(place, key, 'it sends more bytes than it said');
      yield block;
      throwIfAborted(options?.signal);
    }
    if (received < length) throw wrongAnswer(place, key, 'the answer was cut off');
  } catch (error) {
    const failure = place.failure(error, attempt, options?.signal);
    turn?.end(failure);
    throw failure;
  } finally {
    answer.close();
    turn?.end();
  }
}

/** Which bytes an answer holds; one that answers another question is an error. */
function heldBytes(
  place: HttpPlace,
  key: string,
  range: ByteRange | undefined,
  answer: HttpAnswer,
): { readonly length: number; readonly size: number } {
  const length = toldBytes(answer.header('content-length'));
  if (range === undefined && answer.status === 200 && length !== undefined) {
    return { length, size: length };
  }
  const held = parseContentRange(answer.header('content-range'));
  if (held !== undefined && length !== undefined && holdsAsked(held, range, length)) {
    return { length, size: held.size };
  }
  throw wrongAnswer(place, key, 'it answers with other bytes than those asked for');
}

function wrongAnswer({ location }: HttpPlace, key: string, what: string): MstoreError {
  const hint =
    'Run the same command again; if it fails again, look at proxies and caches in between';
  return serviceError(unreachable('wrong-answer', what, hint), `read ${key} from`, location);
}

async function* listObjects(
  place: HttpPlace,
  prefix: string,
  options: RemoteCallOptions | undefined,
): AsyncGenerator<RemoteObject, void, void> {
  checkPrefix(prefix);
  const attempt = `list ${prefix || 'the objects'} of`;
  const call = { method: 'GET', path: 'objects', query: { prefix } } as const;
  const { answer, turn } = await place.begin(attempt, options, call);
  let last = '';
  let isEnded = false;
  try {
    for await (const line of linesOf(answer, () => notServerError(attempt, place.location))) {
      throwIfAborted(options?.signal);
      const told = parseObject(line) as Record<string, unknown> | undefined;
      if (isEnded || told === undefined) throw notServerError(attempt, place.location);
      isEnded = told['end'] === true;
      if (isEnded) continue;
      const object = objectOf(told);
      if (object === undefined || !object.key.startsWith(prefix)) {
        throw notServerError(attempt, place.location);
      }
      if (compareUtf8(object.key, last) <= 0) throw unusableList(place, attempt);
      last = object.key;
      yield object;
    }
    // Without its last line it was cut off: the server, or the place behind it, failed meanwhile.
    if (!isEnded) throw serviceError(cutOff, attempt, place.location);
  } catch (error) {
    const failure = place.failure(error, attempt, options?.signal);
    turn?.end(failure);
    throw failure;
  } finally {
    answer.close();
    turn?.end();
  }
}

const cutOff = unreachable('connection', 'its list was cut off');

function unusableList({ location }: HttpPlace, attempt: string): MstoreError {
  const kind = refused(
    'unusable-list',
    'it lists objects in another order',
    'Update the server; if it is the newest, look at proxies in between',
  );
  return serviceError(kind, attempt, location);
}

/** Reads an object of a list; undefined when it is none. */
function objectOf({ key, size: told, time }: Record<string, unknown>): RemoteObject | undefined {
  const size = toldBytes(told);
  if (typeof key !== 'string' || size === undefined) return undefined;
  if (!key.split('/').every(isKeyName)) return undefined;
  return { key, size, time: typeof time === 'number' ? time : undefined };
}

/** Cuts a body into lines. */
async function* linesOf(
  answer: HttpAnswer,
  tooLong: () => MstoreError,
): AsyncGenerator<string, void, void> {
  let rest = Buffer.alloc(0);
  for await (const block of answer.body) {
    let bytes = rest.length === 0 ? Buffer.from(block) : Buffer.concat([rest, block]);
    for (let end = bytes.indexOf(10); end >= 0; end = bytes.indexOf(10)) {
      yield bytes.toString('utf8', 0, end);
      bytes = bytes.subarray(end + 1);
    }
    if (bytes.length > lineBytesMax) throw tooLong();
    rest = bytes;
  }
  if (rest.length > 0) yield rest.toString();
}
