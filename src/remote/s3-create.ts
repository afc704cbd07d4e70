import { invariant, isMstoreError } from '../base/errors.ts';
import { checkKey } from './keys.ts';
import type { RemoteCreateOptions, RemoteSource } from './remote.ts';
import { type BodyProtection, protectedBody } from './s3-body.ts';
import type { S3Place } from './s3-client.ts';
import { notS3Answer } from './s3-errors.ts';
import {
  againInUpload,
  type BegunUpload,
  limitedBody,
  type SentPart,
  sendParts,
} from './s3-parts.ts';
import { uploadToContinue } from './s3-resume.ts';
import { endUpload } from './s3-uploads.ts';
import { answerStatus } from './service-errors.ts';
import { sendWhole } from './source.ts';
import {
  mayBeDone,
  type UnclearWrites,
  underNumber,
  type WriteNumber,
  writeName,
} from './unclear-writes.ts';

/** One write of one object, which all its requests share. */
export interface S3Write extends WriteNumber {
  readonly key: string;
  /** What to say of a failure. */
  readonly attempt: string;
  readonly call: RemoteCreateOptions | undefined;
}

/**
 * Creates an object by a conditional write, in one request or in parts. Where no clear answer came, the
 * object is asked who made it; when it is not there either, the failure is thrown, and the next try with
 * the same source knows its own work again.
 */
export async function createS3Object(
  s3: S3Place,
  unclear: UnclearWrites,
  key: string,
  source: RemoteSource,
  call: RemoteCreateOptions | undefined,
): Promise<'created' | 'exists'> {
  checkKey(key);
  return underNumber(unclear, source, key, s3.options.random, (number) => {
    const write: S3Write = { key, attempt: `write ${key} to`, call, ...number };
    return source.size > s3.partBytes
      ? createInParts(s3, write, source)
      : createAtOnce(s3, write, source);
  });
}

async function createAtOnce(
  s3: S3Place,
  write: S3Write,
  source: RemoteSource,
): Promise<'created' | 'exists'> {
  if (s3.options.settings?.acceptRaces) {
    // The service may not look itself.
    const there = await outcomeThere(s3, write);
    if (there !== undefined) return there;
  }
  return sendWhole(s3.memory, write.key, source, write.call?.signal, (bytes) =>
    settled(s3, write, () =>
      onCondition(s3, (condition) => putAtOnce(s3, write, bytes, condition)),
    ),
  );
}

/** The precondition of a request that makes an object appear. */
export type S3Condition = { readonly IfNoneMatch?: '*' };

/** Sends a whole object in one request. */
export function putAtOnce(
  s3: S3Place,
  write: S3Write,
  bytes: Uint8Array,
  condition: S3Condition,
): Promise<{ readonly ETag?: string | undefined }> {
  return onProtection(s3, (protection) => {
    const body = protectedBody(protection, bytes);
    return s3.call(write.attempt, write.call, ({ sdk, client }, request, moved) =>
      client.send(
        body.on(
          new sdk.PutObjectCommand({
            ...s3.object(write.key),
            ...storedAs(s3, write),
            ...body.checksum,
            Body: limitedBody(s3, body.open(moved), write.call?.signal),
            ContentLength: bytes.length,
            ...condition,
          }),
        ),
        request,
      ),
    );
  });
}

/** Sends what comes with a checksum; where the service does not know these, with signed bodies from then on. */
async function onProtection<T>(
  s3: S3Place,
  send: (protection: BodyProtection) => Promise<T>,
): Promise<T> {
  try {
    return await send(s3.protection);
  } catch (error) {
    if (s3.protection === 'signed' || answerStatus(error) !== 501) throw error;
    s3.protection = 'signed';
    return send(s3.protection);
  }
}

/**
 * Sends a request with the precondition that its name is free; where the service refuses preconditions and
 * the risk was accepted, without.
 */
async function onCondition<T>(
  s3: S3Place,
  send: (condition: S3Condition) => Promise<T>,
): Promise<T> {
  try {
    if (!s3.conditionsRefused) return await send({ IfNoneMatch: '*' });
  } catch (error) {
    if (!s3.options.settings?.acceptRaces || answerStatus(error) !== 501) throw error;
    s3.conditionsRefused = true;
  }
  return send({});
}

/** Members of a request that decide how an object is kept. */
function storedAs(s3: S3Place, write: S3Write) {
  const { storageClass, encryption, encryptionKey } = s3.options.settings ?? {};
  return {
    Metadata: { [writeName]: write.number },
    ContentType: 'application/octet-stream',
    ...(storageClass === undefined ? {} : { StorageClass: storageClass as 'STANDARD' }),
    ...(encryption === undefined ? {} : { ServerSideEncryption: encryption as 'AES256' }),
    ...(encryptionKey === undefined ? {} : { SSEKMSKeyId: encryptionKey }),
  };
}

/** Looks whether the name is taken, and by whom; undefined when it is free. */
async function outcomeThere(
  s3: S3Place,
  write: S3Write,
): Promise<'created' | 'exists' | undefined> {
  const maker = await makerOf(s3, write);
  if (maker === undefined) return undefined;
  return write.repeated && maker === write.number ? 'created' : 'exists';
}

/** Does the request that makes the object appear, and finds out what came of it. */
export async function settled(
  s3: S3Place,
  write: S3Write,
  send: () => Promise<{ readonly ETag?: string | undefined }>,
): Promise<'created' | 'exists'> {
  try {
    const { ETag } = await send();
    if (ETag === undefined) throw notS3Answer(write.attempt, s3.location);
    return 'created';
  } catch (error) {
    const taken = answerStatus(error) === 412;
    if (taken && !write.repeated) return 'exists';
    if (!taken && !(isMstoreError(error, 'remote-unreachable') && mayBeDone(error))) throw error;
    const maker = await makerOf(s3, write).catch((failure: unknown) => {
      throw taken ? failure : error;
    });
    if (maker === write.number) return 'created';
    if (taken) return 'exists';
    throw error;
  }
}

/** Asks the object for the number of the write that made it; undefined when there is no object. */
async function makerOf(s3: S3Place, { key, attempt, call }: S3Write): Promise<string | undefined> {
  try {
    const head = await s3.call(attempt, call, ({ sdk, client }, request) =>
      client.send(new sdk.HeadObjectCommand(s3.object(key)), request),
    );
    if (head.ETag === undefined) throw notS3Answer(attempt, s3.location);
    return head.Metadata?.[writeName] ?? '';
  } catch (error) {
    if (answerStatus(error) === 404) return undefined;
    throw error;
  }
}

async function createInParts(
  s3: S3Place,
  write: S3Write,
  source: RemoteSource,
): Promise<'created' | 'exists'> {
  // Sending hundreds of megabytes to learn that they are there would be a waste.
  const there = await outcomeThere(s3, write);
  if (there !== undefined) return there;
  const contentKey = write.call?.contentKey ?? false;
  let begun: BegunUpload | undefined;
  let ends = true;
  try {
    const parts = await sendParts(s3, write, source, async () => {
      begun = contentKey ? await uploadToContinue(s3, write, source.size) : undefined;
      begun ??= { upload: await startUpload(s3, write), sent: () => undefined };
      return begun;
    });
    invariant(begun !== undefined, 'an upload whose parts were sent');
    const outcome = await finishUpload(s3, write, begun.upload, parts);
    ends = outcome === 'exists';
    return outcome;
  } catch (error) {
    ends = !(contentKey && mayGoOn(error));
    if (isMstoreError(error) && error.details['reason'] === 'parts-changed') {
      s3.sharesUploads = false;
    }
    throw error;
  } finally {
    // Without the signal of the write, which may be what ended it; its own failure is nobody's concern.
    if (ends && begun !== undefined) await endUpload(s3, begun.upload).catch(() => {});
  }
}

/** Tells whether a later try may go on with an upload of which this one did not make an object. */
function mayGoOn(error: unknown): boolean {
  if (isMstoreError(error, 'interrupted')) return true;
  // After a conflict the service wants an upload anew.
  return isMstoreError(error, 'remote-unreachable') && error.details['reason'] !== 'conflict';
}

/** Makes the object of an upload appear, tried again by itself: all its parts are there. */
async function finishUpload(
  s3: S3Place,
  write: S3Write,
  upload: S3Upload,
  parts: SentPart[],
): Promise<'created' | 'exists'> {
  let { repeated } = write;
  const lost = ['upload-gone', 'parts-changed', 'conflict'];
  return againInUpload(s3, write.call?.signal, lost, () => {
    const one = { ...write, repeated };
    repeated = true;
    return settled(s3, one, () =>
      onCondition(s3, (condition) => completeUpload(s3, one, upload, parts, condition)),
    );
  });
}

/** An upload in parts that was started. */
export interface S3Upload {
  /** Members of the requests that belong to it. */
  readonly named: {
    readonly Bucket: string;
    readonly Key: string;
    readonly UploadId: string | undefined;
  };
  /** All its parts are protected in one way. */
  readonly protection: BodyProtection;
}

/** Starts an upload in parts. */
export async function startUpload(s3: S3Place, write: S3Write): Promise<S3Upload> {
  return onProtection(s3, async (protection) => {
    const { UploadId } = await s3.call(write.attempt, write.call, ({ sdk, client }, request) =>
      client.send(
        new sdk.CreateMultipartUploadCommand({
          ...s3.object(write.key),
          ...storedAs(s3, write),
          ...(protection === 'checksum' ? { ChecksumAlgorithm: 'CRC32' } : {}),
        }),
        request,
      ),
    );
    return { named: { ...s3.object(write.key), UploadId }, protection };
  });
}

/** Makes the object of an upload appear. */
export function completeUpload(
  s3: S3Place,
  write: S3Write,
  upload: S3Upload,
  parts: SentPart[],
  condition: S3Condition,
): Promise<{ readonly ETag?: string | undefined }> {
  return s3.call(write.attempt, write.call, ({ sdk, client }, request) =>
    client.send(
      new sdk.CompleteMultipartUploadCommand({
        ...upload.named,
        MultipartUpload: { Parts: parts },
        ...condition,
      }),
      request,
    ),
  );
}
