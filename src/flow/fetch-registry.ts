import * as fs from 'node:fs';
import * as path from 'node:path';
import { fromSystemError, isMstoreError, type MstoreError } from '../base/errors.ts';
import { ensureFolder, syncFolder } from '../base/files.ts';
import { logPrefix, modelPrefix, modelsPrefix, versionKey } from '../registry/keys.ts';
import type { Registry } from '../registry/registry.ts';
import type { RegistryConflict } from '../registry/sync.ts';
import { isRemoteFailure } from './fetch-receive.ts';
import { pairRegistries, type RegistrySyncOptions, registryFolder } from './registry.ts';
import type { ChosenRemote } from './remotes.ts';
import type { RemoteChoice } from './several-remotes.ts';
import type { Workspace } from './workspace.ts';

/** What {@link fetchRegistry} did. */
export interface RegistryFetch {
  /** The remote whose registry it is; left out when none of them has one. */
  readonly remote?: string;
  /** Records of versions, states and entries of histories that are new here. */
  readonly records: number;
  /** What both sides say differently; nothing of it was brought. */
  readonly conflicts: readonly RegistryConflict[];
  /** Absolute folder to which what differed here was moved. */
  readonly setAside?: string;
  /** Remotes that could not be asked, or whose registry is damaged, before one could. */
  readonly failures: readonly RegistryFailure[];
  /** Whether a remote answered. */
  readonly answered: boolean;
  /** The registry of the remote, where the one here has more than that. */
  readonly ahead?: Registry;
}

/** A remote that could not be asked for its registry. */
export interface RegistryFailure {
  readonly remote: string;
  readonly error: MstoreError;
}

/** Options of {@link fetchRegistry}. */
export interface RegistryFetchOptions extends RegistrySyncOptions {
  /** Where both sides differ, sets aside what is here and takes what the remote has. */
  readonly takeHistory?: boolean | undefined;
}

/**
 * Brings the registry of a remote, or what it says of one model: all that is new here. The first remote
 * that answers and has it counts; one that has none costs one listing.
 * @throws MstoreError what is no failure of a remote
 */
export async function fetchRegistry(
  workspace: Workspace,
  remotes: readonly RemoteChoice[],
  options: RegistryFetchOptions = {},
): Promise<RegistryFetch> {
  const failures: RegistryFailure[] = [];
  let answered = false;
  for (const choice of remotes) {
    try {
      if ('error' in choice) throw choice.error;
      if (await hasRegistry(choice, options)) {
        const brought = await bring(workspace, choice, options);
        return { remote: choice.name, ...brought, failures, answered: true };
      }
      answered = true;
    } catch (error) {
      if (!isRemoteFailure(error) && !isMstoreError(error, 'corrupt-registry')) throw error;
      // Where one has answered that it has none, the others are asked in vain and that is no trouble.
      if (!answered || options.model !== undefined) failures.push({ remote: choice.name, error });
    }
  }
  return { records: 0, conflicts: [], failures, answered };
}

async function hasRegistry(
  { remote }: ChosenRemote,
  { model, signal }: RegistryFetchOptions,
): Promise<boolean> {
  const prefix = model === undefined ? modelsPrefix : modelPrefix(model);
  for await (const _ of remote.list(prefix, { signal })) return true;
  return false;
}

async function bring(
  workspace: Workspace,
  choice: ChosenRemote,
  options: RegistryFetchOptions,
): Promise<Pick<RegistryFetch, 'records' | 'conflicts' | 'setAside' | 'ahead'>> {
  let pair = await pairRegistries(workspace, choice, options);
  let folder: string | undefined;
  if (options.takeHistory && pair.conflicts.length > 0) {
    folder = setAside(workspace, pair.conflicts);
    pair = await pairRegistries(workspace, choice, options);
  }
  const { copied, conflicts } = await pair.fetch();
  return {
    records: copied,
    conflicts,
    ...(folder === undefined ? {} : { setAside: folder }),
    ...(pair.onlyHere.length === 0 ? {} : { ahead: pair.there }),
  };
}

/**
 * Moves what differs out of the registry here, to a folder of its own beside it. Nothing is lost: the objects
 * keep their names below that folder.
 * @returns its absolute path
 */
function setAside(workspace: Workspace, conflicts: readonly RegistryConflict[]): string {
  const { clock, random } = workspace.surroundings;
  const registry = registryFolder(workspace);
  const stamp = new Date(clock.now()).toISOString().replace(/[-:.]/g, '');
  const folder = path.join(registry, 'set-aside', `${stamp}-${random.hex(4)}`);
  const keys = conflicts.flatMap(({ kind, model, name }) => [
    ...(kind === 'history' ? [] : [versionKey(model, name)]),
    logPrefix({ model, kind: 'environments', name }),
    logPrefix({ model, kind: 'states', name }),
  ]);
  try {
    for (const key of keys) {
      const [from, to] = [path.join(registry, key), path.join(folder, key)];
      if (!fs.existsSync(from)) continue;
      ensureFolder(path.dirname(to));
      fs.renameSync(from, to);
      syncFolder(path.dirname(to));
      syncFolder(path.dirname(from));
    }
  } catch (error) {
    throw fromSystemError(error, `setting aside what differs, in ${folder}`);
  }
  return folder;
}
