import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Digest, sha256, sha256Raw } from '../../../src/base/digest.ts';
import { isMstoreError } from '../../../src/base/errors.ts';
import {
  emptyBlob,
  formatRecipe,
  parseRecipe,
  RecipeBuilder,
  soleChunkRecipe,
} from '../../../src/store/recipe.ts';
import { runs } from '../../support/runs.ts';

const blob = sha256('a blob');

function recipeBytes(lengths: readonly number[], of: Digest = blob): Buffer {
  const builder = new RecipeBuilder();
  for (const [i, length] of lengths.entries()) builder.add(sha256Raw(Buffer.from([i])), length);
  return formatRecipe(builder.finish(of));
}

/** Changes a recipe and gives it the digest that it then needs. */
function forged(patch: (body: Buffer) => Buffer | undefined, lengths = [5, 6, 7]): Buffer {
  const whole = recipeBytes(lengths);
  const body = Buffer.from(whole.subarray(0, whole.length - 32));
  const changed = patch(body) ?? body;
  return Buffer.concat([changed, sha256Raw(changed)]);
}

describe('a recipe', () => {
  it('parses to what was built', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 16 * 1024 * 1024 }), { minLength: 2, maxLength: 50 }),
        (lengths) => {
          const bytes = recipeBytes(lengths);
          const recipe = parseRecipe(bytes, blob);
          expect(recipe.size).toBe(lengths.reduce((a, b) => a + b));
          expect(lengths.map((_, row) => recipe.length(row))).toEqual(lengths);
          expect(recipe.chunk(1)).toBe(sha256(Buffer.from([1])));
          expect(formatRecipe(recipe).equals(bytes)).toBe(true);
        },
      ),
      runs(100),
    );
  });

  it('shows damage of every single byte and every truncation', () => {
    const whole = recipeBytes([5, 6]);
    const isRefused = (bytes: Buffer): boolean => {
      try {
        parseRecipe(bytes, blob);
        return false;
      } catch (error) {
        return isMstoreError(error, 'corrupt-recipe', 'newer-format');
      }
    };
    for (let at = 0; at < whole.length; at++) {
      const damaged = Buffer.from(whole);
      damaged[at] = (damaged[at] as number) ^ 0x10;
      expect(isRefused(damaged), `byte ${at}`).toBe(true);
      expect(isRefused(whole.subarray(0, at)), `${at} bytes`).toBe(true);
    }
    expect(isRefused(Buffer.concat([whole, Buffer.alloc(1)]))).toBe(true);
    expect(isRefused(whole)).toBe(false);
  });

  it.each<[string, Buffer]>([
    ['another blob', recipeBytes([5, 6], sha256('other'))],
    ['no chunks', recipeBytes([])],
    ['one chunk, which would pass as the blob unread', recipeBytes([5])],
    ['a size that is not the sum', forged((b) => void b.writeUInt32LE(19, 16))],
    ['a size above 2^53', forged((b) => void b.writeUInt32LE(0xffffffff, 20))],
    ['an empty chunk', recipeBytes([5, 0])],
    ['a chunk above 16 MiB', recipeBytes([5, 16 * 1024 * 1024 + 1])],
    ['a count above its rows', forged((b) => void b.writeUInt32LE(4, 12))],
    ['the largest count', forged((b) => void b.writeUInt32LE(0xffffffff, 12))],
    ['rows cut short', forged((b) => b.subarray(0, b.length - 1))],
    ['version 0', forged((b) => void b.writeUInt32LE(0, 8))],
    ['another magic', forged((b) => void b.write('MSTOREFT'))],
  ])('is refused when it has %s', (_, bytes) => {
    expect(() => parseRecipe(bytes, blob)).toThrow(
      expect.objectContaining({ code: 'corrupt-recipe' }) as Error,
    );
  });

  it('of a newer format is refused as such', () => {
    expect(() =>
      parseRecipe(
        forged((b) => void b.writeUInt32LE(2, 8)),
        blob,
      ),
    ).toThrow(expect.objectContaining({ code: 'newer-format' }) as Error);
  });
});

describe('soleChunkRecipe', () => {
  it('has one row of the blob itself, and none for the empty blob', () => {
    expect(soleChunkRecipe(blob, 9)).toMatchObject({ count: 1, size: 9 });
    expect(soleChunkRecipe(blob, 9).chunk(0)).toBe(blob);
    expect(soleChunkRecipe(emptyBlob, 0)).toMatchObject({ count: 0, size: 0 });
  });
});
