import * as fs from 'node:fs';
import * as path from 'node:path';
import { fromSystemError, MstoreError, systemCode } from '../base/errors.ts';
import { readBounded } from '../base/files.ts';
import { printable } from '../base/names.ts';
import { type GitConfig, isTrue, parseGitConfig, readGitConfigFile } from './config-file.ts';

/** Where a repository keeps its parts, and in which formats. */
export interface GitLayout {
  /** Absolute path of the top of the working tree, links resolved. */
  readonly root: string;
  /** Absolute path of the Git directory of this working tree: its HEAD and its index are here. */
  readonly gitDir: string;
  /** Absolute path of the Git directory that all working trees share: objects, refs, config. */
  readonly commonDir: string;
  /** Absolute path of the main working tree, when this one is linked to it; otherwise undefined. */
  readonly mainRoot: string | undefined;
  readonly objectFormat: 'sha1' | 'sha256';
  readonly refStorage: 'files' | 'reftable';
  /** Whether objects may be absent until Git fetches them from a promising remote. */
  readonly partialClone: boolean;
  /** Whether this working tree has a configuration of its own (`extensions.worktreeConfig`). */
  readonly worktreeConfig: boolean;
  /** Whether objects are borrowed from other repositories (`objects/info/alternates`). */
  readonly alternates: boolean;
  /** Whether paths that differ only in case are the same (`core.ignoreCase`). */
  readonly ignoreCase: boolean;
  /** Whether executable bits of the working tree mean something (`core.fileMode`). */
  readonly fileMode: boolean;
  /** Whether the working tree has symbolic links (`core.symlinks`); else files stand for them. */
  readonly symlinks: boolean;
}

/** A gitfile, `HEAD` or `commondir` holds one path. */
const pathFileBytesMax = 64 * 1024;

/**
 * Finds the working tree that a folder lies in, by walking up to the root of the file system. Reads
 * files only: no program is started, no environment variable is honoured, nothing found is run.
 * Returns undefined outside of working trees, which includes the inside of a Git directory and of a
 * bare repository.
 * @throws MstoreError `not-found` when the folder does not exist; `git-failed` when a `.git` file leads
 * to a Git directory that is not there
 */
export function findLayout(startDir: string): GitLayout | undefined {
  for (let folder = realFolder(startDir); ; folder = path.dirname(folder)) {
    const dotGit = path.join(folder, '.git');
    const stat = statOf(dotGit);
    if (stat?.isFile()) return layoutOf(folder, followGitFile(dotGit), true);
    if (stat?.isDirectory() && isGitDirectory(dotGit)) {
      return layoutOf(folder, fs.realpathSync(dotGit), false);
    }
    if (isGitDirectory(folder)) return undefined;
    if (folder === path.dirname(folder)) return undefined;
  }
}

function realFolder(folder: string): string {
  try {
    return fs.realpathSync(folder);
  } catch (error) {
    throw fromSystemError(error, `opening ${printable(folder)}`);
  }
}

function layoutOf(root: string, gitDir: string, byFile: boolean): GitLayout | undefined {
  const commonDir = commonDirOf(gitDir);
  const config = readConfig(commonDir);
  const linked = commonDir !== gitDir;
  const bare = isTrue(config, 'core.bare');
  // A bare repository may have linked working trees, and `core.bare` says nothing about those.
  if (bare && !linked && !byFile) return undefined;
  return {
    root,
    gitDir,
    commonDir,
    mainRoot: linked && !bare ? mainRootOf(commonDir, config) : undefined,
    objectFormat: extension(config, 'objectformat') === 'sha256' ? 'sha256' : 'sha1',
    refStorage: (extension(config, 'refstorage') ?? 'files').startsWith('files')
      ? 'files'
      : 'reftable',
    partialClone: isPartialClone(config),
    worktreeConfig: isTrue(config, 'extensions.worktreeconfig'),
    alternates: (statOf(path.join(commonDir, 'objects/info/alternates'))?.size ?? 0) > 0,
    ignoreCase: isTrue(config, 'core.ignorecase'),
    fileMode: !config.has('core.filemode') || isTrue(config, 'core.filemode'),
    symlinks: !config.has('core.symlinks') || isTrue(config, 'core.symlinks'),
  };
}

/** Git takes a folder for a Git directory when it has these three. */
function isGitDirectory(folder: string): boolean {
  if (!statOf(path.join(folder, 'HEAD'))?.isFile()) return false;
  const common = commonDirOf(folder);
  return ['objects', 'refs'].every((name) => statOf(path.join(common, name))?.isDirectory());
}

function commonDirOf(gitDir: string): string {
  const named = readPath(path.join(gitDir, 'commondir'));
  if (named === undefined) return gitDir;
  const common = path.resolve(gitDir, named);
  return fs.existsSync(common) ? fs.realpathSync(common) : common;
}

function followGitFile(file: string): string {
  const target = /^gitdir: (.+)$/s.exec(readPath(file) ?? '')?.[1];
  const gitDir = target === undefined ? undefined : path.resolve(path.dirname(file), target);
  if (gitDir !== undefined && isGitDirectory(gitDir)) return fs.realpathSync(gitDir);
  throw new MstoreError(
    'git-failed',
    gitDir === undefined
      ? `${printable(file)} is no gitfile: it does not start with "gitdir: "`
      : `${printable(file)} leads to ${printable(gitDir)}, which is not a Git directory`,
    {
      hint: 'Make the main repository reachable (git worktree repair mends moved ones), or remove the .git file',
      details: { path: file },
    },
  );
}

function mainRootOf(commonDir: string, config: GitConfig): string | undefined {
  // The repository of a submodule says where its working tree is; others lie in it.
  const named = config.get('core.worktree');
  if (named !== undefined) return path.resolve(commonDir, named);
  return path.basename(commonDir) === '.git' ? path.dirname(commonDir) : undefined;
}

function readConfig(commonDir: string): GitConfig {
  return parseGitConfig(readGitConfigFile(path.join(commonDir, 'config')));
}

/** Extensions count only from the repository format 1 on. */
function extension(config: GitConfig, key: string): string | undefined {
  if (!(Number(config.get('core.repositoryformatversion') ?? 0) >= 1)) return undefined;
  return config.get(`extensions.${key}`)?.toLowerCase();
}

function isPartialClone(config: GitConfig): boolean {
  if (config.has('extensions.partialclone')) return true;
  for (const key of config.keys()) {
    if (/^remote\..*\.promisor$/s.test(key) && isTrue(config, key)) return true;
  }
  return false;
}

/** Reads a file that holds one path; Git ends it with a line feed, which is no part of it. */
function readPath(file: string): string | undefined {
  const text = readBounded(file, pathFileBytesMax)
    ?.toString('utf8')
    .replace(/[\r\n]+$/, '');
  return text === '' ? undefined : text;
}

/** Lists the tops of all working trees of a repository but this one, also of those that are gone. */
export function otherRoots({ commonDir, root, mainRoot }: GitLayout): string[] {
  const linked = namesIn(path.join(commonDir, 'worktrees')).flatMap((name) => {
    // The path of the `.git` of that working tree; relative ones start from the folder of this file.
    const folder = path.join(commonDir, 'worktrees', name);
    const dotGit = readPath(path.join(folder, 'gitdir'));
    return dotGit === undefined ? [] : [realOrGiven(path.dirname(path.resolve(folder, dotGit)))];
  });
  const main = mainRoot === undefined ? [] : [realOrGiven(mainRoot)];
  return [...new Set([...main, ...linked])].filter((each) => each !== root).sort();
}

/** Lists the Git directories of all working trees of a repository. */
export function gitDirectories({ commonDir }: GitLayout): string[] {
  const folder = path.join(commonDir, 'worktrees');
  return [commonDir, ...namesIn(folder).map((name) => path.join(folder, name))];
}

function namesIn(folder: string): string[] {
  try {
    return fs.readdirSync(folder).sort();
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(systemCode(error) ?? '')) return [];
    throw fromSystemError(error, `reading ${printable(folder)}`);
  }
}

function realOrGiven(folder: string): string {
  try {
    return fs.realpathSync(folder);
  } catch {
    return folder;
  }
}

/** What cannot be looked at counts as absent: the walk upwards passes folders of other users. */
function statOf(file: string): fs.Stats | undefined {
  try {
    return fs.statSync(file);
  } catch {
    return undefined;
  }
}
