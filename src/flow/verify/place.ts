import * as path from 'node:path';
import type { Digest } from '../../base/digest.ts';
import { ensureFolder } from '../../base/files.ts';
import type { ChunkIndex } from '../../index/chunk-index.ts';
import type { PackFooter } from '../../pack/format.ts';
import type { RemotePruner } from '../../remote/remote.ts';
import { indexKey } from '../../store/keys.ts';
import { Store } from '../../store/local-store.ts';
import { listFolder, readIndexObject } from '../../store/pack-files.ts';
import { RemoteStore, type TransferOptions } from '../../store/remote-store.ts';
import type { WorkOptions } from '../add.ts';
import { chosenJobs, type OwnedRemote, requestJobs, transferJobs } from '../remotes.ts';
import type { Workspace } from '../workspace.ts';

/** A place that is verified: the local store, or a remote. Both have the same objects. */
export interface VerifiedPlace {
  readonly kind: 'local' | 'remote';
  /** How people call it. */
  readonly name: string;
  /** Identity of a remote, by which things are kept of it here. */
  readonly id?: string;
  readonly objects: RemotePruner;
  /** For whole packs. */
  readonly transfer: TransferOptions;
  /** For less than a pack. */
  readonly requests: TransferOptions;
  /** Opens the index of what is there now, compared with the footers. */
  index(): Promise<ChunkIndex>;
  /** Returns the footer of a pack where it is kept here beside the place itself. */
  keptFooter(pack: Digest): PackFooter | undefined;
  /** The local store, from which chunks may be read in place of a remote's; undefined if it is the place. */
  readonly near: Store | undefined;
  /** The local store where it is the place itself. */
  readonly store: Store | undefined;
}

/** The local store as a place. */
export type LocalPlace = VerifiedPlace & { readonly store: Store };

/** Opens the local store to be verified. */
export async function localPlace(
  workspace: Workspace,
  { signal, jobs }: WorkOptions = {},
): Promise<LocalPlace> {
  const { surroundings, root, store } = workspace;
  ensureFolder(store.folder);
  const transfer = { signal, jobs: transferJobs(workspace, jobs) };
  // The one of the workspace may have looked at the packs before they are checked, or repaired.
  const fresh = new Store(store.folder, surroundings.clock, surroundings.random);
  return {
    kind: 'local',
    name: 'the local store',
    objects: await surroundings.openRemote(store.folder, { base: root }),
    transfer,
    requests: transfer,
    async index() {
      const now = new Store(store.folder, surroundings.clock, surroundings.random);
      now.recheck();
      return now.index();
    },
    keptFooter: (pack) => footerOfRemotes(fresh, pack),
    near: undefined,
    store: fresh,
  };
}

/** Looks for a footer among the index objects that are kept of remotes: it is the same everywhere. */
function footerOfRemotes(store: Store, pack: Digest): PackFooter | undefined {
  const top = store.file('remotes');
  for (const remote of listFolder(top)) {
    const footer = readIndexObject(path.join(top, remote, indexKey(pack)), pack);
    if (footer !== undefined) return footer;
  }
  return undefined;
}

/**
 * Opens a remote to be verified.
 * @throws MstoreError `not-a-remote`, `newer-format`
 */
export async function remotePlace(
  workspace: Workspace,
  { name, remote, isService }: OwnedRemote,
  { signal, jobs }: WorkOptions = {},
): Promise<VerifiedPlace> {
  const requestsMax = chosenJobs(workspace, jobs);
  const transfer = { signal, requestsMax, jobs: transferJobs(workspace, jobs) };
  const requests = { ...transfer, jobs: requestJobs(workspace, jobs, { isService }) };
  const there = await RemoteStore.open(remote, workspace.store);
  return {
    kind: 'remote',
    name,
    id: there.id,
    objects: remote,
    transfer,
    requests,
    async index() {
      const now = await RemoteStore.open(remote, workspace.store);
      await now.recheck(requests);
      return now.index(requests);
    },
    keptFooter: (pack) => there.keptFooter(pack),
    near: workspace.store,
    store: undefined,
  };
}
