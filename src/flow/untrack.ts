import * as path from 'node:path';
import { ensureCacheFolder, removeFile, syncFolder } from '../base/files.ts';
import { removeIgnoreLine } from '../worktree/git-files.ts';
import { pointerPath, selectTracked, trackedInWorkspace } from './tracked.ts';
import type { Workspace } from './workspace.ts';

/**
 * Stops tracking paths: removes their pointers and ignore lines. The files and what is stored stay.
 * @param paths from the top; each must be tracked itself, or lie above tracked paths
 * @returns the tracked paths
 */
export async function untrack(workspace: Workspace, paths: readonly string[]): Promise<string[]> {
  const set = trackedInWorkspace(workspace);
  const broken = set.broken
    .filter((entry) => paths.includes(entry.path))
    .map((entry) => entry.path);
  const healthy = paths.filter((given) => !broken.includes(given));
  const chosen = healthy.length === 0 ? [] : selectTracked({ ...set, broken: [] }, healthy);
  const all = [...chosen.map((item) => item.path), ...broken];
  ensureCacheFolder(workspace.cacheFolder);
  for (const tracked of all) {
    const folder = path.dirname(workspace.absolute(tracked));
    // The pointer goes last: as long as it is there, another run finishes what was broken off.
    await removeIgnoreLine(folder, path.posix.basename(tracked), workspace.cacheFolder);
    removeFile(workspace.absolute(pointerPath(tracked)));
    syncFolder(folder);
  }
  return all;
}
