import { Breather } from '../base/abort.ts';
import { isMstoreError, MstoreError } from '../base/errors.ts';
import { printable } from '../base/names.ts';
import { nearest } from '../base/nearest.ts';
import { type FileEntry, isFileEntry } from '../base/tree.ts';
import type { FoundVersion } from '../registry/find.ts';
import { openTensor } from '../weights/tensor-data.ts';
import { tensorFormatByName } from '../weights/tensor-list.ts';
import {
  type TensorEntry,
  type TensorFormat,
  TensorsUnreadable,
  tensorText,
} from '../weights/tensors.ts';
import { type FarBlob, FarBlobs, type FarOptions } from './far-blobs.ts';
import { findFileBeside } from './list.ts';
import {
  type BrokenModel,
  corruptModel,
  externalPath,
  type FileTensors,
  mayHoldTensors,
  readFileTensors,
} from './model-tensors.ts';
import { findTargets } from './targets.ts';
import type { TrackedFiles } from './tracked.ts';
import type { Workspace } from './workspace.ts';

/** A tensor of a file of a version. */
export interface ListedTensor {
  /** Path of its file from the top of the workspace. */
  readonly file: string;
  readonly name: string;
  readonly dtype: string;
  /** Lengths of its axes, in the order of NumPy. */
  readonly shape: readonly number[];
  readonly bytes: number;
  /** Path of the file that its data is in, where that is another. */
  readonly dataFile?: string;
}

/** What {@link listTensors} found. */
export interface TensorListing {
  readonly version: FoundVersion | undefined;
  /** Commit that the pointers were read from. */
  readonly commit: string | undefined;
  readonly tensors: readonly ListedTensor[];
  /** Files that cannot be read as what they are. */
  readonly broken: readonly BrokenModel[];
  /** Files that are not to be had, and whose names do not say whether they hold tensors. */
  readonly notHere: readonly string[];
  /** Bytes that came from remotes. */
  readonly bytesReceived: number;
}

/**
 * Lists the tensors of the safetensors, GGUF and ONNX files that a reference or tracked paths name. Only the chunks
 * are read in which files describe their tensors: from the local store and, where it lacks them, from remotes.
 * @param targets a reference, then paths in it; or tracked paths
 * @throws MstoreError `objects-missing`, those of {@link findTargets} and of remotes
 */
export async function listTensors(
  workspace: Workspace,
  targets: readonly string[],
  cwd: string,
  options: FarOptions = {},
): Promise<TensorListing> {
  const { tracked, version, commit } = await findTargets(workspace, targets, cwd);
  const blobs = new FarBlobs(workspace, options);
  const breather = new Breather(options.signal);
  const tensors: ListedTensor[] = [];
  const broken: BrokenModel[] = [];
  const notHere: string[] = [];
  try {
    for (const item of tracked) {
      for (const [file, entry] of filesByPath(await blobs.filesOf(item))) {
        if (!mayHoldTensors(file)) continue;
        if (breather.due()) await breather.turn();
        const found = await fileTensors(blobs, file, entry);
        if (found === 'not-here') notHere.push(file);
        else if (found === undefined) continue;
        else if ('message' in found) broken.push({ file, ...found });
        else for (const one of found.tensors) tensors.push(listed(file, one));
      }
    }
    const bytesReceived = await blobs.bytesReceived();
    return { version, commit, tensors, broken, notHere, bytesReceived };
  } finally {
    blobs.close();
  }
}

/** Reads the tensors of a file; that one is missing is no failure as long as nothing says that it holds any. */
async function fileTensors(
  blobs: FarBlobs,
  file: string,
  { sha256, size }: FileEntry,
): Promise<FileTensors | 'not-here' | undefined> {
  try {
    const blob = await blobs.open(sha256, size, file);
    return await blob.reading((reader) => readFileTensors(reader, file));
  } catch (error) {
    if (tensorFormatByName(file) !== undefined || !isMstoreError(error, 'objects-missing'))
      throw error;
    return 'not-here';
  }
}

function filesByPath({ base, entries }: TrackedFiles): Map<string, FileEntry> {
  const files = entries.filter(isFileEntry);
  return new Map(files.map((entry) => [base === '' ? entry.path : `${base}/${entry.path}`, entry]));
}

function listed(file: string, { name, dtype, shape, bytes, data }: TensorEntry): ListedTensor {
  const tensor = { file, name, dtype, shape, bytes };
  return data.kind === 'external'
    ? { ...tensor, dataFile: externalPath(file, data.location) }
    : tensor;
}

/** Which elements of the first axis are meant: from `start` on, up to and without `end`. */
export interface TensorRange {
  /** 0 by default. */
  readonly start?: number | undefined;
  /** The length of the axis by default. */
  readonly end?: number | undefined;
}

/** Options of {@link readTensor}. */
export interface ReadTensorOptions extends FarOptions {
  /** Absolute folder that a path without a reference starts from; by default the top of the workspace. */
  readonly cwd?: string;
  readonly range?: TensorRange | undefined;
}

/** What {@link readTensor} read. */
export interface ReadTensor extends ListedTensor {
  readonly format: TensorFormat;
  /** Bytes that were handed out. */
  readonly bytesRead: number;
  /** Bytes that came from remotes. */
  readonly bytesReceived: number;
}

/**
 * Hands out the bytes of one tensor as they are in its file: values one behind the other, little-endian. Only the
 * chunks are read that it lies in, and those that describe it: from the local store and, where it lacks them, from
 * remotes. Each chunk is verified by its digest; that the chunks are those of the file is as true as its recipe,
 * which only reading the whole file proves. Memory: as {@link FarBlobs}.
 * @param given `[REF:]PATH` of a safetensors, GGUF or ONNX file
 * @param use is awaited; a block is valid until it returns
 * @throws MstoreError `not-found`, `corrupt-model`, `usage`, `objects-missing`, and those of remotes
 */
export async function readTensor(
  workspace: Workspace,
  given: string,
  name: string,
  use: (block: Uint8Array) => Promise<void>,
  options: ReadTensorOptions = {},
): Promise<ReadTensor> {
  const blobs = new FarBlobs(workspace, options);
  try {
    const found = await findFileBeside(workspace, given, options.cwd ?? workspace.root, (item) =>
      blobs.filesOf(item),
    );
    const model = await blobs.open(found.entry.sha256, found.entry.size, found.path);
    const { format, tensor } = await findTensor(model, found.path, name);
    const [from, to] = bytesOf(tensor, options.range);
    const files = filesByPath(found);
    let bytesRead = 0;
    for await (const block of blocksOf(blobs, {
      model,
      files,
      file: found.path,
      tensor,
      from,
      to,
    })) {
      bytesRead += block.length;
      await use(block);
    }
    const bytesReceived = await blobs.bytesReceived();
    return { ...listed(found.path, tensor), format, bytesRead, bytesReceived };
  } finally {
    blobs.close();
  }
}

async function findTensor(
  model: FarBlob,
  file: string,
  name: string,
): Promise<{ readonly format: TensorFormat; readonly tensor: TensorEntry }> {
  const found = await model.reading((reader) => readFileTensors(reader, file));
  if (found === undefined) {
    throw new MstoreError('usage', `${printable(file)} is no safetensors, GGUF or ONNX file`, {
      hint: 'Leave --tensor out to get the whole file',
      details: { path: file },
    });
  }
  if ('message' in found) throw corruptModel(file, found.message);
  const tensor = found.tensors.find((one) => one.name === name);
  if (tensor !== undefined) return { format: found.format, tensor };
  const near = nearest(
    name.slice(0, nameLengthMax),
    found.tensors.slice(0, namesMax).map((one) => one.name),
  );
  throw new MstoreError('not-found', `${printable(file)} has no ${tensorText(name)}`, {
    hint:
      near === undefined
        ? '"mstore ls --tensors" lists them'
        : `Did you mean ${printable(near)}? "mstore ls --tensors" lists them`,
    details: { path: file, tensor: name },
  });
}

/** Names that are compared with one that is not there, and how long that may be. */
const namesMax = 10_000;
const nameLengthMax = 256;

/** Finds the bytes of a range of the first axis. */
function bytesOf(tensor: TensorEntry, range: TensorRange | undefined): readonly [number, number] {
  if (range === undefined) return [0, tensor.bytes];
  const [length, ...others] = tensor.shape;
  const { start = 0, end = length ?? 0 } = range;
  if (length === undefined)
    throw badRange(tensor, 'has no axis: it is a single value', 'Leave --range out');
  if (start > end || end > length)
    throw badRange(tensor, `has ${length} on its first axis`, `Choose a range within 0:${length}`);
  const bits = tensor.coding.elementBits;
  const row = others.reduce((all, one) => all * one, 1);
  const bounds = [start, end].map((at) => (at * row * (bits ?? Number.NaN)) / 8);
  const isWhole = bounds.every((at) => at % tensor.coding.unitBytes === 0);
  const [from = 0, to = 0] = bounds;
  if (isWhole) return [from, to];
  const elements = bits === undefined ? '' : ` of ${(tensor.coding.unitBytes * 8) / bits} elements`;
  throw badRange(
    tensor,
    `is of type ${printable(tensor.dtype)}, and the range cuts through its blocks${elements}`,
    'Choose a range that begins and ends with whole blocks',
  );
}

function badRange({ name }: TensorEntry, what: string, hint: string): MstoreError {
  return new MstoreError('usage', `The ${tensorText(name)} ${what}`, {
    hint,
    details: { tensor: name },
  });
}

/** What is read of a tensor. */
interface Wanted {
  readonly model: FarBlob;
  /** Path of the model. */
  readonly file: string;
  /** The files around it, by their paths. */
  readonly files: ReadonlyMap<string, FileEntry>;
  readonly tensor: TensorEntry;
  /** Range of the bytes of the tensor. */
  readonly from: number;
  readonly to: number;
}

async function* blocksOf(
  blobs: FarBlobs,
  { model, file, files, tensor, from, to }: Wanted,
): AsyncGenerator<Uint8Array, void, void> {
  const { data } = tensor;
  switch (data.kind) {
    case 'plain':
      yield* model.blocks(data.start + from, data.start + to);
      return;
    case 'varints':
      yield await decoded(model, tensor, file, [from, to]);
      return;
    case 'external': {
      const where = externalPath(file, data.location);
      const entry = files.get(where);
      if (entry === undefined || data.end > entry.size) {
        const what = entry === undefined ? 'is not in this version' : `has ${entry.size} bytes`;
        throw corruptModel(
          file,
          `the data of the ${tensorText(tensor.name)} are in ${where}, which ${what}`,
        );
      }
      const blob = await blobs.open(entry.sha256, entry.size, where);
      yield* blob.blocks(data.start + from, data.start + to);
      return;
    }
    case 'none':
      throw corruptModel(file, `the data of the ${tensorText(tensor.name)} ${data.why}`);
    case 'opaque':
      throw badRange(tensor, 'is stored in a form that has no plain bytes', 'Read the whole file');
  }
}

async function decoded(
  model: FarBlob,
  tensor: TensorEntry,
  file: string,
  [from, to]: readonly [number, number],
): Promise<Uint8Array> {
  const { data } = tensor;
  if (data.kind !== 'varints') return new Uint8Array(0);
  try {
    return await model.reading((reader) => openTensor(tensor, data, reader).read(from, to - from));
  } catch (error) {
    if (!(error instanceof TensorsUnreadable)) throw error;
    throw corruptModel(file, error.message);
  }
}
