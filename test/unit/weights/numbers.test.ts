import { describe, expect, it } from 'vitest';
import { aligned, kindBytes, type NumberKind, readNumbers } from '../../../src/weights/numbers.ts';
import { floatByBits, naiveValue } from '../../support/tensors.ts';

/** All values of a kind, or many, in the order of their bits. */
function read(kind: NumberKind, bytes: Buffer): number[] {
  const into = new Float64Array(64 * 1024);
  const count = readNumbers(kind, aligned(bytes), into);
  return [...into.subarray(0, count)];
}

const allBytes = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
const allHalves = Buffer.from(new Uint16Array(65_536).map((_, i) => i).buffer);

describe('numbers of tensors', () => {
  it.each([
    ['f16', 'F16', allHalves],
    ['bf16', 'BF16', allHalves],
    ['i16', 'I16', allHalves],
    ['u16', 'U16', allHalves],
    ['f8e5m2', 'F8_E5M2', allBytes],
    ['f8e4m3', 'F8_E4M3', allBytes],
    ['i8', 'I8', allBytes],
    ['u8', 'U8', allBytes],
    ['bool', 'BOOL', allBytes],
  ] as const)('are read as their definition says: every %s', (kind, dtype, bytes) => {
    const size = kindBytes[kind];
    const naive = Array.from({ length: bytes.length / size }, (_, i) =>
      naiveValue(dtype, bytes, i * size),
    );
    expect(read(kind, bytes)).toEqual(naive);
  });

  /** The largest, one, and the smallest, as they are published; those of FNUZ by ONNX. */
  const published: ReadonlyArray<readonly [NumberKind, Readonly<Record<number, number>>]> = [
    ['f8e4m3', { 126: 448, 56: 1, 1: 2 ** -9 }],
    ['f8e4m3fnuz', { 127: 240, 64: 1, 1: 2 ** -10 }],
    ['f8e5m2', { 123: 57_344, 60: 1, 1: 2 ** -16 }],
    ['f8e5m2fnuz', { 127: 57_344, 64: 1, 1: 2 ** -17 }],
    ['f8e8m0', { 254: 2 ** 127, 127: 1, 0: 2 ** -127 }],
  ];

  it.each(published)('of 8 bits have the range that is published: %s', (kind, values) => {
    const all = read(kind, allBytes);
    for (const [bits, value] of Object.entries(values)) expect(all[Number(bits)]).toBe(value);
  });

  it('of 8 bits that are none are where they are published to be', () => {
    const nans = (kind: NumberKind): number[] =>
      read(kind, allBytes).flatMap((value, bits) => (Number.isNaN(value) ? [bits] : []));
    expect(nans('f8e4m3')).toEqual([0x7f, 0xff]);
    expect(nans('f8e5m2')).toEqual([0x7d, 0x7e, 0x7f, 0xfd, 0xfe, 0xff]);
    expect(nans('f8e4m3fnuz')).toEqual([0x80]);
    expect(nans('f8e5m2fnuz')).toEqual([0x80]);
    expect(nans('f8e8m0')).toEqual([0xff]);
    expect(read('f8e5m2', allBytes)[0x7c]).toBe(Number.POSITIVE_INFINITY);
  });

  it('are read from any place in memory', () => {
    const bytes = Buffer.concat([Buffer.alloc(3), Buffer.from('000000000000f03f', 'hex')]);
    expect(read('f64', bytes.subarray(3))).toEqual([1]);
    expect(read('c128', Buffer.concat([bytes.subarray(3), bytes.subarray(3)]))).toEqual([1, 1]);
  });

  it('have a naive reading that is right where it can be told', () => {
    expect(floatByBits(0x3c00, [5, 10])).toBe(1);
    expect(floatByBits(0x7bff, [5, 10])).toBe(65_504);
    expect(floatByBits(0x3f80, [8, 7])).toBe(1);
  });
});
