import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compareUtf8, isJsonObject, parseJsonBytes } from '../../../src/base/json.ts';
import { runs } from '../../support/runs.ts';

describe('compareUtf8', () => {
  // Characters around every border of UTF-8 lengths and of the surrogates of UTF-16.
  const border = fc.constantFrom(
    ...['\u0000', 'a', '\u007f', '\u0080', '\u07ff', '\u0800', '\ud7ff', '\ue000', '\ufb01'],
    ...['\uffff', '\u{10000}', '\u{1f600}', '\u{1f601}', '\u{10ffff}'],
  );
  const text = fc.oneof(
    fc.string({ unit: border, maxLength: 4 }),
    fc.string({ unit: 'binary', maxLength: 6 }),
  );

  it('orders as the bytes do', () => {
    fc.assert(
      fc.property(text, text, (a, b) => {
        const bytes = Buffer.compare(Buffer.from(a), Buffer.from(b));
        expect(Math.sign(compareUtf8(a, b))).toBe(bytes);
      }),
      runs(2_000),
    );
  });

  it('orders all pairs of border characters as the bytes do', () => {
    const all = ['', '\ud7ff', '\ue000', '\uffff', '\u{10000}', '\u{10ffff}', 'a', 'aa'];
    for (const a of all) {
      for (const b of all) {
        const bytes = Buffer.compare(Buffer.from(a), Buffer.from(b));
        expect(Math.sign(compareUtf8(a, b)), JSON.stringify([a, b])).toBe(bytes);
        expect(Math.sign(compareUtf8(`x${a}`, `x${b}`))).toBe(bytes);
      }
    }
  });
});

describe('parseJsonBytes', () => {
  it('refuses what is not UTF-8 and what has a byte order mark', () => {
    expect(() => parseJsonBytes(Buffer.from('22ff22', 'hex'))).toThrow(TypeError);
    expect(() => parseJsonBytes(Buffer.from('\ufeff{}'))).toThrow(SyntaxError);
  });

  it('sets no prototype', () => {
    const value = parseJsonBytes(Buffer.from('{"__proto__":{"x":1}}')) as object;
    expect(Object.getPrototypeOf(value)).toBe(Object.prototype);
    expect(Object.keys(value)).toEqual(['__proto__']);
  });

  it('tells objects from lists and null', () => {
    expect([{}, [], null, 1, 'a'].map(isJsonObject)).toEqual([true, false, false, false, false]);
  });
});
