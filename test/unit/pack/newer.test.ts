import { expect, it } from 'vitest';
import { FooterBuilder, parseFooter, parseTrailer } from '../../../src/pack/format.ts';

it('a pack of a format to come is told as such, with what to do about it', () => {
  const footer = new FooterBuilder().finish();
  const newer = expect.objectContaining({
    code: 'newer-format',
    message: 'A pack has format 2; this mstore reads 1',
    hint: 'Install a newer mstore',
  }) as Error;
  const [bytes, trailer] = [Buffer.from(footer.bytes), footer.trailer()];
  for (const part of [bytes, trailer]) part.writeUInt32LE(2, 8);
  expect(() => parseFooter(bytes)).toThrow(newer);
  expect(() => parseTrailer(trailer, footer.packBytes)).toThrow(newer);
});
