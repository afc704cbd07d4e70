import { decimalBytes, locationProblem, plainLocation } from '../weights/onnx-places.ts';
import { quoted, type Report } from './report.ts';
import type { Neighbours, Source } from './source.ts';

/** Where a tensor says that its data is. */
export interface ExternalPlace {
  /** The tensor, for findings. */
  readonly where: string;
  readonly entries: ReadonlyMap<string, string>;
  /** Bytes that its type and dims need, where they are known. */
  readonly bytes: number | undefined;
}

const filesShown = 1000;

/**
 * Checks the places of tensors whose data is in other files.
 * @param around absent where those files are not known
 */
export function checkExternalPlaces(
  places: readonly ExternalPlace[],
  around: Neighbours | undefined,
  report: Report,
): void {
  const files = new Set<string>();
  const found = remembered(around);
  for (const place of places) {
    const location = place.entries.get('location') ?? '';
    const problem = locationProblem(location);
    if (problem !== undefined) {
      const message = `The location ${quoted(location)} of its data ${problem}`;
      report.add('onnx-external-path', message, place.where);
      continue;
    }
    const path = plainLocation(location);
    files.add(path);
    const range = rangeOf(place, report);
    if (found !== undefined && range !== undefined)
      checkFile(path, range, place.where, found, report);
  }
  if (files.size > 0) report.summary.files = [...files].sort().slice(0, filesShown);
}

/** Thousands of tensors lie in one file, which is looked up once. */
function remembered(around: Neighbours | undefined): Neighbours | undefined {
  if (around === undefined) return undefined;
  const known = new Map<string, Source | undefined>();
  return {
    find(path) {
      if (!known.has(path)) known.set(path, around.find(path));
      return known.get(path);
    },
  };
}

interface Range {
  readonly offset: number;
  readonly length: number | undefined;
}

function rangeOf({ entries, where, bytes }: ExternalPlace, report: Report): Range | undefined {
  const offsetText = entries.get('offset') ?? '0';
  const lengthText = entries.get('length');
  const offset = decimalBytes(offsetText);
  const length = lengthText === undefined ? undefined : decimalBytes(lengthText);
  if (offset === undefined || (lengthText !== undefined && length === undefined)) {
    const text = offset === undefined ? offsetText : (lengthText ?? '');
    report.add('onnx-external-range', `${quoted(text)} is no number of bytes`, where);
    return undefined;
  }
  if (length !== undefined && bytes !== undefined && length !== bytes) {
    const message = `Its dims and type need ${bytes} bytes; its length is ${length}`;
    report.add('onnx-external-range', message, where);
  }
  return { offset, length: length ?? bytes };
}

function checkFile(
  path: string,
  { offset, length = 0 }: Range,
  where: string,
  around: Neighbours,
  report: Report,
): void {
  const source = around.find(path);
  if (source === undefined) {
    report.add('onnx-external-file', 'The file of its data is not there', `file ${quoted(path)}`);
    return;
  }
  if (source.linked === true)
    report.add(
      'onnx-external-link',
      'The file of its data is a link or has several names; ONNX refuses it',
      `file ${quoted(path)}`,
    );
  if (offset + length <= source.size) return;
  const message = `Its data ends at ${offset + length}; ${quoted(path)} has ${source.size} bytes`;
  report.add('onnx-external-range', message, where);
}
