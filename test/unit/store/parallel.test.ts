import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { type Digest, sha256Raw } from '../../../src/base/digest.ts';
import { DirectFile } from '../../../src/base/direct-file.ts';
import { Chunker } from '../../../src/chunk/chunker.ts';
import { BlobReader } from '../../../src/store/blob-reader.ts';
import { BlobWriter, type BlobWriterOptions } from '../../../src/store/blob-writer.ts';
import { packKey, recipeKey } from '../../../src/store/keys.ts';
import { Store } from '../../../src/store/local-store.ts';
import type { WriteToOptions } from '../../../src/store/parallel-blob-reader.ts';
import { formatRecipe, Recipe } from '../../../src/store/recipe.ts';
import { tempFolder } from '../../support/temp.ts';
import { xorshiftBytes } from '../../support/xorshift.ts';

/** Just above the size from which threads do the work, and no multiple of any buffer. */
const size = 70 * 1024 * 1024 + 12_345;

/** Bytes of which some parts repeat, so that chunks do too. */
function content(): Buffer {
  const bytes = xorshiftBytes(0x2545f491, size);
  bytes.copy(bytes, 40_000_000, 5_000_000, 15_000_000);
  bytes.fill(0, 60_000_000, 63_000_000);
  return bytes;
}

/** The chunk ids and lengths that the reference implementation gives. */
function referenceRows(bytes: Buffer): Buffer {
  const rows: Buffer[] = [];
  const chunker = new Chunker();
  for (let start = 0; start < bytes.length; ) {
    const end = chunker.next(bytes, start, bytes.length, true);
    const length = Buffer.alloc(4);
    length.writeUInt32LE(end - start);
    rows.push(sha256Raw(bytes.subarray(start, end)), length);
    start = end;
  }
  return Buffer.concat(rows);
}

async function stored(
  file: string,
  options: BlobWriterOptions = {},
): Promise<{ store: Store; blob: Digest; chunksNew: number }> {
  const store = new Store(path.join(tempFolder(), 'store'));
  const writer = new BlobWriter(store, options);
  try {
    const { sha256 } = await writer.addFile(file);
    const { chunksNew } = await writer.finish();
    return { store, blob: sha256, chunksNew };
  } finally {
    writer.close();
  }
}

/** Writes a blob to a file and returns the digest of that. */
async function written(
  reader: BlobReader,
  blob: Digest,
  options: WriteToOptions = { onBytes: () => {} },
): Promise<string> {
  const file = path.join(tempFolder(), 'written');
  const out = DirectFile.create(file);
  try {
    await reader.writeTo(blob, out, options);
    return createHash('sha256').update(fs.readFileSync(file)).digest('hex');
  } finally {
    out.close();
  }
}

async function writeToEnd(store: Store, blob: Digest): Promise<string> {
  const reader = new BlobReader(store);
  try {
    return await written(reader, blob);
  } finally {
    reader.close();
  }
}

const wrong = (code: string) => expect.objectContaining({ code });

describe('files large enough for threads', () => {
  let bytes: Buffer;
  beforeAll(() => {
    bytes = content();
  });

  function file(): string {
    const name = path.join(tempFolder(), 'model.bin');
    fs.writeFileSync(name, bytes);
    return name;
  }

  it('get the digest, the cuts and the chunks of the reference, each chunk once', async () => {
    const { store, blob, chunksNew } = await stored(file());
    expect(blob).toBe(createHash('sha256').update(bytes).digest('hex'));
    const rows = referenceRows(bytes);
    expect(store.recipe(blob)?.rows.equals(rows)).toBe(true);
    const ids = new Set<string>();
    for (let at = 0; at < rows.length; at += 36) ids.add(rows.toString('hex', at, at + 32));
    expect(ids.size).toBeLessThan(rows.length / 36);
    expect(chunksNew).toBe(ids.size);
    expect(await writeToEnd(store, blob)).toBe(blob);
  });

  it.each<[string, BlobWriterOptions]>([
    ['one thread', { threads: 1 }],
    ['the scalar kernel', { kernels: ['scalar'] }],
    ['the scalar kernel on one thread', { kernels: ['scalar'], threads: 1 }],
    ['no kernel', { kernels: [] }],
    ['many threads', { threads: 16 }],
  ])('have the same recipe and the same packs by %s', async (_, options) => {
    const usual = await stored(file());
    const other = await stored(file(), options);
    expect(other.blob).toBe(usual.blob);
    const [recipe, same] = [usual, other].map(({ store, blob }) => store.recipe(blob)?.rows);
    expect(recipe?.equals(same as Buffer)).toBe(true);
    const [packs, samePacks] = [usual, other].map(({ store }) =>
      [...store.index().packs()].map(({ id }) => id),
    );
    expect(packs?.length).toBeGreaterThan(0);
    expect(samePacks).toEqual(packs);
    const reader = new BlobReader(other.store, options.threads);
    expect(await written(reader, other.blob)).toBe(usual.blob);
    reader.close();
  });

  it('are refused when they shrink while they are read, and the writer goes on', async () => {
    const name = file();
    const store = new Store(path.join(tempFolder(), 'store'));
    const writer = new BlobWriter(store, {
      onBytes: () => fs.truncateSync(name, 30_000_000),
    });
    try {
      await expect(writer.addFile(name)).rejects.toEqual(wrong('file-changed'));
      const small = path.join(path.dirname(name), 'small');
      fs.writeFileSync(small, 'after');
      const added = await writer.addFile(small);
      await writer.finish();
      expect(await writeToEnd(store, added.sha256)).toBe(added.sha256);
    } finally {
      writer.close();
    }
  });

  it('stop when they are interrupted', async () => {
    const abort = new AbortController();
    const writer = new BlobWriter(new Store(path.join(tempFolder(), 'store')), {
      signal: abort.signal,
      onBytes: () => abort.abort(),
    });
    try {
      await expect(writer.addFile(file())).rejects.toEqual(wrong('interrupted'));
    } finally {
      writer.close();
    }
  });

  it('do not come back from a pack with one bit flipped', async () => {
    const { store, blob } = await stored(file());
    const [pack] = store.index().packs();
    const packFile = store.file(packKey(pack?.id as Digest));
    const fd = fs.openSync(packFile, 'r+');
    const byte = Buffer.alloc(1);
    fs.readSync(fd, byte, 0, 1, 50_000_000);
    byte[0] = (byte[0] as number) ^ 1;
    fs.writeSync(fd, byte, 0, 1, 50_000_000);
    fs.closeSync(fd);
    await expect(writeToEnd(store, blob)).rejects.toEqual(wrong('corrupt-chunk'));
  });

  it('do not come back from a recipe that yields other bytes', async () => {
    const { store, blob } = await stored(file());
    const recipe = store.recipe(blob) as Recipe;
    const swapped = Buffer.from(recipe.rows);
    recipe.rows.copy(swapped, 0, 36, 72);
    recipe.rows.copy(swapped, 36, 0, 36);
    fs.writeFileSync(
      store.file(recipeKey(blob)),
      formatRecipe(new Recipe(blob, recipe.size, swapped)),
    );
    await expect(writeToEnd(store, blob)).rejects.toEqual(wrong('corrupt-recipe'));
  });

  it('can be left in the middle, and read again', async () => {
    const { store, blob } = await stored(file());
    const reader = new BlobReader(store);
    try {
      const abort = new AbortController();
      const options = { onBytes: () => abort.abort(), signal: abort.signal };
      await expect(written(reader, blob, options)).rejects.toEqual(wrong('interrupted'));
      expect(await written(reader, blob)).toBe(blob);
    } finally {
      reader.close();
    }
  });
});
