import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Contender, judge, type Rivals, type Verdict } from '../../src/registry/gate.ts';
import { verdictSentence } from '../../src/registry/gate-report.ts';
import { findPolicy } from '../../src/registry/policy.ts';
import { runs } from '../support/runs.ts';

const names = ['acc', 'bleu', 'eval.loss', 'latency_ms', 'rougeL'] as const;

/** Metrics with three decimals, as people report them; exact in the arithmetic of the model below. */
const value = fc.integer({ min: -2000, max: 2000 }).map((thousandths) => thousandths / 1000);
const metrics = fc.record(Object.fromEntries(names.map((name) => [name, value])));

/** A table of a policy: weights in sixteenths, which sum to 1 exactly. */
const table = fc
  .record({
    parts: fc.array(fc.integer({ min: 0, max: 16 }), { minLength: 4, maxLength: 4 }),
    lower: fc.subarray([...names]),
    improvement: fc.integer({ min: 0, max: 300 }),
    rival: fc.constantFrom('best', 'live', 'v2'),
    limited: fc.dictionary(fc.constantFrom(...names), fc.tuple(value, value), { maxKeys: 3 }),
    falling: fc.dictionary(fc.constantFrom(...names), fc.integer({ min: 0, max: 500 }), {
      maxKeys: 3,
    }),
  })
  .map(({ parts, lower, improvement, rival, limited, falling }) => {
    const cuts = [0, ...parts.sort((a, b) => a - b), 16];
    return {
      weights: Object.fromEntries(
        names.map((name, i) => [name, ((cuts[i + 1] ?? 0) - (cuts[i] ?? 0)) / 16]),
      ),
      lower_is_better: lower,
      min_improvement: improvement / 1000,
      compare_with: rival,
      ...(Object.keys(limited).length === 0
        ? {}
        : {
            limits: Object.fromEntries(
              Object.entries(limited).map(([name, [a, b]]) => [
                name,
                { min: Math.min(a, b), max: Math.max(a, b) },
              ]),
            ),
          }),
      ...(Object.keys(falling).length === 0
        ? {}
        : {
            regress: Object.fromEntries(
              Object.entries(falling).map(([name, thousandths]) => [name, thousandths / 1000]),
            ),
          }),
    };
  });
type Table = typeof table extends fc.Arbitrary<infer T> ? T : never;

const cases = fc.record({
  table,
  candidate: metrics,
  others: fc.array(metrics, { minLength: 2, maxLength: 4 }),
});

/** Judges the metrics of `v9` against others named `v1`, `v2` and so on, of which the last is live. */
function verdictOf(
  given: Table,
  candidate: Contender['metrics'],
  others: ReadonlyArray<Contender['metrics']>,
): Verdict {
  const policy = findPolicy({ production: given }, 'config.toml', 'm', 'production');
  if (policy === undefined) throw new Error('No policy');
  const history = others.map((one, i) => ({ version: `v${i + 1}`, metrics: one }));
  const [live, named] = [history.at(-1), history[1]];
  const rivals: Rivals = { history, ...(live && { live }), ...(named && { named }) };
  return judge(policy, { version: 'v9', metrics: candidate }, rivals);
}

function reversed<T extends object>(record: T): T {
  const entries = Object.entries(record).reverse();
  return Object.fromEntries(
    entries.map(([name, inner]) => [
      name,
      typeof inner === 'object' && !Array.isArray(inner) ? reversed(inner as object) : inner,
    ]),
  ) as T;
}

/** Multiplies all numbers in a value but the weights, which have no unit. */
function scaled<T>(inner: T, factor: number, name = ''): T {
  if (typeof inner === 'number') return (inner * factor) as T;
  if (typeof inner !== 'object' || inner === null || Array.isArray(inner) || name === 'weights')
    return inner;
  return Object.fromEntries(
    Object.entries(inner).map(([key, below]) => [key, scaled(below as unknown, factor, key)]),
  ) as T;
}

describe('judge', () => {
  it('says what exact arithmetic says', () => {
    fc.assert(
      fc.property(cases, ({ table: given, candidate, others }) => {
        const verdict = verdictOf(given, candidate, others);
        // In whole numbers: weights in sixteenths, metrics in thousandths.
        const score = (of: Contender['metrics']): bigint =>
          names.reduce((sum, name) => {
            const sign = given.lower_is_better.includes(name) ? -1n : 1n;
            const weight = BigInt((given.weights[name] as number) * 16);
            return sum + sign * weight * whole(of[name]);
          }, 0n);
        const scores = others.map(score);
        const best = scores.reduce((a, b) => (b > a ? b : a));
        const rival =
          given.compare_with === 'best'
            ? scores.lastIndexOf(best)
            : given.compare_with === 'live'
              ? others.length - 1
              : 1;
        const margin = score(candidate) - (scores[rival] as bigint);
        const improved = margin >= 16n * whole(given.min_improvement);
        const limits = Object.entries(given.limits ?? {}).every(([name, { min, max }]) => {
          const own = whole(candidate[name]);
          return own >= whole(min) && own <= whole(max);
        });
        const regress = Object.entries(given.regress ?? {}).every(([name, allowed]) => {
          const sign = given.lower_is_better.some((lower) => lower === name) ? -1n : 1n;
          return sign * (whole(others[rival]?.[name]) - whole(candidate[name])) <= whole(allowed);
        });
        expect(verdict.rival).toBe(`v${rival + 1}`);
        expect(verdict.improved).toBe(improved);
        expect(verdict.limits.every(({ held }) => held)).toBe(limits);
        expect(verdict.regress.every(({ held }) => held)).toBe(regress);
        expect(verdict.passed).toBe(improved && limits && regress);
        expect(verdict.margin).toBeCloseTo(Number(margin) / 16_000, 10);
        const shares = verdict.metrics.reduce((sum, { share = 0 }) => sum + share, 0);
        expect(shares).toBeCloseTo(verdict.margin ?? Number.NaN, 10);
      }),
      runs(1000),
    );
  });

  it('gives the same verdict whatever the order of metrics, and every time', () => {
    fc.assert(
      fc.property(cases, ({ table: given, candidate, others }) => {
        const verdict = verdictOf(given, candidate, others);
        expect(verdictOf(reversed(given), reversed(candidate), others.map(reversed))).toStrictEqual(
          verdict,
        );
        expect(verdictOf(given, candidate, others)).toStrictEqual(verdict);
        expect(verdictSentence(verdict, 'production')).toMatch(
          verdict.passed ? /^passed: / : /^refused: /,
        );
      }),
      runs(300),
    );
  });

  it('does not depend on the unit that all metrics have', () => {
    const factors = fc.integer({ min: -60, max: 60 }).map((power) => 2 ** power);
    fc.assert(
      fc.property(cases, factors, ({ table: given, candidate, others }, factor) => {
        const verdict = verdictOf(given, candidate, others);
        const other = verdictOf(
          scaled(given, factor),
          scaled(candidate, factor),
          others.map((one) => scaled(one, factor)),
        );
        expect(other).toMatchObject({
          passed: verdict.passed,
          rival: verdict.rival,
          margin: (verdict.margin ?? 0) * factor,
        });
      }),
      runs(300),
    );
  });

  it('never turns down what is better in one metric and else the same', () => {
    fc.assert(
      fc.property(
        cases,
        fc.constantFrom(...names),
        fc.integer({ min: 1, max: 1000 }),
        ({ table: given, candidate, others }, name, thousandths) => {
          const worse = verdictOf(given, candidate, others);
          const sign = given.lower_is_better.includes(name) ? -1 : 1;
          const own = Number(whole(candidate[name]) + BigInt(sign * thousandths)) / 1000;
          const better = verdictOf(given, { ...candidate, [name]: own }, others);
          expect(better.margin).toBeGreaterThanOrEqual(worse.margin ?? Number.NaN);
          expect(better.improved || !worse.improved).toBe(true);
          // A bound on the good side is the only thing that more of the good can break.
          const bounds = better.limits.every(({ held }) => held);
          expect(better.passed || !worse.passed || !bounds).toBe(true);
        },
      ),
      runs(500),
    );
  });

  it('never passes what breaks a limit, rival or not', () => {
    fc.assert(
      fc.property(cases, ({ table: given, candidate, others }) => {
        const policy = findPolicy({ production: given }, 'c', 'm', 'production');
        if (policy === undefined) throw new Error('No policy');
        const first = judge(policy, { version: 'v2', metrics: candidate }, { history: [] });
        for (const verdict of [verdictOf(given, candidate, others), first]) {
          const broken = verdict.limits.some(
            ({ metric, min = -Infinity, max = Infinity }) =>
              (candidate[metric] as number) < min || (candidate[metric] as number) > max,
          );
          expect(broken && verdict.passed).toBe(false);
        }
        expect(first.passed).toBe(first.limits.every(({ held }) => held));
      }),
      runs(300),
    );
  });
});

function whole(value: number | undefined): bigint {
  return BigInt(Math.round((value ?? Number.NaN) * 1000));
}
