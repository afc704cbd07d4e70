import { describe, expect, it } from 'vitest';
import { ifThisFormat, NotThisFormat, WindowReader } from '../../../src/weights/window-reader.ts';
import { readerOf } from '../../support/weights.ts';
import { xorshiftBytes } from '../../support/xorshift.ts';

const kib = 1024;

describe('WindowReader', () => {
  it('reads little-endian fields in a row', () => {
    const bytes = Buffer.from('01020003000000040000000000000005ac02ff7f6162c3a9', 'hex');
    const reader = new WindowReader(readerOf(bytes), 0, bytes.length);
    expect([reader.u8(), reader.u16(), reader.u32(), reader.u64()]).toEqual([1, 2, 3, 4]);
    expect([reader.u8(), reader.varint(), reader.varint()]).toEqual([5, 300, 16383]);
    expect([reader.at, reader.text(4), reader.at]).toEqual([20, 'abé', 24]);
    expect(() => reader.u8()).toThrow(NotThisFormat);
  });

  it('reads the same at every offset, and never twice what it has', () => {
    const bytes = xorshiftBytes(7, 700 * kib);
    for (const step of [3, 8, 4093, 70_000]) {
      const file = readerOf(bytes);
      const reader = new WindowReader(file, 0, bytes.length);
      let wrong = 0;
      for (let at = 0; at + 4 <= bytes.length; at += step + 4) {
        if (reader.u32() !== bytes.readUInt32LE(at)) wrong++;
        reader.skip(Math.min(step, bytes.length - reader.at));
      }
      expect(wrong).toBe(0);
      expect(file.counts.bytes).toBeLessThan(bytes.length + 64);
      if (step === 70_000) expect(file.counts.bytes).toBeLessThan(50 * kib);
      if (step < 10) expect(file.counts.reads).toBeLessThan(10);
    }
  });

  it('keeps to its end, to integers that numbers hold, and to ten bytes of a variable length', () => {
    const fails = (hex: string, read: (reader: WindowReader) => unknown, end = hex.length / 2) => {
      const reader = new WindowReader(readerOf(Buffer.from(hex, 'hex')), 0, end);
      expect(() => read(reader)).toThrow(NotThisFormat);
    };
    fails('00000000', (reader) => reader.u32(), 3);
    fails('00000000', (reader) => reader.skip(5));
    fails('00000000', (reader) => reader.text(5));
    fails('0000000000002000', (reader) => reader.u64());
    fails('80808080808080808080', (reader) => reader.varint());
    fails('8080808080808080808000', (reader) => reader.anyVarint());
    fails('ffffffffffffffffff01', (reader) => reader.varint());
    fails('80', (reader) => reader.varint());
    const most = Buffer.from('ffffffffffff1f00ffffffffffffff0fffffffffffffffffff01', 'hex');
    const reader = new WindowReader(readerOf(most), 0, most.length);
    expect(reader.u64()).toBe(Number.MAX_SAFE_INTEGER);
    expect(reader.varint()).toBe(Number.MAX_SAFE_INTEGER);
    reader.anyVarint();
    expect(reader.at).toBe(most.length);
  });

  it('passes on what a file answers with, an error or too few bytes', () => {
    const short = { size: 10, read: () => new Uint8Array(1) };
    expect(ifThisFormat(() => new WindowReader(short, 0, 10).u8())).toBeUndefined();
    const broken = {
      size: 10,
      read: () => {
        throw new Error('io');
      },
    };
    expect(() => ifThisFormat(() => new WindowReader(broken, 0, 10).u8())).toThrow('io');
  });
});
