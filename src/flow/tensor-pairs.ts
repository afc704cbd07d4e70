import * as path from 'node:path';
import type { TensorEntry, TensorFormat } from '../weights/tensors.ts';
import type { SideFile } from './tensor-sides.ts';

/** A tensor with the file that describes it. */
export interface PlacedTensor {
  readonly file: SideFile;
  readonly format: TensorFormat;
  readonly entry: TensorEntry;
}

/** A tensor on the sides that have it. */
export interface PairedTensor {
  readonly before: PlacedTensor | undefined;
  readonly after: PlacedTensor | undefined;
}

/**
 * Finds out which tensor of one side is which of the other. In order: those of one name in files of one format at one
 * path; then, of what is left, those of one name in one folder; then those of one name anywhere. The last two count
 * only where each side has one such tensor left, so that two models with a tensor of the same name are not mixed up.
 */
export function pairTensors(
  before: readonly PlacedTensor[],
  after: readonly PlacedTensor[],
): PairedTensor[] {
  const pairs: PairedTensor[] = [];
  let left = { before, after };
  const keys: ReadonlyArray<(tensor: PlacedTensor) => readonly string[]> = [
    ({ file, entry }) => [file.path, entry.name],
    ({ file, entry }) => [path.posix.dirname(file.path), entry.name],
    ({ entry }) => [entry.name],
  ];
  for (const key of keys) {
    left = pairBy((tensor) => JSON.stringify([tensor.format, ...key(tensor)]), left, pairs);
  }
  pairs.push(...left.before.map((tensor) => ({ before: tensor, after: undefined })));
  pairs.push(...left.after.map((tensor) => ({ before: undefined, after: tensor })));
  return pairs;
}

interface Left {
  readonly before: readonly PlacedTensor[];
  readonly after: readonly PlacedTensor[];
}

/** Pairs tensors whose key is that of one tensor on each side; returns the others. */
function pairBy(key: (tensor: PlacedTensor) => string, left: Left, pairs: PairedTensor[]): Left {
  const [was, is] = [soleByKey(left.before, key), soleByKey(left.after, key)];
  const paired = new Set<PlacedTensor>();
  for (const [name, before] of was) {
    const after = is.get(name);
    if (before === undefined || after === undefined) continue;
    pairs.push({ before, after });
    paired.add(before);
    paired.add(after);
  }
  const others = (tensors: readonly PlacedTensor[]) => tensors.filter((one) => !paired.has(one));
  return { before: others(left.before), after: others(left.after) };
}

/** Tensors by their keys; undefined for a key that several have. */
function soleByKey(
  tensors: readonly PlacedTensor[],
  key: (tensor: PlacedTensor) => string,
): Map<string, PlacedTensor | undefined> {
  const found = new Map<string, PlacedTensor | undefined>();
  for (const tensor of tensors) {
    const name = key(tensor);
    found.set(name, found.has(name) ? undefined : tensor);
  }
  return found;
}
