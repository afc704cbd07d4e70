import * as fs from 'node:fs';
import { homedir } from 'node:os';
import * as path from 'node:path';
import type { Clock } from '../base/clock.ts';
import { mapConcurrently } from '../base/concurrency.ts';
import { clearDeadTemps } from '../base/dead-temps.ts';
import { fromSystemError, MstoreError, systemCode } from '../base/errors.ts';
import { ensureFolder, syncFolder, tempName } from '../base/files.ts';
import { printable } from '../base/names.ts';
import { workspaceFolderName } from './workspace.ts';

/** Files flushed at once; the disk joins flushes that wait together. */
const flushesAtOnce = 8;

/** Folders that no version may replace. */
export interface ProtectedPlaces {
  /** Absolute places that the directory must not hold: a workspace, the current folder. */
  readonly held: readonly string[];
  /** Absolute folders that the directory must not lie in either. */
  readonly own: readonly string[];
}

/**
 * Refuses destinations that hold more than a version: the workspace, the store, Git's own folder, home
 * or the current folder, whatever `--force` says.
 * @throws MstoreError `usage`
 */
export function refuseProtected(directory: string, { held: places, own }: ProtectedPlaces): void {
  const held = [...places, homedir(), ...own].find((place) => isAtOrBelow(place, directory));
  const inside = own.find((place) => isAtOrBelow(directory, place));
  const nested = ['.git', workspaceFolderName].find((name) =>
    fs.existsSync(path.join(directory, name)),
  );
  if (held === undefined && inside === undefined && nested === undefined) return;
  throw new MstoreError('usage', `${printable(directory)} cannot be replaced by a version`, {
    hint: `It is, holds or belongs to ${printable(held ?? inside ?? path.join(directory, nested ?? ''))}; choose a directory of its own`,
    details: { path: directory },
  });
}

function isAtOrBelow(inner: string, outer: string): boolean {
  const relative = path.relative(realOrGiven(outer), realOrGiven(inner));
  return relative !== '..' && !relative.startsWith(`..${path.sep}`) && !path.isAbsolute(relative);
}

function realOrGiven(place: string): string {
  try {
    return fs.realpathSync(place);
  } catch {
    return place;
  }
}

/**
 * Refuses a destination that holds something already.
 * @throws MstoreError `destination-exists`
 */
export function checkDestination(directory: string, force: boolean): void {
  const stat = fs.lstatSync(directory, { throwIfNoEntry: false });
  if (stat === undefined) return;
  if (stat.isDirectory() && (force || fs.readdirSync(directory).length === 0)) return;
  const what = stat.isDirectory() ? 'exists and is not empty' : 'exists and is no directory';
  throw new MstoreError('destination-exists', `${printable(directory)} ${what}`, {
    hint: stat.isDirectory()
      ? 'Choose a new directory, or replace it whole with --force'
      : 'Choose a new directory',
    details: { path: directory },
  });
}

/**
 * Writes a directory whole or not at all: it is built beside, flushed, then renamed.
 * @param directory absolute path; must not exist, or be an empty directory, unless `force`
 * @param build fills an empty folder and says which of its files have to be flushed, by path in it
 * @throws MstoreError `destination-exists`, and whatever the building throws
 */
export async function writeWhole<T>(
  directory: string,
  { force, clock }: { readonly force: boolean; readonly clock: Clock },
  build: (temp: string) => Promise<{ readonly files: readonly string[]; readonly result: T }>,
): Promise<T> {
  const parent = path.dirname(directory);
  const prefix = `.${path.basename(directory).slice(0, 64)}.`;
  const made = missingFolders(parent);
  try {
    ensureFolder(parent);
    clearDeadTemps(parent, prefix, clock);
  } catch (error) {
    throw fromSystemError(error, `making ${printable(parent)}`);
  }
  // The old one gets such a name as well, so that whoever comes next removes what is left of it.
  const [temp, old] = [0, 1].map(() => path.join(parent, prefix + tempName())) as [string, string];
  let isWritten = false;
  try {
    fs.mkdirSync(temp);
    const { files, result } = await build(temp);
    await mapConcurrently(files, flushesAtOnce, (name) => flushFile(path.join(temp, name)));
    syncTree(temp);
    replace(temp, directory, force ? old : undefined);
    isWritten = true;
    return result;
  } catch (error) {
    throw fromSystemError(error, `writing ${printable(directory)}`);
  } finally {
    fs.rmSync(temp, { recursive: true, force: true });
    if (!isWritten) removeEmpty(made);
  }
}

/** Lists the folders that are missing on the way to one, the deepest first. */
function missingFolders(folder: string): string[] {
  const missing: string[] = [];
  for (let at = folder; !fs.existsSync(at) && at !== path.dirname(at); at = path.dirname(at)) {
    missing.push(at);
  }
  return missing;
}

/** Removes folders, as far as nothing is in them. */
function removeEmpty(folders: readonly string[]): void {
  try {
    for (const folder of folders) fs.rmdirSync(folder);
  } catch {
    // Somebody else has put something there.
  }
}

async function flushFile(file: string): Promise<void> {
  const handle = await fs.promises.open(file, 'r');
  try {
    await handle.datasync();
  } finally {
    await handle.close();
  }
}

function syncTree(folder: string): void {
  for (const dirent of fs.readdirSync(folder, { withFileTypes: true })) {
    if (dirent.isDirectory()) syncTree(path.join(folder, dirent.name));
  }
  syncFolder(folder);
}

/**
 * Gives the built directory its name; what was there is removed only after that.
 * @param old the name that what is there gets until then; without it only an empty directory may be there
 */
function replace(temp: string, directory: string, old: string | undefined): void {
  const exists = fs.lstatSync(directory, { throwIfNoEntry: false }) !== undefined;
  if (exists && old !== undefined) fs.renameSync(directory, old);
  try {
    // Another process may have written it in the meantime.
    if (exists && old === undefined) fs.rmdirSync(directory);
    fs.renameSync(temp, directory);
  } catch (error) {
    if (exists && old !== undefined) fs.renameSync(old, directory);
    const taken = ['ENOTEMPTY', 'EEXIST', 'ENOTDIR'].includes(systemCode(error) ?? '');
    if (taken) checkDestination(directory, false);
    throw error;
  }
  syncFolder(path.dirname(directory));
  if (exists && old !== undefined) fs.rmSync(old, { recursive: true, force: true });
}
