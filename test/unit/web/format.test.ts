import { describe, expect, it } from 'vitest';
import {
  count,
  formatAgo,
  formatBytes,
  formatDifference,
  formatMetric,
  formatMoment,
  formatShare,
  formatValue,
} from '../../../src/web/format.ts';

describe('numbers for people', () => {
  it.each([
    [0, '0 bytes'],
    [1, '1 byte'],
    [1023, '1,023 bytes'],
    [1024, '1.00 KiB'],
    [1536, '1.50 KiB'],
    [10_239, '10.0 KiB'],
    [1024 * 1024 - 1, '1.00 MiB'],
    [5_300_000_000, '4.94 GiB'],
    [2 ** 50 * 2000, '2000.0 PiB'],
  ])('%i bytes', (bytes, text) => {
    expect(formatBytes(bytes)).toBe(text);
  });

  it.each([
    [0, '0'],
    [0.946, '0.946'],
    [0.123456789, '0.123457'],
    [41.3, '41.3'],
    [1234567, '1,234,567'],
    [0.1 + 0.2, '0.3'],
    [0.00001234, '1.234e-5'],
    [1.5e12, '1.5e+12'],
    [-0.5, '-0.5'],
    [1e9, '1e+9'],
  ])('the metric %d', (value, text) => {
    expect(formatMetric(value)).toBe(text);
  });

  it.each([
    [0.03400000000000003, '+0.034'],
    [-2.9000000000000057, '−2.9'],
    [0, '0'],
  ])('the difference %d', (value, text) => {
    expect(formatDifference(value)).toBe(text);
  });

  it.each([
    [0, 100, '0 %'],
    [50, 100, '50 %'],
    [1, 1000, '< 1 %'],
    [999, 1000, '> 99 %'],
    [1000, 1000, '100 %'],
    [1, 0, '0 %'],
    [-5, 10, '0 %'],
  ])('%i of %i', (part, whole, text) => {
    expect(formatShare(part, whole)).toBe(text);
  });

  it('things that are counted', () => {
    expect([count(1, 'version'), count(0, 'version'), count(1200, 'file')]).toEqual([
      '1 version',
      '0 versions',
      '1,200 files',
    ]);
    expect(count(1, 'is', 'are')).toBe('1 is');
  });
});

describe('moments', () => {
  const now = Date.parse('2026-03-10T12:00:00.000Z');

  it.each([
    ['2026-03-10T11:59:40.000Z', 'just now'],
    ['2026-03-10T11:59:00.000Z', '1 minute ago'],
    ['2026-03-10T09:00:00.000Z', '3 hours ago'],
    ['2026-03-07T11:00:00.000Z', '3 days ago'],
    ['2026-02-20T11:00:00.000Z', '2 weeks ago'],
    ['2025-12-20T11:00:00.000Z', '2 months ago'],
    ['2024-01-01T00:00:00.000Z', '2 years ago'],
    // Clocks of hosts differ.
    ['2026-03-10T12:05:00.000Z', 'in 5 minutes'],
    ['nonsense', ''],
  ])('%s was %s', (iso, text) => {
    expect(formatAgo(iso, now)).toBe(text);
  });

  it('are told in the time zone of the reader, to the minute', () => {
    const at = new Date(2026, 2, 4, 5, 6, 7);
    expect(formatMoment(at.toISOString())).toBe('2026-03-04 05:06');
    expect(formatMoment('nonsense')).toBe('nonsense');
  });
});

describe('values of metadata', () => {
  it('are text, whatever they are', () => {
    expect(formatValue('<b>')).toBe('<b>');
    expect(formatValue(undefined)).toBe('');
    expect(formatValue({ a: [1] })).toBe('{\n  "a": [\n    1\n  ]\n}');
  });
});
