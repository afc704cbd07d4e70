import { isMstoreError } from '../base/errors.ts';
import { checkKey } from './keys.ts';
import type { RemoteSource } from './remote.ts';
import type { S3Connection, S3Place } from './s3-client.ts';
import { notS3Answer } from './s3-errors.ts';
import { answerStatus } from './service-errors.ts';
import { cut, readSource } from './source.ts';
import {
  mayBeDone,
  type UnclearWrites,
  underNumber,
  type WriteNumber,
  writeName,
} from './unclear-writes.ts';

const mib = 1024 * 1024;
const partBytesDefault = 8 * mib;
/** Bounds of the service: parts of one upload, and the size of one part but the last. */
const partsMax = 10_000;
/** Parts of one object on their way at once; one more is being gathered meanwhile. */
const partsAtOnce = 2;

/** One write of one object, which all its requests share. */
export interface S3Write extends WriteNumber {
  readonly key: string;
  /** What to say of a failure. */
  readonly attempt: string;
  readonly signal: AbortSignal | undefined;
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
  signal: AbortSignal | undefined,
): Promise<'created' | 'exists'> {
  checkKey(key);
  return underNumber(unclear, source, key, s3.options.random, (number) => {
    const write: S3Write = { key, attempt: `write ${key} to`, signal, ...number };
    return source.size > (s3.options.partBytes ?? partBytesDefault)
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
  const body = Buffer.allocUnsafe(source.size);
  let filled = 0;
  for await (const block of readSource(write.key, source, write.signal)) {
    body.set(block, filled);
    filled += block.length;
  }
  return settled(s3, write, () =>
    onCondition(s3, (condition) => putAtOnce(s3, write, body, condition)),
  );
}

/** The precondition of a request that makes an object appear. */
export type S3Condition = { readonly IfNoneMatch?: '*' };

/** Sends a whole object in one request. */
export function putAtOnce(
  s3: S3Place,
  write: S3Write,
  body: Uint8Array,
  condition: S3Condition,
): Promise<{ readonly ETag?: string | undefined }> {
  return s3.call(write.attempt, write.signal, ({ sdk, client }, request) =>
    client.send(
      new sdk.PutObjectCommand({
        ...s3.object(write.key),
        ...storedAs(s3, write),
        Body: body,
        ContentLength: body.length,
        ...condition,
      }),
      request,
    ),
  );
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
async function makerOf(
  s3: S3Place,
  { key, attempt, signal }: S3Write,
): Promise<string | undefined> {
  try {
    const head = await s3.call(attempt, signal, ({ sdk, client }, request) =>
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
  const upload = await startUpload(s3, write);
  let outcome: 'created' | 'exists' | undefined;
  try {
    const parts = await sendParts(s3, write, source, upload);
    outcome = await settled(s3, write, () =>
      onCondition(s3, (condition) => completeUpload(s3, write, upload, parts, condition)),
    );
    return outcome;
  } finally {
    // Its own failure is nobody's concern: the error of the write counts.
    if (outcome !== 'created') await endUpload(s3, upload).catch(() => {});
  }
}

/** An upload in parts that was started. */
export interface S3Upload {
  readonly Bucket: string;
  readonly Key: string;
  readonly UploadId: string | undefined;
}

/** Starts an upload in parts. */
export async function startUpload(s3: S3Place, write: S3Write): Promise<S3Upload> {
  const started = await s3.call(write.attempt, write.signal, ({ sdk, client }, request) =>
    client.send(
      new sdk.CreateMultipartUploadCommand({ ...s3.object(write.key), ...storedAs(s3, write) }),
      request,
    ),
  );
  return { ...s3.object(write.key), UploadId: started.UploadId };
}

/** Makes the object of an upload appear. */
export function completeUpload(
  s3: S3Place,
  write: S3Write,
  upload: S3Upload,
  parts: SentPart[],
  condition: S3Condition,
): Promise<{ readonly ETag?: string | undefined }> {
  return s3.call(write.attempt, write.signal, ({ sdk, client }, request) =>
    client.send(
      new sdk.CompleteMultipartUploadCommand({
        ...upload,
        MultipartUpload: { Parts: parts },
        ...condition,
      }),
      request,
    ),
  );
}

/** A part that arrived. */
export interface SentPart {
  readonly PartNumber: number;
  readonly ETag: string;
}

/** Sends a source as parts of one size, a few at once; what is gathered and under way bounds the memory. */
async function sendParts(
  s3: S3Place,
  write: S3Write,
  source: RemoteSource,
  upload: S3Upload,
): Promise<SentPart[]> {
  const size = partSize(source.size, s3.options.partBytes ?? partBytesDefault);
  // One failed part ends the others, as nothing can become of the upload.
  const stop = new AbortController();
  const signal =
    write.signal === undefined ? stop.signal : AbortSignal.any([write.signal, stop.signal]);
  const parts: Promise<SentPart>[] = [];
  const underWay = new Set<Promise<unknown>>();
  let failure: { readonly error: unknown } | undefined;

  const send = (body: Buffer): void => {
    const part = sendPart(s3, { ...write, signal }, upload, parts.length + 1, body);
    parts.push(part);
    const ended = part
      .then(() => {})
      .catch((error: unknown) => {
        failure ??= { error };
        stop.abort();
      })
      .finally(() => underWay.delete(ended));
    underWay.add(ended);
  };

  try {
    for await (const body of cut(readSource(write.key, source, write.signal), source.size, size)) {
      while (underWay.size >= partsAtOnce) await Promise.race(underWay);
      if (failure !== undefined) throw failure.error;
      send(body);
    }
    return await Promise.all(parts);
  } catch (error) {
    // Stopping makes the other parts fail as well; what came first counts.
    const first = failure?.error ?? error;
    stop.abort();
    await Promise.all(underWay);
    throw first;
  }
}

/** The size of all parts but the last: some services want one size for all. */
function partSize(total: number, least: number): number {
  const needed = Math.ceil(total / partsMax);
  return needed <= least ? least : Math.ceil(needed / mib) * mib;
}

/** Sends one part, again by itself where that may help. */
export function sendPart(
  s3: S3Place,
  write: S3Write,
  upload: S3Upload,
  number: number,
  body: Buffer,
): Promise<SentPart> {
  const once = async () => {
    const { ETag } = await s3.call(write.attempt, write.signal, (connection, request) =>
      putPart(connection, upload, number, body, request),
    );
    if (ETag === undefined) throw notS3Answer(write.attempt, s3.location);
    return { PartNumber: number, ETag };
  };
  return s3.options.policy?.again(once, write.signal) ?? once();
}

function putPart(
  { sdk, client }: S3Connection,
  upload: S3Upload,
  number: number,
  body: Buffer,
  request: { abortSignal?: AbortSignal },
) {
  const part = { PartNumber: number, Body: body, ContentLength: body.length };
  return client.send(new sdk.UploadPartCommand({ ...upload, ...part }), request);
}

/** Ends an upload, so that nobody pays for its parts. */
export async function endUpload(s3: S3Place, upload: S3Upload): Promise<void> {
  // Without the signal of the write: it may be what ended it.
  await s3.call('end an upload to', undefined, ({ sdk, client }) =>
    client.send(new sdk.AbortMultipartUploadCommand(upload)),
  );
}
