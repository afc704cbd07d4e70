import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { sha256 } from '../../../src/base/digest.ts';
import { isMstoreError } from '../../../src/base/errors.ts';
import {
  checkEntries,
  formatTree,
  parseTree,
  sortEntries,
  type TreeEntry,
  treeDigest,
  treeSize,
} from '../../../src/base/tree.ts';
import { runs } from '../../support/runs.ts';
import { goodTrees } from '../../support/trees.ts';

const digest = sha256('x');
const file = (path: string) => ({ path, size: 1, sha256: digest });
const refused = (text: string | RegExp) =>
  expect.objectContaining({
    code: 'corrupt-tree',
    message: expect.stringMatching(text) as string,
  }) as Error;

describe('a tree', () => {
  it('parses to what was formatted', () => {
    fc.assert(
      fc.property(goodTrees, (entries) => {
        const bytes = formatTree(entries);
        expect(parseTree(bytes)).toEqual(entries);
        expect(formatTree(parseTree(bytes)).equals(bytes)).toBe(true);
        expect(treeDigest(entries)).toBe(sha256(bytes));
      }),
      runs(200),
    );
  });

  it('has the same bytes whatever the order of keys and entries was', () => {
    fc.assert(
      fc.property(goodTrees, fc.func(fc.nat()), (entries, order) => {
        const shuffled = entries
          .map((e) => Object.fromEntries(Object.entries(e).reverse()) as unknown as TreeEntry)
          .sort((a, b) => order(a.path) - order(b.path));
        expect(formatTree(sortEntries(shuffled)).equals(formatTree(entries))).toBe(true);
      }),
      runs(100),
    );
  });

  it('is sorted by the bytes of its paths', () => {
    const paths = ['a/b', 'a', 'a-b', '\u{1f600}', '\ufb01', 'B', 'é', 'ab'];
    const sorted = sortEntries(paths.map(file)).map(({ path }) => path);
    const bytes = paths.map((path) => Buffer.from(path)).sort(Buffer.compare);
    expect(sorted).toEqual(bytes.map(String));
  });

  it('counts the bytes of its files', () => {
    const entries: TreeEntry[] = [
      { path: 'a', size: 3, sha256: digest },
      { path: 'b', link: 'a' },
      { path: 'c', directory: true },
      { path: 'd', size: 4, sha256: digest, executable: true },
    ];
    expect(treeSize(entries)).toBe(7);
    expect(formatTree(entries).toString()).toBe(
      `[{"path":"a","size":3,"sha256":"${digest}"},{"path":"b","link":"a"},` +
        `{"path":"c","directory":true},{"path":"d","size":4,"sha256":"${digest}","executable":true}]`,
    );
  });
});

describe('checkEntries', () => {
  it.each<[string, unknown, string]>([
    ['no list', {}, 'not a list'],
    ['a text', ['a'], 'not an object'],
    ['an entry without a path', [{ size: 1, sha256: digest }], 'no path'],
    ['a path that leaves', [file('../a')], 'the name \\.\\.'],
    ['an absolute path', [file('/a')], 'absolute'],
    ['a path into Git', [file('sub/.git/config')], 'belongs to Git'],
    ['an unknown key', [{ ...file('a'), mode: 7 }], 'unknown key mode'],
    ['no kind', [{ path: 'a' }], 'one of file, link and directory'],
    ['two kinds', [{ ...file('a'), link: 'b' }], 'one of file, link and directory'],
    ['a negative size', [{ ...file('a'), size: -1 }], 'bad size'],
    ['a fraction', [{ ...file('a'), size: 1.5 }], 'bad size'],
    ['a size above 2^53', [{ ...file('a'), size: 2 ** 53 }], 'bad size'],
    ['a size that is text', [{ ...file('a'), size: '1' }], 'bad size'],
    ['upper case in a digest', [{ ...file('a'), sha256: digest.toUpperCase() }], 'bad sha256'],
    ['a short digest', [{ ...file('a'), sha256: digest.slice(1) }], 'bad sha256'],
    ['an executable mark of false', [{ ...file('a'), executable: false }], 'executable mark'],
    ['an executable link', [{ path: 'a', link: 'b', executable: true }], 'keys of one'],
    ['a directory of false', [{ path: 'a', directory: false }], 'directory mark'],
    ['a directory with a size', [{ path: 'a', directory: true, size: 0 }], 'keys of one'],
    ['a link that is a number', [{ path: 'a', link: 1 }], 'bad link target'],
    ['the same path twice', [file('a'), file('a')], 'listed twice'],
    ['another order', [file('b'), file('a')], 'out of order'],
    ['the order of UTF-16', [file('\u{1f600}'), file('\ufb01')], 'out of order'],
    ['a file below a file', [file('a'), file('a/b')], 'must be'],
    ['a file far below a file', [file('a'), file('a/b/c/d')], 'must be'],
    ['a file below a link', [{ path: 'a', link: 'b' }, file('a/b')], 'must be'],
    ['a file in an empty directory', [{ path: 'a', directory: true }, file('a/b')], 'must be'],
    ['names that differ by case', [file('A'), file('a')], 'differ only by case'],
    ['folders that differ by case', [file('A/x'), file('a/y')], 'differ only by case'],
    ['a file and a folder that differ by case', [file('A'), file('a/y')], 'differ only by case'],
    ['a folder below a file of another case', [file('A/b'), file('a')], 'differ only by case'],
    ['a link that leaves', [{ path: 'a', link: '../b' }], 'leaves the directory'],
    ['an absolute link', [{ path: 'a', link: '/b' }], 'leaves the directory'],
    ['a link to itself', [{ path: 'a', link: 'a' }], 'loop'],
    ['an empty link', [{ path: 'a', link: '' }], 'empty target'],
    ['a link with a newline', [{ path: 'a', link: 'x\ny' }], 'control character'],
    ['129 folders', [file(`${'d/'.repeat(129)}f`)], 'more than 128 directories'],
    [
      '129 folders reached by steps',
      [file(`${'d/'.repeat(100)}f`), file(`${'d/'.repeat(100)}${'g/'.repeat(29)}h`)],
      'more than 128 directories',
    ],
  ])('refuses %s', (_, value, problem) => {
    expect(() => checkEntries(value)).toThrow(refused(problem));
  });

  it('accepts 128 folders, and names that only look alike', () => {
    expect(checkEntries([file(`${'d/'.repeat(128)}f`)])).toHaveLength(1);
    expect(checkEntries([file('a'), file('a-b/c'), file('a.b'), file('ab/a')])).toHaveLength(4);
  });

  it('never fails but by its own error, whatever JSON it is given', () => {
    const entry = fc.record(
      {
        path: fc.oneof(fc.constantFrom('a', 'a/b', 'b', '..', 'A'), fc.jsonValue()),
        size: fc.jsonValue(),
        sha256: fc.oneof(fc.constant(digest), fc.jsonValue()),
        link: fc.oneof(fc.constantFrom('a', '../a', '/'), fc.jsonValue()),
        directory: fc.boolean(),
      },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(fc.oneof(fc.array(entry), fc.jsonValue()), (value) => {
        try {
          checkEntries(value);
        } catch (error) {
          if (!isMstoreError(error, 'corrupt-tree')) throw error;
        }
      }),
      runs(300),
    );
  });
});

describe('parseTree', () => {
  const good = formatTree([file('a')]).toString();

  it.each<[string, string]>([
    ['white space', good.replace(',', ', ')],
    ['another order of keys', `[{"size":1,"path":"a","sha256":"${digest}"}]`],
    ['a number in another form', good.replace('1,', '1.0,')],
    ['an escape that is not needed', good.replace('"a"', '"\\u0061"')],
    ['a repeated key', good.replace('"path":"a"', '"path":"b","path":"a"')],
    ['a newline at the end', `${good}\n`],
    ['nothing', ''],
    ['a cut', good.slice(0, -1)],
  ])('refuses %s', (_, text) => {
    expect(() => parseTree(Buffer.from(text))).toThrow(refused(''));
  });

  it('refuses bytes that are not UTF-8', () => {
    expect(() => parseTree(Buffer.from(good.replace('"a"', '"\u00e4"'), 'latin1'))).toThrow(
      refused('UTF-8'),
    );
  });
});
