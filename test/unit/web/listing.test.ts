import { describe, expect, it } from 'vitest';
import {
  filterVersions,
  formatOrder,
  pageOf,
  parseOrder,
  sortVersions,
} from '../../../src/web/listing.ts';
import { summary } from '../../support/web-versions.ts';

const all = [
  summary('v3', { created: '2026-03-01', size: 10, metrics: { a: 1 }, live: ['staging'] }),
  summary('v2', {
    created: '2026-04-01',
    size: 30,
    metrics: { a: 3 },
    state: 'deprecated',
    labels: { run: 'Seventeen' },
  }),
  summary('v1', { created: '2026-01-01', size: 20, author: 'Bob', description: 'The first one' }),
];

function names(versions: readonly { readonly version: string }[]): string {
  return versions.map(({ version }) => version).join(' ');
}

describe('a list of versions', () => {
  it.each([
    ['', '', 'v3 v2 v1'],
    ['v', '', 'v3 v2 v1'],
    ['SEVENTEEN', '', 'v2'],
    ['first bob', '', 'v1'],
    ['first ann', '', ''],
    ['staging', '', 'v3'],
    ['', 'live', 'v3'],
    ['', 'deprecated', 'v2'],
    ['bob', 'active', 'v1'],
  ])('is cut down to %j in the state %j', (text, state, expected) => {
    expect(names(filterVersions(all, { text, state }))).toBe(expected);
  });

  it.each([
    [null, 'v3 v2 v1'],
    ['version', 'v1 v2 v3'],
    ['-version', 'v3 v2 v1'],
    ['created', 'v1 v3 v2'],
    ['-created', 'v2 v3 v1'],
    ['size', 'v3 v1 v2'],
    ['-size', 'v2 v1 v3'],
    // Without a value they stay last.
    ['metric:a', 'v3 v2 v1'],
    ['-metric:a', 'v2 v3 v1'],
    ['-metric:toString', 'v3 v2 v1'],
    ['nonsense', 'v3 v2 v1'],
  ])('is sorted by %j', (text, expected) => {
    expect(names(sortVersions(all, parseOrder(text)))).toBe(expected);
  });

  it('has an order that an address can hold', () => {
    for (const text of ['version', '-created', 'size', '-metric:a-b:c']) {
      expect(formatOrder(parseOrder(text))).toBe(text);
    }
  });
});

describe('a page of a list', () => {
  const numbers = Array.from({ length: 101 }, (_, i) => i);

  it.each([
    [1, 1, 1, 50],
    [3, 3, 101, 101],
    [9, 3, 101, 101],
    [0, 1, 1, 50],
    [-4, 1, 1, 50],
    [Number.NaN, 1, 1, 50],
    [1.5, 1, 1, 50],
  ])('asked for as %d is %i, from %i to %i', (wanted, page, first, last) => {
    expect(pageOf(numbers, wanted)).toMatchObject({ page, pages: 3, first, last, total: 101 });
    expect(pageOf(numbers, wanted).items).toHaveLength(last - first + 1);
  });

  it('of nothing is one that is empty', () => {
    expect(pageOf([], 1)).toMatchObject({ items: [], pages: 1, first: 0, last: 0 });
  });
});
