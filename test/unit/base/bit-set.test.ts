import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BitSet } from '../../../src/base/bit-set.ts';
import { runs } from '../../support/runs.ts';

describe('BitSet', () => {
  it('holds what a set holds', () => {
    const number = fc.integer({ min: 0, max: 99 });
    fc.assert(
      fc.property(fc.array(number), number, number, (numbers, first, length) => {
        const bits = new BitSet(200);
        const set = new Set(numbers);
        for (const each of numbers) bits.add(each);
        bits.addRange(first, first + length);
        for (let each = first; each < first + length; each++) set.add(each);
        expect(bits.count).toBe(set.size);
        for (let each = 0; each < 200; each++) expect(bits.has(each)).toBe(set.has(each));
      }),
      runs(100),
    );
  });
});
