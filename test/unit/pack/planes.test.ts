import { deflateRawSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { ChunkEncoder, decodeBytes } from '../../../src/pack/codec.ts';
import { planesMemory } from '../../../src/pack/planes.ts';
import { deflateBytes, type Plan } from '../../../src/pack/probe.ts';
import { xorshiftBytes } from '../../support/xorshift.ts';

/** Noise and then zeros of one length, whose stream by `codes` has exactly `wanted` bytes. */
function bytesOfStream(length: number, wanted: number): Buffer {
  for (let seed = 1; seed < 100; seed++) {
    for (let zeros = 0; zeros < length; zeros++) {
      const bytes = Buffer.concat([xorshiftBytes(seed, length - zeros), Buffer.alloc(zeros)]);
      if (deflateBytes(bytes, 'codes').length === wanted) return bytes;
    }
  }
  throw new Error('There are no such bytes');
}

function interleaved(...planes: readonly Uint8Array[]): Buffer {
  const count = planes.length;
  const length = planes.reduce((sum, plane) => sum + plane.length, 0);
  return Buffer.from(
    Array.from({ length }, (_, i) => planes[i % count]?.[Math.floor(i / count)] ?? 0),
  );
}

describe('planes', () => {
  const zeros = Buffer.alloc(300);
  const plan: Plan = { encoding: 'planes2', methods: ['codes', 'runs'] };

  it('need a word each more than their bytes, at most', () => {
    for (const count of [2, 4]) {
      for (let length = 0; length < 100; length++) {
        const memory = planesMemory(length, count);
        expect(memory).toBeGreaterThanOrEqual(length);
        expect(memory).toBeLessThanOrEqual(length + 4 * count);
      }
    }
  });

  it('are stored as they are where the plan says so', () => {
    const { bytes } = new ChunkEncoder().encode(Buffer.alloc(600), {
      encoding: 'planes2',
      methods: ['raw', 'runs'],
    });
    expect(Buffer.from(bytes).readUInt32LE(0)).toBe(300);
  });

  it('are stored as they are where a stream is as long, which would be read as no stream', () => {
    const raw = interleaved(bytesOfStream(300, 300), zeros);
    const { bytes, form } = new ChunkEncoder().encode(raw, plan);
    expect(form.encoding).toBe(2);
    expect(Buffer.from(bytes).readUInt32LE(0)).toBe(300);
    expect(Buffer.from(decodeBytes(bytes, 'planes2', 600) ?? []).equals(raw)).toBe(true);
  });

  it('are not read from a stream that is longer than they are', () => {
    const stream = deflateRawSync(zeros, { level: 0 });
    expect(stream.length).toBe(305);
    const head = Buffer.alloc(8);
    head.writeUInt32LE(stream.length, 0);
    head.writeUInt32LE(zeros.length, 4);
    expect(decodeBytes(Buffer.concat([head, stream, zeros]), 'planes2', 600)).toBeUndefined();
  });
});

describe('a chunk', () => {
  it('is encoded where that saves exactly five in a hundred, and as it is where the plan says so', () => {
    const encoder = new ChunkEncoder();
    const raw = bytesOfStream(400, 380);
    expect(encoder.encode(raw, { encoding: 'deflate', methods: ['codes'] }).bytes).toHaveLength(
      380,
    );
    const asIs = encoder.encode(Buffer.alloc(400), { encoding: 'deflate', methods: ['raw'] });
    expect(asIs.form.encoding).toBe(0);
  });

  it('is not called damaged for a mistake of the program', () => {
    expect(() => decodeBytes(Buffer.alloc(1), 'deflate', Number.POSITIVE_INFINITY)).toThrow(
      RangeError,
    );
  });
});
