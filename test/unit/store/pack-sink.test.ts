import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { sha256Raw } from '../../../src/base/digest.ts';
import { limits } from '../../../src/base/limits.ts';
import { Store } from '../../../src/store/local-store.ts';
import { PackSink } from '../../../src/store/pack-sink.ts';
import { tempFolder } from '../../support/temp.ts';

// Packs of 256 MiB are too large for a test; what closes them is the same at 1,000 bytes.
vi.mock('../../../src/base/limits.ts', async (importOriginal) => {
  const real = await importOriginal<{ limits: object }>();
  return { limits: { ...real.limits, packBytesTarget: 1_000, packChunksTarget: 64 } };
});

function chunkOf(n: number, length: number): { id: Buffer; raw: Buffer } {
  const raw = Buffer.alloc(length, `${n}.`);
  return { id: sha256Raw(raw), raw };
}

async function fill(sink: PackSink, count: number, length: number): Promise<void> {
  for (let n = 0; n < count; n++) {
    const { id, raw } = chunkOf(n, length);
    if (!sink.has(id)) sink.append(id, raw);
    if (sink.full) await sink.publish();
  }
  await sink.finish();
}

const packsOf = (store: Store) => [...store.index().packs()];

describe('PackSink', () => {
  it('closes a pack at its number of chunks', async () => {
    const store = new Store(tempFolder());
    await fill(new PackSink(store), 200, 5);
    expect(packsOf(store).map(({ count }) => count)).toEqual([64, 64, 64, 8]);
    expect(store.index().rows).toBe(200);
  });

  it('closes a pack at its bytes', async () => {
    const store = new Store(tempFolder());
    await fill(new PackSink(store), 25, 100);
    expect(packsOf(store).map(({ payloadBytes }) => payloadBytes)).toEqual([1_000, 1_000, 500]);
    for (const pack of packsOf(store)) {
      expect(pack.payloadBytes).toBeLessThan(limits.packBytesTarget + 100);
    }
  });

  it('knows the chunks of the pack being written and those published', async () => {
    const store = new Store(tempFolder());
    const sink = new PackSink(store);
    const { id, raw } = chunkOf(1, 10);
    expect(sink.has(id)).toBe(false);
    sink.append(id, raw);
    expect(sink.has(Buffer.concat([Buffer.alloc(3), id]), 3)).toBe(true);
    expect(store.index().has(id)).toBe(false);
    await sink.publish();
    expect(store.index().has(id)).toBe(true);
    expect(sink.has(id)).toBe(true);
    await sink.publish();
    await sink.finish();
    expect(packsOf(store)).toHaveLength(1);
  });

  it('leaves nothing of a pack that was not published', async () => {
    const store = new Store(tempFolder());
    const sink = new PackSink(store);
    const { id, raw } = chunkOf(1, 10);
    sink.append(id, raw);
    expect(fs.readdirSync(store.file('tmp'))).toHaveLength(1);
    sink.close();
    sink.close();
    expect(fs.readdirSync(store.file('tmp'))).toEqual([]);
    expect(fs.existsSync(path.join(store.folder, 'packs'))).toBe(false);
  });
});
