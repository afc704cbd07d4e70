/** The least and the greatest value of an axis. */
export type Domain = readonly [number, number];

/** Where the ticks of an axis are, and what they are called. */
export interface Ticks {
  readonly values: readonly number[];
  readonly labels: readonly string[];
}

/** Maps values to places on the screen. */
export function linearScale([low, high]: Domain, [from, to]: Domain): (value: number) => number {
  // Halves, as the difference of two large numbers may be none.
  const half = high / 2 - low / 2;
  return (value) => (half === 0 ? from : from + (to - from) * ((value / 2 - low / 2) / half));
}

/** Chooses the domain of an axis: all values, with a little room; one value alone stands in the middle. */
export function domainOf(values: readonly number[]): Domain {
  let low = Number.POSITIVE_INFINITY;
  let high = Number.NEGATIVE_INFINITY;
  for (const value of values) {
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  if (low > high) return [0, 1];
  if (low === high) {
    const room = Math.abs(low) * 0.1 || 1;
    return bounded(low - room, high + room);
  }
  const room = (high / 2 - low / 2) * 0.12;
  // What is never negative does not begin below zero.
  return bounded(low >= 0 ? Math.max(0, low - room) : low - room, high + room);
}

function bounded(low: number, high: number): Domain {
  return [Math.max(-Number.MAX_VALUE, low), Math.min(Number.MAX_VALUE, high)];
}

/**
 * Chooses round values within a domain: 1, 2, 2.5 or 5 times a power of ten apart.
 * @param wanted about how many there should be
 */
export function niceTicks([low, high]: Domain, wanted: number): Ticks {
  const span = high - low;
  const step = niceStep(span / Math.max(1, wanted));
  if (!(span > 0) || !Number.isFinite(step)) return { values: [low], labels: [tickLabel(low, 0)] };
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  const values: number[] = [];
  // Counted, not added up, so that errors do not gather; bounded, whatever the numbers are.
  for (let i = first; i <= last && values.length < 50; i++) values.push(i * step);
  return { values, labels: values.map((value) => tickLabel(value, step)) };
}

function niceStep(rough: number): number {
  const power = 10 ** Math.floor(Math.log10(rough));
  const factor = [1, 2, 2.5, 5, 10].find((one) => one * power >= rough * 0.999_999) ?? 10;
  return factor * power;
}

/** Writes the value of a tick with as many digits as its step needs. */
function tickLabel(value: number, step: number): string {
  if (step === 0) return String(value);
  const size = Math.max(Math.abs(value), step);
  const power = Math.floor(Math.log10(step) + 1e-9);
  // A step of 2.5 needs a digit more than its power has.
  const more = Math.abs(step / 10 ** power - 2.5) < 0.01 ? 1 : 0;
  if (size >= 1e6 || step < 1e-4) {
    if (Math.abs(value) < step / 2) return '0';
    const digits = Math.floor(Math.log10(Math.abs(value)) + 1e-9) - power + more;
    return value.toExponential(Math.min(15, Math.max(0, digits))).replace(/\.?0+e/, 'e');
  }
  const text = value.toFixed(Math.max(0, more - power));
  return /^-0\.?0*$/.test(text) ? text.slice(1) : text;
}

/**
 * Chooses which of some labels in a row have room: the first and the last, and as many others as fit, evenly.
 * @param widest width of the longest of them
 * @param room width that all of them have
 */
export function labelsThatFit(number: number, widest: number, room: number): readonly number[] {
  if (number <= 0) return [];
  const most = Math.max(1, Math.floor(room / Math.max(1, widest)));
  if (most === 1 || number === 1) return [number - 1];
  const shown = Math.min(number, most);
  const places = Array.from({ length: shown }, (_, i) =>
    Math.round((i * (number - 1)) / (shown - 1)),
  );
  return [...new Set(places)];
}
