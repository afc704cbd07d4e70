/** A value that JSON can hold. */
export type JsonValue =
  | null
  | boolean
  | number
  | string
  | readonly JsonValue[]
  | { readonly [key: string]: JsonValue };

/** A JSON object. */
export type JsonObject = { readonly [key: string]: JsonValue };

/** Tells whether `value` is an object, and neither an array nor null. */
export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * Parses UTF-8 JSON strictly: a byte sequence that is not UTF-8 is an error, a key `__proto__` becomes
 * an ordinary own property (JSON.parse never sets a prototype).
 * @throws SyntaxError or TypeError, which the caller turns into the error of its format
 */
export function parseJsonBytes(bytes: Uint8Array): unknown {
  return JSON.parse(utf8.decode(bytes)) as unknown;
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * Shows a value of a file in a message. An object is not turned into text: it may have a `toString` of its
 * own, which is no function.
 */
export function valueText(value: unknown): string {
  if (value instanceof Date) return 'a date';
  if (Array.isArray(value)) return 'a list';
  return typeof value === 'object' && value !== null ? 'an object' : String(value);
}

/** Compares two strings by their UTF-8 bytes, which is also the order of their code points. */
export function compareUtf8(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const x = a.charCodeAt(i);
    const y = b.charCodeAt(i);
    if (x === y) continue;
    // UTF-16 puts surrogates (code points above 0xffff) before 0xe000-0xffff; UTF-8 puts them after.
    const xs = x >= 0xd800 && x <= 0xdfff;
    const ys = y >= 0xd800 && y <= 0xdfff;
    if (xs !== ys) return xs ? (y > 0xdfff ? 1 : x - y) : x > 0xdfff ? -1 : x - y;
    return x - y;
  }
  return a.length - b.length;
}

/** Levels of objects and lists in each other; more are a fault, and would take the stack away. */
export const jsonDepthMax = 200;

/** Tells whether a value has more levels than {@link jsonDepthMax}; it looks no further. */
export function isTooDeep(value: unknown, depth = 0): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return depth >= jsonDepthMax || Object.values(value).some((inner) => isTooDeep(inner, depth + 1));
}

/**
 * Writes a value as canonical JSON (RFC 8785): no white space, the keys of objects in the order of their
 * UTF-16 code units, numbers and texts as JavaScript writes them. Members whose value is undefined are left
 * out, as JSON.stringify does.
 * @throws RangeError for more than 200 levels of objects and lists in each other
 */
export function canonicalJson(value: JsonValue, depth = 0): string {
  if (depth > jsonDepthMax) throw new RangeError('JSON with too many levels');
  if (Array.isArray(value)) {
    return `[${value.map((item: JsonValue) => canonicalJson(item, depth + 1)).join(',')}]`;
  }
  if (!isJsonObject(value)) return JSON.stringify(value);
  const members = Object.keys(value)
    .filter((key) => value[key] !== undefined)
    .sort()
    .map((key) => `${JSON.stringify(key)}:${canonicalJson(value[key] as JsonValue, depth + 1)}`);
  return `{${members.join(',')}}`;
}
