import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  addIgnoreLine,
  attributesLine,
  ensureAttributes,
  ignorePattern,
  removeIgnoreLine,
} from '../../../src/worktree/git-files.ts';
import { git, gitWithInput, makeRepo } from '../../support/git.ts';
import { tempFolder } from '../../support/temp.ts';

const odd = [
  ...[
    'model.onnx',
    'a b',
    ' a',
    'a ',
    'a  ',
    '#a',
    '!a',
    '*',
    '?',
    '[ab]',
    'a[!b]c',
    '**',
    '{a,b}',
  ],
  ...[
    'größe',
    '\u{1f600}',
    '-a',
    '~',
    '$HOME',
    '"',
    "'",
    '.hidden',
    '...',
    'a*b?c[d]',
    'x.mstore2',
  ],
];

describe('addIgnoreLine', () => {
  it('makes Git ignore exactly the named entry, whatever characters it has', async () => {
    const repo = makeRepo();
    fs.mkdirSync(path.join(repo, 'm'));
    // Names that a pattern taken literally would match as well.
    const others = [
      'axonnx',
      'ab',
      'a',
      'b',
      'c',
      'abc',
      'acc',
      '#',
      'aXbYcd',
      'model.onnx.mstore',
    ];
    for (const name of odd) {
      await addIgnoreLine(path.join(repo, 'm'), name, repo);
      const asked = [...odd, ...others].map((other) => `m/${other}`);
      const answer = (() => {
        try {
          return gitWithInput(repo, asked.join('\0'), 'check-ignore', '-z', '--stdin');
        } catch {
          return '';
        }
      })();
      expect(
        answer.split('\0').filter((line) => line !== ''),
        name,
      ).toEqual([`m/${name}`]);
      await removeIgnoreLine(path.join(repo, 'm'), name, repo);
      expect(fs.existsSync(path.join(repo, 'm/.gitignore'))).toBe(false);
    }
  });

  it('concerns the folder itself only, files and directories', async () => {
    const repo = makeRepo();
    await addIgnoreLine(repo, 'bert', repo);
    fs.mkdirSync(path.join(repo, 'bert'));
    fs.writeFileSync(path.join(repo, 'bert/x'), '');
    fs.mkdirSync(path.join(repo, 'sub'));
    fs.writeFileSync(path.join(repo, 'sub/bert'), '');
    expect(git(repo, 'status', '--porcelain', '-uall').split('\n').sort()).toEqual([
      '?? .gitignore',
      '?? sub/bert',
    ]);
  });

  it.each<[string, Buffer | string, string]>([
    ['no file', '', '/m\n'],
    ['lines', 'a\n\n# b\n', 'a\n\n# b\n/m\n'],
    ['a last line without an end', 'a', 'a\n/m\n'],
    ['the line ends of Windows', 'a\r\nb\r\n', 'a\r\nb\r\n/m\r\n'],
    ['mixed line ends', 'a\nb\r\nc\n', 'a\nb\r\nc\n/m\r\n'],
    ['white space', '  a  \n\t\n', '  a  \n\t\n/m\n'],
    ['bytes that are not UTF-8', Buffer.from([0xff, 0x0a]), '\xff\n/m\n'],
  ])('adds one line behind %s, once, and takes it out again', async (_, before, after) => {
    const folder = tempFolder();
    const file = path.join(folder, '.gitignore');
    if (before.length > 0) fs.writeFileSync(file, before);
    expect(await addIgnoreLine(folder, 'm', folder)).toBe(true);
    expect(fs.readFileSync(file, 'latin1')).toBe(after);
    const { mtimeNs } = fs.statSync(file, { bigint: true });
    expect(await addIgnoreLine(folder, 'm', folder)).toBe(false);
    expect(fs.statSync(file, { bigint: true }).mtimeNs).toBe(mtimeNs);
    expect(await removeIgnoreLine(folder, 'm', folder)).toBe(true);
    expect(await removeIgnoreLine(folder, 'm', folder)).toBe(false);
    const left = fs.existsSync(file) ? fs.readFileSync(file) : Buffer.alloc(0);
    const expected = Buffer.from(before);
    expect(left.subarray(0, expected.length).equals(expected)).toBe(true);
    expect(fs.readdirSync(folder).filter((name) => name !== '.gitignore')).toEqual([]);
  });

  it('knows its line in a file with the line ends of Windows', async () => {
    const folder = tempFolder();
    fs.writeFileSync(path.join(folder, '.gitignore'), '/m\r\n');
    expect(await addIgnoreLine(folder, 'm', folder)).toBe(false);
  });

  it('loses no line when many are added at once', async () => {
    const folder = tempFolder();
    const names = Array.from({ length: 20 }, (_, i) => `m${i}`);
    await Promise.all(names.map((name) => addIgnoreLine(folder, name, folder)));
    const lines = fs.readFileSync(path.join(folder, '.gitignore'), 'utf8').trim().split('\n');
    expect(lines.sort()).toEqual(names.map(ignorePattern).sort());
  });
});

describe('ensureAttributes', () => {
  it('gives pointers their line ends, once', async () => {
    const repo = makeRepo();
    expect(await ensureAttributes(repo, repo)).toBe(true);
    expect(await ensureAttributes(repo, repo)).toBe(false);
    expect(fs.readFileSync(path.join(repo, '.gitattributes'), 'utf8')).toBe(`${attributesLine}\n`);
    expect(git(repo, 'check-attr', 'eol', 'text', '--', 'a/b.mstore')).toBe(
      'a/b.mstore: eol: lf\na/b.mstore: text: set',
    );
  });

  it('leaves what the user has set for pointers', async () => {
    const folder = tempFolder();
    const file = path.join(folder, '.gitattributes');
    fs.writeFileSync(file, '*.bin -text\n*.mstore -diff\n');
    expect(await ensureAttributes(folder, folder)).toBe(false);
    expect(fs.readFileSync(file, 'utf8')).toBe('*.bin -text\n*.mstore -diff\n');
  });
});
