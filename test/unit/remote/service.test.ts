import { describe, expect, it } from 'vitest';
import { holdsAsked, parseContentRange, toldBytes } from '../../../src/remote/service.ts';

describe('a number of bytes that a service tells', () => {
  it('is taken as a number and in digits', () => {
    expect([toldBytes(0), toldBytes('0'), toldBytes('9007199254740991')]).toEqual([
      0,
      0,
      2 ** 53 - 1,
    ]);
  });

  it.each([
    undefined,
    null,
    '',
    '-1',
    -1,
    1.5,
    '1.5',
    '1e3',
    Number.NaN,
    2 ** 53,
    '9007199254740992',
    [],
    {},
  ])('is none for %j', (told) => expect(toldBytes(told)).toBeUndefined());
});

describe('the range of an answer', () => {
  it('is told from its first to its last byte', () => {
    expect(parseContentRange('bytes 2-5/9')).toEqual({ start: 2, end: 6, size: 9 });
  });

  it.each([
    undefined,
    '',
    'bytes 2-5/*',
    'bytes */9',
    'bytes 5-2/9',
    'bytes 2-9/9',
    'items 2-5/9',
    ' bytes 2-5/9',
    `bytes 2-5/${'9'.repeat(400)}`,
  ])('is none for %j', (header) => expect(parseContentRange(header)).toBeUndefined());

  it('holds what was asked for, or what there is of it', () => {
    const told = { start: 2, end: 6, size: 9 };
    expect(holdsAsked(told, { start: 2, end: 6 }, 4)).toBe(true);
    expect(holdsAsked({ ...told, end: 9 }, { start: 2, end: 20 }, 7)).toBe(true);
    expect(holdsAsked(told, { start: 2, end: 7 }, 4)).toBe(false);
    expect(holdsAsked(told, { start: 1, end: 6 }, 4)).toBe(false);
    expect(holdsAsked(told, { start: 2, end: 6 }, 5)).toBe(false);
    expect(holdsAsked(told, { start: 2, end: 6 }, undefined)).toBe(false);
    expect(holdsAsked(told, undefined, 4)).toBe(false);
  });
});
