import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Chunker, type ChunkParams, formatChunkParams } from '../../../src/chunk/chunker.ts';
import { type Kernel, type KernelKind, makeKernel } from '../../../src/chunk/kernel.ts';
import { scanBytes } from '../../../src/chunk/scan.ts';

const kinds: readonly KernelKind[] = ['simd', 'scalar'];

function kernelOf(kind: KernelKind, bytes = 4 * 1024 * 1024): Kernel {
  const kernel = makeKernel(bytes, [kind]);
  if (kernel === undefined)
    throw new Error(`The ${kind} kernel was not built or does not run here`);
  return kernel;
}

/** Fills memory from a seed, fast and the same everywhere; some data kinds repeat a lot. */
function fill(bytes: Uint8Array, seed: number, alphabet: number): void {
  let x = seed | 1;
  for (let i = 0; i < bytes.length; i++) {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    bytes[i] = (x >>> 8) % alphabet;
  }
}

function cuts(
  bytes: Uint8Array,
  params: ChunkParams,
  blocks: readonly number[],
  kernel?: Kernel,
): number[] {
  const chunker = new Chunker(params, [], kernel?.scan);
  const found: number[] = [];
  let start = 0;
  for (const end of [...blocks, bytes.length]) {
    for (;;) {
      const cut = chunker.next(bytes, start, end, end === bytes.length);
      if (cut === -1) break;
      found.push(cut);
      start = cut;
    }
  }
  return found;
}

describe.each(kinds)('the %s kernel', (kind) => {
  const kernel = kernelOf(kind);

  it('finds what the reference finds, at every alignment, length and threshold', () => {
    fill(kernel.bytes.subarray(0, 70_000), 12345, 256);
    fc.assert(
      fc.property(
        fc.nat({ max: 200 }),
        fc.integer({ min: 7, max: 3000 }),
        fc.nat({ max: 3000 }),
        fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
        (offset, from, length, threshold) => {
          const view = kernel.bytes.subarray(offset, offset + from + length);
          // Rare thresholds, as the rule has them, and any other.
          for (const t of [threshold, -(2 ** 31) + (threshold & 0xfffff)]) {
            const expected = scanBytes(view, from, from + length, t);
            expect(kernel.scan(view, from, from + length, t)).toBe(expected);
          }
        },
      ),
    );
  });

  it('cuts as the reference does, for all sizes, parameters, kinds of data and splits', () => {
    const sizes = fc.constantFrom(0, 1, 1023, 65_536, 131_072, 262_145, 1_048_577, 3_000_000);
    const all = fc.constantFrom<ChunkParams>(
      formatChunkParams,
      { min: 8, norm: 64, max: 4096 },
      { min: 2048, norm: 8192, max: 65_536 },
    );
    fc.assert(
      fc.property(
        sizes,
        all,
        fc.nat(),
        fc.constantFrom(1, 2, 17, 256),
        fc.array(fc.nat()),
        (size, params, seed, alphabet, splits) => {
          const view = kernel.bytes.subarray(3, 3 + size);
          fill(view, seed, alphabet);
          const blocks =
            size === 0 ? [] : splits.map((split) => split % size).sort((a, b) => a - b);
          expect(cuts(view, params, blocks, kernel)).toEqual(
            cuts(Uint8Array.from(view), params, []),
          );
        },
      ),
      { numRuns: 30 },
    );
  });

  it('takes bytes of its own memory only', () => {
    expect(() => kernel.scan(new Uint8Array(64), 7, 64, 0)).toThrow('memory of the kernel');
  });
});

it('prefers the kernel with SIMD and does without any', () => {
  expect(makeKernel(65_536)).toBeDefined();
  expect(makeKernel(65_536, [])).toBeUndefined();
});
