import { Readable } from 'node:stream';
import { throwIfAborted } from '../base/abort.ts';
import { MstoreError } from '../base/errors.ts';
import type { RemoteSource } from './remote.ts';
import { protectedBody } from './s3-body.ts';
import type { S3Place } from './s3-client.ts';
import type { S3Upload, S3Write } from './s3-create.ts';
import { notS3Answer } from './s3-errors.ts';
import { cut, readSource } from './source.ts';

const mib = 1024 * 1024;
/** Most parts of one upload, a bound of the service. */
export const partsMax = 10_000;

/** A part that arrived, as the request that ends the upload names it. */
export interface SentPart {
  readonly PartNumber: number;
  readonly ETag: string;
  readonly ChecksumCRC32?: string | undefined;
}

/** An upload that was begun, now or by an earlier process. */
export interface BegunUpload {
  readonly upload: S3Upload;
  /** The part of that number that has arrived before, if it has these bytes. */
  sent(number: number, bytes: Uint8Array): SentPart | undefined;
}

/**
 * Sends a source as parts of one size, those that have not arrived before. How many are gathered and under
 * way at once is up to the memory for bodies and the gate.
 * @param begin begins the upload, once the first part is there
 */
export async function sendParts(
  s3: S3Place,
  write: S3Write,
  source: RemoteSource,
  begin: () => Promise<BegunUpload>,
): Promise<SentPart[]> {
  const size = partSize(source.size, s3.partBytes);
  // One failed part ends the others, as nothing can become of the upload.
  const stop = new AbortController();
  const outer = write.call?.signal;
  const signal = outer === undefined ? stop.signal : AbortSignal.any([outer, stop.signal]);
  const call = { ...write.call, signal };
  const parts: Promise<SentPart>[] = [];
  let begun: Promise<BegunUpload> | undefined;
  let failure: { readonly error: unknown } | undefined;
  try {
    const blocks = readSource(write.key, source, signal);
    const { memory } = s3;
    for await (const body of cut(blocks, { total: source.size, size, memory, signal })) {
      const number = parts.length + 1;
      begun ??= begin();
      const part = begun.then(
        ({ upload, sent }) =>
          sent(number, body) ?? sendPart(s3, { ...write, call }, upload, number, body),
      );
      parts.push(part);
      part.then(
        () => memory.give(body, true),
        (error: unknown) => {
          failure ??= { error };
          stop.abort();
          memory.give(body, false);
        },
      );
    }
    return await Promise.all(parts);
  } catch (error) {
    // Stopping makes the other parts fail as well; what came first counts.
    const first = failure?.error ?? error;
    stop.abort();
    await Promise.allSettled(parts);
    throwIfAborted(outer);
    throw first;
  }
}

/** The size of all parts but the last: some services want one size for all. */
export function partSize(total: number, least: number): number {
  const needed = Math.ceil(total / partsMax);
  return needed <= least ? least : Math.ceil(needed / mib) * mib;
}

/**
 * Tries a step of an upload again by itself.
 * @param lost reasons of failures that only an upload which begins anew may mend
 */
export async function againInUpload<T extends object | string>(
  s3: S3Place,
  signal: AbortSignal | undefined,
  lost: readonly string[],
  step: () => Promise<T>,
): Promise<T> {
  const { policy } = s3.options;
  if (policy === undefined) return step();
  const isLost = (error: unknown): boolean =>
    error instanceof MstoreError && lost.includes(String(error.details['reason']));
  let failure: unknown;
  const outcome = await policy.again(async () => {
    try {
      return await step();
    } catch (error) {
      if (!isLost(error)) throw error;
      failure = error;
      return undefined;
    }
  }, signal);
  if (outcome === undefined) throw failure;
  return outcome;
}

/** Sends one part, again by itself where that may help. */
export function sendPart(
  s3: S3Place,
  write: S3Write,
  upload: S3Upload,
  number: number,
  bytes: Uint8Array,
): Promise<SentPart> {
  const body = protectedBody(upload.protection, bytes);
  const once = async (): Promise<SentPart> => {
    const { ETag } = await s3.call(write.attempt, write.call, ({ sdk, client }, request, moved) =>
      client.send(
        body.on(
          new sdk.UploadPartCommand({
            ...upload.named,
            ...body.checksum,
            PartNumber: number,
            Body: limitedBody(s3, body.open(moved), write.call?.signal),
            ContentLength: bytes.length,
          }),
        ),
        request,
      ),
    );
    if (ETag === undefined) throw notS3Answer(write.attempt, s3.location);
    return { PartNumber: number, ETag, ...body.checksum };
  };
  return againInUpload(s3, write.call?.signal, ['upload-gone'], once);
}

/** Has a body leave no faster than the remote may. */
export function limitedBody(
  s3: S3Place,
  body: Readable | Uint8Array,
  signal: AbortSignal | undefined,
): Readable | Uint8Array {
  const { limit } = s3.options;
  if (limit === undefined || body instanceof Uint8Array) return body;
  const limited = Readable.from(limit.pace(body, signal));
  // It fails by the signal alone, which ends the request as well.
  return limited.on('error', () => {});
}
