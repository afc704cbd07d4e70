import { pipeline, Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { systemCode } from '../base/errors.ts';
import { limits } from '../base/limits.ts';
import { corruptPackage } from './corrupt.ts';

/** Bytes handed out at once. */
const partBytes = 256 * 1024;

/**
 * Unpacks gzip, block by block, and ends with an error where it is cut short, damaged, followed by other bytes, or
 * packed further than weights can be. It is asked for no more than what is read.
 * @param where the package, for errors
 * @throws MstoreError `corrupt-package`, and whatever the source throws
 */
export async function* gunzipped(
  source: AsyncIterable<Uint8Array>,
  where: string,
): AsyncGenerator<Uint8Array, void, undefined> {
  const fed = { bytes: 0, isAll: false };
  const gunzip = createGunzip({ chunkSize: partBytes });
  pipeline(Readable.from(counted(source, fed), { objectMode: false }), gunzip, () => {});
  let bytes = 0;
  try {
    for await (const part of gunzip as AsyncIterable<Buffer>) {
      bytes += part.length;
      if (bytes > limits.packageSpareBytes + limits.packageRatioMax * fed.bytes) {
        throw corruptPackage(where, `it is packed to less than 1/${limits.packageRatioMax}`);
      }
      yield part;
    }
  } catch (error) {
    if (!systemCode(error)?.startsWith('Z_')) throw error;
    const what =
      systemCode(error) === 'Z_BUF_ERROR' ? 'it is cut short' : 'it is no gzip, or damaged';
    throw corruptPackage(where, what, error);
  }
  if (!fed.isAll || gunzip.bytesWritten !== fed.bytes) {
    throw corruptPackage(where, 'other bytes follow behind its end');
  }
}

async function* counted(
  source: AsyncIterable<Uint8Array>,
  fed: { bytes: number; isAll: boolean },
): AsyncGenerator<Uint8Array, void, undefined> {
  for await (const block of source) {
    fed.bytes += block.length;
    yield block;
  }
  fed.isAll = true;
}
