import { MstoreError } from '../base/errors.ts';
import { printable } from '../base/names.ts';

const form =
  /^(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,3})\d*)?)?(Z|[+-]\d\d:?\d\d)?)?$/i;

/**
 * Reads a point in time as people write it: `2026-11-21`, `2026-11-21T10:00`, `2026-11-21T10:00:30Z`. Without
 * a zone it is in that of this machine. A day, a minute or a second that is given means its end, so that
 * what happened in it has happened.
 * @param option it was given to, for errors
 * @param edge `start` for the beginning of what is given
 * @returns milliseconds since 1970-01-01 UTC
 * @throws MstoreError `usage`
 */
export function parseMoment(text: string, option: string, edge: 'start' | 'end' = 'end'): number {
  const moment = momentOf(form.exec(text.trim()), edge === 'end');
  if (moment !== undefined) return moment;
  throw new MstoreError('usage', `${option} needs a date, not ${printable(text)}`, {
    hint: `Write ${option} 2026-11-21, ${option} 2026-11-21T10:00 (local time) or ${option} 2026-11-21T10:00:00Z`,
  });
}

function momentOf(match: RegExpExecArray | null, isEnd: boolean): number | undefined {
  if (match === null) return undefined;
  const [, year, month, day, hour, minute, second, fraction, zone] = match;
  const given = [year, month, day, hour, minute, second].map((part) => Number(part ?? 0));
  const [y = 0, mo = 0, d = 0, h = 0, mi = 0, s = 0] = given;
  const ms = Number((fraction ?? '').padEnd(3, '0'));
  const utc = new Date(0);
  utc.setUTCFullYear(y, mo - 1, d);
  const exists = utc.getUTCMonth() === mo - 1 && utc.getUTCDate() === d;
  if (!exists || h > 23 || mi > 59 || s > 59) return undefined;
  const rest = isEnd ? restMs(second, fraction) : 0;
  if (zone !== undefined) {
    const offset = zoneMinutes(zone);
    if (offset === undefined) return undefined;
    utc.setUTCHours(h, mi, s, ms);
    return utc.getTime() - offset * 60_000 + rest;
  }
  // Hours of a day that has more or fewer than 24 of them are the business of the calendar.
  if (hour === undefined)
    return isEnd ? localMs(y, mo, d + 1, 0, 0, 0) - 1 : localMs(y, mo, d, 0, 0, 0);
  return localMs(y, mo, d, h, mi, s) + ms + rest;
}

/** What is left of the minute or the second that was given. */
function restMs(second: string | undefined, fraction: string | undefined): number {
  if (second === undefined) return 59_999;
  return fraction === undefined ? 999 : 0;
}

function localMs(y: number, mo: number, d: number, h: number, mi: number, s: number): number {
  const local = new Date(0);
  local.setFullYear(y, mo - 1, d);
  return local.setHours(h, mi, s, 0);
}

function zoneMinutes(zone: string): number | undefined {
  if (zone.toUpperCase() === 'Z') return 0;
  const [hours, minutes] = [Number(zone.slice(1, 3)), Number(zone.slice(-2))];
  if (hours > 14 || minutes > 59) return undefined;
  return (zone.startsWith('-') ? -1 : 1) * (hours * 60 + minutes);
}
