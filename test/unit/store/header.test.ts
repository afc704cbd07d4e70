import { describe, expect, it } from 'vitest';
import { systemRandom } from '../../../src/base/clock.ts';
import { sha256 } from '../../../src/base/digest.ts';
import { formatHeader, parseHeader } from '../../../src/store/header.ts';
import {
  blobOfRecipeKey,
  indexKey,
  packKey,
  packOfIndexKey,
  packOfKey,
  recipeKey,
} from '../../../src/store/keys.ts';

const good = { mstore: 1, id: '0123456789abcdef0123456789abcdef' };
const parse = (value: unknown) =>
  parseHeader(Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)), 'there');

describe('parseHeader', () => {
  it('reads what formatHeader writes; two places never have one id', () => {
    const clock = { now: () => 0, monotonic: () => 0 };
    const ids = [1, 2].map(() => parseHeader(formatHeader(clock, systemRandom), 'there').id);
    expect(new Set(ids).size).toBe(2);
  });

  it('reads headers of other chunking and with keys of later versions', () => {
    expect(parse({ ...good, chunking: { rule: 'other' }, later: [1] })).toEqual({ id: good.id });
  });

  it.each<[string, unknown]>([
    ['no JSON', '{'],
    ['nothing', ''],
    ['a list', []],
    ['no number', { id: good.id }],
    ['a fraction', { ...good, mstore: 1.5 }],
    ['a number that is text', { ...good, mstore: '1' }],
    ['number 0', { ...good, mstore: 0 }],
    ['no id', { mstore: 1 }],
    ['an id of another form', { ...good, id: 'ABC' }],
  ])('refuses %s', (_, value) => {
    expect(() => parse(value)).toThrow(expect.objectContaining({ code: 'corrupt-store' }) as Error);
  });

  it.each<[string, unknown]>([
    ['a higher number', { ...good, mstore: 2 }],
    ['a higher number and nothing else that it knows', { mstore: 9 }],
    ['encryption', { ...good, encryption: null }],
  ])('asks for a newer mstore on %s', (_, value) => {
    expect(() => parse(value)).toThrow(expect.objectContaining({ code: 'newer-format' }) as Error);
  });
});

describe('keys', () => {
  const digest = sha256('x');
  const shard = digest.slice(0, 2);

  it('are the same for all backends', () => {
    expect(packKey(digest)).toBe(`packs/${shard}/${digest}.pack`);
    expect(indexKey(digest)).toBe(`index/${shard}/${digest}.idx`);
    expect(recipeKey(digest)).toBe(`recipes/${shard}/${digest}`);
  });

  it('give back their digest, and other names none', () => {
    expect(packOfKey(packKey(digest))).toBe(digest);
    expect(packOfIndexKey(indexKey(digest))).toBe(digest);
    expect(blobOfRecipeKey(recipeKey(digest))).toBe(digest);
    const misplaced = `packs/zz/${digest}.pack`;
    for (const key of ['packs/ab/x.pack', `packs/${digest}x.pack`, misplaced, 'mstore.json', '']) {
      expect(packOfKey(key)).toBeUndefined();
    }
    for (const key of [packKey(digest), `index/${digest}.idx`]) {
      expect(packOfIndexKey(key)).toBeUndefined();
    }
    for (const key of [`recipes/zz/${digest}`, `${recipeKey(digest)}.tmp`]) {
      expect(blobOfRecipeKey(key)).toBeUndefined();
    }
  });
});
