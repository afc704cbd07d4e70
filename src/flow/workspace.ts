import * as fs from 'node:fs';
import { homedir } from 'node:os';
import * as path from 'node:path';
import { fromSystemError, MstoreError } from '../base/errors.ts';
import { printable } from '../base/names.ts';
import { openGit } from '../git/open.ts';
import type { GitRepository } from '../git/repository.ts';
import { Store } from '../store/local-store.ts';
import { type Config, configName, readConfig } from '../worktree/config.ts';
import { fileClockNs, StatCache } from '../worktree/stat-cache.ts';
import type { Surroundings } from './surroundings.ts';
import { checkStorePlace, refusePlanted } from './workspace-trust.ts';

/** The folder of a workspace that holds configuration and store. */
export const workspaceFolderName = '.modelstore';

/** A working tree with its pointers, configuration, Git repository and local store. */
export class Workspace {
  /** Absolute, real path of the top. */
  readonly root: string;
  /** Absolute path of `.modelstore`. */
  readonly folder: string;
  readonly config: Config;
  /** The repository the workspace lies in; undefined without Git. */
  readonly git: GitRepository | undefined;
  readonly store: Store;
  readonly surroundings: Surroundings;
  #startNs: bigint | undefined;

  constructor(parts: {
    root: string;
    config: Config;
    git: GitRepository | undefined;
    store: Store;
    surroundings: Surroundings;
  }) {
    this.root = parts.root;
    this.folder = path.join(parts.root, workspaceFolderName);
    this.config = parts.config;
    this.git = parts.git;
    this.store = parts.store;
    this.surroundings = parts.surroundings;
  }

  /** Folder for state that this machine can rebuild, and for short locks. */
  get cacheFolder(): string {
    return path.join(this.folder, 'cache');
  }

  /** Folder for files under construction, on the file system of the workspace. */
  get tempFolder(): string {
    return path.join(this.folder, 'tmp');
  }

  /** Absolute folder of the whole files that links in the workspace may point to. */
  get linkedFiles(): string {
    return this.store.file('files');
  }

  /** Path of the workspace from the top of the Git repository, with a final slash; empty at the top. */
  get gitPrefix(): string {
    return prefixBelow(this.git, this.root);
  }

  /** Opens the stat cache of a tracked path. */
  statCache(tracked: string): StatCache {
    this.#startNs ??= fileClockNs(this.tempFolder, this.surroundings.clock.now());
    return StatCache.open(path.join(this.cacheFolder, 'stat'), tracked, this.#startNs);
  }

  /** Absolute path of a path from the top. */
  absolute(relative: string): string {
    return path.join(this.root, relative);
  }

  /**
   * Turns a path as the user gave it into one from the top of the workspace.
   * @param cwd absolute folder that relative paths start from
   * @throws MstoreError `outside-workspace`
   */
  relative(given: string, cwd: string): string {
    const absolute = path.resolve(cwd, given);
    // The last component stays as it is: a link is named, not followed.
    const real = path.join(realParent(absolute), path.basename(absolute));
    const relative = path.relative(this.root, real);
    const inside =
      relative !== '..' && !relative.startsWith(`..${path.sep}`) && !path.isAbsolute(relative);
    if (inside) return relative.split(path.sep).join('/');
    throw new MstoreError(
      'outside-workspace',
      `${printable(given)} is outside the workspace ${this.root}`,
      {
        hint: 'Copy it into the workspace, or run mstore in the workspace it belongs to',
        details: { path: given, root: this.root },
      },
    );
  }
}

/** Path of a folder from the top of a repository, with a final slash; empty at the top, and without a repository. */
export function prefixBelow(git: GitRepository | undefined, root: string): string {
  if (git === undefined) return '';
  const relative = path.relative(git.root, root).split(path.sep).join('/');
  return relative === '' ? '' : `${relative}/`;
}

/** Resolves the links of the nearest existing folder above a path. */
function realParent(absolute: string): string {
  const rest: string[] = [];
  for (let folder = path.dirname(absolute); ; folder = path.dirname(folder)) {
    try {
      return path.join(fs.realpathSync(folder), ...rest);
    } catch {
      if (folder === path.dirname(folder)) return path.dirname(absolute);
      rest.unshift(path.basename(folder));
    }
  }
}

/** Finds the top of the workspace that a folder lies in. */
function findWorkspaceRoot(start: string): string | undefined {
  for (let folder = start; ; folder = path.dirname(folder)) {
    if (fs.existsSync(path.join(folder, workspaceFolderName, configName))) {
      refusePlanted(path.join(folder, workspaceFolderName));
      return folder;
    }
    if (folder === path.dirname(folder)) return undefined;
  }
}

/**
 * Opens the workspace that a folder lies in.
 * @param start absolute folder
 * @throws MstoreError `no-workspace`, `permission-denied` and `config-invalid` for one that cannot be trusted
 */
export async function openWorkspace(start: string, surroundings: Surroundings): Promise<Workspace> {
  const real = realFolder(start);
  const root = findWorkspaceRoot(real);
  if (root === undefined) {
    throw new MstoreError('no-workspace', `No mstore workspace in ${real} or a folder above it`, {
      hint: 'Run "mstore init" at the top of your repository',
      details: { path: real },
    });
  }
  const folder = path.join(root, workspaceFolderName);
  const config = readConfig(folder, surroundings.env);
  const prefer = config.string('core.git') as 'auto' | 'binary' | 'isomorphic' | undefined;
  const git = await openGit(root, { prefer: prefer ?? 'auto', env: gitEnvironment(surroundings) });
  await checkStorePlace({ root, folder, gitPrefix: prefixBelow(git, root), config, git });
  const store = new Store(storeFolder(root, config, git), surroundings.clock, surroundings.random);
  return new Workspace({ root, config, git, store, surroundings });
}

/**
 * Takes a folder for a workspace, without Git and with no configuration but that of the environment.
 * @param root absolute, real path
 */
export function plainWorkspace(root: string, surroundings: Surroundings): Workspace {
  const config = readConfig(path.join(root, workspaceFolderName), surroundings.env);
  const { clock, random } = surroundings;
  const store = new Store(storeFolder(root, config, undefined), clock, random);
  return new Workspace({ root, config, git: undefined, store, surroundings });
}

/** A partial clone fetches missing objects by itself; offline it must not. */
function gitEnvironment({ env, offline }: Surroundings): NodeJS.ProcessEnv {
  return offline ? { ...env, GIT_ALLOW_PROTOCOL: 'none', GIT_NO_LAZY_FETCH: '1' } : env;
}

function realFolder(start: string): string {
  try {
    return fs.realpathSync(start);
  } catch (error) {
    throw fromSystemError(error, `opening the folder ${start}`);
  }
}

/**
 * The local store: where the configuration says, else in the workspace. A worktree linked to another
 * uses the store of the main one, so that nothing is stored twice.
 */
function storeFolder(root: string, config: Config, git: GitRepository | undefined): string {
  const configured = config.string('store.path');
  if (configured !== undefined)
    return path.resolve(root, configured.replace(/^~(?=[\\/]|$)/, homedir()));
  const main = git?.mainRoot;
  if (git !== undefined && main !== undefined) {
    const inMain = path.join(main, path.relative(git.root, root));
    if (fs.existsSync(path.join(inMain, workspaceFolderName)))
      return path.join(inMain, workspaceFolderName, 'store');
  }
  return path.join(root, workspaceFolderName, 'store');
}
