import type { ByteReader } from '../weights/byte-reader.ts';
import { NotThisFormat } from '../weights/window-reader.ts';
import { type ArchiveFormat, checkArchive } from './archive.ts';
import {
  type Content,
  detectContent,
  type Expected,
  expectedFormat,
  hasModelName,
  headBytes,
  wrappings,
} from './detect.ts';
import { checkGguf } from './gguf.ts';
import { checkHdf5 } from './hdf5.ts';
import { checkJsonFile, checkLabels } from './json-files.ts';
import { checkNpy } from './npy.ts';
import { checkOnnx } from './onnx.ts';
import { checkHiddenPickle, mayBePickle, PickleTally } from './pickle.ts';
import { type Finding, Report, type Summary, type Verdict } from './report.ts';
import { checkSafetensors } from './safetensors.ts';
import { checkSavedModel } from './saved-model.ts';
import { BudgetReader, BudgetSpent, type Neighbours, type Source } from './source.ts';
import { checkTflite } from './tflite.ts';
import { checkBarePickle, checkLegacyTorch } from './torch.ts';
import { checkWrapped } from './wrapped.ts';

/** What a file turned out to be. */
export type Format =
  | Exclude<Content, 'zip'>
  | ArchiveFormat
  | 'saved-model'
  | 'config'
  | 'tokenizer'
  | 'shard-index'
  | 'tfjs'
  | 'labels'
  | 'code'
  | 'other';

/** The result for one file. */
export interface FileValidation {
  readonly path: string;
  /** Bytes. */
  readonly size: number;
  readonly format: Format;
  readonly verdict: Verdict;
  readonly findings: readonly Finding[];
  /** Findings beyond those listed. */
  readonly findingsMore?: number;
  readonly summary: Summary;
}

/** Options of {@link validateFile}. */
export interface ValidateFileOptions {
  /** The files around it; where they are not known, what a file says of them is not checked. */
  readonly around?: Neighbours | undefined;
  /** Bytes that are read of the file in a look in passing, which finds no fault in there being more. */
  readonly passingBytes?: number | undefined;
}

/** Bytes that are read of one file. */
const bytesMax = 512 * 1024 * 1024;

/**
 * Looks into one file by its content: what is wrong with it, and what it would import or run when it is loaded.
 * Reads what its format needs for that, and never runs anything of it.
 * @throws MstoreError only what reading the file throws
 */
export function validateFile(source: Source, options: ValidateFileOptions = {}): FileValidation {
  const open = source.open();
  const report = new Report();
  let format: Format = 'other';
  try {
    const { passingBytes } = options;
    const file = new BudgetReader(open, passingBytes ?? bytesMax, passingBytes !== undefined);
    format = checkFile(file, source, options.around, report);
  } finally {
    open.close();
  }
  return {
    path: source.path,
    size: source.size,
    format,
    verdict: report.verdict,
    findings: report.findings,
    ...(report.more === 0 ? {} : { findingsMore: report.more }),
    summary: report.summary,
  };
}

/** Formats that a name stands for. */
const contentsOf: Readonly<Record<Expected, readonly Format[]>> = {
  safetensors: ['safetensors'],
  gguf: ['gguf'],
  onnx: ['onnx'],
  torch: ['torch-zip', 'torch-legacy', 'pickle', 'tar', 'zip'],
  pickle: ['pickle', 'gzip', 'zlib', 'bz2', 'xz', 'lz4', 'torch-zip', 'torch-legacy'],
  keras: ['keras', 'zip'],
  hdf5: ['hdf5'],
  'saved-model': ['saved-model'],
  tflite: ['tflite'],
  npy: ['npy'],
  npz: ['npz'],
  json: ['json', 'config', 'tokenizer', 'shard-index', 'tfjs'],
  labels: ['labels'],
  code: ['code'],
};

/** Formats that are pickles, or hold them: they are searched for them anyway. */
const withPickles: ReadonlySet<Format> = new Set<Format>([
  ...(['pickle', 'torch-legacy', 'torch-zip', 'keras', 'npz', 'npy', 'zip'] as const),
  ...(['tar', 'gzip', 'zlib', 'xz', 'bz2', 'lz4', '7z', 'zstd', 'rar'] as const),
]);

function checkFile(
  file: ByteReader,
  source: Source,
  around: Neighbours | undefined,
  report: Report,
): Format {
  const name = source.path.split('/').at(-1) ?? '';
  const expected = expectedFormat(name);
  const head = file.read(0, headBytes);
  const content = byNameAlone(expected) ? undefined : detectContent(file, head, expected);
  const format =
    content === undefined
      ? checkExpected(expected, file, around, report)
      : checkContent(content, file, { name, around }, report);
  if (content !== undefined && expected !== undefined && !contentsOf[expected].includes(format))
    report.add('other-format', `The name says ${expected}, the content is ${format}`);
  if (!withPickles.has(format) && mayBePickle(head))
    unlessSpent(format, report, () => checkAsPickle(file, report));
  return format;
}

/** Some files are two things at once, and protocols 0 and 1 of pickles have no sign of their own. */
function checkAsPickle(file: ByteReader, report: Report): void {
  const tally = new PickleTally();
  if (checkHiddenPickle({ file, start: 0, end: file.size }, report, tally))
    tally.into(report.summary, true);
}

/** Runs a check up to the limit of bytes, or to where the file is cut short. */
function unlessSpent(content: Format | Content, report: Report, check: () => void): void {
  try {
    check();
  } catch (error) {
    if (error instanceof NotThisFormat)
      report.add('wrong-format', 'The file is cut short or damaged');
    else if (error instanceof BudgetSpent) {
      const isUnread = !error.isPassing && withPickles.has(content as Format);
      const message = 'More would have to be read than is allowed for one file';
      report.add(isUnread ? 'pickle-unread' : 'not-read-to-end', message);
    } else throw error;
  }
}

/** Formats without a sign of their own, for which the name has to do. */
function byNameAlone(expected: Expected | undefined): boolean {
  return expected === 'labels' || expected === 'code' || expected === 'saved-model';
}

interface Place {
  readonly name: string;
  readonly around: Neighbours | undefined;
}

function checkContent(content: Content, file: ByteReader, place: Place, report: Report): Format {
  let format: Format = content === 'zip' ? 'zip' : content;
  unlessSpent(content, report, () => {
    if (content === 'zip') format = checkArchive(file, place.name, report);
    else if (content === 'json') format = checkJsonFile(file, place.around, report);
    else if (wrappings.has(content)) {
      if (hasModelName(place.name))
        checkWrapped(content, file, report, {
          isNamed: expectedFormat(place.name) !== undefined,
          checkInner: (inner) => checkUnfolded(inner, place, report),
        });
    } else checks[content]?.(file, report, place.around);
  });
  return format;
}

const checks: Readonly<
  Partial<
    Record<Content, (file: ByteReader, report: Report, around: Neighbours | undefined) => void>
  >
> = {
  safetensors: checkSafetensors,
  gguf: checkGguf,
  onnx: (file, report, around) => checkOnnx(file, around, report),
  'torch-legacy': (file, report) => checkLegacyTorch(file, report),
  pickle: (file, report) => checkBarePickle(file, report),
  hdf5: checkHdf5,
  tflite: checkTflite,
  npy: checkNpy,
};

/** Checks what a compressed stream unfolds to; most are pickles. */
function checkUnfolded(file: ByteReader, place: Place, report: Report): void {
  const content = detectContent(file, file.read(0, headBytes), 'pickle');
  if (content === undefined || content === 'pickle') checkBarePickle(file, report);
  else if (wrappings.has(content))
    report.add('archive-unread', `What is wrapped as ${content} once more was not looked into`);
  else checkContent(content, file, place, report);
}

/** Checks a file whose content is no known format by what its name says. */
function checkExpected(
  expected: Expected | undefined,
  file: ByteReader,
  around: Neighbours | undefined,
  report: Report,
): Format {
  const format = expected === undefined ? 'other' : formatByName(expected, file);
  if (format === undefined) {
    report.add('wrong-format', `The name says ${expected}, and the content is no known format`);
    return 'other';
  }
  unlessSpent(format, report, () => {
    if (format === 'code') report.add('code-file', 'It is Python code, which some loaders run');
    else if (format === 'labels') checkLabels(file, report);
    else if (format === 'saved-model') checkSavedModel(file, around, report);
    else if (format === 'json') checkJsonFile(file, around, report);
    else if (format !== 'other') checks[format as Content]?.(file, report, around);
  });
  return format;
}

/** What to take a file for by its name; undefined where its first bytes rule that out. */
function formatByName(expected: Expected, file: ByteReader): Format | undefined {
  switch (expected) {
    case 'code':
    case 'labels':
    case 'saved-model':
    case 'safetensors':
    case 'json':
      return expected;
    case 'onnx':
      return file.size > 0 && file.read(0, 1)[0] === 0x08 ? 'onnx' : undefined;
    case 'pickle':
    case 'torch':
      // Protocols 0 and 1 have no sign of their own.
      return 'pickle';
    default:
      return undefined;
  }
}
