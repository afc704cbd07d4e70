import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { sha256 } from '../../../src/base/digest.ts';
import { isMstoreError } from '../../../src/base/errors.ts';
import { parseSubset } from '../../../src/flow/verify/subset.ts';
import { runs } from '../../support/runs.ts';

const dayMs = 86_400_000;
const names = Array.from({ length: 500 }, (_, n) => sha256(`name ${n}`));

describe('a daily share', () => {
  it.each([
    ['5%', 20],
    ['7%', 15],
    ['33.34%', 3],
    ['0.5%', 200],
    ['100%', 1],
  ])('of %s comes to every object within %i days, from any day on', (text, days) => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 40_000 }), (first) => {
        const left = new Set(names);
        for (let day = first; day < first + days; day++) {
          const subset = parseSubset(text, day * dayMs + (day % dayMs));
          for (const name of names) if (subset.has(name)) left.delete(name);
        }
        expect(left.size).toBe(0);
      }),
      runs(5),
    );
  });

  it('takes about its share, the same one all day', () => {
    const day = 20_000 * dayMs;
    const chosen = (nowMs: number) => names.filter(parseSubset('10%', nowMs).has);
    expect(chosen(day).length).toBeGreaterThan(25);
    expect(chosen(day).length).toBeLessThan(80);
    expect(chosen(day + dayMs - 1)).toEqual(chosen(day));
    expect(chosen(day + dayMs)).not.toEqual(chosen(day));
  });

  it('says which slice it is, round the end too', () => {
    expect(parseSubset('5%', 20_003 * dayMs).slice).toBe('15% to 20%');
    expect(parseSubset('5%', 20_019 * dayMs).slice).toBe('95% to 100%');
    expect(parseSubset('30%', 3 * dayMs).slice).toBe('90% to 20%');
  });
});

describe('a slice by number', () => {
  it('has each object once among all', () => {
    for (const total of [1, 3, 20]) {
      const slices = Array.from({ length: total }, (_, i) => parseSubset(`${i + 1}/${total}`, 0));
      for (const name of names) expect(slices.filter(({ has }) => has(name))).toHaveLength(1);
    }
  });

  it('says which part it is', () => {
    expect(parseSubset('3/20', 0).slice).toBe('10% to 15%');
  });
});

describe('what is no subset', () => {
  it.each(['', '5', '0%', '101%', '5.123%', '-5%', '0/3', '4/3', '1/10001', '1/0', 'all', '5 %'])(
    'refuses "%s"',
    (text) => {
      let code = '';
      try {
        parseSubset(text, 0);
      } catch (error) {
        code = isMstoreError(error) ? error.code : '';
      }
      expect(code).toBe('usage');
    },
  );
});
