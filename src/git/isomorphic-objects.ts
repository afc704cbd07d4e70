import { MstoreError } from '../base/errors.ts';
import { printable } from '../base/names.ts';
import type { GitLayout } from './layout.ts';
import {
  type CommitLinks,
  type GitObjects,
  parseCommit,
  parseTree,
  readShallow,
  type TreeLine,
} from './objects.ts';
import type { GitFile } from './repository.ts';
import { parseTag } from './tag-object.ts';

/** One repository, its objects and the trees parsed last. */
export interface Isomorphic {
  readonly layout: GitLayout;
  readonly objects: GitObjects;
  readonly trees: { lines: number; readonly byOid: Map<string, readonly TreeLine[]> };
}

/** Lines of trees kept after parsing; each takes some hundred bytes. */
const treeLinesKeptMax = 250_000;
/** Tags that name tags. */
const tagDepthMax = 64;

/** Says what of a repository only git itself can read, or undefined. */
export function needsGit(layout: GitLayout): string | undefined {
  if (layout.objectFormat !== 'sha1') return 'SHA-256 object ids';
  if (layout.refStorage !== 'files') return 'the reftable format for its references';
  if (layout.alternates) return 'objects of another repository (objects/info/alternates)';
  return undefined;
}

/** Makes the error for what only git itself can read. */
export function gitNeeded(layout: GitLayout, reason: string): MstoreError {
  return new MstoreError(
    'git-failed',
    `Cannot read the repository ${printable(layout.root)} without git`,
    { hint: `Install git: this repository uses ${reason}, which needs the git program` },
  );
}

/** Follows tags to a commit; undefined when there is none at the end, or no such object. */
export async function peel(
  git: Isomorphic,
  oid: string,
  mustExist = false,
): Promise<string | undefined> {
  let current = oid;
  for (let depth = 0; depth < tagDepthMax; depth++) {
    const object = await git.objects.find(current);
    if (object === undefined && mustExist) throw absent(git, current);
    if (object?.type === 'commit') return current;
    if (object?.type !== 'tag') return undefined;
    current = parseTag(current, object.content);
  }
  return undefined;
}

/** Reads what a commit leads to; the parents beyond the end of a shallow clone are left out. */
export async function linksOf(git: Isomorphic, commit: string): Promise<CommitLinks> {
  const links = parseCommit(commit, await need(git, commit, 'commit'));
  if (links.parents.length === 0 || !readShallow(git.layout.commonDir).has(commit)) return links;
  return { ...links, parents: [] };
}

/** Reads an object that must be there and of a type. */
export async function need(git: Isomorphic, oid: string, type: string): Promise<Buffer> {
  const object = await git.objects.find(oid);
  if (object === undefined) throw absent(git, oid);
  if (object.type !== type) {
    throw new MstoreError('git-failed', `Git object ${oid} is no ${type} but a ${object.type}`);
  }
  return object.content;
}

/** Makes the error for an object that is not there. */
export function absent(git: Isomorphic, oid: string): MstoreError {
  if (git.layout.partialClone) return gitNeeded(git.layout, 'a partial clone');
  return new MstoreError('git-failed', `The Git object ${oid} is missing`, {
    hint: 'Fetch what is absent (git fetch, and git fetch --unshallow in a shallow clone), or run git fsck',
    details: { oid },
  });
}

async function treeLines(git: Isomorphic, oid: string): Promise<readonly TreeLine[]> {
  const known = git.trees.byOid.get(oid);
  if (known !== undefined) return known;
  const lines = parseTree(oid, await need(git, oid, 'tree'));
  if (git.trees.lines + lines.length > treeLinesKeptMax) {
    git.trees.byOid.clear();
    git.trees.lines = 0;
  }
  git.trees.byOid.set(oid, lines);
  git.trees.lines += lines.length;
  return lines;
}

/**
 * Walks the trees below one, handing out files, links and submodules by path.
 * @param enter tells whether a folder is to be read; asked once for each, also for the top
 */
export async function walkTree(
  git: Isomorphic,
  top: string,
  enter: (prefix: string, oid: string) => boolean,
  onEntry: (entry: GitFile, mode: string) => void,
): Promise<void> {
  const waiting = [{ prefix: '', oid: top }];
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    if (!enter(next.prefix, next.oid)) continue;
    for (const { name, mode, oid } of await treeLines(git, next.oid)) {
      const path = next.prefix + name;
      if (path.includes('\ufffd')) continue;
      if (/^0?40000$/.test(mode)) waiting.push({ prefix: `${path}/`, oid });
      else onEntry({ path, oid }, mode);
    }
  }
}
