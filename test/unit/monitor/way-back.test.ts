import { describe, expect, it } from 'vitest';
import { type MonitorRules, parseMonitorRules } from '../../../src/monitor/rules.ts';
import { type PastEntry, wayBack, waysBack } from '../../../src/monitor/way-back.ts';

/** Reads a history such as `v1 v2 <v1 !v1`: deployed, gone back to by a person, gone back to by a monitor; an hour between two. */
function historyOf(text: string): PastEntry[] {
  return text.split(' ').map((word, hour) => ({
    version: word.replace(/^[<!]/, ''),
    action: /^[<!]/.test(word) ? 'rollback' : 'deploy',
    at: new Date(hour * 3_600_000).toISOString(),
    automatic: word.startsWith('!'),
  }));
}

function rulesOf(table: object = {}): MonitorRules {
  const all = { production: { max_error_rate: 0.1, ...table } };
  return parseMonitorRules(all, 'config.toml').get('production') as MonitorRules;
}

describe('waysBack', () => {
  it.each([
    ['v1', ''],
    ['v1 v2', 'v1'],
    ['v1 v2 v3', 'v2 v1'],
    // What was gone back from is out.
    ['v1 v2 v3 !v2', 'v1'],
    ['v1 v2 v3 !v2 v4', 'v2 v1'],
    // Also where somebody brought it again, and something else behind it.
    ['v1 v2 <v1 v2 v3', 'v1'],
    ['v1 v2 !v1 v2 v3', 'v1'],
    ['v1 v2 v1', 'v2'],
    ['v1 v2 v3 !v2 !v1', ''],
  ])('of %s are %s', (history, expected) => {
    expect(waysBack(historyOf(history)).join(' ')).toBe(expected);
  });
});

describe('wayBack', () => {
  const hour = 3_600_000;
  const isUsable = () => true;

  it('is open where nothing speaks against it, and leaves out what was taken out of use', () => {
    const history = historyOf('v1 v2 v3');
    const way = wayBack(history, (version) => version !== 'v2', rulesOf(), 3 * hour);
    expect(way).toEqual({ kind: 'open', versions: ['v1'] });
  });

  it('waits after it went back by itself, whoever did it and when it was started', () => {
    const history = historyOf('v1 v2 v3 !v2');
    const rules = rulesOf({ cooldown_seconds: 1800 });
    expect(wayBack(history, isUsable, rules, 3 * hour + 1_799_000)).toMatchObject({
      kind: 'blocked',
      why: 'cooldown',
      text: expect.stringContaining('1970-01-01T03:30:00.000Z') as string,
    });
    expect(wayBack(history, isUsable, rules, 3 * hour + 1_800_000).kind).toBe('open');
    // A person who goes back keeps no monitor from it.
    expect(wayBack(historyOf('v1 v2 v3 <v2'), isUsable, rules, 3 * hour).kind).toBe('open');
  });

  it('goes back so often a day', () => {
    const rules = rulesOf({ cooldown_seconds: 0, rollbacks_per_day: 2 });
    const history = historyOf('v1 v2 v3 !v2 v4 !v2');
    expect(wayBack(history, isUsable, rules, 6 * hour)).toMatchObject({ why: 'too-often' });
    expect(wayBack(history, isUsable, rules, 28 * hour).kind).toBe('open');
  });

  it('stays where there is nothing to go back to', () => {
    expect(wayBack(historyOf('v1'), isUsable, rulesOf(), hour)).toMatchObject({ why: 'nowhere' });
    const history = historyOf('v1 v2 !v1');
    expect(wayBack(history, isUsable, rulesOf(), 9 * hour)).toMatchObject({ why: 'nowhere' });
  });
});
