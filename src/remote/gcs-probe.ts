import { isMstoreError } from '../base/errors.ts';
import type { GcsPlace } from './gcs-client.ts';
import { beginUpload, uploadInParts } from './gcs-create.ts';
import { notGcsAnswer } from './gcs-errors.ts';
import { gcsPolicy } from './gcs-policy.ts';
import { checkKey } from './keys.ts';
import { bytesSource, type RemoteCallOptions, type RemoteProbe, type Retention } from './remote.ts';

/** What a GCS remote can tell and try beyond the contract. */
export function gcsProbe(gcs: GcsPlace): RemoteProbe {
  const objects = `gs://${gcs.place.bucket}/${gcs.place.prefix}*`;
  const list = `storage.objects.list on the bucket ${gcs.place.bucket}`;
  const create = `storage.objects.create on ${objects}`;
  return {
    rights: {
      read: `storage.objects.get on ${objects}, and ${list}, without which what is absent is refused too`,
      list,
      write: create,
      parts: create,
      delete: `storage.objects.delete on ${objects}`,
    },
    endpoint: (options) => gcs.tell('set up', options, ({ endpoint }) => endpoint),
    identity: (options) =>
      gcs.tell('find credentials for', options, (connection) => connection.identity()),
    reach: (options) => reach(gcs, options),
    createInPartsIfAbsent: (key, bytes, options) => createInParts(gcs, key, bytes, options),
    policy: async (grant) => gcsPolicy(gcs.place, grant),
    mayCreate: (key, options) => mayCreate(gcs, key, options),
    retention: (options) => retention(gcs, options),
  };
}

/** An upload that is begun and ended at once leaves nothing. */
async function mayCreate(
  gcs: GcsPlace,
  key: string,
  options: RemoteCallOptions | undefined,
): Promise<void> {
  checkKey(key);
  const number = gcs.options.random.hex(16);
  const write = { key, attempt: `write ${key} to`, options, number, repeated: false };
  const once = () => beginUpload(gcs, write, 1);
  const upload = await (gcs.options.policy?.again(once, options?.signal) ?? once());
  await upload?.end();
}

async function retention(
  gcs: GcsPlace,
  options: RemoteCallOptions | undefined,
): Promise<Retention | undefined> {
  const path = gcs.objectsPath.replace(/\/o$/, '');
  const query = { fields: 'kind,versioning,retentionPolicy' };
  try {
    const { versioning, retentionPolicy } = await gcs.json<{
      readonly versioning?: { readonly enabled?: boolean };
      readonly retentionPolicy?: { readonly retentionPeriod?: string };
    }>('look at the bucket of', options, { method: 'GET', path, query });
    const seconds = Number(retentionPolicy?.retentionPeriod ?? 0);
    const versioned = versioning?.enabled === true;
    return seconds > 0
      ? { versioned, locked: `${Math.ceil(seconds / 86_400)} days` }
      : { versioned };
  } catch (error) {
    if (isMstoreError(error, 'remote-refused', 'not-found')) return undefined;
    throw error;
  }
}

async function reach(gcs: GcsPlace, options: RemoteCallOptions | undefined): Promise<void> {
  const query = { prefix: gcs.place.prefix, maxResults: '1', fields: 'kind' };
  const call = { method: 'GET', path: gcs.objectsPath, query } as const;
  try {
    const page = await gcs.json<{ readonly kind: string }>('reach', options, call);
    if (page.kind !== 'storage#objects') throw notGcsAnswer('reach', gcs.location);
  } catch (error) {
    // To be refused is an answer of the service; which right lacks is told by what needs it.
    if (!isMstoreError(error) || error.details['reason'] !== 'forbidden') throw error;
  }
}

/** Makes an upload in parts of few bytes, again where that may help. */
async function createInParts(
  gcs: GcsPlace,
  key: string,
  bytes: Uint8Array,
  options: RemoteCallOptions | undefined,
): Promise<'created' | 'exists'> {
  checkKey(key);
  const number = gcs.options.random.hex(16);
  const write = { key, attempt: `write ${key} to`, options, number, repeated: false };
  const once = () => uploadInParts(gcs, write, bytesSource(bytes));
  return gcs.options.policy?.again(once, options?.signal) ?? once();
}
