import { isMstoreError, type MstoreError } from '../base/errors.ts';
import type { WorkOptions } from './add.ts';
import { type PushResult, push } from './push.ts';
import type { RemoteChoice } from './several-remotes.ts';
import type { Tracked } from './tracked.ts';
import type { Workspace } from './workspace.ts';

/** How a push to one of several remotes ended. */
export type PushOutcome =
  | { readonly remote: string; readonly result: PushResult }
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
  options: WorkOptions = {},
): Promise<PushOutcome[]> {
  const outcomes: PushOutcome[] = [];
  for (const choice of remotes) {
    const remote = choice.name;
    try {
      if ('error' in choice) throw choice.error;
      outcomes.push({ remote, result: await push(workspace, tracked, choice, options) });
    } catch (error) {
      if (!isMstoreError(error) || error.code === 'interrupted') throw error;
      outcomes.push({ remote, error });
    }
  }
  return outcomes;
}
