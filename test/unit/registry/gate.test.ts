import { describe, expect, it } from 'vitest';
import { type Contender, judge, type Rivals } from '../../../src/registry/gate.ts';
import type { Metrics } from '../../../src/registry/metrics.ts';
import { findPolicy, type Policy } from '../../../src/registry/policy.ts';

/** The weights that teams score captions by. */
const captionWeights = {
  bleu1: 0.1,
  bleu2: 0.15,
  bleu3: 0.25,
  bleu4: 0.4,
  rougeL_precision: 0.1,
};

function policy(table: object): Policy {
  const found = findPolicy({ production: table }, 'config.toml', 'caption_model', 'production');
  if (found === undefined) throw new Error('No policy');
  return found;
}

const caption = (extra: object = {}) =>
  policy({ weights: captionWeights, min_improvement: 0.001, ...extra });

const contender = (version: string, metrics: Metrics): Contender => ({ version, metrics });

function captions(version: string, ...values: readonly number[]): Contender {
  return contender(
    version,
    Object.fromEntries(Object.keys(captionWeights).map((name, i) => [name, values[i] ?? 0])),
  );
}

const v1 = captions('v1.0.0', 0.4, 0.3, 0.25, 0.2, 0.35);
const v2 = captions('v1.1.0', 0.42, 0.31, 0.25, 0.21, 0.36);
const none: Rivals = { history: [] };
const badMetrics = (message: RegExp) =>
  expect.objectContaining({
    code: 'bad-metrics',
    message: expect.stringMatching(message) as string,
  }) as Error;

describe('judge', () => {
  it('scores the worked example as one does by hand', () => {
    // 0.10 × 0.42 + 0.15 × 0.31 + 0.25 × 0.25 + 0.40 × 0.21 + 0.10 × 0.36 = 0.271, and 0.2625 for v1.0.0
    const verdict = judge(caption(), v2, { history: [v1], live: v1 });
    expect(verdict).toMatchObject({
      passed: true,
      improved: true,
      policy: 'production',
      version: 'v1.1.0',
      compareWith: 'best',
      rival: 'v1.0.0',
      minImprovement: 0.001,
    });
    expect(verdict.score).toBeCloseTo(0.271, 12);
    expect(verdict.rivalScore).toBeCloseTo(0.2625, 12);
    expect(verdict.margin).toBeCloseTo(0.0085, 12);
    expect(verdict.metrics.map(({ metric }) => metric)).toEqual(Object.keys(captionWeights));
    const shares = [0.002, 0.0015, 0, 0.004, 0.001];
    for (const [i, one] of verdict.metrics.entries()) expect(one.share).toBeCloseTo(shares[i] ?? 0);
    expect(verdict.metrics[3]).toEqual({
      metric: 'bleu4',
      weight: 0.4,
      better: 'higher',
      value: 0.21,
      rival: 0.2,
      difference: 0.21 - 0.2,
      share: 0.4 * (0.21 - 0.2),
    });
  });

  it('refuses what is better by less than is asked for', () => {
    const better = captions('v1.1.0', 0.4, 0.3, 0.25, 0.202, 0.35);
    const verdict = judge(caption(), better, { history: [v1] });
    expect(verdict).toMatchObject({ passed: false, improved: false, rival: 'v1.0.0' });
    expect(verdict.margin).toBeCloseTo(0.0008, 12);
    expect(judge(caption({ min_improvement: 0.0008 }), better, { history: [v1] }).passed).toBe(
      true,
    );
  });

  it.each([
    [0.9, 0.899],
    [1.001, 1],
    [0.3, 0.299],
    [1000.001, 1000],
  ])('counts a margin as met that is met in decimal notation: %d over %d', (value, rival) => {
    const one = policy({ weights: { a: 1 }, min_improvement: 0.001 });
    const history = [contender('v1', { a: rival })];
    expect(judge(one, contender('v2', { a: value }), { history }).passed).toBe(true);
    const less = contender('v2', { a: value - 1e-6 });
    expect(judge(one, less, { history }).passed).toBe(false);
  });

  it('lets the first model pass where its limits hold', () => {
    expect(judge(caption(), v1, none)).toMatchObject({ passed: true, noRival: 'first' });
    const limits = { bleu4: { min: 0.2 }, bleu1: { max: 0.39 } };
    const verdict = judge(caption({ limits, regress: { bleu1: 0 } }), v1, none);
    expect(verdict.passed).toBe(false);
    expect(verdict.limits).toEqual([
      { metric: 'bleu1', max: 0.39, value: 0.4, held: false },
      { metric: 'bleu4', min: 0.2, value: 0.2, held: true },
    ]);
    expect(verdict.regress).toEqual([{ metric: 'bleu1', allowed: 0, held: true }]);
    expect(verdict).not.toHaveProperty('rival');
    expect(verdict).not.toHaveProperty('margin');
    expect(verdict.metrics[3]).toEqual({
      metric: 'bleu4',
      weight: 0.4,
      better: 'higher',
      value: 0.2,
      share: 0.4 * 0.2,
    });
  });

  it('compares with the best of the history, of equals with the last one', () => {
    const twin = { ...v2, version: 'v1.1.1' };
    const history = [v2, v1, twin, captions('v1.2.0', 0.1, 0.1, 0.1, 0.1, 0.1)];
    const better = captions('v2.0.0', 0.9, 0.9, 0.9, 0.9, 0.9);
    const live = history[3] as Contender;
    expect(judge(caption(), better, { history, live }).rival).toBe('v1.1.1');
    expect(judge(caption({ compare_with: 'live' }), better, { history, live }).rival).toBe(
      'v1.2.0',
    );
    const named = caption({ compare_with: 'v1.0.0' });
    expect(judge(named, better, { history, live, named: v1 }).rival).toBe('v1.0.0');
  });

  it('never makes a version its own rival', () => {
    expect(judge(caption(), v2, { history: [v2], live: v2 }).noRival).toBe('itself');
    expect(judge(caption(), v2, { history: [v1, v2], live: v2 }).rival).toBe('v1.0.0');
    const live = caption({ compare_with: 'live' });
    expect(judge(live, v2, { history: [v1, v2], live: v2 }).noRival).toBe('itself');
    expect(judge(live, v2, none).noRival).toBe('first');
    const named = caption({ compare_with: 'v1.1.0' });
    expect(judge(named, v2, { history: [v1] })).toMatchObject({ passed: true, noRival: 'itself' });
  });

  it('takes less for better where the policy says so, in scores and regressions', () => {
    const table = {
      weights: { acc: 0.5, loss: 0.5 },
      lower_is_better: ['loss', 'latency_ms'],
      regress: { latency_ms: 5, acc: 0.1 },
    };
    const rival = contender('v1', { acc: 0.8, loss: 0.5, latency_ms: 40 });
    const of = (acc: number, loss: number, latency_ms: number) =>
      judge(policy(table), contender('v2', { acc, loss, latency_ms }), { history: [rival] });
    const verdict = of(0.8, 0.25, 45);
    expect(verdict).toMatchObject({ passed: true, score: 0.275, margin: 0.125 });
    expect(verdict.rivalScore).toBeCloseTo(0.15, 12);
    expect(verdict.metrics).toEqual([
      {
        metric: 'acc',
        weight: 0.5,
        better: 'higher',
        value: 0.8,
        rival: 0.8,
        difference: 0,
        share: 0,
      },
      { metric: 'latency_ms', better: 'lower', value: 45, rival: 40, difference: 5 },
      {
        metric: 'loss',
        weight: 0.5,
        better: 'lower',
        value: 0.25,
        rival: 0.5,
        difference: -0.25,
        share: 0.125,
      },
    ]);
    expect(verdict.regress).toEqual([
      { metric: 'acc', worse: 0, allowed: 0.1, held: true },
      { metric: 'latency_ms', worse: 5, allowed: 5, held: true },
    ]);
    expect(of(0.8, 0.6, 40)).toMatchObject({ passed: false, improved: false });
    expect(of(0.8, 0.25, 45.01)).toMatchObject({ passed: false, improved: true });
    // 0.8 - 0.7 is a little more than 0.1 in floating point.
    expect(of(0.7, 0.25, 30).passed).toBe(true);
    expect(of(0.699, 0.1, 30).passed).toBe(false);
  });

  it('judges by limits alone, and by regressions alone', () => {
    const limited = policy({ limits: { latency_ms: { max: 50 } } });
    const fast = contender('v2', { latency_ms: 50 });
    const slow = contender('v2', { latency_ms: 50.1 });
    const rivals = { history: [contender('v1', {})], live: contender('v1', {}) };
    const verdict = judge(limited, fast, rivals);
    expect(verdict).toEqual({
      passed: true,
      policy: 'production',
      version: 'v2',
      compareWith: 'live',
      improved: true,
      metrics: [{ metric: 'latency_ms', better: 'higher', value: 50 }],
      limits: [{ metric: 'latency_ms', max: 50, value: 50, held: true }],
      regress: [],
      leftOut: [],
    });
    expect(judge(limited, slow, rivals).passed).toBe(false);
    const falling = policy({ regress: { acc: 0 } });
    const live = contender('v1', { acc: 0.5 });
    expect(judge(falling, contender('v2', { acc: 0.5 }), { history: [], live }).passed).toBe(true);
    expect(judge(falling, contender('v2', { acc: 0.4 }), { history: [], live }).passed).toBe(false);
  });

  it('shows bounded metrics that the rival lacks without it', () => {
    const table = { weights: { a: 1 }, limits: { b: { max: 3 } } };
    const verdict = judge(policy(table), contender('v2', { a: 1, b: 2 }), {
      history: [contender('v1', { a: 0 })],
    });
    expect(verdict.metrics[1]).toEqual({ metric: 'b', better: 'higher', value: 2 });
  });

  it('never takes a missing metric of the candidate for zero', () => {
    const table = { weights: { acc: 1 }, limits: { latency_ms: { max: 5 } }, regress: { loss: 0 } };
    const partly = contender('v2', { acc: 1, Loss: 0, toString: 1 });
    expect(() => judge(policy(table), partly, none)).toThrow(
      badMetrics(
        /^v2 has no finite metric latency_ms \(nor loss\), which the policy production asks for$/,
      ),
    );
    expect(() => judge(policy(table), contender('v2', { acc: 1, latency: 1 }), none)).toThrow(
      expect.objectContaining({ hint: expect.stringMatching(/Did you mean latency\?/) as string }),
    );
    expect(() => judge(policy({ limits: { toString: { min: 0 } } }), v1, none)).toThrow(
      badMetrics(/no finite metric toString/),
    );
  });

  it('takes numbers that are not finite for missing ones', () => {
    const table = { weights: { a: 1 }, limits: { b: { max: 3 } } };
    for (const odd of [Number.NaN, Infinity, -Infinity]) {
      expect(() => judge(policy(table), contender('v2', { a: 1, b: odd }), none)).toThrow(
        badMetrics(/^v2 has no finite metric b,/),
      );
      const history = [contender('v1', { a: odd }), contender('v0', { a: 0, b: odd })];
      const verdict = judge(policy(table), contender('v2', { a: 1, b: 2 }), { history });
      expect(verdict).toMatchObject({ rival: 'v0', leftOut: [{ version: 'v1', lacks: ['a'] }] });
      expect(verdict.metrics[1]).toEqual({ metric: 'b', better: 'higher', value: 2 });
    }
  });

  it('leaves versions out that lack a metric, and tells of them, but never all', () => {
    const table = { weights: { a: 1 }, regress: { b: 0 }, limits: { c: { min: 0 } } };
    const old = contender('v1', { a: 9 });
    const candidate = contender('v3', { a: 2, b: 1, c: 1 });
    const verdict = judge(policy(table), candidate, {
      history: [old, contender('v2', { a: 1, b: 1 }), contender('v0', {})],
    });
    expect(verdict).toMatchObject({ passed: true, rival: 'v2' });
    expect(verdict.leftOut).toEqual([
      { version: 'v1', lacks: ['b'] },
      { version: 'v0', lacks: ['a', 'b'] },
    ]);
    expect(() => judge(policy(table), candidate, { history: [old] })).toThrow(
      badMetrics(/nothing to compare with: v1 lacks b, which the policy production compares/),
    );
    const live = policy({ ...table, compare_with: 'live' });
    expect(() => judge(live, candidate, { history: [], live: old })).toThrow(
      badMetrics(/v1 lacks b/),
    );
    const named = policy({ ...table, compare_with: 'v1' });
    expect(() => judge(named, candidate, { history: [], named: old })).toThrow(
      badMetrics(/v1 lacks b/),
    );
  });

  it('refuses numbers too large to be compared', () => {
    const one = policy({ weights: { a: 1 } });
    const history = [contender('v1', { a: -1.7e308 })];
    expect(() => judge(one, contender('v2', { a: 1.7e308 }), { history })).toThrow(
      badMetrics(/too large to be compared/),
    );
  });
});
