import { describe, expect, it } from 'vitest';
import {
  describeSeries,
  metricDelta,
  metricNames,
  namePlace,
  seriesOf,
} from '../../../src/web/series.ts';
import { summary } from '../../support/web-versions.ts';

/** Versions as the server lists them: the latest first. */
const versions = [
  summary('v3', { metrics: { accuracy: 0.9, loss: 0.2 }, live: ['staging'] }),
  summary('v2', { metrics: { accuracy: 0.95 }, live: ['production', 'canary'] }),
  summary('v1', { metrics: { accuracy: 0.8, loss: 0.4, zeta: 1 } }),
];

describe('a metric over versions', () => {
  it('begins with the oldest, and leaves out versions that lack it', () => {
    expect(metricNames(versions)).toEqual(['accuracy', 'loss', 'zeta']);
    const { points } = seriesOf(versions, 'loss');
    expect(points.map(({ index, version, value }) => [index, version, value])).toEqual([
      [0, 'v1', 0.4],
      [2, 'v3', 0.2],
    ]);
  });

  it('is no property that all objects have', () => {
    expect(seriesOf(versions, 'toString').points).toEqual([]);
  });

  it('is told in words', () => {
    expect(describeSeries(seriesOf(versions, 'accuracy'))).toBe(
      'accuracy over 3 versions, from 0.8 at v1 to 0.9 at v3. Lowest 0.8 at v1, highest 0.95 at v2. Live: production, canary: 0.95 at v2; staging: 0.9 at v3.',
    );
    expect(describeSeries(seriesOf(versions, 'loss'))).toContain('over 2 of 3 versions');
    expect(describeSeries(seriesOf(versions, 'zeta'))).toBe(
      'zeta is 1 at v1, the only version that has it.',
    );
    expect(describeSeries(seriesOf([], 'accuracy'))).toBe('No version has accuracy.');
  });
});

describe('the name of a point', () => {
  it.each([
    [undefined, 5, undefined, 'above', 'middle'],
    [undefined, 5, 6, 'below', 'start'],
    [undefined, 5, 4, 'above', 'start'],
    [4, 5, undefined, 'above', 'end'],
    [6, 5, undefined, 'below', 'end'],
    [4, 5, 6, 'above', 'end'],
    [6, 5, 4, 'above', 'start'],
    [4, 5, 4, 'above', 'middle'],
    [6, 5, 6, 'below', 'middle'],
    [5, 5, 5, 'above', 'middle'],
  ])('between %j and, from %d, %j stands %s, %s', (before, value, after, side, anchor) => {
    expect(namePlace(before, value, after)).toEqual({ side, anchor });
  });
});

describe('a difference of metrics', () => {
  const rules = { judged: ['accuracy', 'latency'], lowerIsBetter: ['latency'] };

  it.each([
    ['accuracy', 0.5, 0.75, 0.25, 0.5, 'better'],
    ['accuracy', 0.75, 0.5, -0.25, -1 / 3, 'worse'],
    ['latency', 50, 40, -10, -0.2, 'better'],
    ['latency', 40, 50, 10, 0.25, 'worse'],
    ['loss', 2, 1, -1, -0.5, 'unknown'],
    ['accuracy', 0.5, 0.5, 0, 0, 'unknown'],
    ['accuracy', -2, -1, 1, 0.5, 'better'],
  ])('of %s from %d to %d', (name, before, after, difference, relative, verdict) => {
    const delta = metricDelta(name, before, after, rules);
    expect(delta.difference).toBeCloseTo(difference, 12);
    expect(delta.relative).toBeCloseTo(relative, 12);
    expect(delta.verdict).toBe(verdict);
  });

  it('has no part of nothing', () => {
    expect(metricDelta('accuracy', 0, 1, rules).relative).toBeUndefined();
  });
});
