import type { ByteReader } from '../weights/byte-reader.ts';
import { itemBytes } from './joblib-array.ts';
import { checkPickles, PickleTally } from './pickle.ts';
import { quoted, type Report, TensorTally } from './report.ts';
import type { ZipMember } from './zip.ts';

const magic = Buffer.from('934e554d5059', 'hex');
/** NumPy reads no longer one. */
const headerBytesMax = 10_000;

/** Tells whether a file is an array of NumPy by its first bytes. */
export function looksLikeNpy(head: Uint8Array): boolean {
  return magic.equals(head.subarray(0, magic.length));
}

/** What the header of an array says. */
interface ArrayHeader {
  readonly descr: string;
  readonly shape: readonly number[];
}

/** Checks an array of NumPy. Source: numpy/lib/format.py. */
export function checkNpy(file: ByteReader, report: Report): void {
  const tally = new TensorTally();
  checkArray(file, undefined, report, tally);
  tally.into(report.summary);
}

/** Tells whether the members of an archive are arrays, as NumPy writes them. */
export function isArrayArchive(members: readonly ZipMember[]): boolean {
  return members.length > 0 && members.every(({ name }) => name.endsWith('.npy'));
}

/**
 * Checks the members of an archive that are arrays, by content: NumPy asks for no name.
 * @param isNumPy whether all members should be arrays
 * @returns whether there are any
 */
export function checkArrays(
  members: readonly ZipMember[],
  report: Report,
  isNumPy: boolean,
): boolean {
  const tally = new TensorTally();
  for (const { name, head, open } of members) {
    if (!isNumPy && !looksLikeNpy(head())) continue;
    const content = open();
    if (content !== undefined) checkArray(content, `member ${quoted(name)}`, report, tally);
  }
  if (isNumPy) tally.into(report.summary);
  return tally.count > 0 || isNumPy;
}

function checkArray(
  file: ByteReader,
  member: string | undefined,
  report: Report,
  tally: TensorTally,
): void {
  const head = Buffer.from(file.read(0, 12));
  const wrong = (message: string): void => report.add('npy-header', message, member);
  const version = head[6] ?? 0;
  if (head.length < 10 || !looksLikeNpy(head) || version < 1 || version > 3) {
    wrong(looksLikeNpy(head) ? `There is no version ${version}` : 'It does not start as an array');
    return;
  }
  const start = version === 1 ? 10 : 12;
  const length = version === 1 ? head.readUInt16LE(8) : head.length < 12 ? 0 : head.readUInt32LE(8);
  if (length > headerBytesMax || start + length > file.size) {
    wrong(`The header is said to have ${length} bytes; NumPy reads at most ${headerBytesMax}`);
    return;
  }
  const text = Buffer.from(file.read(start, length)).toString(version === 3 ? 'utf8' : 'latin1');
  const header = parseHeader(text);
  if (header === undefined) {
    wrong('The header is no dict of descr, fortran_order and shape');
    return;
  }
  checkData(file, start + length, header, member, report, tally);
}

function checkData(
  file: ByteReader,
  at: number,
  { descr, shape }: ArrayHeader,
  member: string | undefined,
  report: Report,
  tally: TensorTally,
): void {
  const elements = shape.reduce((product, length) => product * length, 1);
  tally.add(descr.slice(0, 40), elements);
  if (holdsObjects(descr)) {
    report.add('npy-object', 'It is an array of objects, which is loaded as a pickle', member);
    const pickles = new PickleTally();
    const stream = { file, start: at, end: file.size, ...(member === undefined ? {} : { member }) };
    checkPickles(stream, report, pickles);
    pickles.into(report.summary, false);
    return;
  }
  const bytes = itemBytes(descr);
  // Types with fields have a size that only NumPy tells.
  if (bytes === undefined || elements * bytes === file.size - at) return;
  const message = `Its shape and type need ${elements * bytes} bytes; there are ${file.size - at}`;
  report.add('npy-size', message, member);
}

/** Tells whether a type, or one of the types of its fields, is that of objects. */
function holdsObjects(descr: string): boolean {
  const types = descr.startsWith('[') ? descr.split(/['"]/).filter((_, i) => i % 2 === 1) : [descr];
  return types.some((type) => /^[<>|=]?O/.test(type));
}

const entry = {
  descr: /'descr'\s*:\s*('[^'\\]*'|"[^"\\]*"|\[[^\\{}]*\])/y,
  fortran_order: /'fortran_order'\s*:\s*(True|False)/y,
  shape: /'shape'\s*:\s*\(([\d\s,L]*)\)/y,
} as const;
const between = /\s*,?\s*/y;

/**
 * Reads the dict of a header in the form in which NumPy writes it, without evaluating anything. What else Python
 * would take, such as a key twice, is refused: it could be read in two ways.
 */
function parseHeader(text: string): ArrayHeader | undefined {
  const dict = text.trim();
  const found = new Map<string, string>();
  let at = dict.startsWith('{') ? 1 : dict.length;
  const step = (pattern: RegExp): RegExpExecArray | null => {
    pattern.lastIndex = at;
    const match = pattern.exec(dict);
    if (match !== null) at = pattern.lastIndex;
    return match;
  };
  for (let count = 0; count < 3; count++) {
    step(between);
    for (const [key, pattern] of Object.entries(entry)) {
      const [, value] = found.has(key) ? [] : (step(pattern) ?? []);
      if (value !== undefined) found.set(key, value);
    }
  }
  step(between);
  const [descr, shape] = [found.get('descr'), found.get('shape')];
  const isWhole = at === dict.length - 1 && dict.endsWith('}') && found.has('fortran_order');
  if (!isWhole || descr === undefined || shape === undefined) return undefined;
  const lengths = shape
    .split(',')
    .map((part) => part.trim().replace(/L$/, ''))
    .filter((part) => part !== '')
    .map(Number);
  if (!lengths.every((length) => Number.isSafeInteger(length))) return undefined;
  return { descr: descr.replace(/^['"]|['"]$/g, ''), shape: lengths };
}
