import * as fs from 'node:fs';
import { describe, expect, it } from 'vitest';
import { type Digest, digestToRaw } from '../../src/base/digest.ts';
import { localPlace } from '../../src/flow/gc/place.ts';
import { trackedFiles } from '../../src/flow/tracked.ts';
import { type Usage, type UsageOptions, usage } from '../../src/flow/usage.ts';
import { type Pointer, parsePointer } from '../../src/worktree/pointer.ts';
import { cloneProject, makeProject, type Project } from '../support/flow-project.ts';
import { noise } from '../support/flow-scratch.ts';
import { makeGcProject, publishVersion, remoteOf } from '../support/gc.ts';

const mib = 1024 * 1024;

async function usageHere(project: Project, options: UsageOptions = {}): Promise<Usage> {
  const workspace = await project.open();
  return usage(workspace, await localPlace(workspace), options);
}

async function usageThere(project: Project, options: UsageOptions = {}): Promise<Usage> {
  return usage(await project.open(), await remoteOf(project), options);
}

function pointerOf(project: Project, tracked: string): Pointer {
  return parsePointer(project.read(`${tracked}.mstore`), `${tracked}.mstore`);
}

/** The chunks of what a pointer stands for, with their bytes in packs: read from the recipes one by one. */
async function chunksOf(
  project: Project,
  path: string,
  pointer: Pointer,
): Promise<Map<string, number>> {
  const { store } = await project.open();
  const blobs = new Set<Digest>([pointer.sha256]);
  for (const entry of trackedFiles(store, { path, pointer }).entries) {
    if ('sha256' in entry) blobs.add(entry.sha256);
  }
  const chunks = new Map<string, number>();
  for (const blob of blobs) {
    const recipe = store.recipe(blob);
    const ids =
      recipe === undefined
        ? [digestToRaw(blob)]
        : Array.from({ length: recipe.count }, (_, row) =>
            recipe.rows.subarray(recipe.idOffset(row), recipe.idOffset(row) + 32),
          );
    for (const id of ids) {
      const place = store.index().find(id);
      if (place !== undefined) chunks.set(Buffer.from(id).toString('hex'), place.storedLength);
    }
  }
  return chunks;
}

const sum = (chunks: Map<string, number>): number =>
  [...chunks.values()].reduce((a, b) => a + b, 0);

describe('usage', () => {
  it('counts every chunk once, and as own what no other path has', async () => {
    const project = await makeProject();
    const first = noise(2 * mib, 'a');
    const second = Buffer.concat([first.subarray(0, mib), noise(mib, 'b')]);
    const versions: Array<[string, Pointer]> = [];
    const put = async (path: string, content: Buffer): Promise<void> => {
      project.write(path, content);
      const tracked = path.split('/')[0] as string;
      await project.add(tracked);
      versions.push([tracked, pointerOf(project, tracked)]);
      project.commit();
    };
    await put('a.bin', first);
    await put('a.bin', second);
    await put('copy.bin', first);
    await put('tree/x.bin', Buffer.concat([noise(300_000, 'x'), second.subarray(mib)]));
    await put('tree/small', Buffer.from('small'));
    await put('empty.bin', Buffer.alloc(0));

    const expected = new Map<string, Map<string, number>>();
    for (const [path, pointer] of versions) {
      const chunks = expected.get(path) ?? new Map<string, number>();
      for (const [id, size] of await chunksOf(project, path, pointer)) chunks.set(id, size);
      expected.set(path, chunks);
    }
    const found = await usageHere(project);
    expect(found.entries.map(({ name }) => name).sort()).toEqual([...expected.keys()].sort());
    for (const { name, stored, own, absent } of found.entries) {
      const mine = expected.get(name) as Map<string, number>;
      const others = new Set(
        [...expected].flatMap(([path, chunks]) => (path === name ? [] : [...chunks.keys()])),
      );
      const alone = new Map([...mine].filter(([id]) => !others.has(id)));
      expect({ name, stored, own, absent }).toEqual({
        name,
        stored: sum(mine),
        own: sum(alone),
        absent: 0,
      });
    }
    const all = new Map([...expected.values()].flatMap((chunks) => [...chunks]));
    expect(found).toMatchObject({ stored: sum(all), needless: 0, marked: 0 });
    expect(found.entries.find(({ name }) => name === 'a.bin')).toMatchObject({
      versions: 2,
      size: 4 * mib,
    });
    // A copy has nothing of its own, and both are there.
    expect(found.entries.find(({ name }) => name === 'copy.bin')).toMatchObject({ own: 0 });

    const byVersion = await usageHere(project, { byVersion: true });
    expect(byVersion.stored).toBe(found.stored);
    expect(byVersion.entries).toHaveLength(versions.length);
    for (const { name, path, stored } of byVersion.entries) {
      expect(name).toMatch(/ at [0-9a-f]{10}$| in the working tree$/);
      expect(stored).toBeLessThanOrEqual(sum(expected.get(path) as Map<string, number>));
    }
    expect((await usageHere(project, { paths: ['tree'] })).entries).toMatchObject([
      { path: 'tree', versions: 2 },
    ]);
  });

  it('says what nothing needs, and what is not here', async () => {
    const { project, clock, gc, gcRemote } = await makeGcProject();
    project.write('m.bin', noise(mib, 'first'));
    await project.add('m.bin');
    project.write('m.bin', noise(mib, 'second'));
    await project.add('m.bin');
    project.commit();
    await project.push();
    const before = await usageHere(project);
    expect(before.stored).toBe(mib);
    expect(before.needless).toBe(mib);
    await gc({ graceMs: 0 });
    const after = await usageHere(project);
    expect(after).toMatchObject({ stored: mib, needless: 0 });
    const packs = after.kinds.find(({ kind }) => kind === 'packs');
    expect(packs).toMatchObject({ objects: 1 });
    expect(packs?.bytes).toBeGreaterThan(mib);

    const clone = cloneProject(project);
    expect(await usageHere(clone)).toMatchObject({
      entries: [{ path: 'm.bin', size: mib, stored: 0, absent: 1 }],
    });
    expect(await usageThere(project)).toMatchObject({ stored: mib, needless: 0 });

    project.write('other.bin', noise(mib, 'other'));
    await project.add('other.bin');
    await project.push();
    fs.rmSync(project.at('other.bin.mstore'));
    clock.pass(30 * 86_400_000);
    await gcRemote({ policy: { last: 1 } });
    expect(await usageThere(project)).toMatchObject({ stored: 2 * mib, marked: 0 });
  });

  it('tells versions of the registry by their names, on a remote too', async () => {
    const { project } = await makeGcProject();
    project.write('m.bin', noise(mib, 'first'));
    await project.add('m.bin');
    project.commit();
    await publishVersion(project, 'bert', 'v1', 'm.bin');
    project.write('m.bin', noise(mib, 'second'));
    await project.add('m.bin');
    project.commit();
    await publishVersion(project, 'bert', 'v2', 'm.bin');
    for (const found of [
      await usageHere(project, { byVersion: true }),
      await usageThere(project, { byVersion: true }),
    ]) {
      expect(found.entries).toMatchObject([
        { name: 'bert@v1', path: 'm.bin', stored: mib, own: mib },
        { name: 'bert@v2', path: 'm.bin', stored: mib, own: mib },
      ]);
    }
  });
});
