import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Chunker, type ChunkParams } from '../../src/chunk/chunker.ts';
import { cutsInBlocks, naiveCuts } from '../support/naive-chunker.ts';
import { runs } from '../support/runs.ts';
import { xorshiftBytes } from '../support/xorshift.ts';

const params: fc.Arbitrary<ChunkParams> = fc
  .tuple(fc.integer({ min: 8, max: 300 }), fc.nat(400), fc.nat(900))
  .map(([min, more, most]) => ({ min, norm: min + 1 + more, max: min + 2 + more + most }));

/** Noise, runs of one byte, text-like repetition: what weights, padding and vocabularies look like. */
const content: fc.Arbitrary<Buffer> = fc
  .array(
    fc.oneof(
      fc.tuple(fc.integer({ min: 1 }), fc.nat(3000)).map(([s, n]) => xorshiftBytes(s, n)),
      fc.tuple(fc.nat(255), fc.nat(2000)).map(([b, n]) => Buffer.alloc(n, b)),
      fc
        .tuple(fc.uint8Array({ minLength: 1, maxLength: 12 }), fc.nat(2000))
        .map(([p, n]) => Buffer.alloc(n, p)),
    ),
    { maxLength: 4 },
  )
  .map((parts) => Buffer.concat(parts));

const cutsBelow = (length: number) =>
  fc.uniqueArray(fc.integer({ min: 1, max: Math.max(1, length + 5) }), { maxLength: 8 });

const cases = fc.tuple(params, content).chain(([p, bytes]) =>
  fc.tuple(
    fc.constant(p),
    fc.constant(bytes),
    cutsBelow(bytes.length).map((cuts) => cuts.sort((a, b) => a - b)),
    fc.array(fc.integer({ min: 1, max: 700 }), { minLength: 1, maxLength: 6 }),
  ),
);

function cutsOf(
  bytes: Buffer,
  chunkParams: ChunkParams,
  hardCuts: readonly number[],
  blocks: readonly number[] = [bytes.length],
): number[] {
  if (bytes.length === 0) return [];
  const chunker = new Chunker(chunkParams, hardCuts);
  return cutsInBlocks((...args) => chunker.next(...args), bytes, blocks);
}

describe('the chunker', () => {
  it('cuts as the naive rule does, however the input arrives', () => {
    fc.assert(
      fc.property(cases, ([p, bytes, hard, blocks]) => {
        const expected = naiveCuts(bytes, p, hard);
        expect(cutsOf(bytes, p, hard)).toEqual(expected);
        expect(cutsOf(bytes, p, hard, blocks)).toEqual(expected);
      }),
      runs(300),
    );
  });

  it('keeps chunks within bounds, respects hard cuts and loses no byte', () => {
    fc.assert(
      fc.property(cases, ([p, bytes, hard]) => {
        const cuts = cutsOf(bytes, p, hard);
        let start = 0;
        for (const end of cuts) {
          expect(end - start).toBeGreaterThan(0);
          expect(end - start).toBeLessThanOrEqual(p.max);
          const free = end < bytes.length && !hard.includes(end);
          if (free) expect(end - start).toBeGreaterThanOrEqual(p.min);
          start = end;
        }
        expect(start).toBe(bytes.length);
        for (const cut of hard) if (cut < bytes.length) expect(cuts).toContain(cut);
      }),
      runs(300),
    );
  });

  it('does not depend on where in a buffer the blob lies', () => {
    fc.assert(
      fc.property(params, content, fc.nat(50), (p, bytes, shift) => {
        const moved = Buffer.concat([Buffer.alloc(shift, 0xa5), bytes]);
        const chunker = new Chunker(p);
        const cuts: number[] = [];
        for (let start = shift; start < moved.length; ) {
          start = chunker.next(moved, start, moved.length, true);
          cuts.push(start - shift);
        }
        expect(cuts).toEqual(cutsOf(bytes, p, []));
      }),
      runs(200),
    );
  });

  it('finds its old cuts again behind an edit once two cuts coincide', () => {
    fc.assert(
      fc.property(params, content, content, fc.nat(), (p, bytes, extra, where) => {
        const at = bytes.length === 0 ? 0 : where % bytes.length;
        const edited = Buffer.concat([
          bytes.subarray(0, at),
          extra.subarray(0, 64),
          bytes.subarray(at),
        ]);
        const grown = edited.length - bytes.length;
        const before = cutsOf(bytes, p, []);
        const after = cutsOf(edited, p, []).map((cut) => cut - grown);
        const meeting = before.find((cut) => cut >= at + 8 && after.includes(cut)) ?? Infinity;
        expect(after.filter((cut) => cut >= meeting)).toEqual(
          before.filter((cut) => cut >= meeting),
        );
        // Before the edit nothing moves.
        const early = (cuts: number[], shift: number) =>
          cuts.map((cut) => cut + shift).filter((cut) => cut < at);
        expect(early(after, grown)).toEqual(early(before, 0));
      }),
      runs(200),
    );
  });
});
