import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, it } from 'vitest';
import { type Host, hostAt, makeHost, publishTwo, textsBelow } from '../support/resolving.ts';
import { tempFolder } from '../support/temp.ts';
import { xorshiftBytes } from '../support/xorshift.ts';

// Of several chunks, so that they have recipes.
const weights = (seed: number): string => xorshiftBytes(seed, 1_500_000).toString('hex');
const first = { 'config.json': '{"v":1}', 'weights.bin': weights(1) };
const second = { 'config.json': '{"v":2}', 'weights.bin': weights(2) };

/** Files below a folder of a store, by absolute path. */
function filesOf(folder: string): string[] {
  return fs
    .readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.join(entry.parentPath, entry.name));
}

/** Changes a byte in the middle of each file. */
function spoil(files: readonly string[]): void {
  expect(files.length).toBeGreaterThan(0);
  for (const file of files) {
    fs.chmodSync(file, 0o644);
    const bytes = fs.readFileSync(file);
    const at = bytes.length >> 1;
    bytes[at] = (bytes[at] ?? 0) ^ 1;
    fs.writeFileSync(file, bytes);
  }
}

/** Two versions that are pushed, and the workspace as a host with a cache of its own. */
async function published() {
  const { ws, remotes } = await publishTwo(first, second);
  const cache = tempFolder();
  return { ws, remotes, cache, here: hostAt(ws.root, cache), store: ws.at('.modelstore/store') };
}

async function expectAnew(host: Host, remotes: readonly string[]): Promise<void> {
  const { done, warnings, directory } = await host.resolve('bert@v1', { remotes });
  expect([done, textsBelow(directory)]).toEqual(['written', first]);
  expect(warnings).toEqual([expect.stringMatching(/^the store .* is damaged, and was not used: /)]);
  expect(fs.readdirSync(path.join(host.cache, 'tmp'))).toEqual([]);
}

describe('resolve beside a store that is damaged', () => {
  it('fetches the model anew, and leaves the store as it is', async () => {
    const { remotes, here, store } = await published();
    const packs = path.join(store, 'packs');
    spoil(filesOf(packs));
    const stamps = () => filesOf(packs).map((file) => [file, fs.statSync(file).mtimeMs]);
    const before = stamps();
    await expectAnew(here, remotes);
    expect(stamps()).toEqual(before);
    // What was fetched is right: it is found again without a word.
    const again = await here.resolve('bert@v1', { remotes });
    expect([again.done, again.warnings]).toEqual(['kept', []]);
  });

  it.each(['recipes', 'index'])('takes what is right where its %s are not', async (kind) => {
    const { remotes, here, store } = await published();
    spoil(filesOf(path.join(store, kind)));
    const { directory } = await here.resolve('bert@v1', { remotes });
    expect(textsBelow(directory)).toEqual(first);
  });

  it('does so where the model is named by a path, and by a pin', async () => {
    const { ws, remotes, here, store } = await published();
    const lock = path.join(tempFolder(), 'lock');
    const { exact } = await here.resolve('bert@v1', { remotes, lock });
    spoil(filesOf(path.join(store, 'packs')));
    const pinned = await hostAt(ws.root, tempFolder()).resolve('bert@v1', { remotes, lock });
    expect([pinned.exact, pinned.warnings.length]).toEqual([exact, 1]);
    const named = await hostAt(ws.root, tempFolder()).resolve('models/bert', { remotes });
    expect([textsBelow(named.directory), named.warnings.length]).toEqual([second, 1]);
    const to = path.join(tempFolder(), 'to');
    await hostAt(ws.root, tempFolder()).resolve('bert@v2', { remotes, to });
    expect(textsBelow(to)).toEqual(second);
  });

  it('does so without a workspace, beside the store that the environment names', async () => {
    const { remotes } = await published();
    const store = path.join(tempFolder(), 'store');
    const env = { MSTORE_STORE_PATH: store };
    await makeHost(env).resolve('bert@v1', { remotes });
    spoil(filesOf(path.join(store, 'packs')));
    await expectAnew(makeHost(env), remotes);
  });

  it('says what is damaged where nobody else has it', async () => {
    const { ws, remotes, here, store } = await published();
    spoil(filesOf(path.join(store, 'packs')));
    const damaged = { code: expect.stringMatching(/^corrupt-/) };
    fs.rmSync(path.join(ws.remote, 'packs'), { recursive: true });
    await expect(here.resolve('bert@v1', { remotes })).rejects.toMatchObject({
      ...damaged,
      hint: expect.stringContaining('It is not to be had elsewhere: '),
    });
    fs.renameSync(ws.remote, `${ws.remote}-away`);
    await expect(here.resolve('bert@v1', { offline: true })).rejects.toMatchObject(damaged);
    expect(fs.readdirSync(path.join(here.cache, 'models'))).toEqual([]);
  });
});
