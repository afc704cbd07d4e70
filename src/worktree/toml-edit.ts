import { isDeepStrictEqual } from 'node:util';
import { parse } from 'smol-toml';
import { MstoreError } from '../base/errors.ts';

type TomlTable = Record<string, unknown>;

/** A value that the configuration holds. */
export type ConfigValue = string | number | boolean;

/**
 * Sets or, with undefined, removes one key of a TOML text, and leaves comments, order and all other
 * lines as they are. The result is parsed and compared with the change intended, so that an unusual
 * layout leads to an error, never to another meaning.
 * @param keys table names and key, outermost first
 */
export function editToml(
  text: string,
  keys: readonly string[],
  value: ConfigValue | undefined,
): string {
  const lines = text === '' ? [] : text.replace(/\n$/, '').split('\n');
  const section = keys.slice(0, -1);
  const key = keys.at(-1) as string;
  const range = sectionRange(lines, section);
  // Lines keep the carriage return that Windows editors write; new ones get it where the file has it.
  const end = text.includes('\r\n') ? '\r' : '';
  const line = value === undefined ? undefined : `${bareOrQuoted(key)} = ${tomlLiteral(value)}`;
  if (range === undefined) {
    if (line !== undefined) {
      if (lines.length > 0 && lines.at(-1)?.trim() !== '') lines.push(end);
      lines.push(`[${section.map(bareOrQuoted).join('.')}]${end}`, line + end);
    }
  } else {
    editSection(lines, range, { key, line, end });
  }
  const result = lines.length === 0 ? '' : `${lines.join('\n')}\n`;
  const wanted = withKey(parse(text) as TomlTable, keys, value);
  if (means(result, wanted)) return result;
  throw new MstoreError(
    'config-invalid',
    `Cannot change ${keys.join('.')} without changing other settings`,
    {
      hint: 'The file has an unusual layout; edit it by hand',
    },
  );
}

function means(text: string, wanted: TomlTable): boolean {
  try {
    return isDeepStrictEqual(plain(dropEmpty(parse(text))), plain(dropEmpty(wanted)));
  } catch {
    return false;
  }
}

interface SectionRange {
  /** Line of the header. */
  readonly header: number;
  /** Line behind the section. */
  readonly end: number;
}

function sectionRange(
  lines: readonly string[],
  section: readonly string[],
): SectionRange | undefined {
  const header = lines.findIndex((line) => isDeepStrictEqual(headerPath(line), section));
  if (header === -1) return undefined;
  let end = header + 1;
  while (end < lines.length && headerPath(lines[end] as string) === undefined) end++;
  return { header, end };
}

/** Returns the table names in a header line `[a.b]`, or undefined for other lines. */
function headerPath(line: string): string[] | undefined {
  if (!/^\s*\[[^[]/.test(line)) return undefined;
  try {
    const names: string[] = [];
    let table = parse(line.trim()) as TomlTable;
    for (;;) {
      const [name] = Object.keys(table);
      if (name === undefined) return names;
      names.push(name);
      table = table[name] as TomlTable;
    }
  } catch {
    return undefined;
  }
}

function editSection(
  lines: string[],
  range: SectionRange,
  change: { readonly key: string; readonly line: string | undefined; readonly end: string },
): void {
  const { header, end } = range;
  const { key, line } = change;
  for (let at = header + 1; at < end; at++) {
    const old = lines[at] as string;
    const match = /^\s*("[^"]*"|'[^']*'|[A-Za-z0-9_-]+)\s*=/.exec(old);
    if (match?.[1]?.replaceAll(/["']/g, '') !== key) continue;
    if (line !== undefined) {
      lines[at] = line + commentOf(old) + (old.endsWith('\r') ? '\r' : '');
      return;
    }
    lines.splice(at, 1);
    const rest = lines.slice(header + 1, end - 1);
    if (rest.every((other) => other.trim() === '')) lines.splice(header, rest.length + 1);
    while (lines.at(-1)?.trim() === '') lines.pop();
    return;
  }
  if (line === undefined) return;
  let at = end;
  // Comments right above the next table are about that one.
  while (end < lines.length && at > header + 1 && /^\s*#/.test(lines[at - 1] as string)) at--;
  while (at > header + 1 && lines[at - 1]?.trim() === '') at--;
  lines.splice(at, 0, line + change.end);
}

/** The comment behind a value on one line, with the space before it; a `#` in a string is none. */
function commentOf(line: string): string {
  const match = /^(?:[^"'#]|"(?:[^"\\]|\\.)*"|'[^']*')*#/.exec(line);
  if (match === null) return '';
  const before = match[0].slice(0, -1);
  return line.slice(before.trimEnd().length).trimEnd();
}

function bareOrQuoted(key: string): string {
  return /^[A-Za-z0-9_-]+$/.test(key) ? key : JSON.stringify(key);
}

function tomlLiteral(value: ConfigValue): string {
  // JSON's string escapes are a subset of those of TOML's basic strings, which want one more.
  return JSON.stringify(value).replaceAll('\u007f', '\\u007f');
}

function withKey(
  table: TomlTable,
  keys: readonly string[],
  value: ConfigValue | undefined,
): TomlTable {
  const [key, ...rest] = keys as [string, ...string[]];
  const copy: TomlTable = Object.assign(Object.create(null) as TomlTable, table);
  if (rest.length > 0) {
    copy[key] = withKey((copy[key] ?? {}) as TomlTable, rest, value);
  } else if (value === undefined) {
    delete copy[key];
  } else {
    copy[key] = value;
  }
  return copy;
}

/** An empty table says nothing; leaving it out or in makes no difference. */
function dropEmpty(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  const entries = Object.entries(value)
    .map(([key, inner]) => [key, dropEmpty(inner)] as const)
    .filter(([, inner]) => !(isTable(inner) && Object.keys(inner).length === 0));
  return Object.fromEntries(entries);
}

function isTable(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Dates and tables without prototypes compare by their JSON form. */
function plain(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value)) as unknown;
}
