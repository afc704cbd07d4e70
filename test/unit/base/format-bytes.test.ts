import { describe, expect, it } from 'vitest';
import { formatBytes, parseBytes } from '../../../src/base/format-bytes.ts';

describe('amounts of bytes', () => {
  it.each([
    ['20MB', 20_000_000],
    ['1.5MiB', 1_572_864],
    ['1.5 mib', 1_572_864],
    ['20M', 20 * 1024 * 1024],
    ['20Mi', 20 * 1024 * 1024],
    ['3k', 3072],
    ['3kB', 3000],
    ['0.5GB', 500_000_000],
    ['2TiB', 2 * 1024 ** 4],
    ['512', 512],
    ['512 B', 512],
    ['0', 0],
  ])('%s', (text, bytes) => {
    expect(parseBytes(text)).toBe(bytes);
  });

  it.each([
    '',
    'B',
    '-1',
    '1,5MB',
    '1e6',
    '20MBit',
    '20Mbps',
    '1  MB',
    '.5MB',
    '0x10',
    '20iB',
    '5PB',
  ])('"%s" is none', (text) => {
    expect(parseBytes(text)).toBeUndefined();
  });

  it('are read as they are written', () => {
    for (const bytes of [0, 999, 1024, 123_456, 5_000_000_000, 3 * 1024 ** 4]) {
      const back = parseBytes(formatBytes(bytes)) ?? Number.NaN;
      expect(Math.abs(back - bytes)).toBeLessThanOrEqual(bytes * 0.005);
    }
  });
});
