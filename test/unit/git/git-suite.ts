import * as fs from 'node:fs';
import * as path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import type { GitRepository } from '../../../src/git/repository.ts';
import { commitFiles, git, gitWithInput, makeRepo, tempFolder } from '../../support/git.ts';
import { filesSuite } from './git-suite-files.ts';
import { historySuite } from './git-suite-history.ts';
import { identitySuite } from './git-suite-identity.ts';
import { ignoredSuite, trackedSuite } from './git-suite-index.ts';
import { keptSuite } from './git-suite-kept.ts';
import { lineageSuite, remoteUrlSuite } from './git-suite-lineage.ts';
import { tagSuite } from './git-suite-tags.ts';

const suffix = '.mstore';

/** The contract of GitRepository; runs on repositories made by the program git. */
export function gitSuite(
  name: string,
  open: (dir: string, env?: NodeJS.ProcessEnv) => Promise<GitRepository>,
): void {
  describe(name, () => {
    emptySuite(open);
    referenceSuite(open);
    layoutSuite(open);
    filesSuite(open);
    historySuite(open);
    keptSuite(open);
    ignoredSuite(open);
    trackedSuite(open);
    lineageSuite(open);
    remoteUrlSuite(open);
    identitySuite(open);
    tagSuite(open);
  });
}

type Open = (dir: string) => Promise<GitRepository>;

function emptySuite(open: Open): void {
  it('answers in a repository without commits', async () => {
    const repo = await open(makeRepo());
    expect(await repo.head()).toEqual({ branch: 'main', commit: undefined });
    expect(await repo.resolve('HEAD')).toBeUndefined();
    expect(await repo.resolve('main')).toBeUndefined();
    expect(await repo.references()).toEqual([]);
    expect(await repo.history([], suffix)).toEqual([]);
    expect(await repo.trackedBelow('', 10)).toEqual([]);
    expect(await repo.ignored(['a'])).toEqual(new Set());
    await repo.readFiles([], 10, () => expect.unreachable());
  });
}

function referenceSuite(open: Open): void {
  describe('references', () => {
    let root: string;
    let first: string;
    let second: string;
    let merge: string;

    beforeAll(() => {
      root = makeRepo();
      first = commitFiles(root, { a: '1' });
      git(root, 'tag', 'light');
      git(root, 'tag', '-a', '-m', 'text', 'annotated');
      git(root, 'tag', '-a', '-m', 'text', 'nested', 'annotated');
      git(root, 'tag', 'a-tree', 'HEAD^{tree}');
      git(root, 'update-ref', 'refs/remotes/origin/main', first);
      git(root, 'symbolic-ref', 'refs/remotes/origin/HEAD', 'refs/remotes/origin/main');
      git(root, 'update-ref', 'refs/other/thing', first);
      git(root, 'checkout', '-q', '-b', 'feature/x');
      second = commitFiles(root, { b: '2' });
      git(root, 'checkout', '-q', 'main');
      commitFiles(root, { c: '3' });
      git(root, 'merge', '-q', '--no-edit', 'feature/x');
      merge = git(root, 'rev-parse', 'HEAD');
    });

    const expected = () =>
      [
        { name: 'feature/x', kind: 'branch', commit: second },
        { name: 'main', kind: 'branch', commit: merge },
        { name: 'annotated', kind: 'tag', commit: first },
        { name: 'light', kind: 'tag', commit: first },
        { name: 'nested', kind: 'tag', commit: first },
        { name: 'origin/main', kind: 'remote-branch', commit: first },
      ].sort(byName);

    it('lists branches, tags and remote branches, peeled', async () => {
      expect([...(await (await open(root)).references())].sort(byName)).toEqual(expected());
    });

    it('resolves names, ids and steps as git does', async () => {
      const repo = await open(root);
      const names = [
        ...[
          'HEAD',
          '@',
          'main',
          'heads/main',
          'refs/heads/main',
          'feature/x',
          'light',
          'annotated',
        ],
        ...['nested', 'tags/nested', 'origin/main', 'origin', 'refs/other/thing', 'other/thing'],
        ...[
          'HEAD~1',
          'HEAD~',
          'HEAD^',
          'HEAD^2',
          'HEAD^2~1',
          'HEAD^^',
          '@~2',
          'nested^0',
          'HEAD~0',
        ],
        ...[
          first,
          first.slice(0, 7),
          first.slice(0, 12).toUpperCase(),
          `v1-2-g${first.slice(0, 8)}`,
        ],
        git(root, 'rev-parse', 'nested'),
      ];
      for (const name of names) {
        const commit = git(root, 'rev-parse', '--verify', `${name}^{commit}`);
        expect([name, await repo.resolve(name)]).toEqual([name, commit]);
      }
    });

    it('resolves nothing from other text, and runs nothing', async () => {
      const repo = await open(root);
      const tree = git(root, 'rev-parse', 'HEAD^{tree}');
      const names = [
        ...[
          '',
          ' ',
          '-x',
          '--help',
          '--output=owned',
          '--batch-all-objects',
          'a..b',
          'main..light',
        ],
        ...[
          'no-such',
          'HEAD~9',
          'HEAD^3',
          'HEAD~99999999',
          'HEAD:a',
          ':a',
          ':/text',
          'HEAD^{tree}',
        ],
        ...[
          'main@{0}',
          '@{u}',
          'ma*',
          'ma?n',
          '[m]ain',
          'main\nlight',
          'main\0',
          'main light',
          '^main',
        ],
        ...[
          'a-tree',
          tree,
          tree.slice(0, 8),
          'f'.repeat(40),
          'f'.repeat(39),
          'abc',
          'config',
          'index',
        ],
        ...[
          '../main',
          'refs/../HEAD',
          '/HEAD',
          'refs/heads',
          'refs/heads/',
          'feature',
          'description',
        ],
        ...[
          'x'.repeat(5000),
          'HEAD'.concat('~1'.repeat(400)),
          '\ud800',
          'ä',
          '~1',
          '^',
          '.',
          'a.lock',
        ],
      ];
      for (const name of names) {
        expect([name, await repo.resolve(name)]).toEqual([name, undefined]);
      }
      expect(fs.existsSync(path.join(root, 'owned'))).toBe(false);
    });

    it('reads detached HEADs', async () => {
      git(root, 'checkout', '-q', '--detach', second);
      const repo = await open(root);
      expect(await repo.head()).toEqual({ branch: undefined, commit: second });
      git(root, 'checkout', '-q', 'main');
      expect(await repo.head()).toEqual({ branch: 'main', commit: merge });
    });

    it('reads packed references and packed objects, also packed under its hands', async () => {
      const repo = await open(root);
      expect(await repo.resolve('nested')).toBe(first);
      git(root, 'gc', '-q', '--prune=now');
      expect(fs.existsSync(path.join(root, '.git/refs/heads/main'))).toBe(false);
      expect([...(await repo.references())].sort(byName)).toEqual(expected());
      expect(await repo.resolve('nested')).toBe(first);
      expect(await repo.resolve('feature/x~1')).toBe(first);
      expect(await repo.resolve(second.slice(0, 6))).toBe(second);
      expect((await repo.listFiles(merge, '')).map((file) => file.path)).toEqual(['a', 'b', 'c']);
      // A loose reference is newer than the packed one.
      git(root, 'update-ref', 'refs/tags/light', second);
      expect(await repo.resolve('light')).toBe(second);
      git(root, 'update-ref', 'refs/tags/light', first);
    });
  });

  it('takes an abbreviated id that fits several commits for none', async () => {
    const root = makeRepo();
    const tree = gitWithInput(root, '', 'mktree');
    // With 700 commits and 65,536 prefixes of 4 digits, some two share one.
    const stream = Array.from({ length: 700 }, (_, i) => {
      const text = `n${i}`;
      return `commit refs/heads/b${i}\ncommitter T <t@example.com> ${i} +0000\ndata ${text.length}\n${text}\n`;
    });
    gitWithInput(root, stream.join('\n'), 'fast-import', '--quiet');
    const ids = git(root, 'for-each-ref', '--format=%(objectname)', 'refs/heads').split('\n');
    const seen = new Map<string, string>();
    const pair = ids.find((id) => {
      const twin = seen.has(id.slice(0, 4));
      seen.set(id.slice(0, 4), id);
      return twin;
    });
    expect(pair).toBeDefined();
    expect(tree).toHaveLength(40);
    const repo = await open(root);
    expect(await repo.resolve(pair?.slice(0, 4) ?? '')).toBeUndefined();
    expect(await repo.resolve(pair?.slice(0, 12) ?? '')).toBe(pair);
  });
}

function layoutSuite(open: Open): void {
  it('works in subfolders, linked working trees and submodules', async () => {
    const top = tempFolder();
    const main = path.join(top, 'main');
    fs.mkdirSync(main);
    git(main, 'init', '-q');
    const first = commitFiles(main, { 'deep/er/a.mstore': '1', '.gitignore': '*.bin\n' });
    git(main, 'tag', '-a', '-m', 'text', 'v1');
    git(main, 'worktree', 'add', '-q', '-b', 'other', path.join(top, 'linked'));
    const linked = path.join(top, 'linked');
    const second = commitFiles(linked, { 'b.mstore': '2' });
    git(main, 'gc', '-q');
    git(main, 'submodule', '--quiet', 'add', main, 'sub');

    const sub = await open(path.join(main, 'deep/er'));
    expect(sub).toMatchObject({ root: main, commonDir: path.join(main, '.git') });
    expect(sub.mainRoot).toBeUndefined();
    expect(await sub.head()).toEqual({ branch: 'main', commit: first });

    const tree = await open(linked);
    expect(tree).toMatchObject({
      root: linked,
      commonDir: path.join(main, '.git'),
      mainRoot: main,
    });
    expect(await tree.head()).toEqual({ branch: 'other', commit: second });
    expect(await tree.resolve('HEAD')).toBe(second);
    expect(await tree.resolve('v1')).toBe(first);
    expect(await tree.resolve('main')).toBe(first);
    expect((await tree.listFiles(second, suffix)).map((file) => file.path)).toEqual([
      'b.mstore',
      'deep/er/a.mstore',
    ]);
    expect(await tree.trackedBelow('b.mstore', 9)).toEqual(['b.mstore']);
    expect(await sub.trackedBelow('b.mstore', 9)).toEqual([]);
    fs.writeFileSync(path.join(main, '.git/info/exclude'), '*.tmp\n');
    expect(await tree.ignored(['x.bin', 'x.tmp', 'x'])).toEqual(new Set(['x.bin', 'x.tmp']));

    const module = await open(path.join(main, 'sub'));
    expect(module).toMatchObject({
      root: path.join(main, 'sub'),
      commonDir: path.join(main, '.git/modules/sub'),
    });
    expect(module.mainRoot).toBeUndefined();
    expect(await module.head()).toEqual({ branch: 'main', commit: first });
    expect(await module.trackedBelow('deep', 9)).toEqual(['deep/er/a.mstore']);
  });

  it('ends at the boundary of a shallow clone', async () => {
    const origin = makeRepo();
    commitFiles(origin, { 'a.mstore': '1' });
    commitFiles(origin, { 'a.mstore': '2' });
    const clone = tempFolder();
    git(clone, 'clone', '-q', '--depth=1', `file://${origin}`, '.');
    const repo = await open(clone);
    const { commit = '' } = await repo.head();
    expect(await repo.resolve('HEAD~1')).toBeUndefined();
    expect(await repo.history([commit], suffix)).toHaveLength(1);
  });
}

function byName(a: { name: string }, b: { name: string }): number {
  return a.name < b.name ? -1 : 1;
}
