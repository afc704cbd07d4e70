import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { parseMoment } from '../../../src/cli/moment.ts';
import { localTime } from '../../../src/cli/text.ts';

const iso = (text: string): string => new Date(parseMoment(text, '--at')).toISOString();

describe('a date of the command line', () => {
  // Two hours before UTC in summer, one in winter; the clock is turned on 2026-03-29 and 2026-10-25.
  beforeEach(() => void vi.stubEnv('TZ', 'Europe/Berlin'));
  afterEach(() => void vi.unstubAllEnvs());

  it.each([
    ['a day, to its end', '2026-11-21', '2026-11-21T22:59:59.999Z'],
    ['a day in summer', '2026-07-01', '2026-07-01T21:59:59.999Z'],
    ['a day of 23 hours', '2026-03-29', '2026-03-29T21:59:59.999Z'],
    ['a day of 25 hours', '2026-10-25', '2026-10-25T22:59:59.999Z'],
    ['the last day of a year', '2026-12-31', '2026-12-31T22:59:59.999Z'],
    ['a leap day', '2028-02-29', '2028-02-29T22:59:59.999Z'],
    ['a minute, to its end', '2026-11-21T10:00', '2026-11-21T09:00:59.999Z'],
    ['a space in the place of T', '2026-11-21 10:00', '2026-11-21T09:00:59.999Z'],
    ['a second, to its end', '2026-11-21T10:00:05', '2026-11-21T09:00:05.999Z'],
    ['a millisecond', '2026-11-21T10:00:05.250', '2026-11-21T09:00:05.250Z'],
    ['UTC', '2026-11-21T10:00Z', '2026-11-21T10:00:59.999Z'],
    ['what the history prints as JSON', '2026-11-21T10:00:05.250Z', '2026-11-21T10:00:05.250Z'],
    ['a zone', '2026-11-21T10:00:00+05:30', '2026-11-21T04:30:00.999Z'],
    ['a zone without colon, to the west', '2026-11-21T23:00-0800', '2026-11-22T07:00:59.999Z'],
  ])('may be %s', (_name, text, expected) => {
    expect(iso(text)).toBe(expected);
  });

  it.each([
    'yesterday',
    '',
    '2026-11',
    '2026-02-30',
    '2026-13-01',
    '2026-00-10',
    '2026-11-21T24:00',
    '2026-11-21T10:60',
    '2026-11-21T10',
    '2026-11-21Z',
    '2026-11-21T10:00+15:00',
    '21.11.2026',
    '1700000000',
  ])('is refused: %j', (text) => {
    expect(() => parseMoment(text, '--at')).toThrowError(
      expect.objectContaining({ code: 'usage', hint: expect.stringContaining('--at 2026-11-21,') }),
    );
  });

  it('is shown in the time zone of the machine', () => {
    expect(localTime('2026-11-21T22:59:59.999Z')).toBe('2026-11-21 23:59');
    expect(localTime('2026-07-01T22:05:00.000Z')).toBe('2026-07-02 00:05');
  });
});
