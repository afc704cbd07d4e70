import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, it } from 'vitest';
import { parseGitConfig } from '../../../src/git/config-file.ts';
import { findLayout } from '../../../src/git/layout.ts';
import { openGit } from '../../../src/git/open.ts';
import { commitFiles, git, makeRepo, tempFolder } from '../../support/git.ts';

describe('findLayout', () => {
  it('finds nothing outside of working trees', async () => {
    const folder = tempFolder();
    expect(findLayout(folder)).toBeUndefined();
    expect(await openGit(folder)).toBeUndefined();
    const bare = makeRepo('--bare');
    expect(findLayout(bare)).toBeUndefined();
    expect(findLayout(path.join(bare, 'objects'))).toBeUndefined();
    const repo = makeRepo();
    expect(findLayout(path.join(repo, '.git'))).toBeUndefined();
    expect(findLayout(path.join(repo, '.git/objects'))).toBeUndefined();
    expect(() => findLayout(path.join(folder, 'none'))).toThrow(
      expect.objectContaining({ code: 'not-found' }),
    );
  });

  it('does not take a bare repository in a working tree for the tree around it', () => {
    const repo = makeRepo();
    git(repo, 'init', '-q', '--bare', 'inner');
    expect(findLayout(path.join(repo, 'inner/refs'))).toBeUndefined();
    expect(findLayout(repo)?.root).toBe(repo);
  });

  it('passes over a .git that is no Git directory, and follows links', () => {
    const repo = makeRepo();
    fs.mkdirSync(path.join(repo, 'a/.git'), { recursive: true });
    expect(findLayout(path.join(repo, 'a'))?.root).toBe(repo);
    const link = path.join(tempFolder(), 'link');
    fs.symlinkSync(path.join(repo, 'a'), link);
    expect(findLayout(link)).toEqual({
      root: repo,
      gitDir: path.join(repo, '.git'),
      commonDir: path.join(repo, '.git'),
      mainRoot: undefined,
      objectFormat: 'sha1',
      refStorage: 'files',
      partialClone: false,
      worktreeConfig: false,
      alternates: false,
      ignoreCase: false,
      fileMode: true,
      symlinks: true,
    });
  });

  it('follows gitfiles of separate Git directories and of working trees of bare repositories', () => {
    const top = tempFolder();
    git(top, 'init', '-q', '--separate-git-dir=apart', 'tree');
    expect(findLayout(path.join(top, 'tree'))).toMatchObject({
      root: path.join(top, 'tree'),
      gitDir: path.join(top, 'apart'),
      mainRoot: undefined,
    });
    const source = makeRepo();
    commitFiles(source, { a: '1' });
    git(top, 'clone', '-q', '--bare', source, 'bare');
    git(path.join(top, 'bare'), 'worktree', 'add', '-q', '../linked');
    expect(findLayout(path.join(top, 'linked'))).toMatchObject({
      root: path.join(top, 'linked'),
      commonDir: path.join(top, 'bare'),
      gitDir: path.join(top, 'bare/worktrees/linked'),
      mainRoot: undefined,
    });
  });

  it('finds the main tree of a linked tree of a submodule', () => {
    const inner = makeRepo();
    commitFiles(inner, { a: '1' });
    const outer = makeRepo();
    git(outer, 'submodule', '--quiet', 'add', inner, 'sub');
    const linked = path.join(tempFolder(), 'linked');
    git(path.join(outer, 'sub'), 'worktree', 'add', '-q', '-b', 'x', linked);
    expect(findLayout(linked)).toMatchObject({ root: linked, mainRoot: path.join(outer, 'sub') });
  });

  it.each(['gitdir: /nowhere/at/all\n', 'gitdir: ../loop\n', 'nonsense', ''])(
    'refuses the gitfile %j',
    (text) => {
      const folder = tempFolder();
      fs.writeFileSync(path.join(folder, '.git'), text);
      expect(() => findLayout(folder)).toThrow(expect.objectContaining({ code: 'git-failed' }));
    },
  );

  it('reads formats from the configuration', () => {
    const repo = makeRepo('--object-format=sha256');
    git(repo, 'config', 'remote.a b.promisor', 'true');
    git(repo, 'config', 'core.ignoreCase', 'true');
    git(repo, 'config', 'core.fileMode', 'false');
    git(repo, 'config', 'core.symlinks', 'no');
    expect(findLayout(repo)).toMatchObject({
      objectFormat: 'sha256',
      partialClone: true,
      ignoreCase: true,
      fileMode: false,
      symlinks: false,
    });
    // Git does not look at these extensions in the oldest format.
    git(makeRepo(), 'status');
    const old = makeRepo();
    fs.appendFileSync(path.join(old, '.git/config'), '[extensions]\n\trefStorage = reftable\n');
    expect(findLayout(old)?.refStorage).toBe('files');
    fs.appendFileSync(path.join(old, '.git/config'), '[core]\n\trepositoryformatversion = 1\n');
    expect(findLayout(old)?.refStorage).toBe('reftable');
  });
});

describe('parseGitConfig', () => {
  it('reads what git reads', () => {
    const text = [
      '[core] bare = true ; comment',
      '# [not.a.section]',
      '  worktree = "a b" c  # comment',
      '[Section "Sub \\"x\\" ]y"]',
      'Key-1 = one \\',
      '  two',
      'flag',
      'empty =',
      'esc = "tab\\tline\\n;#"',
      'path = C:\\\\x\\\\',
      'nonsense line',
      '[core]',
      'worktree = last',
    ].join('\n');
    const config = parseGitConfig(text);
    const file = path.join(tempFolder(), 'config');
    fs.writeFileSync(file, text.replace('nonsense line\n', ''));
    const lines = git(path.dirname(file), 'config', '-z', '-l', '-f', file).split('\0');
    const expected = new Map(
      lines.filter(Boolean).map((line) => {
        const [key = '', ...value] = line.split('\n');
        return [key, value.length === 0 ? 'true' : value.join('\n')];
      }),
    );
    expect(Object.fromEntries(config)).toEqual(Object.fromEntries(expected));
  });
});
