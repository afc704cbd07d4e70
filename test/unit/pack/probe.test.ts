import { describe, expect, it } from 'vitest';
import type { Encoding } from '../../../src/pack/format.ts';
import { choosePlan } from '../../../src/pack/probe.ts';
import { vocabularyBytes, weightBytes } from '../../support/encoded-chunks.ts';
import { xorshiftBytes } from '../../support/xorshift.ts';

const length = 300_000;

describe('choosePlan', () => {
  it.each<[string, Uint8Array, Encoding]>([
    ['random bytes', xorshiftBytes(1, length), 'raw'],
    ['numbers of two bytes', weightBytes(1, length, 2), 'planes2'],
    ['numbers of four bytes', weightBytes(1, length, 4), 'planes4'],
    ['text', vocabularyBytes(length), 'deflate'],
    ['zeros', Buffer.alloc(length), 'deflate'],
    ['small integers of one byte', xorshiftBytes(1, length).map((byte) => byte & 15), 'deflate'],
    ['few bytes', Buffer.alloc(63), 'raw'],
    ['no bytes', Buffer.alloc(0), 'raw'],
    ['a small file of text', Buffer.from('{"architectures":["Model"],'.repeat(20)), 'deflate'],
  ])('for %s', (_, raw, encoding) => {
    expect(choosePlan(raw).encoding).toBe(encoding);
  });

  it('chooses alike wherever a number starts', () => {
    for (const phase of [0, 1, 2, 3]) {
      const halves = choosePlan(weightBytes(1, length, 2).subarray(phase));
      expect([...halves.methods].sort()).toEqual(['codes', 'raw']);
      const words = choosePlan(weightBytes(1, length, 4).subarray(phase));
      expect(words.encoding).toBe('planes4');
      expect([...words.methods].sort()).toEqual(['codes', 'raw', 'raw', 'raw']);
      // The plane that is worth it comes earlier the later in a number the chunk starts.
      expect(words.methods.indexOf('codes')).toBe(3 - phase);
    }
  });

  it('takes runs for planes in which one value prevails', () => {
    const wide = Buffer.alloc(length);
    for (const [i, byte] of xorshiftBytes(1, length / 4).entries()) wide[i * 4 + 3] = byte;
    expect(choosePlan(wide)).toEqual({
      encoding: 'planes4',
      methods: ['runs', 'runs', 'runs', 'raw'],
    });
  });

  it('takes codes for bytes that do not repeat and repetitions for those that do', () => {
    expect(choosePlan(xorshiftBytes(1, length).map((byte) => byte & 15)).methods).toEqual([
      'codes',
    ]);
    expect(choosePlan(vocabularyBytes(length)).methods).toEqual(['repeats']);
    const block = xorshiftBytes(1, 1_000);
    const repeated = Buffer.concat(Array.from({ length: 300 }, () => block));
    expect(choosePlan(repeated).methods).toEqual(['repeats']);
  });

  it('chooses from what is allowed', () => {
    const halves = weightBytes(1, length, 2);
    expect(choosePlan(halves, ['deflate']).encoding).toBe('deflate');
    expect(choosePlan(halves, ['planes4']).encoding).toBe('planes4');
    expect(choosePlan(halves, []).encoding).toBe('raw');
    expect(choosePlan(vocabularyBytes(length), ['planes2']).methods).not.toContain('repeats');
  });
});
