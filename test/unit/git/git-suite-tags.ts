import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, it } from 'vitest';
import type { GitRepository } from '../../../src/git/repository.ts';
import type { NewTag } from '../../../src/git/tag-object.ts';
import { commitFiles, git, makeRepo, tempFolder } from '../../support/git.ts';

type Open = (dir: string) => Promise<GitRepository>;

function newTag(name: string, commit: string, more: Partial<NewTag> = {}): NewTag {
  const tagger = { name: 'Ann Ör', mail: 'ann@example.com' };
  return { name, commit, tagger, seconds: 1_700_000_000, message: 'A tag', ...more };
}

const all = () => true;

/** Annotated tags: reading and making them. */
export function tagSuite(open: Open): void {
  describe('annotated tags', () => {
    it('are listed with what they say, and no others', async () => {
      const root = makeRepo();
      const commit = commitFiles(root, { a: '1' });
      git(root, 'tag', 'light');
      git(root, 'tag', '-a', '-m', 'One\n\ntwo ü', 'm@v1.0.0');
      git(root, 'tag', '-a', '-m', 'nested', 'nested', 'm@v1.0.0');
      git(root, 'tag', '-a', '-m', 'of a tree', 'tree', 'HEAD^{tree}');
      git(root, 'tag', '-a', '-m', 'packed', 'a/packed#1');
      git(root, 'pack-refs', '--all');
      git(root, 'tag', '-a', '-m', '', 'empty');
      const repo = await open(root);
      const common = {
        commit,
        tagger: { name: 'Test', mail: 'test@example.com' },
        seconds: 1_704_067_200,
      };
      const names = (await repo.annotatedTags(all)).map((tag) => tag.name).sort();
      expect(names).toEqual(['a/packed#1', 'empty', 'm@v1.0.0', 'nested']);
      const some = await repo.annotatedTags((name) => name.includes('m@') || name === 'nested');
      expect(some.sort((a, b) => (a.name < b.name ? -1 : 1))).toEqual([
        { ...common, name: 'm@v1.0.0', message: 'One\n\ntwo ü' },
        { ...common, name: 'nested', message: 'nested' },
      ]);
      expect(await repo.annotatedTags(() => false)).toEqual([]);
    });

    it('are read without their signature, and without a tagger', async () => {
      const root = makeRepo();
      const commit = commitFiles(root, { a: '1' });
      const head = `object ${commit}\ntype commit\n`;
      const signature = '-----BEGIN PGP SIGNATURE-----\n\nabc\n-----END PGP SIGNATURE-----\n';
      const texts = {
        signed: `${head}tag signed\ntagger A B <a@b> 100 +0130\n\nText\n${signature}`,
        old: `${head}tag old\n\ntagger X <x@y> 1 +0000\n`,
        nobody: `${head}tag nobody\ntagger <> 5 +0000\n\n`,
      };
      for (const [name, text] of Object.entries(texts)) {
        const file = path.join(tempFolder(), 'tag');
        fs.writeFileSync(file, text);
        const oid = git(root, 'hash-object', '--literally', '-t', 'tag', '-w', file);
        git(root, 'update-ref', `refs/tags/${name}`, oid);
      }
      const tags = await (await open(root)).annotatedTags(all);
      expect(tags.sort((a, b) => b.seconds - a.seconds)).toEqual([
        {
          name: 'signed',
          commit,
          tagger: { name: 'A B', mail: 'a@b' },
          seconds: 100,
          message: 'Text',
        },
        { name: 'nobody', commit, tagger: { name: '', mail: '' }, seconds: 5, message: '' },
        { name: 'old', commit, tagger: undefined, seconds: 0, message: 'tagger X <x@y> 1 +0000' },
      ]);
    });

    it('above the bound are refused', async () => {
      const root = makeRepo();
      commitFiles(root, { a: '1' });
      const file = path.join(tempFolder(), 'message');
      fs.writeFileSync(file, 'x'.repeat(1024 * 1024));
      git(root, 'tag', '-a', '-F', file, 'large');
      const reading = (await open(root)).annotatedTags(all);
      await expect(reading).rejects.toMatchObject({ code: 'too-large' });
      expect(await (await open(root)).annotatedTags((name) => name !== 'large')).toEqual([]);
    });

    it('are made as Git makes them, once', async () => {
      const root = makeRepo();
      const commit = commitFiles(root, { a: '1' });
      const repo = await open(root);
      const tag = newTag('models/m@v1.0.0', commit, { message: 'Line\n\nmore' });
      expect(await repo.createTag(tag)).toBe('created');
      expect(await repo.annotatedTags(all)).toEqual([tag]);
      expect(git(root, 'cat-file', 'tag', tag.name)).toBe(
        `object ${commit}\ntype commit\ntag models/m@v1.0.0\ntagger Ann Ör <ann@example.com> 1700000000 +0000\n\nLine\n\nmore`,
      );
      git(root, 'fsck', '--strict');
      const before = git(root, 'rev-parse', tag.name);
      expect(await repo.createTag({ ...tag, message: 'other' })).toBe('exists');
      git(root, 'pack-refs', '--all');
      expect(await (await open(root)).createTag({ ...tag, message: 'other' })).toBe('exists');
      expect(git(root, 'rev-parse', tag.name)).toBe(before);
      git(root, 'tag', 'light');
      expect(await repo.createTag(newTag('light', commit))).toBe('exists');
      expect(git(root, 'status', '--porcelain')).toBe('');
      expect(git(root, 'rev-parse', 'HEAD')).toBe(commit);
    });

    it('have one maker of each name', async () => {
      const root = makeRepo();
      const commit = commitFiles(root, { a: '1' });
      const making = Array.from({ length: 8 }, async (_, i) =>
        (await open(root)).createTag(newTag('m#production#1', commit, { message: `${i}` })),
      );
      const outcomes = await Promise.all(making);
      expect(outcomes.filter((outcome) => outcome === 'created')).toHaveLength(1);
      const winner = String(outcomes.indexOf('created'));
      expect(await (await open(root)).annotatedTags(all)).toMatchObject([{ message: winner }]);
    });

    it('keep a field of their own for each thing', async () => {
      const root = makeRepo();
      const commit = commitFiles(root, { a: '1' });
      const repo = await open(root);
      const tagger = { name: 'A <evil>\ntagger B', mail: 'a> 1 +0000\nx' };
      await repo.createTag(newTag('t', commit, { tagger, message: 'a\0b' }));
      git(root, 'fsck', '--strict');
      expect(await repo.annotatedTags(all)).toMatchObject([
        { tagger: { name: 'A  evil  tagger B', mail: 'a  1 +0000 x' }, message: 'ab' },
      ]);
    });

    it.each(['a b', '-d', '../x', 'x..y', 'x.lock', 'x/', '/x', '', 'x\ny', 'a:b', 'x~1', '@{0}'])(
      'cannot be named %j',
      async (name) => {
        const root = makeRepo();
        const commit = commitFiles(root, { a: '1' });
        await expect((await open(root)).createTag(newTag(name, commit))).rejects.toMatchObject({
          code: 'git-failed',
          hint: expect.stringContaining('Names of tags'),
        });
        expect(git(root, 'for-each-ref', 'refs/tags')).toBe('');
      },
    );

    it.each([false, true])('share no folder with another one (packed: %s)', async (packed) => {
      const root = makeRepo();
      const commit = commitFiles(root, { a: '1' });
      git(root, 'tag', 'name');
      git(root, 'tag', 'folder/name');
      if (packed) git(root, 'pack-refs', '--all');
      for (const name of ['name/below', 'folder']) {
        const making = (await open(root)).createTag(newTag(name, commit));
        await expect(making).rejects.toMatchObject({ code: 'git-failed' });
      }
      expect(git(root, 'tag')).toBe('folder/name\nname');
      // Nothing is left that would be in the way of Git.
      git(root, 'tag', '-a', '-m', 'x', 'folder/other');
    });

    it('are made in linked working trees too, where all see them', async () => {
      const root = makeRepo();
      const commit = commitFiles(root, { a: '1' });
      const linked = path.join(tempFolder(), 'linked');
      git(root, 'worktree', 'add', '-q', '-b', 'side', linked);
      await (await open(linked)).createTag(newTag('t', commit));
      expect(git(root, 'tag')).toBe('t');
    });
  });
}
