import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compareVersions, latestOf, latestRelease } from '../../../src/registry/version-order.ts';
import { runs } from '../../support/runs.ts';

const created = (n: number): string => new Date(Date.UTC(2026, 0, 1) + n * 1000).toISOString();
const versions = (...names: string[]) =>
  names.map((version, n) => ({ version, created: created(n) }));

describe('the order of versions', () => {
  it('is that of Semantic Versioning', () => {
    // The example of section 11, and numbers that people write shorter.
    const inOrder = [
      'v0.9',
      '1.0.0-alpha',
      '1.0.0-alpha.1',
      '1.0.0-alpha.beta',
      '1.0.0-beta',
      '1.0.0-beta.2',
      '1.0.0-beta.11',
      '1.0.0-rc.1',
      '1.0.0',
      'v1.0.1',
      'v1.2',
      'v1.10.0',
      'v2',
      'v10',
      '2026.01.05',
      '2026.11.21',
    ];
    const shuffled = [...inOrder].reverse();
    const sorted = versions(...shuffled).sort(compareVersions);
    expect(sorted.map(({ version }) => version)).toEqual(inOrder);
  });

  it('puts names that are no numbers first, as they were registered', () => {
    const sorted = versions('v1', 'zebra', 'apple', 'v0.1').sort(compareVersions);
    expect(sorted.map(({ version }) => version)).toEqual(['zebra', 'apple', 'v0.1', 'v1']);
  });

  it('holds together for any names', () => {
    const part = fc.constantFrom('0', '1', '2', '10', 'a', 'rc', '-1');
    const name = fc
      .tuple(fc.constantFrom('v', ''), fc.array(part, { minLength: 1, maxLength: 4 }))
      .map(([v, parts]) => v + parts.join('.'));
    const one = fc.record({ version: name, created: fc.nat(3).map(created) });
    fc.assert(
      fc.property(one, one, one, (a, b, c) => {
        expect(Math.sign(compareVersions(a, b))).toBe(-Math.sign(compareVersions(b, a)) + 0);
        if (compareVersions(a, b) <= 0 && compareVersions(b, c) <= 0) {
          expect(compareVersions(a, c)).toBeLessThanOrEqual(0);
        }
      }),
      runs(500),
    );
  });
});

describe('the latest version', () => {
  it.each([
    [['v1.0.0', 'v1.2.0', 'v1.1.0'], 'v1.2.0'],
    [['v1.0.0', 'v1.1.0-rc.1'], 'v1.0.0'],
    [['v1.1.0-rc.1', 'v1.1.0-rc.2'], 'v1.1.0-rc.2'],
    [['first', 'second'], 'second'],
    [['v0.1', 'nightly'], 'v0.1'],
    [[], undefined],
  ])('of %j is %s', (names, expected) => {
    expect(latestOf(versions(...names))?.version).toBe(expected);
    expect([undefined, expected]).toContain(latestRelease(names));
  });

  it('is told by the names alone where one is the number of a release', () => {
    expect(latestRelease(['v1.0.0', 'nightly', 'v1.2.0', 'v2.0.0-rc.1'])).toBe('v1.2.0');
    expect(latestRelease(['nightly', 'v2.0.0-rc.1'])).toBeUndefined();
  });
});
