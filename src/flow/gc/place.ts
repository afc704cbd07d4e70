import type { Digest } from '../../base/digest.ts';
import { Registry } from '../../registry/registry.ts';
import type { RemoteCallOptions, RemotePruner } from '../../remote/remote.ts';
import { digestInKey, indexPrefix, packsPrefix, recipesPrefix } from '../../store/keys.ts';
import { localRegistry, registryFolder } from '../registry.ts';
import { chosenJobs, type OwnedRemote, requestJobs, transferJobs } from '../remotes.ts';
import { isShared } from '../store-watch.ts';
import type { Workspace } from '../workspace.ts';

/** A place that is cleaned up: the local store or a remote. Both hold the same objects under the same names. */
export interface GcPlace {
  /** `the local store`, or the name of the remote. */
  readonly name: string;
  readonly remote: RemotePruner;
  readonly isLocal: boolean;
  /** Whether repositories other than this one keep things here, and say so by root records. */
  readonly isShared: boolean;
  readonly jobs: number;
  readonly requestsMax: number | undefined;
}

/** Tells whether no other machine is to be expected at a place: its owners' starts say then what has ended. */
export function isOwn({ isLocal, isShared: shared }: GcPlace): boolean {
  return isLocal && !shared;
}

/** Makes a place of the local store of a workspace. */
export async function localPlace(workspace: Workspace, jobs?: number): Promise<GcPlace> {
  const { store, root, surroundings } = workspace;
  store.prepareWriting();
  return {
    name: 'the local store',
    remote: await surroundings.openRemote(store.folder, { base: root }),
    isLocal: true,
    isShared: isShared(workspace),
    jobs: transferJobs(workspace, jobs),
    requestsMax: undefined,
  };
}

/** Makes a place of a remote. */
export function remotePlace(workspace: Workspace, chosen: OwnedRemote, jobs?: number): GcPlace {
  return {
    name: chosen.name,
    remote: chosen.remote,
    isLocal: false,
    isShared: true,
    jobs: requestJobs(workspace, jobs, chosen),
    requestsMax: chosenJobs(workspace, jobs),
  };
}

/** Opens the registries of a place: of a shared local store those of all its repositories. */
export async function registriesOf(
  workspace: Workspace,
  place: GcPlace,
  options: RemoteCallOptions,
): Promise<Registry[]> {
  if (!place.isLocal) return [new Registry(place.remote, options)];
  if (registryFolder(workspace) === workspace.store.folder) {
    return [await localRegistry(workspace, options)];
  }
  const { surroundings, root, store } = workspace;
  const registries: Registry[] = [];
  for (const folder of new Set(await registryFolders(place.remote, options))) {
    const remote = await surroundings.openRemote(store.file(folder), { base: root });
    registries.push(new Registry(remote, options));
  }
  return registries;
}

async function registryFolders(
  remote: RemotePruner,
  options: RemoteCallOptions,
): Promise<string[]> {
  const folders: string[] = [];
  for await (const { key } of remote.list('registries/', options)) {
    const folder = /^registries\/[0-9a-f]{32}(?=\/)/.exec(key)?.[0];
    if (folder !== undefined) folders.push(folder);
  }
  return folders;
}

/** An object of a place that a clean-up may remove. */
export interface Candidate {
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
  /** When it was written, by the clock of the place. */
  readonly time: number | undefined;
}

/** What a listing of a place gives, before roots are read. */
export interface Listing {
  readonly packs: ReadonlyMap<Digest, Candidate>;
  readonly indexes: ReadonlyMap<Digest, Candidate>;
  readonly recipes: ReadonlyMap<Digest, Candidate>;
}

/** Lists what a clean-up may remove. */
export async function listPlace({ remote }: GcPlace, options: RemoteCallOptions): Promise<Listing> {
  const collect = async (prefix: string, suffix: string) => {
    const found = new Map<Digest, Candidate>();
    for await (const { key, size, time } of remote.list(prefix, options)) {
      const digest = key.endsWith(suffix) ? digestInKey(key, suffix) : undefined;
      if (digest !== undefined) found.set(digest, { digest, size, time });
    }
    return found;
  };
  const packs = await collect(packsPrefix, '.pack');
  const indexes = await collect(indexPrefix, '.idx');
  const recipes = await collect(recipesPrefix, '');
  return { packs, indexes, recipes };
}
