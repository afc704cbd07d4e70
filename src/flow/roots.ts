import { MstoreError } from '../base/errors.ts';
import type { RemoteWriter } from '../remote/remote.ts';
import { bytesSource } from '../remote/remote.ts';
import { listCleanUps } from '../store/clean-up.ts';
import type { TransferOptions } from '../store/remote-store.ts';
import { formatRoot, rootKey, rootListName, rootsOf } from '../store/roots.ts';
import type { Tracked } from './tracked.ts';
import type { Workspace } from './workspace.ts';

/** Options of {@link publishRoot}. */
export interface RootOptions extends TransferOptions {
  /** Whether the registry keeps these from the moment on in which it has their records. */
  readonly forVersions?: boolean;
}

/**
 * Publishes what this push needs kept, for garbage collection: one record under the repository's id,
 * named by the time and by the digest of its list, so that the same list is not published twice.
 * @returns whether a record was written
 */
export async function publishRoot(
  workspace: Workspace,
  remote: RemoteWriter,
  tracked: readonly Tracked[],
  { forVersions = false, ...options }: RootOptions,
): Promise<boolean> {
  if (tracked.length === 0) return false;
  const record = {
    repository: repositoryOf(workspace),
    created: new Date(workspace.surroundings.clock.now()).toISOString(),
    forVersions,
    items: tracked.map(({ path, pointer: { kind, sha256, size } }) => ({
      ...{ path, kind, sha256, size },
    })),
  };
  const name = rootListName(record);
  let latest: number | undefined;
  for await (const { key, time = 0 } of remote.list(rootsOf(record.repository), options)) {
    if (key.endsWith(`-${name}.json`)) latest = Math.max(latest ?? 0, time);
  }
  if (latest !== undefined && !(await mayBeGivenUp(remote, latest, options))) {
    await remote.settle?.(options);
    return false;
  }
  await remote.create(rootKey(record), bytesSource(formatRoot(record)), options);
  return true;
}

/** A clean-up that began after a record was written may have given it up, so that it keeps nothing. */
export async function mayBeGivenUp(
  remote: RemoteWriter,
  written: number,
  options: TransferOptions,
): Promise<boolean> {
  const cleanUps = await listCleanUps(remote, options);
  return cleanUps.some(
    ({ mark }) => mark !== undefined && (mark.time === undefined || mark.time >= written),
  );
}

/**
 * Returns the identity of the repository of a workspace, under which its root records are.
 * @throws MstoreError `config-invalid`
 */
export function repositoryOf({ config }: Workspace): string {
  const repository = config.string('core.repository');
  if (repository !== undefined && /^[0-9a-f]{32}$/.test(repository)) return repository;
  throw new MstoreError(
    'config-invalid',
    'The workspace has no identity: core.repository is missing or malformed',
    { hint: 'Restore .modelstore/config.toml from Git' },
  );
}
