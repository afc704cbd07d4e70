import * as fs from 'node:fs';
import { homedir } from 'node:os';
import * as path from 'node:path';
import { isMstoreError, MstoreError } from '../../base/errors.ts';
import { readBounded } from '../../base/files.ts';
import { limits } from '../../base/limits.ts';
import { printable } from '../../base/names.ts';
import { DvcConfig, type DvcConfigFile } from '../../dvc/config.ts';
import { type DvcOutput, parseDvcFile, parseDvcLock } from '../../dvc/outputs.ts';
import { openGit } from '../../git/open.ts';
import type { GitRepository } from '../../git/repository.ts';
import { parseData } from '../../registry/data-file.ts';
import { findFiles } from '../../worktree/find-pointers.ts';
import { ignoreFileRules } from '../../worktree/ignore-rules.ts';
import { prefixBelow, type Workspace } from '../workspace.ts';

/** The folder of a DVC repository that is DVC's own. */
const dvcFolder = '.dvc';
const lockName = 'dvc.lock';

/** What {@link DvcRepository.outputs} found. */
export interface FoundOutputs {
  /** Sorted by path. */
  readonly outputs: readonly DvcOutput[];
  /** Files of DVC that cannot be read, and why. */
  readonly broken: readonly MstoreError[];
}

/** A repository of DVC, in the working tree or at one commit, read without DVC. */
export class DvcRepository {
  /** Absolute, real path of its top. */
  readonly root: string;
  /** From the top to the folder by which it was found; empty for the top. */
  readonly folder: string;
  readonly git: GitRepository | undefined;
  /** The commit that is read; undefined for the working tree. */
  readonly commit: string | undefined;
  readonly #env: NodeJS.ProcessEnv;
  #files: Promise<ReadonlyMap<string, string>> | undefined;
  #outputs: Promise<FoundOutputs> | undefined;

  private constructor(
    { root, folder }: { readonly root: string; readonly folder: string },
    git: GitRepository | undefined,
    commit: string | undefined,
    env: NodeJS.ProcessEnv,
  ) {
    this.root = root;
    this.folder = folder;
    this.git = git;
    this.commit = commit;
    this.#env = env;
  }

  /**
   * Finds the repository that a folder lies in.
   * @param full absolute; need not be there
   * @param revision a branch, tag or commit of Git; the working tree where it is left out
   * @throws MstoreError `not-found`, `no-git`, `unknown-ref`
   */
  static async open(
    { root: top, git: ours, surroundings: { env } }: Workspace,
    full: string,
    revision?: string,
  ): Promise<DvcRepository> {
    const place = dvcRoot(full);
    if (place === undefined) {
      throw new MstoreError('not-found', `${printable(full)} lies in no repository of DVC`, {
        hint: `Name a path below a folder that holds ${dvcFolder}`,
        details: { path: full },
      });
    }
    const { root } = place;
    const git = root === top ? ours : await openGit(root, { env });
    if (revision === undefined) return new DvcRepository(place, git, undefined, env);
    if (git === undefined) {
      throw new MstoreError('no-git', `${root} is in no Git repository, so it has no revisions`, {
        hint: 'Leave the revision out',
      });
    }
    const commit = await git.resolve(revision);
    if (commit !== undefined) return new DvcRepository(place, git, commit, env);
    throw new MstoreError('unknown-ref', `${root} has no revision ${printable(revision)}`, {
      hint: 'Name a branch, a tag or a commit of its Git repository; fetch it first where it is elsewhere',
      details: { ref: revision },
    });
  }

  /** The same repository at a commit. */
  at(commit: string): DvcRepository {
    return new DvcRepository(this, this.git, commit, this.#env);
  }

  /** Lists all that DVC keeps here. */
  outputs(): Promise<FoundOutputs> {
    this.#outputs ??= this.#findOutputs();
    return this.#outputs;
  }

  /**
   * Reads the configuration: of the machine, of the user, of the repository at its commit, and what is not in Git.
   * @throws MstoreError `config-invalid`
   */
  async config(): Promise<DvcConfig> {
    const home = this.#env['HOME'] ?? homedir();
    const own = configFolders(this.#env, home).map((folder) => path.join(folder, 'config'));
    const files: DvcConfigFile[] = [];
    const add = (file: string, bytes: Buffer | undefined, isOwn: boolean): void => {
      if (bytes !== undefined) files.push({ file, text: bytes.toString(), isOwn });
    };
    for (const file of own) add(file, readBounded(file, limits.configBytesMax), true);
    const committed = `${dvcFolder}/config`;
    add(path.join(this.root, committed), await this.read(committed), false);
    const local = path.join(this.root, dvcFolder, 'config.local');
    add(local, readBounded(local, limits.configBytesMax), true);
    return new DvcConfig(files, home);
  }

  /** Reads a file of the repository; undefined where there is none. */
  async read(name: string): Promise<Buffer | undefined> {
    if (this.commit === undefined) return readBounded(this.#full(name), limits.yamlBytesMax);
    const oid = (await this.#atCommit()).get(name);
    if (oid === undefined || this.git === undefined) return undefined;
    let found: Buffer | undefined;
    await this.git.readFiles([oid], limits.yamlBytesMax, (_, content) => {
      found = Buffer.from(content);
    });
    return found;
  }

  /** The commit that holds a file as it is read here; undefined where none is known to. */
  async commitOf(name: string): Promise<string | undefined> {
    if (this.commit !== undefined || this.git === undefined) return this.commit;
    const { commit } = await this.git.head();
    if (commit === undefined) return undefined;
    const [now, then] = [await this.read(name), await this.at(commit).read(name)];
    return now !== undefined && then?.equals(now) ? commit : undefined;
  }

  #full(name: string): string {
    return path.join(this.root, name);
  }

  async #findOutputs(): Promise<FoundOutputs> {
    const outputs: DvcOutput[] = [];
    const broken: MstoreError[] = [];
    for (const name of await this.#names()) {
      try {
        const value = await this.#parsed(name);
        if (path.posix.basename(name) !== lockName) outputs.push(...parseDvcFile(value, name));
        else outputs.push(...parseDvcLock(value, await this.#pipeline(name), name));
      } catch (error) {
        if (!isMstoreError(error)) throw error;
        broken.push(error);
      }
    }
    outputs.sort((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : 0));
    return { outputs, broken };
  }

  async #pipeline(lock: string): Promise<unknown> {
    return this.#parsed(path.posix.join(path.posix.dirname(lock), 'dvc.yaml'));
  }

  async #parsed(name: string): Promise<unknown> {
    const bytes = await this.read(name);
    if (bytes === undefined) return undefined;
    // Its name says to the parser which format it is.
    return parseData(bytes, name, 'corrupt-source', 'yaml');
  }

  /** Files of DVC that name outputs. */
  async #names(): Promise<string[]> {
    if (this.commit !== undefined) return [...(await this.#atCommit()).keys()].filter(isWanted);
    const rules = ignoreFileRules(this.root, '.dvcignore');
    return findFiles(this.root, {
      file: (name) => isWanted(name),
      closed: (relative, names) =>
        path.posix.basename(relative) === dvcFolder ||
        // A directory that DVC keeps, and a repository in the repository.
        names.has(`${path.posix.basename(relative)}.dvc`) ||
        isFolder(path.join(this.root, relative, dvcFolder)) ||
        rules.ignores(relative, true),
    });
  }

  /** Files of DVC in the commit, by their paths from the top, with Git's names for their bytes. */
  #atCommit(): Promise<ReadonlyMap<string, string>> {
    this.#files ??= this.#listCommit();
    return this.#files;
  }

  async #listCommit(): Promise<ReadonlyMap<string, string>> {
    const { git, commit } = this;
    const files = new Map<string, string>();
    if (git === undefined || commit === undefined) return files;
    const prefix = prefixBelow(git, this.root);
    for (const suffix of ['.dvc', lockName, 'dvc.yaml', `${dvcFolder}/config`]) {
      for (const { path: full, oid } of await git.listFiles(commit, suffix)) {
        if (full.startsWith(prefix)) files.set(full.slice(prefix.length), oid);
      }
    }
    const inner = [...files.keys()]
      .filter((name) => name.endsWith(`/${dvcFolder}/config`))
      .map((name) => name.slice(0, -`${dvcFolder}/config`.length));
    for (const name of files.keys()) {
      if (inner.some((folder) => name.startsWith(folder))) files.delete(name);
    }
    return files;
  }
}

function isWanted(name: string): boolean {
  const base = path.posix.basename(name);
  return base === lockName || (base.endsWith('.dvc') && base !== dvcFolder);
}

/** The nearest folder at or above a path that holds the folder of DVC. */
function dvcRoot(full: string): { readonly root: string; readonly folder: string } | undefined {
  for (let folder = full; ; folder = path.dirname(folder)) {
    if (isFolder(path.join(folder, dvcFolder))) {
      return { root: fs.realpathSync(folder), folder: path.relative(folder, full) };
    }
    if (folder === path.dirname(folder)) return undefined;
  }
}

function isFolder(full: string): boolean {
  try {
    return fs.statSync(full).isDirectory();
  } catch {
    // Not there, below a file, or not for us to see: DVC would not find it either.
    return false;
  }
}

/** Folders of the configuration of the machine and of the user, as DVC looks for them. */
function configFolders(env: NodeJS.ProcessEnv, home: string): string[] {
  const { DVC_SYSTEM_CONFIG_DIR: system, DVC_GLOBAL_CONFIG_DIR: user } = env;
  if (process.platform === 'darwin') {
    const library = 'Library/Application Support/dvc';
    return [system ?? `/${library}`, user ?? path.join(home, library)];
  }
  const machine = env['XDG_CONFIG_DIRS']?.split(':')[0] || '/etc/xdg';
  const config = env['XDG_CONFIG_HOME'] || path.join(home, '.config');
  return [system ?? path.join(machine, 'dvc'), user ?? path.join(config, 'dvc')];
}
