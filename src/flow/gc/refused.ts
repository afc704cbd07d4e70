import { isMstoreError, type MstoreError } from '../../base/errors.ts';
import { formatBytes } from '../../base/format-bytes.ts';
import type { GcPlace } from './place.ts';

/** Deletions that a place refused: what it keeps stays, and the rest of the work is done. */
export interface RefusedDeletions {
  objects: number;
  bytes: number;
  /** Why the first of them was refused. */
  error?: MstoreError;
}

/** What of {@link RefusedDeletions} is told. */
export interface KeptByPlace {
  readonly objects: number;
  readonly bytes: number;
  /** Whether the place keeps objects for a time, after which they can be deleted. */
  readonly retained: boolean;
  readonly message: string;
  readonly hint: string;
}

/** Reasons of a service that may be for one object alone: no right, a lock, a retention policy, words of its own. */
const reasons: readonly unknown[] = ['forbidden', 'retained', 'refused'];

/** Tells whether a deletion failed because the place does not want it, and others may be done. */
export function isRefusedDeletion(error: unknown): error is MstoreError {
  return isMstoreError(error, 'remote-refused') && reasons.includes(error.details['reason']);
}

/** Says what stays and why; undefined where nothing was refused. */
export async function keptByPlace(
  { remote }: GcPlace,
  { objects, bytes, error }: RefusedDeletions,
): Promise<KeptByPlace | undefined> {
  if (error === undefined) return undefined;
  const retention = await remote.probe?.retention?.().catch(() => undefined);
  const retained = error.details['reason'] === 'retained' || retention?.locked !== undefined;
  const span = retention?.locked === undefined ? '' : ` (${retention.locked})`;
  const right = remote.probe?.rights.delete ?? 'the right to delete';
  return {
    objects,
    bytes,
    retained,
    message: `${objects} objects (${formatBytes(bytes)}) stay in ${remote.location}, as it refuses to delete them: ${error.message}`,
    hint: retained
      ? `The bucket keeps objects for a time${span}: run the clean-up again when it is over`
      : `Ask for ${right}, or leave clean-ups to who has it`,
  };
}
