import { styleText } from 'node:util';
import { printable, unprintableClass } from '../base/names.ts';

/** Where colours may be used: only on a terminal that wants them. */
export function useColour(stream: { isTTY?: boolean }, env: NodeJS.ProcessEnv): boolean {
  if (env['NO_COLOR'] !== undefined && env['NO_COLOR'] !== '') return false;
  return stream.isTTY === true && env['TERM'] !== 'dumb';
}

const widthDefault = 80;

/** How many columns lines may have: those of the terminal, else what COLUMNS says, else 80. */
export function outputWidth(stream: { columns?: number }, env: NodeJS.ProcessEnv): number {
  const told = /^\d{1,4}$/.test(env['COLUMNS'] ?? '') ? Number(env['COLUMNS']) : 0;
  return stream.columns || told || widthDefault;
}

/** Colours of the command line, by what they mean. */
export interface Paint {
  good(text: string): string;
  bad(text: string): string;
  changed(text: string): string;
  faint(text: string): string;
  strong(text: string): string;
}

/** Returns functions that colour text, or leave it as it is. */
export function makePaint(enabled: boolean): Paint {
  const with_ =
    (style: Parameters<typeof styleText>[0]) =>
    (text: string): string =>
      enabled ? styleText(style, text, { validateStream: false }) : text;
  return {
    good: with_('green'),
    bad: with_('red'),
    changed: with_('yellow'),
    faint: with_('dim'),
    strong: with_('bold'),
  };
}

/** Writes a span of time: `0.8 s`, `42 s`, `3 min 5 s`, `2 h 10 min`. */
export function formatSeconds(seconds: number): string {
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

const spanMs: Readonly<Record<string, number>> = { m: 60e3, h: 3600e3, d: 86_400e3, w: 604_800e3 };

/** Reads a span of time, `90m`, `24h`, `7d` or `2w`, in milliseconds; undefined when it is none. */
export function parseSpan(text: string): number | undefined {
  const [, digits, unit = ''] = /^(\d{1,6})([mhdw])$/.exec(text) ?? [];
  return digits === undefined ? undefined : Number(digits) * (spanMs[unit] ?? Number.NaN);
}

/** Reads an amount of bytes, `500M`, `50G` or `1.5TiB`, in powers of 1024; undefined when it is none. */
export function parseSize(text: string): number | undefined {
  const [, digits, unit = ''] = /^(\d{1,9}(?:\.\d{1,3})?)([KMGT])(?:i?B)?$/i.exec(text) ?? [];
  if (digits === undefined) return undefined;
  return Math.round(Number(digits) * 1024 ** ('KMGT'.indexOf(unit.toUpperCase()) + 1));
}

/** Writes a number of things: `1 file`, `3 files`. */
export function count(number: number, thing: string, plural = `${thing}s`): string {
  // What the language offers for this loads its tables of all languages, at a tenth of a command's time.
  const grouped = String(number).replace(/\B(?=(?:\d{3})+$)/g, ',');
  return `${grouped} ${number === 1 ? thing : plural}`;
}

/** Lays rows out in columns, two spaces apart; columns named in `right` end flush. */
export function table(
  rows: readonly (readonly string[])[],
  right: readonly number[] = [],
): string[] {
  const widths: number[] = [];
  for (const row of rows) {
    for (const [i, cell] of row.entries())
      widths[i] = Math.max(widths[i] ?? 0, visibleLength(cell));
  }
  return rows.map((row) =>
    row
      .map((cell, i) => {
        const space = ' '.repeat((widths[i] ?? 0) - visibleLength(cell));
        return right.includes(i) ? space + cell : cell + space;
      })
      .join('  ')
      .trimEnd(),
  );
}

/** Characters that JSON leaves as they are and a terminal may act on; all are within texts. */
const unsafeInJson = new RegExp(`[${unprintableClass}]`, 'gu');

/**
 * Writes a value as JSON whose texts hold nothing that a terminal acts on: it reads such characters back
 * from escapes.
 */
export function jsonText(value: unknown, indent?: number): string {
  return JSON.stringify(value, null, indent).replace(unsafeInJson, (c) =>
    c === '\n' ? c : [...Array(c.length).keys()].map((i) => unitEscape(c.charCodeAt(i))).join(''),
  );
}

function unitEscape(unit: number): string {
  return `\\u${unit.toString(16).padStart(4, '0')}`;
}

/** The codes of {@link makePaint}, and whatever else must not reach a terminal. */
const codesAndUnsafe = new RegExp(`(\u001b\\[(?:[12]|22|3[123]|39)m)|[${unprintableClass}]`, 'gu');

/**
 * Makes a line fit for a terminal, whatever was put into it: of all that a terminal would act on, the
 * colours of {@link makePaint} stay, where they are in use, and ends of lines. Names are made printable
 * where they are put in, with {@link printable}; this catches what was forgotten.
 */
export function safeLine(line: string, colours: boolean): string {
  return line.replace(codesAndUnsafe, (found, code: string | undefined) =>
    found === '\n' || (colours && code !== undefined) ? found : [...found].map(printable).join(''),
  );
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: colour codes start with one
const colourCodes = /\u001b\[[0-9;]*m/g;

/** Counts the characters of a text that may have colours. */
export function visibleLength(cell: string): number {
  return cell.replace(colourCodes, '').length;
}

/** Shortens a text to a number of characters, the last of which is then `…`. */
export function shorten(text: string, lengthMax: number): string {
  const characters = [...text];
  if (characters.length <= lengthMax) return text;
  return `${characters
    .slice(0, lengthMax - 1)
    .join('')
    .trimEnd()}…`;
}

/** Breaks a text into lines between words; a longer word has a line of its own. */
export function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  for (const paragraph of text.split('\n')) {
    let line = '';
    for (const word of paragraph.trimEnd().split(' ')) {
      if (line !== '' && visibleLength(line) + 1 + visibleLength(word) > width) {
        lines.push(line);
        line = word;
      } else line = line === '' ? word : `${line} ${word}`;
    }
    lines.push(line);
  }
  return lines;
}

/** Writes a point in time for people: `2026-11-21 10:00`, in the time zone of this machine. */
export function localTime(iso: string): string {
  const at = new Date(iso);
  const two = (number: number): string => String(number).padStart(2, '0');
  const day = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
  return `${day} ${two(at.getHours())}:${two(at.getMinutes())}`;
}

/** Joins items with commas, in as many lines as they need; one line at least. */
export function wrapList(items: readonly string[], width: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const item of items) {
    if (line === '') line = item;
    else if (line.length + 3 + item.length <= width) line += `, ${item}`;
    else {
      lines.push(`${line},`);
      line = item;
    }
  }
  return [...lines, line === '' ? '-' : line];
}
