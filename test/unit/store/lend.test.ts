import * as fs from 'node:fs';
import * as path from 'node:path';
import { expect, it } from 'vitest';
import { sha256 } from '../../../src/base/digest.ts';
import { BlobReader } from '../../../src/store/blob-reader.ts';
import { BlobWriter } from '../../../src/store/blob-writer.ts';
import { Store } from '../../../src/store/local-store.ts';
import type { Recipe } from '../../../src/store/recipe.ts';
import { noise } from '../../support/flow-scratch.ts';
import { tempFolder } from '../../support/temp.ts';

/** Files with their recipes, as a store found them that is gone. */
async function filesWithRecipes(
  count: number,
  bytes: number,
): Promise<ReadonlyArray<{ readonly file: string; readonly recipe: Recipe }>> {
  const folder = tempFolder();
  const store = new Store(path.join(folder, 'store'));
  const writer = new BlobWriter(store);
  const found: Array<{ file: string; recipe: Recipe }> = [];
  for (let n = 0; n < count; n++) {
    const file = path.join(folder, `${n}`);
    fs.writeFileSync(file, noise(bytes, n));
    found.push({ file, recipe: (await writer.addFile(file)) as never });
  }
  await writer.finish();
  return found.map(({ file }) => {
    const recipe = store.recipe(sha256(fs.readFileSync(file)));
    if (recipe === undefined) throw new Error('A file of one chunk has no recipe');
    return { file, recipe };
  });
}

function readAll(store: Store, { blob }: Recipe): Buffer {
  const reader = new BlobReader(store, 1);
  try {
    return reader.readWhole(blob, 10_000_000);
  } finally {
    reader.close();
  }
}

it('reads chunks from plain files, and no more when they are given back', async () => {
  const [one, two] = await filesWithRecipes(2, 2_000_000);
  const store = new Store(path.join(tempFolder(), 'store'));
  if (one === undefined || two === undefined) throw new Error('There are two');
  store.lend(one.recipe, one.file);
  store.lend(one.recipe, one.file);
  store.lend(two.recipe, two.file);
  const [first] = [one.recipe.chunk(0)];
  expect(store.has(first)).toBe(true);
  store.reopen();
  const ids = Buffer.from(first, 'hex');
  expect(store.index().find(ids)?.offset).toBe(0);
  const { rows } = store.index();
  expect(rows).toBe(one.recipe.count + two.recipe.count);
  store.giveBack();
  expect(store.has(first)).toBe(false);
});

it('verifies what it reads from them', async () => {
  const [one] = await filesWithRecipes(1, 2_000_000);
  if (one === undefined) throw new Error('There is one');
  const store = new Store(path.join(tempFolder(), 'store'));
  store.lend(one.recipe, one.file);
  const reader = new BlobReader(store, 1);
  const second = () => [...new BlobReader(store, 1).read(one.recipe.chunk(1))];
  expect(Buffer.concat(second()).length).toBe(one.recipe.length(1));
  const bytes = fs.readFileSync(one.file);
  bytes[one.recipe.length(0) + 10] = (bytes[one.recipe.length(0) + 10] ?? 0) ^ 1;
  fs.writeFileSync(one.file, bytes);
  expect(second).toThrowError(expect.objectContaining({ code: 'corrupt-chunk' }));
  fs.truncateSync(one.file, one.recipe.length(0));
  expect(second).toThrowError(expect.objectContaining({ code: 'corrupt-pack' }));
  fs.rmSync(one.file);
  expect(second).toThrowError(expect.objectContaining({ code: 'objects-missing' }));
  reader.close();
});

it('finds the chunks of so many files that a table covers them', async () => {
  const files = await filesWithRecipes(300, 300_000);
  const store = new Store(path.join(tempFolder(), 'store'));
  for (const { file, recipe } of files) store.lend(recipe, file);
  store.prepareWriting();
  expect(fs.readdirSync(store.file('tables')).length).toBeGreaterThan(0);
  for (const { file, recipe } of files) {
    const parts = Array.from({ length: recipe.count }, (_, row) =>
      readAll(store, { blob: recipe.chunk(row) } as Recipe),
    );
    expect(Buffer.concat(parts).equals(fs.readFileSync(file))).toBe(true);
  }
});
