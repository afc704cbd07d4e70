import { describe, expect, it } from 'vitest';
import { parseMonitorRules, rulesDocument, rulesFor } from '../../../src/monitor/rules.ts';

const parse = (table: unknown) => parseMonitorRules(table, 'config.toml');

describe('parseMonitorRules', () => {
  it('reads rules of environments and of models in them, with what is usual', () => {
    const rules = parse({
      production: { max_error_rate: 0.05, window_seconds: 60 },
      'ranker@production': { health_failures: 3, mode: 'watch' },
    });
    expect(rulesFor(rules, 'ranker', 'production')).toMatchObject({
      mode: 'watch',
      healthFailures: 3,
    });
    expect(rulesFor(rules, 'ranker', 'staging')).toBeUndefined();
    const other = rulesFor(rules, 'other', 'production');
    expect(other && rulesDocument(other)).toEqual({
      name: 'production',
      mode: 'act',
      window_seconds: 60,
      min_calls: 100,
      max_error_rate: 0.05,
      health_seconds: 60,
      settle_seconds: 60,
      cooldown_seconds: 1800,
      rollbacks_per_day: 3,
    });
    expect(parse(undefined).size).toBe(0);
  });

  it.each([
    [{ production: {} }, 'monitor.production asks for nothing'],
    [{ production: { min_calls: 5 } }, 'asks for nothing'],
    [{ production: 1 }, 'monitor.production is no table'],
    [{ 'no name': { max_drift: 1 } }, 'names no environment'],
    [{ production: { max_error_rat: 0.1 } }, 'has no key max_error_rat'],
    [{ production: { max_error_rate: 5 } }, 'monitor.production.max_error_rate is 5'],
    [{ production: { max_error_rate: '5 %' } }, 'is no finite number'],
    [{ production: { health_failures: 1.5 } }, 'health_failures is 1.5'],
    [{ production: { max_drift: 1, window_seconds: 0 } }, 'window_seconds is 0'],
    [{ production: { max_drift: 1, mode: 'dry' } }, 'is neither act nor watch'],
  ])('refuses %j', (table, text) => {
    expect(() => parse(table)).toThrow(text);
    expect(() => parse(table)).toThrow(/\(config\.toml\)/);
  });

  it('helps with keys that are near, and tables that were read as keys', () => {
    const hintOf = (table: unknown): unknown => {
      try {
        return parse(table);
      } catch (error) {
        return (error as { hint: string }).hint;
      }
    };
    expect(hintOf({ production: { max_error_rat: 1 } })).toBe('Did you mean max_error_rate?');
    expect(hintOf({ eu: { production: { max_drift: 1 } } })).toContain('[monitor."eu.production"]');
  });
});
