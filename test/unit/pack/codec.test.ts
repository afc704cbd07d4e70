import { constants, deflateRawSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ChunkEncoder, decodeBytes } from '../../../src/pack/codec.ts';
import { type Encoding, encodingName, encodingNumber } from '../../../src/pack/format.ts';
import type { Method, Plan } from '../../../src/pack/probe.ts';
import { vocabularyBytes, weightBytes } from '../../support/encoded-chunks.ts';
import { naiveDecode } from '../../support/naive-decoder.ts';
import { runs } from '../../support/runs.ts';
import { xorshiftBytes } from '../../support/xorshift.ts';

const encoder = new ChunkEncoder();

function plan(encoding: Encoding, ...methods: Method[]): Plan {
  return { encoding, methods };
}

/** Encodes and copies: the bytes of an encoder are its own. */
function encode(raw: Uint8Array, how?: Plan): { bytes: Buffer; encoding: Encoding } {
  const { bytes, form } = encoder.encode(raw, how);
  expect(form.rawLength).toBe(raw.length);
  return { bytes: Buffer.from(bytes), encoding: encodingName(form.encoding) as Encoding };
}

function expectSame(actual: Uint8Array | undefined, raw: Uint8Array, what = ''): void {
  expect(actual !== undefined && Buffer.compare(actual, raw) === 0, what).toBe(true);
}

const methods = fc.constantFrom<Method>('raw', 'codes', 'runs', 'repeats');
const plans = fc.oneof(
  methods.map((one) => plan('deflate', one)),
  fc.array(methods, { minLength: 2, maxLength: 2 }).map((list) => plan('planes2', ...list)),
  fc.array(methods, { minLength: 4, maxLength: 4 }).map((list) => plan('planes4', ...list)),
);
const makers = {
  noise: xorshiftBytes,
  halves: (seed: number, length: number) => weightBytes(seed, length, 2),
  words: (seed: number, length: number) => weightBytes(seed, length, 4),
  text: (_: number, length: number) => vocabularyBytes(length),
  zeros: (_: number, length: number) => Buffer.alloc(length),
};
/** Chunks of all kinds, lengths and phases, that start anywhere in their memory. */
const chunks = fc
  .record({
    kind: fc.constantFrom(...(Object.keys(makers) as Array<keyof typeof makers>)),
    seed: fc.integer({ min: 1, max: 1_000 }),
    length: fc.oneof(fc.integer({ min: 1, max: 100 }), fc.integer({ min: 1, max: 9_000 })),
    phase: fc.nat(7),
  })
  .map(({ kind, seed, length, phase }) => makers[kind](seed, length + phase).subarray(phase));

describe('ChunkEncoder', () => {
  it('makes what decodes to the same bytes, however it is told to encode', () => {
    fc.assert(
      fc.property(chunks, plans, (raw, how) => {
        const before = Buffer.from(raw);
        const { bytes, encoding } = encode(raw, how);
        expectSame(raw, before);
        expectSame(naiveDecode(bytes, encodingNumber(encoding), raw.length), raw);
        expectSame(decodeBytes(bytes, encoding, raw.length), raw);
        expect(['raw', how.encoding]).toContain(encoding);
        if (encoding !== 'raw') expect(bytes.length).toBeLessThanOrEqual(raw.length * 0.95);
      }),
      runs(400),
    );
  });

  it('makes what decodes to the same bytes where the probe chooses', () => {
    fc.assert(
      fc.property(chunks, (raw) => {
        const { bytes, encoding } = encode(raw);
        expectSame(decodeBytes(bytes, encoding, raw.length), raw);
      }),
      runs(200),
    );
  });

  it.each([2, 4] as const)('splits every length of numbers of %i bytes', (size) => {
    const how = plan(`planes${size}`, ...Array.from({ length: size }, () => 'runs' as const));
    const all = Buffer.alloc(300);
    for (let i = size - 1; i < all.length; i += size) all[i] = i;
    for (let length = 1; length < all.length; length++) {
      const raw = all.subarray(all.length - length);
      const { bytes, encoding } = encode(raw, how);
      expectSame(decodeBytes(bytes, encoding, length), raw, `${length} bytes`);
    }
  });

  it('groups bytes by plane', () => {
    const raw = Buffer.from(Array.from({ length: 101 }, (_, i) => (i % 2 === 0 ? i : 0)));
    const { bytes } = encode(raw, plan('planes2', 'raw', 'runs'));
    expect(bytes.readUInt32LE(0)).toBe(51);
    expect(bytes.readUInt32LE(4)).toBe(bytes.length - 8 - 51);
    expect([...bytes.subarray(8, 59)]).toEqual(Array.from({ length: 51 }, (_, i) => i * 2));
    const words = Buffer.from(Array.from({ length: 103 }, (_, i) => (i % 4 === 2 ? i : 9)));
    const four = encode(words, plan('planes4', 'runs', 'runs', 'raw', 'runs')).bytes;
    const at = 16 + four.readUInt32LE(0) + four.readUInt32LE(4);
    expect(four.readUInt32LE(8)).toBe(26);
    expect([...four.subarray(at, at + 26)]).toEqual(
      Array.from({ length: 26 }, (_, i) => i * 4 + 2),
    );
  });

  it('returns the bytes themselves where encoding does not pay', () => {
    const raw = xorshiftBytes(3, 10_000);
    const { bytes, form } = encoder.encode(raw);
    expect(bytes).toBe(raw);
    expect(form).toEqual({ encoding: 0, rawLength: 10_000 });
    const told = encoder.encode(raw, plan('planes4', 'codes', 'codes', 'codes', 'codes'));
    expect(told.bytes).toBe(raw);
  });

  it('keeps a chunk raw that would save less than five in a hundred', () => {
    const raw = Buffer.concat([xorshiftBytes(1, 10_000), Buffer.alloc(400)]);
    expect(encode(raw, plan('deflate', 'repeats')).encoding).toBe('raw');
    const more = Buffer.concat([xorshiftBytes(1, 10_000), Buffer.alloc(600)]);
    expect(encode(more, plan('deflate', 'repeats')).encoding).toBe('deflate');
  });

  it('takes bytes in memory that threads share', () => {
    const raw = Buffer.from(new SharedArrayBuffer(20_003) as unknown as ArrayBuffer, 3);
    weightBytes(1, 20_000, 2).copy(raw);
    const { bytes, encoding } = encode(raw);
    expect(encoding).toBe('planes2');
    expectSame(decodeBytes(bytes, encoding, raw.length), raw);
  });

  it('encodes the largest chunk', () => {
    const raw = weightBytes(1, 16 * 1024 * 1024, 4);
    const { bytes, encoding } = encode(raw);
    expect(encoding).toBe('planes4');
    expectSame(decodeBytes(bytes, encoding, raw.length), raw);
  });
});

/** The stored bytes of planes as a writer would lay them out. */
function planesOf(...parts: readonly Buffer[]): Buffer {
  const head = Buffer.alloc(parts.length * 4);
  for (const [i, { length }] of parts.entries()) head.writeUInt32LE(length, i * 4);
  return Buffer.concat([head, ...parts]);
}

function patched(bytes: Buffer, patch: (bytes: Buffer) => void): Buffer {
  const copy = Buffer.from(bytes);
  patch(copy);
  return copy;
}

describe('decodeBytes', () => {
  const ones = Buffer.alloc(100, 1);
  const deflated = deflateRawSync(ones);
  const noise = xorshiftBytes(1, 100);
  const good = planesOf(deflated, noise);

  it('reads what any writer of streams makes', () => {
    const text = vocabularyBytes(5_000);
    const { Z_FIXED, Z_FILTERED, Z_HUFFMAN_ONLY, Z_RLE } = constants;
    for (const strategy of [Z_FIXED, Z_FILTERED, Z_HUFFMAN_ONLY, Z_RLE]) {
      expectSame(decodeBytes(deflateRawSync(text, { strategy }), 'deflate', 5_000), text);
    }
    // Stored blocks make a stream longer than its bytes; as one plane of two it can stand all the same.
    const stored = deflateRawSync(ones, { level: 0 });
    expect(stored.length).toBe(105);
    expectSame(decodeBytes(stored, 'deflate', 100), ones);
  });

  it('reads planes', () => {
    const raw = Buffer.from(
      Array.from({ length: 200 }, (_, i) => (i % 2 ? noise[i >> 1] : 1)) as number[],
    );
    expectSame(decodeBytes(good, 'planes2', 200), raw);
    const odd = decodeBytes(planesOf(deflated, noise.subarray(1)), 'planes2', 199);
    expect(odd?.length).toBe(199);
  });

  it.each<[string, Encoding, Buffer, number]>([
    ['raw bytes of another length', 'raw', noise, 99],
    ['nothing', 'deflate', Buffer.alloc(0), 100],
    ['no stream', 'deflate', Buffer.alloc(20, 0xff), 100],
    ['a stream that yields too little', 'deflate', deflated, 101],
    ['a stream that yields too much', 'deflate', deflated, 99],
    ['a stream that yields something for nothing', 'deflate', deflated, 0],
    ['a stream cut short', 'deflate', deflated.subarray(0, -1), 100],
    ['a byte behind a stream', 'deflate', Buffer.concat([deflated, Buffer.alloc(1)]), 100],
    ['many bytes behind a stream', 'deflate', Buffer.concat([deflated, noise]), 100],
    ['a second stream', 'deflate', Buffer.concat([deflated, deflated]), 200],
    [
      'a stream with the head of zlib',
      'deflate',
      Buffer.concat([Buffer.from('789c', 'hex'), deflated]),
      100,
    ],
    ['no planes', 'planes2', Buffer.alloc(0), 200],
    ['lengths cut short', 'planes4', good.subarray(0, 15), 200],
    ['planes cut short', 'planes2', good.subarray(0, -1), 200],
    ['a byte behind the planes', 'planes2', Buffer.concat([good, Buffer.alloc(1)]), 200],
    ['planes of a longer chunk', 'planes2', good, 199],
    ['planes of a shorter chunk', 'planes2', good, 202],
    ['two planes for four', 'planes4', good, 200],
    ['a plane longer than its bytes', 'planes2', planesOf(Buffer.alloc(101), noise), 200],
    ['a length above all', 'planes2', patched(good, (b) => b.writeUInt32LE(0xffffffff, 4)), 200],
    ['an empty plane', 'planes2', planesOf(Buffer.alloc(0), noise), 200],
    [
      'a plane that yields too little',
      'planes2',
      planesOf(deflateRawSync(ones.subarray(1)), noise),
      200,
    ],
    [
      'a plane that yields too much',
      'planes2',
      planesOf(deflateRawSync(Buffer.alloc(101)), noise),
      200,
    ],
    [
      'a byte behind a plane',
      'planes2',
      planesOf(Buffer.concat([deflated, Buffer.alloc(1)]), noise),
      200,
    ],
  ])('refuses %s', (_, encoding, stored, rawLength) => {
    expect(decodeBytes(stored, encoding, rawLength)).toBeUndefined();
  });

  it('never fails, and yields as many bytes as it was asked for, whatever it is given', () => {
    const mutations = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 4 });
    fc.assert(
      fc.property(chunks, plans, mutations, fc.nat(12), (raw, how, changes, cut) => {
        const { bytes, encoding } = encode(raw, how);
        for (const [at, value] of changes) bytes[at % bytes.length] = value;
        const stored = bytes.subarray(0, Math.max(0, bytes.length - (cut > 8 ? cut - 8 : 0)));
        const decoded = decodeBytes(stored, encoding, raw.length);
        if (decoded !== undefined) expect(decoded.length).toBe(raw.length);
      }),
      runs(500),
    );
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 64 }),
        fc.constantFrom<Encoding>('raw', 'deflate', 'planes2', 'planes4'),
        fc.nat(200),
        (stored, encoding, rawLength) => {
          const decoded = decodeBytes(stored, encoding, rawLength);
          if (decoded !== undefined) expect(decoded.length).toBe(rawLength);
        },
      ),
      runs(500),
    );
  });

  it('takes no more memory than the length it was told, whatever a stream yields', () => {
    const bomb = deflateRawSync(Buffer.alloc(128 * 1024 * 1024), { level: 1 });
    expect(bomb.length).toBeLessThan(900_000);
    const before = process.memoryUsage().arrayBuffers;
    expect(decodeBytes(bomb, 'deflate', 1_000_000)).toBeUndefined();
    const planes = planesOf(bomb, Buffer.alloc(1_000_000));
    expect(decodeBytes(planes, 'planes2', 2_000_000)).toBeUndefined();
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(8_000_000);
  });
});
