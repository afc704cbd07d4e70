import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, it } from 'vitest';
import { mstore } from '../support/cli.ts';
import { git, makeRepo } from '../support/git.ts';
import { programLine } from '../support/program.ts';

async function proposals(cwd: string, ...words: string[]): Promise<string[]> {
  const { stdout } = await mstore(cwd, '--get-yargs-completions', 'mstore', ...words);
  return stdout.split('\n').filter((line) => line !== '');
}

describe('completion', () => {
  it('prints a script that asks this program', async () => {
    const { code, stdout } = await mstore(makeRepo(), 'completion');
    expect(code).toBe(0);
    expect(stdout).toContain('mstore --get-yargs-completions');
  });

  it('proposes commands, actions, options, tracked paths and references', async () => {
    const repo = makeRepo();
    await mstore(repo, 'init');
    fs.mkdirSync(path.join(repo, 'models'));
    fs.writeFileSync(path.join(repo, 'models/a.bin'), 'weights');
    await mstore(repo, 'add', 'models/a.bin');
    git(repo, 'add', '-A');
    git(repo, 'commit', '-qm', 'one');
    git(repo, 'tag', 'model-v1');
    expect(await proposals(repo, 'che')).toEqual(['checkout']);
    const actions = ['add', 'list', 'remove', 'check', 'uploads', 'policy', 'recipients', 'rekey'];
    expect(await proposals(repo, 'remote', '')).toEqual(actions);
    expect(await proposals(repo, 'checkout', '--li')).toEqual(['--link']);
    expect(await proposals(repo, 'checkout', 'mod')).toEqual(['models/a.bin', 'model-v1']);
    expect(await proposals(path.join(repo, 'models'), 'status', '')).toEqual(['a.bin']);
  });

  it('proposes nothing where there is no workspace, and says nothing', async () => {
    const { code, stdout, stderr } = await mstore(
      makeRepo(),
      '--get-yargs-completions',
      'mstore',
      'checkout',
      '',
    );
    expect([code, stdout.trim(), stderr]).toEqual([0, '', '']);
  });
});

describe('the diff driver', () => {
  it('lets git diff show pointers as lists of files', async () => {
    const repo = makeRepo();
    await mstore(repo, 'init', '--diff-driver');
    await mstore(repo, 'init', '--diff-driver');
    expect(fs.readFileSync(path.join(repo, '.gitattributes'), 'utf8')).toBe(
      '*.mstore text eol=lf\n*.mstore diff=mstore\n',
    );
    fs.writeFileSync(path.join(repo, 'a.bin'), 'one');
    await mstore(repo, 'add', 'a.bin');
    git(repo, 'add', '-A');
    git(repo, 'commit', '-qm', 'one');
    fs.writeFileSync(path.join(repo, 'a.bin'), 'three');
    await mstore(repo, 'add', 'a.bin');
    git(repo, 'config', 'diff.mstore.textconv', `${programLine} textconv`);
    const diff = git(repo, 'diff');
    expect(diff).toMatch(/^-file a\.bin, 3 bytes, [0-9a-f]{64}$/m);
    expect(diff).toMatch(/^\+file a\.bin, 5 bytes, [0-9a-f]{64}$/m);
  });

  it('refuses a file that is no pointer', async () => {
    const repo = makeRepo();
    fs.writeFileSync(path.join(repo, 'x'), 'x');
    const { code, stderr } = await mstore(repo, 'textconv', 'x');
    expect(code).toBe(5);
    expect(stderr).toContain('[corrupt-pointer]');
    expect((await mstore(repo, 'textconv', 'absent')).code).toBe(3);
  });
});
