import { createHash } from 'node:crypto';
import type { Part } from '@aws-sdk/client-s3';
import { isMstoreError } from '../base/errors.ts';
import { protectedBody } from './s3-body.ts';
import type { S3Place } from './s3-client.ts';
import type { S3Upload, S3Write } from './s3-create.ts';
import { type BegunUpload, partSize, type SentPart } from './s3-parts.ts';
import { type ListedUpload, partsOf, uploadPages } from './s3-uploads.ts';

/** Unfinished uploads of one key that are looked into. */
const candidatesMax = 3;

/**
 * Finds an upload of the same key, by a process that died or one that lives, of which parts have arrived that
 * need not be sent again.
 *
 * It may be under way: a process that shares it sends the same bytes, and each names the parts that it
 * knows when it completes the upload, so that the object has these bytes whoever is first. The other finds
 * the upload gone and looks again. Where a part that is sent twice gets another name each time, it may find
 * parts changed, and shares no more.
 * @param total bytes of the object
 * @returns undefined where there is none, or nobody may know
 */
export async function uploadToContinue(
  s3: S3Place,
  write: S3Write,
  total: number,
): Promise<BegunUpload | undefined> {
  // How an upload will be encrypted was settled when it was begun, and cannot be seen.
  if (!s3.sharesUploads || s3.options.settings?.encryption !== undefined) return undefined;
  const wanted = s3.options.settings?.storageClass ?? 'STANDARD';
  const begun: { readonly upload: BegunUpload; readonly parts: number }[] = [];
  try {
    for (const candidate of await candidatesFor(s3, write)) {
      const { parts, checksum, storageClass } = await partsOf(s3, candidate, write.call);
      // Some services leave it empty.
      if ((storageClass || wanted) !== wanted) continue;
      const upload: S3Upload = {
        named: { ...s3.object(write.key), UploadId: candidate.id },
        protection: checksum === 'CRC32' ? 'checksum' : 'signed',
      };
      const fitting = parts.filter((part) => fits(part, total, partSize(total, s3.partBytes)));
      if (fitting.length === 0) continue;
      const arrived = new Map(fitting.map((part) => [part.PartNumber, part]));
      const sent = (number: number, bytes: Uint8Array) =>
        sentAs(arrived.get(number), upload, bytes);
      begun.push({ upload: { upload, sent }, parts: fitting.length });
    }
  } catch (error) {
    // One that is gone meanwhile was completed or ended: whoever tries again sees which.
    if (!isMstoreError(error, 'remote-refused')) throw error;
    // Whoever may write need not be allowed to list; the next object would fare no better.
    s3.sharesUploads = false;
    return undefined;
  }
  return begun.sort((a, b) => b.parts - a.parts)[0]?.upload;
}

/** Tells whether a part has the size that parts of this object are cut to. */
function fits({ PartNumber = 0, Size }: Part, total: number, size: number): boolean {
  const start = (PartNumber - 1) * size;
  return start >= 0 && start < total && Size === Math.min(size, total - start);
}

async function candidatesFor(
  s3: S3Place,
  { key, call }: S3Write,
): Promise<{ readonly key: string; readonly id: string }[]> {
  const full = s3.place.prefix + key;
  const begunAt = ({ Initiated }: ListedUpload) => Initiated?.getTime() ?? 0;
  const { value: page = [] } = await uploadPages(s3, full, call).next();
  return page
    .filter(({ Key }) => Key === full)
    .sort((a, b) => begunAt(b) - begunAt(a))
    .slice(0, candidatesMax)
    .map(({ UploadId }) => ({ key, id: UploadId }));
}

/** The part that has arrived, where it has these bytes. */
function sentAs(
  part: Part | undefined,
  { protection }: S3Upload,
  bytes: Uint8Array,
): SentPart | undefined {
  if (part?.ETag === undefined || part.PartNumber === undefined) return undefined;
  const { PartNumber, ETag } = part;
  if (protection === 'signed') {
    const digest = createHash('md5').update(bytes).digest('hex');
    return ETag.replaceAll('"', '') === digest ? { PartNumber, ETag } : undefined;
  }
  const { ChecksumCRC32 } = protectedBody('checksum', bytes).checksum;
  return part.ChecksumCRC32 === ChecksumCRC32 ? { PartNumber, ETag, ChecksumCRC32 } : undefined;
}
