import { guarded } from '../encryption.ts';
import type { OwnedRemote } from '../remotes.ts';
import { openWorkspace, type Workspace } from '../workspace.ts';
import { ActLog, type LoggedAct } from './act-log.ts';

/**
 * Logs a change of who can read an encrypted remote, under the key that counts now: the configuration is read anew.
 * @param chosen as it lies there
 * @returns warnings
 */
export async function logKeyAct(
  workspace: Workspace,
  { name, remote }: OwnedRemote,
  act: Pick<LoggedAct, 'act' | 'reason' | 'counts'>,
): Promise<string[]> {
  const fresh = await openWorkspace(workspace.root, workspace.surroundings);
  const acts = new ActLog(fresh, guarded(fresh, name, remote));
  const problems = await acts.log({ ...act, objects: [] });
  return problems.map(({ message }) => message);
}
