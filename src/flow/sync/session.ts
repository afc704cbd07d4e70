import { homedir } from 'node:os';
import * as path from 'node:path';
import { MstoreError } from '../../base/errors.ts';
import { LongLock } from '../../base/long-lock.ts';
import { printable } from '../../base/names.ts';
import { checkRegistryName } from '../../registry/names.ts';
import { Store } from '../../store/local-store.ts';
import { readConfig } from '../../worktree/config.ts';
import type { WorkOptions } from '../add.ts';
import type { ChooseOptions } from '../remotes.ts';
import { chooseFetchRemotes, type RemoteChoice } from '../several-remotes.ts';
import type { Surroundings } from '../surroundings.ts';
import { Workspace, workspaceFolderName } from '../workspace.ts';
import type { ShareKind } from './build.ts';
import type { HookCommands } from './hooks.ts';
import { receiptName, SyncPlace } from './place.ts';
import { checkReceipt, removeReceipt } from './receipt.ts';
import { StateFile } from './state.ts';

/** What {@link openSync} is told. */
export interface SyncOptions extends WorkOptions {
  readonly model: string;
  readonly environment: string;
  /** Absolute directory that versions are put into. */
  readonly to: string;
  /** Absolute folder that relative directories of remotes start from. */
  readonly cwd: string;
  /** Names, URLs or directories of remotes; none for those that the environment names. */
  readonly remotes?: readonly string[] | undefined;
  readonly choose?: ChooseOptions | undefined;
  /** Versions that stay, the one that is live among them; 2 at least. */
  readonly keep?: number | undefined;
  /** Ways to share unchanged files between versions; a copy where none works. */
  readonly link?: readonly ShareKind[] | undefined;
  readonly hooks?: HookCommands | undefined;
  /** Absolute path of the receipt; by default `receipt.json` in the directory. */
  readonly receipt?: string | undefined;
  /** Takes what is here, where no remote can be asked, and says so. */
  readonly allowStale?: boolean | undefined;
  /** Follows the history that is there, whatever was seen before. */
  readonly takeHistory?: boolean | undefined;
  /** Takes an earlier receipt away first, so that there is none unless all goes well. */
  readonly failsClosed?: boolean | undefined;
  /** Told of what should be known, though the work goes on. */
  readonly warn: (text: string) => void;
  /** Gets what commands print. */
  readonly output: (bytes: Uint8Array) => void;
}

/** Versions that stay unless somebody says otherwise. */
const keepDefault = 2;

/** What the steps of following an environment share. */
export interface SyncSession {
  readonly options: SyncOptions;
  readonly surroundings: Surroundings;
  readonly place: SyncPlace;
  readonly state: StateFile;
  readonly workspace: Workspace;
  /** Whether the store is one that the user keeps, which is not ours to empty. */
  readonly hasOwnStore: boolean;
  readonly receipt: string;
  readonly keep: number;
  /** For the work itself. */
  readonly work: WorkOptions;
  /** Opens the remotes, in the order in which they are asked. */
  remotes(): Promise<readonly RemoteChoice[]>;
  /** Bytes that were read from remotes so far. */
  bytesReceived(): number;
  /** Throws `locked` when this process has lost the directory to another one. */
  checkHeld(): void;
  close(): void;
}

/**
 * Opens a directory to follow an environment in it. One process does that at a time.
 * @throws MstoreError `locked`, `destination-exists`, `bad-name`, `unknown-remote`
 */
export async function openSync(
  options: SyncOptions,
  surroundings: Surroundings,
): Promise<SyncSession> {
  const { model, environment, to, signal, progress, jobs } = options;
  checkRegistryName('model', model);
  checkRegistryName('environment', environment);
  const place = SyncPlace.open(to, surroundings);
  const lock = await LongLock.take(path.join(place.folder, 'sync.lock'), {
    waitMsMax: 10_000,
    clock: surroundings.clock,
    signal,
    of: printable(place.directory),
  });
  const receipt = options.receipt ?? place.at(receiptName);
  try {
    checkReceipt(receipt);
    if (options.failsClosed) removeReceipt(receipt);
    place.checkLinks();
    const state = new StateFile(place, { model, environment });
    if (state.damage !== undefined) {
      options.warn(`what was kept of the versions here cannot be used: ${state.damage}`);
    }
    if (options.takeHistory) state.write({ seen: undefined });
    place.clear(surroundings);
    const { workspace, hasOwnStore } = workspaceIn(place, surroundings);
    const chosen = new ChosenRemotes(workspace, options);
    await chosen.open();
    return {
      options,
      surroundings,
      place,
      state,
      workspace,
      hasOwnStore,
      receipt,
      keep: Math.max(keepDefault, options.keep ?? keepDefault),
      work: { signal, progress, jobs },
      remotes: () => chosen.open(),
      bytesReceived: () => chosen.bytes(),
      checkHeld: () => lock.check(),
      close: () => lock.release(),
    };
  } catch (error) {
    lock.release();
    throw error;
  }
}

/** A workspace without files, Git and configuration but the environment's. */
function workspaceIn(
  place: SyncPlace,
  surroundings: Surroundings,
): { readonly workspace: Workspace; readonly hasOwnStore: boolean } {
  const root = place.folder;
  const { clock, random, env } = surroundings;
  const config = readConfig(path.join(root, workspaceFolderName), env);
  const kept = config.string('store.path')?.replace(/^~(?=[\\/]|$)/, homedir());
  if (kept !== undefined && !path.isAbsolute(kept)) {
    throw new MstoreError(
      'usage',
      'MSTORE_STORE_PATH is relative, and there is no workspace that it starts from',
      { hint: 'Write an absolute path' },
    );
  }
  const store = new Store(kept ?? place.storeFolder, clock, random);
  const workspace = new Workspace({ root, config, git: undefined, store, surroundings });
  return { workspace, hasOwnStore: kept === undefined };
}

/** The remotes of one run: those that could not be opened are tried again each time. */
class ChosenRemotes {
  readonly #workspace: Workspace;
  readonly #options: SyncOptions;
  #choices: readonly RemoteChoice[] | undefined;

  constructor(workspace: Workspace, options: SyncOptions) {
    this.#workspace = workspace;
    this.#options = options;
  }

  async open(): Promise<readonly RemoteChoice[]> {
    const { remotes = [], cwd, choose } = this.#options;
    if (this.#choices === undefined || this.#choices.some((choice) => 'error' in choice)) {
      this.#choices = await chooseFetchRemotes(this.#workspace, remotes, cwd, choose);
    }
    return this.#choices;
  }

  bytes(): number {
    let bytes = 0;
    for (const choice of this.#choices ?? []) {
      if ('remote' in choice) bytes += choice.remote.counts().get.bytes;
    }
    return bytes;
  }
}
