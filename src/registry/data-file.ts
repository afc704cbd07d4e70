import * as path from 'node:path';
import { parse } from 'smol-toml';
import { type ErrorCode, MstoreError } from '../base/errors.ts';
import { readBounded } from '../base/files.ts';
import { limits } from '../base/limits.ts';
import { printable } from '../base/names.ts';

/** How a data file is read and what its errors are. */
export interface DataFileOptions {
  /** The code of errors about what the file holds. */
  readonly code: ErrorCode;
  /** Most bytes the file may have. */
  readonly bytesMax: number;
}

/**
 * Reads a file in JSON, YAML (one document of YAML 1.2) or TOML as plain values. Stricter than the formats:
 * a name that stands twice in one mapping is an error, whatever a parser would make of it, and so are
 * YAML's tags of programming languages.
 * @param file absolute path; `.json`, `.yaml`, `.yml` and `.toml` say what it is, else its first character does
 * @throws MstoreError with the code of the options, `not-found`, `too-large`
 */
export async function readDataFile(file: string, options: DataFileOptions): Promise<unknown> {
  const bytes = readBounded(file, options.bytesMax);
  if (bytes === undefined) {
    throw new MstoreError('not-found', `There is no file ${printable(file)}`, {
      hint: 'Check the path; relative ones start from the current folder, or from -C',
      details: { path: file },
    });
  }
  return parseData(bytes, file, options.code);
}

/**
 * Parses the bytes of a data file; see {@link readDataFile}.
 * @param name of the file, for errors, and for its format where that is not given
 */
export async function parseData(
  bytes: Uint8Array,
  name: string,
  code: ErrorCode,
  format: 'json' | 'yaml' | 'toml' | undefined = formatOf(name),
): Promise<unknown> {
  const fail = (problem: string, hint: string): MstoreError =>
    new MstoreError(code, `${printable(name)} ${problem}`, { hint, details: { path: name } });
  const text = decode(bytes);
  if (text === undefined) throw fail('is not UTF-8', 'Write the file in UTF-8');
  if (format === 'toml') return parseToml(text, fail);
  if (format === 'json' || (format === undefined && /^\s*[[{]/.test(text))) {
    return parseJson(text, fail);
  }
  if (bytes.length <= limits.yamlBytesMax) return parseYaml(text, fail);
  throw new MstoreError(
    'too-large',
    `${printable(name)} holds ${bytes.length} bytes; at most ${limits.yamlBytesMax} of YAML are read`,
    { hint: 'Write it in JSON', details: { path: name, size: bytes.length } },
  );
}

type Fail = (problem: string, hint: string) => MstoreError;

function decode(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    return undefined;
  }
}

/** The format that the name of a file says; undefined where it says none. */
function formatOf(name: string): 'json' | 'yaml' | 'toml' | undefined {
  const extension = path.extname(name).toLowerCase();
  if (extension === '.json') return 'json';
  if (extension === '.toml') return 'toml';
  return ['.yaml', '.yml'].includes(extension) ? 'yaml' : undefined;
}

function parseToml(text: string, fail: Fail): unknown {
  try {
    return parse(text);
  } catch (error) {
    throw fail(`is not valid TOML: ${reasonOf(error)}`, 'Correct the file, or write it anew');
  }
}

/** What Python writes for numbers that JSON does not have. */
const nonNumber = /(?<=^|[\s:,[])-?(?:NaN|Infinity)(?=[\s,\]}]|$)/;

function parseJson(text: string, fail: Fail): unknown {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    const found = nonNumber.exec(text)?.[0];
    if (found !== undefined) throw fail(`is not valid JSON: it holds ${found}`, nonNumberHint);
    throw fail(`is not valid JSON: ${reasonOf(error)}`, 'Correct the file, or write it anew');
  }
  const twice = repeatedName(text);
  if (twice !== undefined) throw fail(`names ${printable(twice)} twice`, twiceHint);
  return value;
}

/** What to do about a number that is none, such as NaN. */
export const nonNumberHint =
  'Look at what wrote it: such a value can be neither compared nor stored';
const twiceHint = 'Which of the values counts is unclear: remove one';

function reasonOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return printable(text.split('\n')[0] ?? '').replace(/[:.]$/, '');
}

/** Finds a name that an object of a valid JSON text has twice; parsers keep the last one silently. */
function repeatedName(text: string): string | undefined {
  const open: Array<Set<string>> = [];
  const sign = /["{}:]/g;
  let last = '""';
  for (let found = sign.exec(text); found !== null; found = sign.exec(text)) {
    const [token] = found;
    if (token === '{') open.push(new Set());
    else if (token === '}') open.pop();
    else if (token === '"') {
      sign.lastIndex = endOfText(text, found.index);
      last = text.slice(found.index, sign.lastIndex);
    } else {
      const name = JSON.parse(last) as string;
      const names = open.at(-1);
      if (names?.has(name)) return name;
      names?.add(name);
    }
  }
  return undefined;
}

/** Returns the place behind a text of valid JSON; one pattern for it would need as much stack as it is long. */
function endOfText(text: string, start: number): number {
  for (let at = start + 1; ; at++) {
    at = text.indexOf('"', at);
    let escapes = at;
    while (text[escapes - 1] === '\\') escapes--;
    if ((at - escapes) % 2 === 0) return at + 1;
  }
}

/** Parses a text in YAML; `fail` makes the error of one that is none, or names something twice. */
export async function parseYaml(text: string, fail: Fail): Promise<unknown> {
  const yaml = await import('./yaml-parser.ts');
  try {
    const document = yaml.parseYamlDocument(text);
    const twice = repeatedYamlName(yaml, document);
    if (twice !== undefined) throw fail(`names ${printable(twice)} twice`, twiceHint);
    return document.toJS() as unknown;
  } catch (error) {
    if (error instanceof MstoreError) throw error;
    throw fail(`is not valid YAML: ${reasonOf(error)}`, 'Correct the file, or write it anew');
  }
}

type Yaml = typeof import('./yaml-parser.ts');

function repeatedYamlName(
  yaml: Yaml,
  document: ReturnType<Yaml['parseYamlDocument']>,
): string | undefined {
  let twice: string | undefined;
  yaml.visit(document, {
    Map(_, { items }) {
      const names = new Set<string>();
      for (const { key } of items) {
        if (!yaml.isScalar(key)) throw new Error('a name is a list, a mapping or an alias');
        const name = String(key.value);
        if (names.has(name)) twice ??= name;
        names.add(name);
      }
      return twice === undefined ? undefined : yaml.visit.BREAK;
    },
  });
  return twice;
}
