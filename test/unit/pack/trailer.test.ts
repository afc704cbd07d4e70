import { describe, expect, it } from 'vitest';
import { limits } from '../../../src/base/limits.ts';
import { FooterBuilder, packProblem, parseTrailer } from '../../../src/pack/format.ts';

describe('parseTrailer', () => {
  const trailer = new FooterBuilder().finish().trailer();
  const lengthMax = 16 + limits.packChunksMax * 52;
  const parse = (footerLength: number) => {
    const bytes = Buffer.from(trailer);
    bytes.writeBigUInt64LE(BigInt(footerLength), 16);
    return parseTrailer(bytes, 2 ** 40);
  };

  it('takes the longest footer, and refuses a longer one in a file that would hold it', () => {
    expect(parse(lengthMax).footerStart).toBe(2 ** 40 - 56 - lengthMax);
    expect(() => parse(lengthMax + 1)).toThrow(/trailer is malformed/);
  });

  it('takes a footer that begins the file', () => {
    expect(parseTrailer(trailer, 16 + 56).footerStart).toBe(0);
    expect(() => parseTrailer(trailer, 16 + 55)).toThrow(/trailer is malformed/);
  });
});

it('a damaged pack is named, and what to do about it is told', () => {
  expect(packProblem('it is cut short', 'a.pack')).toMatchObject({
    code: 'corrupt-pack',
    message: 'The pack a.pack is damaged: it is cut short',
    hint: expect.stringContaining('mstore fetch') as string,
    details: { pack: 'a.pack', reason: 'it is cut short' },
  });
  expect(packProblem('it is cut short').message).toBe('The pack is damaged: it is cut short');
});
