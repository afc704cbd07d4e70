import type { ByteReader } from '../weights/byte-reader.ts';
import { NotThisFormat } from '../weights/window-reader.ts';
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
import { checkKerasArchive, isKerasArchive } from './keras.ts';
import { checkNpy, checkNpz } from './npy.ts';
import { checkOnnx } from './onnx.ts';
import { type Finding, Report, type Summary, type Verdict } from './report.ts';
import { checkSafetensors } from './safetensors.ts';
import { checkSavedModel } from './saved-model.ts';
import { BudgetReader, BudgetSpent, type Neighbours, type Source } from './source.ts';
import { checkTflite } from './tflite.ts';
import {
  checkBarePickle,
  checkLegacyTorch,
  checkMembers,
  checkTorchArchive,
  isTorchArchive,
} from './torch.ts';
import { checkWrapped } from './wrapped.ts';
import { checkZip } from './zip.ts';

/** What a file turned out to be. */
export type Format =
  | Exclude<Content, 'zip'>
  | 'torch-zip'
  | 'keras'
  | 'npz'
  | 'zip'
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
export interface ValidateOptions {
  /** The files around it; where they are not known, what a file says of them is not checked. */
  readonly around?: Neighbours | undefined;
  /** Bytes that may be read of the file. */
  readonly bytesMax?: number | undefined;
}

const bytesMaxDefault = 512 * 1024 * 1024;

/**
 * Looks into one file by its content: what is wrong with it, and what it would import or run when it is loaded.
 * Reads what its format needs for that, and never runs anything of it.
 * @throws MstoreError only what reading the file throws
 */
export function validateFile(source: Source, options: ValidateOptions = {}): FileValidation {
  const open = source.open();
  const report = new Report();
  let format: Format = 'other';
  try {
    const file = new BudgetReader(open, options.bytesMax ?? bytesMaxDefault);
    try {
      format = checkFile(file, source, options.around, report);
    } catch (error) {
      if (error instanceof NotThisFormat)
        report.add('wrong-format', 'The file is cut short or damaged');
      else if (!(error instanceof BudgetSpent)) throw error;
    }
    if (file.spent)
      report.add('not-read-to-end', 'More would have to be read than is allowed for one file');
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

function checkFile(
  file: ByteReader,
  source: Source,
  around: Neighbours | undefined,
  report: Report,
): Format {
  const name = source.path.split('/').at(-1) ?? '';
  const expected = expectedFormat(name);
  const head = file.read(0, headBytes);
  const content = byNameAlone(expected) ? undefined : detectContent(file, head);
  const format =
    content === undefined ? undefined : checkContent(content, file, { name, around }, report);
  if (format === undefined) return checkExpected(expected, file, around, report);
  if (expected !== undefined && !contentsOf[expected].includes(format))
    report.add('other-format', `The name says ${expected}, the content is ${format}`);
  return format;
}

/** Formats without a sign of their own, for which the name has to do. */
function byNameAlone(expected: Expected | undefined): boolean {
  return expected === 'labels' || expected === 'code' || expected === 'saved-model';
}

function checkContent(
  content: Content,
  file: ByteReader,
  { name, around }: { name: string; around: Neighbours | undefined },
  report: Report,
): Format {
  if (wrappings.has(content)) {
    checkWrapped(content, file, hasModelName(name), report);
    return content as Format;
  }
  switch (content) {
    case 'safetensors':
      checkSafetensors(file, report);
      return content;
    case 'gguf':
      checkGguf(file, report);
      return content;
    case 'onnx':
      checkOnnx(file, around, report);
      return content;
    case 'zip':
      return checkArchive(file, name, report);
    case 'torch-legacy':
      checkLegacyTorch(file, report);
      return content;
    case 'pickle':
      checkBarePickle(file, report);
      return content;
    case 'hdf5':
      checkHdf5(file, report);
      return content;
    case 'tflite':
      checkTflite(file, report);
      return content;
    case 'npy':
      checkNpy(file, report);
      return content;
    default:
      return checkJsonFile(file, around, report);
  }
}

function checkArchive(file: ByteReader, name: string, report: Report): Format {
  const members = checkZip(file, report);
  if (isTorchArchive(members)) {
    checkTorchArchive(members, report);
    return 'torch-zip';
  }
  if (isKerasArchive(members)) {
    checkKerasArchive(members, report);
    return 'keras';
  }
  if (members.length > 0 && members.every((one) => one.name.endsWith('.npy'))) {
    checkNpz(members, report);
    return 'npz';
  }
  checkMembers(members, report, false);
  const expected = expectedFormat(name);
  if (expected === 'torch')
    report.add('torch-layout', 'The archive has no data.pkl: it is none of PyTorch');
  if (expected === 'keras') report.add('keras-layout', 'The archive has no config.json');
  return 'zip';
}

/** Checks a file whose content is no known format by what its name says. */
function checkExpected(
  expected: Expected | undefined,
  file: ByteReader,
  around: Neighbours | undefined,
  report: Report,
): Format {
  switch (expected) {
    case undefined:
      return 'other';
    case 'code':
      report.add('code-file', 'It is Python code, which some loaders run');
      return 'code';
    case 'labels':
      checkLabels(file, report);
      return 'labels';
    case 'saved-model':
      checkSavedModel(file, around, report);
      return 'saved-model';
    case 'safetensors':
      checkSafetensors(file, report);
      return 'safetensors';
    case 'onnx':
      if (file.size > 0 && file.read(0, 1)[0] === 0x08) {
        checkOnnx(file, around, report);
        return 'onnx';
      }
      break;
    case 'json':
      return checkJsonFile(file, around, report);
    case 'pickle':
    case 'torch':
      // Protocols 0 and 1 have no sign of their own.
      checkBarePickle(file, report);
      return 'pickle';
    default:
  }
  report.add('wrong-format', `The name says ${expected}, and the content is no known format`);
  return 'other';
}
