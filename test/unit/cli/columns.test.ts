import { describe, expect, it } from 'vitest';
import { type Column, columnLines, fitColumns, numberCells } from '../../../src/cli/columns.ts';
import { makePaint, outputWidth, shorten, wrap, wrapList } from '../../../src/cli/text.ts';

const plain = makePaint(false);
const column = (head: string, rank?: number): Column => ({
  head,
  cells: ['x'],
  ...(rank === undefined ? {} : { rank }),
});
const heads = (columns: readonly Column[]): string => columns.map(({ head }) => head).join(' ');

describe('columns', () => {
  it('that must be there are, others by rank as long as there is room, in their order', () => {
    const all = [column('AAAA', 2), column('BBBB'), column('CCCC', 0), column('DD', 3)];
    expect(heads(fitColumns(all, 20))).toBe('AAAA BBBB CCCC DD');
    expect(heads(fitColumns(all, 19))).toBe('AAAA BBBB CCCC');
    expect(heads(fitColumns(all, 14))).toBe('BBBB CCCC DD');
    expect(heads(fitColumns(all, 10))).toBe('BBBB CCCC');
    expect(heads(fitColumns(all, 1))).toBe('BBBB');
  });

  it('are as wide as their widest cell, colours left out', () => {
    const paint = makePaint(true);
    const painted = { head: 'A', cells: [paint.bad('long'), 'x'], right: true };
    const lines = columnLines([painted, { head: 'B', cells: ['1', '2'] }], plain);
    expect(lines).toEqual(['   A  B', `${paint.bad('long')}  1`, '   x  2']);
    expect(fitColumns([painted, column('B', 0)], 7)).toHaveLength(2);
  });
});

describe('numbers in a column', () => {
  it.each([
    ['four digits of the largest', [0.93567, 0.9, 0.12344], ['0.9357', '0.9000', '0.1234']],
    ['no more decimals than are used', [0.92, 0.9, 0.85], ['0.92', '0.90', '0.85']],
    ['one as the best of all', [1, 0.98765], ['1.0000', '0.9877']],
    ['small ones', [0.000123, 0.00345], ['0.000123', '0.003450']],
    ['large ones', [171, 12.5, 1234.56], ['171', '13', '1,235']],
    ['whole ones', [66362880, 12, -1234], ['66,362,880', '12', '-1,234']],
    ['none', [undefined, 0.5], ['-', '0.5']],
    ['what would read as zero', [12.5, 1e-7, -1e-7, 0], ['12.5', '1.0e-7', '-1.0e-7', '0.0']],
    ['what has too many digits', [1e18, -2.5e15, 0.5], ['1.000e+18', '-2.500e+15', '0.5']],
    ['zeros alone', [0, -0], ['0', '0']],
    ['the smallest and the largest', [5e-324, 1.7976931348623157e308], ['4.9e-324', '1.798e+308']],
  ])('are shown with %s', (_name, values, expected) => {
    expect(numberCells(values)).toEqual(expected);
  });
});

describe('texts', () => {
  it('are wrapped between words, at their own line ends too', () => {
    expect(wrap('one two three', 8)).toEqual(['one two', 'three']);
    expect(wrap('incomprehensibility is long', 8)).toEqual(['incomprehensibility', 'is long']);
    expect(wrap('a\nb', 8)).toEqual(['a', 'b']);
    expect(wrap('', 8)).toEqual(['']);
  });

  it('in lists are wrapped between items', () => {
    expect(wrapList(['staging v2', 'production v1'], 26)).toEqual(['staging v2, production v1']);
    expect(wrapList(['staging v2', 'production v1'], 25)).toEqual(['staging v2,', 'production v1']);
    expect(wrapList([], 10)).toEqual(['-']);
  });

  it('are shortened to a number of characters', () => {
    expect(shorten('Ann Example', 11)).toBe('Ann Example');
    expect(shorten('Ann Example', 5)).toBe('Ann…');
    expect([...shorten('👩👩👩👩', 3)]).toHaveLength(3);
  });

  it('have the width of the terminal, of COLUMNS, or 80', () => {
    expect(outputWidth({ columns: 132 }, { COLUMNS: '200' })).toBe(132);
    expect(outputWidth({}, { COLUMNS: '200' })).toBe(200);
    for (const bad of ['0', '-1', 'wide', '', '99999']) {
      expect(outputWidth({}, { COLUMNS: bad })).toBe(80);
    }
    expect(outputWidth({ columns: 0 }, {})).toBe(80);
  });
});
