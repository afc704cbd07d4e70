import { expect, it } from 'vitest';
import type { GitRepository } from '../../../src/git/repository.ts';
import { commitFiles, git, gitWithInput, makeRepo } from '../../support/git.ts';

const suffix = '.mstore';
type Open = (dir: string) => Promise<GitRepository>;

/** Finding the files of all commits. */
export function historySuite(open: Open): void {
  it('finds every file of a long history with merges, removals and renames', async () => {
    const root = makeRepo();
    gitWithInput(root, longHistory(300), 'fast-import', '--quiet');
    git(root, 'checkout', '-q', 'main');
    commitFiles(root, { 'models/m1.mstore': null, 'moved/m0.mstore': 'last 0' });
    git(root, 'checkout', '-q', '-b', 'lost');
    commitFiles(root, { 'lost/only-here.mstore': 'from a side that a merge threw away' });
    git(root, 'checkout', '-q', 'main');
    git(root, 'merge', '-q', '-s', 'ours', '--no-edit', 'lost');
    git(root, 'checkout', '-q', '-b', 'side', 'HEAD~1');
    commitFiles(root, { 'models/m3.mstore': 'side', 'link.mstore': 'becomes a file' });
    git(root, 'checkout', '-q', 'main');
    git(root, 'merge', '-q', '--no-commit', '-s', 'ours', 'side');
    commitFiles(root, { 'evil.mstore': 'only in the merge', 'models/m3.mstore': 'mixed' });
    git(root, 'checkout', '-q', '--orphan', 'island');
    commitFiles(root, { 'models/m3.mstore': 'island' });
    git(root, 'gc', '-q');

    const repo = await open(root);
    const tips = (await repo.references()).map((each) => each.commit);
    const found = await repo.history(tips, suffix);
    expect(found.map(({ path: name, oid }) => `${oid} ${name}`).sort()).toEqual(
      allFiles(root, ['--all']),
    );
    expect(found.length).toBeGreaterThan(300);
    for (const { path: name, oid, commit, time } of found.filter((_, i) => i % 40 === 0)) {
      expect(git(root, 'rev-parse', `${commit}:${name}`)).toBe(oid);
      expect(git(root, 'show', '-s', '--format=%ct', commit)).toBe(String(time / 1000));
    }
    const first = found.find(({ commit }) => commit === git(root, 'rev-parse', 'main~20'));
    expect(first?.time).toBeGreaterThan(1_600_000_000_000);
    // Only what is reachable from where it is told to begin.
    const early = git(root, 'rev-parse', 'main~20');
    const earlyFound = await repo.history([early, early], suffix);
    expect(earlyFound.map(({ path: name, oid }) => `${oid} ${name}`).sort()).toEqual(
      allFiles(root, [early]),
    );
    const names = await repo.history(tips, '3.mstore');
    expect(new Set(names.map((file) => file.path))).toContain('models/m3.mstore');
    expect(await repo.history(tips, '[3].mstore')).toEqual([]);
  });
}

/** A stream for `git fast-import`: commits that change one of seven files each. */
function longHistory(count: number): string {
  const parts: string[] = [];
  for (let i = 0; i < count; i++) {
    const text = `version ${i}`;
    parts.push(
      `commit refs/heads/main\ncommitter T <t@example.com> ${1_600_000_000 + i} +0000\ndata 1\nc\n`,
      `M 100644 inline models/m${i % 7}.mstore\ndata ${text.length}\n${text}\n`,
      `M 100644 inline code/f${i % 5}.txt\ndata ${text.length}\n${text}\n`,
    );
  }
  return parts.join('');
}

/** The slow and sure way: the whole tree of every commit. */
function allFiles(root: string, tips: string[]): string[] {
  const found = new Set<string>();
  for (const commit of git(root, 'rev-list', ...tips)
    .split('\n')
    .filter(keepSome)) {
    for (const line of git(root, 'ls-tree', '-r', commit).split('\n')) {
      const [, mode, oid, name] = /^(\d+) \w+ (\w+)\t(.*)$/.exec(line) ?? [];
      if (mode?.startsWith('100') && name?.endsWith(suffix)) found.add(`${oid} ${name}`);
    }
  }
  return [...found].sort();
}

/** Each file of the long history lives for seven commits: every fifth commit shows them all. */
function keepSome(_: string, index: number): boolean {
  return index < 20 || index % 5 === 0;
}
