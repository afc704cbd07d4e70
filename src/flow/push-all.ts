import { isMstoreError, type MstoreError } from '../base/errors.ts';
import { conflictError } from '../registry/sync.ts';
import { problemOf } from './missing.ts';
import type { PushResult } from './push.ts';
import { type PushOptions, pushWithVersions } from './push-versions.ts';
import type { ChosenRemote } from './remotes.ts';
import type { RemoteChoice } from './several-remotes.ts';
import type { Tracked } from './tracked.ts';
import type { Workspace } from './workspace.ts';

/**
 * How a push to one of several remotes ended; where registries differ, or data of versions is lacking, all else was
 * sent.
 */
export type PushOutcome =
  | { readonly remote: string; readonly result: PushResult; readonly error?: MstoreError }
  | { readonly remote: string; readonly error: MstoreError };

/**
 * Pushes to several remotes, one after the other, each for itself: one that fails does not stop the others.
 * @returns the outcomes in the order of the remotes
 * @throws MstoreError `interrupted`
 */
export async function pushToAll(
  workspace: Workspace,
  tracked: readonly Tracked[],
  remotes: readonly RemoteChoice[],
  options: PushOptions = {},
): Promise<PushOutcome[]> {
  const outcomes: PushOutcome[] = [];
  for (const choice of remotes) {
    const remote = choice.name;
    try {
      if ('error' in choice) throw choice.error;
      outcomes.push({ remote, ...(await pushTo(workspace, tracked, choice, options)) });
    } catch (error) {
      if (!isMstoreError(error) || error.code === 'interrupted') throw error;
      outcomes.push({ remote, error });
    }
  }
  return outcomes;
}

/** Pushes to one remote; of two things that kept versions from being sent, the second one is a problem of the result. */
async function pushTo(
  workspace: Workspace,
  tracked: readonly Tracked[],
  chosen: ChosenRemote,
  options: PushOptions,
): Promise<{ readonly result: PushResult; readonly error?: MstoreError }> {
  const { result, conflicts, lacking } = await pushWithVersions(
    workspace,
    tracked,
    chosen,
    options,
  );
  if (conflicts.length === 0) return { result, ...(lacking && { error: lacking }) };
  const more = lacking === undefined ? [] : [problemOf(lacking)];
  const problems = [...result.problems, ...more];
  return { result: { ...result, problems }, error: conflictError(conflicts) };
}
