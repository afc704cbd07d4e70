import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Breather } from '../../src/base/abort.ts';
import { type ByteReader, memoryFile } from '../../src/weights/byte-reader.ts';
import { compareTensors } from '../../src/weights/compare-tensors.ts';
import type { TensorDifference } from '../../src/weights/difference.ts';
import { openTensor } from '../../src/weights/tensor-data.ts';
import { readTensors } from '../../src/weights/tensor-list.ts';
import type { TensorEntry } from '../../src/weights/tensors.ts';
import { runs } from '../support/runs.ts';
import { naiveBytes, naiveDifference, typedFile } from '../support/tensors.ts';

const dtypes = Object.keys(naiveBytes);
/** Bytes that make special values likely: zeros of both signs, infinities, NaN, the smallest and the largest. */
const special = [0x00, 0x01, 0x7c, 0x7e, 0x7f, 0x80, 0xf0, 0xfc, 0xff];
const byte = fc.oneof(fc.nat(255), fc.constantFrom(...special));

/** A tensor of some type on both sides, with some values changed. */
const pair = fc.constantFrom(...dtypes).chain((dtype) =>
  fc
    .array(
      fc.array(byte, {
        minLength: naiveBytes[dtype] as number,
        maxLength: naiveBytes[dtype] as number,
      }),
      {
        maxLength: 60,
      },
    )
    .chain((values) =>
      fc
        .array(
          fc.tuple(fc.nat(Math.max(0, values.length * (naiveBytes[dtype] as number) - 1)), byte),
          {
            maxLength: 12,
          },
        )
        .map((edits) => {
          const before = Buffer.from(values.flat());
          const after = Buffer.from(before);
          for (const [at, value] of edits) if (at < after.length) after[at] = value;
          return { dtype, before, after };
        }),
    ),
);

function entryOf(dtype: string, bytes: Buffer): { file: ByteReader; entry: TensorEntry } {
  const shape = [bytes.length / (naiveBytes[dtype] as number)];
  const file = memoryFile(typedFile([{ name: 't', dtype, shape, bytes }]));
  const [entry] = readTensors(file, 'safetensors');
  return { file, entry: entry as TensorEntry };
}

/** Compares, with the bytes before `sharedTo` told to be the same. */
async function differenceOf(
  dtype: string,
  before: Buffer,
  after: Buffer,
  sharedTo = 0,
): Promise<TensorDifference | undefined> {
  const [a, b] = [entryOf(dtype, before), entryOf(dtype, after)];
  const open = ({ file, entry }: typeof a): ByteReader => {
    if (entry.data.kind !== 'plain') throw new Error('The data is plain');
    return openTensor(entry, entry.data, file);
  };
  const shared = (offset: number): number => Math.max(0, sharedTo - offset);
  const tensors = { before: open(a), after: open(b), shared };
  return compareTensors(tensors, a.entry.coding, { breather: new Breather() });
}

describe('tensors that are compared', () => {
  it('differ as a naive computation says, in every type', async () => {
    await fc.assert(
      fc.asyncProperty(pair, async ({ dtype, before, after }) => {
        const found = await differenceOf(dtype, before, after);
        expect(found === undefined).toBe(before.equals(after));
        if (found === undefined) return;
        const { relativeNorm, ...counts } = naiveDifference(dtype, before, after);
        const { share, unit, relativeNorm: norm, ...rest } = found;
        expect(unit).toBe('values');
        expect(rest).toEqual(counts);
        expect(share).toBe(counts.differing / counts.total);
        if (relativeNorm === null || !Number.isFinite(relativeNorm)) expect(norm).toBeNull();
        else if (relativeNorm === 0) expect(norm).toBe(0);
        else expect((norm as number) / relativeNorm).toBeCloseTo(1, 9);
      }),
      runs(1500),
    );
  });

  it('differ by as much when a beginning is known to be the same', async () => {
    await fc.assert(
      fc.asyncProperty(pair, async ({ dtype, before, after }) => {
        const first = before.findIndex((value, i) => value !== after[i]);
        const told = await differenceOf(dtype, before, after, first < 0 ? before.length : first);
        expect(told).toEqual(await differenceOf(dtype, before, after));
      }),
      runs(300),
    );
  });
});
