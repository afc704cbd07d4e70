import * as fs from 'node:fs';
import * as path from 'node:path';
import { MstoreError, systemCode } from '../base/errors.ts';
import { ensureCacheFolder, ensureFolder } from '../base/files.ts';
import { printable } from '../base/names.ts';
import { isKeyName, reservedName } from './keys.ts';
import type { RemoteObject } from './remote.ts';
import { fromRemoteSystemError } from './system-errors.ts';

/** Where a directory remote is. */
export interface Place {
  /** Absolute. */
  readonly root: string;
  /** The root, fit to be printed. */
  readonly location: string;
}

/**
 * Runs file operations on the remote, and only those: an error of a source must keep its own code.
 * @param attempt what is tried, in front of the remote's name: `write packs/ab/c.pack to`
 * @throws MstoreError with the remote's codes
 */
export async function onRemote<T>(
  place: Place,
  attempt: string,
  work: () => T | Promise<T>,
): Promise<Awaited<T>> {
  try {
    return await work();
  } catch (error) {
    const system = systemCode(error);
    if (system === 'ENOENT' || system === 'ENOTDIR') checkRoot(place);
    throw fromRemoteSystemError(error, attempt, place.location);
  }
}

function checkRoot(place: Place): void {
  let stat: fs.Stats;
  try {
    stat = fs.statSync(place.root);
  } catch (error) {
    const system = systemCode(error);
    if (system !== 'ENOENT' && system !== 'ENOTDIR') {
      throw fromRemoteSystemError(error, 'open', place.location);
    }
    throw new MstoreError(
      'remote-unreachable',
      `Cannot open the remote ${place.location}: no such folder`,
      {
        hint: 'Mount it if it is a mount, or correct the path; for a new remote make the empty folder first',
        cause: error,
        details: { system },
      },
    );
  }
  if (stat.isDirectory()) return;
  throw new MstoreError(
    'not-a-remote',
    `Cannot open the remote ${place.location}: it is not a folder`,
    { hint: 'Name the folder that holds the remote' },
  );
}

/** Looks at what has a name, without following a link; undefined when nothing has it. */
function lookAt(place: Place, file: string): fs.Stats | undefined {
  try {
    const stat = fs.lstatSync(file, { throwIfNoEntry: false });
    if (stat === undefined) checkRoot(place);
    return stat;
  } catch (error) {
    if (systemCode(error) === 'ENOTDIR') checkRoot(place);
    throw error;
  }
}

/** Makes a folder that is missing: to stay, or for files under construction alone. */
type Make = 'make' | 'make-temps';

/**
 * Walks from the root to the folder of `names`. One that is missing is made, or the answer is undefined.
 * @throws MstoreError `corrupt-remote` when a link or a file stands where a folder must be
 */
export function enterFolder(place: Place, names: readonly string[], missing: Make): string;
export function enterFolder(place: Place, names: readonly string[]): string | undefined;
export function enterFolder(
  place: Place,
  names: readonly string[],
  missing?: Make,
): string | undefined {
  if (names.length === 0) checkRoot(place);
  let folder = place.root;
  for (const name of names) {
    folder = path.join(folder, name);
    let stat = lookAt(place, folder);
    if (missing !== undefined && (stat === undefined || stat.isDirectory())) {
      // One that is there may be what a process left that ended before it came to flush it.
      if (missing === 'make') ensureFolder(folder);
      else ensureCacheFolder(folder);
      stat ??= lookAt(place, folder);
    }
    if (stat === undefined) return undefined;
    if (!stat.isDirectory()) throw wrongKind(place, folder, stat, 'folder');
  }
  return folder;
}

/**
 * Returns the regular file that stores `key`, or undefined when there is nothing.
 * @throws MstoreError `corrupt-remote` when something else stands there, or on the way
 */
export function findObject(place: Place, key: string): fs.Stats | undefined {
  const names = key.split('/').slice(0, -1);
  if (names.length > 0 && enterFolder(place, names) === undefined) return undefined;
  const file = path.join(place.root, key);
  const stat = lookAt(place, file);
  if (stat !== undefined && !stat.isFile()) throw wrongKind(place, file, stat, 'regular file');
  return stat;
}

function wrongKind(place: Place, file: string, stat: fs.Stats, expected: string): MstoreError {
  const link = stat.isSymbolicLink();
  return new MstoreError(
    'corrupt-remote',
    `Cannot use ${printable(file)} of the remote ${place.location}: ${
      link ? 'it is a symbolic link, which is not followed' : `it is not a ${expected}`
    }`,
    {
      hint: link
        ? 'Put what the link leads to in its place, or use a bind mount'
        : 'Move away what stands there, then run the same command again',
      details: { path: file },
    },
  );
}

/**
 * Lists the objects below a folder in the order of full keys, in which a folder sorts as its name with
 * a slash behind. Links and everything else that cannot be an object are left out.
 * @param prefix the keys' common beginning: empty for the root, else with its final `/`
 */
export function* objectsBelow(folder: string, prefix: string): Generator<RemoteObject, void, void> {
  let entries: fs.Dirent[];
  try {
    entries = fs.readdirSync(folder, { withFileTypes: true });
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return;
    throw error;
  }
  const names = entries
    .filter((entry) => isKeyName(entry.name) && (entry.isFile() || entry.isDirectory()))
    .map((entry) => (entry.isDirectory() ? `${entry.name}/` : entry.name))
    .filter((name) => prefix !== '' || name !== `${reservedName}/`)
    .sort();
  for (const name of names) {
    const full = path.join(folder, name);
    if (name.endsWith('/')) {
      yield* objectsBelow(full, prefix + name);
      continue;
    }
    const stat = fs.lstatSync(full, { throwIfNoEntry: false });
    if (stat?.isFile()) yield { key: prefix + name, size: stat.size, time: stat.mtimeMs };
  }
}
