import * as path from 'node:path';
import { sortEntries } from '../base/tree.ts';
import {
  badTagName,
  checkObjectId,
  isRegularMode,
  isTagName,
  notAFile,
  tooLarge,
} from './checks.ts';
import { gitSettings, readGitConfigFile } from './config-file.ts';
import { readIdentity } from './identity.ts';
import { type IndexEntry, readIndex } from './index-file.ts';
import { keptCommits } from './isomorphic-kept.ts';
import {
  absent,
  gitNeeded,
  type Isomorphic,
  linksOf,
  need,
  needsGit,
  peel,
  walkTree,
} from './isomorphic-objects.ts';
import { type GitLayout, gitDirectories, otherRoots } from './layout.ts';
import { anyUntracked, remoteUrlOf } from './lineage.ts';
import { openObjects, parseCommit, readShallow, writeObject } from './objects.ts';
import { createReference, listReferences, readHead, readReference } from './refs.ts';
import type {
  GitFile,
  GitHead,
  GitLineage,
  GitReference,
  GitRepository,
  HistoricFile,
} from './repository.ts';
import {
  describeReference,
  parseRevision,
  type Revision,
  referenceCandidates,
} from './revision.ts';
import {
  type AnnotatedTag,
  formatTag,
  type NewTag,
  parseTagContent,
  tagBytesMax,
} from './tag-object.ts';
import { trackedFilesDiffer } from './tracked-changes.ts';

/**
 * Opens a repository whose questions are answered without the program `git`: references are read from
 * their files, objects and the index through isomorphic-git. Paths that are not valid UTF-8 are left
 * out of all lists, as mstore cannot name them. Works on what most repositories are; where it cannot,
 * every method fails with `git-failed` and says that git is needed. Slower than git on large
 * repositories, and holds whole packs in memory; content above a bound is refused only after reading.
 * @param env where Git's variables and the home of the user are looked for
 */
export function openIsomorphic(layout: GitLayout, env: NodeJS.ProcessEnv): GitRepository {
  const git: Isomorphic = {
    layout,
    objects: openObjects(layout),
    trees: { lines: 0, byOid: new Map() },
  };
  const known = async <T>(answer: () => Promise<T>): Promise<T> => {
    const reason = needsGit(layout);
    if (reason !== undefined) throw gitNeeded(layout, reason);
    return answer();
  };
  return {
    root: layout.root,
    commonDir: layout.commonDir,
    mainRoot: layout.mainRoot,
    kind: 'isomorphic',
    head: () => known(() => head(git)),
    resolve: (rev) => known(() => resolve(git, rev)),
    listFiles: (commit, suffix) => known(() => listFiles(git, commit, suffix)),
    readFiles: (oids, bytesMax, use) => known(() => readFiles(git, oids, bytesMax, use)),
    references: () => known(() => references(git)),
    keptCommits: () => known(() => keptCommits(git)),
    indexedFiles: (suffix) => known(async () => indexedFiles(layout, suffix)),
    otherRoots: () => otherRoots(layout),
    annotatedTags: (wanted) => known(() => annotatedTags(git, wanted)),
    createTag: (tag) => known(() => createTag(git, tag)),
    history: (from, suffix) => known(() => history(git, from, suffix)),
    ignored: (paths) => known(() => ignored(git, paths)),
    trackedBelow: (path, max) => known(() => trackedBelow(git, path, max)),
    lineage: (paths = []) => known(() => lineage(git, paths)),
    identity: () => known(async () => readIdentity(layout, env)),
  };
}

async function head(git: Isomorphic): Promise<GitHead> {
  const { name, oid } = readHead(git.layout);
  return {
    branch: name?.startsWith('refs/heads/') ? name.slice('refs/heads/'.length) : undefined,
    commit: oid === undefined ? undefined : await peel(git, oid),
  };
}

async function resolve(git: Isomorphic, rev: string): Promise<string | undefined> {
  const revision = parseRevision(rev);
  if (revision === undefined) return undefined;
  const start = await resolveBase(git, revision.base);
  return start === undefined ? undefined : await follow(git, start, revision.steps);
}

/** The order is Git's: a whole id, references, then abbreviated ids. */
async function resolveBase(git: Isomorphic, base: string): Promise<string | undefined> {
  if (/^[0-9a-f]{40}$/i.test(base)) return peel(git, base.toLowerCase());
  for (const name of referenceCandidates(base)) {
    const oid = readReference(git.layout, name);
    if (oid !== undefined) return peel(git, oid);
  }
  // What `git describe` prints, v1-3-gabcdef, ends with an abbreviated id.
  const digits = /^(?:.+-g)?([0-9a-f]{4,39})$/i.exec(base)?.[1]?.toLowerCase();
  if (digits === undefined) return undefined;
  const commits: string[] = [];
  for (const oid of await git.objects.expand(digits)) {
    const commit = await peel(git, oid);
    if (commit !== undefined) commits.push(commit);
  }
  return commits.length === 1 ? commits[0] : undefined;
}

async function follow(
  git: Isomorphic,
  start: string,
  steps: Revision['steps'],
): Promise<string | undefined> {
  let commit: string | undefined = start;
  for (const { kind, count } of steps) {
    const times = kind === 'ancestor' ? count : Math.min(count, 1);
    const parent = kind === 'ancestor' ? 0 : count - 1;
    for (let i = 0; i < times && commit !== undefined; i++) {
      commit = (await linksOf(git, commit)).parents[parent];
    }
  }
  return commit;
}

async function listFiles(git: Isomorphic, commit: string, suffix: string): Promise<GitFile[]> {
  checkObjectId(commit);
  const files: GitFile[] = [];
  const { tree } = parseCommit(commit, await need(git, commit, 'commit'));
  await walkTree(
    git,
    tree,
    () => true,
    (file, mode) => {
      if (isRegularMode(mode) && file.path.endsWith(suffix)) files.push(file);
    },
  );
  return sortEntries(files);
}

async function readFiles(
  git: Isomorphic,
  oids: readonly string[],
  bytesMax: number,
  use: (oid: string, content: Buffer) => void,
): Promise<void> {
  const wanted = new Set(oids);
  for (const oid of wanted) checkObjectId(oid);
  for (const oid of wanted) {
    const object = await git.objects.find(oid);
    if (object === undefined) throw absent(git, oid);
    if (object.type !== 'blob') throw notAFile(oid, object.type);
    if (object.content.length > bytesMax) throw tooLarge(oid, object.content.length, bytesMax);
    use(oid, object.content);
  }
}

async function references(git: Isomorphic): Promise<GitReference[]> {
  const result: GitReference[] = [];
  for (const { fullName, oid } of listReferences(git.layout)) {
    const described = describeReference(fullName);
    if (described === undefined) continue;
    // A list with a gap would make what only the gap reaches look unused.
    const commit = await peel(git, oid, true);
    if (commit !== undefined) result.push({ ...described, commit });
  }
  return result;
}

async function annotatedTags(
  git: Isomorphic,
  wanted: (name: string) => boolean,
): Promise<AnnotatedTag[]> {
  const found: AnnotatedTag[] = [];
  for (const { fullName, oid } of listReferences(git.layout)) {
    const name = /^refs\/tags\/(.+)$/s.exec(fullName)?.[1];
    if (name === undefined || !wanted(name)) continue;
    const object = await git.objects.find(oid);
    if (object === undefined) throw absent(git, oid);
    if (object.type !== 'tag') continue;
    const { length } = object.content;
    if (length > tagBytesMax) throw tooLarge(oid, length, tagBytesMax);
    const commit = await peel(git, oid, true);
    if (commit !== undefined) found.push({ name, commit, ...parseTagContent(object.content) });
  }
  return found;
}

async function createTag(git: Isomorphic, tag: NewTag): Promise<'created' | 'exists'> {
  const name = `refs/tags/${tag.name}`;
  if (!isTagName(tag.name)) throw badTagName(tag.name);
  await need(git, tag.commit, 'commit');
  if (readReference(git.layout, name) !== undefined) return 'exists';
  const oid = writeObject(git.layout, 'tag', formatTag(tag));
  return createReference(git.layout, name, oid) ? 'created' : 'exists';
}

async function history(
  git: Isomorphic,
  from: readonly string[],
  suffix: string,
): Promise<HistoricFile[]> {
  for (const commit of from) checkObjectId(commit);
  const found = new Map<string, HistoricFile>();
  // A tree with the same id at the same place has the same files: most of a commit is its parent's.
  const seenTrees = new Set<string>();
  for (const { commit, tree, time } of await commitsFrom(git, from)) {
    await walkTree(
      git,
      tree,
      (prefix, oid) => seenTrees.size !== seenTrees.add(`${oid} ${prefix}`).size,
      ({ path, oid }, mode) => {
        const key = `${oid} ${path}`;
        if (!isRegularMode(mode) || !path.endsWith(suffix) || found.has(key)) return;
        found.set(key, { path, oid, commit, time });
      },
    );
  }
  return [...found.values()];
}

/** Lists all commits that can be reached, the earliest first. */
async function commitsFrom(
  git: Isomorphic,
  from: readonly string[],
): Promise<Array<{ commit: string; tree: string; time: number }>> {
  const seen = new Set(from);
  const shallow = readShallow(git.layout.commonDir);
  const commits: Array<{ commit: string; tree: string; time: number }> = [];
  const waiting = [...seen];
  for (let commit = waiting.pop(); commit !== undefined; commit = waiting.pop()) {
    const { tree, parents, time } = parseCommit(commit, await need(git, commit, 'commit'));
    commits.push({ commit, tree, time });
    if (shallow.has(commit)) continue;
    for (const parent of parents) {
      if (seen.has(parent)) continue;
      seen.add(parent);
      waiting.push(parent);
    }
  }
  return commits.sort((a, b) => a.time - b.time);
}

function indexedFiles(layout: GitLayout, suffix: string): GitFile[] {
  const found = new Map<string, GitFile>();
  for (const gitDir of gitDirectories(layout)) {
    for (const { path, oid, mode, intentToAdd } of readIndex({ ...layout, gitDir })) {
      if (intentToAdd || !isRegularMode(mode) || !path.endsWith(suffix)) continue;
      if (!path.includes('\ufffd')) found.set(`${oid} ${path}`, { path, oid });
    }
  }
  return sortEntries([...found.values()]);
}

async function ignored(git: Isomorphic, paths: readonly string[]): Promise<Set<string>> {
  if (paths.length === 0) return new Set();
  const { ignoreRules } = await import('./ignore-rules.ts');
  const isIgnored = ignoreRules(git.layout);
  const matching = paths.filter(isIgnored);
  if (matching.length === 0) return new Set();
  const tracked = new Set<string>();
  for (const { path } of readIndex(git.layout)) {
    // A folder with tracked files is not ignored either.
    for (let at = path.length; at > 0; at = path.lastIndexOf('/', at - 1)) {
      tracked.add(path.slice(0, at));
    }
  }
  return new Set(matching.filter((path) => !tracked.has(path.replace(/\/+$/, ''))));
}

async function trackedBelow(git: Isomorphic, path: string, max: number): Promise<string[]> {
  const below = path.replace(/\/+$/, '');
  const all = below === '' || below === '.';
  const found = new Set<string>();
  for (const { path: tracked } of readIndex(git.layout)) {
    if (found.size >= max) break;
    if (tracked.includes('\ufffd')) continue;
    // A file in conflict is listed once for each of its versions.
    if (all || tracked === below || tracked.startsWith(`${below}/`)) found.add(tracked);
  }
  return [...found];
}

async function lineage(git: Isomorphic, paths: readonly string[]): Promise<GitLineage> {
  const at = await head(git);
  const entries = readIndex(git.layout);
  const changed =
    (await isStaged(git, at.commit, entries)) || (await trackedFilesDiffer(git.layout, entries));
  const untracked = await anyUntracked(git.layout.root, paths, (path) =>
    trackedBelow(git, path, 1),
  );
  const settings = gitSettings(readGitConfigFile(path.join(git.layout.commonDir, 'config')));
  return { ...at, dirty: changed || untracked, remoteUrl: remoteUrlOf(settings) };
}

/** Old trees have modes of files that the index does not know: it keeps the executable bit alone. */
function indexMode(mode: string): string {
  if (!isRegularMode(mode)) return mode;
  return (Number.parseInt(mode, 8) & 0o100) === 0 ? '100644' : '100755';
}

/** Tells whether the index differs from a commit, or from nothing where there is none. */
async function isStaged(
  git: Isomorphic,
  commit: string | undefined,
  entries: readonly IndexEntry[],
): Promise<boolean> {
  const staged = new Map<string, string>();
  for (const { path, mode, oid, stage, intentToAdd } of entries) {
    if (stage > 0 || intentToAdd) return true;
    if (!path.includes('\ufffd')) staged.set(path, `${mode} ${oid}`);
  }
  if (commit === undefined) return staged.size > 0;
  let same = 0;
  let committed = 0;
  const { tree } = parseCommit(commit, await need(git, commit, 'commit'));
  await walkTree(
    git,
    tree,
    () => same === committed,
    ({ path, oid }, mode) => {
      committed += 1;
      if (staged.get(path) === `${indexMode(mode)} ${oid}`) same += 1;
    },
  );
  return same !== committed || same !== staged.size;
}
