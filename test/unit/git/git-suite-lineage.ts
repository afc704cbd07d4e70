import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, it } from 'vitest';
import type { GitRepository } from '../../../src/git/repository.ts';
import { commitFiles, git, makeRepo, tempFolder } from '../../support/git.ts';

type Open = (dir: string) => Promise<GitRepository>;

const files = { a: 'one\n', 'sub/b': 'two\n', 'run.sh': '#!/bin/sh\n', text: 'x\ny\n' };

/** A repository with some files, a link, and an executable. */
function madeRepo(): string {
  const root = makeRepo();
  fs.symlinkSync('a', path.join(root, 'link'));
  commitFiles(root, files);
  fs.chmodSync(path.join(root, 'run.sh'), 0o755);
  commitFiles(root, {});
  return root;
}

const write = (root: string, name: string, text: string) =>
  fs.writeFileSync(path.join(root, name), text);

/** Changes that make a working tree dirty. */
const changes: Record<string, (root: string) => void> = {
  'a changed file': (root) => write(root, 'a', 'other\n'),
  'a changed file of the same size': (root) => write(root, 'sub/b', 'tw0\n'),
  'a changed file with the times of before': (root) => {
    const file = path.join(root, 'a');
    const { atime, mtime } = fs.statSync(file);
    fs.writeFileSync(file, 'onE\n');
    fs.utimesSync(file, atime, mtime);
  },
  'a removed file': (root) => fs.rmSync(path.join(root, 'sub/b')),
  'a removed folder': (root) => fs.rmSync(path.join(root, 'sub'), { recursive: true }),
  'a file in place of a folder': (root) => {
    fs.rmSync(path.join(root, 'sub'), { recursive: true });
    write(root, 'sub', '');
  },
  'a folder in place of a file': (root) => {
    fs.rmSync(path.join(root, 'a'));
    fs.mkdirSync(path.join(root, 'a'));
  },
  'a link in place of a file': (root) => {
    fs.rmSync(path.join(root, 'a'));
    fs.symlinkSync('text', path.join(root, 'a'));
  },
  'a file in place of a link': (root) => {
    fs.rmSync(path.join(root, 'link'));
    write(root, 'link', 'a');
  },
  'a link that leads elsewhere': (root) => {
    fs.rmSync(path.join(root, 'link'));
    fs.symlinkSync('b', path.join(root, 'link'));
  },
  'a file made executable': (root) => fs.chmodSync(path.join(root, 'a'), 0o755),
  'a file no longer executable': (root) => fs.chmodSync(path.join(root, 'run.sh'), 0o644),
  'a staged file that was put back since': (root) => {
    write(root, 'a', 'other\n');
    git(root, 'add', 'a');
    write(root, 'a', files.a);
  },
  'a new file that is staged': (root) => {
    write(root, 'new', '');
    git(root, 'add', 'new');
  },
  'a new file of which the path alone is staged': (root) => {
    write(root, 'new', '');
    git(root, 'add', '-N', 'new');
  },
  'a file taken out of the index': (root) => git(root, 'rm', '-q', '--cached', 'a'),
  'a file in conflict': (root) => {
    git(root, 'checkout', '-q', '-b', 'other');
    commitFiles(root, { a: '2' });
    git(root, 'checkout', '-q', 'main');
    commitFiles(root, { a: '3' });
    expect(() => git(root, 'merge', '-q', 'other')).toThrow();
  },
};

/** Things that leave a working tree clean. */
const harmless: Record<string, (root: string) => void> = {
  nothing: () => undefined,
  'a file that is not tracked': (root) => write(root, 'new', 'new'),
  'an ignored file': (root) => {
    fs.appendFileSync(path.join(root, '.git/info/exclude'), 'new\n');
    write(root, 'new', 'new');
  },
  'a file that was only touched': (root) => fs.utimesSync(path.join(root, 'a'), 1, 1),
  'a file written anew with the same bytes': (root) => {
    fs.rmSync(path.join(root, 'a'));
    write(root, 'a', files.a);
  },
  'executable bits that mean nothing': (root) => {
    git(root, 'config', 'core.fileMode', 'false');
    fs.chmodSync(path.join(root, 'a'), 0o755);
  },
  'line ends that Git converts': (root) => {
    git(root, 'config', 'core.autocrlf', 'true');
    write(root, 'text', 'x\r\ny\r\n');
    fs.rmSync(path.join(root, '.git/index'));
    git(root, 'read-tree', 'HEAD');
  },
  'a file that is assumed to be unchanged': (root) => {
    git(root, 'update-index', '--assume-unchanged', 'a');
    write(root, 'a', 'other\n');
  },
  'a sparse checkout': (root) => {
    git(root, 'sparse-checkout', 'set', '--no-cone', '/a', '/link');
    expect(fs.existsSync(path.join(root, 'sub'))).toBe(false);
  },
  'an index in version 4': (root) => git(root, 'update-index', '--index-version', '4'),
  'another index without stat data': (root) => {
    fs.rmSync(path.join(root, '.git/index'));
    git(root, 'read-tree', 'HEAD');
  },
};

/** What tells where a working tree comes from. */
export function lineageSuite(open: Open): void {
  const dirty = async (root: string, paths?: string[]) =>
    (await (await open(root)).lineage(paths)).dirty;

  describe('lineage', () => {
    it.each(Object.entries(changes))('finds %s', async (_, change) => {
      const root = madeRepo();
      expect(await dirty(root)).toBe(false);
      change(root);
      expect(await dirty(root)).toBe(true);
    });

    it.each(Object.entries(harmless))('is clean with %s', async (_, change) => {
      const root = madeRepo();
      change(root);
      expect(git(root, 'status', '--porcelain', '-uno')).toBe('');
      expect(await dirty(root)).toBe(false);
    });

    it('finds a change in an index in version 4', async () => {
      const root = madeRepo();
      git(root, 'update-index', '--index-version', '4');
      for (const name of ['text', 'sub/b', 'link']) {
        fs.renameSync(path.join(root, name), path.join(root, 'away'));
        expect(await dirty(root), name).toBe(true);
        fs.renameSync(path.join(root, 'away'), path.join(root, name));
      }
      expect(await dirty(root)).toBe(false);
    });

    it('names commit and branch', async () => {
      const root = madeRepo();
      const commit = git(root, 'rev-parse', 'HEAD');
      const clean = { dirty: false, remoteUrl: undefined };
      expect(await (await open(root)).lineage()).toEqual({ branch: 'main', commit, ...clean });
      git(root, 'checkout', '-q', '--detach');
      const detached = { branch: undefined, commit, ...clean };
      expect(await (await open(root)).lineage()).toEqual(detached);
    });

    it('answers before the first commit', async () => {
      const root = makeRepo();
      const none = { branch: 'main', commit: undefined, remoteUrl: undefined };
      expect(await (await open(root)).lineage()).toEqual({ ...none, dirty: false });
      write(root, 'a', '1');
      git(root, 'add', 'a');
      expect(await (await open(root)).lineage()).toEqual({ ...none, dirty: true });
    });

    it('takes the paths that it is asked about for changes while they are not tracked', async () => {
      const root = madeRepo();
      write(root, 'm.mstore', '{}');
      expect(await dirty(root)).toBe(false);
      expect(await dirty(root, ['none.mstore', 'a'])).toBe(false);
      expect(await dirty(root, ['a', 'm.mstore'])).toBe(true);
      git(root, 'add', 'm.mstore');
      git(root, 'commit', '-qm', 'pointer');
      expect(await dirty(root, ['m.mstore'])).toBe(false);
    });

    it('looks at the working tree it was opened in', async () => {
      const root = madeRepo();
      const linked = path.join(tempFolder(), 'linked');
      git(root, 'worktree', 'add', '-q', '-b', 'side', linked);
      expect(await (await open(linked)).lineage()).toMatchObject({ branch: 'side', dirty: false });
      write(linked, 'a', 'other');
      expect(await dirty(linked)).toBe(true);
      expect(await dirty(root)).toBe(false);
    });

    it('sees at which commit a submodule is, and not what is changed in it', async () => {
      const inner = madeRepo();
      const root = madeRepo();
      git(root, 'submodule', '--quiet', 'add', inner, 'module');
      git(root, 'commit', '-qm', 'module');
      expect(await dirty(root)).toBe(false);
      write(path.join(root, 'module'), 'a', 'changed');
      expect(await dirty(root)).toBe(false);
      commitFiles(path.join(root, 'module'), { a: 'committed' });
      expect(await dirty(root)).toBe(true);
      git(root, 'submodule', '--quiet', 'update', '--force');
      expect(await dirty(root)).toBe(false);
      git(root, 'submodule', '--quiet', 'deinit', '--force', 'module');
      expect(await dirty(root)).toBe(false);
    });

    it('knows the modes of old trees', async () => {
      const root = madeRepo();
      const blob = git(root, 'rev-parse', 'HEAD:a');
      const body = Buffer.concat([Buffer.from('100664 a\0'), Buffer.from(blob, 'hex')]);
      fs.writeFileSync(path.join(root, 'tree'), body);
      const tree = git(root, 'hash-object', '--literally', '-t', 'tree', '-w', 'tree');
      const commit = git(root, 'commit-tree', '-m', 'old', tree);
      git(root, 'reset', '-q', '--hard', commit);
      expect(git(root, 'ls-files', '--stage')).toContain('100644');
      expect(await dirty(root)).toBe(false);
    });
  });
}

/** Which remote a repository comes from. */
export function remoteUrlSuite(open: Open): void {
  const urlOf = async (root: string) => (await (await open(root)).lineage()).remoteUrl;

  it('takes origin, else the only remote, without credentials', async () => {
    const root = makeRepo();
    expect(await urlOf(root)).toBeUndefined();
    git(root, 'remote', 'add', 'my.fork', 'https://ann:secret@example.com/a.git?token=1');
    expect(await urlOf(root)).toBe('https://example.com/a.git');
    git(root, 'remote', 'add', 'upstream', 'git@example.com:b.git');
    expect(await urlOf(root)).toBeUndefined();
    git(root, 'remote', 'add', 'origin', 'git@example.com:c.git');
    git(root, 'remote', 'set-url', '--add', 'origin', 'git@mirror.example.com:c.git');
    expect(await urlOf(root)).toBe('git@example.com:c.git');
  });
}
