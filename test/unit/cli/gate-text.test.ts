import { describe, expect, it } from 'vitest';
import { verdictLines } from '../../../src/cli/gate-text.ts';
import { makePaint } from '../../../src/cli/text.ts';
import type { Verdict } from '../../../src/registry/gate.ts';
import { verdictSentence } from '../../../src/registry/gate-report.ts';
import { first, judged, passed, refused, rival } from '../../support/verdicts.ts';

describe('verdictLines', () => {
  const lines = (verdict: Verdict, columns?: number): string[] =>
    verdictLines(verdict, 'production', makePaint(false), columns);

  it('lays out what each metric is and what it counts for', () => {
    expect(lines(passed)).toEqual([
      'metric                        weight   v1.1.0   v1.0.0  difference  share',
      'bleu4                           0.75   0.29     0.25         +0.04  +0.03',
      'latency_ms (lower is better)          38       41.5          -3.5',
      'loss (lower is better)          0.25   0.5      0.5           0      0',
      'score                                  0.0925   0.0625              +0.03',
      '',
      'ok  bleu4 is 0.29, at least 0.2 is asked for',
      'ok  latency_ms is 38, at most 50 is asked for',
      'ok  bleu4 is not worse, 0.01 is allowed',
      '',
      'not compared: v0.9.0, which lacks bleu4',
      '',
      verdictSentence(passed, 'production'),
    ]);
  });

  it('leaves out the columns of a rival where there is none', () => {
    expect(lines(first).slice(0, 5)).toEqual([
      'metric                        weight   v1.0.0    share',
      'bleu4                           0.75   0.25     0.1875',
      'latency_ms (lower is better)          41.5',
      'loss (lower is better)          0.25   0.5     -0.125',
      'score                                  0.0625   0.0625',
    ]);
    expect(lines(first).join('\n')).not.toMatch(/is not worse/);
    const limited = judged({ limits: { bleu4: { min: 0 } } }, rival);
    expect(lines(limited).slice(0, 2)).toEqual(['metric  v1.0.0', 'bleu4     0.25']);
  });

  it('breaks the sentence between words for a terminal, and only there', () => {
    const sentence = verdictSentence(refused, 'production');
    expect(lines(refused).at(-1)).toBe(sentence);
    for (const columns of [80, 200]) {
      const all = lines(refused, columns);
      expect(all.filter((line) => line.length > columns)).toEqual([]);
      expect(all.slice(all.findIndex((line) => line.startsWith('refused'))).join(' ')).toBe(
        sentence,
      );
    }
    expect(lines(refused, 80).length).toBeGreaterThan(lines(refused, 200).length);
  });

  it('colours the words that decide, and no spaces are out of place by it', () => {
    const painted = verdictLines(refused, 'production', makePaint(true));
    expect(painted.join('\n')).toContain('\u001b[31mfailed\u001b[39m  bleu4 is 0.19');
    // biome-ignore lint/suspicious/noControlCharactersInRegex: colour codes start with one
    const plain = painted.map((line) => line.replace(/\u001b\[\d+m/g, ''));
    expect(plain).toEqual(lines(refused));
  });
});
