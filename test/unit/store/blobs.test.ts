import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, it } from 'vitest';
import { sha256 } from '../../../src/base/digest.ts';
import { BlobWriter } from '../../../src/store/blob-writer.ts';
import { Store } from '../../../src/store/local-store.ts';
import { emptyBlob, formatRecipe, RecipeBuilder } from '../../../src/store/recipe.ts';
import { readBlob, storeBlobs } from '../../support/blobs.ts';
import { filesBelow } from '../../support/format-1.ts';
import { safetensorsFile, type TestTensor } from '../../support/safetensors.ts';
import { tempFolder } from '../../support/temp.ts';
import { xorshiftBytes } from '../../support/xorshift.ts';

const kib = 1024;
const objects = (folder: string, below: string) => [
  ...filesBelow(path.join(folder, 'store', below)).keys(),
];
const coded = (code: string) => expect.objectContaining({ code }) as Error;

describe('storing and reading blobs', () => {
  it.each([0, 1, 128 * kib - 1, 128 * kib, 128 * kib + 1, 9 * 1024 * kib + 1])(
    'gives back %i bytes under their SHA-256',
    async (size) => {
      const folder = tempFolder();
      const bytes = xorshiftBytes(size + 1, size);
      const { digests, stats } = await storeBlobs(folder, [bytes]);
      expect(digests).toEqual([sha256(bytes)]);
      expect(stats).toMatchObject({ bytesRead: size, bytesNew: size });
      expect(readBlob(folder, sha256(bytes)).equals(bytes)).toBe(true);
    },
  );

  it('stores the same bytes once, whatever they are part of', async () => {
    const folder = tempFolder();
    const bytes = xorshiftBytes(3, 600 * kib);
    const zeros = Buffer.alloc(5 * 1024 * kib);
    await storeBlobs(folder, [bytes, bytes, zeros]);
    const { stats } = await storeBlobs(folder, [bytes, zeros, Buffer.alloc(0)]);
    expect(stats).toMatchObject({ chunksNew: 0, bytesNew: 0 });
    expect(objects(folder, 'packs')).toHaveLength(1);
    // Five equal chunks of zeros are one.
    expect(new Store(path.join(folder, 'store')).recipe(sha256(zeros))?.count).toBe(5);
    expect(readBlob(folder, sha256(zeros)).equals(zeros)).toBe(true);
  });

  it('gives equal packs and recipes to equal files on any machine', async () => {
    const [one, two] = [tempFolder(), tempFolder()];
    const contents = [xorshiftBytes(1, 700 * kib), Buffer.from('a'), xorshiftBytes(2, 400 * kib)];
    await storeBlobs(one, contents);
    await storeBlobs(two, contents);
    for (const below of ['packs', 'index', 'recipes']) {
      expect(objects(one, below)).toEqual(objects(two, below));
      expect(objects(one, below)).not.toEqual([]);
    }
  });

  it('puts 10,000 small files into few files', async () => {
    const folder = tempFolder();
    const writer = new BlobWriter(new Store(path.join(folder, 'store')));
    for (let i = 0; i < 10_000; i++) await writer.addBytes(Buffer.from(`file ${i}`));
    const stats = await writer.finish();
    expect(stats).toMatchObject({ chunks: 10_000, chunksNew: 10_000 });
    expect(objects(folder, '.')).toHaveLength(3);
    expect(readBlob(folder, sha256('file 9999')).toString()).toBe('file 9999');
  });

  it('shows nothing before it has ended, and leaves nothing when it is dropped', async () => {
    const folder = tempFolder();
    const store = new Store(path.join(folder, 'store'));
    const writer = new BlobWriter(store);
    await writer.addBytes(xorshiftBytes(1, 300 * kib));
    expect(new Store(store.folder).index().rows).toBe(0);
    writer.close();
    expect(objects(folder, '.')).toEqual(['mstore.json']);
  });

  it('refuses a file that is none, or changes while it is read', async () => {
    const folder = tempFolder();
    const writer = new BlobWriter(new Store(path.join(folder, 'store')), {
      onBytes: () => fs.appendFileSync(path.join(folder, 'growing'), 'x'),
    });
    fs.writeFileSync(path.join(folder, 'growing'), 'text');
    fs.symlinkSync('growing', path.join(folder, 'link'));
    await expect(writer.addFile(path.join(folder, 'growing'))).rejects.toThrow(
      coded('file-changed'),
    );
    await expect(writer.addFile(path.join(folder, 'link'))).rejects.toThrow(coded('file-changed'));
    await expect(writer.addFile(folder)).rejects.toThrow(coded('file-changed'));
    await expect(writer.addFile(path.join(folder, 'none'))).rejects.toThrow(coded('not-found'));
    writer.close();
  });
});

describe('damage', () => {
  const bytes = xorshiftBytes(8, 700 * kib);
  const blob = sha256(bytes);

  async function stored(): Promise<{ folder: string; file: (below: string) => string }> {
    const folder = tempFolder();
    await storeBlobs(folder, [bytes]);
    const file = (below: string) =>
      path.join(folder, 'store', below, objects(folder, below)[0] as string);
    return { folder, file };
  }

  function flip(file: string, at: number): void {
    const content = fs.readFileSync(file);
    content[at] = (content[at] as number) ^ 0x40;
    fs.writeFileSync(file, content);
  }

  it('of any chunk of a pack is found before a byte of it is handed out', async () => {
    const { folder, file } = await stored();
    for (const at of [0, 350 * kib, 700 * kib - 1]) {
      flip(file('packs'), at);
      expect(() => readBlob(folder, blob)).toThrow(coded('corrupt-chunk'));
      flip(file('packs'), at);
    }
    expect(readBlob(folder, blob).equals(bytes)).toBe(true);
  });

  it('of an index object costs nothing: the pack itself serves, and restores it', async () => {
    const { folder, file } = await stored();
    const index = file('index');
    const whole = fs.readFileSync(index);
    for (const damage of [
      () => flip(index, 20),
      () => fs.truncateSync(index, 7),
      () => fs.rmSync(index),
    ]) {
      damage();
      expect(readBlob(folder, blob).equals(bytes)).toBe(true);
      expect(fs.readFileSync(index).equals(whole)).toBe(true);
    }
  });

  it('of the end of a pack and its index object makes its bytes unreadable, not others', async () => {
    const { folder, file } = await stored();
    const { length } = fs.readFileSync(file('packs'));
    flip(file('packs'), length - 1);
    flip(file('index'), 20);
    const store = new Store(path.join(folder, 'store'));
    expect(store.damagedPacks().size).toBe(1);
    expect(() => readBlob(folder, blob)).toThrow(coded('corrupt-pack'));
    expect(store.has(blob)).toBe(false);
    const other = Buffer.from('others stay readable');
    await storeBlobs(folder, [other]);
    expect(readBlob(folder, sha256(other)).equals(other)).toBe(true);
    // Adding the same file again heals the store.
    await storeBlobs(folder, [bytes]);
    expect(readBlob(folder, blob).equals(bytes)).toBe(true);
  });

  it('of a pack that was cut short or is gone', async () => {
    const { folder, file } = await stored();
    fs.truncateSync(file('packs'), 300 * kib);
    expect(() => readBlob(folder, blob)).toThrow(coded('corrupt-pack'));
    // What a short pack holds counts as absent, so that adding the file stores it again.
    expect(new Store(path.join(folder, 'store')).missing(blob, 0)?.bytes).toBe(700 * kib);
    await storeBlobs(folder, [bytes]);
    expect(readBlob(folder, blob).equals(bytes)).toBe(true);
    fs.rmSync(file('packs'));
    expect(() => readBlob(folder, blob)).toThrow(coded('objects-missing'));
    await storeBlobs(folder, [bytes]);
    expect(readBlob(folder, blob).equals(bytes)).toBe(true);
  });

  it('of a recipe, which adding the file again heals', async () => {
    const { folder, file } = await stored();
    for (const damage of [
      () => flip(file('recipes'), 60),
      () => fs.truncateSync(file('recipes'), 90),
      () => fs.truncateSync(file('recipes'), 0),
    ]) {
      damage();
      expect(() => readBlob(folder, blob)).toThrow(coded('corrupt-recipe'));
      expect(new Store(path.join(folder, 'store')).has(blob)).toBe(false);
      await storeBlobs(folder, [bytes]);
      expect(readBlob(folder, blob).equals(bytes)).toBe(true);
    }
    fs.rmSync(file('recipes'));
    expect(() => readBlob(folder, blob)).toThrow(coded('objects-missing'));
  });

  it('of a recipe that is well formed and yields another blob', async () => {
    const { folder, file } = await stored();
    const recipe = new Store(path.join(folder, 'store')).recipe(blob);
    const lying = (rows: readonly number[]): void => {
      const builder = new RecipeBuilder();
      for (const row of rows) {
        builder.add(Buffer.from(recipe?.chunk(row) ?? '', 'hex'), recipe?.length(row) ?? 0);
      }
      fs.writeFileSync(file('recipes'), formatRecipe(builder.finish(blob)));
    };
    for (const rows of [[1, 0], [0, 0], [0], []]) {
      lying(rows);
      expect(() => readBlob(folder, blob), rows.join()).toThrow(coded('corrupt-recipe'));
    }
    const builder = new RecipeBuilder();
    builder.add(Buffer.alloc(32, 1), 10);
    builder.add(Buffer.alloc(32, 2), 10);
    fs.writeFileSync(file('recipes'), formatRecipe(builder.finish(blob)));
    expect(() => readBlob(folder, blob)).toThrow(coded('objects-missing'));
  });
});

describe('structural edits of safetensors files', () => {
  const tensors: TestTensor[] = ['a', 'b', 'c', 'd'].map((name, i) => ({
    name,
    bytes: xorshiftBytes(i + 50, (200 + 30 * i) * kib),
  }));
  const small: TestTensor = { name: 'bias', bytes: xorshiftBytes(70, 500) };

  async function bytesNew(first: Buffer, second: Buffer): Promise<number> {
    const folder = tempFolder();
    await storeBlobs(folder, [first]);
    const { stats, digests } = await storeBlobs(folder, [second]);
    expect(readBlob(folder, digests[0] ?? emptyBlob).equals(second)).toBe(true);
    return stats.bytesNew;
  }

  const original = safetensorsFile([...tensors, small]);

  it.each<[string, Buffer, number]>([
    ['a longer header', safetensorsFile([...tensors, small], 'x'.repeat(777)), 2 * kib],
    ['another order', safetensorsFile([...tensors].reverse().concat(small)), kib],
    ['a tensor less', safetensorsFile([...tensors.slice(1), small]), kib],
    ['half of the tensors in a file of their own', safetensorsFile(tensors.slice(0, 2)), kib],
    [
      'a new tensor in front',
      safetensorsFile([{ name: 'new', bytes: xorshiftBytes(99, 150 * kib) }, ...tensors, small]),
      151 * kib,
    ],
    [
      'one tensor changed',
      safetensorsFile([
        { name: 'a', bytes: xorshiftBytes(98, 200 * kib) },
        ...tensors.slice(1),
        small,
      ]),
      201 * kib,
    ],
  ])('%s adds only what is new', async (_, edited, most) => {
    const added = await bytesNew(original, edited);
    expect(added).toBeGreaterThan(0);
    expect(added).toBeLessThanOrEqual(most);
  });

  it('are found only because the header is read: without one the same edit costs more', async () => {
    const plain = (parts: readonly TestTensor[]) => Buffer.concat(parts.map((part) => part.bytes));
    const added = await bytesNew(plain(tensors), plain([...tensors].reverse()));
    expect(added).toBeGreaterThan(100 * kib);
  });
});
