import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, it } from 'vitest';
import { openGit } from '../../src/git/open.ts';
import { type CliWorkspace, makeWorkspace } from '../support/cli.ts';
import { mstoreHere } from '../support/cli-printed.ts';
import { commitFiles, git, gitTestEnv, makeRepo } from '../support/git.ts';
import { tempFolder } from '../support/temp.ts';

/** A folder in which programs leave a file when they run. */
interface Trap {
  readonly folder: string;
  /** Makes a program that leaves a file of that name and passes its input on; returns its path. */
  command(name: string): string;
  /** The same of one that fails at once, as the other end of a connection. */
  failing(name: string): string;
  /** Names of the programs that have run. */
  sprung(): string[];
}

function makeTrap(): Trap {
  const [folder, programs] = [tempFolder(), tempFolder()];
  const program = (name: string, then: string): string => {
    const file = path.join(programs, name);
    fs.writeFileSync(file, `#!/bin/sh\ntouch '${folder}/${name}'\n${then}\n`, { mode: 0o755 });
    return file;
  };
  return {
    folder,
    command: (name) => program(name, 'cat'),
    failing: (name) => program(name, 'exit 1'),
    sprung: () => fs.readdirSync(folder),
  };
}

/** Every setting by which the configuration of a repository makes Git run something. */
function hostileConfig(trap: Trap, hooks: string): string {
  const { command } = trap;
  const quoted = (name: string) => JSON.stringify(command(name));
  return `
[core]
	fsmonitor = ${quoted('fsmonitor')}
	pager = ${quoted('pager')}
	editor = ${quoted('editor')}
	sshCommand = ${quoted('ssh')}
	askPass = ${quoted('askpass')}
	gitProxy = ${quoted('gitproxy')}
	alternateRefsCommand = ${quoted('alternates')}
	hooksPath = ${JSON.stringify(hooks)}
[pager]
	status = ${quoted('pager-status')}
	log = ${quoted('pager-log')}
[diff]
	external = ${quoted('diff-external')}
[diff "evil"]
	textconv = ${quoted('textconv')}
	command = ${quoted('diff-command')}
[filter "evil"]
	clean = ${quoted('clean')}
	smudge = ${quoted('smudge')}
	required = true
[filter "evil2"]
	process = ${quoted('process')}
[credential]
	helper = ${JSON.stringify(`!${command('credential')}`)}
[gpg]
	program = ${quoted('gpg')}
[log]
	showSignature = true
[alias]
	status = ${JSON.stringify(`!${command('alias')}`)}
[status]
	submoduleSummary = true
`;
}

const attributes = '*.txt filter=evil diff=evil\n*.dat filter=evil2\n';

/** A workspace whose `.git` came out of somebody's archive. */
async function hostileWorkspace(trap: Trap): Promise<CliWorkspace> {
  const ws = await makeWorkspace();
  for (const name of ['model.bin', 'other.bin']) {
    ws.write(name, name);
    await ws.add(name);
  }
  ws.write('a.txt', 'one\n');
  ws.write('b.dat', 'two\n');
  fs.appendFileSync(ws.at('.gitattributes'), attributes);
  git(ws.root, 'add', '-A');
  git(ws.root, 'commit', '-q', '-m', 'First');
  git(ws.root, 'tag', '-a', '-m', 'A tag', 'tagged');
  ws.write('model.bin', 'second');
  await ws.add('model.bin');
  git(ws.root, 'add', '-A');
  git(ws.root, 'commit', '-q', '-m', 'Second');
  const hooks = path.join(ws.root, '.git/hooks');
  fs.mkdirSync(hooks, { recursive: true });
  for (const name of ['reference-transaction', 'post-index-change', 'post-checkout', 'pre-auto-gc'])
    fs.writeFileSync(path.join(hooks, name), `#!/bin/sh\ntouch '${trap.folder}/hook-${name}'\n`, {
      mode: 0o755,
    });
  fs.appendFileSync(path.join(ws.root, '.git/config'), hostileConfig(trap, hooks));
  // Same content with other times: only the content tells whether they changed, which filters see first.
  for (const name of ['a.txt', 'b.dat']) fs.utimesSync(ws.at(name), 1_000_000_000, 1_000_000_000);
  return ws;
}

describe('a repository whose Git configuration somebody else wrote', () => {
  it('has traps that Git itself springs', async () => {
    const trap = makeTrap();
    const ws = await hostileWorkspace(trap);
    git(ws.root, 'status');
    expect(trap.sprung()).toEqual(expect.arrayContaining(['clean', 'fsmonitor']));
  });

  it('runs nothing of its own, whatever command is used in it', async () => {
    const trap = makeTrap();
    const ws = await hostileWorkspace(trap);
    for (const line of [
      ['status'],
      ['ls', 'tagged'],
      ['diff'],
      ['diff', 'HEAD~1', 'HEAD'],
      ['cat', 'tagged:model.bin'],
      ['add', 'model.bin'],
      ['push'],
      ['push', '--all-versions'],
      ['fetch', '--all-versions'],
      ['checkout', 'tagged'],
      ['checkout', 'HEAD'],
      ['register', 'ranker@v1.0.0', 'model.bin', '--git-tag'],
      ['push'],
      ['deploy', 'ranker@v1.0.0', '--env', 'production', '--git-tag'],
      ['registry', 'import', '--git-tags', '--dry-run', '--partial'],
      ['show', 'ranker@production'],
      ['gc', '--dry-run'],
      ['gc', '--remote', 'origin'],
      ['gc'],
      ['untrack', 'other.bin'],
    ]) {
      const { code, stdout, stderr } = await mstoreHere(ws.root, line);
      expect(trap.sprung(), line.join(' ')).toEqual([]);
      expect(code, `${line.join(' ')}: ${stdout}${stderr}`).toBe(0);
    }
  });

  it('counts a file as changed that only a filter of its own would show to be the same', async () => {
    const trap = makeTrap();
    const ws = await hostileWorkspace(trap);
    const repo = await openGit(ws.root, { prefer: 'binary', env: gitTestEnv });
    expect((await repo?.lineage())?.dirty).toBe(false);
    fs.appendFileSync(path.join(ws.root, '.git/config'), '[filter "a=b"]\n\tclean = cat\n');
    const again = await openGit(ws.root, { prefer: 'binary', env: gitTestEnv });
    await expect(again?.lineage()).rejects.toMatchObject({
      code: 'git-failed',
      hint: expect.stringContaining('"="'),
    });
    expect(trap.sprung()).toEqual([]);
  });

  it('keeps the filters of the user', async () => {
    const trap = makeTrap();
    const repository = makeRepo();
    commitFiles(repository, { '.gitattributes': '*.txt filter=own\n', 'a.txt': 'one\n' });
    const config = path.join(tempFolder(), 'config');
    fs.writeFileSync(config, `[filter "own"]\n\tclean = ${JSON.stringify(trap.command('own'))}\n`);
    fs.utimesSync(path.join(repository, 'a.txt'), 1_000_000_000, 1_000_000_000);
    const env = { ...gitTestEnv, GIT_CONFIG_GLOBAL: config };
    const repo = await openGit(repository, { prefer: 'binary', env });
    expect((await repo?.lineage())?.dirty).toBe(false);
    expect(trap.sprung()).toEqual(['own']);
  });
});

/** One setting each, or a few, with which fetching what a partial clone lacks would run a program. */
const connectingSettings: ReadonlyArray<readonly [what: string, lines: (trap: Trap) => string]> = [
  [
    'the program at the other end',
    (trap) => `[remote "origin"]\n\tuploadpack = ${JSON.stringify(trap.failing('uploadpack'))}\n`,
  ],
  [
    'a protocol that is a command',
    (trap) =>
      `[protocol "ext"]\n\tallow = always\n[remote "origin"]\n\turl = ext::${trap.failing('ext')}\n`,
  ],
  [
    'the program of ssh',
    (trap) =>
      `[core]\n\tsshCommand = ${JSON.stringify(trap.failing('ssh'))}\n[remote "origin"]\n\turl = ssh://localhost/x\n`,
  ],
];

describe('a partial clone whose Git configuration somebody else wrote', () => {
  function partialClone(): { readonly clone: string; readonly first: string } {
    const origin = makeRepo();
    git(origin, 'config', 'uploadpack.allowFilter', 'true');
    const first = commitFiles(origin, { 'a.mstore': 'one', 'b.mstore': 'two' });
    const clone = path.join(tempFolder(), 'clone');
    git(origin, 'clone', '-q', '--no-checkout', '--filter=blob:none', `file://${origin}`, clone);
    return { clone, first };
  }

  it.each(connectingSettings)('does not run %s', async (_, lines) => {
    const trap = makeTrap();
    const { clone, first } = partialClone();
    // Of several URLs the first one counts.
    if (lines(trap).includes('url =')) git(clone, 'config', '--unset', 'remote.origin.url');
    fs.appendFileSync(path.join(clone, '.git/config'), lines(trap));
    const repo = await openGit(clone, { prefer: 'binary', env: gitTestEnv });
    const files = (await repo?.listFiles(first, '.mstore')) ?? [];
    expect(files).toHaveLength(2);
    for (const some of [files, files.slice(1)]) {
      const oids = some.map(({ oid }) => oid);
      await expect(repo?.readFiles(oids, 100, () => {})).rejects.toMatchObject({
        code: 'git-failed',
        hint: expect.stringContaining('git fetch --refetch --no-filter'),
      });
    }
    expect(trap.sprung()).toEqual([]);
    // The trap is one: this is what Git does by itself.
    expect(() => git(clone, 'cat-file', '-p', files[0]?.oid ?? '')).toThrow();
    expect(trap.sprung()).toHaveLength(1);
  });

  it('does not run what it includes from another file', async () => {
    const trap = makeTrap();
    const { clone, first } = partialClone();
    const [[, lines] = ['', () => '']] = connectingSettings;
    fs.writeFileSync(path.join(clone, '.git/more'), lines(trap));
    fs.appendFileSync(path.join(clone, '.git/config'), '[include]\n\tpath = more\n');
    const repo = await openGit(clone, { prefer: 'binary', env: gitTestEnv });
    const oids = ((await repo?.listFiles(first, '.mstore')) ?? []).map(({ oid }) => oid);
    await expect(repo?.readFiles(oids, 100, () => {})).rejects.toMatchObject({
      code: 'git-failed',
    });
    expect(trap.sprung()).toEqual([]);
  });

  it('does not run what the configuration of a working tree alone says', async () => {
    const trap = makeTrap();
    const { clone, first } = partialClone();
    const [[, lines] = ['', () => '']] = connectingSettings;
    git(clone, 'config', 'extensions.worktreeConfig', 'true');
    fs.writeFileSync(path.join(clone, '.git/config.worktree'), lines(trap));
    const repo = await openGit(clone, { prefer: 'binary', env: gitTestEnv });
    const oids = ((await repo?.listFiles(first, '.mstore')) ?? []).map(({ oid }) => oid);
    await expect(repo?.readFiles(oids, 100, () => {})).rejects.toMatchObject({
      code: 'git-failed',
    });
    expect(trap.sprung()).toEqual([]);
  });

  it('fetches nothing where only an included file says that it is one', async () => {
    const trap = makeTrap();
    const root = makeRepo();
    const commit = commitFiles(root, { 'a.mstore': 'one' });
    const repo = await openGit(root, { prefer: 'binary', env: gitTestEnv });
    const [file] = (await repo?.listFiles(commit, '.mstore')) ?? [];
    const oid = file?.oid ?? '';
    fs.rmSync(path.join(root, '.git/objects', oid.slice(0, 2), oid.slice(2)));
    const [[, lines] = ['', () => '']] = connectingSettings;
    fs.writeFileSync(
      path.join(root, '.git/more'),
      `[remote "origin"]\n\tpromisor = true\n\turl = ${root}\n${lines(trap)}`,
    );
    fs.appendFileSync(path.join(root, '.git/config'), '[include]\n\tpath = more\n');
    await expect(repo?.readFiles([oid], 100, () => {})).rejects.toMatchObject({
      code: 'git-failed',
    });
    expect(trap.sprung()).toEqual([]);
  });
});

describe('a folder that looks like a Git directory', () => {
  it('is not taken for one, and its settings do not count', async () => {
    const trap = makeTrap();
    const root = makeRepo();
    // What a clone can bring: no folder .git, but one that Git would take for a bare repository.
    git(root, 'init', '-q', '--bare', path.join(root, 'data'));
    fs.appendFileSync(
      path.join(root, 'data/config'),
      `[core]\n\tfsmonitor = ${JSON.stringify(trap.command('fsmonitor'))}\n`,
    );
    expect(await openGit(path.join(root, 'data'), { env: gitTestEnv })).toBeUndefined();
    expect(trap.sprung()).toEqual([]);
  });
});
