import { gunzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { storedGzip } from '../../../src/archive/stored-gzip.ts';
import { noise } from '../../support/flow-scratch.ts';

async function* cut(bytes: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function packed(source: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of storedGzip(source)) parts.push(Buffer.from(part));
  return Buffer.concat(parts);
}

describe('a stored gzip', () => {
  const block = 65_535;
  const group = 64 * block;

  it.each([
    0,
    1,
    block - 1,
    block,
    block + 1,
    2 * block,
    group - 1,
    group,
    group + 1,
    2 * group + 7,
  ])('gives %i bytes back', async (size) => {
    const bytes = noise(size);
    const gzip = await packed(cut(bytes, 200_000));
    expect(gunzipSync(gzip).equals(bytes)).toBe(true);
    const blocks = Math.max(1, Math.ceil(size / block));
    expect(gzip.length).toBe(10 + size + 5 * blocks + 8);
  });

  it('is the same however the bytes come', async () => {
    const bytes = noise(3 * block + 11);
    const whole = await packed(cut(bytes, bytes.length));
    for (const size of [1000, block, block + 1, 512]) {
      expect((await packed(cut(bytes, size))).equals(whole)).toBe(true);
    }
  });

  it('says nothing of the machine', async () => {
    const gzip = await packed(cut(Buffer.from('ab'), 1));
    expect(gzip.toString('hex')).toBe('1f8b08000000000000ff010200fdff61626d48839e02000000');
  });
});
