import { describe, expect, it } from 'vitest';
import { IgnoreRules } from '../../../src/base/ignore-rules.ts';
import { limits } from '../../../src/base/limits.ts';

const rulesOf = (patterns: string): IgnoreRules =>
  new IgnoreRules((folder) => (folder === '' ? patterns : undefined));

describe('patterns of ignore files', () => {
  it('may be as long as a path', () => {
    const name = 'a'.repeat(limits.ignorePatternMax);
    expect(rulesOf(`*.log\n${name}\n`).ignores(name, false)).toBe(true);
  });

  it('are refused when they are longer, before they become regular expressions', () => {
    const rules = rulesOf(`*.log\n${'\\'.repeat(limits.ignorePatternMax + 1)}\n`);
    expect(() => rules.ignores('a', false)).toThrowError(
      expect.objectContaining({ code: 'too-large' }),
    );
  });
});
