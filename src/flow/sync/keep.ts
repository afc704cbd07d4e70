import { isMstoreError } from '../../base/errors.ts';
import { printable } from '../../base/names.ts';
import { checkDirectory } from './provide.ts';
import type { SyncSession } from './session.ts';
import type { KeptVersion } from './state.ts';

/**
 * Removes versions beyond the number that stays. What is live and what was live before it stay in any case.
 * @param besides a version that is wanted now, and counts for none
 * @returns the names of those that are gone
 */
export async function pruneVersions(session: SyncSession, besides?: string): Promise<string[]> {
  const { place, state, keep, options } = session;
  const live = place.current();
  const order = state.value.versions.filter(({ version }) => version !== besides);
  const isWithin = (version: string, i: number): boolean => i < keep || version === live;
  const removed: string[] = [];
  for (const kept of order.filter(({ version }, i) => !isWithin(version, i))) {
    try {
      if (await prune(session, kept)) removed.push(kept.version);
    } catch (error) {
      // What is live is not to suffer from what is not.
      const mayPass = isMstoreError(error) && !['interrupted', 'locked'].includes(error.code);
      if (!mayPass) throw error;
      options.warn(`${kept.version} stays: ${error.message}`);
    }
  }
  return removed;
}

/** Removes the directory of a version, if it is the one that was built, or holds that version and nothing else. */
async function prune(
  session: SyncSession,
  { version, tree, identity }: KeptVersion,
): Promise<boolean> {
  const { place, state, options } = session;
  const directory = place.directoryOf(version);
  const now = place.identity(directory);
  const isOurs = now?.ino === identity.ino && now.born === identity.born;
  const checked = isOurs ? undefined : await checkDirectory(session, directory, tree);
  if (checked !== undefined && 'problem' in checked) {
    options.warn(
      `${printable(directory)} stays: it is not what sync built, and not ${version}: ${checked.problem}`,
    );
  } else if (now !== undefined) {
    session.checkHeld();
    place.remove(directory);
  }
  state.forget(version);
  return now !== undefined && (checked === undefined || 'entries' in checked);
}
