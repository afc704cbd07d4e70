import { describe, expect, it } from 'vitest';
import { treeLines } from '../../../src/cli/json-tree.ts';

describe('JSON for people', () => {
  it('is an indented tree with aligned values', () => {
    const value = {
      type: 'transformer',
      layers: 12,
      sizes: [768, 3072],
      heads: [{ name: 'intent', labels: ['ok', 'bad'] }, 'none', [1, [2]]],
      empty: {},
      list: [],
    };
    expect(treeLines(value, '  ')).toEqual([
      '  type    transformer',
      '  layers  12',
      '  sizes   [768, 3072]',
      '  heads',
      '    - name    intent',
      '      labels  [ok, bad]',
      '    - none',
      '    - - 1',
      '      - [2]',
      '  empty   {}',
      '  list    []',
    ]);
  });

  it('quotes texts that would read as something else', () => {
    const texts = { a: '12', b: 'true', c: '', d: ' x', e: '1e3', f: 'v1.2', g: null, h: false };
    expect(treeLines(texts, '')).toEqual([
      'a  "12"',
      'b  "true"',
      'c  ""',
      'd  " x"',
      'e  "1e3"',
      'f  v1.2',
      'g  null',
      'h  false',
    ]);
  });

  it('shows lines of a text as lines, and long lists one item a line', () => {
    expect(treeLines({ note: 'one\ntwo' }, '')).toEqual(['note', '  one', '  two']);
    const long = Array.from({ length: 30 }, (_, i) => i);
    expect(treeLines({ long }, '')).toHaveLength(31);
  });

  it('lets nothing through that a terminal obeys', () => {
    const hostile = { 'a\u001b[2J': 'x\u001b]0;y\u0007', b: ['\u202e'], c: ' \u009b ' };
    const shown = treeLines(hostile, '').join('');
    for (const c of ['\u001b', '\u0007', '\u202e', '\u009b']) expect(shown).not.toContain(c);
  });
});
