import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { QuantileSketch } from '../../../src/monitor/sketch.ts';

function sketchOf(values: readonly number[]): QuantileSketch {
  const sketch = new QuantileSketch();
  for (const value of values) sketch.add(value);
  return sketch;
}

const numbers = fc.array(
  fc.oneof(fc.double({ min: -1e11, max: 1e11, noNaN: true }), fc.integer({ min: -5, max: 5 })),
  { minLength: 1, maxLength: 300 },
);

describe('QuantileSketch', () => {
  it('knows quantiles to 2 %, whatever was counted', () => {
    fc.assert(
      fc.property(numbers, fc.constantFrom(0, 0.05, 0.5, 0.95, 1), (values, share) => {
        const found = sketchOf(values).quantile(share) ?? Number.NaN;
        const sorted = [...values].sort((a, b) => a - b);
        const exact = sorted[Math.floor(share * (sorted.length - 1))] ?? Number.NaN;
        const near = Math.abs(exact) < 1e-9 ? 1e-9 : Math.abs(exact) * 0.0201;
        expect(Math.abs(found - exact)).toBeLessThanOrEqual(near);
      }),
    );
  });

  it('adds two to what one would have counted, and comes back from JSON as it was', () => {
    fc.assert(
      fc.property(numbers, numbers, (some, others) => {
        const both = sketchOf(some);
        both.merge(sketchOf(others));
        expect(both.toJSON()).toEqual(sketchOf([...some, ...others]).toJSON());
        const back = QuantileSketch.from(JSON.parse(JSON.stringify(both)));
        expect(back?.toJSON()).toEqual(both.toJSON());
        expect(back?.count).toBe(some.length + others.length);
      }),
    );
  });

  it('is bounded, whatever comes', () => {
    const sketch = new QuantileSketch();
    for (let e = -320; e < 308; e++) {
      for (let step = 1; step < 10; step += 0.05) sketch.add((e % 2 ? 1 : -1) * step * 10 ** e);
    }
    expect(sketch.toJSON().length).toBeLessThan(2_500);
    expect(sketch.quantile(1)).toBeCloseTo(1e12, -11);
  });

  it('cuts what was counted into parts of a size, and counts others by them', () => {
    const sketch = sketchOf(Array.from({ length: 10_000 }, (_, i) => i + 1));
    const cuts = sketch.cuts(10);
    expect(cuts).toHaveLength(9);
    for (const count of sketch.counts(cuts)) expect(Math.abs(count - 1000)).toBeLessThan(400);
    expect(sketchOf([-5, 1e9]).counts(cuts)).toEqual([1, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    expect(sketchOf([7, 7, 7]).cuts(10)).toHaveLength(1);
    expect(new QuantileSketch().cuts(10)).toEqual([]);
    expect(new QuantileSketch().quantile(0.5)).toBeUndefined();
  });

  it.each([
    ['nothing', undefined],
    ['no list', {}],
    ['no pairs', [1]],
    ['a bucket that is none', [[0.5, 1]]],
    ['a bucket beyond all', [[100_000, 1]]],
    ['a count below 0', [[1, -1]]],
    ['a count that is none', [[1, 'x']]],
  ])('takes %s for no sketch', (_, value) => {
    expect(QuantileSketch.from(value)).toBeUndefined();
  });
});
