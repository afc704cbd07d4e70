import * as fs from 'node:fs';
import * as path from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Digest, sha256 } from '../../../src/base/digest.ts';
import { isMstoreError } from '../../../src/base/errors.ts';
import { treeDigest } from '../../../src/base/tree.ts';
import {
  formatPointer,
  type Pointer,
  parsePointer,
  readPointer,
  treePointer,
  writePointer,
} from '../../../src/worktree/pointer.ts';
import { runs } from '../../support/runs.ts';
import { tempFolder } from '../../support/temp.ts';
import { goodNames, goodTrees } from '../../support/trees.ts';

const digest = sha256('x');
const parse = (text: string) => parsePointer(Buffer.from(text), 'a.mstore');
const coded = (code: string, message = /^/) =>
  expect.objectContaining({
    code,
    message: expect.stringMatching(message) as string,
  }) as Error;

const known = ['mstore', 'path', 'kind', 'sha256', 'size', 'executable', 'files'];
const extras = fc.dictionary(
  fc
    .oneof(fc.constantFrom('note', '7', '__proto__', 'toString', 'é'), fc.string())
    .filter((key) => !known.includes(key)),
  // What JSON cannot hold exactly (-0, surrogates alone) does not come out of a file either.
  fc.json().map((text) => JSON.parse(text) as never),
  { maxKeys: 4 },
);

const pointers: fc.Arbitrary<Pointer> = fc.oneof(
  fc
    .record({ name: goodNames, size: fc.nat(), executable: fc.boolean(), extra: extras })
    .map(({ name, size, executable, extra }): Pointer => {
      const base = { kind: 'file', path: name, sha256: digest, size, extra } as const;
      return executable ? { ...base, executable } : base;
    }),
  fc.tuple(goodNames, goodTrees, extras).map((args): Pointer => treePointer(...args)),
);

describe('a pointer', () => {
  it('parses to what was formatted, unknown keys included', () => {
    fc.assert(
      fc.property(pointers, (pointer) => {
        const text = formatPointer(pointer);
        const parsed = parse(text);
        expect(formatPointer(parsed)).toBe(text);
        expect(JSON.stringify(parsed.extra)).toBe(JSON.stringify(pointer.extra));
        expect({ ...parsed, extra: {} }).toEqual({ ...pointer, extra: {} });
        expect(JSON.parse(text)).toMatchObject({ mstore: 1, path: pointer.path });
      }),
      runs(200),
    );
  });

  it('is written in one form, whatever form it was read in', () => {
    const text =
      `{"files":[{"sha256":"${digest}","size":3,"path":"b"}],"note":{"z":[1,{}]},` +
      `"size":3,"sha256":"${treeDigest([{ path: 'b', size: 3, sha256: digest }])}",` +
      `"kind":"tree","path":"a","mstore":1}`;
    expect(formatPointer(parse(text)).split('\n')).toEqual([
      '{',
      '  "mstore": 1,',
      '  "path": "a",',
      '  "kind": "tree",',
      `  "sha256": "${treeDigest([{ path: 'b', size: 3, sha256: digest }])}",`,
      '  "size": 3,',
      '  "note": {',
      '    "z": [',
      '      1,',
      '      {}',
      '    ]',
      '  },',
      '  "files": [',
      `    { "path": "b", "size": 3, "sha256": "${digest}" }`,
      '  ]',
      '}',
      '',
    ]);
  });

  it('keeps a key __proto__ like any other', () => {
    const text = formatPointer({ kind: 'file', path: 'a', sha256: digest, size: 1, extra: {} });
    const odd = text.replace('"kind"', '"__proto__": {\n    "size": 9\n  },\n  "kind"');
    const parsed = parse(odd);
    expect(parsed.size).toBe(1);
    expect(Object.keys(parsed.extra)).toEqual(['__proto__']);
    expect(JSON.parse(formatPointer(parsed))).toEqual(JSON.parse(odd));
  });

  it('of more than 1,000 entries leaves the list to the tree', () => {
    const entries = Array.from({ length: 1_001 }, (_, i) => ({
      path: String(i).padStart(4, '0'),
      size: 1,
      sha256: digest,
    }));
    const large = treePointer('a', entries);
    expect(large).toMatchObject({ size: 1_001, sha256: treeDigest(entries) });
    expect('files' in large).toBe(false);
    expect(parse(formatPointer(large))).toEqual(large);
    expect(treePointer('a', entries.slice(1)).files).toHaveLength(1_000);
  });
});

describe('parsePointer', () => {
  const fields = { mstore: 1, path: 'a', kind: 'file', sha256: digest as Digest, size: 1 };
  const file = (change: object) => JSON.stringify({ ...fields, ...change });
  const entry = { path: 'b', size: 1, sha256: digest };
  const tree = (change: object) =>
    file({ kind: 'tree', sha256: treeDigest([entry]), files: [entry], ...change });

  it.each<[string, string, RegExp]>([
    ['nothing', '', /not UTF-8 JSON/],
    ['half of it', file({}).slice(0, 40), /not UTF-8 JSON/],
    ['a list', '[]', /not a JSON object/],
    ['null', 'null', /not a JSON object/],
    ['no number', file({ mstore: undefined }), /no format number/],
    ['number 0', file({ mstore: 0 }), /no format number/],
    ['a number that is text', file({ mstore: '1' }), /no format number/],
    ['half a number', file({ mstore: 1.5 }), /no format number/],
    ['no path', file({ path: undefined }), /no path/],
    ['a path that leaves', file({ path: '../a' }), /its path \.\.\/a has a slash/],
    ['a path of two names', file({ path: 'a/b' }), /a slash/],
    ['the path ..', file({ path: '..' }), /the name \.\./],
    ['the folder of Git', tree({ path: '.git' }), /belongs to Git/],
    ['another kind', file({ kind: 'link' }), /neither file nor tree/],
    ['no kind', file({ kind: undefined }), /neither file nor tree/],
    ['no digest', file({ sha256: undefined }), /sha256 is no digest/],
    ['a digest in capitals', file({ sha256: digest.toUpperCase() }), /sha256 is no digest/],
    ['a negative size', file({ size: -1 }), /size is no size/],
    ['a size above 2^53', file({ size: 2 ** 60 }), /size is no size/],
    ['a list in a file', file({ files: [] }), /no list of files/],
    ['an executable mark of false', file({ executable: false }), /executable mark/],
    ['an executable tree', tree({ executable: true }), /not executable/],
    ['sizes that do not fit', tree({ size: 2 }), /do not add up/],
    ['a digest of another list', tree({ sha256: digest }), /not the digest of its list/],
    ['an entry twice', tree({ files: [entry, entry], size: 2 }), /listed twice/],
    ['an entry that leaves', tree({ files: [{ ...entry, path: '../x' }] }), /the name \.\./],
    ['an absolute entry', tree({ files: [{ ...entry, path: '/etc/x' }] }), /absolute/],
    [
      'a file where a directory must be',
      tree({ files: [entry, { ...entry, path: 'b/c' }], size: 2 }),
      /must be/,
    ],
    ['files that are no list', tree({ files: {} }), /not a list/],
  ])('refuses %s', (_, text, message) => {
    expect(() => parse(text)).toThrow(coded('corrupt-pointer', message));
  });

  it('names a merge conflict', () => {
    const lines = formatPointer({ kind: 'file', path: 'a', sha256: digest, size: 1, extra: {} });
    const [head, ...rest] = lines.split('\n');
    const conflict = `${head}\n<<<<<<< HEAD\n${rest[0]}\n=======\n${rest[1]}\n>>>>>>> b\n}`;
    expect(() => parse(conflict)).toThrow(coded('merge-conflict'));
    // A conflict inside a string is none.
    expect(parse(file({ note: '\n<<<<<<< HEAD' })).extra).toEqual({ note: '\n<<<<<<< HEAD' });
  });

  it('refuses a newer format before it looks at anything else', () => {
    expect(() => parse('{"mstore":2}')).toThrow(coded('newer-format'));
  });

  it('never fails but by its own errors', () => {
    const value = fc.record(
      {
        mstore: fc.constant(1),
        path: fc.oneof(fc.constant('a'), fc.jsonValue()),
        kind: fc.oneof(fc.constantFrom('file', 'tree'), fc.jsonValue()),
        sha256: fc.oneof(fc.constant(digest), fc.jsonValue()),
        size: fc.oneof(fc.nat(), fc.jsonValue()),
        files: fc.jsonValue(),
        executable: fc.jsonValue(),
      },
      { requiredKeys: ['mstore'] },
    );
    fc.assert(
      fc.property(fc.oneof(value, fc.jsonValue()), (json) => {
        try {
          parse(JSON.stringify(json));
        } catch (error) {
          if (!isMstoreError(error, 'corrupt-pointer', 'newer-format')) throw error;
        }
      }),
      runs(300),
    );
  });
});

describe('pointer files', () => {
  it('are read beside the name they speak of, and refused elsewhere', () => {
    const folder = tempFolder();
    const pointer: Pointer = { kind: 'file', path: 'a', sha256: digest, size: 1, extra: {} };
    const file = path.join(folder, 'a.mstore');
    expect(readPointer(file, 'm/a.mstore')).toBeUndefined();
    expect(writePointer(file, pointer)).toBe(true);
    expect(readPointer(file, 'm/a.mstore')).toEqual(pointer);
    expect(() => readPointer(file, 'm/b.mstore')).toThrow(
      coded('corrupt-pointer', /speaks of a, not of b/),
    );
  });

  it('are not written when they hold the same bytes', () => {
    const file = path.join(tempFolder(), 'a.mstore');
    const pointer: Pointer = { kind: 'file', path: 'a', sha256: digest, size: 1, extra: {} };
    writePointer(file, pointer);
    const before = fs.statSync(file, { bigint: true });
    expect(writePointer(file, pointer)).toBe(false);
    expect(fs.statSync(file, { bigint: true }).ino).toBe(before.ino);
    expect(writePointer(file, { ...pointer, size: 2 })).toBe(true);
    fs.writeFileSync(file, fs.readFileSync(file, 'utf8').replaceAll('\n', '\r\n'));
    expect(writePointer(file, { ...pointer, size: 2 })).toBe(true);
  });
});
