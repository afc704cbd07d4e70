import * as fs from 'node:fs';
import * as path from 'node:path';
import { expect, it } from 'vitest';
import { sha256 } from '../../../src/base/digest.ts';
import { indexKey, packKey, recipeKey } from '../../../src/store/keys.ts';
import { Store } from '../../../src/store/local-store.ts';
import { publishObjects, publishPack } from '../../../src/store/publish.ts';
import { writePack } from '../../support/packs.ts';
import { tempFolder } from '../../support/temp.ts';

function prepared(): Store {
  const store = new Store(tempFolder());
  store.prepareWriting();
  return store;
}

const objectsOf = (...names: string[]) =>
  names.map((name) => ({ key: recipeKey(sha256(name)), bytes: Buffer.from(name) }));

it('publishes objects, in the place of damaged ones too, and leaves no other files', async () => {
  const store = prepared();
  const objects = objectsOf('a', 'b', 'c');
  const first = store.file((objects[0] as { key: string }).key);
  fs.mkdirSync(path.dirname(first), { recursive: true });
  fs.writeFileSync(first, 'damaged');
  await publishObjects(store, objects);
  for (const { key, bytes } of objects) expect(fs.readFileSync(store.file(key))).toEqual(bytes);
  expect(fs.readdirSync(store.tempsFolder)).toEqual([]);
});

it('publishes none where one cannot be written', async () => {
  const store = prepared();
  const objects = objectsOf('a', 'b', 'c');
  const tempFile = store.tempFile.bind(store);
  let calls = 0;
  store.tempFile = () => (++calls === 2 ? path.join(store.folder, 'none', 'x') : tempFile());
  await expect(publishObjects(store, objects)).rejects.toMatchObject({
    message: expect.stringContaining(`writing ${store.file(objects[1]?.key as string)}`) as string,
  });
  for (const { key } of objects) expect(fs.existsSync(store.file(key))).toBe(false);
  expect(fs.readdirSync(store.tempsFolder)).toEqual([]);
});

it('leaves no temporary files where a name cannot be given', async () => {
  const store = prepared();
  const [one, two] = ['a', 'b'].map((name) => store.file(recipeKey(sha256(name)))) as [
    string,
    string,
  ];
  fs.mkdirSync(two, { recursive: true });
  fs.writeFileSync(path.join(two, 'x'), '');
  await expect(publishObjects(store, objectsOf('a', 'b'))).rejects.toMatchObject({
    message: expect.stringContaining(`writing ${two}`) as string,
  });
  expect(fs.readFileSync(one, 'utf8')).toBe('a');
  expect(fs.readdirSync(store.tempsFolder)).toEqual([]);
});

it('publishes a pack with its index object, and makes it known', async () => {
  const store = prepared();
  const { file, footer } = writePack(tempFolder(), [Buffer.from('chunk')]);
  expect(store.index().rows).toBe(0);
  await publishPack(store, file, footer);
  expect(store.index().rows).toBe(1);
  expect(fs.statSync(store.file(packKey(footer.id))).size).toBe(footer.packBytes);
  expect(fs.readFileSync(store.file(indexKey(footer.id)))).toEqual(footer.bytes);
  expect(fs.existsSync(file)).toBe(false);
});
