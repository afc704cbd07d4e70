import * as fs from 'node:fs';
import { MstoreError } from '../base/errors.ts';
import type { WorkOptions } from './add.ts';
import { publishRoot } from './roots.ts';
import { SweepWatch } from './sweep-watch.ts';
import type { Tracked } from './tracked.ts';
import type { Workspace } from './workspace.ts';

/** Times that work is done again because a clean-up ran meanwhile. */
const triesMax = 8;

/**
 * Does work that stores data in the local store, and does it again as long as a clean-up may have taken away what
 * it relied on. In a store that several workspaces share it says what this one needs: its pointers are
 * not known to the others.
 * @param work stores what is lacking and publishes what leads to it; quick where nothing is lacking
 * @param needed what is then needed
 * @param merge puts two results together
 */
export async function storing<T>(
  workspace: Workspace,
  options: WorkOptions,
  {
    work,
    needed,
    merge,
  }: {
    readonly work: () => Promise<T>;
    readonly needed: () => readonly Tracked[];
    readonly merge: (first: T, again: T) => T;
  },
): Promise<T> {
  const { store, surroundings, root } = workspace;
  const place = await surroundings.openRemote(store.folder, { base: root });
  const { signal, progress } = options;
  // Nobody cleans up a store that is not there.
  const isThere = () => fs.existsSync(store.folder);
  const how = { signal, progress, isEmpty: !isThere(), isOwn: !isShared(workspace) };
  const watch = await SweepWatch.begin(place, surroundings, how);
  let result = (await work()) as T;
  for (let tries = 1; isThere(); tries++) {
    if (saysItsNeeds(workspace)) await publishRoot(workspace, place, needed(), { signal, jobs: 1 });
    if (!(await watch.mayHaveLost())) return result;
    if (tries === triesMax) {
      throw new MstoreError('locked', `Clean-ups of ${store.folder} kept overtaking this command`, {
        hint: 'Look who runs "mstore gc" in a loop, then run this command again',
      });
    }
    store.reopen();
    result = merge(result, (await work()) as T);
  }
  return result;
}

/** A folder without a workspace has no name under which it could keep anything. */
function saysItsNeeds(workspace: Workspace): boolean {
  return isShared(workspace) && workspace.config.string('core.repository') !== undefined;
}

/** Whether other workspaces use the local store too. */
export function isShared({ config }: Workspace): boolean {
  return config.string('store.path') !== undefined;
}
