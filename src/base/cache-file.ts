import * as path from 'node:path';
import { clearDeadTemps } from './dead-temps.ts';
import { ensureCacheFolder, writeAtomically } from './files.ts';

/**
 * Keeps bytes that can be had again, each file whole or not at all and none flushed; clears what dead
 * processes left beside it.
 * @returns false where it cannot be written, as in a read-only workspace or on a full disk
 */
export function writeCacheFile(file: string, bytes: Uint8Array | string): boolean {
  const folder = path.dirname(file);
  try {
    ensureCacheFolder(folder);
    clearDeadTemps(folder, '.');
    return writeAtomically(file, bytes, { unsynced: true });
  } catch {
    return false;
  }
}
