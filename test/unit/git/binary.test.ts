import * as fs from 'node:fs';
import * as path from 'node:path';
import { expect, it } from 'vitest';
import { openGit } from '../../../src/git/open.ts';
import { gitEnvironment } from '../../../src/git/process.ts';
import { commitFiles, git, gitTestEnv, makeRepo, tempFolder } from '../../support/git.ts';

async function open(dir: string, prefer: 'auto' | 'binary' | 'isomorphic', env = gitTestEnv) {
  const repo = await openGit(dir, { prefer, env });
  if (repo === undefined) throw new Error('No repository');
  return repo;
}

/** Makes a PATH with one program `git`, a script for the shell. */
function fakeGit(script: string): NodeJS.ProcessEnv {
  const folder = tempFolder();
  fs.writeFileSync(path.join(folder, 'git'), script, { mode: 0o755 });
  return { ...gitTestEnv, PATH: folder };
}

it('reads SHA-256 repositories with git only', async () => {
  const root = makeRepo('--object-format=sha256');
  const commit = commitFiles(root, { 'a.mstore': 'text' });
  git(root, 'tag', '-a', '-m', 'text', 'v1');
  const repo = await open(root, 'binary');
  expect(commit).toHaveLength(64);
  expect(await repo.resolve('v1')).toBe(commit);
  expect(await repo.resolve(commit.slice(0, 40))).toBe(commit);
  const files = await repo.listFiles(commit, '.mstore');
  expect(files).toEqual([{ path: 'a.mstore', oid: expect.stringMatching(/^[0-9a-f]{64}$/) }]);
  const texts: string[] = [];
  await repo.readFiles([files[0]?.oid ?? ''], 10, (_, content) => texts.push(content.toString()));
  expect(texts).toEqual(['text']);
  expect(await repo.history([commit], '.mstore')).toHaveLength(1);

  const other = await open(root, 'isomorphic');
  const hint = 'Install git: this repository uses SHA-256 object ids, which needs the git program';
  await expect(other.head()).rejects.toMatchObject({ code: 'git-failed', hint });
  await expect(other.resolve('v1')).rejects.toMatchObject({ hint });
  await expect(other.trackedBelow('', 1)).rejects.toMatchObject({ hint });
});

it('fetches the absent contents of a partial clone together', async () => {
  const origin = makeRepo();
  git(origin, 'config', 'uploadpack.allowFilter', 'true');
  git(origin, 'config', 'uploadpack.allowAnySHA1InWant', 'true');
  const texts = Object.fromEntries(Array.from({ length: 9 }, (_, i) => [`${i}.mstore`, `t${i}`]));
  const commit = commitFiles(origin, texts);
  const clone = tempFolder();
  git(clone, 'clone', '-q', '--no-checkout', '--filter=blob:none', `file://${origin}`, '.');
  const packs = () =>
    fs.readdirSync(path.join(clone, '.git/objects/pack')).filter((name) => name.endsWith('.pack'));
  const before = packs().length;

  const other = await open(clone, 'isomorphic');
  expect(await other.listFiles(commit, '.mstore')).toHaveLength(9);
  const oids = (await other.history([commit], '.mstore')).map((file) => file.oid);
  await expect(other.readFiles(oids, 10, () => expect.unreachable())).rejects.toMatchObject({
    code: 'git-failed',
    hint: 'Install git: this repository uses a partial clone, which needs the git program',
  });

  const repo = await open(clone, 'binary');
  expect(await repo.history([commit], '.mstore')).toHaveLength(9);
  expect(packs()).toHaveLength(before);
  const read: string[] = [];
  await repo.readFiles(oids, 10, (_, content) => read.push(content.toString()));
  expect(read.sort()).toEqual(Object.values(texts));
  expect(packs()).toHaveLength(before + 1);
});

it('says so when the remote of a partial clone is away', async () => {
  const origin = makeRepo();
  git(origin, 'config', 'uploadpack.allowFilter', 'true');
  const commit = commitFiles(origin, { a: '1', b: '2' });
  const clone = tempFolder();
  git(clone, 'clone', '-q', '--no-checkout', '--filter=blob:none', `file://${origin}`, '.');
  fs.renameSync(origin, `${origin}-moved`);
  try {
    const repo = await open(clone, 'binary');
    const oids = (await repo.listFiles(commit, '')).map((file) => file.oid);
    for (const some of [oids, oids.slice(1)]) {
      const reading = repo.readFiles(some, 10, () => undefined);
      await expect(reading).rejects.toMatchObject({
        code: 'git-failed',
        hint: expect.stringContaining('partial clone'),
      });
    }
  } finally {
    fs.rmSync(`${origin}-moved`, { recursive: true });
  }
});

it.each([
  ['the reftable format', 'extensions.refstorage=reftable', ''],
  ['objects of another repository', 'core.filemode=true', '/nowhere/objects\n'],
])('names %s as a reason to install git', async (reason, setting, alternates) => {
  const root = makeRepo();
  const [key = '', value = ''] = setting.split('=');
  git(root, 'config', 'core.repositoryformatversion', '1');
  git(root, 'config', key, value);
  if (alternates !== '') {
    fs.writeFileSync(path.join(root, '.git/objects/info/alternates'), alternates);
  }
  const repo = await open(root, 'isomorphic');
  await expect(repo.head()).rejects.toMatchObject({
    code: 'git-failed',
    hint: expect.stringMatching(`^Install git: this repository uses ${reason}.*git program$`),
  });
});

it('is not led elsewhere by variables for Git, nor replaced objects', async () => {
  const root = makeRepo();
  const commit = commitFiles(root, { a: '1' });
  const second = commitFiles(root, { a: '2' });
  git(root, 'replace', second, commit);
  const other = makeRepo();
  const misled = {
    ...gitTestEnv,
    GIT_DIR: path.join(other, '.git'),
    GIT_WORK_TREE: other,
    GIT_INDEX_FILE: path.join(other, 'index'),
    GIT_LITERAL_PATHSPECS: '1',
    GIT_NAMESPACE: 'x',
  };
  const repo = await open(root, 'binary', misled);
  expect((await repo.head()).commit).toBe(second);
  expect(await repo.trackedBelow('a', 9)).toEqual(['a']);
  expect(await repo.history([second], 'a')).toHaveLength(2);
  expect(gitEnvironment({ GIT_DIR: 'x', GIT_SSH_COMMAND: 'y' })).toMatchObject({
    GIT_SSH_COMMAND: 'y',
    GIT_OPTIONAL_LOCKS: '0',
  });
});

it('is not misled by the settings of a user', async () => {
  const root = makeRepo();
  const commit = commitFiles(root, { 'a.mstore': '1', 'b.txt': '1' });
  const config = path.join(tempFolder(), 'config');
  fs.writeFileSync(
    config,
    [
      '[log]\n showSignature = true\n follow = true\n diffMerges = first-parent\n decorate = full',
      '[color]\n ui = always\n[diff]\n renames = copies\n noprefix = true\n[format]\n pretty = fuller',
      '[core]\n abbrev = 5\n fsmonitor = /bin/false\n[status]\n short = true\n',
    ].join('\n'),
  );
  const repo = await open(root, 'binary', { ...gitTestEnv, GIT_CONFIG_GLOBAL: config });
  expect(await repo.listFiles(commit, '.mstore')).toHaveLength(1);
  expect(await repo.history([commit], '.mstore')).toMatchObject([{ path: 'a.mstore', commit }]);
  expect(await repo.resolve('HEAD')).toBe(commit);
});

it('gives a hint of its own when Git distrusts the owner', async () => {
  const root = makeRepo();
  const env = fakeGit(
    `#!/bin/sh\necho "fatal: detected dubious ownership in repository at '${root}'" >&2\nexit 128\n`,
  );
  await expect((await open(root, 'auto', env)).resolve('HEAD')).rejects.toMatchObject({
    code: 'git-failed',
    message: expect.stringContaining('dubious ownership'),
    hint: expect.stringContaining(`git config --global --add safe.directory ${root}`),
  });
});

it('quotes what Git says shortened and without control characters', async () => {
  const root = makeRepo();
  const env = fakeGit(
    '#!/bin/sh\ni=0; while [ $i -lt 3000 ]; do echo "noise $i" >&2; i=$((i+1)); done\n' +
      `printf 'fatal: \\033[31mred' >&2\nexit 3\n`,
  );
  const failure = (await open(root, 'binary', env)).trackedBelow('', 1);
  await expect(failure).rejects.toMatchObject({
    code: 'git-failed',
    message: 'Git failed (ls-files): fatal: \\u{1b}[31mred',
    details: { command: 'ls-files', outcome: 3 },
  });
});

it('reports a Git that dies, answers too little, or answers nonsense', async () => {
  const root = makeRepo();
  const oid = 'a'.repeat(40);
  const use = () => undefined;
  for (const script of [
    'kill -9 $$',
    'exit 0',
    'cat >/dev/null; echo what is this',
    'echo x; exit 1',
  ]) {
    const repo = await open(root, 'binary', fakeGit(`#!/bin/sh\nPATH=/usr/bin:/bin\n${script}\n`));
    await expect(repo.readFiles([oid], 9, use)).rejects.toMatchObject({ code: 'git-failed' });
  }
  // More input than a pipe holds, to a Git that reads none of it.
  const repo = await open(root, 'binary', fakeGit('#!/bin/sh\nexit 1\n'));
  const many = Array.from({ length: 20_000 }, (_, i) => i.toString(16).padStart(40, '0'));
  await expect(repo.readFiles(many, 9, use)).rejects.toMatchObject({ code: 'git-failed' });
});

it('chooses the program on PATH, and the built-in reader without one', async () => {
  const root = makeRepo();
  const commit = commitFiles(root, { a: '1' });
  expect((await open(root, 'auto')).kind).toBe('binary');
  const without = { ...gitTestEnv, PATH: `${tempFolder()}${path.delimiter}relative` };
  const repo = await open(root, 'auto', without);
  expect(repo.kind).toBe('isomorphic');
  expect((await repo.head()).commit).toBe(commit);
  await expect(open(root, 'binary', without)).rejects.toMatchObject({
    code: 'git-failed',
    hint: expect.stringContaining('Install git'),
  });
});

it('falls back to the built-in reader when the program does not start', async () => {
  const root = makeRepo();
  const commit = commitFiles(root, { 'a.mstore': '1' });
  const broken = fakeGit('#!/nowhere/interpreter\n');
  const repo = await open(root, 'auto', broken);
  expect(repo.kind).toBe('binary');
  const all = await Promise.all([repo.resolve('HEAD'), repo.resolve('main')]);
  expect(all).toEqual([commit, commit]);
  expect(repo.kind).toBe('isomorphic');
  expect(await repo.history([commit], '.mstore')).toHaveLength(1);
  const strict = await open(root, 'binary', broken);
  await expect(strict.resolve('HEAD')).rejects.toMatchObject({ code: 'git-failed' });
  const standIn = fakeGit(
    '#!/bin/sh\necho "xcrun: error: invalid active developer path" >&2\nexit 1\n',
  );
  expect(await (await open(root, 'auto', standIn)).resolve('HEAD')).toBe(commit);
});

it('says that the repository has gone, not the program', async () => {
  const root = makeRepo();
  const repo = await open(root, 'auto');
  fs.rmSync(root, { recursive: true });
  await expect(repo.resolve('HEAD')).rejects.toMatchObject({
    code: 'git-failed',
    message: expect.stringContaining('is not there any more'),
  });
});
