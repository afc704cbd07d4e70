import type { Breather } from '../base/abort.ts';
import type { ByteReader } from './byte-reader.ts';
import { DifferenceSum, type TensorDifference } from './difference.ts';
import type { Coding } from './tensors.ts';

/** The bytes of one tensor on both sides. */
export interface TensorPair {
  readonly before: ByteReader;
  readonly after: ByteReader;
  /**
   * Tells how many bytes from an offset on are known to be the same on both sides without being read; 0 where
   * that is not known.
   */
  readonly shared: (offset: number) => number;
}

/** What a comparison is done with. */
export interface CompareTools {
  readonly breather: Breather;
  /** Told of bytes that were looked at, or found not to need it. */
  readonly onBytes?: ((bytes: number) => void) | undefined;
}

/** Bytes of each side that are compared at once. */
const stepBytes = 256 * 1024;

/**
 * Compares two tensors of one shape and one type. Bytes that are known to be shared are not read to find out whether
 * the tensors differ; where they do, those of `before` are, for its norm. Values are decoded only of tensors
 * that differ. Memory: a part of 256 KiB of each side, and what {@link DifferenceSum} takes: below 16 MiB,
 * whatever the size of the tensors.
 * @returns undefined when all bytes are the same
 */
export async function compareTensors(
  pair: TensorPair,
  coding: Coding,
  tools: CompareTools,
): Promise<TensorDifference | undefined> {
  if (pair.before.size === pair.after.size && (await areSame(pair, tools))) return undefined;
  const sum = new DifferenceSum(coding);
  const step = sum.unitsAtOnce * coding.unitBytes;
  const size = Math.min(pair.before.size, pair.after.size);
  for (let at = 0; at < size; ) {
    const length = Math.min(step, size - at);
    const isShared = pair.shared(at) >= length;
    if (isShared && !sum.needsShared) sum.addUnread(Math.ceil(length / coding.unitBytes));
    else if (isShared) sum.addSame(pair.before.read(at, length));
    else addPart(sum, pair.before.read(at, length), pair.after.read(at, length));
    at += length;
    tools.onBytes?.(length);
    if (tools.breather.due()) await tools.breather.turn();
  }
  sum.addLonger(Math.abs(pair.before.size - pair.after.size));
  return sum.result();
}

/** Compares the numbers of two tensors of one shape and two types. Memory: as {@link compareTensors}. */
export async function compareTypes(
  { before, after }: TensorPair,
  codings: readonly [before: Coding, after: Coding],
  { breather, onBytes }: CompareTools,
): Promise<TensorDifference> {
  const sum = new DifferenceSum(...codings);
  const [bytesBefore, bytesAfter] = codings.map(({ unitBytes }) => unitBytes) as [number, number];
  const units = before.size / bytesBefore;
  for (let at = 0; at < units; ) {
    const count = Math.min(sum.unitsAtOnce, units - at);
    sum.add(
      before.read(at * bytesBefore, count * bytesBefore),
      after.read(at * bytesAfter, count * bytesAfter),
    );
    at += count;
    onBytes?.(count * bytesBefore);
    if (breather.due()) await breather.turn();
  }
  return sum.result();
}

function addPart(sum: DifferenceSum, before: Uint8Array, after: Uint8Array): void {
  if (Buffer.compare(before, after) === 0) sum.addSame(before);
  else sum.add(before, after);
}

async function areSame(pair: TensorPair, { breather }: CompareTools): Promise<boolean> {
  const { size } = pair.before;
  for (let at = 0; at < size; ) {
    const shared = Math.min(pair.shared(at), size - at);
    if (shared > 0) {
      at += shared;
      continue;
    }
    const length = Math.min(stepBytes, size - at);
    if (Buffer.compare(pair.before.read(at, length), pair.after.read(at, length)) !== 0)
      return false;
    at += length;
    if (breather.due()) await breather.turn();
  }
  return true;
}
