import { MstoreError } from '../base/errors.ts';
import { printable } from '../base/names.ts';
import type { WorkOptions } from './add.ts';
import { diffWorkspace, type PathDiff } from './diff.ts';
import { diffReferences, type VersionsDiff } from './diff-versions.ts';
import { findReference, findTargets } from './targets.ts';
import { type Tracked, trackedInWorkspace } from './tracked.ts';
import type { Workspace } from './workspace.ts';

/** What differs between what two arguments name. */
export interface Differences {
  readonly paths: readonly PathDiff[];
  /** Where both are versions of the registry. */
  readonly versions?: VersionsDiff;
  readonly before: readonly Tracked[];
  /** Undefined for the files of the workspace. */
  readonly after: readonly Tracked[] | undefined;
  /** What is tracked here beside what `before` has; none where references are compared. */
  readonly here: readonly Tracked[];
}

/**
 * Compares as `diff [A] [B]` says: two references; a reference, or tracked paths, with the files of the workspace; or
 * all that is tracked with its files.
 * @param cwd absolute folder that paths start from
 * @throws MstoreError `usage` for a path and something else, those of {@link findTargets}
 */
export async function findDifferences(
  workspace: Workspace,
  [a, b]: readonly (string | undefined)[],
  cwd: string,
  options: WorkOptions = {},
): Promise<Differences> {
  const from = await findTargets(workspace, a === undefined ? [] : [a], cwd);
  const { commit, version } = from;
  if (b !== undefined && commit === undefined && version === undefined) {
    throw new MstoreError(
      'usage',
      `${printable(a ?? '')} is a path; two revisions or versions are compared`,
      { hint: 'Write mstore diff REF REF, or mstore diff PATH for its changes here' },
    );
  }
  if (b !== undefined) {
    const to = await findReference(workspace, b, (set) => [...set.tracked]);
    return { ...diffReferences(workspace, from, to), here: [] };
  }
  // A version is of one path: what else is tracked here is not new.
  const now =
    commit === undefined || version !== undefined ? [] : trackedInWorkspace(workspace).tracked;
  const paths = await diffWorkspace(workspace, from.tracked, now, options);
  return { paths, before: from.tracked, after: undefined, here: now };
}
