/** What an opcode of a pickle leaves on the stack, as far as it matters who is imported and called. */
export type Value =
  | string
  | number
  | ImportedValue
  | Box
  | typeof mark
  | typeof unknownValue
  | typeof longText
  | typeof nothing;

/** The sign that MARK leaves. */
export const mark = Symbol('mark');
/** A value of which nothing is kept. */
export const unknownValue = Symbol('unknown');
/** A text that is too long to be kept. */
export const longText = Symbol('long text');
/** What an opcode takes where the stack holds nothing: unpicklers end there. */
export const nothing = Symbol('nothing');

/** Something that was imported. */
export class ImportedValue {
  readonly module: string;
  readonly name: string;

  constructor(module: string, name: string) {
    this.module = module;
    this.name = name;
  }
}

/** Items of a container that are kept. */
const itemsMax = 16;
const noItems: readonly Value[] = [];

/** A container, or what a call gave. */
export class Box {
  /** Values inside, those of containers counted as often as they stand there. */
  weight = 1;
  /** The first values that were put in. */
  items: readonly Value[] = noItems;
  /** What was called to make it; undefined for containers. */
  readonly maker: ImportedValue | undefined;

  constructor(maker?: ImportedValue) {
    this.maker = maker;
  }

  put(values: readonly Value[]): void {
    for (const value of values)
      this.weight = Math.min(1e15, this.weight + (value instanceof Box ? value.weight : 1));
    const room = itemsMax - this.items.length;
    if (room > 0 && values.length > 0) this.items = [...this.items, ...values.slice(0, room)];
  }
}

/**
 * Decodes the argument of STRING: a text in quotes as Python 2 writes it.
 * @returns undefined for one without quotes, of which versions of Python make different things
 */
export function pythonText(line: string): string | undefined {
  const quote = line[0];
  const isQuoted = line.length >= 2 && (quote === "'" || quote === '"') && line.endsWith(quote);
  return isQuoted ? withoutEscapes(line.slice(1, -1)) : undefined;
}

/** Decodes the argument of UNICODE: only \u and \U are escapes. */
export function rawUnicodeText(line: string): string {
  return line.replace(
    /\\(?:u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|.)/g,
    (all: string, short?: string, long?: string) => {
      const digits = short ?? long;
      return digits === undefined ? all : codePoint(Number.parseInt(digits, 16), all);
    },
  );
}

const named: Readonly<Record<string, string>> = {
  '\\': '\\',
  "'": "'",
  '"': '"',
  a: '\x07',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
};

function withoutEscapes(text: string): string {
  return text.replace(
    /\\(?:x([0-9a-fA-F]{2})|([0-7]{1,3})|([\\'"abfnrtv]))/g,
    (all: string, hex?: string, octal?: string, letter?: string) => {
      if (hex !== undefined) return codePoint(Number.parseInt(hex, 16), all);
      if (octal !== undefined) return codePoint(Number.parseInt(octal, 8) & 0xff, all);
      return named[letter ?? ''] ?? all;
    },
  );
}

function codePoint(code: number, otherwise: string): string {
  return code <= 0x10ffff ? String.fromCodePoint(code) : otherwise;
}
