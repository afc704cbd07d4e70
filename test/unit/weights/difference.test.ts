import { describe, expect, it } from 'vitest';
import { DifferenceSum, type TensorDifference } from '../../../src/weights/difference.ts';
import { kindBytes, type NumberKind } from '../../../src/weights/numbers.ts';
import { bytesCoding, numbersCoding } from '../../../src/weights/tensors.ts';

const doubles = (...values: number[]): Buffer => Buffer.from(new Float64Array(values).buffer);
const singles = (...values: number[]): Buffer => Buffer.from(new Float32Array(values).buffer);

function compared(
  kind: NumberKind,
  before: Buffer,
  after: Buffer,
  kindAfter: NumberKind = kind,
): TensorDifference {
  const [a, b] = [kind, kindAfter].map((one) => numbersCoding(one, kindBytes[one]));
  const sum = new DifferenceSum(a as NonNullable<typeof a>, b);
  sum.add(before, after);
  return sum.result();
}

describe('the difference of two tensors', () => {
  it('is relative to what was before', () => {
    const { relativeNorm, share } = compared('f32', singles(3, 4, 0), singles(3, 4, 1));
    expect([relativeNorm, share]).toEqual([0.2, 1 / 3]);
  });

  it('leaves out pairs with a NaN or an infinity, and counts them', () => {
    const before = singles(3, Number.NaN, Number.POSITIVE_INFINITY, 1, 4);
    const after = singles(3, Number.NaN, Number.POSITIVE_INFINITY, Number.NaN, 5);
    expect(compared('f32', before, after)).toMatchObject({
      differing: 2,
      notFinite: 3,
      relativeNorm: 0.2,
    });
  });

  it('is none relative to zeros, and zero where nothing but the sign of a zero differs', () => {
    expect(compared('f32', singles(0, 0), singles(0, 1)).relativeNorm).toBeNull();
    expect(compared('f32', singles(0, 2), singles(-0, 2))).toMatchObject({
      differing: 1,
      relativeNorm: 0,
    });
  });

  it.each([
    [[3e300, 4e300], [3e300, 5e300], 0.2],
    [[3e-300, 4e-300], [3e-300, 5e-300], 0.2],
    [[1.5e308], [-1.5e308], 2],
    [[1], [1e-300], 1],
    [[1, 1e-200], [1, 2e-200], 1e-200],
    [[1e-300], [1e200], null],
    [[5e-324], [1e-323], 1],
  ])('does not overflow or vanish: %j to %j', (before, after, norm) => {
    const { relativeNorm } = compared('f64', doubles(...before), doubles(...after));
    if (norm === null) expect(relativeNorm).toBeNull();
    else expect((relativeNorm as number) / norm).toBeCloseTo(1, 12);
  });

  it('adds up what is squared as it is and what is scaled first', () => {
    const small = Array.from({ length: 99 }, () => 2 ** -471);
    const before = doubles(2 ** -470, ...small);
    const after = doubles(2 ** -470, ...small.map((value) => 2 * value));
    expect(compared('f64', before, after).relativeNorm).toBeCloseTo(Math.sqrt(99 / 103), 12);
  });

  it('sees integers of 64 bits that no double tells apart', () => {
    const large = (value: bigint): Buffer => Buffer.from(new BigInt64Array([value]).buffer);
    const found = compared('i64', large(2n ** 62n), large(2n ** 62n + 1n));
    expect(found).toMatchObject({ differing: 1, relativeNorm: 2 ** -62 });
    const down = compared('i64', large(-(2n ** 63n)), large(2n ** 63n - 1n));
    expect(down.relativeNorm).toBe(2);
  });

  it('takes a complex number as one value', () => {
    const before = singles(3, 4, 1, Number.NaN);
    const after = singles(3, 5, 1, Number.NaN);
    expect(compared('c64', before, after)).toMatchObject({
      total: 2,
      differing: 1,
      notFinite: 1,
      relativeNorm: 0.2,
    });
  });

  it('compares numbers of two types by what they are', () => {
    const before = singles(1, 2.5, Number.NaN, -0);
    const after = Buffer.from('803f2040c07f0000', 'hex');
    expect(compared('f32', before, after, 'bf16')).toMatchObject({
      total: 4,
      differing: 0,
      notFinite: 1,
      relativeNorm: 0,
    });
  });

  it('counts blocks and bytes of what is no number', () => {
    const blocks = new DifferenceSum({
      kind: undefined,
      unit: 'blocks',
      unitBytes: 3,
      elementBits: 6,
    });
    blocks.add(Buffer.from('aaabbbccc'), Buffer.from('aaabxxccc'));
    blocks.addUnread(3);
    expect(blocks.result()).toMatchObject({ total: 6, differing: 1, relativeNorm: null });
    const bytes = new DifferenceSum(bytesCoding(4));
    bytes.add(Buffer.from('abc'), Buffer.from('axx'));
    bytes.addLonger(2);
    expect(bytes.result()).toMatchObject({ unit: 'bytes', total: 5, differing: 4 });
  });
});
