import { crc32c as compiled } from '@node-rs/crc32';
import { describe, expect, it } from 'vitest';
import { crc32c } from '../../../src/remote/crc32c.ts';
import { xorshiftBytes } from '../../support/xorshift.ts';

describe('the CRC-32C of the single executable', () => {
  it('is that of the standard', () => {
    // The check value of the catalogue of CRCs, and two vectors of RFC 3720, B.4.
    expect(crc32c(Buffer.from('123456789'))).toBe(0xe3069283);
    expect(crc32c(Buffer.alloc(32))).toBe(0x8a9136aa);
    expect(crc32c(Buffer.alloc(32, 0xff))).toBe(0x62a8ab43);
    expect(crc32c(new Uint8Array())).toBe(0);
  });

  it('is that of the compiled code, for all lengths, at all places, in parts', () => {
    const bytes = xorshiftBytes(7, 4096);
    for (let length = 0; length < 80; length++) {
      for (const start of [0, 1, 3, 8, 4000]) {
        const part = bytes.subarray(start, start + length);
        expect(crc32c(part), `${length} bytes at ${start}`).toBe(compiled(Buffer.from(part)));
        const cut = Math.floor(length / 3);
        const sum = crc32c(part.subarray(cut), crc32c(part.subarray(0, cut)));
        expect(sum, `${length} bytes in two parts`).toBe(compiled(Buffer.from(part)));
      }
    }
    expect(crc32c(bytes)).toBe(compiled(Buffer.from(bytes)));
  });
});
