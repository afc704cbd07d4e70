import type { ByteReader } from '../weights/byte-reader.ts';
import { itemBytes } from './joblib-array.ts';
import { checkPickles, PickleTally } from './pickle.ts';
import { quoted, type Report, TensorTally } from './report.ts';
import { checkMembers } from './torch.ts';
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

/** Checks the arrays of an archive of NumPy, and that nothing else in it is a pickle. */
export function checkNpz(members: readonly ZipMember[], report: Report): void {
  const tally = new TensorTally();
  for (const { name, open } of members) {
    const content = name.endsWith('.npy') ? open() : undefined;
    if (content !== undefined) checkArray(content, `member ${quoted(name)}`, report, tally);
  }
  checkMembers(
    members.filter(({ name }) => !name.endsWith('.npy')),
    report,
    false,
  );
  tally.into(report.summary);
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
  if (/O/.test(descr)) {
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

/** Reads the dict of a header, as NumPy writes it, without evaluating anything. */
function parseHeader(text: string): ArrayHeader | undefined {
  const dict = text.trim();
  if (!dict.startsWith('{') || !dict.endsWith('}')) return undefined;
  const descr = /['"]descr['"]\s*:\s*(?:'([^']*)'|"([^"]*)"|(\[.*\]))\s*,/.exec(dict);
  const order = /['"]fortran_order['"]\s*:\s*(?:True|False)\s*[,}]/.test(dict);
  const shape = /['"]shape['"]\s*:\s*\(([\d\s,L]*)\)/.exec(dict)?.[1];
  if (descr === null || !order || shape === undefined) return undefined;
  const lengths = shape
    .split(',')
    .map((part) => part.trim().replace(/L$/, ''))
    .filter((part) => part !== '')
    .map(Number);
  if (!lengths.every((length) => Number.isSafeInteger(length))) return undefined;
  return { descr: descr[1] ?? descr[2] ?? descr[3] ?? '', shape: lengths };
}
