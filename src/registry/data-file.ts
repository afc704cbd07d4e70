import * as path from 'node:path';
import { type ErrorCode, MstoreError } from '../base/errors.ts';
import { readBounded } from '../base/files.ts';
import { printable } from '../base/names.ts';

/** How a data file is read and what its errors are. */
export interface DataFileOptions {
  /** The code of errors about what the file holds. */
  readonly code: ErrorCode;
  /** Most bytes the file may have. */
  readonly bytesMax: number;
}

/**
 * Reads a file in JSON or YAML (one document of YAML 1.2) as plain values. Stricter than the formats:
 * a name that stands twice in one mapping is an error, whatever a parser would make of it, and so are
 * YAML's tags of programming languages.
 * @param file absolute path; `.json`, `.yaml` and `.yml` say what it is, else its first character does
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
 * @param name of the file, for its format and for errors
 */
export async function parseData(
  bytes: Uint8Array,
  name: string,
  code: ErrorCode,
): Promise<unknown> {
  const fail = (problem: string, hint: string): MstoreError =>
    new MstoreError(code, `${printable(name)} ${problem}`, { hint, details: { path: name } });
  const text = decode(bytes);
  if (text === undefined) throw fail('is not UTF-8', 'Write the file in UTF-8');
  return isJson(name, text) ? parseJson(text, fail) : parseYaml(text, fail);
}

type Fail = (problem: string, hint: string) => MstoreError;

function decode(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    return undefined;
  }
}

function isJson(name: string, text: string): boolean {
  const extension = path.extname(name).toLowerCase();
  if (extension === '.json') return true;
  return !['.yaml', '.yml'].includes(extension) && /^\s*[[{]/.test(text);
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
  let last: string | undefined;
  for (const [token] of text.matchAll(/"(?:[^"\\]|\\.)*"|[{}:]/g)) {
    if (token === '{') open.push(new Set());
    else if (token === '}') open.pop();
    else if (token !== ':') last = token;
    else {
      const name = JSON.parse(last ?? '""') as string;
      const names = open.at(-1);
      if (names?.has(name)) return name;
      names?.add(name);
    }
  }
  return undefined;
}

async function parseYaml(text: string, fail: Fail): Promise<unknown> {
  const yaml = await import('./yaml-parser.ts');
  try {
    // The parser's own search for names that stand twice takes time by the square of their number.
    const document = yaml.parseDocument(text, { uniqueKeys: false, merge: true });
    const problem = document.errors[0] ?? document.warnings[0];
    if (problem !== undefined) throw problem;
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
  document: ReturnType<Yaml['parseDocument']>,
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
