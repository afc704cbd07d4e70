import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, it } from 'vitest';
import { evict } from '../../src/flow/gc/evict.ts';
import { localPlace } from '../../src/flow/gc/place.ts';
import { chooseToClear } from '../../src/flow/remotes.ts';
import type { Project } from '../support/flow-project.ts';
import { noise } from '../support/flow-scratch.ts';
import { filesBelow } from '../support/flow-state.ts';
import { type GcProject, makeGcProject } from '../support/gc.ts';

const mib = 1024 * 1024;

/** Three packs of a MiB, of which all but the last are pushed; the second was used last. */
async function scene(): Promise<GcProject> {
  const made = await makeGcProject();
  const { project } = made;
  const packs = path.join(project.root, '.modelstore/store/packs');
  const seen = new Set<string>();
  for (const [seed, days] of Object.entries({ a: 3, b: 1, c: 4 })) {
    project.write(`${seed}.bin`, noise(mib, seed));
    await project.add(`${seed}.bin`);
    if (seed !== 'c') await project.push();
    const pack = filesBelow(packs).find((name) => !seen.has(name)) as string;
    seen.add(pack);
    const used = new Date(Date.now() - days * 86_400_000);
    fs.utimesSync(path.join(packs, pack), used, used);
  }
  return made;
}

async function shrink(project: Project, bytesMax: number, dryRun = false) {
  const workspace = await project.open();
  const remote = await chooseToClear(workspace, 'memory://origin', project.root);
  return evict(workspace, await localPlace(workspace), [remote], { bytesMax, dryRun });
}

describe('evict', () => {
  it('removes what a remote holds, the least recently used first, and no more than needed', async () => {
    const { project } = await scene();
    const dry = await shrink(project, 2.5 * mib, true);
    expect(dry).toMatchObject({ packs: 1, unsaved: 1, dryRun: true });
    expect(await shrink(project, 2.5 * mib)).toMatchObject({ packs: 1, unsaved: 1 });
    const workspace = await project.open();
    const here = ['a', 'b', 'c'].map((seed) => project.read(`${seed}.bin.mstore`).toString());
    const digests = here.map((text) => (JSON.parse(text) as { sha256: string }).sha256);
    expect(digests.map((digest) => workspace.store.has(digest as never))).toEqual([
      false,
      true,
      true,
    ]);
    // What is not pushed stays whatever is asked for.
    const all = await shrink(project, 0);
    expect(all).toMatchObject({ packs: 1, unsaved: 1 });
    expect(all.bytesAfter).toBeGreaterThan(mib);
    for (const seed of ['a', 'b', 'c']) fs.rmSync(project.at(`${seed}.bin`));
    await project.pull();
    expect(project.read('a.bin').equals(noise(mib, 'a'))).toBe(true);
  });

  it('does nothing where all fits', async () => {
    const { project } = await scene();
    expect(await shrink(project, 10 * mib)).toMatchObject({ packs: 0, unsaved: 0 });
  });

  it('believes no pack that is about to be removed there', async () => {
    const { project, remote, clock, gcRemote } = await scene();
    for await (const { key } of remote.list('roots/')) await remote.delete(key);
    clock.pass(1000);
    expect(await gcRemote()).toMatchObject({ marked: { packs: 2 } });
    expect(await shrink(project, 0)).toMatchObject({ packs: 0, unsaved: 3 });
  });

  it('wants a remote', async () => {
    const { project } = await scene();
    const workspace = await project.open();
    const place = await localPlace(workspace);
    await expect(evict(workspace, place, [], { bytesMax: 0 })).rejects.toMatchObject({
      code: 'unknown-remote',
    });
  });
});
