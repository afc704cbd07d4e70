import * as fs from 'node:fs';
import { describe, expect, it } from 'vitest';
import { cleanUp, type GcResult, readPlan, takeBack, writePlan } from '../../src/flow/gc/gc.ts';
import type { RemotePruner } from '../../src/remote/remote.ts';
import { listCleanUps } from '../../src/store/clean-up.ts';
import { cloneProject, makeProject, projectAt, withRemotes } from '../support/flow-project.ts';
import { checkRemote, damage } from '../support/flow-remote-check.ts';
import { noise } from '../support/flow-scratch.ts';
import {
  cleaners,
  dayMs,
  deleteVersion,
  hourMs,
  makeGcProject,
  publishVersion,
  remoteOf,
} from '../support/gc.ts';
import { listKeys, readObject } from '../support/remote-bytes.ts';

const mib = 1024 * 1024;
const packsOf = (keys: readonly string[]) => keys.filter((key) => key.startsWith('packs/'));

describe('gc of a remote', () => {
  it('removes nothing that was ever pushed, as long as nothing is given up', async () => {
    const { project, remote, clock, gcRemote } = await makeGcProject();
    for (const seed of ['a', 'b', 'c']) {
      project.write('m.bin', noise(2 * mib, seed));
      await project.add('m.bin');
      project.commit();
      await project.push();
    }
    const before = await listKeys(remote);
    clock.pass(30 * dayMs);
    const result = await gcRemote();
    expect(result).toMatchObject({ marked: { packs: 0, bytes: 0 }, swept: { packs: 0 } });
    expect(result.kept).toMatchObject({ packs: 3, blobs: 3 });
    expect(await listKeys(remote)).toEqual(before);
  });

  it('marks what a killed push left, and removes it after the grace period', async () => {
    const { project, remote, clock, gcRemote } = await makeGcProject();
    project.write('m.bin', noise(2 * mib, 'a'));
    await project.add('m.bin');
    await project.push();
    // All of a push but its last object.
    project.write('m.bin', noise(2 * mib, 'b'));
    await project.add('m.bin');
    await project.push();
    const roots = (await listKeys(remote)).filter((key) => key.startsWith('roots/'));
    await remote.delete(roots.at(-1) as string);

    const first = await gcRemote();
    expect(first).toMatchObject({ marked: { packs: 1, recipes: 1 }, swept: { packs: 0 } });
    expect(first.marked.bytes).toBeGreaterThan(2 * mib);
    expect(first.pending).toMatchObject([{ packs: 1, dueInSeconds: 7 * 86_400 }]);
    clock.pass(7 * dayMs - 1000);
    expect(await gcRemote()).toMatchObject({ marked: { packs: 0 }, swept: { packs: 0 } });
    expect(packsOf(await listKeys(remote))).toHaveLength(2);
    clock.pass(1000);
    expect(await gcRemote()).toMatchObject({
      swept: { packs: 1, recipes: 1, rescued: 0 },
      pending: [],
    });
    expect(packsOf(await listKeys(remote))).toHaveLength(1);
    expect(await checkRemote(remote)).toBe(1);
  });

  it('keeps what was marked and is pushed again within the grace period', async () => {
    const { project, remote, clock, gcRemote } = await makeGcProject();
    project.write('m.bin', noise(2 * mib, 'a'));
    await project.add('m.bin');
    await project.push();
    const [root] = (await listKeys(remote)).filter((key) => key.startsWith('roots/'));
    await remote.delete(root as string);
    expect(await gcRemote()).toMatchObject({ marked: { packs: 1 } });
    // Nothing has to be sent but the record.
    expect(await project.push()).toMatchObject({ packsSent: 0 });
    clock.pass(8 * dayMs);
    expect(await gcRemote()).toMatchObject({ swept: { packs: 0, recipes: 0, rescued: 1 } });
    expect(await checkRemote(remote)).toBe(1);
    // The mark is done with.
    expect(await gcRemote()).toMatchObject({ marked: { packs: 0 }, swept: { rescued: 0 } });
  });

  it('frees the data of a deleted version, and of that alone', async () => {
    const { project, remote, clock, gcRemote } = await makeGcProject();
    for (const version of ['v1', 'v2']) {
      project.write('m.bin', noise(2 * mib, version));
      await project.add('m.bin');
      await publishVersion(project, 'm', version, 'm.bin');
    }
    clock.pass(2 * dayMs);
    expect((await gcRemote()).marked).toMatchObject({ packs: 0, roots: 2 });
    clock.pass(1000);
    await deleteVersion(project, 'm', 'v1');
    const marked = await gcRemote();
    expect(marked).toMatchObject({
      marked: { packs: 1, recipes: 1 },
      givenUp: [{ name: 'm@v1', size: 2 * mib }],
    });
    clock.pass(8 * dayMs);
    expect(await gcRemote()).toMatchObject({ swept: { packs: 1, recipes: 1 } });
    expect(packsOf(await listKeys(remote))).toHaveLength(1);
    await checkRemote(remote);
  });

  it('gives up old versions of this repository by a policy, and never those it does not know', async () => {
    const { project, remote, clock, gcRemote } = await makeGcProject();
    for (const seed of ['a', 'b', 'c']) {
      project.write('m.bin', noise(2 * mib, seed));
      await project.add('m.bin');
      project.commit();
      await project.push();
      clock.pass(1000);
    }
    const other = cloneProject(project, withRemotes({ origin: remote }));
    other.write('m.bin', noise(2 * mib, 'of the other clone'));
    await other.add('m.bin');
    other.commit();
    await other.push();
    clock.pass(2 * dayMs);

    const policy = { last: 1 };
    const dry = await gcRemote({ policy, dryRun: true });
    expect(dry.marked).toMatchObject({ packs: 2, roots: 2 });
    expect(dry.givenUp.map(({ name }) => name)).toHaveLength(2);
    expect(dry.warnings.join()).toContain('not in the history here');
    const keys = await listKeys(remote);
    expect(await listKeys(remote)).toEqual(keys);
    expect(await gcRemote({ policy })).toMatchObject({ marked: { packs: 2, roots: 2 } });
    clock.pass(8 * dayMs);
    expect(await gcRemote()).toMatchObject({ swept: { packs: 2, recipes: 2, roots: 2 } });
    expect(await checkRemote(remote)).toBe(2);
    expect(packsOf(await listKeys(remote))).toHaveLength(2);
    // Both clones have what they need.
    for (const project_ of [project, other]) {
      const fresh = cloneProject(project_, withRemotes({ origin: remote }));
      await fresh.pull();
      expect(fresh.read('m.bin').equals(project_.read('m.bin'))).toBe(true);
    }
  });

  it('takes back what waits to be removed', async () => {
    const { project, remote, clock, gcRemote } = await makeGcProject();
    for (const seed of ['a', 'b']) {
      project.write('m.bin', noise(2 * mib, seed));
      await project.add('m.bin');
      project.commit();
      await project.push();
    }
    clock.pass(2 * dayMs);
    await gcRemote({ policy: { last: 1 } });
    const workspace = await project.open();
    const undone = await takeBack(workspace, await remoteOf(project), undefined);
    expect(undone.marks).toMatchObject([{ packs: 1, reason: '--keep-last 1' }]);
    clock.pass(30 * dayMs);
    expect(await gcRemote()).toMatchObject({ marked: { packs: 0 }, swept: { packs: 0 } });
    expect(await checkRemote(remote)).toBe(2);
  });

  it('applies a plan, and nothing but what it names and is still needless', async () => {
    const { project, remote, clock } = await makeGcProject();
    for (const seed of ['a', 'b', 'c']) {
      project.write('m.bin', noise(2 * mib, seed));
      await project.add('m.bin');
      project.commit();
      await project.push();
      clock.pass(1000);
    }
    clock.pass(2 * dayMs);
    const workspace = await project.open();
    const place = await remoteOf(project);
    const file = project.at('plan.json');
    const planned = await writePlan(workspace, place, file, { policy: { last: 1 } });
    expect(planned).toMatchObject({ dryRun: true, marked: { packs: 2 } });
    expect(await listCleanUps(remote)).toEqual([]);
    const plan = await readPlan(place, file, {});
    // One of the two versions is pushed again meanwhile: it is in the working tree.
    await project.checkout(['HEAD~1']);
    await project.add('m.bin');
    await project.push();
    const result = await cleanUp(await project.open(), place, { plan, graceMs: 0 });
    expect(result).toMatchObject({ swept: { packs: 1 } });
    expect(packsOf(await listKeys(remote))).toHaveLength(2);
    await checkRemote(remote);
  });

  it('writes packs anew of which little is needed, and frees the rest', async () => {
    const { project, remote, clock, gcRemote } = await makeGcProject();
    project.write('m.bin', noise(4 * mib, 'a'));
    project.write('n.bin', noise(mib, 'b'));
    await project.add('m.bin', 'n.bin');
    await project.push();
    const [root] = (await listKeys(remote)).filter((key) => key.startsWith('roots/'));
    await remote.delete(root as string);
    await project.push(['n.bin']);
    const result = await gcRemote();
    expect(result).toMatchObject({ rewritten: { packs: 1 }, marked: { packs: 0, recipes: 1 } });
    expect(packsOf(await listKeys(remote))).toHaveLength(2);
    clock.pass(8 * dayMs);
    expect(await gcRemote()).toMatchObject({
      swept: { packs: 1, rescued: 0 },
      rewritten: { packs: 0 },
    });
    const [left] = packsOf(await listKeys(remote));
    expect(await remote.stat(left as string)).toBeLessThan(1.1 * mib);
    await checkRemote(remote);
  });

  it('refuses while something that is kept is not all there', async () => {
    const { project, remote, gcRemote } = await makeGcProject();
    project.write('m.bin', noise(2 * mib, 'a'));
    await project.add('m.bin');
    await project.push();
    const [recipe] = (await listKeys(remote)).filter((key) => key.startsWith('recipes/'));
    await remote.delete(recipe as string);
    await expect(gcRemote({ graceMs: 0 })).rejects.toMatchObject({ code: 'corrupt-remote' });
    expect(packsOf(await listKeys(remote))).toHaveLength(1);
  });

  it('frees nothing as long as a record cannot be read', async () => {
    const { project, remote, gcRemote } = await makeGcProject();
    project.write('m.bin', noise(2 * mib, 'a'));
    await project.add('m.bin');
    await project.push();
    const [root = ''] = (await listKeys(remote)).filter((key) => key.startsWith('roots/'));
    await remote.delete(root);
    const { bytesSource } = await import('../../src/remote/remote.ts');
    await remote.create(root, bytesSource(Buffer.from('{"mstore":1}')));
    await expect(gcRemote({ graceMs: 0 })).rejects.toMatchObject({ code: 'corrupt-remote' });
    expect(packsOf(await listKeys(remote))).toHaveLength(1);
  });

  it('frees nothing as long as an older record stands in the place of one', async () => {
    const { project, remote, gcRemote } = await makeGcProject();
    for (const seed of ['a', 'b']) {
      project.write('m.bin', noise(2 * mib, seed));
      await project.add('m.bin');
      await project.push();
    }
    const [older = '', newer = ''] = await listKeys(remote, 'roots/');
    const bytes = await readObject(remote, older);
    await damage(remote, newer, () => bytes);
    await expect(gcRemote({ graceMs: 0 })).rejects.toMatchObject({
      code: 'corrupt-remote',
      message: expect.stringContaining(newer),
      hint: expect.stringMatching(/remove it, then push again/),
    });
    expect(packsOf(await listKeys(remote))).toHaveLength(2);
    await remote.delete(newer);
    await project.push();
    expect(await gcRemote({ graceMs: 0 })).toMatchObject({ swept: { packs: 0 } });
  });

  it('forgets what tells of sweeps after two weeks, and nothing earlier', async () => {
    const { remote, clock, gcRemote } = await makeGcProject();
    await gcRemote({ graceMs: 0 });
    clock.pass(hourMs);
    expect((await listKeys(remote)).filter((key) => key.startsWith('gc/'))).toEqual([]);
  });
});

describe('gc for everybody who uses a remote', () => {
  it('keeps what other repositories pushed, and forgets one when told', async () => {
    const { project, remote, clock, gcRemote } = await makeGcProject();
    project.write('m.bin', noise(2 * mib, 'a'));
    await project.add('m.bin');
    await project.push();
    const stranger = await makeProject(withRemotes({ origin: remote }));
    stranger.write('s.bin', noise(2 * mib, 's'));
    await stranger.add('s.bin');
    await stranger.push();
    clock.pass(30 * dayMs);
    expect(await gcRemote({ policy: { last: 1 }, graceMs: 0 })).toMatchObject({
      swept: { packs: 0 },
    });
    const repository = (await stranger.open()).config.string('core.repository') as string;
    const gone = await gcRemote({ forget: [repository], graceMs: 0 });
    expect(gone).toMatchObject({ swept: { packs: 1, roots: 1 } });
    expect(gone.givenUp).toMatchObject([{ size: 2 * mib }]);
    expect(await cleaners(stranger).gcRemote({ graceMs: 0 })).toMatchObject({
      swept: { packs: 0 },
    });
    expect(await checkRemote(remote)).toBe(1);
  });

  it('keeps the data of versions that are on their way, however wrong its clock is', async () => {
    const { project, remote, clock } = await makeGcProject();
    project.write('m.bin', noise(2 * mib, 'a'));
    await project.add('m.bin');
    const ahead = { now: () => clock.now() + 3 * dayMs, monotonic: () => clock.monotonic() };
    const cleaner = await makeProject(withRemotes({ origin: remote }, { clock: ahead }));
    const forget = [(await project.open()).config.string('core.repository') as string];
    const cleaned: GcResult[] = [];
    const pushing: RemotePruner = {
      ...remote,
      async create(key, ...rest) {
        // The push has looked for clean-ups, and what names its data is not there yet.
        if (key.includes('/versions/')) {
          cleaned.push(await cleaners(cleaner).gcRemote({ forget, graceMs: 0 }));
        }
        return remote.create(key, ...rest);
      },
    };
    const pusher = projectAt(project.root, withRemotes({ origin: pushing }, { clock }));
    await publishVersion(pusher, 'm', 'v1', 'm.bin');
    expect(cleaned).toMatchObject([{ marked: { roots: 1 }, swept: { packs: 0, roots: 0 } }]);
    await checkRemote(remote);
    expect(packsOf(await listKeys(remote))).toHaveLength(1);
    clock.pass(2 * dayMs);
    const later = await cleaners(cleaner).gcRemote({ forget, graceMs: 0 });
    expect(later).toMatchObject({ swept: { packs: 0, roots: 1 } });
  });

  it('reads lists of directories there, when its neighbours have taken the local ones away', async () => {
    const { project, remote, clock } = await makeGcProject();
    for (const name of ['d/a', 'd/b']) project.write(name, noise(1000, name));
    await project.add('d');
    await project.push();
    project.write('old.bin', noise(mib, 'old'));
    await project.add('old.bin');
    await project.push(['old.bin']);
    for (const key of await listKeys(remote, 'roots/')) {
      const record = (await readObject(remote, key)).toString();
      if (record.includes('old.bin')) await remote.delete(key);
    }
    let isTaken = false;
    const place: RemotePruner = {
      ...remote,
      async create(key, ...rest) {
        if (key.endsWith('.sweep')) {
          fs.rmSync(project.at('.modelstore/store/packs'), { recursive: true });
          isTaken = true;
        }
        return remote.create(key, ...rest);
      },
    };
    const cleaner = projectAt(project.root, withRemotes({ origin: place }, { clock }));
    expect(await cleaners(cleaner).gcRemote({ graceMs: 0 })).toMatchObject({ swept: { packs: 1 } });
    expect(isTaken).toBe(true);
    await checkRemote(remote);
  });

  it('leaves to others what they take away while it would write it anew', async () => {
    const { project, remote, clock } = await makeGcProject();
    project.write('m.bin', noise(2 * mib, 'a'));
    project.write('n.bin', noise(mib, 'b'));
    await project.add('m.bin', 'n.bin');
    await project.push();
    for (const key of await listKeys(remote, 'roots/')) await remote.delete(key);
    await project.push(['n.bin']);
    const [sparse = ''] = packsOf(await listKeys(remote));
    const place: RemotePruner = {
      ...remote,
      async *get(key, ...rest) {
        if (key === sparse) await remote.delete(key);
        yield* remote.get(key, ...rest);
      },
    };
    const cleaner = projectAt(project.root, withRemotes({ origin: place }, { clock }));
    const result = await cleaners(cleaner).gcRemote({ rewriteShare: 0.1 });
    expect(result).toMatchObject({ rewritten: { packs: 0 }, warnings: [] });
    expect(packsOf(await listKeys(remote))).toEqual([]);
  });
});
