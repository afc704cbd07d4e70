import * as fs from 'node:fs';
import * as path from 'node:path';
import { isMstoreError, systemCode } from '../base/errors.ts';
import { compareUtf8 } from '../base/json.ts';
import { formatChunkParams } from '../chunk/chunker.ts';
import { byteReader, openRegular } from '../store/source-file.ts';
import { cutsAround } from '../weights/extents.ts';
import { readOnnxExternalData } from '../weights/onnx.ts';

/** Models that are looked into for one tracked path. */
const modelsMax = 256;
const modelSuffix = '.onnx';

/** Gives hard cuts for files that ONNX models name as the place of their tensors. */
export interface ExternalData {
  /**
   * The cuts of a file of `size` bytes, at both ends of the large tensors that lie in it. Models are read
   * at the first call, and only then.
   */
  cutsOf(name: string, size: number): number[];
}

/** A file beside others: its `/`-separated path from their common folder, and where its bytes are. */
export interface NamedFile {
  readonly path: string;
  readonly source: string;
}

/**
 * Finds tensors that ONNX models keep in other files. Data files have no header; only the models tell
 * where tensors start. A model that cannot be read, and a place that is no plain relative path, count as
 * naming nothing: cuts decide only how much is shared.
 * @param list called at most once; the files among which the models are, others too
 */
export function externalData(list: () => Iterable<NamedFile>): ExternalData {
  let extents: Map<string, OpenExtent[]> | undefined;
  return {
    cutsOf(name, size) {
      extents ??= readModels(list());
      const placed = (extents.get(name) ?? []).map(({ start, end }) => ({
        start,
        end: end ?? size,
      }));
      return cutsAround(placed, size, formatChunkParams.min);
    },
  };
}

/** The models in the folder of a file that is tracked on its own. */
export function filesBeside(file: string): NamedFile[] {
  const folder = path.dirname(file);
  let names: string[];
  try {
    names = fs.readdirSync(folder).filter((name) => name.endsWith(modelSuffix));
  } catch {
    return [];
  }
  return names.sort(compareUtf8).map((name) => ({ path: name, source: path.join(folder, name) }));
}

function readModels(files: Iterable<NamedFile>): Map<string, OpenExtent[]> {
  const extents = new Map<string, OpenExtent[]>();
  let models = 0;
  for (const file of files) {
    if (!file.path.endsWith(modelSuffix)) continue;
    models++;
    if (models > modelsMax) break;
    for (const { name, start, end } of tensorsOf(file)) {
      const others = extents.get(name);
      if (others === undefined) extents.set(name, [{ start, end }]);
      else others.push({ start, end });
    }
  }
  return extents;
}

interface OpenExtent {
  readonly start: number;
  /** Undefined for the end of the file. */
  readonly end: number | undefined;
}

/** The tensors that a model keeps elsewhere, with the paths of their files as those of the model. */
function tensorsOf(model: NamedFile): Array<OpenExtent & { readonly name: string }> {
  const folder = path.posix.dirname(model.path);
  const tensors: Array<OpenExtent & { readonly name: string }> = [];
  for (const { location, offset, length } of externalDataOf(model.source)) {
    const name = plainPath(location);
    if (name === undefined) continue;
    const end = length === undefined ? undefined : offset + length;
    tensors.push({ name: path.posix.join(folder, name), start: offset, end });
  }
  return tensors;
}

/** Makes a location a path below the folder of its model; undefined when it leads anywhere else. */
function plainPath(location: string): string | undefined {
  const parts = location.normalize('NFC').split('/');
  while (parts[0] === '.') parts.shift();
  const plain = parts.every((part) => part !== '' && part !== '.' && part !== '..');
  return plain && parts.length > 0 && !/[\\\0]/.test(location) ? parts.join('/') : undefined;
}

function externalDataOf(file: string): ReturnType<typeof readOnnxExternalData> {
  let fd: number | undefined;
  try {
    const open = openRegular(file);
    fd = open.fd;
    return readOnnxExternalData(byteReader(fd, Number(open.stat.size)));
  } catch (error) {
    if (isMstoreError(error) || systemCode(error) !== undefined) return [];
    throw error;
  } finally {
    if (fd !== undefined) fs.closeSync(fd);
  }
}
