import * as fs from 'node:fs';
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { sha256Raw } from '../../../src/base/digest.ts';
import { isMstoreError } from '../../../src/base/errors.ts';
import { FooterBuilder, type PackFooter } from '../../../src/pack/format.ts';
import { memoryRemote } from '../../../src/remote/memory.ts';
import { bytesSource } from '../../../src/remote/remote.ts';
import { indexKey, packKey } from '../../../src/store/keys.ts';
import { Store } from '../../../src/store/local-store.ts';
import type { OnPackDamage } from '../../../src/store/pack-check.ts';
import { type PackLane, PackThreads } from '../../../src/store/pack-threads.ts';
import { packSource, receivePack, verifiedPack } from '../../../src/store/pack-transfer.ts';
import { writePack } from '../../support/packs.ts';
import { runs } from '../../support/runs.ts';
import { tempFolder } from '../../support/temp.ts';
import { xorshiftBytes } from '../../support/xorshift.ts';

async function* inBlocks(bytes: Buffer, sizes: readonly number[]): AsyncGenerator<Uint8Array> {
  for (let at = 0, i = 0; at < bytes.length; i++) {
    const size = Math.max(1, sizes[i % sizes.length] ?? bytes.length);
    yield bytes.subarray(at, at + size);
    at += size;
  }
}

async function collect(blocks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const block of blocks) parts.push(Buffer.from(block));
  return Buffer.concat(parts);
}

async function codeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
  } catch (error) {
    if (isMstoreError(error)) return error.code;
    throw error;
  }
  return 'no error';
}

function smallPack(...texts: string[]): { bytes: Buffer; footer: PackFooter; file: string } {
  const chunks = texts.map((text) => Buffer.from(text));
  const { file, footer } = writePack(tempFolder(), chunks);
  return { bytes: fs.readFileSync(file), footer, file };
}

/** Two threads, as a large transfer has them. */
const threads = PackThreads.for(1024 * 1024 * 1024, 2) as PackThreads;
afterAll(() => threads.close());

/** Does work with a lane of the threads, or without any. */
type WithLane = <T>(work: (lane: PackLane | undefined) => Promise<T>) => Promise<T>;
const ways: Array<[string, WithLane]> = [
  ['on this thread', (work) => work(undefined)],
  ['by threads', (work) => threads.withLane(work)],
];

describe.each(ways)('verifiedPack %s', (_, withLane) => {
  const pass = (blocks: AsyncIterable<Uint8Array>, footer: PackFooter): Promise<Buffer> =>
    withLane((lane) => collect(verifiedPack(blocks, footer, { lane })));

  it('passes a whole pack on, however its bytes arrive', async () => {
    const { bytes, footer } = smallPack('first', 'second one', 'x');
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 1, max: 300 }), { minLength: 1, maxLength: 5 }),
        async (sizes) => {
          const passed = await pass(inBlocks(bytes, sizes), footer);
          expect(passed.equals(bytes)).toBe(true);
        },
      ),
      runs(50),
    );
  });

  it('fails on every single changed byte, every truncation and anything behind', async () => {
    const { bytes, footer } = smallPack('first', 'second one');
    const check = (damaged: Buffer) => codeOf(pass(inBlocks(damaged, [7]), footer));
    for (let at = 0; at < bytes.length; at++) {
      const damaged = Buffer.from(bytes);
      damaged[at] = (damaged[at] as number) ^ 0x01;
      expect(await check(damaged), `byte ${at}`).toBe(at < 15 ? 'corrupt-chunk' : 'corrupt-pack');
      expect(await check(bytes.subarray(0, at)), `${at} bytes`).toBe('corrupt-pack');
    }
    expect(await check(Buffer.concat([bytes, Buffer.from([0])]))).toBe('corrupt-pack');
    expect(await check(bytes)).toBe('no error');
  });

  it('fails on the bytes of another pack', async () => {
    const one = smallPack('first', 'second one');
    const other = smallPack('first', 'second oNe');
    expect(await codeOf(pass(inBlocks(other.bytes, [64]), one.footer))).toBe('corrupt-chunk');
  });

  it('refuses chunks in an encoding that it cannot read', async () => {
    const builder = new FooterBuilder();
    builder.add(sha256Raw(Buffer.from('raw bytes')), {
      offset: 0,
      storedLength: 3,
      rawLength: 9,
      encoding: 4,
    });
    const footer = builder.finish();
    const bytes = Buffer.concat([Buffer.from('abc'), footer.bytes, footer.trailer()]);
    expect(await codeOf(pass(inBlocks(bytes, [2]), footer))).toBe('newer-format');
  });

  it('passes a pack on that is larger than the memory of the threads, and finds damage anywhere', async () => {
    const sizes = [1, 700_000, 2_097_152, 3_000_000, 65_536, 1, 4_000_000];
    const chunks = sizes.map((size, i) => xorshiftBytes(i + 1, size));
    const { file, footer } = writePack(tempFolder(), chunks);
    const bytes = fs.readFileSync(file);
    const blocks = [65_536, 1, 3_000_000, 12_345];
    expect((await pass(inBlocks(bytes, blocks), footer)).equals(bytes)).toBe(true);
    const payload = sizes.reduce((sum, size) => sum + size, 0);
    for (const at of [0, 1, 700_000, 2_097_152, 4_194_304, payload - 1]) {
      const damaged = Buffer.from(bytes);
      damaged[at] = (damaged[at] as number) ^ 0x80;
      expect(await codeOf(pass(inBlocks(damaged, blocks), footer)), `byte ${at}`).toBe(
        'corrupt-chunk',
      );
    }
  });

  it('goes on behind damage that it is told to note', async () => {
    const { bytes, footer } = smallPack('first', 'second one', 'x');
    const noted = async (damaged: Buffer): Promise<string[]> => {
      const found: string[] = [];
      await withLane((lane) => {
        const onDamage: OnPackDamage = ({ code }, rows) =>
          found.push(rows === undefined ? code : `${code} ${rows.first}-${rows.end}`);
        return collect(verifiedPack(inBlocks(damaged, [7]), footer, { lane, onDamage }));
      });
      return [...new Set(found)];
    };
    const flipped = (...at: number[]): Buffer => {
      const copy = Buffer.from(bytes);
      for (const each of at) copy[each] = (copy[each] as number) ^ 1;
      return copy;
    };
    expect(await noted(bytes)).toEqual([]);
    expect(await noted(flipped(0, 15))).toEqual(['corrupt-chunk 0-1', 'corrupt-chunk 2-3']);
    expect(await noted(flipped(3, 20))).toEqual(['corrupt-chunk 0-1', 'corrupt-pack']);
    expect(await noted(bytes.subarray(0, 10))).toEqual(['corrupt-pack 1-3']);
    expect(await noted(bytes.subarray(0, 100))).toEqual(['corrupt-pack 3-3']);
    expect(await noted(Buffer.concat([bytes, bytes]))).toContain('corrupt-pack');
  });

  it('hands out the last bytes only after all have been verified', async () => {
    const { bytes, footer } = smallPack('first', 'second one');
    const damaged = Buffer.from(bytes).fill(0, 14, 15);
    let handedOut = 0;
    const code = await codeOf(
      withLane(async (lane) => {
        for await (const block of verifiedPack(inBlocks(damaged, [9]), footer, { lane })) {
          handedOut += block.length;
        }
      }),
    );
    expect(code).toBe('corrupt-chunk');
    expect(handedOut).toBeLessThan(bytes.length);
  });
});

describe.each(ways)('packSource %s', (_, withLane) => {
  it('can be read more than once and verifies each time', async () => {
    const { bytes, footer, file } = smallPack('first', 'second one');
    await withLane(async (lane) => {
      const source = packSource(file, footer, lane);
      expect(source.size).toBe(bytes.length);
      expect((await collect(source.open())).equals(bytes)).toBe(true);
      fs.writeFileSync(file, bytes.fill(0, 0, 1));
      expect(await codeOf(collect(source.open()))).toBe('corrupt-chunk');
      fs.rmSync(file);
      expect(await codeOf(collect(source.open()))).toBe('objects-missing');
    });
  });
});

describe.each(ways)('receivePack %s', (_, withLane) => {
  async function receive(damage: (bytes: Buffer) => Buffer) {
    const { bytes, footer } = smallPack('first', 'second one');
    const remote = memoryRemote();
    await remote.create(packKey(footer.id), bytesSource(damage(Buffer.from(bytes))));
    const store = new Store(tempFolder());
    let received = 0;
    const onBytes = (count: number): void => {
      received += count;
    };
    const code = await codeOf(
      withLane((lane) => receivePack(store, remote, footer, onBytes, { lane })),
    );
    return { code, store, footer, bytes, received };
  }

  it('publishes a pack and its index object', async () => {
    const { code, store, footer, bytes, received } = await receive((whole) => whole);
    expect(code).toBe('no error');
    expect(received).toBe(bytes.length);
    expect(fs.readFileSync(store.file(packKey(footer.id))).equals(bytes)).toBe(true);
    expect(fs.readFileSync(store.file(indexKey(footer.id))).equals(footer.bytes)).toBe(true);
    expect(store.footer(footer.id)?.count).toBe(2);
    expect(fs.readdirSync(store.file('tmp'))).toEqual([]);
  });

  it.each<[string, (bytes: Buffer) => Buffer]>([
    ['changed', (bytes) => bytes.fill(0, 3, 4)],
    ['cut short', (bytes) => bytes.subarray(0, bytes.length - 1)],
    ['empty', () => Buffer.alloc(0)],
    ['followed by more', (bytes) => Buffer.concat([bytes, Buffer.alloc(9)])],
  ])('publishes nothing of a pack that is %s', async (__, damage) => {
    const { code, store, footer } = await receive(damage);
    expect(code).toBe('corrupt-remote');
    expect(fs.existsSync(store.file(packKey(footer.id)))).toBe(false);
    expect(fs.readdirSync(store.file('tmp'))).toEqual([]);
    expect(new Store(store.folder).index().rows).toBe(0);
  });
});
