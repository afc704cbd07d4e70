import * as fs from 'node:fs';
import * as path from 'node:path';
import type { Digest } from '../../src/base/digest.ts';
import { BlobReader } from '../../src/store/blob-reader.ts';
import { BlobWriter, type BlobWriterStats } from '../../src/store/blob-writer.ts';
import { Store } from '../../src/store/local-store.ts';

/** Stores files of the given bytes in a store that is opened afresh, as a command does. */
export async function storeBlobs(
  folder: string,
  contents: readonly Buffer[],
): Promise<{ digests: Digest[]; stats: BlobWriterStats }> {
  const writer = new BlobWriter(new Store(path.join(folder, 'store')));
  const digests: Digest[] = [];
  for (const bytes of contents) {
    const file = path.join(folder, 'source');
    fs.writeFileSync(file, bytes);
    digests.push((await writer.addFile(file)).sha256);
  }
  return { digests, stats: await writer.finish() };
}

/** Reads a blob from a store that is opened afresh. */
export function readBlob(folder: string, blob: Digest): Buffer {
  const reader = new BlobReader(new Store(path.join(folder, 'store')));
  try {
    return reader.readWhole(blob, 2 ** 30);
  } finally {
    reader.close();
  }
}
