import type { AnnotatedTag, NewTag } from './tag-object.ts';

/** A file of a commit, as Git names it. */
export interface GitFile {
  /** Path from the top of the repository, `/`-separated. */
  readonly path: string;
  /** Git's object id of the content: 40 hexadecimal digits, or 64 in a SHA-256 repository. */
  readonly oid: string;
}

/** A file of the history. */
export interface HistoricFile extends GitFile {
  /** One commit that holds it: the earliest by its time. */
  readonly commit: string;
  /** When that commit was made, by the clock of who made it: milliseconds since 1970-01-01 UTC. */
  readonly time: number;
}

/** What HEAD points to. */
export interface GitHead {
  /** Short branch name; undefined when HEAD is detached. */
  readonly branch: string | undefined;
  /** Commit id; undefined in a repository without commits. */
  readonly commit: string | undefined;
}

/** Where what is in the working tree comes from. */
export interface GitLineage extends GitHead {
  /** Whether the working tree holds something else than the commit, as far as was asked. */
  readonly dirty: boolean;
  /** URL of the remote `origin`, else of the only one, without credentials; undefined without. */
  readonly remoteUrl: string | undefined;
}

/** A readable reference of the repository. */
export interface GitReference {
  readonly name: string;
  readonly kind: 'branch' | 'tag' | 'remote-branch';
  /** Id of the commit it leads to, annotated tags peeled. */
  readonly commit: string;
}

/**
 * What mstore reads from a Git repository, and the one thing it writes there: tags, by
 * {@link GitRepository.createTag}. Every method may be called any number
 * of times and in parallel; answers about a commit never change, answers about references may be stale
 * by the time they arrive. Failures of Git itself are `git-failed`.
 */
export interface GitRepository {
  /** Absolute path of the top of the working tree. */
  readonly root: string;
  /** Absolute path of the directory shared by all worktrees of the repository. */
  readonly commonDir: string;
  /** Absolute path of the main working tree, when this one is linked to it; otherwise undefined. */
  readonly mainRoot: string | undefined;
  /** Which implementation answers. */
  readonly kind: 'binary' | 'isomorphic';

  head(): Promise<GitHead>;

  /**
   * Resolves a branch, tag, remote branch, full reference name or commit id (abbreviated to no fewer
   * than 4 digits), with `~N` and `^N` behind it if wanted, to a commit id. Returns undefined when
   * nothing has that name, when several commits fit an abbreviated id, and for text that is no valid
   * name at all.
   */
  resolve(rev: string): Promise<string | undefined>;

  /** Lists the regular files of a commit whose paths end with `suffix`, sorted by path. */
  listFiles(commit: string, suffix: string): Promise<GitFile[]>;

  /**
   * Reads file contents by object id; each is handed to `use` as soon as it is read, in no given order.
   * @throws MstoreError `too-large` for a content above `bytesMax`, before it is held in memory where
   * Git tells the size first
   */
  readFiles(
    oids: readonly string[],
    bytesMax: number,
    use: (oid: string, content: Buffer) => void,
  ): Promise<void>;

  /** Lists all branches, tags and remote branches that lead to commits. */
  references(): Promise<GitReference[]>;

  /**
   * Lists the commits that Git itself keeps: those that references of every kind, stashes among them, HEADs
   * and reflogs of all working trees lead to. What these name and is gone is left out.
   */
  keptCommits(): Promise<string[]>;

  /**
   * Lists the distinct files whose paths end with `suffix` in the indexes of all working trees, the versions
   * of files in conflict among them.
   */
  indexedFiles(suffix: string): Promise<GitFile[]>;

  /** Lists the absolute tops of all working trees but this one, also of those whose folders are gone. */
  otherRoots(): string[];

  /**
   * Lists the annotated tags that lead to commits and whose short names are wanted, unordered.
   * @throws MstoreError `too-large` for a tag with more than 1 MiB of text
   */
  annotatedTags(wanted: (name: string) => boolean): Promise<AnnotatedTag[]>;

  /**
   * Makes an annotated tag, and never changes one that is there: of several writers of a name one is
   * told `created`, the others `exists`. It is not signed, and nothing is pushed.
   * @throws MstoreError `git-failed` for a name that Git does not take, also because another reference
   * is named like a folder of it; `internal` for a commit that is no object id
   */
  createTag(tag: NewTag): Promise<'created' | 'exists'>;

  /**
   * Lists every distinct file whose path ends with `suffix` in any commit reachable from `from`
   * (commit ids); each pair of path and object id once.
   */
  history(from: readonly string[], suffix: string): Promise<HistoricFile[]>;

  /** Tells which of the paths (from the top) Git ignores and does not track. */
  ignored(paths: readonly string[]): Promise<Set<string>>;

  /** Lists the paths (from the top) in the index that are `path` or lie below it; at most `max`. */
  trackedBelow(path: string, max: number): Promise<string[]>;

  /**
   * Tells where the working tree comes from. It is dirty when a tracked file differs from the index or
   * the index from HEAD, when a submodule is at another commit, and when one of `paths` (from the top) is there
   * and not tracked. Other files that are not tracked, and changes within submodules, do not count.
   * Without the program Git, a file that differs in the ends of its lines alone counts as unchanged,
   * and one that could not be compared (above 64 MiB, more than 1 GiB in all, behind a filter) as
   * changed, unless its times are those in the index.
   */
  lineage(paths?: readonly string[]): Promise<GitLineage>;

  /**
   * Tells who Git would name as the author of a commit, `Name <mail>`, from its variables and its
   * configuration; undefined where one of both is not set there: nothing is made up from the names of
   * user and host.
   */
  identity(): Promise<string | undefined>;
}
