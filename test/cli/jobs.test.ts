import * as fs from 'node:fs';
import * as path from 'node:path';
import { expect, it } from 'vitest';
import { mstore } from '../support/cli.ts';
import { noise, scratchFolder } from '../support/flow-scratch.ts';

const mib = 1024 * 1024;

/** Adds, pushes, and brings back in a clone; returns all that must not depend on `--jobs`. */
async function roundTrip(content: Buffer, jobs: string[]): Promise<object> {
  const place = scratchFolder();
  const run = async (cwd: string, ...args: string[]): Promise<void> => {
    const { code, stderr } = await mstore(cwd, ...args, ...jobs);
    expect(code, stderr).toBe(0);
  };
  const [work, clone] = ['work', 'clone'].map((name) => path.join(place, name)) as [string, string];
  for (const folder of [work, clone]) {
    fs.mkdirSync(folder);
    await run(folder, 'init', '--no-git');
  }
  fs.writeFileSync(path.join(work, 'model.bin'), content);
  await run(work, 'add', 'model.bin');
  await run(work, 'remote', 'add', 'origin', '../remote');
  await run(work, 'push');
  const pointer = fs.readFileSync(path.join(work, 'model.bin.mstore'));
  fs.writeFileSync(path.join(clone, 'model.bin.mstore'), pointer);
  await run(clone, 'pull', '--remote', '../remote');
  expect(fs.readFileSync(path.join(clone, 'model.bin')).equals(content)).toBe(true);
  const packs = (folder: string): string[] =>
    fs.readdirSync(folder, { recursive: true, encoding: 'utf8' }).sort();
  return {
    pointer: String(pointer),
    here: packs(path.join(work, '.modelstore/store/packs')),
    there: packs(path.join(place, 'remote/packs')),
    recipes: packs(path.join(place, 'remote/recipes')),
  };
}

it('gives the same digests, packs and pointers whatever --jobs says', {
  timeout: 120_000,
}, async () => {
  const content = noise(66 * mib, 7);
  const usual = await roundTrip(content, []);
  for (const jobs of ['1', '2', '9'])
    expect(await roundTrip(content, ['--jobs', jobs])).toEqual(usual);
});
