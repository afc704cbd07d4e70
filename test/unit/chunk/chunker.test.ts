import { describe, expect, it } from 'vitest';
import { isMstoreError } from '../../../src/base/errors.ts';
import { Chunker, type ChunkParams, formatChunkParams } from '../../../src/chunk/chunker.ts';
import { cutsInBlocks, naiveCuts } from '../../support/naive-chunker.ts';
import { xorshiftBytes } from '../../support/xorshift.ts';

const { min, norm, max } = formatChunkParams;
const small: ChunkParams = { min: 64, norm: 256, max: 1024 };

function cutsOf(bytes: Uint8Array, params: ChunkParams, hardCuts: readonly number[] = []) {
  const chunker = new Chunker(params, hardCuts);
  return cutsInBlocks((...args) => chunker.next(...args), bytes, [bytes.length]);
}

/** Eight bytes that have the given hash: the factors are odd, so they can be divided by. */
function windowWithHash(hash: number): Buffer {
  const factor = 0x85ebca77n;
  let inverse = factor;
  for (let i = 0; i < 5; i++) inverse = BigInt.asUintN(32, inverse * (2n - factor * inverse));
  const early = 0x12345678n;
  const late = BigInt.asUintN(32, (BigInt(hash) - early * 0x9e3779b1n) * inverse);
  const bytes = Buffer.alloc(8);
  bytes.writeUInt32LE(Number(early), 0);
  bytes.writeUInt32LE(Number(late), 4);
  return bytes;
}

/** A blob of zeros, which never cut, with windows that end at the given offsets. */
function planted(length: number, window: Buffer, ...ends: number[]): Buffer {
  const bytes = Buffer.alloc(length);
  for (const end of ends) window.copy(bytes, end - 8);
  return bytes;
}

describe('the rule mh8 with the parameters of format 1', () => {
  // The vectors of docs/format.md. They are frozen: other cuts are another format.
  it.each([
    [
      1,
      [
        380970, 516360, 730050, 1124581, 1605933, 2015268, 2488665, 2757051, 2990822, 3360634,
        3821399, 4075388, 4194304,
      ],
    ],
    [
      2,
      [
        237504, 621585, 931548, 1233264, 1394751, 1703641, 2131723, 2486314, 2677891, 3057979,
        3629662, 4194304,
      ],
    ],
    [
      0xdeadbeef,
      [
        466073, 639587, 1013382, 1292473, 1459172, 1848645, 2377025, 2652704, 2969062, 3163569,
        3307216, 3645657, 3967379, 4194304,
      ],
    ],
  ])('cuts 4 MiB of xorshift32 from seed %i at the frozen offsets', (seed, cuts) => {
    const bytes = xorshiftBytes(seed, 4 * 1024 * 1024);
    expect(cutsOf(bytes, formatChunkParams)).toEqual(cuts);
    expect(naiveCuts(bytes, formatChunkParams)).toEqual(cuts);
  });

  const rare = -2147475456;
  const common = -2147450880;
  const rareWindow = windowWithHash(rare - 1);
  const commonWindow = windowWithHash(rare);
  const lastCommonWindow = windowWithHash(common - 1);
  const noWindow = windowWithHash(common);

  it('cuts at a length of min, never below it', () => {
    expect(cutsOf(planted(max, rareWindow, min - 1), formatChunkParams)).toEqual([max]);
    expect(cutsOf(planted(max, rareWindow, min), formatChunkParams)).toEqual([min, max]);
    expect(cutsOf(planted(max, rareWindow, min + 1), formatChunkParams)).toEqual([min + 1, max]);
  });

  it('uses the rare threshold below norm and the common one from norm on', () => {
    expect(cutsOf(planted(max, commonWindow, norm - 1), formatChunkParams)).toEqual([max]);
    expect(cutsOf(planted(max, commonWindow, norm), formatChunkParams)).toEqual([norm, max]);
    expect(cutsOf(planted(max, commonWindow, max - 1), formatChunkParams)).toEqual([max - 1, max]);
    expect(cutsOf(planted(max, rareWindow, norm - 1), formatChunkParams)).toEqual([norm - 1, max]);
    expect(cutsOf(planted(max, lastCommonWindow, norm), formatChunkParams)).toEqual([norm, max]);
    expect(cutsOf(planted(max, noWindow, norm), formatChunkParams)).toEqual([max]);
    const least = windowWithHash(-(2 ** 31));
    expect(cutsOf(planted(max, least, min), formatChunkParams)).toEqual([min, max]);
  });

  it('counts lengths from the last cut', () => {
    const twice = planted(max, rareWindow, min, 2 * min - 1, 2 * min);
    expect(cutsOf(twice, formatChunkParams).slice(0, 2)).toEqual([min, 2 * min]);
  });

  it.each([1, 7, 8, min - 1, min, min + 1, norm - 1, norm, norm + 1, max - 1, max])(
    'keeps %i bytes that never cut in one chunk',
    (length) => {
      expect(cutsOf(Buffer.alloc(length), formatChunkParams)).toEqual([length]);
    },
  );

  it('ends chunks that never cut at max', () => {
    expect(cutsOf(Buffer.alloc(max + 1), formatChunkParams)).toEqual([max, max + 1]);
    expect(cutsOf(Buffer.alloc(3 * max), formatChunkParams)).toEqual([max, 2 * max, 3 * max]);
  });

  it('has no cuts in nothing', () => {
    expect(new Chunker().next(Buffer.alloc(0), 0, 0, true)).toBe(-1);
  });
});

describe('the rule mh8 with other parameters', () => {
  it.each([
    [{ min: 8, norm: 9, max: 10 }, 64, [9, 19, 29, 39, 49, 59, 64]],
    [small, 4096, [188, 409, 875, 1106, 1252, 1666, 1964, 2256, 2549, 3358, 3784, 4096]],
    [{ min: 1000, norm: 3000, max: 10007 }, 16384, [2570, 4948, 8609, 15703, 16384]],
    [{ min: 2048, norm: 4096, max: 16384 }, 32768, [2570, 4948, 8609, 15703, 23839, 28565, 32768]],
  ])('cuts by %o', (params, length, cuts) => {
    const bytes = xorshiftBytes(1, length);
    expect(cutsOf(bytes, params)).toEqual(cuts);
    expect(naiveCuts(bytes, params)).toEqual(cuts);
  });

  it('agrees with the naive rule on every constant byte', () => {
    const shapes = new Set<number>();
    for (let value = 0; value < 256; value++) {
      const bytes = Buffer.alloc(100, value);
      const params = { min: 8, norm: 9, max: 16 };
      expect(cutsOf(bytes, params)).toEqual(naiveCuts(bytes, params));
      shapes.add(cutsOf(bytes, params)[0] as number);
    }
    // A constant has one hash, which cuts always at the first length of its threshold, or never.
    expect([...shapes].sort((a, b) => a - b)).toEqual([8, 9, 16]);
  });

  it('refuses sizes out of order', () => {
    for (const params of [
      { min: 7, norm: 9, max: 10 },
      { min: 9, norm: 9, max: 10 },
      { min: 8, norm: 10, max: 10 },
    ]) {
      expect(() => new Chunker(params)).toThrow(/chunk sizes are ordered/);
    }
  });

  it('re-synchronises soon after an insertion', () => {
    const bytes = xorshiftBytes(3, 256 * 1024);
    const known = new Set(pieces(bytes));
    const places = xorshiftBytes(11, 400);
    const added: number[] = [];
    for (let i = 0; i < 100; i++) {
      const at = places.readUInt32LE(i * 4) % bytes.length;
      const edited = Buffer.concat([
        bytes.subarray(0, at),
        Buffer.alloc(1 + (i % 100), i),
        bytes.subarray(at),
      ]);
      added.push(pieces(edited).filter((piece) => !known.has(piece)).length);
    }
    expect(Math.max(...added)).toBeLessThanOrEqual(8);
    expect(added.reduce((a, b) => a + b) / added.length).toBeLessThan(2);
    expect(Math.min(...added)).toBeGreaterThan(0);
  });
});

function pieces(bytes: Buffer): string[] {
  let start = 0;
  return cutsOf(bytes, small).map((end) => {
    const piece = bytes.subarray(start, end).toString('latin1');
    start = end;
    return piece;
  });
}

describe('hard cuts', () => {
  const bytes = xorshiftBytes(5, 8192);

  it('end chunks wherever they lie, even below min and right behind each other', () => {
    const hard = [1, 2, 3, 70, 4000, 4001, 8191];
    const cuts = cutsOf(bytes, small, hard);
    expect(cuts).toEqual(naiveCuts(bytes, small, hard));
    for (const cut of hard) expect(cuts).toContain(cut);
  });

  it('change nothing where a chunk ends anyway', () => {
    const plain = cutsOf(bytes, small);
    expect(cutsOf(bytes, small, plain.slice(0, -1))).toEqual(plain);
  });

  it('at the ends of the blob are no cuts', () => {
    expect(cutsOf(bytes, small, [0, 8192, 9000])).toEqual(cutsOf(bytes, small));
  });
});

describe('Chunker.next', () => {
  it('asks for more until a cut is certain, and finds the same one then', () => {
    const bytes = xorshiftBytes(1, 4096);
    const chunker = new Chunker(small);
    for (let end = 1; end < 188; end++) expect(chunker.next(bytes, 0, end, false)).toBe(-1);
    expect(chunker.next(bytes, 0, 188, false)).toBe(188);
    expect(chunker.next(bytes, 188, 188, false)).toBe(-1);
  });

  it('breaks the invariant by the one error family', () => {
    const make = () => new Chunker({ min: 1, norm: 2, max: 3 });
    expect(make).toThrow(expect.objectContaining({ code: 'internal' }) as Error);
    try {
      make();
    } catch (error) {
      expect(isMstoreError(error, 'internal')).toBe(true);
    }
  });
});
