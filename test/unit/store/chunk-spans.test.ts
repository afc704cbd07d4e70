import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { sha256, sha256Raw } from '../../../src/base/digest.ts';
import { ChunkSpans, sharedBytesAt } from '../../../src/store/chunk-spans.ts';
import { RecipeBuilder } from '../../../src/store/recipe.ts';
import { runs } from '../../support/runs.ts';

/** A blob of chunks, each of one letter as often as its place in the alphabet. */
function blobOf(letters: string): { spans: ChunkSpans; bytes: Buffer } {
  const builder = new RecipeBuilder();
  const chunks = [...letters].map((letter) =>
    Buffer.from(
      Array.from({ length: letter.charCodeAt(0) - 96 }, (_, i) => i + letter.charCodeAt(0)),
    ),
  );
  for (const chunk of chunks) builder.add(sha256Raw(chunk), chunk.length);
  const bytes = Buffer.concat(chunks);
  return { spans: new ChunkSpans(builder.finish(sha256(bytes))), bytes };
}

const letters = fc.string({ unit: fc.constantFrom(...'abcdef'), minLength: 1, maxLength: 8 });

describe('chunks of a blob', () => {
  it('are found by offsets', () => {
    const { spans } = blobOf('cab');
    expect([0, 2, 3, 4, 5].map((at) => spans.rowAt(at))).toEqual([0, 0, 1, 2, 2]);
    expect([...spans.rowsOf(2, 4)]).toEqual([0, 1]);
    expect([...spans.rowsOf(3, 4)]).toEqual([1]);
    expect([...spans.rowsOf(4, 4)]).toEqual([]);
    expect([spans.start(2), spans.end(2)]).toEqual([4, 6]);
  });

  it('tell of no bytes that they are the same and are not, and miss none of one chunk', () => {
    fc.assert(
      fc.property(letters, letters, fc.nat(60), fc.nat(60), (first, second, atA, atB) => {
        const [a, b] = [blobOf(first), blobOf(second)];
        const shared = sharedBytesAt(a.spans, atA, b.spans, atB);
        const [partA, partB] = [a.bytes.subarray(atA), b.bytes.subarray(atB)];
        expect(partA.subarray(0, shared).equals(partB.subarray(0, shared))).toBe(true);
        expect(shared).toBeLessThanOrEqual(Math.min(partA.length, partB.length));
        const same = sharedBytesAt(a.spans, atA, a.spans, atA);
        expect(same > 0).toBe(atA < a.bytes.length);
      }),
      runs(1000),
    );
  });

  it('at another place of the same chunk are not the same', () => {
    const [a, b] = [blobOf('f'), blobOf('f')];
    expect(sharedBytesAt(a.spans, 1, b.spans, 2)).toBe(0);
    expect(sharedBytesAt(a.spans, 2, b.spans, 2)).toBe(4);
  });
});
