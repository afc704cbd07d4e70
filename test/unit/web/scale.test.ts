import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { domainOf, labelsThatFit, linearScale, niceTicks } from '../../../src/web/scale.ts';
import { runs } from '../../support/runs.ts';

const number = fc.oneof(
  fc.double({ noNaN: true, min: -1e12, max: 1e12 }),
  fc.double({ noNaN: true, noDefaultInfinity: true }),
);
const values = fc.array(number, { minLength: 1, maxLength: 50 });

describe('a domain', () => {
  it.each([
    [[], [0, 1]],
    [[0], [-1, 1]],
    [[50], [45, 55]],
    [[-2], [-2.2, -1.8]],
    [
      [0, 100],
      [0, 106],
    ],
    [
      [0.5, 100],
      [0, 105.97],
    ],
    [
      [-100, 100],
      [-112, 112],
    ],
  ])('of %j is %j', (of, expected) => {
    const [low, high] = domainOf(of);
    expect(low).toBeCloseTo(expected[0] as number, 9);
    expect(high).toBeCloseTo(expected[1] as number, 9);
  });

  it('holds all values, whatever they are', () => {
    fc.assert(
      fc.property(values, (of) => {
        const [low, high] = domainOf(of);
        for (const value of of) expect(value >= low && value <= high).toBe(true);
        expect(high).toBeGreaterThan(low);
      }),
      runs(300),
    );
  });
});

describe('ticks', () => {
  it.each([
    [[0, 1], 4, ['0.00', '0.25', '0.50', '0.75', '1.00']],
    [[0, 10], 5, ['0', '2', '4', '6', '8', '10']],
    [[0.866, 0.951], 4, ['0.875', '0.900', '0.925', '0.950']],
    [[-1, 1], 4, ['-1.0', '-0.5', '0.0', '0.5', '1.0']],
    [[38.3, 51.7], 4, ['40', '45', '50']],
    [[0, 3e9], 3, ['0', '1e+9', '2e+9', '3e+9']],
    [[0, 2e-6], 2, ['0', '1e-6', '2e-6']],
    [[99.99, 100.01], 4, ['99.990', '99.995', '100.000', '100.005', '100.010']],
  ] as const)('of %j, about %i', (domain, wanted, labels) => {
    expect(niceTicks(domain, wanted).labels).toEqual(labels);
  });

  it('of one value, and of what is no domain, is that value', () => {
    expect(niceTicks([5, 5], 4)).toEqual({ values: [5], labels: ['5'] });
    expect(niceTicks([0, Number.POSITIVE_INFINITY], 4).values).toEqual([0]);
    // A round step of these would be no number any more.
    const wide = [-9.464295178580897e307, 5.3571482142910733e306] as const;
    expect(niceTicks(wide, 1).values).toEqual([wide[0]]);
  });

  it('are few, in order, evenly apart, inside, and called differently', () => {
    fc.assert(
      fc.property(values, fc.integer({ min: 1, max: 10 }), (of, wanted) => {
        const domain = domainOf(of);
        const span = domain[1] - domain[0];
        // Differences beyond what a number can hold are none.
        fc.pre(span > 1e-9 * Math.max(Math.abs(domain[0]), Math.abs(domain[1]), 1e-280));
        const { values: ticks, labels } = niceTicks(domain, wanted);
        expect(ticks.length).toBeLessThanOrEqual(2.5 * wanted + 2);
        expect(labels).toHaveLength(ticks.length);
        expect(new Set(labels).size).toBe(labels.length);
        const room = span * 1e-6;
        for (const [i, tick] of ticks.entries()) {
          expect(tick >= domain[0] - room && tick <= domain[1] + room).toBe(true);
          if (i > 1) {
            const [before, last] = [ticks[i - 2] as number, ticks[i - 1] as number];
            expect(tick - last).toBeCloseTo(last - before, -Math.floor(Math.log10(room)));
          }
        }
      }),
      runs(300),
    );
  });
});

describe('a scale', () => {
  it('puts whatever there is on the screen', () => {
    fc.assert(
      fc.property(values, (of) => {
        const scale = linearScale(domainOf(of), [200, 0]);
        for (const value of of) expect(scale(value) >= 0 && scale(value) <= 200).toBe(true);
      }),
      runs(300),
    );
  });

  it('maps the ends to the ends, turned around too', () => {
    const scale = linearScale([0, 10], [200, 0]);
    expect([scale(0), scale(5), scale(10)]).toEqual([200, 100, 0]);
    expect(linearScale([3, 3], [10, 20])(3)).toBe(10);
  });
});

describe('labels that fit', () => {
  it.each([
    [0, 40, 400, []],
    [1, 40, 400, [0]],
    [3, 40, 400, [0, 1, 2]],
    [7, 100, 400, [0, 2, 4, 6]],
    [500, 80, 420, [0, 125, 250, 374, 499]],
    [500, 900, 420, [499]],
  ])('of %i, each %i wide, in %i', (number, widest, room, expected) => {
    expect(labelsThatFit(number, widest, room)).toEqual(expected);
  });
});
