import { Breather } from '../base/abort.ts';
import { compareUtf8 } from '../base/json.ts';
import { silentProgress } from '../base/progress.ts';
import { sharedBytesAt } from '../store/chunk-spans.ts';
import {
  type CompareTools,
  compareTensors,
  compareTypes,
  type TensorPair,
} from '../weights/compare-tensors.ts';
import { areComparable, type TensorDifference } from '../weights/difference.ts';
import { type HeldData, openTensor } from '../weights/tensor-data.ts';
import { TensorsUnreadable } from '../weights/tensors.ts';
import type { WorkOptions } from './add.ts';
import { findDifferences } from './diff-arguments.ts';
import type { VersionsDiff } from './diff-versions.ts';
import {
  type BrokenModel,
  externalPath,
  mayHoldTensors,
  readFileTensors,
} from './model-tensors.ts';
import { type PairedTensor, type PlacedTensor, pairTensors } from './tensor-pairs.ts';
import { ComparedFiles, type SideFile, TensorSides } from './tensor-sides.ts';
import type { Workspace } from './workspace.ts';

/** One side of a tensor that differs. */
export interface TensorSide {
  /** Path of its file from the top of the workspace. */
  readonly file: string;
  readonly dtype: string;
  /** Lengths of its axes, in the order of NumPy. */
  readonly shape: readonly number[];
  readonly bytes: number;
  /** Path of the file that its data is in, where that is another. */
  readonly dataFile?: string;
}

/** A tensor that differs, or cannot be compared. */
export interface TensorChange {
  readonly name: string;
  /**
   * `resized`: another shape; `retyped`: another type and the same shape; `changed`: other values; `unread`: its
   * data cannot be read, see `problem`.
   */
  readonly change: 'added' | 'removed' | 'resized' | 'retyped' | 'changed' | 'unread';
  readonly before?: TensorSide;
  readonly after?: TensorSide;
  /** How much the values differ, of `changed`, and of `retyped` where both types are numbers. */
  readonly difference?: TensorDifference;
  /** Why its data cannot be read; starts with a capital. */
  readonly problem?: string;
}

/** How many tensors there are of each kind. */
export interface TensorTotals {
  readonly added: number;
  readonly removed: number;
  readonly resized: number;
  readonly retyped: number;
  readonly changed: number;
  readonly unread: number;
  readonly unchanged: number;
  /** Of all that are on both sides, those that are in another file. */
  readonly moved: number;
}

/** What {@link diffTensors} found. */
export interface TensorsDiff {
  /** Those that differ, in the order of their names. */
  readonly tensors: readonly TensorChange[];
  readonly totals: TensorTotals;
  /** Files that cannot be read as what they are. */
  readonly broken: ReadonlyArray<BrokenModel & { readonly side: 'before' | 'after' }>;
  /** Files that differ and are none of tensors. */
  readonly otherFiles: number;
  /** Where both are versions of the registry. */
  readonly versions?: VersionsDiff;
}

/**
 * Compares the tensors of the safetensors, GGUF and ONNX files that differ between what the arguments of `diff` name.
 * Tensors of files at one path are compared by name; the others of a format by name over all files, so that a model
 * in other shards is compared with itself. What recipes show to be the same is not read. Files of versions are read
 * from the local store. Memory: what describes the tensors, 16 MiB at most that are
 * in use for their data, and as much again and more that waits for the garbage collector.
 * @param args two references; a reference, or a tracked path, which is compared with its files here; or none
 * @param cwd absolute folder that paths start from
 * @throws MstoreError `objects-missing` where what has to be read is not here, `file-changed`, and those of
 * {@link findDifferences}
 */
export async function diffTensors(
  workspace: Workspace,
  args: readonly string[],
  cwd: string,
  options: WorkOptions = {},
): Promise<TensorsDiff> {
  const differences = await findDifferences(workspace, args, cwd, options);
  const { versions } = differences;
  const sides = new TensorSides(workspace);
  try {
    const work = new TensorComparison(new ComparedFiles(workspace, sides, differences), options);
    const found = await work.compare();
    sides.check();
    return versions === undefined ? found : { ...found, versions };
  } finally {
    sides.close();
  }
}

type Side = 'before' | 'after';

class TensorComparison {
  readonly #files: ComparedFiles;
  readonly #options: WorkOptions;
  readonly #breather: Breather;
  readonly #broken: Array<BrokenModel & { readonly side: Side }> = [];
  readonly #changes: TensorChange[] = [];
  #unchanged = 0;
  #moved = 0;

  constructor(files: ComparedFiles, options: WorkOptions) {
    this.#files = files;
    this.#options = options;
    this.#breather = new Breather(options.signal);
  }

  async compare(): Promise<Omit<TensorsDiff, 'versions'>> {
    const before: PlacedTensor[] = [];
    const after: PlacedTensor[] = [];
    let otherFiles = 0;
    for (const file of this.#files.changed()) {
      const isOld = this.#read(file, 'before', before);
      const isNew = this.#read(file, 'after', after);
      if (!isOld && !isNew) otherFiles++;
      if (this.#breather.due()) await this.#breather.turn();
    }
    if (otherFiles > 0) this.#readModelsOfSameBytes(before, after);
    const pairs = pairTensors(before, after);
    const { progress = silentProgress } = this.#options;
    const bytesTotal = pairs.reduce(
      (sum, { before: was, after: is }) => sum + (is && was ? was.entry.bytes : 0),
      0,
    );
    progress.start('check', { bytesTotal });
    for (const pair of pairs) await this.#comparePair(pair);
    progress.finish();
    const changes = this.#changes.sort(
      (a, b) => compareUtf8(a.name, b.name) || compareUtf8(fileOf(a), fileOf(b)),
    );
    return { tensors: changes, totals: this.#totals(), broken: this.#broken, otherFiles };
  }

  /** Reads the tensors of a file of one side; tells whether it is one that holds some. */
  #read(file: string, side: Side, into: PlacedTensor[]): boolean {
    if (!mayHoldTensors(file)) return false;
    const opened = this.#files[side](file);
    if (opened === undefined) return false;
    const found = readFileTensors(opened.reader, file);
    if (found === undefined) return false;
    if ('message' in found) this.#broken.push({ file, side, ...found });
    else
      for (const entry of found.tensors) into.push({ file: opened, format: found.format, entry });
    return true;
  }

  /** The data of a model may have changed in other files while the model is the same. */
  #readModelsOfSameBytes(before: PlacedTensor[], after: PlacedTensor[]): void {
    for (const file of this.#files.same()) {
      if (!file.toLowerCase().endsWith('.onnx')) continue;
      this.#read(file, 'before', before);
      this.#read(file, 'after', after);
    }
  }

  async #comparePair({ before, after }: PairedTensor): Promise<void> {
    const name = (before ?? after)?.entry.name ?? '';
    if (before === undefined || after === undefined) {
      const sides = { ...sideOf('before', before), ...sideOf('after', after) };
      this.#changes.push({ name, change: before === undefined ? 'added' : 'removed', ...sides });
      return;
    }
    if (before.file.path !== after.file.path) this.#moved++;
    const sides = { ...sideOf('before', before), ...sideOf('after', after) };
    const found = await this.#compareBoth(before, after);
    if (found === undefined) this.#unchanged++;
    else this.#changes.push({ name, ...sides, ...found });
    if (this.#breather.due()) await this.#breather.turn();
  }

  /** Compares a tensor that both sides have; undefined when it is the same. */
  async #compareBoth(
    before: PlacedTensor,
    after: PlacedTensor,
  ): Promise<Pick<TensorChange, 'change' | 'difference' | 'problem'> | undefined> {
    const [a, b] = [before.entry, after.entry];
    if (!sameShape(a.shape, b.shape)) return { change: 'resized' };
    const isRetyped = a.dtype !== b.dtype;
    if (isRetyped && !areComparable(a.coding, b.coding)) return { change: 'retyped' };
    try {
      const pair = this.#openPair(before, after);
      if (isRetyped) {
        return {
          change: 'retyped',
          difference: await compareTypes(pair, [a.coding, b.coding], this.#tools()),
        };
      }
      const difference = await compareTensors(pair, a.coding, this.#tools());
      return difference && { change: 'changed', difference };
    } catch (error) {
      if (!(error instanceof TensorsUnreadable)) throw error;
      return { change: isRetyped ? 'retyped' : 'unread', problem: error.message };
    }
  }

  #tools(): CompareTools {
    const onBytes = (bytes: number): void => this.#options.progress?.advance({ bytes });
    return { breather: this.#breather, onBytes };
  }

  #openPair(before: PlacedTensor, after: PlacedTensor): TensorPair {
    const [a, b] = [this.#place(before, 'before'), this.#place(after, 'after')];
    if ((a.data.kind === 'opaque') !== (b.data.kind === 'opaque')) {
      throw new TensorsUnreadable(
        'Its values are stored in another form, which cannot be compared',
      );
    }
    const readers = {
      before: openTensor(before.entry, a.data, a.file.reader),
      after: openTensor(after.entry, b.data, b.file.reader),
    };
    return { ...readers, shared: sharedOf(a, b) };
  }

  /** Finds the file that the data of a tensor is in. */
  #place({ file, entry }: PlacedTensor, side: Side): Place {
    const { data } = entry;
    if (data.kind === 'none') throw new TensorsUnreadable(`Its data ${data.why}`);
    if (data.kind !== 'external') return { file, data };
    const where = externalPath(file.path, data.location);
    const external = this.#files[side](where);
    if (external === undefined)
      throw new TensorsUnreadable(`Its data are in ${where}, which is not there`);
    if (data.end > external.reader.size)
      throw new TensorsUnreadable(
        `Its data end at ${data.end} of ${where}, which has ${external.reader.size} bytes`,
      );
    return { file: external, data };
  }

  #totals(): TensorTotals {
    const count = (change: TensorChange['change']): number =>
      this.#changes.filter((one) => one.change === change).length;
    return {
      added: count('added'),
      removed: count('removed'),
      resized: count('resized'),
      retyped: count('retyped'),
      changed: count('changed'),
      unread: count('unread'),
      unchanged: this.#unchanged,
      moved: this.#moved,
    };
  }
}

/** Where the data of a tensor is. */
interface Place {
  readonly file: SideFile;
  readonly data: HeldData;
}

/** Tells from recipes which bytes of two tensors are the same. */
function sharedOf(a: Place, b: Place): TensorPair['shared'] {
  const [spansA, spansB] = [a.file.spans, b.file.spans];
  const areCoded = a.data.kind === 'varints' || b.data.kind === 'varints';
  if (spansA === undefined || spansB === undefined || areCoded) return () => 0;
  return (offset) => sharedBytesAt(spansA, a.data.start + offset, spansB, b.data.start + offset);
}

function sideOf(
  side: Side,
  tensor: PlacedTensor | undefined,
): { readonly [K in Side]?: TensorSide } {
  if (tensor === undefined) return {};
  const { dtype, shape, bytes, data } = tensor.entry;
  const file = tensor.file.path;
  const told = { file, dtype, shape, bytes };
  const isElsewhere = data.kind === 'external';
  return { [side]: isElsewhere ? { ...told, dataFile: externalPath(file, data.location) } : told };
}

function sameShape(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((length, i) => length === b[i]);
}

function fileOf({ before, after }: TensorChange): string {
  return (after ?? before)?.file ?? '';
}
