import { isJsonObject, type JsonValue } from '../base/json.ts';
import { printable } from '../base/names.ts';

/** Lists of plain values up to this length stand on one line. */
const inlineLengthMax = 60;

/** Writes a JSON value as an indented tree for people: names, and below each what it holds. */
export function treeLines(value: JsonValue, indent: string): string[] {
  if (isJsonObject(value)) {
    const names = Object.keys(value);
    const short = names.filter((name) => inline(value[name] as JsonValue) !== undefined);
    const width = short.reduce((most, name) => Math.max(most, printable(name).length), 0);
    return names.flatMap((name) => memberLines(name, value[name] as JsonValue, indent, width));
  }
  if (Array.isArray(value)) {
    return value.flatMap((item: JsonValue) => itemLines(item, indent));
  }
  return scalarLines(value).map((line) => indent + line);
}

function memberLines(name: string, value: JsonValue, indent: string, width: number): string[] {
  const shown = printable(name);
  const text = inline(value);
  if (text !== undefined) return [`${indent}${shown.padEnd(width)}  ${text}`.trimEnd()];
  return [indent + shown, ...treeLines(value, `${indent}  `)];
}

function itemLines(item: JsonValue, indent: string): string[] {
  const text = inline(item);
  if (text !== undefined) return [`${indent}- ${text}`];
  const [first = '', ...rest] = treeLines(item, `${indent}  `);
  return [`${indent}- ${first.slice(indent.length + 2)}`, ...rest];
}

/** A value in one line, where it fits there. */
function inline(value: JsonValue): string | undefined {
  if (isJsonObject(value)) return Object.keys(value).length === 0 ? '{}' : undefined;
  if (!Array.isArray(value)) {
    const lines = scalarLines(value);
    return lines.length === 1 ? lines[0] : undefined;
  }
  const items = value as readonly JsonValue[];
  if (items.some((item) => typeof item === 'object' && item !== null)) return undefined;
  const text = `[${items.map((item) => scalarLines(item).join(' ')).join(', ')}]`;
  return items.length === 0 || text.length <= inlineLengthMax ? text : undefined;
}

/** Texts that would read as something else are quoted. */
function scalarLines(value: JsonValue): string[] {
  if (typeof value !== 'string') return [JSON.stringify(value)];
  const isNumber = value.trim() !== '' && !Number.isNaN(Number(value));
  const isPlain =
    value !== '' &&
    value.trim() === value &&
    !isNumber &&
    !['true', 'false', 'null'].includes(value);
  return isPlain ? value.split('\n').map(printable) : [printable(JSON.stringify(value))];
}
