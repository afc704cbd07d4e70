import * as path from 'node:path';
import { clearDeadTemps } from '../base/dead-temps.ts';
import type { Workspace } from './workspace.ts';

/**
 * Removes the temporary files that dead processes left wherever mstore writes in a workspace: in its
 * own folders, beside the pointers of tracked paths, and in tracked directories.
 * @param tracked paths from the top that are being worked on
 * @param tempFolders folders below them, from the top, in which temporary files were seen
 */
export function clearLeftovers(
  workspace: Workspace,
  tracked: readonly string[],
  tempFolders: readonly string[],
): void {
  const { clock } = workspace.surroundings;
  const { folder, cacheFolder, tempFolder, root } = workspace;
  for (const own of [folder, cacheFolder, path.join(cacheFolder, 'stat'), tempFolder])
    clearDeadTemps(own, '', clock);
  const parents = tracked.map((each) => path.dirname(workspace.absolute(each)));
  const folders = tempFolders.map((each) => workspace.absolute(each));
  for (const users of new Set([root, ...parents, ...folders])) clearDeadTemps(users, '.', clock);
}
