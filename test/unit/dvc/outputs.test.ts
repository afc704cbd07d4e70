import { describe, expect, it } from 'vitest';
import { parseDirectoryList } from '../../../src/dvc/directory-list.ts';
import { type DvcOutput, parseDvcFile, parseDvcLock } from '../../../src/dvc/outputs.ts';
import { listText, md5Of } from '../../support/dvc-text.ts';

const md5 = md5Of('x');
const corrupt = expect.objectContaining({ code: 'corrupt-source' });

function outOf(out: object, top: object = {}, file = 'models/m.dvc'): DvcOutput | undefined {
  return parseDvcFile({ ...top, outs: [{ path: 'm', md5, ...out }] }, file)[0];
}

describe('outputs of a .dvc file', () => {
  it('say what they are by a key hash, or by the lack of it', () => {
    expect(outOf({ hash: 'md5', size: 3, isexec: true })).toEqual({
      path: 'models/m',
      file: 'models/m.dvc',
      object: { hash: 'md5', md5, isList: false },
      size: 3,
      executable: true,
      isCached: true,
    });
    expect(outOf({ md5: `${md5.toUpperCase()}.dir`, nfiles: 2 })).toMatchObject({
      object: { hash: 'md5-dos2unix', md5, isList: true },
      files: 2,
    });
    expect(outOf({ cache: false })?.isCached).toBe(false);
    expect(outOf({ remote: 'Other' })?.remote).toBe('Other');
  });

  it('start from the folder of the file, or from wdir', () => {
    expect(outOf({ path: 'a/b/' })?.path).toBe('models/a/b');
    expect(outOf({}, { wdir: '../other' })?.path).toBe('other/m');
    expect(outOf({}, {}, 'm.dvc')?.path).toBe('m');
  });

  it.each<[string, object, object?]>([
    ['outside', { path: '../../m' }],
    ['outside', { path: '/m' }],
    ['outside', { path: 's3://bucket/m' }],
    ['outside', {}, { wdir: '/tmp' }],
    ['outside', {}, { wdir: '../..' }],
    ['a backslash', { path: 'a\\b' }],
    ['belongs to Git', { path: '.git' }],
    ['only MD5 is read', { hash: 'blake3' }],
    ['not stored it yet', { md5: null }],
    ['the versions of a bucket', { md5: undefined, etag: 'x', version_id: 'y' }],
    ['the versions of a bucket', { md5: undefined, cloud: { s: { etag: 'x' } } }],
  ])('cannot be had: %s', (problem, out, top = {}) => {
    const found = outOf(out, top);
    expect(found?.object).toBeUndefined();
    expect(found?.problem).toContain(problem);
  });

  it.each<[string, unknown]>([
    ['no mapping', [1]],
    ['no list', { outs: { path: 'm' } }],
    ['an output that is none', { outs: ['m'] }],
    ['no path', { outs: [{ md5 }] }],
    ['an empty path', { outs: [{ md5, path: '' }] }],
    ['a short MD5', { outs: [{ md5: 'abc', path: 'm' }] }],
    ['an MD5 that is a number', { outs: [{ md5: 12_345, path: 'm' }] }],
    ['a size that is none', { outs: [{ md5, path: 'm', size: -1 }] }],
    ['files that are none', { outs: [{ md5, path: 'm', nfiles: 1.5 }] }],
    ['a wdir that is none', { wdir: 1, outs: [{ md5, path: 'm' }] }],
  ])('are refused with %s', (_, value) => {
    expect(() => parseDvcFile(value, 'm.dvc')).toThrow(corrupt);
  });

  it('are none where the file has none', () => {
    expect(parseDvcFile(null, 'm.dvc')).toEqual([]);
    expect(parseDvcFile({ outs: null }, 'm.dvc')).toEqual([]);
  });

  it('tell where DVC imported them from', () => {
    const repo = { path: 'x', repo: { url: 'https://host/repo', rev_lock: 'abc' } };
    expect(outOf({}, { deps: [repo] })?.origin).toBe('https://host/repo');
    expect(outOf({}, { deps: [{ path: 'https://host/file' }] })?.origin).toBe('https://host/file');
  });
});

describe('outputs of a dvc.lock', () => {
  const lock = (stages: object) => ({ schema: '2.0', stages });
  const out = { path: 'o', hash: 'md5', md5, size: 1 };

  it('start from the wdir that dvc.yaml says, of a stage and of those that it makes', () => {
    const pipeline = {
      stages: {
        plain: { cmd: 'x', outs: ['o'] },
        moved: { wdir: 'w', outs: [{ o: { cache: false, remote: 'r' } }] },
        each: { foreach: [1], do: { wdir: 'each' } },
        made: { matrix: { a: [1] }, wdir: 'made' },
        // biome-ignore lint/suspicious/noTemplateCurlyInString: a template of DVC
        open: { wdir: '${item}' },
      },
    };
    const stages = { plain: 1, moved: 1, 'each@1': 1, 'made@a-1': 1, open: 1, 'a@b': 1 };
    const locked = Object.fromEntries(Object.keys(stages).map((name) => [name, { outs: [out] }]));
    const found = parseDvcLock(lock(locked), pipeline, 'sub/dvc.lock');
    expect(found.map((one) => [one.stage, one.path, one.problem])).toEqual([
      ['plain', 'sub/o', undefined],
      ['moved', 'sub/w/o', undefined],
      ['each@1', 'sub/each/o', undefined],
      ['made@a-1', 'sub/made/o', undefined],
      ['open', 'o', expect.stringContaining('template')],
      ['a@b', 'sub/o', undefined],
    ]);
    expect(found[1]).toMatchObject({ isCached: false, remote: 'r' });
  });

  it('are read of the first lock files, and of no later ones', () => {
    expect(parseDvcLock({ s: { outs: [out] } }, undefined, 'dvc.lock')).toHaveLength(1);
    expect(() => parseDvcLock({ schema: '3.0', stages: {} }, undefined, 'dvc.lock')).toThrow(
      corrupt,
    );
    expect(() => parseDvcLock(lock({ s: [] }), undefined, 'dvc.lock')).toThrow(corrupt);
    expect(parseDvcLock(undefined, undefined, 'dvc.lock')).toEqual([]);
  });
});

describe('the list of a directory', () => {
  const parse = (text: string) => parseDirectoryList(Buffer.from(text), md5Of(text), 'the list');

  it('is read in its own order', () => {
    // What Python sorts by code points.
    const names = ['a.txt', 'sub/b.txt', 'ü.txt', '｡.txt', '𝒳.txt'];
    const text = listText(names.map((relpath) => ({ md5, relpath })));
    expect(text).toContain('\\ud835\\udcb3.txt');
    expect(parse(text).map((one) => one.path)).toEqual(names);
    expect(parse('[]')).toEqual([]);
  });

  it('has to have the bytes of its name', () => {
    expect(() => parseDirectoryList(Buffer.from('[] '), md5Of('[]'), 'the list')).toThrow(corrupt);
  });

  it.each([
    ['{}', 'no list'],
    ['[', 'no JSON'],
    ['[1]', 'no relpath'],
    [`[{"md5": "${md5}"}]`, 'no relpath'],
    ['[{"relpath": "a"}]', 'no MD5'],
    ['[{"relpath": "a", "md5": "abc"}]', 'no MD5'],
    [`[{"relpath": "a", "md5": "${md5}.dir"}]`, 'no MD5'],
    [listText([{ md5, relpath: '../a' }]), 'the name ..'],
    [listText([{ md5, relpath: '/a' }]), 'an absolute path'],
    [listText([{ md5, relpath: 'a//b' }]), 'an empty name'],
    [listText([{ md5, relpath: 'a\\b' }]), 'a backslash'],
    [listText([{ md5, relpath: './a' }]), 'the name .'],
    [listText([{ md5, relpath: '.git/hooks/x' }]), 'belongs to Git'],
    [
      listText([
        { md5, relpath: 'a' },
        { md5, relpath: 'a' },
      ]),
      'twice',
    ],
  ])('is refused: %s', (text, problem) => {
    expect(() => parse(text)).toThrow(corrupt);
    expect(() => parse(text)).toThrow(problem);
  });
});
