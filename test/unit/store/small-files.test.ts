import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, it } from 'vitest';
import { BlobReader } from '../../../src/store/blob-reader.ts';
import {
  type AddedBlob,
  BlobWriter,
  type BlobWriterOptions,
} from '../../../src/store/blob-writer.ts';
import { Store } from '../../../src/store/local-store.ts';
import { tempFolder } from '../../support/temp.ts';
import { xorshiftBytes } from '../../support/xorshift.ts';

const kib = 1024;
/** Around every bound: a sole chunk, several, what shares a slot, what does not, and nothing at all. */
const sizes = [0, 1, 4 * kib, 128 * kib, 128 * kib + 1, 700 * kib, 2048 * kib, 2048 * kib + 1];
const largeJob = 64 * kib * kib;

interface Made {
  readonly file: string;
  readonly bytes: Buffer;
}

function makeFiles(): Made[] {
  const folder = tempFolder();
  const random = xorshiftBytes(0x1234567, 8 * kib * kib);
  return Array.from({ length: 120 }, (_, i) => {
    const size = sizes[(i * 5) % sizes.length] as number;
    // Every seventh file is one that was there before.
    const from = (i % 7 === 6 ? 0 : i) * 1_111;
    const bytes = random.subarray(from, from + size);
    const file = path.join(folder, `file-${i}`);
    fs.writeFileSync(file, bytes);
    return { file, bytes };
  });
}

async function addAll(files: readonly { file: string }[], options: BlobWriterOptions) {
  const store = new Store(path.join(tempFolder(), 'store'));
  const writer = new BlobWriter(store, { bytesExpected: largeJob, ...options });
  const added: AddedBlob[] = [];
  try {
    await writer.addFiles(files, (index, blob) => {
      expect(added[index]).toBeUndefined();
      added[index] = blob;
    });
    const stats = await writer.finish();
    return { store, added, stats };
  } finally {
    writer.close();
  }
}

const packsOf = (store: Store) => [...store.index().packs()].map(({ id }) => id).sort();
const wrong = (code: string) => expect.objectContaining({ code });

describe('small files of a large job', () => {
  it('are stored as one by one, in the same packs, each byte once', async () => {
    const files = makeFiles();
    let bytes = 0;
    const onBytes = (count: number): void => {
      bytes += count;
    };
    const together = await addAll(files, { onBytes });
    const alone = await addAll(files, { threads: 1 });
    const digests = files.map((made) => createHash('sha256').update(made.bytes).digest('hex'));
    expect(together.added.map(({ sha256 }) => sha256)).toEqual(digests);
    expect(together.added.map(({ size }) => size)).toEqual(files.map((made) => made.bytes.length));
    expect(alone.added.map(({ sha256 }) => sha256)).toEqual(digests);
    expect(together.stats).toEqual(alone.stats);
    expect(bytes).toBe(files.reduce((sum, made) => sum + made.bytes.length, 0));
    expect(packsOf(together.store)).toEqual(packsOf(alone.store));
    const reader = new BlobReader(together.store);
    for (const [i, { sha256 }] of together.added.entries()) {
      const whole = reader.readWhole(sha256, 4 * kib * kib);
      expect(whole.equals((files[i] as Made).bytes)).toBe(true);
    }
    reader.close();
  });

  it('tell which of them changed, and the writer goes on', async () => {
    const files = makeFiles();
    const store = new Store(path.join(tempFolder(), 'store'));
    const writer = new BlobWriter(store, { bytesExpected: largeJob });
    const victim = (files[41] as Made).file;
    const listed = files.map(({ file }) => ({
      file,
      hardCuts: () => {
        if (file === victim) fs.appendFileSync(file, 'more');
        return [];
      },
    }));
    try {
      expect(fs.statSync(victim).size).toBeGreaterThan(128 * kib);
      const failed = writer.addFiles(listed, () => {});
      await expect(failed).rejects.toEqual(wrong('file-changed'));
      fs.truncateSync(victim, fs.statSync(victim).size - 4);
      const added: AddedBlob[] = [];
      await writer.addFiles(files, (index, blob) => {
        added[index] = blob;
      });
      await writer.finish();
      expect(added).toHaveLength(files.length);
      for (const { sha256 } of added) expect(new Store(store.folder).has(sha256)).toBe(true);
    } finally {
      writer.close();
    }
  });

  it('stop when they are interrupted', async () => {
    const abort = new AbortController();
    const adding = addAll(makeFiles(), { signal: abort.signal, onBytes: () => abort.abort() });
    await expect(adding).rejects.toEqual(wrong('interrupted'));
  });
});
