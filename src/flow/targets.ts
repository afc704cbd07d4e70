import { MstoreError } from '../base/errors.ts';
import { printable } from '../base/names.ts';
import { nearest } from '../base/nearest.ts';
import {
  requireGit,
  selectTracked,
  type Tracked,
  type TrackedSet,
  trackedAt,
  trackedInWorkspace,
} from './tracked.ts';
import type { Workspace } from './workspace.ts';

/** What the arguments of a command chose. */
export interface Targets {
  /** Commit id that the pointers were read from; undefined for those of the working tree. */
  readonly commit: string | undefined;
  readonly tracked: Tracked[];
}

/** The prefix that makes an argument a Git revision, whatever paths exist. */
const gitPrefix = 'git:';

/**
 * Finds what `[REF] [PATH…]` means. The first argument is a revision (branch, tag, commit) when it
 * names one, and otherwise a path; when it could be both, that is an error. `git:REV` is always a
 * revision, `./PATH` always a path.
 * @param cwd absolute folder that paths start from
 * @throws MstoreError `unknown-ref`, `ambiguous-ref`, `not-tracked`
 */
export async function findTargets(
  workspace: Workspace,
  args: readonly string[],
  cwd: string,
): Promise<Targets> {
  const [first, ...rest] = args;
  const here = trackedInWorkspace(workspace);
  if (first === undefined) return { commit: undefined, tracked: selectTracked(here, []) };
  const commit = await revisionOf(workspace, first, here, cwd);
  if (commit === undefined) {
    const paths = args.map((arg) => workspace.relative(arg, cwd));
    return { commit, tracked: selectTracked(here, paths) };
  }
  const set = await trackedAt(workspace, commit);
  const paths = rest.map((arg) => workspace.relative(arg, cwd));
  const tracked = selectTracked(set, paths);
  if (tracked.length === 0) {
    throw new MstoreError(
      'not-tracked',
      `${printable(first)} has no pointers: nothing was tracked there`,
      {
        hint: 'Name a later commit, or run "mstore ls" to see what is tracked now',
        details: { ref: first, commit },
      },
    );
  }
  return { commit, tracked };
}

/** Returns the commit that an argument names, or undefined when it is a path. */
async function revisionOf(
  workspace: Workspace,
  given: string,
  here: TrackedSet,
  cwd: string,
): Promise<string | undefined> {
  if (given.startsWith(gitPrefix)) return resolveRevision(workspace, given.slice(gitPrefix.length));
  const isPath = namesTracked(workspace, given, here, cwd);
  const explicit =
    given.startsWith('./') || given.startsWith('../') || given.startsWith('/') || given === '.';
  if (explicit || workspace.git === undefined) return undefined;
  const commit = await workspace.git.resolve(given);
  if (commit !== undefined && isPath) {
    throw new MstoreError(
      'ambiguous-ref',
      `${printable(given)} is both a tracked path and a Git revision`,
      {
        hint: `Write ./${printable(given)} for the path, or ${gitPrefix}${printable(given)} for the revision`,
        details: { ref: given, commit },
      },
    );
  }
  if (commit === undefined && !isPath) throw await unknownReference(workspace, given);
  return commit;
}

function namesTracked(workspace: Workspace, given: string, here: TrackedSet, cwd: string): boolean {
  try {
    selectTracked(here, [workspace.relative(given, cwd)]);
    return true;
  } catch (error) {
    const absent =
      error instanceof MstoreError && ['not-tracked', 'outside-workspace'].includes(error.code);
    return !absent;
  }
}

/**
 * Resolves a Git revision to a commit id.
 * @throws MstoreError `unknown-ref`
 */
export async function resolveRevision(workspace: Workspace, rev: string): Promise<string> {
  const commit = await requireGit(workspace).resolve(rev);
  if (commit === undefined) throw await unknownReference(workspace, rev);
  return commit;
}

async function unknownReference(workspace: Workspace, given: string): Promise<MstoreError> {
  const names = new Set([
    ...((await workspace.git?.references()) ?? []).map(({ name }) => name),
    ...trackedInWorkspace(workspace).tracked.map(({ path }) => path),
  ]);
  const near = nearest(given, [...names]);
  return new MstoreError(
    'unknown-ref',
    `${printable(given)} is neither a tracked path nor a Git branch, tag or commit`,
    {
      hint:
        near === undefined
          ? 'Run "mstore ls" for the tracked paths, "git tag" for the tags'
          : `Did you mean ${printable(near)}?`,
      details: { ref: given },
    },
  );
}
