import * as fs from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { sha256Raw } from '../../../src/base/digest.ts';
import { isMstoreError } from '../../../src/base/errors.ts';
import { FooterBuilder, type PackFooter } from '../../../src/pack/format.ts';
import { memoryRemote } from '../../../src/remote/memory.ts';
import { bytesSource } from '../../../src/remote/remote.ts';
import { indexKey, packKey } from '../../../src/store/keys.ts';
import { Store } from '../../../src/store/local-store.ts';
import { packSource, receivePack, verifiedPack } from '../../../src/store/pack-transfer.ts';
import { writePack } from '../../support/packs.ts';
import { runs } from '../../support/runs.ts';
import { tempFolder } from '../../support/temp.ts';

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

describe('verifiedPack', () => {
  it('passes a whole pack on, however its bytes arrive', async () => {
    const { bytes, footer } = smallPack('first', 'second one', 'x');
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 1, max: 300 }), { minLength: 1, maxLength: 5 }),
        async (sizes) => {
          const passed = await collect(verifiedPack(inBlocks(bytes, sizes), footer));
          expect(passed.equals(bytes)).toBe(true);
        },
      ),
      runs(50),
    );
  });

  it('fails on every single changed byte, every truncation and anything behind', async () => {
    const { bytes, footer } = smallPack('first', 'second one');
    const check = (damaged: Buffer) =>
      codeOf(collect(verifiedPack(inBlocks(damaged, [7]), footer)));
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
    expect(await codeOf(collect(verifiedPack(inBlocks(other.bytes, [64]), one.footer)))).toBe(
      'corrupt-chunk',
    );
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
    expect(await codeOf(collect(verifiedPack(inBlocks(bytes, [2]), footer)))).toBe('newer-format');
  });
});

describe('packSource', () => {
  it('can be read more than once and verifies each time', async () => {
    const { bytes, footer, file } = smallPack('first', 'second one');
    const source = packSource(file, footer);
    expect(source.size).toBe(bytes.length);
    expect((await collect(source.open())).equals(bytes)).toBe(true);
    fs.writeFileSync(file, bytes.fill(0, 0, 1));
    expect(await codeOf(collect(source.open()))).toBe('corrupt-chunk');
    fs.rmSync(file);
    expect(await codeOf(collect(source.open()))).toBe('not-found');
  });
});

describe('receivePack', () => {
  async function receive(damage: (bytes: Buffer) => Buffer) {
    const { bytes, footer } = smallPack('first', 'second one');
    const remote = memoryRemote();
    await remote.create(packKey(footer.id), bytesSource(damage(Buffer.from(bytes))));
    const store = new Store(tempFolder());
    let received = 0;
    const code = await codeOf(
      receivePack(store, remote, footer, (count) => {
        received += count;
      }),
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
  ])('publishes nothing of a pack that is %s', async (_, damage) => {
    const { code, store, footer } = await receive(damage);
    expect(code).toBe('corrupt-remote');
    expect(fs.existsSync(store.file(packKey(footer.id)))).toBe(false);
    expect(fs.readdirSync(store.file('tmp'))).toEqual([]);
    expect(new Store(store.folder).index().rows).toBe(0);
  });
});
