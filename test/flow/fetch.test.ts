import * as fs from 'node:fs';
import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { parseDigest } from '../../src/base/digest.ts';
import { fetch } from '../../src/flow/fetch.ts';
import { trackedInWorkspace } from '../../src/flow/tracked.ts';
import { localRemote } from '../../src/remote/local.ts';
import type { RemotePruner } from '../../src/remote/remote.ts';
import { counting } from '../../src/remote/wrappers/counting.ts';
import { formatRecipe, parseRecipe, Recipe } from '../../src/store/recipe.ts';
import {
  cloneProject,
  emptyRemote,
  makeProject,
  type Project,
  projectAt,
  withRemotes,
} from '../support/flow-project.ts';
import { checkRemote, damage, flipAt } from '../support/flow-remote-check.ts';
import { noise } from '../support/flow-scratch.ts';
import { bytesBelow, filesBelow, stateOf } from '../support/flow-state.ts';
import { listKeys } from '../support/remote-bytes.ts';

const mib = 1024 * 1024;

/** A project that has pushed the files, and a clone with nothing but pointers. */
async function pushed(
  files: Readonly<Record<string, Buffer>>,
): Promise<{ project: Project; other: Project; remote: RemotePruner }> {
  const remote = await emptyRemote();
  const change = withRemotes({ origin: remote });
  const project = await makeProject(change);
  for (const [name, bytes] of Object.entries(files)) project.write(name, bytes);
  await project.add(...new Set(Object.keys(files).map((name) => name.split('/')[0] as string)));
  await project.push();
  project.commit();
  return { project, other: cloneProject(project, change), remote };
}

/** Files of one chunk each, of which every fifth lies far from the next. */
const spread = (count: number) =>
  Object.fromEntries(
    Array.from({ length: count }, (_, n) => [`f${n}`, noise(100_000, n)] as const),
  );

/** Counts the reads of ranges of packs that are under way at once; later ones end sooner. */
function watchRanges(remote: RemotePruner): { remote: RemotePruner; most: () => number } {
  let [busy, most, begun] = [0, 0, 0];
  const get: RemotePruner['get'] = async function* (key, range, options) {
    if (!key.startsWith('packs/')) return yield* remote.get(key, range, options);
    const turns = 40 - (begun++ % 8) * 5;
    most = Math.max(most, ++busy);
    for (let n = 0; n < turns; n++) await turn();
    yield* remote.get(key, range, options);
    busy--;
  };
  return { remote: { ...remote, get }, most: () => most };
}

const storeOf = (project: Project) => project.at('.modelstore/store');
const packsOf = (project: Project) => filesBelow(project.at('.modelstore/store/packs'));

describe('fetch', () => {
  it('brings everything, as whole packs where all of them is wanted', async () => {
    const { project, other } = await pushed({ a: noise(3 * mib, 'a'), 'm/x': noise(9, 'x') });
    const result = await other.fetch();
    expect(packsOf(other)).toEqual(packsOf(project));
    expect(result.chunksFetched).toBeGreaterThan(5);
    expect(result.bytesReceived).toBeLessThan(3.1 * mib);
    expect(filesBelow(other.at('.modelstore/store/tmp'))).toEqual([]);
    // No file of the workspace is touched.
    expect(stateOf(other.root)).toEqual({});
    await other.checkout();
    expect(stateOf(other.root)).toEqual(stateOf(project.root));
  });

  it('receives nothing when everything is here, and asks nobody', async () => {
    const { other, remote } = await pushed({ a: noise(mib, 'a') });
    await other.fetch();
    const counted = counting(remote);
    const again = projectAt(other.root, withRemotes({ origin: counted }));
    expect(await again.fetch()).toMatchObject({ chunksFetched: 0, bytesReceived: 0 });
    const { get, list, stat } = counted.counts();
    expect([get.calls, list.calls, stat.calls]).toEqual([0, 0, 0]);
  });

  it('reads ranges where little of a pack is wanted', async () => {
    const files = Object.fromEntries(
      Array.from({ length: 40 }, (_, n) => [`f${n}`, noise(100_000, n)] as const),
    );
    const { other } = await pushed(files);
    const result = await other.fetch(['f3', 'f30']);
    expect(result.chunksFetched).toBe(2);
    expect(result.bytesReceived).toBeLessThan(300_000);
    expect(bytesBelow(other.at('.modelstore/store/packs'))).toBeLessThan(202_000);
    await other.checkout(['f3', 'f30']);
    expect(other.read('f30').equals(noise(100_000, 30))).toBe(true);
    // Index objects are kept: the rest costs its chunks alone.
    const rest = await other.fetch();
    expect(rest.chunksFetched).toBe(38);
    await other.checkout();
    expect(other.read('f17').equals(noise(100_000, 17))).toBe(true);
  });

  it('joins chunks that lie near each other into one read', async () => {
    const files = Object.fromEntries(
      Array.from({ length: 60 }, (_, n) => [`m${n % 3}/${n}`, noise(30_000, n)] as const),
    );
    const { other, remote } = await pushed(files);
    const counted = counting(remote);
    const reader = projectAt(other.root, withRemotes({ origin: counted }));
    expect(await reader.fetch(['m1'])).toMatchObject({ chunksFetched: 21 });
    // The header, one index object, and the ranges.
    expect(counted.counts().get.calls).toBeLessThan(6);
  });

  it('reads as many ranges at once as it may, into the same packs whatever comes first', async () => {
    const { project, remote } = await pushed({ a: noise(2 * mib, 'a'), ...spread(30) });
    const packs: string[][] = [];
    for (const jobs of [1, 7]) {
      const copy = cloneProject(project);
      const workspace = await copy.open();
      const { tracked } = trackedInWorkspace(workspace);
      const wanted = tracked.filter(({ path }) => /^f\d*[05]$/.test(path));
      const watched = watchRanges(remote);
      const chosen = { name: 'watched', remote: counting(watched.remote) };
      await fetch(workspace, wanted, chosen, { jobs });
      expect(watched.most()).toBe(Math.min(jobs, wanted.length));
      packs.push(packsOf(copy));
    }
    expect(packs[0]).toHaveLength(1);
    expect(packs[1]).toEqual(packs[0]);
  });

  it('brings a large tree, whose list is in the store', async () => {
    const files = Object.fromEntries(
      Array.from({ length: 1_100 }, (_, n) => [`many/${n}`, Buffer.from(`${n}`)] as const),
    );
    const { project, other } = await pushed(files);
    await other.pull();
    expect(stateOf(other.root)).toEqual(stateOf(project.root));
  });

  it('gets again what a damaged or lost pack held', async () => {
    const { project, other } = await pushed({ a: noise(3 * mib, 'a') });
    await other.fetch();
    const [pack] = packsOf(other);
    const file = other.at(`.modelstore/store/packs/${pack}`);
    fs.truncateSync(file, mib);
    await expect(other.checkout()).rejects.toMatchObject({ code: 'corrupt-pack' });
    expect((await other.fetch()).chunksFetched).toBeGreaterThan(0);
    await other.checkout();
    fs.rmSync(file);
    fs.rmSync(other.at('a'));
    await other.pull();
    expect(stateOf(other.root)).toEqual(stateOf(project.root));
  });

  it('gets a recipe again that is damaged or lost', async () => {
    const { project, other } = await pushed({ a: noise(3 * mib, 'a') });
    await other.fetch();
    const recipes = other.at('.modelstore/store/recipes');
    const [recipe] = filesBelow(recipes);
    for (const change of [
      () => fs.truncateSync(`${recipes}/${recipe}`, 100),
      () => fs.rmSync(`${recipes}/${recipe}`),
    ]) {
      change();
      await other.pull();
      expect(stateOf(other.root)).toEqual(stateOf(project.root));
      fs.rmSync(other.at('a'));
    }
  });

  it('says what the remote does not have, and brings the rest', async () => {
    const { project, other, remote } = await pushed({ a: noise(mib, 'a') });
    project.write('b', noise(mib, 'b'));
    await project.add('b');
    project.commit();
    const clone = cloneProject(project, withRemotes({ origin: remote }));
    await expect(clone.fetch()).rejects.toMatchObject({
      code: 'objects-missing',
      details: { bytes: mib, paths: ['b'] },
    });
    await clone.checkout(['a']);
    expect(other.root).not.toBe(clone.root);
    await expect(clone.checkout(['b'])).rejects.toMatchObject({ code: 'objects-missing' });
  });

  it('leaves out what is in the store of another path or version', async () => {
    const { other, project } = await pushed({ a: noise(4 * mib, 'a') });
    await other.fetch();
    project.write('b', Buffer.concat([noise(4 * mib, 'a'), noise(100_000, 'tail')]));
    await project.add('b');
    await project.push();
    fs.copyFileSync(project.at('b.mstore'), other.at('b.mstore'));
    const result = await other.fetch();
    expect(result.bytesReceived).toBeLessThan(2 * mib);
    await other.checkout();
    expect(other.read('b').equals(project.read('b'))).toBe(true);
  });
});

describe('fetch from a damaged remote', () => {
  const visible = (project: Project) =>
    filesBelow(storeOf(project)).filter((file) => /^(packs|index|recipes)\//.test(file));

  it('keeps of a pack with one wrong bit all but the damaged chunk', async () => {
    const { project, other, remote } = await pushed({ a: noise(3 * mib, 'a') });
    const [pack] = await listKeys(remote, 'packs/');
    await damage(remote, pack ?? '', flipAt(2 * mib));
    await expect(other.fetch()).rejects.toMatchObject({ code: 'corrupt-remote', exitCode: 5 });
    // Every chunk that is visible is what its id says, and no recipe stands before its chunks.
    await checkRemote(localRemote(storeOf(other)));
    expect(visible(other).map((file) => file.split('/')[0])).toEqual(['index', 'packs']);
    expect(filesBelow(other.at('.modelstore/store/tmp'))).toEqual([]);
    await expect(other.checkout()).rejects.toMatchObject({ code: 'objects-missing' });
    await damage(remote, pack ?? '', flipAt(2 * mib));
    expect(await other.fetch()).toMatchObject({ chunksFetched: 1 });
    await other.checkout();
    expect(stateOf(other.root)).toEqual(stateOf(project.root));
  });

  it('makes nothing visible of a range with one wrong bit', async () => {
    const { other, remote } = await pushed({
      a: noise(100_000, 'a'),
      b: noise(100_000, 'b'),
      c: noise(100_000, 'c'),
    });
    const [pack] = await listKeys(remote, 'packs/');
    await damage(remote, pack ?? '', flipAt(150_000));
    await expect(other.fetch(['b'])).rejects.toMatchObject({ code: 'corrupt-remote' });
    expect(visible(other)).toEqual([]);
    expect(filesBelow(other.at('.modelstore/store/tmp'))).toEqual([]);
    // What is whole in the same pack can be had.
    await other.pull(['c']);
    expect(other.read('c').equals(noise(100_000, 'c'))).toBe(true);
  });

  it('counts a pack that is cut short as absent', async () => {
    const { project, other, remote } = await pushed({ a: noise(mib, 'a') });
    const [pack] = await listKeys(remote, 'packs/');
    await damage(remote, pack ?? '', (bytes) => bytes.subarray(0, -1));
    await expect(other.fetch()).rejects.toMatchObject({
      code: 'corrupt-remote',
      message: expect.stringMatching(/are not on the remote .*\. .* is damaged: it has/),
      hint: expect.stringMatching(/^Remove that object .* push again/),
    });
    await remote.delete(pack ?? '');
    await project.push();
    await other.pull();
  });

  it('reads the pack itself where its index object is damaged', async () => {
    const { project, other, remote } = await pushed({ a: noise(mib, 'a') });
    const [index] = await listKeys(remote, 'index/');
    for (const change of [flipAt(100), (bytes: Buffer) => bytes.subarray(0, 20)]) {
      fs.rmSync(storeOf(other), { recursive: true, force: true });
      await damage(remote, index ?? '', change);
      await other.pull();
      expect(stateOf(other.root)).toEqual(stateOf(project.root));
    }
  });

  it('gives no file the bytes of a recipe that yields others', async () => {
    const { other, remote } = await pushed({ a: noise(3 * mib, 'a') });
    const [key] = await listKeys(remote, 'recipes/');
    await damage(remote, key ?? '', (bytes) => {
      const { blob, size, rows } = parseRecipe(bytes, parseDigest(key?.split('/').at(-1)));
      const swapped = Buffer.concat([
        rows.subarray(36, 72),
        rows.subarray(0, 36),
        rows.subarray(72),
      ]);
      return formatRecipe(new Recipe(blob, size, swapped));
    });
    await other.fetch();
    await expect(other.checkout()).rejects.toMatchObject({ code: 'corrupt-recipe' });
    expect(stateOf(other.root)).toEqual({});
  });

  it('says that a recipe is damaged', async () => {
    const { other, remote } = await pushed({ a: noise(mib, 'a') });
    const [recipe] = await listKeys(remote, 'recipes/');
    await damage(remote, recipe ?? '', flipAt(70));
    await expect(other.fetch()).rejects.toMatchObject({ code: 'corrupt-remote' });
    expect(visible(other)).toEqual([]);
  });

  it('says that the header is damaged', async () => {
    const { other, remote } = await pushed({ a: noise(9, 'a') });
    await damage(remote, 'mstore.json', () => Buffer.from('{}'));
    await expect(other.fetch()).rejects.toMatchObject({ code: 'corrupt-remote' });
    await damage(remote, 'mstore.json', () => Buffer.from('{ "mstore": 99 }'));
    await expect(other.fetch()).rejects.toMatchObject({ code: 'newer-format' });
    await damage(remote, 'mstore.json', () => undefined);
    await expect(other.fetch()).rejects.toMatchObject({
      code: 'corrupt-remote',
      message: expect.stringMatching(/mstore\.json is gone; packs are there$/),
      hint: expect.stringMatching(/copy \.modelstore\/store\/mstore\.json there/),
    });
    for (const key of await listKeys(remote)) await remote.delete(key);
    await expect(other.fetch()).rejects.toMatchObject({ code: 'not-a-remote' });
  });
});
