import { isJsonObject } from '../base/json.ts';
import { member, objectAt, textAt } from '../weights/json-text.ts';
import { checkKerasConfig } from './keras.ts';
import { quoted, type Report, TensorTally } from './report.ts';
import type { Neighbours } from './source.ts';

/** Bytes of an element by dtype; texts have no fixed size. */
const dtypeBytes: Readonly<Record<string, number | undefined>> = {
  float32: 4,
  int32: 4,
  bool: 1,
  uint8: 1,
  uint16: 2,
  float16: 2,
  complex64: 8,
  string: undefined,
};

/** Tells whether a JSON value is a model of TensorFlow.js. */
export function isTfjs(value: unknown): boolean {
  return isJsonObject(value) && Object.hasOwn(value, 'weightsManifest');
}

/**
 * Checks `model.json` of TensorFlow.js, and the files of weights that it names. Source:
 * tfjs-core/src/io/types.ts of tensorflow/tfjs.
 * @param around absent where the files beside it are not known
 */
export function checkTfjs(value: unknown, around: Neighbours | undefined, report: Report): void {
  const manifest = member(value, 'weightsManifest');
  if (!Array.isArray(manifest)) {
    report.add('tfjs-config', 'weightsManifest is no list');
    return;
  }
  report.summary.version = textAt(value, 'format') ?? 'layers-model';
  const tally = new TensorTally();
  const files: string[] = [];
  for (const [i, group] of manifest.entries()) {
    const paths = member(group, 'paths');
    const weights = member(group, 'weights');
    const isList = (list: unknown): list is unknown[] => Array.isArray(list);
    if (!isList(paths) || !isList(weights) || !paths.every((path) => typeof path === 'string')) {
      report.add('tfjs-config', 'It has no lists of paths and weights', `weightsManifest[${i}]`);
      continue;
    }
    const names = paths as string[];
    files.push(...names);
    const bytes = groupBytes(weights, report, tally);
    checkFiles(names, bytes, `weightsManifest[${i}]`, around, report);
  }
  tally.into(report.summary);
  report.summary.files = files.sort();
  checkKerasConfig(objectAt(value, 'modelTopology'), report);
}

/** Sums up the bytes of a group; undefined where a weight has no fixed size. */
function groupBytes(
  weights: readonly unknown[],
  report: Report,
  tally: TensorTally,
): number | undefined {
  let bytes: number | undefined = 0;
  for (const weight of weights) {
    const where = `weight ${quoted(textAt(weight, 'name') ?? '')}`;
    const shape = member(weight, 'shape');
    const dtype = textAt(weight, 'dtype');
    const isShape =
      Array.isArray(shape) && shape.every((n) => Number.isSafeInteger(n) && (n as number) >= 0);
    if (dtype === undefined || !isShape) {
      report.add('tfjs-config', 'It has no dtype, or no shape of whole numbers', where);
      bytes = undefined;
      continue;
    }
    const stored = textAt(member(weight, 'quantization'), 'dtype') ?? dtype;
    if (!Object.hasOwn(dtypeBytes, stored))
      report.add('tfjs-dtype', `${quoted(stored)} is no known dtype`, where);
    const size = Object.hasOwn(dtypeBytes, stored) ? dtypeBytes[stored] : undefined;
    const elements = (shape as number[]).reduce((product, length) => product * length, 1);
    tally.add(dtype, elements);
    bytes = bytes === undefined || size === undefined ? undefined : bytes + elements * size;
  }
  return bytes;
}

function checkFiles(
  paths: readonly string[],
  bytes: number | undefined,
  where: string,
  around: Neighbours | undefined,
  report: Report,
): void {
  let found: number | undefined = 0;
  for (const path of paths) {
    const leaves = path.startsWith('/') || path.split('/').includes('..');
    if (path === '' || leaves || /^[A-Za-z][A-Za-z0-9+.-]*:|[\\\0]/.test(path)) {
      report.add('tfjs-path', 'It is no path beside model.json', `path ${quoted(path)}`);
      found = undefined;
      continue;
    }
    if (around === undefined) continue;
    const source = around.find(path);
    if (source === undefined) report.add('tfjs-file', 'It is not there', `path ${quoted(path)}`);
    found = found === undefined || source === undefined ? undefined : found + source.size;
  }
  if (around === undefined || found === undefined || bytes === undefined || found === bytes) return;
  report.add('tfjs-size', `Its weights need ${bytes} bytes; its files have ${found}`, where);
}
