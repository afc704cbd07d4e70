import * as path from 'node:path';
import { MstoreError } from '../base/errors.ts';
import { printable } from '../base/names.ts';
import { expectedFormat, mayBeModel } from '../validate/detect.ts';
import type { ByteReader } from '../weights/byte-reader.ts';
import { readTensors, tensorFormatByName, tensorFormatOf } from '../weights/tensor-list.ts';
import { type TensorEntry, type TensorFormat, TensorsUnreadable } from '../weights/tensors.ts';

/** A file that cannot be read as what it is. */
export interface BrokenModel {
  /** Path from the top of the workspace. */
  readonly file: string;
  readonly format: TensorFormat;
  /** What is wrong with it. */
  readonly message: string;
}

/** What a file says of its tensors; undefined where it has none, or no format that is read here. */
export type FileTensors =
  | { readonly format: TensorFormat; readonly tensors: readonly TensorEntry[] }
  | { readonly format: TensorFormat; readonly message: string };

/** Tells by its name whether a file may hold tensors that can be listed. */
export function mayHoldTensors(file: string): boolean {
  const name = path.posix.basename(file);
  if (tensorFormatByName(name) !== undefined) return true;
  return mayBeModel(name) && expectedFormat(name) === undefined;
}

/** Reads the tensors of a file. Only what describes them is read. */
export function readFileTensors(file: ByteReader, name: string): FileTensors | undefined {
  const format = tensorFormatOf(file, path.posix.basename(name));
  if (format === undefined) return undefined;
  try {
    return { format, tensors: readTensors(file, format) };
  } catch (error) {
    if (!(error instanceof TensorsUnreadable)) throw error;
    return { format, message: error.message };
  }
}

/** The path of the file that external data of a model is in. */
export function externalPath(model: string, location: string): string {
  return path.posix.join(path.posix.dirname(model), location.normalize('NFC'));
}

/** Builds the error of a model file, or a tensor of it, that cannot be read. */
export function corruptModel(file: string, what: string): MstoreError {
  return new MstoreError('corrupt-model', `${printable(file)} cannot be read: ${what}`, {
    hint: 'Run "mstore validate" for it; get the file again from where it came',
    details: { path: file },
  });
}
