import { mapConcurrently } from '../../base/concurrency.ts';
import type { KeepPolicy } from '../../store/clean-up.ts';
import { pointerSuffix } from '../../worktree/pointer.ts';
import type { GitRoots, HistoricRoot, Root } from '../root-set.ts';
import { contentName, readPointers, requireGit } from '../tracked.ts';
import type { Workspace } from '../workspace.ts';

/** What a policy keeps of a history, and what it gives up. */
export interface Selection {
  readonly kept: readonly Root[];
  readonly dropped: readonly HistoricRoot[];
}

/** Commits whose files are listed at once. */
const listsAtOnce = 8;

/**
 * Applies a policy to the history. Whatever it says, what is in the working trees, staged, or in the commits
 * that HEAD, branches, remote branches and the newest stash lead to is kept.
 * @param policy undefined keeps all
 * @param now milliseconds since 1970-01-01 UTC
 * @throws MstoreError `no-git`
 */
export async function selectPast(
  workspace: Workspace,
  { current, past }: GitRoots,
  policy: KeepPolicy | undefined,
  now: number,
): Promise<Selection> {
  if (policy === undefined) return { kept: [...current, ...past], dropped: [] };
  const tips = await tipContents(workspace, policy.tags ?? []);
  for (const { item } of current) tips.add(contentName(item));
  const byPath = new Map<string, HistoricRoot[]>();
  for (const root of past) {
    const { path } = root.item;
    byPath.set(path, [...(byPath.get(path) ?? []), root]);
  }
  const kept: Root[] = [...current];
  const dropped: HistoricRoot[] = [];
  for (const versions of byPath.values()) {
    versions.sort((a, b) => b.time - a.time);
    const recent = recentCount(versions, policy, now);
    for (const [i, root] of versions.entries()) {
      (i < recent || tips.has(contentName(root.item)) ? kept : dropped).push(root);
    }
  }
  return { kept, dropped };
}

/** How many of the versions of a path, the newest first, are kept for their age or number. */
function recentCount(
  versions: readonly HistoricRoot[],
  { last = 0, withinMs }: KeepPolicy,
  now: number,
): number {
  if (withinMs === undefined) return last;
  const within = versions.filter(({ time }) => time >= now - withinMs).length;
  // The one before them was in use when the time began.
  return Math.max(last, within + 1);
}

/** Lists what the tips of branches and the chosen tags have. */
async function tipContents(workspace: Workspace, tags: readonly string[]): Promise<Set<string>> {
  const git = requireGit(workspace);
  const commits = new Set<string>();
  for (const { kind, name, commit } of await git.references()) {
    if (kind !== 'tag' || tags.some((pattern) => fits(name, pattern))) commits.add(commit);
  }
  for (const commit of [(await git.head()).commit, await git.resolve('refs/stash')]) {
    if (commit !== undefined) commits.add(commit);
  }
  const lists = await mapConcurrently([...commits], listsAtOnce, (commit) =>
    git.listFiles(commit, pointerSuffix),
  );
  const files = lists.flat().filter(({ path }) => path.startsWith(workspace.gitPrefix));
  const distinct = new Map(files.map((file) => [`${file.oid} ${file.path}`, file]));
  const { tracked } = await readPointers(workspace, [...distinct.values()]);
  return new Set(tracked.map(contentName));
}

/** Tells whether a name fits a pattern, in which `*` stands for any characters. */
function fits(name: string, pattern: string): boolean {
  const [first = '', ...rest] = pattern.split('*');
  if (rest.length === 0) return name === pattern;
  const last = rest.pop() ?? '';
  if (!name.startsWith(first) || name.length < first.length + last.length) return false;
  let at = first.length;
  const end = name.length - last.length;
  for (const part of rest) {
    const found = name.indexOf(part, at);
    if (found < 0 || found + part.length > end) return false;
    at = found + part.length;
  }
  return name.endsWith(last);
}
