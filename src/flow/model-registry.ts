import * as path from 'node:path';
import type { VersionState } from '../registry/entry.ts';
import { findVersion } from '../registry/find.ts';
import { latestName } from '../registry/names.ts';
import type { VersionRecord } from '../registry/record.ts';
import type { Registry } from '../registry/registry.ts';
import type { RemoteCallOptions } from '../remote/remote.ts';
import type { WorkOptions } from './add.ts';
import type { ChangeOptions } from './deciding-registry.ts';
import { deploy, type MoveOptions, type MoveResult, promote, rollback } from './environments.ts';
import { type RegisterResult, type Registration, register } from './register.ts';
import { type HistoryOptions, type ModelHistory, readHistory } from './registry-history.ts';
import {
  listModels,
  type ModelSummary,
  readVersions,
  registryToRead,
  type VersionList,
  type VersionListOptions,
} from './registry-read.ts';
import { type ChosenRemote, chooseRemote, defaultRemote } from './remotes.ts';
import { systemSurroundings } from './surroundings.ts';
import { type StateResult, setVersionState } from './version-states.ts';
import { openWorkspace, type Workspace } from './workspace.ts';

/** Options of {@link openRegistry}. */
export interface OpenRegistryOptions extends RemoteCallOptions {
  /**
   * Name, URL or directory of the remote that is read and that decides; false for the local registry. By
   * default the default remote, and the local registry where there is none.
   */
  readonly remote?: string | false | undefined;
}

/** Options of a change, without those that say where it is decided. */
export type ModelChange<T> = Omit<T, 'remote' | keyof RemoteCallOptions>;

/**
 * The registry of a workspace, as programs use it: one place for reading and for changes. Answers are as
 * fresh as the place; nothing is kept between two calls.
 */
export class ModelRegistry {
  readonly #workspace: Workspace;
  readonly #remote: ChosenRemote | undefined;
  readonly #options: RemoteCallOptions;

  /** Use {@link openRegistry}. */
  constructor(workspace: Workspace, remote: ChosenRemote | undefined, options: RemoteCallOptions) {
    this.#workspace = workspace;
    this.#remote = remote;
    this.#options = options;
  }

  /** Registers a version of a tracked path in the local registry; `push` sends it. See {@link register}. */
  register(registration: Registration, options: WorkOptions = {}): Promise<RegisterResult> {
    return register(this.#workspace, registration, { signal: this.#options.signal, ...options });
  }

  /** Makes a version live in an environment. See {@link deploy}. */
  deploy(
    model: string,
    version: string,
    environment: string,
    options: ModelChange<MoveOptions> = {},
  ): Promise<MoveResult> {
    return deploy(this.#workspace, { model, version, environment }, this.#change(options));
  }

  /** Makes what is live in one environment live in another. See {@link promote}. */
  promote(
    model: string,
    steps: { readonly from?: string; readonly to?: string } = {},
    options: ModelChange<MoveOptions> = {},
  ): Promise<MoveResult> {
    return promote(this.#workspace, { model, ...steps }, this.#change(options));
  }

  /** Goes back to the version that was live before, or to a given one. See {@link rollback}. */
  rollback(
    model: string,
    environment: string,
    options: ModelChange<MoveOptions> & { readonly to?: string } = {},
  ): Promise<MoveResult> {
    const { to, ...rest } = options;
    return rollback(this.#workspace, { model, environment, to }, this.#change(rest));
  }

  /** Brings a version to another state. See {@link setVersionState}. */
  setState(
    model: string,
    version: string,
    state: VersionState,
    options: ModelChange<ChangeOptions> = {},
  ): Promise<StateResult> {
    return setVersionState(this.#workspace, { model, version, state }, this.#change(options));
  }

  /**
   * Returns the last version that is in use and no pre-release.
   * @throws MstoreError `unknown-model`, `unknown-version` where none is in use
   */
  getLatestVersion(model: string): Promise<VersionRecord> {
    return this.getVersion(model, latestName);
  }

  /**
   * Returns the version that is live in an environment.
   * @throws MstoreError `unknown-model`, `unknown-version` where nothing ever was live there
   */
  getDeployedVersion(model: string, environment: string): Promise<VersionRecord> {
    return this.getVersion(model, environment);
  }

  /**
   * Returns the version that `model@name` means: a version, an environment, or `latest`.
   * @throws MstoreError `unknown-model`, `unknown-version`
   */
  async getVersion(model: string, name: string): Promise<VersionRecord> {
    return (await findVersion(await this.#registry(), model, name)).record.value;
  }

  /** Lists all models with what is live where. */
  async listModels(): Promise<ModelSummary[]> {
    return listModels(await this.#registry());
  }

  /** Lists the versions of a model with their metrics. See {@link readVersions}. */
  async listVersions(model: string, options: VersionListOptions = {}): Promise<VersionList> {
    return readVersions(await this.#registry(), model, options);
  }

  /** Reads the history of a model, the newest entry first. See {@link readHistory}. */
  async history(model: string, options: HistoryOptions = {}): Promise<ModelHistory> {
    return readHistory(await this.#registry(), model, options);
  }

  #registry(): Promise<Registry> {
    return registryToRead(this.#workspace, this.#remote, this.#options);
  }

  #change<T>(options: T): T & ChangeOptions {
    return { ...options, ...this.#options, remote: this.#remote };
  }
}

/**
 * Opens the registry of a workspace for a program.
 * @param workspace an open workspace, or a folder in one
 * @throws MstoreError `no-workspace`, `unknown-remote`
 */
export async function openRegistry(
  workspace: Workspace | string,
  { remote, ...options }: OpenRegistryOptions = {},
): Promise<ModelRegistry> {
  const opened =
    typeof workspace === 'string'
      ? await openWorkspace(path.resolve(workspace), systemSurroundings(process.env))
      : workspace;
  const isLocal = remote === false || (remote === undefined && defaultRemote(opened) === undefined);
  const chosen = isLocal ? undefined : await chooseRemote(opened, remote, opened.root);
  return new ModelRegistry(opened, chosen, options);
}
