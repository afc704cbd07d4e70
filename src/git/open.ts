import { MstoreError } from '../base/errors.ts';
import { openBinary } from './binary.ts';
import { findGit } from './find-program.ts';
import { openIsomorphic } from './isomorphic.ts';
import { findLayout } from './layout.ts';
import { isProgramMissing } from './process.ts';
import type { GitRepository } from './repository.ts';

/** Options of {@link openGit}. */
export interface OpenGitOptions {
  /** `auto` (the default) takes the program when PATH has it, and the built-in reader otherwise. */
  readonly prefer?: 'auto' | 'binary' | 'isomorphic';
  /** Environment for the search on PATH and for the program; default: that of the process. */
  readonly env?: NodeJS.ProcessEnv;
}

/**
 * Opens the repository whose working tree holds a folder; undefined when there is none. Starts no
 * program yet.
 * @throws MstoreError `git-failed` when `binary` is preferred and PATH has no git, or a `.git` file
 * leads nowhere; `not-found` when the folder does not exist
 */
export async function openGit(
  startDir: string,
  options: OpenGitOptions = {},
): Promise<GitRepository | undefined> {
  const layout = findLayout(startDir);
  if (layout === undefined) return undefined;
  const prefer = options.prefer ?? 'auto';
  const env = options.env ?? process.env;
  if (prefer === 'isomorphic') return openIsomorphic(layout, env);
  const program = findGit(env);
  if (program === undefined && prefer === 'binary') {
    throw new MstoreError('git-failed', 'The program git was not found on PATH', {
      hint: 'Install git, or let mstore read the repository itself',
    });
  }
  if (program === undefined) return openIsomorphic(layout, env);
  const binary = openBinary(layout, program, env);
  return prefer === 'binary' ? binary : fallingBack(binary, () => openIsomorphic(layout, env));
}

/**
 * Answers through `first` until its program turns out not to start, and through `second` from then on.
 * A program that starts and fails is no reason to change: it may refuse for the user's safety.
 */
function fallingBack(first: GitRepository, makeSecond: () => GitRepository): GitRepository {
  let current = first;
  async function ask<T>(question: (git: GitRepository) => Promise<T>): Promise<T> {
    const asked = current;
    try {
      return await question(asked);
    } catch (error) {
      if (asked !== first || !isProgramMissing(error)) throw error;
      if (current === first) current = makeSecond();
      return question(current);
    }
  }
  return {
    root: first.root,
    commonDir: first.commonDir,
    mainRoot: first.mainRoot,
    get kind() {
      return current.kind;
    },
    head: () => ask((git) => git.head()),
    resolve: (rev) => ask((git) => git.resolve(rev)),
    listFiles: (commit, suffix) => ask((git) => git.listFiles(commit, suffix)),
    readFiles: (oids, bytesMax, use) => ask((git) => git.readFiles(oids, bytesMax, use)),
    references: () => ask((git) => git.references()),
    keptCommits: () => ask((git) => git.keptCommits()),
    indexedFiles: (suffix) => ask((git) => git.indexedFiles(suffix)),
    otherRoots: () => current.otherRoots(),
    annotatedTags: (wanted) => ask((git) => git.annotatedTags(wanted)),
    createTag: (tag) => ask((git) => git.createTag(tag)),
    history: (from, suffix) => ask((git) => git.history(from, suffix)),
    ignored: (paths) => ask((git) => git.ignored(paths)),
    trackedBelow: (path, max) => ask((git) => git.trackedBelow(path, max)),
    lineage: (paths) => ask((git) => git.lineage(paths)),
    identity: () => ask((git) => git.identity()),
  };
}
