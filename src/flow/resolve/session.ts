import * as path from 'node:path';
import { isMstoreError, MstoreError } from '../../base/errors.ts';
import { silentProgress } from '../../base/progress.ts';
import { Store } from '../../store/local-store.ts';
import { readConfig } from '../../worktree/config.ts';
import type { WorkOptions } from '../add.ts';
import { removeTree } from '../read-only.ts';
import type { ChooseOptions } from '../remotes.ts';
import { chooseFetchRemotes, type RemoteChoice } from '../several-remotes.ts';
import type { Surroundings } from '../surroundings.ts';
import { openWorkspace, Workspace, workspaceFolderName } from '../workspace.ts';
import { ModelCache } from './model-cache.ts';

/** What {@link openSession} is told. */
export interface SessionOptions extends WorkOptions {
  /** Names, URLs or directories of remotes; none for those of the configuration. */
  readonly remotes?: readonly string[] | undefined;
  /** How remotes are opened. */
  readonly choose?: ChooseOptions | undefined;
}

/** What the steps of one resolution share. */
export interface Session {
  readonly surroundings: Surroundings;
  /** Absolute folder that relative paths start from. */
  readonly cwd: string;
  readonly cache: ModelCache;
  /** The workspace here; where there is none, one that keeps nothing. */
  readonly workspace: Workspace;
  readonly hasWorkspace: boolean;
  /** For the work itself. */
  readonly work: WorkOptions;
  /** Places that were looked at, and what was found there, for whoever gets an error. */
  readonly looked: string[];
  /** What people should know, though the work goes on. */
  readonly warnings: string[];
  /** Opens the remotes, in the order in which they are asked. */
  remotes(): Promise<readonly RemoteChoice[]>;
  /** Whether there is any remote to be asked. */
  readonly hasRemotes: boolean;
  /** The same with a store of its own, which is empty at first, and no warnings yet; it ends with this one. */
  apart(): Session;
  close(): void;
}

/** Opens what a resolution works with, in a workspace or without one. */
export async function openSession(
  cwd: string,
  surroundings: Surroundings,
  options: SessionOptions,
): Promise<Session> {
  const cache = new ModelCache(surroundings);
  const scratch = cache.scratch();
  const found = await workspaceOrNone(cwd, surroundings);
  const workspace = found ?? emptyWorkspace(cache, scratch, surroundings);
  const { remotes: given = [], choose, signal, progress = silentProgress, jobs } = options;
  let opened: Promise<RemoteChoice[]> | undefined;
  const session: Session = {
    surroundings,
    cwd,
    cache,
    workspace,
    hasWorkspace: found !== undefined,
    work: { signal, progress, jobs },
    looked: [],
    warnings: [],
    remotes() {
      opened ??= chooseFetchRemotes(workspace, given, cwd, choose);
      return opened;
    },
    hasRemotes: given.length > 0 || workspace.config.remotes().length > 0,
    apart() {
      const { clock, random } = surroundings;
      const { root, config, git } = workspace;
      const store = new Store(path.join(scratch, 'apart'), clock, random);
      const emptied = new Workspace({ root, config, git, store, surroundings });
      return { ...session, workspace: emptied, warnings: [] };
    },
    close() {
      removeTree(scratch);
      cache.clear();
    },
  };
  return session;
}

async function workspaceOrNone(
  cwd: string,
  surroundings: Surroundings,
): Promise<Workspace | undefined> {
  try {
    return await openWorkspace(cwd, surroundings);
  } catch (error) {
    if (isMstoreError(error, 'no-workspace')) return undefined;
    throw error;
  }
}

/**
 * A workspace without files, Git and configuration but the environment's. What is received on the way stays in the
 * cache, so that the next one goes on there; the store ends with the session, unless the environment names one.
 */
function emptyWorkspace(cache: ModelCache, scratch: string, surroundings: Surroundings): Workspace {
  const root = path.join(cache.folder, 'work');
  const config = readConfig(path.join(root, workspaceFolderName), surroundings.env);
  const kept = config.string('store.path');
  if (kept !== undefined && !path.isAbsolute(kept)) {
    throw new MstoreError(
      'usage',
      'MSTORE_STORE_PATH is relative, and there is no workspace that it starts from',
      {
        hint: 'Write an absolute path',
      },
    );
  }
  const { clock, random } = surroundings;
  const store = new Store(kept ?? path.join(scratch, 'store'), clock, random);
  return new Workspace({ root, config, git: undefined, store, surroundings });
}
