import * as path from 'node:path';
import { clearDeadTemps } from './dead-temps.ts';
import { ensureCacheFolder, readBounded, writeAtomically } from './files.ts';
import { isJsonObject, type JsonObject, parseJsonBytes } from './json.ts';

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

/**
 * Reads a document that {@link writeCacheFile} kept.
 * @param format that it must name as its `format`
 * @returns undefined where there is none, or one that cannot be used: it can be had again
 */
export function readCacheDocument(
  file: string,
  format: number,
  bytesMax: number,
): JsonObject | undefined {
  try {
    const bytes = readBounded(file, bytesMax);
    const document = bytes === undefined ? undefined : parseJsonBytes(bytes);
    return isJsonObject(document) && document['format'] === format ? document : undefined;
  } catch {
    return undefined;
  }
}
