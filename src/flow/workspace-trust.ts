import * as fs from 'node:fs';
import * as path from 'node:path';
import { MstoreError } from '../base/errors.ts';
import { printable, shellWord } from '../base/names.ts';
import type { GitRepository } from '../git/repository.ts';
import { type Config, configName, localConfigName } from '../worktree/config.ts';

/** Bit of a mode: everybody may write. */
const othersWrite = 0o002;

/**
 * Refuses a workspace that another user may have put above the current folder, for whoever works below: in a
 * folder that everybody may write to, as `/tmp`, it takes no more than making one. Systems without owners
 * of this kind (Windows) are not asked.
 * @param folder absolute path of `.modelstore`
 * @throws MstoreError `permission-denied`
 */
export function refusePlanted(folder: string): void {
  const user = process.geteuid?.();
  const above = path.dirname(folder);
  if (user === undefined || (fs.statSync(above).mode & othersWrite) === 0) return;
  const owner = fs.lstatSync(folder).uid;
  if (owner === user || owner === 0) return;
  throw new MstoreError(
    'permission-denied',
    `The workspace in ${printable(above)} belongs to another user, and everybody may write there`,
    {
      hint: `If you know whose it is and trust it, take that right away: chmod o-w ${shellWord(above)}`,
      details: { path: folder, owner },
    },
  );
}

/** A workspace that is about to be opened. */
export interface OpeningWorkspace {
  /** Absolute, real path of the top. */
  readonly root: string;
  /** Absolute path of `.modelstore`. */
  readonly folder: string;
  /** Path of the workspace from the top of the Git repository, with a final slash; empty at the top. */
  readonly gitPrefix: string;
  readonly config: Config;
  readonly git: GitRepository | undefined;
}

/**
 * Refuses a local store, or folders of caches, outside of the workspace that were chosen by the repository and not
 * by whoever works in it: `add` writes there, garbage collection deletes there, and on Windows the name of a share is enough
 * to sign in at its host. The environment may choose, and what Git does not bring along.
 * @throws MstoreError `config-invalid`
 */
export async function checkStorePlace(opening: OpeningWorkspace): Promise<void> {
  await checkLinks(opening);
  const { root, folder, config } = opening;
  const entry = config.get('store.path');
  if (entry === undefined || entry.source === 'environment') return;
  const text = String(entry.value);
  if (!isOutside(root, text)) return;
  const file = entry.source === 'config' ? configName : localConfigName;
  if (entry.source !== 'config' && !(await isTracked(opening, file))) return;
  throw new MstoreError(
    'config-invalid',
    `store.path is outside of the workspace, ${printable(text)}, and stands in ${file}, which Git keeps`,
    {
      hint: 'Take it out of that file; each machine names a store of its own: mstore config set store.path DIR --local, or MSTORE_STORE_PATH=DIR',
      details: { path: path.join(folder, file) },
    },
  );
}

/** Tells whether a `store.path` leads out of the workspace, by its text or through links. */
export function isOutside(root: string, text: string): boolean {
  // The name of a share is not looked at: that would be the sign-in.
  if (/^[\\/]{2}/.test(text) || /^~(?:[\\/]|$)/.test(text)) return true;
  return !isInside(root, path.resolve(root, text));
}

/** The same for links that Git brought in the place of `.modelstore` or of a folder in it. */
async function checkLinks(opening: OpeningWorkspace): Promise<void> {
  const { root, folder } = opening;
  for (const name of ['', 'store', 'cache', 'tmp']) {
    const full = path.join(folder, name);
    if (!fs.lstatSync(full, { throwIfNoEntry: false })?.isSymbolicLink()) continue;
    // What lies behind a link is none of this repository's.
    if (isInside(root, full) || !(await isTracked(opening, name))) {
      if (name === '') return;
      continue;
    }
    throw new MstoreError(
      'config-invalid',
      `${printable(full)} is a link out of the workspace that Git keeps`,
      {
        hint: 'Remove the link; each machine names a store of its own: mstore config set store.path DIR --local, or MSTORE_STORE_PATH=DIR',
        details: { path: full },
      },
    );
  }
}

function isInside(root: string, file: string): boolean {
  const relative = path.relative(root, realPlace(file));
  const leaves = relative === '..' || relative.startsWith(`..${path.sep}`);
  return !leaves && !path.isAbsolute(relative);
}

/** Resolves the links of what exists of a path. */
function realPlace(file: string): string {
  const missing: string[] = [];
  for (let at = file; ; at = path.dirname(at)) {
    try {
      return path.join(fs.realpathSync(at), ...missing);
    } catch {
      if (at === path.dirname(at)) return file;
      missing.unshift(path.basename(at));
    }
  }
}

/** Tells whether Git keeps an entry of `.modelstore`; without Git nobody can tell, and it does not. */
async function isTracked({ folder, gitPrefix, git }: OpeningWorkspace, name: string) {
  const own = path.posix.join(`${gitPrefix}${path.basename(folder)}`, name);
  return ((await git?.trackedBelow(own, 1)) ?? []).includes(own);
}
