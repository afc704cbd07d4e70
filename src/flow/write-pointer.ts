import * as path from 'node:path';
import { fromSystemError, isMstoreError } from '../base/errors.ts';
import { ensureCacheFolder, ensureFolder } from '../base/files.ts';
import { addIgnoreLine, ensureAttributes } from '../worktree/git-files.ts';
import { type Pointer, readPointer, writePointer } from '../worktree/pointer.ts';
import { pointerPath, type Tracked } from './tracked.ts';
import type { Workspace } from './workspace.ts';

/** The pointer that is there now; one that cannot be used is replaced, its unknown keys are lost. */
export function previousPointer(workspace: Workspace, tracked: string): Pointer | undefined {
  const where = pointerPath(tracked);
  try {
    return readPointer(workspace.absolute(where), where);
  } catch (error) {
    if (isMstoreError(error, 'corrupt-pointer', 'merge-conflict')) return undefined;
    throw error;
  }
}

/**
 * Makes a path tracked: makes its folder, has Git ignore it, and writes its pointer. What the pointer names must be durable.
 * @returns whether the pointer is new, or differs from the one before
 */
export async function track(workspace: Workspace, tracked: Tracked): Promise<boolean> {
  const { path: name, pointer } = tracked;
  const before = previousPointer(workspace, name);
  const folder = path.dirname(workspace.absolute(name));
  try {
    ensureFolder(folder);
    if (workspace.git !== undefined) {
      ensureCacheFolder(workspace.cacheFolder);
      await addIgnoreLine(folder, path.posix.basename(name), workspace.cacheFolder);
      await ensureAttributes(workspace.root, workspace.cacheFolder);
    }
    writePointer(workspace.absolute(pointerPath(name)), pointer);
  } catch (error) {
    throw fromSystemError(error, `writing ${pointerPath(name)}`);
  }
  return before?.sha256 !== pointer.sha256 || before.kind !== pointer.kind;
}
