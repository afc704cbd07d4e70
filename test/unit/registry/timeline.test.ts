import { describe, expect, it } from 'vitest';
import type { EnvironmentEntry } from '../../../src/registry/entry.ts';
import { liveAt, liveStack, rollbackVersions } from '../../../src/registry/timeline.ts';

/** Makes a history of words: `v2` deploys it, `<v1` goes back to it. */
function history(text: string): EnvironmentEntry[] {
  return text.split(' ').map((word, i) => {
    const action = word.startsWith('<') ? 'rollback' : 'deploy';
    const at = `2026-01-${String(i + 1).padStart(2, '0')}T00:00:00.000Z`;
    return { action, version: word.replace('<', ''), at, number: i + 1 } as EnvironmentEntry;
  });
}

describe('what an environment can go back to', () => {
  it.each([
    ['v1', []],
    ['v1 v2', ['v1']],
    ['v1 v2 v3', ['v2', 'v1']],
    ['v1 v2 <v1', []],
    ['v1 v2 v3 <v2', ['v1']],
    ['v1 v2 v3 <v1', []],
    ['v1 v2 <v1 v3', ['v1']],
    ['v1 v2 v1', ['v2']],
    ['v1 v1 v2 v2', ['v1']],
    ['v1 v2 <v9', ['v2', 'v1']],
    ['v1 v2 v3 v4 v5', ['v4', 'v3', 'v2']],
  ])('after %s is %j', (text, expected) => {
    expect(rollbackVersions(history(text), 3)).toEqual(expected);
    expect(liveStack(history(text)).at(-1)?.version).toBe(history(text).at(-1)?.version);
  });
});

describe('what was live at a time', () => {
  const entries = history('v1 v2 <v1');

  it.each([
    ['2025-12-31T23:59:59Z', undefined],
    ['2026-01-01T00:00:00Z', 'v1'],
    ['2026-01-02T12:00:00Z', 'v2'],
    ['2030-01-01T00:00:00Z', 'v1'],
  ])('at %s is %s', (at, expected) => {
    expect(liveAt(entries, Date.parse(at))?.version).toBe(expected);
  });
});
