import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, it } from 'vitest';
import type { GitRepository } from '../../../src/git/repository.ts';
import { commitFiles, git, makeRepo, tempFolder } from '../../support/git.ts';

type Open = (dir: string) => Promise<GitRepository>;

/** What Git itself keeps: the roots of a clean-up. */
export function keptSuite(open: Open): void {
  describe('what Git keeps', () => {
    it('keeps what references, stashes, HEADs and reflogs of all working trees lead to', async () => {
      const root = makeRepo();
      const first = commitFiles(root, { 'a.mstore': '1' });
      const other = path.join(tempFolder(), 'other');
      git(root, 'worktree', 'add', '-q', '--detach', other);
      const lost = commitFiles(root, { 'a.mstore': '2' });
      git(root, 'reset', '-q', '--hard', first);
      const elsewhere = commitFiles(other, { 'a.mstore': '3' });
      fs.writeFileSync(path.join(root, 'a.mstore'), '4');
      git(root, 'stash', '-q');
      const stash = git(root, 'rev-parse', 'refs/stash');
      const custom = commitFiles(root, { 'a.mstore': '5' });
      git(root, 'update-ref', 'refs/custom/kept', custom);
      git(root, 'reset', '-q', '--hard', first);
      git(root, 'tag', '-a', '-m', 'text', 'v1', custom);

      const repo = await open(root);
      const kept = new Set(await repo.keptCommits());
      expect(kept).toEqual(new Set([first, lost, elsewhere, stash, custom]));
      git(root, 'pack-refs', '--all');
      expect(new Set(await (await open(root)).keptCommits())).toEqual(kept);
      expect(repo.otherRoots()).toEqual([other]);
      expect((await open(other)).otherRoots()).toEqual([root]);
    });

    it('lists what the indexes of all working trees hold', async () => {
      const root = makeRepo();
      commitFiles(root, { 'a.mstore': '1', 'b.txt': '1', 'd/é.mstore': 'é' });
      const other = path.join(tempFolder(), 'other');
      git(root, 'worktree', 'add', '-q', '-b', 'side', other);
      fs.writeFileSync(path.join(root, 'a.mstore'), 'staged here');
      fs.writeFileSync(path.join(other, 'a.mstore'), 'staged there');
      git(root, 'add', 'a.mstore');
      git(other, 'add', 'a.mstore');
      fs.writeFileSync(path.join(root, 'a.mstore'), 'not staged');

      const files = await (await open(root)).indexedFiles('.mstore');
      const texts = files.map(
        ({ path: name, oid }) => `${name} ${git(root, 'cat-file', '-p', oid)}`,
      );
      expect(texts.sort()).toEqual([
        'a.mstore staged here',
        'a.mstore staged there',
        'd/é.mstore é',
      ]);
    });

    it('names nothing in an empty repository', async () => {
      const repo = await open(makeRepo());
      expect(await repo.keptCommits()).toEqual([]);
      expect(await repo.indexedFiles('.mstore')).toEqual([]);
      expect(repo.otherRoots()).toEqual([]);
    });

    it('passes over reflogs whose commits are gone', async () => {
      const root = makeRepo();
      const first = commitFiles(root, { 'a.mstore': '1' });
      const gone = commitFiles(root, { 'a.mstore': '2' });
      git(root, 'reset', '-q', '--hard', first);
      fs.rmSync(path.join(root, '.git/objects', gone.slice(0, 2), gone.slice(2)));
      expect(await (await open(root)).keptCommits()).toEqual([first]);
    });
  });
}
