import { isJsonObject, type JsonObject, jsonDepthMax, parseJsonBytes } from '../base/json.ts';

/** JSON that was read, or what is wrong with it. */
export interface JsonResult {
  readonly value: unknown;
  /** Undefined when it was read. */
  readonly problem: string | undefined;
  /** A key that stands twice in its object; the parser keeps the last one silently. */
  readonly duplicate: string | undefined;
  /** Whether it has more values than are parsed. */
  readonly isTooLarge: boolean;
}

/** Values of one text: the largest tokenizers have half of them. Each takes up to 100 bytes when it is parsed. */
const valuesMax = 5_000_000;

/** Parses JSON in UTF-8 with what the parser does not tell: keys that stand twice, and depth. */
export function readJson(bytes: Uint8Array): JsonResult {
  const none = { value: undefined, duplicate: undefined, isTooLarge: false };
  const { depth, values } = measure(bytes);
  if (depth > jsonDepthMax) return { ...none, problem: `it has more than ${jsonDepthMax} levels` };
  if (values > valuesMax)
    return { ...none, problem: `it has more than ${valuesMax} values`, isTooLarge: true };
  let value: unknown;
  try {
    value = parseJsonBytes(bytes);
  } catch (error) {
    const isText = error instanceof SyntaxError;
    const message = isText ? error.message.slice(0, 200) : 'it is not UTF-8';
    return { ...none, problem: message };
  }
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString();
  return { ...none, value, problem: undefined, duplicate: duplicateKey(text) };
}

/** An own member of an object from outside; undefined where it has none. */
export function member(value: unknown, key: string): unknown {
  return isJsonObject(value) && Object.hasOwn(value, key) ? value[key] : undefined;
}

/** An own member that is an object. */
export function objectAt(value: unknown, key: string): JsonObject | undefined {
  const inner = member(value, key);
  return isJsonObject(inner) ? inner : undefined;
}

/** An own member that is a text. */
export function textAt(value: unknown, key: string): string | undefined {
  const inner = member(value, key);
  return typeof inner === 'string' ? inner : undefined;
}

const quote = 0x22;
const backslash = 0x5c;

/**
 * Counts the levels and the values of a text that may be JSON, up to the limits: what is no JSON does no harm
 * either.
 */
function measure(bytes: Uint8Array): { depth: number; values: number } {
  let depth = 0;
  let deepest = 0;
  let values = 0;
  for (let at = 0; at < bytes.length && deepest <= jsonDepthMax && values <= valuesMax; at++) {
    const byte = bytes[at];
    if (byte === quote) at = endOfText(bytes, at);
    else if (byte === 0x2c) values++;
    else if (byte === 0x7b || byte === 0x5b) {
      values++;
      depth++;
      deepest = Math.max(deepest, depth);
    } else if (byte === 0x7d || byte === 0x5d) depth--;
  }
  return { depth: deepest, values };
}

/** Index of the quote that ends the text that starts at `start`. */
function endOfText(bytes: Uint8Array, start: number): number {
  let at = start + 1;
  while (at < bytes.length && bytes[at] !== quote) at += bytes[at] === backslash ? 2 : 1;
  return at;
}

/** Finds the first key that stands twice in one object of a valid text. */
function duplicateKey(text: string): string | undefined {
  const open: Array<Set<string> | undefined> = [];
  let isKey = false;
  for (let at = 0; at < text.length; at++) {
    switch (text.charCodeAt(at)) {
      case quote: {
        const end = closingQuote(text, at);
        const keys = open.at(-1);
        if (isKey && keys !== undefined) {
          const raw = text.slice(at, end + 1);
          const key = raw.includes('\\') ? (JSON.parse(raw) as string) : raw.slice(1, -1);
          if (keys.has(key)) return key;
          keys.add(key);
          isKey = false;
        }
        at = end;
        break;
      }
      case 0x7b:
        open.push(new Set());
        isKey = true;
        break;
      case 0x5b:
        open.push(undefined);
        break;
      case 0x7d:
      case 0x5d:
        open.pop();
        break;
      case 0x2c:
        isKey = open.at(-1) !== undefined;
        break;
      default:
    }
  }
  return undefined;
}

function closingQuote(text: string, start: number): number {
  let at = text.indexOf('"', start + 1);
  while (isEscaped(text, at)) at = text.indexOf('"', at + 1);
  return at;
}

function isEscaped(text: string, at: number): boolean {
  let slashes = 0;
  while (text.charCodeAt(at - 1 - slashes) === backslash) slashes++;
  return slashes % 2 === 1;
}
