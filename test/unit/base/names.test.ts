import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  checkWritableOn,
  collisionKey,
  nameFromFolder,
  nameProblem,
  pathProblem,
  printable,
  shellWord,
  windowsProblem,
} from '../../../src/base/names.ts';
import { runs } from '../../support/runs.ts';

describe('nameProblem', () => {
  it.each([
    ['', 'an empty name'],
    ['.', 'the name .'],
    ['..', 'the name ..'],
    ['a/b', 'a slash in a name'],
    ['a\\b', 'a backslash'],
    ['a\nb', 'a control character such as a newline'],
    ['a\u0000b', 'a control character such as a newline'],
    ['\u007f', 'a control character such as a newline'],
    ['\ud800', 'bytes that are not UTF-8'],
    ['a\udc00b', 'bytes that are not UTF-8'],
    ['a\ufffdb', 'bytes that are not UTF-8'],
    ['e\u0301', 'letters in a decomposed Unicode form (not NFC)'],
    ['a'.repeat(256), 'a name of more than 255 bytes'],
    ['é'.repeat(128), 'a name of more than 255 bytes'],
  ])('finds in %j %s', (name, problem) => {
    expect(nameProblem(name)).toBe(problem);
  });

  it.each([
    '.git',
    '.GIT',
    '.gIt',
    '.git.',
    '.git ',
    '.git . .',
    'git~1',
    'GIT~1',
    '.g\u200cit',
    '\ufeff.git',
    '.modelstore',
    '.ModelStore',
  ])('keeps Git and mstore out of reach of %j', (name) => {
    expect(nameProblem(name)).toBe('a name that belongs to Git or mstore itself');
  });

  it.each([
    'a',
    '.a',
    '...',
    '.gitignore',
    '.gitattributes',
    'git',
    'git~2',
    'x.git',
    '.modelstore2',
    'con',
    'a:b',
    'a b',
    'a ',
    'é',
    '\u{1f600}',
    'a'.repeat(255),
    '\u200d',
  ])('finds nothing in %j', (name) => {
    expect(nameProblem(name)).toBeUndefined();
  });
});

describe('pathProblem', () => {
  it.each([
    ['/a', 'an absolute path'],
    ['a//b', 'an empty name'],
    ['a/', 'an empty name'],
    ['', 'an empty name'],
    ['a/../b', 'the name ..'],
    ['a/.git/hooks/x', 'a name that belongs to Git or mstore itself'],
  ])('finds in %j %s', (path, problem) => {
    expect(pathProblem(path)).toBe(problem);
  });

  it('allows paths of 4096 bytes, and no more', () => {
    expect(pathProblem(`${'a/'.repeat(2048)}a`)).toBe('a path of more than 4096 bytes');
    expect(pathProblem(`${'a/'.repeat(2047)}aa`)).toBeUndefined();
  });
});

describe('collisionKey', () => {
  it.each([
    ['a', 'A'],
    ['É', 'é'],
    ['e\u0301', '\u00e9'],
    ['E\u0301', '\u00e9'],
    // Greek has two small sigmas; which one stands at the end of a word must not matter.
    ['ΑΣ', 'ασ'],
    ['ας', 'ασ'],
    ['ſ', 's'],
    ['straße', 'STRASSE'],
    ['ẞ', 'ß'],
    ['Dir/File', 'dir/fILE'],
  ])('is the same for %j and %j', (a, b) => {
    expect(collisionKey(a)).toBe(collisionKey(b));
  });

  it.each([
    ['a', 'b'],
    ['a', 'á'],
    ['ı', 'i'],
    ['a/b', 'a-b'],
  ])('differs for %j and %j', (a, b) => {
    expect(collisionKey(a)).not.toBe(collisionKey(b));
  });

  it('joins whatever lower case, upper case or a Unicode form joins', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', maxLength: 8 }), (text) => {
        fc.pre(!text.includes('ı'));
        const key = collisionKey(text);
        expect(collisionKey(text.normalize('NFD'))).toBe(key);
        expect(collisionKey(text.normalize('NFC'))).toBe(key);
        expect(collisionKey(key)).toBe(key);
      }),
      runs(300),
    );
    fc.assert(
      fc.property(fc.string({ maxLength: 20 }), (text) => {
        expect(collisionKey(text.toUpperCase())).toBe(collisionKey(text));
        expect(collisionKey(text)).toBe(text.toLowerCase());
      }),
      runs(100),
    );
  });
});

describe('names on other systems', () => {
  const windows = { platform: 'win32' } as const;

  it.each([
    'con',
    'CON',
    'Nul.txt',
    'com1',
    'COM9.bin',
    'com¹',
    'lpt0',
    'conin$',
    'aux.',
    'a<b',
    'a:b',
    'a|b',
    'a?',
    'a*',
    'a"b',
    'a.',
    'a ',
    'MODELS~1',
    'models~2',
  ])('%j does not fit on Windows', (name) => {
    expect(windowsProblem(name)).toBeDefined();
    expect(() => checkWritableOn(`models/${name}/x`, windows)).toThrow(
      expect.objectContaining({ code: 'bad-name' }) as Error,
    );
    expect(() => checkWritableOn(`models/${name}/x`, { platform: 'linux' })).not.toThrow();
  });

  it.each(['console', 'com', 'com10', 'a.con', 'model.bin', '.a', 'a b', 'lpt'])(
    '%j fits on Windows',
    (name) => {
      expect(windowsProblem(name)).toBeUndefined();
      expect(() => checkWritableOn(`models/${name}`, windows)).not.toThrow();
    },
  );

  it('composes names that macOS decomposed, and only there', () => {
    expect(nameFromFolder('e\u0301', { platform: 'darwin' })).toBe('\u00e9');
    expect(nameFromFolder('e\u0301', { platform: 'linux' })).toBe('e\u0301');
  });
});

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const steering = /[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/;

describe('printable', () => {
  it('writes what could steer a terminal as escapes', () => {
    expect(printable('a\u001b[31m\nb\u202ec\u009b')).toBe('a\\u{1b}[31m\\u{a}b\\u{202e}c\\u{9b}');
    expect(printable('größe \u{1f600}')).toBe('größe \u{1f600}');
    expect(printable('a\u200bb\u{e0041}\u061c\u2028')).toBe(
      'a\\u{200b}b\\u{e0041}\\u{61c}\\u{2028}',
    );
    expect(printable('می\u200cخواهم \u{1f469}\u200d\u{1f4bb}')).toBe(
      'می\u200cخواهم \u{1f469}\u200d\u{1f4bb}',
    );
  });

  it('leaves no control character', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        expect(printable(text)).not.toMatch(steering);
      }),
      runs(200),
    );
  });
});

describe('shellWord', () => {
  it('quotes what a shell would see more in, and nothing else', () => {
    expect(
      ['models/größe-1.0+a@b:c,d%e', 'a b', '$(x)', "it's", '', '~', 'a\nb'].map(shellWord),
    ).toEqual([
      'models/größe-1.0+a@b:c,d%e',
      "'a b'",
      "'$(x)'",
      "'it'\\''s'",
      "''",
      "'~'",
      "'a\\u{a}b'",
    ]);
  });
});
