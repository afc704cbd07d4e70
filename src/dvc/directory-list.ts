import { createHash } from 'node:crypto';
import { isJsonObject, parseJsonBytes } from '../base/json.ts';
import { limits } from '../base/limits.ts';
import { pathProblem, printable } from '../base/names.ts';
import { isMd5 } from './object-key.ts';
import { badDvcFile } from './problem.ts';

/** Bytes of the list of a directory: some two million files with paths of common length. */
export const listBytesMax = 256 * 1024 * 1024;

/** A file of a directory that DVC keeps. */
export interface ListedFile {
  /** `/`-separated, below the directory. */
  readonly path: string;
  readonly md5: string;
}

/**
 * Reads the list of a directory, and holds its bytes against its name. DVC lists no sizes, no empty directories and no
 * right to run.
 * @param md5 the name, without its suffix
 * @param where names the list in errors
 * @throws MstoreError `corrupt-source`
 */
export function parseDirectoryList(bytes: Uint8Array, md5: string, where: string): ListedFile[] {
  if (createHash('md5').update(bytes).digest('hex') !== md5) {
    throw badDvcFile(where, 'its bytes are not those of its name');
  }
  let value: unknown;
  try {
    value = parseJsonBytes(bytes);
  } catch (error) {
    throw badDvcFile(where, 'it is no JSON', error);
  }
  if (!Array.isArray(value)) throw badDvcFile(where, 'it is no list');
  if (value.length > limits.treeEntriesMax) {
    throw badDvcFile(where, `it names more than ${limits.treeEntriesMax} files`);
  }
  const seen = new Set<string>();
  return value.map((entry: unknown) => {
    const { relpath, md5: digest } = isJsonObject(entry) ? entry : {};
    if (typeof relpath !== 'string') throw badDvcFile(where, 'an entry of it has no relpath');
    const wrong = pathProblem(relpath);
    if (wrong !== undefined) {
      throw badDvcFile(where, `an entry of it, ${printable(relpath)}, has ${wrong}`);
    }
    if (!isMd5(digest)) throw badDvcFile(where, `it gives ${printable(relpath)} no MD5`);
    if (seen.has(relpath)) throw badDvcFile(where, `it names ${printable(relpath)} twice`);
    seen.add(relpath);
    return { path: relpath, md5: digest };
  });
}
