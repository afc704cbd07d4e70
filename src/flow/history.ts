import { pointerSuffix } from '../worktree/pointer.ts';
import { readPointers, requireGit, type TrackedSet, trackedInWorkspace } from './tracked.ts';
import type { Workspace } from './workspace.ts';

/**
 * Reads every pointer of the workspace and of all commits that branches, tags and HEAD lead to, each
 * version of each path once.
 */
export async function allVersions(workspace: Workspace): Promise<TrackedSet> {
  const git = requireGit(workspace);
  const head = await git.head();
  const from = new Set((await git.references()).map(({ commit }) => commit));
  if (head.commit !== undefined) from.add(head.commit);
  const files = (await git.history([...from], pointerSuffix)).filter(({ path }) =>
    path.startsWith(workspace.gitPrefix),
  );
  const past = await readPointers(workspace, files);
  const here = trackedInWorkspace(workspace);
  const known = new Set(past.tracked.map(({ path, pointer }) => `${pointer.sha256} ${path}`));
  const fresh = here.tracked.filter(({ path, pointer }) => !known.has(`${pointer.sha256} ${path}`));
  return { tracked: [...past.tracked, ...fresh], broken: [...past.broken, ...here.broken] };
}
