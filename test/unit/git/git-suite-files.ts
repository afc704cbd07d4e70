import * as fs from 'node:fs';
import * as path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import type { GitRepository } from '../../../src/git/repository.ts';
import { commitFiles, git, gitWithInput, makeRepo } from '../../support/git.ts';

const suffix = '.mstore';
type Open = (dir: string) => Promise<GitRepository>;

/** Listing and reading the files of one commit. */
export function filesSuite(open: Open): void {
  describe('files', () => {
    const odd = [
      ...['-dash.mstore', 'a b/c d.mstore', 'new\nline.mstore', 'q"uote\'.mstore', 'tab\t.mstore'],
      ...['ünï/é.mstore', '模型.mstore', '😀.mstore', '\uffee.mstore', ':(top).mstore', '*.mstore'],
      ...[
        'back\\slash.mstore',
        '.mstore',
        'dir.mstore/x.mstore',
        'a.mstore',
        'a/z.mstore',
        'a-b.mstore',
      ],
    ];
    let root: string;
    let commit: string;

    beforeAll(() => {
      root = makeRepo();
      git(root, 'config', 'core.protectNTFS', 'false');
      const files = Object.fromEntries(odd.map((name, i) => [name, `content ${i}`]));
      commitFiles(root, { ...files, 'other.txt': 'x', 'dir.mstore/plain': 'y', empty: '' });
      fs.chmodSync(path.join(root, 'a.mstore'), 0o755);
      fs.symlinkSync('a.mstore', path.join(root, 'link.mstore'));
      commitFiles(root, {});
      const id = git(root, 'rev-parse', 'HEAD');
      git(root, 'update-index', '--add', '--cacheinfo', `160000,${id},module.mstore`);
      const blob = gitWithInput(root, 'bytes', 'hash-object', '-w', '--stdin');
      const line = Buffer.concat([
        Buffer.from(`100644 ${blob}\t`),
        Buffer.from([0xff, 0xfe]),
        Buffer.from('.mstore\0'),
      ]);
      gitWithInput(root, line, 'update-index', '-z', '--index-info');
      git(root, 'commit', '-q', '-m', 'odd');
      commit = git(root, 'rev-parse', 'HEAD');
    });

    it('lists regular files with a suffix, in the order of their bytes', async () => {
      const listed = await (await open(root)).listFiles(commit, suffix);
      const bytes = (name: string) => Buffer.from(name);
      expect(listed.map((file) => file.path)).toEqual(
        [...odd].sort((a, b) => Buffer.compare(bytes(a), bytes(b))),
      );
    });

    it('lists them in history too', async () => {
      const listed = await (await open(root)).history([commit], suffix);
      expect(listed.map((file) => file.path).sort()).toEqual([...odd].sort());
    });

    it('reads contents, each once', async () => {
      const repo = await open(root);
      const files = await repo.listFiles(commit, '');
      const contents = new Map<string, string>();
      const oids = files.map((file) => file.oid);
      await repo.readFiles([...oids, ...oids], 100, (oid, content) => {
        expect(contents.has(oid)).toBe(false);
        contents.set(oid, content.toString());
      });
      for (const [i, name] of odd.entries()) {
        const file = files.find((each) => each.path === name);
        expect(contents.get(file?.oid ?? '')).toBe(`content ${i}`);
      }
      expect(contents.get(git(root, 'rev-parse', 'HEAD:empty'))).toBe('');
    });

    it('refuses contents above the bound, other objects, and ids that are none or absent', async () => {
      const repo = await open(root);
      const use = () => undefined;
      const big = gitWithInput(root, 'x'.repeat(3_000_000), 'hash-object', '-w', '--stdin');
      await expect(repo.readFiles([big], 2_999_999, use)).rejects.toMatchObject({
        code: 'too-large',
        details: { oid: big, size: 3_000_000 },
      });
      let size = 0;
      await repo.readFiles([big], 3_000_000, (_, content) => {
        size = content.length;
      });
      expect(size).toBe(3_000_000);
      for (const oid of [commit, 'e'.repeat(40), 'HEAD', '--help', '']) {
        await expect(repo.readFiles([oid], 100, use)).rejects.toMatchObject({ code: 'git-failed' });
        if (oid === commit) continue;
        await expect(repo.listFiles(oid, suffix)).rejects.toMatchObject({ code: 'git-failed' });
        await expect(repo.history([oid], suffix)).rejects.toMatchObject({ code: 'git-failed' });
      }
      const absent = repo.readFiles(['e'.repeat(40)], 100, use);
      await expect(absent).rejects.toMatchObject({ hint: expect.stringContaining('git fetch') });
    });

    it('passes on what the consumer throws', async () => {
      const repo = await open(root);
      const oids = (await repo.listFiles(commit, suffix)).map((file) => file.oid);
      const reading = repo.readFiles(oids, 100, () => {
        throw new RangeError('enough');
      });
      await expect(reading).rejects.toThrow('enough');
    });
  });
}
