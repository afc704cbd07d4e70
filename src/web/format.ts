const units = ['KiB', 'MiB', 'GiB', 'TiB', 'PiB'] as const;

/** Writes a number of bytes for people: `1.5 MiB`. */
export function formatBytes(bytes: number): string {
  if (bytes < 1024) return count(bytes, 'byte');
  let value = bytes;
  let unit = -1;
  // What would be rounded to 1024 of a unit is one of the next.
  while (value >= 1023.95 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${value < 9.995 ? value.toFixed(2) : value.toFixed(1)} ${units[unit]}`;
}

/** Writes a number of things: `1 version`, `12 versions`. */
export function count(number: number, one: string, many = `${one}s`): string {
  return `${number.toLocaleString('en')} ${number === 1 ? one : many}`;
}

/** Writes the value of a metric: six digits tell two values apart, more are noise. */
export function formatMetric(value: number): string {
  const size = Math.abs(value);
  if (size !== 0 && (size >= 1e9 || size < 1e-4))
    return value.toExponential(4).replace(/\.?0+e/, 'e');
  if (Number.isInteger(value)) return value.toLocaleString('en');
  return Number(value.toPrecision(6)).toLocaleString('en', { maximumFractionDigits: 10 });
}

/** Writes a difference with its sign; the minus is that of typography, as long as the plus. */
export function formatDifference(value: number): string {
  const text = formatMetric(Math.abs(Number(value.toPrecision(6))));
  return value > 0 ? `+${text}` : value < 0 ? `−${text}` : '0';
}

/** Writes a share in percent: `37 %`, and never 0 or 100 of what is not quite nothing or all. */
export function formatShare(part: number, whole: number): string {
  if (whole <= 0 || part <= 0) return '0 %';
  const share = (100 * part) / whole;
  if (share < 1) return '< 1 %';
  if (share > 99 && part < whole) return '> 99 %';
  return `${Math.round(share)} %`;
}

const two = (number: number): string => String(number).padStart(2, '0');

/** Writes a moment in the time zone of the reader: `2026-01-02 13:04`. */
export function formatMoment(iso: string): string {
  const at = new Date(iso);
  if (Number.isNaN(at.getTime())) return iso;
  const day = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
  return `${day} ${two(at.getHours())}:${two(at.getMinutes())}`;
}

const spans: ReadonlyArray<readonly [Intl.RelativeTimeFormatUnit, number]> = [
  ['year', 365 * 86_400],
  ['month', 30 * 86_400],
  ['week', 7 * 86_400],
  ['day', 86_400],
  ['hour', 3600],
  ['minute', 60],
];

/**
 * Writes how long ago a moment was: `3 days ago`.
 * @param now milliseconds since 1970
 */
export function formatAgo(iso: string, now: number): string {
  const seconds = (Date.parse(iso) - now) / 1000;
  if (Number.isNaN(seconds)) return '';
  const [unit, length] = spans.find(([, span]) => Math.abs(seconds) >= span) ?? ['minute', 60];
  const number = Math.trunc(seconds / length);
  if (number === 0) return 'just now';
  return new Intl.RelativeTimeFormat('en', { numeric: 'always' }).format(number, unit);
}

/** Writes any value of metadata as text. */
export function formatValue(value: unknown): string {
  if (value === undefined) return '';
  return typeof value === 'string' ? value : JSON.stringify(value, undefined, 2);
}
