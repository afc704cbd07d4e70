import { throwIfAborted } from '../base/abort.ts';
import type { RemoteCallOptions, RemoteUpload } from '../remote/remote.ts';
import type { OwnedRemote } from './remotes.ts';
import type { Workspace } from './workspace.ts';

/** An upload that was begun on a remote and is not ended. */
export interface UnfinishedUpload {
  /** The key of the object that it would make. */
  readonly key: string;
  /** Names it among those of its key. */
  readonly id: string;
  /** When it was begun, as an ISO date; left out where the service does not tell. */
  readonly begun?: string;
  readonly ageSeconds?: number;
  /** What has arrived of it; left out where the service does not tell. */
  readonly bytes?: number;
  /** `would-end`: it is old enough, and nothing was to be done. */
  readonly state: 'kept' | 'ended' | 'would-end';
}

/** What {@link unfinishedUploads} found and did. */
export interface UploadsResult {
  readonly remote: string;
  readonly location: string;
  /** Whether there is such a thing at a remote of this kind, and it can be asked for. */
  readonly listable: boolean;
  /** By age, the oldest first. */
  readonly uploads: readonly UnfinishedUpload[];
  /** Whether there are more, which were not looked at. */
  readonly more: boolean;
}

/** Options of {@link unfinishedUploads}. */
export interface UploadsOptions extends RemoteCallOptions {
  /** Ends those that were begun longer ago; without it all are kept. */
  readonly endOlderThanMs?: number | undefined;
  /** Ends nothing, and says what would be ended. */
  readonly dryRun?: boolean;
}

/** Uploads that are looked at in one run. */
const uploadsMax = 10_000;

/**
 * Finds the uploads of a remote that were begun and not ended, and ends the old ones where it is asked to.
 * One whose age is not known is kept: it may be under way.
 * @throws MstoreError `remote-refused` when listing or ending them is not allowed
 */
export async function unfinishedUploads(
  { surroundings }: Workspace,
  { name, remote }: OwnedRemote,
  { endOlderThanMs = Number.POSITIVE_INFINITY, dryRun = false, ...call }: UploadsOptions = {},
): Promise<UploadsResult> {
  const { uploads, location } = remote;
  if (uploads === undefined) {
    return { remote: name, location, listable: false, uploads: [], more: false };
  }
  const found: RemoteUpload[] = [];
  let more = false;
  for await (const upload of uploads.list(call)) {
    more = found.length === uploadsMax;
    if (more) break;
    found.push(upload);
  }
  const now = surroundings.clock.now();
  const ageOf = ({ begun }: RemoteUpload) => (begun === undefined ? 0 : now - begun);
  const told: UnfinishedUpload[] = [];
  for (const upload of found.sort((a, b) => ageOf(b) - ageOf(a))) {
    throwIfAborted(call.signal);
    const isOld = upload.begun !== undefined && ageOf(upload) > endOlderThanMs;
    if (isOld && !dryRun) await uploads.end(upload, call);
    told.push(tell(upload, ageOf(upload), !isOld ? 'kept' : dryRun ? 'would-end' : 'ended'));
  }
  return { remote: name, location, listable: true, uploads: told, more };
}

function tell(
  { key, id, begun, bytes }: RemoteUpload,
  ageMs: number,
  state: UnfinishedUpload['state'],
): UnfinishedUpload {
  const when =
    begun === undefined
      ? {}
      : { begun: new Date(begun).toISOString(), ageSeconds: Math.max(0, Math.floor(ageMs / 1000)) };
  return { key, id, ...when, ...(bytes === undefined ? {} : { bytes }), state };
}
