import { describe, expect, it } from 'vitest';
import type { Verdict } from '../../../src/registry/gate.ts';
import {
  formatNumber,
  type GateFacts,
  gateFileNames,
  gateFiles,
  verdictSentence,
} from '../../../src/registry/gate-report.ts';
import {
  better,
  first,
  judged,
  passed,
  refused,
  rival,
  table,
  worse,
} from '../../support/verdicts.ts';

const facts: GateFacts = {
  model: 'caption_model',
  environment: 'production',
  record: 'ab'.repeat(32),
  at: '2026-01-02T03:04:05.678Z',
  tool: 'mstore 1.2.3',
};

describe('verdictSentence', () => {
  const said = (verdict: Verdict): string => verdictSentence(verdict, 'production');

  it('says what was decided, and each reason of a refusal', () => {
    expect(said(passed)).toBe(
      'passed: v1.1.0 scores 0.0925, 0.03 above v1.0.0, the best so far (asked for is at least 0.01 above it)',
    );
    expect(said(refused)).toBe(
      'refused: v1.1.0 scores -0.01, 0.0725 below v1.0.0, the best so far (asked for is at least 0.01 above it); bleu4 is 0.19, at least 0.2 is asked for; latency_ms is 61.25, at most 50 is asked for; bleu4 is worse by 0.06, 0.01 is allowed',
    );
    const slow = { version: 'v1.1.0', metrics: { ...better.metrics, latency_ms: 51 } };
    expect(said(judged(table, slow, rival))).toBe(
      'refused: latency_ms is 51, at most 50 is asked for',
    );
  });

  it('says why there was nothing to compare with', () => {
    const bare = { weights: { bleu4: 1 } };
    expect(said(first)).toBe(
      'passed: v1.0.0 has no rival, as no other version was ever live in production, and all limits hold',
    );
    expect(said(judged(bare, rival))).toMatch(/ever live in production$/);
    expect(said(judged(bare, rival, rival))).toBe(
      'passed: v1.0.0 is the only one that was ever live, so there is nothing to compare with',
    );
    expect(said(judged({ ...bare, compare_with: 'live' }, rival, rival))).toBe(
      'passed: v1.0.0 is the rival itself, so there is nothing to compare with',
    );
  });

  it('says it of policies without a score', () => {
    const limits = { limits: { bleu4: { min: 0.1, max: 1 } } };
    expect(said(judged(limits, better))).toBe('passed: all limits hold');
    expect(said(judged({ limits: { bleu4: { min: 0.3, max: 1 } } }, better))).toBe(
      'refused: bleu4 is 0.29, at least 0.3 is asked for',
    );
    const falling = { regress: { bleu4: 0 } };
    expect(said(judged(falling, better, rival))).toBe(
      'passed: nothing is worse than in v1.0.0 by more than is allowed',
    );
    expect(said(judged(falling, worse, rival))).toBe(
      'refused: bleu4 is worse by 0.06, nothing is allowed',
    );
  });

  it('names the rival by the way it was chosen, and equal scores as equal', () => {
    const bare = { weights: { bleu4: 1 } };
    const equal = { ...rival, version: 'v2' };
    expect(said(judged({ ...bare, compare_with: 'live' }, equal, rival))).toBe(
      'passed: v2 scores 0.25, as much as v1.0.0, which is live (asked for is not below it)',
    );
  });

  it('writes all digits where fewer would show no difference', () => {
    const bare = { weights: { bleu4: 1 }, min_improvement: 0.001 };
    const near = { version: 'v2', metrics: { bleu4: 0.25 + 0.000_999_999_9 } };
    expect(said(judged(bare, near, rival))).toMatch(
      /^refused: v2 scores 0\.251, 0\.0009999999 above v1\.0\.0, .* at least 0\.001 above it/,
    );
  });

  it('escapes what could steer a terminal', () => {
    const name = 'a\u202eb';
    const verdict = judged(
      { limits: { [name]: { min: 1 } } },
      { version: 'v1', metrics: { [name]: 0 } },
    );
    expect(said(verdict)).toBe('refused: a\\u{202e}b is 0, at least 1 is asked for');
  });
});

describe('gateFiles', () => {
  it('has the decision, the comparison and a log', () => {
    const files = gateFiles(refused, { ...facts, results: 'eval/metrics.json' });
    expect(Object.keys(files)).toEqual(gateFileNames);
    expect(JSON.parse(files['deployment_info.json'])).toEqual({
      model_name: 'caption_model',
      version: 'v1.1.0',
      environment: 'production',
      passed: false,
      reason: verdictSentence(refused, 'production'),
      policy: 'production',
      score: refused.score,
      rival: 'v1.0.0',
      rival_score: refused.rivalScore,
      margin: refused.margin,
      min_improvement: 0.01,
      record: facts.record,
      results: 'eval/metrics.json',
      judged_at: facts.at,
      tool: 'mstore 1.2.3',
    });
    expect(JSON.parse(files['model_comparison.json'])).toMatchObject({
      passed: false,
      compare_with: 'best',
      metrics: [
        { metric: 'bleu4', weight: 0.75, better: 'higher', value: 0.19, rival: 0.25 },
        { metric: 'latency_ms', weight: null, better: 'lower', difference: 19.75, share: null },
        { metric: 'loss', weight: 0.25, better: 'lower', value: 0.61, rival: 0.5 },
      ],
      limits: [
        { metric: 'bleu4', value: 0.19, min: 0.2, max: null, held: false },
        { metric: 'latency_ms', value: 61.25, min: null, max: 50, held: false },
      ],
      regress: [{ metric: 'bleu4', allowed: 0.01, held: false }],
      left_out: [{ version: 'v0.9.0', lacks: ['bleu4'] }],
    });
    expect(files['deployment.log']).toBe(
      [
        'gate      caption_model@v1.1.0 for production, policy production',
        `record    ${'ab'.repeat(32)}`,
        'metrics   of eval/metrics.json',
        'rival     v1.0.0, the best so far',
        'left out  v0.9.0 lacks bleu4',
        'metric    bleu4 0.19, higher is better, weight 0.75, rival 0.25, difference -0.06, share -0.045',
        'metric    latency_ms 61.25, lower is better, rival 41.5, difference 19.75',
        'metric    loss 0.61, lower is better, weight 0.25, rival 0.5, difference 0.11, share -0.0275',
        'limit     bleu4 is 0.19, at least 0.2 is asked for: not held',
        'limit     latency_ms is 61.25, at most 50 is asked for: not held',
        'regress   bleu4 is worse by 0.06, 0.01 is allowed: not held',
        'score     -0.01, rival 0.0625, margin -0.0725, asked for 0.01',
        `verdict   ${verdictSentence(refused, 'production')}`,
      ]
        .map((line) => `2026-01-02T03:04:05.678Z  ${line}\n`)
        .join(''),
    );
  });

  it('says null where there is no rival, and leaves nothing out', () => {
    const files = gateFiles(first, facts);
    const info = JSON.parse(files['deployment_info.json']) as Record<string, unknown>;
    const nulls = Object.keys(info).filter((key) => info[key] === null);
    expect(nulls).toEqual(['rival', 'rival_score', 'margin', 'results']);
    expect(files['deployment.log']).toMatch(/ {2}rival {5}none\n/);
    expect(files['deployment.log']).toMatch(/ {2}metrics {3}of the record\n/);
    expect(files['deployment.log']).not.toMatch(/regress/);
    const limited = judged({ limits: { bleu4: { min: 0 } } }, rival);
    const told = gateFiles(limited, facts);
    expect(JSON.parse(told['deployment_info.json'])).toMatchObject({
      score: null,
      min_improvement: null,
    });
    expect(told['deployment.log']).not.toMatch(/ score /);
  });
});

describe('formatNumber', () => {
  it.each([
    [0.1 + 0.2, '0.3'],
    [0.3123456789, '0.312346'],
    [1234567.8, '1234570'],
    [-0.00025, '-0.00025'],
    [2.5e-7, '2.5e-7'],
    [0, '0'],
  ])('writes %d as %s', (value, text) => {
    expect(formatNumber(value)).toBe(text);
  });
});
