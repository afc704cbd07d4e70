import * as fs from 'node:fs';
import { homedir } from 'node:os';
import * as path from 'node:path';
import { mapConcurrently } from '../base/concurrency.ts';
import { fromSystemError, MstoreError, systemCode } from '../base/errors.ts';
import { clearDeadTemps, ensureFolder, syncFolder, tempName } from '../base/files.ts';
import { checkWritableOn, printable } from '../base/names.ts';
import { type Progress, silentProgress } from '../base/progress.ts';
import { isFileEntry, isLinkEntry, type TreeEntry } from '../base/tree.ts';
import { Placer } from '../worktree/place.ts';
import { type CheckoutOptions, checkPresent, linkKindsOf } from './checkout.ts';
import { Materializer } from './materialize.ts';
import { type Tracked, trackedFiles } from './tracked.ts';
import { type Workspace, workspaceFolderName } from './workspace.ts';

/** Files flushed at once; the disk joins flushes that wait together. */
const flushesAtOnce = 8;

/** Options of {@link checkoutTo}. */
export interface CheckoutToOptions extends CheckoutOptions {
  /** Absolute folders that are never replaced, besides those mstore itself needs. */
  readonly keep?: readonly string[];
}

/** What {@link checkoutTo} did. */
export interface CheckoutToResult {
  /** Absolute path of the directory. */
  readonly directory: string;
  readonly files: number;
  readonly bytes: number;
}

/**
 * Writes a version into a directory of its own, whole or not at all: it is built beside, flushed, then
 * renamed. The workspace is left alone. One tracked path gives its content; several keep their paths.
 * @param directory absolute path; must not exist, or be an empty directory, unless `force`
 * @throws MstoreError `destination-exists`, `objects-missing`
 */
export async function checkoutTo(
  workspace: Workspace,
  targets: readonly Tracked[],
  directory: string,
  options: CheckoutToOptions = {},
): Promise<CheckoutToResult> {
  refuseProtected(workspace, targets, directory, options.keep ?? []);
  checkDestination(directory, options.force ?? false);
  checkPresent(workspace.store, targets);
  const entries = layOut(workspace, targets);
  for (const { path: full } of entries) checkWritableOn(full, workspace.surroundings.platform);
  const parent = path.dirname(directory);
  const prefix = `.${path.basename(directory).slice(0, 64)}.`;
  try {
    ensureFolder(parent);
    clearDeadTemps(parent, prefix, workspace.surroundings.clock);
  } catch (error) {
    throw fromSystemError(error, `making ${printable(parent)}`);
  }
  const temp = path.join(parent, prefix + tempName());
  try {
    const result = await build(workspace, entries, temp, options);
    replace(temp, directory, options.force ?? false);
    return { directory, ...result };
  } catch (error) {
    throw fromSystemError(error, `writing ${printable(directory)}`);
  } finally {
    fs.rmSync(temp, { recursive: true, force: true });
  }
}

/**
 * Refuses destinations that hold more than a version: the workspace, the store, Git's own folder, home
 * or the current folder, whatever `--force` says.
 */
function refuseProtected(
  workspace: Workspace,
  targets: readonly Tracked[],
  directory: string,
  keep: readonly string[],
): void {
  const { root, folder, store, git } = workspace;
  const own = [folder, store.folder, ...(git === undefined ? [] : [git.commonDir])];
  const tracked = targets.map(({ path: name }) => workspace.absolute(name));
  const places = [root, homedir(), ...keep, ...own, ...tracked];
  const held = places.find((place) => isAtOrBelow(place, directory));
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

/** Lists what the directory will hold, by path in it. */
function layOut(workspace: Workspace, targets: readonly Tracked[]): TreeEntry[] {
  const sole = targets.length === 1;
  return targets.flatMap((target) => {
    const { base, entries } = trackedFiles(workspace.store, target);
    const prefix = sole || base === '' ? '' : `${base}/`;
    const moved = entries.map((entry): TreeEntry => ({ ...entry, path: prefix + entry.path }));
    const isEmpty = moved.length === 0 && !sole;
    return isEmpty ? [{ path: base, directory: true } as const] : moved;
  });
}

async function build(
  workspace: Workspace,
  entries: readonly TreeEntry[],
  temp: string,
  options: CheckoutOptions,
): Promise<{ files: number; bytes: number }> {
  const progress: Progress = options.progress ?? silentProgress;
  const files = entries.filter(isFileEntry);
  const bytes = files.reduce((sum, { size }) => sum + size, 0);
  progress.start('checkout', { bytesTotal: bytes, filesTotal: files.length });
  fs.mkdirSync(temp);
  // A name that no scan takes for an entry, so that no version can hold one like it.
  const building = path.join(temp, `.${tempName()}`);
  const placer = new Placer(temp, building, { clock: workspace.surroundings.clock });
  const link = linkKindsOf(workspace, options.link);
  const maker = new Materializer(workspace.store, placer, {
    link,
    progress,
    jobs: options.jobs,
    signal: options.signal,
  });
  try {
    for (const entry of entries) {
      if (isFileEntry(entry)) {
        await maker.file(entry.path, entry, 'unseen');
      } else if (isLinkEntry(entry)) placer.writeLink(entry.path, entry.link);
      else placer.ensureFolder(entry.path);
    }
    await mapConcurrently(files, flushesAtOnce, ({ path: name }) =>
      flushFile(placer.absolute(name)),
    );
  } finally {
    maker.close();
  }
  fs.rmdirSync(building);
  syncTree(temp);
  progress.finish();
  return { files: files.length, bytes };
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

/** Gives the built directory its name; what was there is removed only after that. */
function replace(temp: string, directory: string, force: boolean): void {
  const old = `${temp.slice(0, -'.tmp'.length)}0.tmp`;
  const exists = fs.lstatSync(directory, { throwIfNoEntry: false }) !== undefined;
  if (exists && !force) fs.rmdirSync(directory);
  if (exists && force) fs.renameSync(directory, old);
  try {
    fs.renameSync(temp, directory);
  } catch (error) {
    if (exists && force) fs.renameSync(old, directory);
    const taken = ['ENOTEMPTY', 'EEXIST', 'ENOTDIR'].includes(systemCode(error) ?? '');
    if (taken) checkDestination(directory, false);
    throw error;
  }
  syncFolder(path.dirname(directory));
  if (exists && force) fs.rmSync(old, { recursive: true, force: true });
}
