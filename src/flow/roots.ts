import { sha256 } from '../base/digest.ts';
import { MstoreError } from '../base/errors.ts';
import { bytesSource, type RemoteWriter } from '../remote/remote.ts';
import { rootsPrefix } from '../store/keys.ts';
import type { TransferOptions } from '../store/remote-store.ts';
import type { Tracked } from './tracked.ts';
import type { Workspace } from './workspace.ts';

/**
 * Publishes what this push needs kept, for garbage collection: one record under the repository's id,
 * named by the time and by the digest of its list, so that the same list is not published twice.
 * @returns whether a record was written
 */
export async function publishRoot(
  workspace: Workspace,
  remote: RemoteWriter,
  tracked: readonly Tracked[],
  options: TransferOptions,
): Promise<boolean> {
  if (tracked.length === 0) return false;
  const repository = workspace.config.string('core.repository');
  if (repository === undefined || !/^[0-9a-f]{32}$/.test(repository)) {
    throw new MstoreError(
      'config-invalid',
      'The workspace has no identity: core.repository is missing or malformed',
      {
        hint: 'Restore .modelstore/config.toml from Git',
      },
    );
  }
  const paths = tracked.map(({ path, pointer }) => ({
    path,
    kind: pointer.kind,
    sha256: pointer.sha256,
    size: pointer.size,
  }));
  const name = sha256(JSON.stringify(paths)).slice(0, 16);
  const folder = `${rootsPrefix}${repository}/`;
  for await (const { key } of remote.list(folder, options)) {
    if (key.endsWith(`-${name}.json`)) return false;
  }
  const created = new Date(workspace.surroundings.clock.now()).toISOString();
  const record = { mstore: 1, repository, created, paths };
  const key = `${folder}${created.replace(/[-:.]/g, '')}-${name}.json`;
  await remote.create(
    key,
    bytesSource(Buffer.from(`${JSON.stringify(record, null, 2)}\n`)),
    options,
  );
  return true;
}
