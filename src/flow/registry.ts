import * as path from 'node:path';
import { writeCacheFile } from '../base/cache-file.ts';
import { type Digest, sha256 } from '../base/digest.ts';
import { isMstoreError } from '../base/errors.ts';
import { ensureFolder, readBounded } from '../base/files.ts';
import { limits } from '../base/limits.ts';
import { independentOf } from '../registry/dependents.ts';
import { Registry } from '../registry/registry.ts';
import {
  type CopyOptions,
  compareRegistries,
  conflictError,
  copyRegistry,
  type RegistryConflict,
} from '../registry/sync.ts';
import type { RemoteCallOptions } from '../remote/remote.ts';
import { readHeader } from '../store/remote-store.ts';
import { requireAtomicCreate } from './atomic-create.ts';
import { type ChosenRemote, requestJobs } from './remotes.ts';
import type { Workspace } from './workspace.ts';

/**
 * Opens the registry of the local store. A store that several workspaces share has one for each repository, so
 * that the models of one are not taken for those of another.
 */
export async function localRegistry(
  workspace: Workspace,
  options: RemoteCallOptions = {},
): Promise<Registry> {
  const folder = registryFolder(workspace);
  ensureFolder(folder);
  const { surroundings, root } = workspace;
  return new Registry(await surroundings.openRemote(folder, { base: root }), options);
}

/** Returns the absolute folder that the local registry is in. */
export function registryFolder({ store, config }: Workspace): string {
  const repository = config.string('core.repository');
  const isShared = config.string('store.path') !== undefined && repository !== undefined;
  return isShared ? store.file(path.join('registries', repository)) : store.folder;
}

/** Opens the registry of a remote. */
export function remoteRegistry(
  { remote }: ChosenRemote,
  options: RemoteCallOptions = {},
): Registry {
  return new Registry(remote, options);
}

/** What {@link fetchRegistry} or {@link pushRegistry} did. */
export interface RegistrySync {
  /** Records, states and entries that were copied. */
  readonly copied: number;
  /** What the two sides say differently; it was left alone. */
  readonly conflicts: readonly RegistryConflict[];
}

/** Options of the comparison with a remote. */
export interface RegistrySyncOptions extends RemoteCallOptions {
  /** Only this model; all by default. */
  readonly model?: string | undefined;
  readonly jobs?: number | undefined;
}

/** The registries here and on a remote, with what each has that the other lacks. */
export interface RegistryPair {
  readonly here: Registry;
  readonly there: Registry;
  /** Keys of what only the local registry has. */
  readonly onlyHere: readonly string[];
  /** Keys of what only the remote has. */
  readonly onlyThere: readonly string[];
  readonly conflicts: readonly RegistryConflict[];
  /** Brings what only the remote has. */
  fetch(): Promise<RegistrySync>;
  /**
   * Sends what only we have. The data of new versions must be there before.
   * @param keys some of {@link onlyHere}; all by default
   * @param onCreated told of each object that is there now because of it, also where it fails later on
   * @throws MstoreError `remote-refused` where the service cannot give names once
   */
  push(keys?: readonly string[], onCreated?: CopyOptions['onCreated']): Promise<RegistrySync>;
}

/**
 * Compares the local registry with that of a remote.
 * @throws MstoreError `not-a-remote`
 */
export async function pairRegistries(
  workspace: Workspace,
  chosen: ChosenRemote,
  options: RegistrySyncOptions = {},
): Promise<RegistryPair> {
  const here = await localRegistry(workspace, options);
  const there = remoteRegistry(chosen, options);
  const { id } = await readHeader(chosen.remote, options);
  const memory = new KnownAlike(registryFolder(workspace), id);
  const { signal, model } = options;
  const sync = { signal, model, jobs: requestJobs(workspace, options.jobs, chosen) };
  const found = await compareRegistries(here, there, { ...sync, known: memory.keys });
  memory.add(found.same);
  const ours = await independentOf(here, found.onlyFirst, found.conflicts, sync.jobs);
  const theirs = await independentOf(there, found.onlySecond, found.conflicts, sync.jobs);
  const { keys: onlyHere } = ours;
  const { keys: onlyThere } = theirs;
  const conflicts = [...found.conflicts, ...ours.conflicts, ...theirs.conflicts];
  const copied = async (
    from: Registry,
    to: Registry,
    keys: readonly string[],
    onCreated?: CopyOptions['onCreated'],
  ) => {
    await copyRegistry(from, to, keys, { ...sync, gaps: found.gaps, onCreated });
    await to.settle();
    memory.add(keys);
    return { copied: keys.length, conflicts };
  };
  return {
    here,
    there,
    onlyHere,
    onlyThere,
    conflicts,
    fetch: () => copied(there, here, onlyThere),
    async push(keys = onlyHere, onCreated?) {
      if (keys.length > 0) await requireNamesOnce(workspace, chosen, options);
      return copied(here, there, keys, onCreated);
    },
  };
}

/**
 * Makes sure that a remote gives each name to one writer alone, before a name is taken there.
 * @throws MstoreError `remote-refused`
 */
export function requireNamesOnce(
  workspace: Workspace,
  { name, remote }: ChosenRemote,
  options: RemoteCallOptions,
): Promise<void> {
  const acceptRaces = workspace.config.boolean(`remote.${name}.accept_races`) ?? false;
  return requireAtomicCreate(workspace, { name, remote, acceptRaces }, options);
}

/**
 * Keys of objects that were found alike on both sides; as objects never change, that stays true as long as
 * both places are the same ones: it is kept with the registry here, by the identity of the remote. A list that is
 * damaged, or of another remote, is an empty one: a wrong key would hide a difference.
 */
class KnownAlike {
  readonly keys: Set<string>;
  readonly #file: string;
  readonly #remote: string;

  constructor(folder: string, remote: string) {
    this.#file = path.join(folder, 'known', sha256(remote).slice(0, 32));
    this.#remote = remote;
    this.keys = new Set(this.#read());
  }

  #read(): string[] {
    try {
      const text = readBounded(this.#file, limits.rootBytesMax)?.toString() ?? '';
      const [digest, remote, ...keys] = text.split('\n');
      const isWhole = remote === this.#remote && digest === digestOfList(remote, keys);
      return isWhole ? keys : [];
    } catch (error) {
      if (!isMstoreError(error)) throw error;
      return [];
    }
  }

  add(keys: readonly string[]): void {
    if (keys.length === 0) return;
    for (const key of keys) this.keys.add(key);
    const sorted = [...this.keys].sort();
    const lines = [digestOfList(this.#remote, sorted), this.#remote, ...sorted];
    writeCacheFile(this.#file, lines.join('\n'));
  }
}

function digestOfList(remote: string, keys: readonly string[]): Digest {
  return sha256([remote, ...keys].join('\n'));
}

/** Ends with the error of conflicts, if there are any. */
export function refuseConflicts(conflicts: readonly RegistryConflict[]): void {
  if (conflicts.length > 0) throw conflictError(conflicts);
}
