import { describe, expect, it } from 'vitest';
import { fromBase32, toBase32 } from '../../../src/encryption/base32.ts';
import { masterKey } from '../../../src/encryption/keys.ts';
import { EncryptedNames } from '../../../src/encryption/names.ts';

const names = new EncryptedNames(masterKey(Buffer.alloc(32, 7)));
const digest = 'ab'.repeat(32);
const time = '20250101T000000000Z';
const repository = '0f1e'.repeat(8);

const keys = [
  `packs/ab/${digest}.pack`,
  `index/ab/${digest}.idx`,
  `recipes/ab/${digest}`,
  `quarantine/packs/ab/${digest}.pack`,
  `roots/${repository}/${time}-0123456789abcdef.json`,
  'refs/models/bert/versions/v1.json',
  'refs/models/bert/versions/20250101.json',
  'refs/models/versions/environments/packs/00000001.json',
  'refs/models/models/states/refs/00000002.json',
  `gc/${time}-01234567/mark.json`,
  'probes/create-if-absent',
  `packs/cd/${digest}.pack`,
  'packs/ab/odd.pack',
  'audit/0000/00000001.json',
  'audit/0000/other.json',
  `refs/models/bert/signatures/v1/${digest}.json`,
  'something/else',
];

describe('names of an encrypted remote', () => {
  it.each(keys)('are read back: %s', (key) => {
    const sealed = names.seal(key);
    expect(names.open(sealed)).toBe(key);
    expect(names.seal(key)).toBe(sealed);
    expect(sealed).toMatch(/^[a-z0-9./]+$/);
    for (const name of sealed.split('/')) expect(name.length).toBeLessThanOrEqual(255);
  });

  it('keep words of the layout and numbers of logs, and nothing else', () => {
    const shape = (key: string) => names.seal(key).replace(/[a-z2-7]{52,}/g, '*');
    expect(shape(`packs/ab/${digest}.pack`)).toMatch(/^packs\/[a-z2-7]{2}\/\*$/);
    expect(shape('refs/models/bert/versions/v1.json')).toBe('refs/models/*/versions/*');
    // What people call a model or a version stays hidden, also where it looks like a word or a number.
    expect(shape('refs/models/versions/versions/00000001.json')).toBe('refs/models/*/versions/*');
    expect(shape('refs/models/packs/environments/states/00000001.json')).toBe(
      'refs/models/*/environments/*/00000001.json',
    );
    expect(shape('audit/0001/00010001.json')).toBe('audit/0001/00010001.json');
    expect(shape('audit/00001/00010001.json')).toBe('audit/*/00010001.json');
    expect(shape(`refs/models/bert/signatures/v1/${digest}.json`)).toBe(
      'refs/models/*/signatures/*/*',
    );
    expect(shape(`roots/${repository}/gc`)).toBe('roots/*/*');
  });

  it('are others in another folder, for another kind of object, and under another key', () => {
    const last = (key: string, of = names) => of.seal(key).split('/').at(-1);
    const tokens = [
      last(`packs/ab/${digest}.pack`),
      last(`index/ab/${digest}.idx`),
      last(`recipes/ab/${digest}`),
      last('refs/models/a/versions/v1.json'),
      last('refs/models/b/versions/v1.json'),
      last('refs/models/b/versions/v1.json', new EncryptedNames(masterKey(Buffer.alloc(32, 8)))),
    ];
    expect(new Set(tokens).size).toBe(tokens.length);
  });

  it('hold the longest names of the registry on any file system, and tell lengths in steps', () => {
    const long = `refs/models/${'m'.repeat(128)}/versions/${'v'.repeat(128)}.json`;
    const sealed = names.seal(long);
    expect(names.open(sealed)).toBe(long);
    expect(Math.max(...sealed.split('/').map((name) => name.length))).toBeLessThanOrEqual(255);
    const lengths = Array.from(
      { length: 16 },
      (_, n) => names.seal(`gc/${'x'.repeat(n + 1)}`).length,
    );
    expect(new Set(lengths).size).toBe(1);
    expect(names.open(names.seal(`gc/${'x'.repeat(143)}`))).toBe(`gc/${'x'.repeat(143)}`);
    expect(() => names.seal(`gc/${'x'.repeat(144)}`)).toThrow('at most 143');
  });

  it('open nothing that was changed in one letter, cut or moved', () => {
    for (const key of keys) {
      const sealed = names.seal(key);
      const tokens = sealed.split('/');
      for (const [i, token] of tokens.entries()) {
        if (!/^[a-z2-7]{52,}$/.test(token)) continue;
        for (const at of [0, 20, 27, token.length - 1]) {
          for (const letter of ['a', 'q', '7', '1', 'A']) {
            if (token[at] === letter) continue;
            const changed = token.slice(0, at) + letter + token.slice(at + 1);
            const other = tokens.with(i, changed);
            if (tokens[i - 1]?.length === 2) other[i - 1] = changed.slice(0, 2);
            expect(names.open(other.join('/')), `${key} ${i} ${at} ${letter}`).toBeUndefined();
          }
        }
        expect(names.open(tokens.with(i, token.slice(0, -1)).join('/'))).toBeUndefined();
        expect(names.open(tokens.with(i, `${token}a`).join('/'))).toBeUndefined();
      }
    }
    const [, folder = '', pack = ''] = names.seal(`packs/ab/${digest}.pack`).split('/');
    expect(names.open(`packs/${folder}/${pack}`)).toBe(keys[0]);
    expect(names.open(`index/${folder}/${pack}`)).toBeUndefined();
    expect(names.open(`packs/zz/${pack}`)).toBeUndefined();
    expect(names.open(`packs/${pack}`)).toBeUndefined();
    expect(names.open('keys/x')).toBeUndefined();
    expect(names.open('')).toBeUndefined();
  });

  it('have prefixes under which all of them are', () => {
    for (const key of keys) {
      for (let at = key.indexOf('/'); at >= 0; at = key.indexOf('/', at + 1)) {
        const prefix = names.sealPrefix(key.slice(0, at + 1));
        expect(names.seal(key).startsWith(prefix), `${key} ${at}`).toBe(true);
      }
    }
    expect(names.sealPrefix('')).toBe('');
    expect(names.sealPrefix('refs/models/')).toBe('refs/models/');
  });
});

describe('base32', () => {
  it('reads back every length, and one text for the same bytes', () => {
    for (let length = 0; length < 40; length++) {
      const bytes = Buffer.from(Array.from({ length }, (_, i) => (i * 37 + length) & 255));
      expect(fromBase32(toBase32(bytes))?.equals(bytes), String(length)).toBe(true);
    }
    expect(toBase32(Buffer.from('foobar'))).toBe('mzxw6ytboi');
    for (const bad of ['a', 'ab', 'aaa', 'MZXW', 'mz=w', 'mz1w', 'mzxw6ytbok']) {
      expect(fromBase32(bad), bad).toBeUndefined();
    }
  });
});
