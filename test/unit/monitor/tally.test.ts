import { describe, expect, it } from 'vitest';
import { driftOf, Tally } from '../../../src/monitor/tally.ts';
import { xorshiftBytes } from '../../support/xorshift.ts';

function tallyOf(predictions: ReadonlyArray<string | number>): Tally {
  const tally = new Tally();
  for (const prediction of predictions) {
    tally.add({ version: 'v1', kind: 'call', ok: true, prediction, count: 1 });
  }
  return tally;
}

describe('Tally', () => {
  it('counts calls, failures, times of what succeeded, and loads apart from them', () => {
    const tally = new Tally();
    tally.add({ version: 'v1', kind: 'call', ok: true, latency_ms: 10, count: 98 });
    tally.add({ version: 'v1', kind: 'call', ok: false, latency_ms: 30_000, count: 2 });
    tally.add({ version: 'v1', kind: 'load', ok: false, count: 3 });
    tally.add({ version: 'v1', kind: 'load', ok: true, latency_ms: 500, count: 1 });
    expect(tally).toMatchObject({ calls: 100, errors: 2, loads: 4, loadErrors: 3 });
    expect(tally.errorRate).toBe(0.02);
    expect(tally.latency.quantile(1)).toBeCloseTo(10, 0);
    expect(new Tally().errorRate).toBeUndefined();
  });

  it('tells a bounded number of labels apart, and loses no count', () => {
    const tally = tallyOf(Array.from({ length: 1_000 }, (_, i) => `label ${i}`));
    expect(tally.labels.size).toBe(257);
    expect(tally.predictions).toBe(1_000);
    const other = tallyOf(['another', '__proto__', 'label 3']);
    other.merge(tally);
    expect(other.predictions).toBe(1_003);
    expect(other.labels.size).toBeLessThanOrEqual(257);
    const back = Tally.from(JSON.parse(JSON.stringify(other)));
    expect(back?.predictions).toBe(1_003);
    expect(back?.labels.get('__proto__')).toBe(1);
  });

  it.each([
    [undefined],
    [{}],
    [{ ...JSON.parse(JSON.stringify(new Tally())), calls: -1 }],
    [{ ...JSON.parse(JSON.stringify(new Tally())), labels: { a: 'b' } }],
    [{ ...JSON.parse(JSON.stringify(new Tally())), latency: [[1]] }],
  ])('takes %j for no tally', (value) => {
    expect(Tally.from(value)).toBeUndefined();
  });
});

describe('driftOf', () => {
  /** Numbers from 0 to 1. */
  function fractions(seed: number, count: number): number[] {
    const bytes = xorshiftBytes(seed, 4 * count);
    return Array.from({ length: count }, (_, i) => bytes.readUInt32LE(4 * i) / 2 ** 32);
  }

  /** Draws labels by their shares. */
  function draw(count: number, shares: Readonly<Record<string, number>>, seed: number): string[] {
    return fractions(seed, count).map((fraction) => {
      let rest = fraction;
      for (const [label, share] of Object.entries(shares)) {
        rest -= share;
        if (rest < 0) return label;
      }
      return 'rest';
    });
  }

  const usual = { cat: 0.5, dog: 0.3, bird: 0.2 };

  it('is what the index is by its definition', () => {
    const before = tallyOf([...Array(5000).fill('cat'), ...Array(5000).fill('dog')]);
    const now = tallyOf([...Array(2000).fill('cat'), ...Array(8000).fill('dog')]);
    const expected = (0.2 - 0.5) * Math.log(0.2 / 0.5) + (0.8 - 0.5) * Math.log(0.8 / 0.5);
    expect(driftOf(before, now)?.index).toBeCloseTo(expected, 3);
  });

  it('is within what it takes for chance where nothing has changed, and beyond it where it has', () => {
    let beyond = 0;
    for (let seed = 1; seed <= 200; seed++) {
      const before = tallyOf(draw(400, usual, seed * 7919));
      const same = driftOf(before, tallyOf(draw(200, usual, seed * 104_729)));
      if ((same?.index ?? 0) > (same?.noise ?? 0)) beyond++;
      const other = { cat: 0.2, dog: 0.3, bird: 0.5 };
      const moved = driftOf(before, tallyOf(draw(200, other, seed * 15_485_863)));
      expect(moved?.index).toBeGreaterThan((moved?.noise ?? 0) + 0.1);
    }
    expect(beyond).toBeLessThan(8);
  });

  it('notices numbers that move, and labels that were never there', () => {
    const before = tallyOf(fractions(5, 2000));
    const still = driftOf(before, tallyOf(fractions(6, 2000)));
    expect(still?.index).toBeLessThan(0.05);
    const moved = fractions(7, 2000).map((value) => value + 0.3);
    expect(driftOf(before, tallyOf(moved))?.index).toBeGreaterThan(0.5);
    const labels = tallyOf(draw(1000, usual, 3));
    expect(driftOf(labels, tallyOf(Array(1000).fill('fish')))?.index).toBeGreaterThan(5);
  });

  it('says nothing where one of the two predicted nothing', () => {
    expect(driftOf(new Tally(), tallyOf(['cat']))).toBeUndefined();
    expect(driftOf(tallyOf(['cat']), new Tally())).toBeUndefined();
    expect(driftOf(tallyOf([1]), tallyOf(['cat']))).toBeUndefined();
  });
});
