import { describe, expect, it } from 'vitest';
import { sha256 } from '../../../src/base/digest.ts';
import { EnvironmentMonitor, type LiveEntry } from '../../../src/monitor/environment-monitor.ts';
import type { Outcome } from '../../../src/monitor/outcome.ts';
import { type MonitorRules, parseMonitorRules } from '../../../src/monitor/rules.ts';

const start = Date.parse('2026-01-01T00:00:00Z');

function monitorOf(table: object): EnvironmentMonitor {
  const rules = parseMonitorRules({ production: { settle_seconds: 0, ...table } }, 'config.toml');
  return new EnvironmentMonitor(rules.get('production') as MonitorRules);
}

function live(version: string, number: number, at = start): LiveEntry {
  const before = number === 1 ? undefined : `v${number - 1}`;
  return { version, number, sha256: sha256(`${version} ${number}`), sinceMs: at, before };
}

const call = (version: string, more: Partial<Outcome> = {}): Outcome => ({
  ...{ version, kind: 'call', ok: true, count: 1 },
  ...more,
});

/** Rules that are broken at a time. */
const broken = (monitor: EnvironmentMonitor, now: number) =>
  monitor.judge(now)?.breaches.map(({ rule }) => rule);

describe('EnvironmentMonitor', () => {
  it('says nothing below the number of calls, and nothing of what has left the window', () => {
    const monitor = monitorOf({ max_error_rate: 0.1, min_calls: 10, window_seconds: 60 });
    monitor.setLive(live('v1', 1));
    monitor.take(call('v1', { ok: false, count: 9 }), start);
    expect(broken(monitor, start)).toEqual([]);
    monitor.take(call('v1', { ok: false }), start + 1000);
    expect(broken(monitor, start + 1000)).toEqual(['max_error_rate']);
    expect(broken(monitor, start + 59_000)).toEqual(['max_error_rate']);
    expect(broken(monitor, start + 61_000)).toEqual([]);
  });

  it('holds the share against its limit: at the limit is not above it', () => {
    const monitor = monitorOf({ max_error_rate: 0.1, min_calls: 10 });
    monitor.setLive(live('v1', 1));
    monitor.take(call('v1', { count: 90 }), start);
    monitor.take(call('v1', { ok: false, count: 10 }), start);
    expect(broken(monitor, start)).toEqual([]);
    monitor.take(call('v1', { ok: false }), start);
    expect(monitor.judge(start)?.breaches).toMatchObject([
      {
        value: 11 / 101,
        limit: 0.1,
        text: '10.9 % of 101 calls in 300 s failed (11), more than 10 %',
      },
    ]);
  });

  it('counts nothing before a version has settled, and nothing of other versions', () => {
    const monitor = monitorOf({ max_error_rate: 0.1, min_calls: 1, settle_seconds: 30 });
    monitor.setLive(live('v1', 1));
    monitor.take(call('v1', { ok: false, count: 50 }), start + 29_999);
    monitor.take(call('v0', { ok: false, count: 50 }), start + 40_000);
    expect(monitor.judge(start + 40_000)).toMatchObject({
      isSettled: true,
      measured: { calls: 0, error_rate: null },
    });
    monitor.take(call('v1', { ok: false }), start + 40_000);
    expect(broken(monitor, start + 40_000)).toEqual(['max_error_rate']);
  });

  it('compares times with those of the version that one would go back to', () => {
    const monitor = monitorOf({ max_latency_growth: 0.5, max_latency_ms: 500, min_calls: 20 });
    monitor.setLive(live('v1', 1));
    for (let i = 0; i < 100; i++) monitor.take(call('v1', { latency_ms: 90 + (i % 20) }), start);
    expect(monitor.judge(start)?.measured.latency_growth).toBeNull();
    monitor.setLive(live('v2', 2));
    for (let i = 0; i < 100; i++) monitor.take(call('v2', { latency_ms: 140 }), start);
    const measured = monitor.judge(start)?.measured;
    expect(measured?.latency_growth).toBeCloseTo(140 / 108 - 1, 1);
    expect(broken(monitor, start)).toEqual([]);
    monitor.setLive(live('v3', 3));
    for (let i = 0; i < 100; i++) monitor.take(call('v3', { latency_ms: 600 }), start);
    expect(broken(monitor, start)).toEqual(['max_latency_ms', 'max_latency_growth']);
  });

  it('notices predictions that move beyond chance', () => {
    const monitor = monitorOf({ max_drift: 0.2, min_calls: 50 });
    monitor.setLive(live('v1', 1));
    monitor.take(call('v1', { prediction: 'cat', count: 500 }), start);
    monitor.take(call('v1', { prediction: 'dog', count: 500 }), start);
    monitor.setLive(live('v2', 2));
    monitor.take(call('v2', { prediction: 'cat', count: 50 }), start);
    monitor.take(call('v2', { prediction: 'dog', count: 50 }), start);
    expect(broken(monitor, start)).toEqual([]);
    monitor.take(call('v2', { prediction: 'dog', count: 400 }), start);
    expect(broken(monitor, start)).toEqual(['max_drift']);
  });

  it('counts checks and loads that fail in a row', () => {
    const monitor = monitorOf({ health_failures: 3 });
    monitor.setLive(live('v1', 1));
    monitor.checked(false);
    monitor.checked(false);
    monitor.checked(true);
    for (let i = 0; i < 2; i++) monitor.take(call('v1', { kind: 'load', ok: false }), start);
    monitor.checked(false);
    expect(broken(monitor, start)).toEqual([]);
    monitor.take(call('v1', { kind: 'load', ok: false }), start);
    expect(monitor.judge(start)?.breaches[0]?.text).toContain('3 loads on hosts failed in a row');
    monitor.setLive(live('v2', 2));
    expect(broken(monitor, start)).toEqual([]);
  });

  it('starts anew with each entry, also of a version that was live before', () => {
    const monitor = monitorOf({ max_error_rate: 0.1, min_calls: 1 });
    monitor.setLive(live('v1', 1));
    monitor.take(call('v1', { ok: false, count: 10 }), start);
    monitor.setLive(live('v1', 3));
    expect(broken(monitor, start)).toEqual([]);
  });

  it('remembers a bounded number of versions', () => {
    const monitor = monitorOf({ max_error_rate: 0.1 });
    monitor.setLive(live('v1', 1));
    const forgotten = Array.from({ length: 20 }, (_, i) => monitor.take(call(`v${i}`), start));
    expect(forgotten.flat()).toHaveLength(12);
    expect(monitor.versions).toHaveLength(8);
  });

  it('goes on behind a restart where it was, and takes nothing from what is damaged', () => {
    const monitor = monitorOf({ max_error_rate: 0.1, min_calls: 5 });
    monitor.setLive(live('v2', 2));
    monitor.take(call('v1', { latency_ms: 5, count: 700 }), start);
    monitor.take(call('v2', { ok: false, count: 7 }), start);
    const state = JSON.parse(JSON.stringify(monitor)) as Record<string, unknown>;
    const next = monitorOf({ max_error_rate: 0.1, min_calls: 5 });
    next.setLive(live('v2', 2));
    next.restore(state);
    expect(next.judge(start)).toEqual(monitor.judge(start));
    expect(next.versions).toEqual(['v1', 'v2']);
    // Somebody has moved it meanwhile: what is known of versions stays, what was in the window does not.
    const moved = monitorOf({ max_error_rate: 0.1, min_calls: 5 });
    moved.setLive(live('v2', 4));
    moved.restore(state);
    expect(moved.judge(start)?.measured.calls).toBe(0);
    expect(moved.versions).toEqual(['v1', 'v2']);
    for (const damaged of [undefined, 'x', { known: [1, { version: 'v1' }] }, { slices: [{}] }]) {
      const fresh = monitorOf({ max_error_rate: 0.1 });
      fresh.setLive(live('v2', 2));
      fresh.restore(damaged);
      expect(fresh.versions).toEqual([]);
    }
  });

  it('lets go of what lies in a future that a clock was set back from', () => {
    const monitor = monitorOf({ max_error_rate: 0.1, min_calls: 1 });
    monitor.setLive(live('v1', 1));
    monitor.take(call('v1', { ok: false, count: 10 }), start + 3_600_000);
    expect(broken(monitor, start)).toEqual([]);
  });
});
