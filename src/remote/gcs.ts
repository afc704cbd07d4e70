import { throwIfAborted } from '../base/abort.ts';
import { isMstoreError, MstoreError } from '../base/errors.ts';
import { drain, type GcsOptions, GcsPlace, type ObjectResource } from './gcs-client.ts';
import { createGcsObject } from './gcs-create.ts';
import { notGcsAnswer } from './gcs-errors.ts';
import { gcsProbe } from './gcs-probe.ts';
import { readObject, statObject } from './gcs-read.ts';
import { checkKey, checkPrefix, isKeyName, reservedName } from './keys.ts';
import type { RemoteCallOptions, RemoteObject, RemotePruner } from './remote.ts';
import type { BucketPlace } from './service.ts';
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
      checkKey(key);
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
  readonly nextPageToken: string;
  readonly items: ReadonlyArray<Partial<ObjectResource>>;
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
  do {
    const page = await gcs.json<ObjectPage>(attempt, options, {
      method: 'GET',
      path: gcs.objectsPath,
      query: { ...query, pageToken },
    });
    if (page.kind !== 'storage#objects') throw notGcsAnswer(attempt, gcs.location);
    for (const { name = '', size = '0', timeCreated } of page.items ?? []) {
      const key = name.slice(root.length);
      // Other tools leave things in buckets, such as empty objects that stand for folders.
      const names = key.split('/');
      if (!name.startsWith(root + prefix) || !names.every(isKeyName) || names[0] === reservedName)
        continue;
      if (key <= last) throw unusableList(gcs, attempt, 'it lists objects in another order');
      last = key;
      const time = Date.parse(timeCreated ?? '');
      yield { key, size: Number(size), time: Number.isNaN(time) ? undefined : time };
      throwIfAborted(options?.signal);
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
