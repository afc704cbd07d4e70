import { describe, expect, it } from 'vitest';
import {
  formatManifest,
  type PackageManifest,
  parseManifest,
} from '../../../src/archive/manifest.ts';
import { sha256 } from '../../../src/base/digest.ts';
import { limits } from '../../../src/base/limits.ts';
import { manifestOf, treeOf } from '../../support/packages.ts';

const files = treeOf({ a: 'one', 'b/c': 'two', empty: undefined, link: '->a' });
const digest = sha256('x');
const full: PackageManifest = manifestOf(files, {
  version: { model: 'm', version: '1', record: digest },
  registry: [
    { key: 'refs/models/m/states/1/00000001.json', size: 3, sha256: digest },
    { key: 'refs/models/m/versions/1.json', size: 5, sha256: digest },
  ],
});

function refusal(change: (value: Record<string, unknown>) => unknown): string {
  const value = JSON.parse(formatManifest(full).toString()) as Record<string, unknown>;
  return refusalOf(Buffer.from(JSON.stringify(change(value) ?? value)));
}

function refusalOf(bytes: Buffer): string {
  try {
    parseManifest(bytes, 'p.tar.gz');
  } catch (error) {
    const { code, message } = error as { code: string; message: string };
    expect(code).toBe('corrupt-package');
    expect(message).toMatch(/^p\.tar\.gz cannot be used: its manifest /);
    return message.slice('p.tar.gz cannot be used: its manifest '.length);
  }
  return 'none';
}

describe('a manifest', () => {
  it('is read as it was written', () => {
    expect(parseManifest(formatManifest(full), 'x')).toEqual(full);
    const plain = manifestOf(files);
    expect(parseManifest(formatManifest(plain), 'x')).toEqual({ ...plain, version: undefined });
    const sole = treeOf({ m: 'one' });
    const content = { path: 'models/m', kind: 'file', sha256: sha256('one'), size: 3 } as const;
    const file = manifestOf(sole, { content });
    expect(parseManifest(formatManifest(file), 'x')).toEqual({ ...file, version: undefined });
    const none = manifestOf([]);
    expect(parseManifest(formatManifest(none), 'x')).toEqual({ ...none, version: undefined });
  });

  it('has a line for each file', () => {
    const text = formatManifest(manifestOf(treeOf({ a: 'one', link: '->a' }))).toString();
    expect(text).toBe(
      [
        '{',
        '  "mstore": 1,',
        '  "name": "m_1",',
        `  "content": {"path":"models/m","kind":"tree","sha256":"${manifestOf(treeOf({ a: 'one', link: '->a' })).content.sha256}","size":3},`,
        '  "files": [',
        `    {"path":"a","size":3,"sha256":"${sha256('one')}"},`,
        '    {"path":"link","link":"a"}',
        '  ]',
        '}',
        '',
      ].join('\n'),
    );
  });

  it('of a later format is told as such, and unknown keys are passed over', () => {
    const value = JSON.parse(formatManifest(full).toString()) as Record<string, unknown>;
    const later = Buffer.from(JSON.stringify({ ...value, mstore: 2 }));
    expect(() => parseManifest(later, 'x')).toThrow(
      expect.objectContaining({ code: 'newer-format' }),
    );
    const more = Buffer.from(JSON.stringify({ ...value, more: { a: 1 } }));
    expect(parseManifest(more, 'x')).toEqual(full);
  });

  it.each<[string, (value: Record<string, unknown>) => unknown, RegExp]>([
    ['no object', () => [], /no JSON object/],
    ['no format', (v) => ({ ...v, mstore: '1' }), /no format number/],
    ['no name', (v) => ({ ...v, name: '' }), /no usable name/],
    ['a name that leaves', (v) => ({ ...v, name: '..' }), /no usable name/],
    ['a name with a slash', (v) => ({ ...v, name: 'a/b' }), /no usable name/],
    ['no content', (v) => ({ ...v, content: 1 }), /no content/],
    ['a path that leaves', (v) => content(v, { path: '../m' }), /the name \.\. in the path/],
    ['an absolute path', (v) => content(v, { path: '/m' }), /an absolute path/],
    ['an unknown kind', (v) => content(v, { kind: 'link' }), /no known kind/],
    ['no digest', (v) => content(v, { sha256: 'x' }), /no digest/],
    ['another digest', (v) => content(v, { sha256: digest }), /other files/],
    ['another size', (v) => content(v, { size: 1 }), /another size/],
    ['a negative size', (v) => content(v, { size: -1 }), /no size/],
    ['a kind that does not fit', (v) => content(v, { kind: 'file' }), /other files/],
    ['an executable directory', (v) => content(v, { executable: true }), /wrongly marks/],
    ['half a version', (v) => ({ ...v, model: undefined }), /no version in full/],
    [
      'a registry without a version',
      (v) => ({ ...v, model: undefined, version: undefined, record: undefined }),
      /names no version/,
    ],
    ['no list of objects', (v) => ({ ...v, registry: {} }), /no list of objects/],
    ['a key that leaves', (v) => object(v, { key: '../x' }), /without a usable key/],
    ['a key twice', (v) => object(v, { key: 'refs/models/m/versions/1.json' }), /twice or out of/],
    ['a huge object', (v) => object(v, { size: 65 * 1024 * 1024 }), /a bad size or digest/],
    ['no list of files', (v) => ({ ...v, files: 'x' }), /it is not a list/],
    [
      'a file outside',
      (v) => ({ ...v, files: [{ ...files[0], path: '../a' }] }),
      /files that cannot be/,
    ],
  ])('that has %s is refused', (_, change, told) => {
    expect(refusal(change)).toMatch(told);
  });

  it('of more parts than it needs is not parsed', () => {
    for (const text of [
      `[${'[],'.repeat(100_000)}0]`,
      '{'.repeat(20),
      `{"a":${'['.repeat(50_000)}`,
      `[${'0,'.repeat(100_000)}0]`,
    ]) {
      expect(refusalOf(Buffer.from(text))).toMatch(/too many parts/);
    }
    expect(refusalOf(Buffer.alloc(limits.packageManifestBytesMax + 1, 0x20))).toMatch(/too large/);
    // Commas and brackets in names are none of its parts.
    const odd = treeOf({ [`${',[{"'.repeat(60)}\u00e9`]: 'x' });
    const manifest = manifestOf(odd);
    expect(parseManifest(formatManifest(manifest), 'x').files).toEqual(odd);
  });

  it('that is no JSON is refused', () => {
    expect(refusalOf(Buffer.from('{"mstore":1'))).toMatch(/not UTF-8 JSON/);
    expect(refusalOf(Buffer.from([0xff, 0xfe]))).toMatch(/not UTF-8 JSON/);
  });
});

function content(value: Record<string, unknown>, change: object): object {
  return { ...value, content: { ...(value['content'] as object), ...change } };
}

function object(value: Record<string, unknown>, change: object): object {
  const [first, ...rest] = value['registry'] as object[];
  return { ...value, registry: [{ ...first, ...change }, ...rest] };
}
