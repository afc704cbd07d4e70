import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, it } from 'vitest';
import { sha256, sha256Raw } from '../../../src/base/digest.ts';
import { readPackFooter } from '../../../src/pack/reader.ts';
import { BlobReader } from '../../../src/store/blob-reader.ts';
import { BlobWriter, type BlobWriterOptions } from '../../../src/store/blob-writer.ts';
import { ChunkReader } from '../../../src/store/chunk-reader.ts';
import { Store } from '../../../src/store/local-store.ts';
import { PackSink } from '../../../src/store/pack-sink.ts';
import { vocabularyBytes, weightBytes } from '../../support/encoded-chunks.ts';
import { tempFolder } from '../../support/temp.ts';
import { xorshiftBytes } from '../../support/xorshift.ts';

const mib = 1024 * 1024;

/** A part of each kind, so that chunks of all encodings follow each other. */
const bytes = Buffer.concat([
  weightBytes(1, mib, 2),
  xorshiftBytes(2, mib),
  weightBytes(3, mib + 1, 4),
  vocabularyBytes(mib),
  weightBytes(4, mib, 2),
]);

async function stored(options: BlobWriterOptions) {
  const folder = tempFolder();
  const file = path.join(folder, 'model.bin');
  fs.writeFileSync(file, bytes);
  const store = new Store(path.join(folder, 'store'));
  const writer = new BlobWriter(store, options);
  try {
    const { sha256: blob } = await writer.addFile(file);
    const stats = await writer.finish();
    return { store, blob, stats, rows: store.recipe(blob)?.rows };
  } finally {
    writer.close();
  }
}

describe('a writer that compresses', () => {
  it.each([
    ['one thread', {}],
    ['several threads', { bytesExpected: 100 * mib }],
  ])('stores the same chunks in fewer bytes, with %s', async (_, options) => {
    const plain = await stored(options);
    const packed = await stored({ ...options, compress: true });
    expect(packed.blob).toBe(sha256(bytes));
    expect(packed.rows).toEqual(plain.rows);
    expect(plain.stats).toMatchObject({ bytesNew: bytes.length, bytesStored: bytes.length });
    expect(packed.stats).toEqual({ ...plain.stats, bytesStored: packed.stats.bytesStored });
    expect(packed.stats.bytesStored).toBeLessThan(bytes.length * 0.75);
    const reader = new BlobReader(packed.store);
    expect(reader.readWhole(packed.blob, 1e9).equals(bytes)).toBe(true);
    reader.close();
  });
});

describe('PackSink', () => {
  it('tells what each chunk takes, and takes those that are encoded as they are', async () => {
    const raw = weightBytes(1, 100_000, 2);
    const id = sha256Raw(raw);
    const store = new Store(tempFolder());
    const sink = new PackSink(store, { compress: true });
    const taken = sink.append(id, raw);
    expect(taken).toBeLessThan(70_000);
    const noise = xorshiftBytes(1, 1_000);
    expect(sink.append(sha256Raw(noise), noise)).toBe(1_000);
    await sink.finish();
    const reader = new ChunkReader(store);
    const place = store.index().find(id);
    const [block] = reader.read(place === undefined ? [] : [place]);
    expect(Buffer.compare(block?.bytes ?? Buffer.alloc(0), raw)).toBe(0);
    expect(block?.stored.length).toBe(taken);

    // A sink that does not compress takes what is encoded all the same.
    const other = new Store(tempFolder());
    const plain = new PackSink(other);
    const form = { encoding: place?.encoding ?? 0, rawLength: raw.length };
    plain.appendStored(id, block?.stored ?? Buffer.alloc(0), form);
    await plain.finish();
    expect(other.index().find(id)).toMatchObject({ storedLength: taken, rawLength: 100_000 });
    reader.close();
  });

  it('fills packs by the bytes that are stored', async () => {
    const folder = tempFolder();
    const store = new Store(folder);
    const sink = new PackSink(store, { compress: true });
    const raw = Buffer.alloc(mib);
    for (let n = 0; n < 300; n++) {
      raw.writeUInt32LE(n);
      sink.append(sha256Raw(raw), raw);
      expect(sink.full).toBe(false);
    }
    await sink.finish();
    const packs = fs.readdirSync(path.join(folder, 'packs'), { recursive: true, encoding: 'utf8' });
    const files = packs.filter((name) => name.endsWith('.pack'));
    expect(files).toHaveLength(1);
    const footer = readPackFooter(path.join(folder, 'packs', files[0] as string));
    expect(footer.count).toBe(300);
    expect(footer.payloadBytes).toBeLessThan(mib);
  });
});
