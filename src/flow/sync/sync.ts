import type { Surroundings } from '../surroundings.ts';
import { isUnreachable, type LookResult, look, lookHere } from './look.ts';
import { openSync, type SyncOptions } from './session.ts';

/**
 * Has what is live in an environment in a directory, verified, with a link to it, and says so in a receipt. Whatever
 * fails, `current` leads to a whole version or is not there, and there is no receipt.
 * @throws MstoreError `check-refused` when a command said no; why the remotes could not be asked
 */
export async function syncOnce(
  options: SyncOptions,
  surroundings: Surroundings,
): Promise<LookResult> {
  const session = await openSync({ ...options, failsClosed: true }, surroundings);
  try {
    try {
      return await look(session);
    } catch (error) {
      if (!options.allowStale || !isUnreachable(error)) throw error;
      return await lookHere(session, error);
    }
  } finally {
    session.close();
  }
}
