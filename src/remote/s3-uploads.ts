import type {
  ListMultipartUploadsCommandOutput,
  ListPartsCommandOutput,
  MultipartUpload,
  Part,
} from '@aws-sdk/client-s3';
import { mapInOrder } from '../base/concurrency.ts';
import { isMstoreError, MstoreError } from '../base/errors.ts';
import { isKeyName, reservedName } from './keys.ts';
import type { RemoteCallOptions, RemoteUpload, RemoteUploads } from './remote.ts';
import type { S3Place } from './s3-client.ts';
import type { S3Upload } from './s3-create.ts';
import { notS3Answer } from './s3-errors.ts';
import { againInUpload, partsMax } from './s3-parts.ts';

/** Uploads whose parts are asked for at once. */
const askedAtOnce = 8;

/** What an S3 remote knows of uploads in parts that were begun and not ended. */
export function s3Uploads(s3: S3Place): RemoteUploads {
  return {
    list: (call) => listUploads(s3, call),
    async end({ key, id }, call) {
      const end = async () => {
        await endUpload(s3, { named: { ...s3.object(key), UploadId: id } }, call);
        return 'ended';
      };
      try {
        await againInUpload(s3, call?.signal, [gone], end);
      } catch (error) {
        if (!isGone(error)) throw error;
      }
    },
  };
}

const gone = 'upload-gone';

/** Tells whether a call failed because the upload was completed or ended meanwhile. */
function isGone(error: unknown): boolean {
  return isMstoreError(error) && error.details['reason'] === gone;
}

async function* listUploads(
  s3: S3Place,
  call: RemoteCallOptions | undefined,
): AsyncGenerator<RemoteUpload, void, void> {
  const bounds = { atOnce: askedAtOnce, bytesOf: () => 0, bytesMax: 0 };
  for await (const page of uploadPages(s3, s3.place.prefix, call)) {
    for await (const upload of mapInOrder(page, bounds, (one) => measured(s3, one, call))) {
      if (upload !== undefined) yield upload;
    }
  }
}

/** An upload as a list of the service names it. */
export type ListedUpload = MultipartUpload & { readonly Key: string; readonly UploadId: string };

/** Lists the uploads of all keys that start with `prefix`, page by page, those alone that may be ours. */
export async function* uploadPages(
  s3: S3Place,
  prefix: string,
  call: RemoteCallOptions | undefined,
): AsyncGenerator<ListedUpload[], void, void> {
  const attempt = 'list the unfinished uploads of';
  let from: { readonly KeyMarker?: string; readonly UploadIdMarker?: string } = {};
  for (;;) {
    const page: ListMultipartUploadsCommandOutput = await againInUpload(s3, call?.signal, [], () =>
      s3.call(attempt, call, ({ sdk, client }, request) =>
        client.send(
          new sdk.ListMultipartUploadsCommand({
            Bucket: s3.place.bucket,
            Prefix: prefix,
            ...s3.payer,
            ...from,
          }),
          request,
        ),
      ),
    );
    if (page.IsTruncated === undefined) throw notS3Answer(attempt, s3.location);
    yield (page.Uploads ?? []).filter((upload): upload is ListedUpload => {
      const { Key = '', UploadId = '' } = upload;
      const names = Key.slice(s3.place.prefix.length).split('/');
      if (UploadId === '' || !Key.startsWith(prefix)) return false;
      return names.every(isKeyName) && names[0] !== reservedName;
    });
    if (!page.IsTruncated) return;
    const { NextKeyMarker: KeyMarker = '', NextUploadIdMarker: UploadIdMarker = '' } = page;
    const stays = KeyMarker === from.KeyMarker && UploadIdMarker === from.UploadIdMarker;
    if (KeyMarker === '' || stays) throw endless(s3, attempt);
    from = { KeyMarker, UploadIdMarker };
  }
}

function endless(s3: S3Place, attempt: string): MstoreError {
  return new MstoreError(
    'remote-refused',
    `Cannot ${attempt} the remote ${s3.location}: its list has no end`,
    {
      hint: 'Check remote.NAME.endpoint; the service does not list uploads as S3 does',
      details: { reason: 'unusable-list' },
    },
  );
}

/** Says what is known of an upload; undefined when it is gone meanwhile. */
async function measured(
  s3: S3Place,
  { Key, UploadId, Initiated }: ListedUpload,
  call: RemoteCallOptions | undefined,
): Promise<RemoteUpload | undefined> {
  const upload = {
    key: Key.slice(s3.place.prefix.length),
    id: UploadId,
    begun: Initiated?.getTime(),
  };
  try {
    const { parts } = await partsOf(s3, upload, call);
    return { ...upload, bytes: parts.reduce((sum, { Size = 0 }) => sum + Size, 0) };
  } catch (error) {
    if (isGone(error)) return undefined;
    // Whoever may list uploads need not be allowed to look into them.
    if (isMstoreError(error, 'remote-refused')) return { ...upload, bytes: undefined };
    throw error;
  }
}

/** What has arrived of an upload. */
export interface ArrivedParts {
  readonly parts: readonly Part[];
  /** The checksum that its parts must have; undefined for none. */
  readonly checksum: string | undefined;
  /** How the object would be stored; undefined where the service does not tell. */
  readonly storageClass: string | undefined;
}

/**
 * Asks for the parts of an upload that have arrived.
 * @throws MstoreError `remote-unreachable` with the reason `upload-gone`
 */
export async function partsOf(
  s3: S3Place,
  { key, id }: Pick<RemoteUpload, 'key' | 'id'>,
  call: RemoteCallOptions | undefined,
): Promise<ArrivedParts> {
  const attempt = `read the parts of ${key} from`;
  const parts: Part[] = [];
  let last = 0;
  for (;;) {
    const after = last === 0 ? {} : { PartNumberMarker: String(last) };
    const page: ListPartsCommandOutput = await againInUpload(s3, call?.signal, [gone], () =>
      s3.call(attempt, call, ({ sdk, client }, request) =>
        client.send(
          new sdk.ListPartsCommand({ ...s3.object(key), UploadId: id, ...after }),
          request,
        ),
      ),
    );
    if (page.IsTruncated === undefined) throw notS3Answer(attempt, s3.location);
    parts.push(...(page.Parts ?? []));
    const next = Number(page.NextPartNumberMarker);
    if (!page.IsTruncated) {
      const { ChecksumAlgorithm: checksum, StorageClass: storageClass } = page;
      return { parts, checksum, storageClass };
    }
    if (!(next > last) || parts.length > partsMax) throw endless(s3, attempt);
    last = next;
  }
}

/** Ends an upload, so that nobody pays for its parts. Where it ends a write, the signal of that is left out. */
export async function endUpload(
  s3: S3Place,
  { named }: Pick<S3Upload, 'named'>,
  call?: RemoteCallOptions,
): Promise<void> {
  await s3.call('end an upload to', call, ({ sdk, client }, request) =>
    client.send(new sdk.AbortMultipartUploadCommand(named), request),
  );
}
