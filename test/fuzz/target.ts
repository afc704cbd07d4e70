import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { type ErrorCode, isMstoreError } from '../../src/base/errors.ts';

/** A parser of bytes from outside, as a fuzzer calls it. */
export interface FuzzTarget {
  /** Also the folder of its corpus and of its crashes. */
  readonly name: string;
  /** The longest input that is tried, in bytes. */
  readonly bytesMax: number;
  /** Good inputs, small, by name: what mutations begin with. */
  seeds(): Readonly<Record<string, string | Uint8Array>>;
  /** Texts of the format that chance alone would not find. */
  readonly words?: readonly string[];
  /**
   * Parses. It returns, or throws what {@link refused} let through; all else is a fault. What is accepted must
   * also hold what the target promises of it, such as to be written again to the same bytes.
   */
  run(bytes: Buffer): void | Promise<void>;
}

/**
 * Parses, where input may be bad.
 * @param codes of the errors that say so
 * @returns undefined when the input was refused with one of them; other errors pass
 */
export function refused<T>(codes: readonly ErrorCode[], parse: () => T): T | undefined {
  try {
    return parse();
  } catch (error) {
    if (isMstoreError(error, ...codes) && isTold(error)) return undefined;
    throw error;
  }
}

/** {@link refused} for what is awaited. */
export async function refusedLater<T>(
  codes: readonly ErrorCode[],
  parse: () => Promise<T>,
): Promise<T | undefined> {
  try {
    return await parse();
  } catch (error) {
    if (isMstoreError(error, ...codes) && isTold(error)) return undefined;
    throw error;
  }
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const controls = /[\u0000-\u0009\u000b-\u001f\u007f]/;

/** An error that says nothing of use, or hands control characters on to a terminal, is a fault too. */
function isTold({ message }: Error): boolean {
  return message !== '' && message.length < 40_000 && !controls.test(message);
}

/** Fails unless a promise of a target holds. */
export function promise(holds: boolean, what: string): asserts holds {
  if (!holds) throw new Error(`Broken promise: ${what}`);
}

/** Fails unless two values are the same. */
export function same(actual: unknown, expected: unknown, what: string): void {
  promise(isDeepStrictEqual(actual, expected), what);
}

/** Reads an input that is made of several parts. */
export class Parts {
  #rest: Buffer;

  constructor(bytes: Buffer) {
    this.#rest = bytes;
  }

  /** The next byte, 0 behind the end. */
  byte(): number {
    const byte = this.#rest[0] ?? 0;
    this.#rest = this.#rest.subarray(1);
    return byte;
  }

  /** The next four bytes as a number. */
  u32(): number {
    return this.byte() + this.byte() * 2 ** 8 + this.byte() * 2 ** 16 + this.byte() * 2 ** 24;
  }

  /** All up to the next byte 0, or to the end. */
  part(): Buffer {
    const end = this.#rest.indexOf(0);
    const part = end < 0 ? this.#rest : this.#rest.subarray(0, end);
    this.#rest = end < 0 ? Buffer.alloc(0) : this.#rest.subarray(end + 1);
    return part;
  }

  /** {@link part} as text. */
  text(): string {
    return this.part().toString();
  }

  rest(): Buffer {
    return this.#rest;
  }
}

/** Puts parts together as {@link Parts.part} takes them apart. */
export function joined(...parts: readonly (string | Uint8Array)[]): Buffer {
  return Buffer.concat(
    parts.flatMap((part, i) => (i === 0 ? [] : [Buffer.alloc(1)]).concat(Buffer.from(part))),
  );
}

let scratch: string | undefined;

/** A folder for files that parsers read, removed when the process ends. */
export function fuzzFolder(): string {
  if (scratch === undefined) {
    const made = fs.mkdtempSync(path.join(fs.realpathSync(os.tmpdir()), 'mstore-fuzz-'));
    process.once('exit', () => fs.rmSync(made, { recursive: true, force: true }));
    scratch = made;
  }
  return scratch;
}

/** Writes an input to a file of that folder, and returns its path. */
export function asFile(name: string, bytes: Uint8Array | string): string {
  const file = path.join(fuzzFolder(), name);
  fs.mkdirSync(path.dirname(file), { recursive: true });
  fs.writeFileSync(file, bytes);
  return file;
}
