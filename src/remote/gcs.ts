import { throwIfAborted } from '../base/abort.ts';
import { isMstoreError, MstoreError } from '../base/errors.ts';
import { compareUtf8, isJsonObject } from '../base/json.ts';
import { type GcsOptions, GcsPlace } from './gcs-client.ts';
import { createGcsObject } from './gcs-create.ts';
import { notGcsAnswer } from './gcs-errors.ts';
import { gcsProbe } from './gcs-probe.ts';
import { readObject, statObject } from './gcs-read.ts';
import { drain } from './http-answers.ts';
import { checkKey, checkPrefix } from './keys.ts';
import type { RemoteCallOptions, RemoteObject, RemotePruner } from './remote.ts';
import { type BucketPlace, checkKeyIn, isKeyIn, pagesWithoutMax, toldBytes } from './service.ts';
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
    probe: gcsProbe(gcs),
    get: (key, range, options) => readObject(gcs, key, range, options),
    async stat(key, options) {
      checkKeyIn(gcs.place, key);
      return statObject(gcs, key, options);
    },
    list: (prefix, options) => listObjects(gcs, prefix, options),
    create: (key, source, options) => createGcsObject(gcs, unclear, key, source, options),
    async delete(key, options) {
      checkKey(key);
      try {
        const call = { method: 'DELETE', path: gcs.objectPath(key), key } as const;
        await gcs.call(`delete ${key} from`, options, call, drain);
      } catch (error) {
        if (!isMstoreError(error, 'not-found')) throw error;
      }
    },
  };
}

interface ObjectPage {
  readonly kind: string;
  readonly nextPageToken: unknown;
  readonly items: unknown;
}

async function* listObjects(
  gcs: GcsPlace,
  prefix: string,
  options: RemoteCallOptions | undefined,
): AsyncGenerator<RemoteObject, void, void> {
  checkPrefix(prefix);
  const attempt = `list ${prefix || 'the objects'} of`;
  const root = gcs.place.prefix;
  const query = {
    prefix: root + prefix,
    maxResults: '1000',
    fields: 'kind,nextPageToken,items(name,size,timeCreated)',
  };
  let pageToken: string | undefined;
  let last = '';
  let pagesWithout = 0;
  do {
    const before = last;
    const page = await gcs.json<ObjectPage>(attempt, options, {
      method: 'GET',
      path: gcs.objectsPath,
      query: { ...query, pageToken },
    });
    const objects = page.kind === 'storage#objects' ? objectsOf(page.items ?? []) : undefined;
    if (objects === undefined) throw notGcsAnswer(attempt, gcs.location);
    for (const { name, size, time } of objects) {
      const key = name.slice(root.length);
      // Other tools leave things in buckets, such as empty objects that stand for folders.
      if (!name.startsWith(root + prefix) || !isKeyIn(gcs.place, key)) continue;
      if (compareUtf8(key, last) <= 0)
        throw unusableList(gcs, attempt, 'it lists objects in another order');
      last = key;
      yield { key, size, time };
      throwIfAborted(options?.signal);
    }
    const next = page.nextPageToken || undefined;
    if (next !== undefined && typeof next !== 'string') throw notGcsAnswer(attempt, gcs.location);
    pagesWithout = last === before ? pagesWithout + 1 : 0;
    if (next !== undefined && (next === pageToken || pagesWithout > pagesWithoutMax)) {
      throw unusableList(gcs, attempt, 'its list has no end');
    }
    pageToken = next;
  } while (pageToken !== undefined);
}

/** An object of a list: its full name, and what {@link RemoteObject} tells. */
type Listed = Omit<RemoteObject, 'key'> & { readonly name: string };

/** Reads the objects of a page; undefined when one of them is none. */
function objectsOf(items: unknown): Listed[] | undefined {
  if (!Array.isArray(items)) return undefined;
  const objects = items.map((item: unknown): Listed | undefined => {
    if (!isJsonObject(item)) return undefined;
    const { name, timeCreated } = item;
    const size = toldBytes(item['size']);
    if (typeof name !== 'string' || size === undefined) return undefined;
    const time = typeof timeCreated === 'string' ? Date.parse(timeCreated) : Number.NaN;
    return { name, size, time: Number.isNaN(time) ? undefined : time };
  });
  return objects.every((object) => object !== undefined) ? objects : undefined;
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
