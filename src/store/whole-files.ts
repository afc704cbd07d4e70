import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';
import type { Digest } from '../base/digest.ts';
import { fromSystemError } from '../base/errors.ts';
import {
  ensureFolder,
  publishReplacing,
  readFully,
  removeFile,
  syncFolder,
  writeFully,
} from '../base/files.ts';
import type { BlobReader } from './blob-reader.ts';
import type { Store } from './local-store.ts';
import { openRegular } from './source-file.ts';

/**
 * Returns the path of a read-only copy of a blob as one whole file in the store, for workspaces that
 * link to it; makes it when it is not there. An existing copy is hashed before it is handed out, and
 * made anew when it was altered. Copies can be removed at any time: they are never the only one.
 * @param executable whether the copy may be executed; links share the mode of what they link to
 */
export async function wholeFile(
  store: Store,
  reader: BlobReader,
  blob: Digest,
  executable: boolean,
  pause: () => Promise<void> | undefined,
): Promise<string> {
  const target = store.file(
    path.posix.join('files', blob.slice(0, 2), executable ? `${blob}.x` : blob),
  );
  if (await isWhole(target, blob, pause)) return target;
  store.prepareWriting();
  const temp = store.tempFile();
  try {
    const fd = fs.openSync(temp, 'wx', executable ? 0o555 : 0o444);
    try {
      for (const block of reader.read(blob)) {
        writeFully(fd, block);
        await pause();
      }
      fs.fsyncSync(fd);
    } finally {
      fs.closeSync(fd);
    }
    ensureFolder(path.dirname(target));
    publishReplacing(temp, target);
    syncFolder(path.dirname(target));
    return target;
  } catch (error) {
    throw fromSystemError(error, `writing ${target}`);
  } finally {
    removeFile(temp);
  }
}

async function isWhole(
  file: string,
  blob: Digest,
  pause: () => Promise<void> | undefined,
): Promise<boolean> {
  let fd: number;
  try {
    // No link: it would pass for the copy, and lead to bytes that somebody else can change.
    ({ fd } = openRegular(file));
  } catch {
    return false;
  }
  try {
    const hash = createHash('sha256');
    const block = Buffer.allocUnsafe(1024 * 1024);
    for (;;) {
      const count = readFully(fd, block);
      if (count === 0) return hash.digest('hex') === blob;
      hash.update(block.subarray(0, count));
      await pause();
    }
  } finally {
    fs.closeSync(fd);
  }
}
