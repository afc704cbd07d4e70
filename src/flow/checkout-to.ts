import * as fs from 'node:fs';
import * as path from 'node:path';
import { MstoreError } from '../base/errors.ts';
import { tempName } from '../base/files.ts';
import { checkWritableOn, collisionKey, printable } from '../base/names.ts';
import { type Progress, silentProgress } from '../base/progress.ts';
import { type FileEntry, isFileEntry, isLinkEntry, type TreeEntry } from '../base/tree.ts';
import { Placer } from '../worktree/place.ts';
import { type CheckoutOptions, checkPresent, linkKindsOf } from './checkout.ts';
import { Materializer } from './materialize.ts';
import { takeRight } from './read-only.ts';
import { type Tracked, trackedFiles } from './tracked.ts';
import { checkDestination, refuseProtected, writeWhole } from './whole-directory.ts';
import type { Workspace } from './workspace.ts';

/** A file that is written beside those of a version. */
export interface ExtraFile {
  /** One name. */
  readonly name: string;
  readonly bytes: Uint8Array;
}

/** Options of {@link checkoutTo}. */
export interface CheckoutToOptions extends CheckoutOptions {
  /** Absolute folders that are never replaced, besides those mstore itself needs. */
  readonly keep?: readonly string[];
  /** Takes the right to write from the files, before they have their place. */
  readonly readOnly?: boolean | undefined;
  /** Written at the top of the directory, unless the version has something of that name. */
  readonly extra?: ExtraFile | undefined;
  /**
   * Changes the files before they have their place.
   * @param temp the directory as it is built
   * @returns files that it added, by path in it
   */
  readonly change?:
    | ((temp: string, files: readonly FileEntry[]) => Promise<readonly string[]>)
    | undefined;
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
 * @throws MstoreError `destination-exists`, `objects-missing`, `name-collision`
 */
export async function checkoutTo(
  workspace: Workspace,
  targets: readonly Tracked[],
  directory: string,
  options: CheckoutToOptions = {},
): Promise<CheckoutToResult> {
  const { force = false, keep = [], extra } = options;
  const { root, folder, store, git, surroundings } = workspace;
  const tracked = targets.map(({ path: name }) => workspace.absolute(name));
  refuseProtected(directory, {
    held: [root, ...keep, ...tracked],
    own: [folder, store.folder, ...(git === undefined ? [] : [git.commonDir])],
  });
  checkDestination(directory, force);
  checkPresent(store, targets);
  const entries = layOut(workspace, targets);
  if (extra !== undefined) refuseTaken(entries, extra.name);
  for (const { path: full } of entries) checkWritableOn(full, surroundings.platform);
  const progress = options.progress ?? silentProgress;
  const written = await writeWhole(
    directory,
    { force, clock: surroundings.clock },
    async (temp) => {
      const files = await build(workspace, entries, temp, { ...options, progress });
      const added = (await options.change?.(temp, files)) ?? [];
      const names = [...files.map(({ path: name }) => name), ...added];
      if (options.readOnly) for (const name of names) takeRight(path.join(temp, name));
      return { files: extra === undefined ? names : [...names, extra.name], result: files };
    },
  );
  progress.finish();
  const bytes = written.reduce((sum, { size }) => sum + size, 0);
  return { directory, files: written.length, bytes };
}

/** Refuses a name for a file of ours that the version has itself. */
function refuseTaken(entries: readonly TreeEntry[], name: string): void {
  const key = collisionKey(name);
  const isTaken = entries.some(({ path: full }) => collisionKey(full.split('/')[0] ?? '') === key);
  if (!isTaken) return;
  throw new MstoreError('name-collision', `The version has a ${printable(name)} of its own`, {
    hint: 'Run the same command without --metadata; "mstore show" prints the metadata',
    details: { path: name },
  });
}

/**
 * Lists what the directory will hold, by path in it.
 * @throws MstoreError `objects-missing` when the list of a large tree is not in the store
 */
export function layOut(workspace: Workspace, targets: readonly Tracked[]): TreeEntry[] {
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
  options: CheckoutToOptions & { readonly progress: Progress },
): Promise<FileEntry[]> {
  const { progress, extra } = options;
  const files = entries.filter(isFileEntry);
  const bytesTotal = files.reduce((sum, { size }) => sum + size, 0);
  progress.start('checkout', { bytesTotal, filesTotal: files.length });
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
    if (extra !== undefined) {
      await placer.writeFile(extra.name, [extra.bytes], {
        executable: false,
        making: 'unseen',
      });
    }
  } finally {
    maker.close();
  }
  fs.rmdirSync(building);
  return files;
}
