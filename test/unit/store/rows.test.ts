import * as fs from 'node:fs';
import { expect, it } from 'vitest';
import { sha256, sha256Raw } from '../../../src/base/digest.ts';
import { memoryRemote } from '../../../src/remote/memory.ts';
import { bytesSource } from '../../../src/remote/remote.ts';
import { packKey } from '../../../src/store/keys.ts';
import { formatRecipe, parseRecipe, RecipeBuilder } from '../../../src/store/recipe.ts';
import { joinRows } from '../../../src/store/remote-ranges.ts';
import { readRemoteRows } from '../../../src/store/remote-rows.ts';
import { writePack } from '../../support/packs.ts';
import { tempFolder } from '../../support/temp.ts';

const chunks = ['first', 'second one', 'third'].map((text) => Buffer.from(text));

it('rows behind the first of a pack are read where they lie', async () => {
  const { file, footer } = writePack(tempFolder(), chunks);
  const remote = memoryRemote();
  await remote.create(packKey(footer.id), bytesSource(fs.readFileSync(file)));
  const read: Array<[string, unknown]> = [];
  for await (const { stored, damage } of readRemoteRows(remote, footer, [1, 2], { jobs: 1 }))
    read.push([String(stored), damage]);
  expect(read).toEqual([
    ['second one', undefined],
    ['third', undefined],
  ]);
});

it('a range is as long as it may be, wherever it starts', () => {
  const { footer } = writePack(tempFolder(), chunks);
  expect(joinRows(footer, [1, 2], 15)).toEqual([{ start: 5, end: 20, rows: [1, 2] }]);
  expect(joinRows(footer, [1, 2], 14)).toHaveLength(2);
});

it('a recipe may have chunks of 16 MiB, and none above', () => {
  const blob = sha256('a blob');
  const parsed = (length: number) => {
    const builder = new RecipeBuilder();
    for (const chunk of chunks) builder.add(sha256Raw(chunk), length);
    return parseRecipe(formatRecipe(builder.finish(blob)), blob).size;
  };
  expect(parsed(16 * 1024 * 1024)).toBe(48 * 1024 * 1024);
  expect(() => parsed(16 * 1024 * 1024 + 1)).toThrow(/chunk 0 has an impossible length/);
});
