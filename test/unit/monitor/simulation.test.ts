import { describe, expect, it } from 'vitest';
import type { Outcome } from '../../../src/monitor/outcome.ts';
import { type MonitorRules, parseMonitorRules } from '../../../src/monitor/rules.ts';
import { Simulation } from '../../../src/monitor/simulation.ts';
import type { PastEntry } from '../../../src/monitor/way-back.ts';

const start = Date.parse('2026-01-01T00:00:00Z');
const minute = 60_000;

function simulationOf(table: object = {}): Simulation {
  const usual = { max_error_rate: 0.1, min_calls: 10, settle_seconds: 0, ...table };
  const rules = parseMonitorRules({ production: usual }, 'rules.toml').get('production');
  return new Simulation(rules as MonitorRules);
}

const past = (version: string, atMs: number): PastEntry => ({
  ...{ version, action: 'deploy', at: new Date(atMs).toISOString(), automatic: false },
});

const history = [past('v1', start - 3 * minute), past('v2', start - minute), past('v3', start)];

const outcomes = (version: string, ok: boolean, count: number): Outcome[] => [
  { version, kind: 'call', ok, count },
];

describe('Simulation', () => {
  it('says what rules would have done, when, and goes on with the version that it went back to', () => {
    const simulation = simulationOf({ cooldown_seconds: 600 });
    simulation.take({ kind: 'history', atMs: start, history });
    for (let i = 0; i < 20; i++) {
      const atMs = start + i * 30_000;
      simulation.take({ kind: 'outcomes', atMs, outcomes: outcomes('v3', i < 4, 20) });
      simulation.take({ kind: 'outcomes', atMs, outcomes: outcomes('v2', i < 10, 20) });
    }
    simulation.end();
    expect(simulation.calls).toBe(800);
    expect(simulation.acts.map(({ at, act, version, to }) => [at, act, version, to])).toEqual([
      ['2026-01-01T00:02:00.000Z', 'moved', 'v3', 'v2'],
      ['2026-01-01T00:05:00.000Z', 'blocked', 'v2', undefined],
    ]);
    expect(simulation.acts[0]?.reason).toContain('20 % of 100 calls in 300 s failed (20)');
    expect(simulation.acts[1]?.blocked).toContain('does not again before 2026-01-01T00:12:00.000Z');
  });

  it('takes up what really was live, once somebody moved it', () => {
    const simulation = simulationOf();
    simulation.take({ kind: 'history', atMs: start, history });
    simulation.take({ kind: 'outcomes', atMs: start, outcomes: outcomes('v3', false, 50) });
    const later = start + 40 * minute;
    const more = [...history, past('v4', later)];
    simulation.take({ kind: 'history', atMs: later, history: more });
    simulation.take({ kind: 'outcomes', atMs: later, outcomes: outcomes('v4', false, 50) });
    simulation.end();
    expect(simulation.acts.map(({ version, to }) => [version, to])).toEqual([
      ['v3', 'v2'],
      ['v4', 'v3'],
    ]);
  });

  it('only wants to where rules watch, once for an entry', () => {
    const simulation = simulationOf({ mode: 'watch' });
    simulation.take({ kind: 'history', atMs: start, history });
    for (let i = 0; i < 30; i++) {
      const atMs = start + i * 10_000;
      simulation.take({ kind: 'outcomes', atMs, outcomes: outcomes('v3', false, 50) });
    }
    simulation.end();
    expect(simulation.acts.map(({ act, to }) => [act, to])).toEqual([['would-move', 'v2']]);
  });

  it('does not look through years in which nothing was told', () => {
    const simulation = simulationOf();
    simulation.take({ kind: 'history', atMs: 0, history });
    simulation.take({ kind: 'outcomes', atMs: start, outcomes: outcomes('v3', false, 5) });
    simulation.take({ kind: 'outcomes', atMs: start * 20, outcomes: outcomes('v3', false, 5) });
    simulation.end();
    expect(simulation.acts).toEqual([]);
  });
});
