import * as fs from 'node:fs';
import { describe, expect, it } from 'vitest';
import { add } from '../../src/flow/add.ts';
import { untrack } from '../../src/flow/untrack.ts';
import { makeProject, type Project } from '../support/flow-project.ts';
import { git } from '../support/git.ts';

const code = (expected: string) => expect.objectContaining({ code: expected });

/** Files that Git would commit now. */
function untracked(project: Project): string[] {
  return git(project.root, 'ls-files', '--others', '--exclude-standard').split('\n').sort();
}

describe('add and Git', () => {
  it('lets Git see the pointer and not the file', async () => {
    const project = await makeProject();
    project.write('models/a.bin', 'a');
    project.write('models/b.txt', 'b');
    await project.add('models/a.bin');
    expect(untracked(project)).toEqual([
      '.gitattributes',
      '.modelstore/.gitignore',
      '.modelstore/config.toml',
      'models/.gitignore',
      'models/a.bin.mstore',
      'models/b.txt',
    ]);
    expect(project.read('models/.gitignore').toString()).toBe('/a.bin\n');
    expect(git(project.root, 'check-attr', 'eol', '--', 'models/a.bin.mstore')).toMatch(/lf$/);
  });

  it('changes neither file a second time', async () => {
    const project = await makeProject();
    project.write('a', 'a');
    await project.add('a');
    const before = ['.gitignore', '.gitattributes'].map((name) => fs.statSync(project.at(name)));
    project.write('a', 'changed');
    await project.add('a');
    const after = ['.gitignore', '.gitattributes'].map((name) => fs.statSync(project.at(name)));
    expect(after.map(({ ino, mtimeMs }) => [ino, mtimeMs])).toEqual(
      before.map(({ ino, mtimeMs }) => [ino, mtimeMs]),
    );
  });

  it('leaves the lines of the user as they are, byte for byte', async () => {
    const project = await makeProject();
    const mine = Buffer.concat([
      Buffer.from('# mine\n\n*.tmp\r\n  keep   \n'),
      Buffer.from([0xe4, 0x0a]),
      Buffer.from('/last'),
    ]);
    project.write('.gitignore', mine);
    project.write('a', 'a');
    await project.add('a');
    const now = project.read('.gitignore');
    expect(now.subarray(0, mine.length).equals(mine)).toBe(true);
    expect(now.subarray(mine.length).toString()).toMatch(/^\r?\n\/a\r?\n$/);
    await untrack(await project.open(), ['a']);
    expect(project.read('.gitignore').subarray(0, mine.length).equals(mine)).toBe(true);
    expect(project.read('.gitignore').toString()).not.toContain('/a');
  });

  it('keeps the line ends of a file that has them all alike', async () => {
    const project = await makeProject();
    project.write('.gitignore', '*.o\r\n');
    project.write('a', 'a');
    await project.add('a');
    expect(project.read('.gitignore').toString()).toBe('*.o\r\n/a\r\n');
  });

  it('ignores exactly one entry, whatever is in its name', async () => {
    const project = await makeProject();
    const names = ['a*b', 'a?b', '[ab]', '!bang', '#hash', 'space ', 'ünï', 'a b', '-dash'];
    for (const name of names) project.write(`dir/${name}`, name);
    for (const name of ['axb', 'a', 'bang', 'space']) project.write(`dir/${name}`, name);
    await project.add(...names.map((name) => `dir/${name}`));
    git(project.root, 'config', 'core.quotePath', 'false');
    const seen = untracked(project).filter((file) => /^dir\/[^.]/.test(file));
    expect(seen.filter((file) => !file.endsWith('.mstore'))).toEqual([
      'dir/a',
      'dir/axb',
      'dir/bang',
      'dir/space',
    ]);
    expect(seen.filter((file) => file.endsWith('.mstore'))).toHaveLength(names.length);
  });

  it('leaves the attributes alone that the user has set for pointers', async () => {
    const project = await makeProject();
    project.write('.gitattributes', '*.mstore  -text\n');
    project.write('a', 'a');
    await project.add('a');
    expect(project.read('.gitattributes').toString()).toBe('*.mstore  -text\n');
  });

  it('keeps both lines of two adds in one folder at once', async () => {
    const project = await makeProject();
    const names = Array.from({ length: 6 }, (_, n) => `dir/f${n}`);
    for (const name of names) project.write(name, name);
    await Promise.all(names.map((name) => project.add(name)));
    expect(project.read('dir/.gitignore').toString().split('\n').sort()).toEqual([
      '',
      ...names.map((name) => name.slice('dir'.length)),
    ]);
  });

  it('refuses what Git tracks already, and says how to go on', async () => {
    const project = await makeProject();
    project.write('dir/a', 'a');
    project.commit();
    await expect(project.add('dir')).rejects.toMatchObject({
      code: 'tracked-by-git',
      hint: expect.stringContaining('git rm -r --cached -- dir'),
    });
    git(project.root, 'rm', '-r', '-q', '--cached', '--', 'dir');
    await project.add('dir');
    project.commit();
    expect(git(project.root, 'ls-files', 'dir')).toBe('');
  });

  it('refuses a path whose pointer Git would not keep', async () => {
    const project = await makeProject();
    project.write('.gitignore', 'out/\n*.mstore\n!ok.mstore\n');
    project.write('out/a', 'a');
    project.write('a', 'a');
    project.write('ok', 'ok');
    await expect(project.add('out/a')).rejects.toEqual(code('pointer-ignored'));
    await expect(project.add('a')).rejects.toEqual(code('pointer-ignored'));
    await project.add('ok');
  });

  it('asks Git about nothing in a workspace without Git', async () => {
    const project = await makeProject();
    project.write('a', 'a');
    fs.rmSync(project.at('.git'), { recursive: true });
    fs.rmSync(project.at('.gitattributes'));
    await add(await project.open(), ['a']);
    expect(fs.existsSync(project.at('.gitignore'))).toBe(false);
    expect(fs.existsSync(project.at('.gitattributes'))).toBe(false);
  });
});

describe('untrack', () => {
  it('takes the pointer and the line away and leaves file and store', async () => {
    const project = await makeProject();
    project.write('a', 'a');
    project.write('b', 'b');
    await project.add('a', 'b');
    expect(await untrack(await project.open(), ['a'])).toEqual(['a']);
    expect(fs.existsSync(project.at('a.mstore'))).toBe(false);
    expect(project.read('a').toString()).toBe('a');
    expect(project.read('.gitignore').toString()).toBe('/b\n');
    expect(await untrack(await project.open(), ['b'])).toEqual(['b']);
    expect(fs.existsSync(project.at('.gitignore'))).toBe(false);
    // What is stored stays: adding it again stores nothing new.
    expect(await project.add('a')).toMatchObject({ bytesNew: 0 });
  });

  it('takes all below a folder, and pointers that cannot be used', async () => {
    const project = await makeProject();
    for (const name of ['dir/a', 'dir/sub/b']) project.write(name, name);
    await project.add('dir/a', 'dir/sub/b');
    expect(await untrack(await project.open(), ['dir'])).toEqual(['dir/a', 'dir/sub/b']);
    await project.add('dir/a');
    project.write('dir/a.mstore', 'broken');
    expect(await untrack(await project.open(), ['dir/a'])).toEqual(['dir/a']);
    await expect(untrack(await project.open(), ['dir/a'])).rejects.toEqual(code('not-tracked'));
  });
});
