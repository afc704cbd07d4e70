import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { fetch } from '../../src/flow/fetch.ts';
import { initWorkspace } from '../../src/flow/init.ts';
import { chooseRemote } from '../../src/flow/remotes.ts';
import { findTargets } from '../../src/flow/targets.ts';
import { BlobWriter } from '../../src/store/blob-writer.ts';
import { Store } from '../../src/store/local-store.ts';
import {
  cloneProject,
  emptyRemote,
  makePlainProject,
  makeProject,
  type Project,
  projectAt,
  testSurroundings,
  withRemotes,
} from '../support/flow-project.ts';
import { noise, scratchFolder } from '../support/flow-scratch.ts';
import { filesBelow } from '../support/flow-state.ts';
import { cleaners, handClock, hourMs } from '../support/gc.ts';
import { git } from '../support/git.ts';
import { hooked } from '../support/remote-hook.ts';

const mib = 1024 * 1024;

function packsIn(root: string): string[] {
  return filesBelow(path.join(root, '.modelstore/store/packs'));
}

describe('gc of the local store', () => {
  it('keeps what working tree, index, branches, stashes and reflogs lead to', async () => {
    const project = await makeProject();
    const { gc } = cleaners(project);
    const put = async (seed: string) => {
      project.write('m.bin', noise(mib, seed));
      await project.add('m.bin');
    };
    await put('first');
    project.commit();
    await put('second');
    project.commit();
    git(project.root, 'reset', '-q', '--hard', 'HEAD~1');
    await put('stashed');
    git(project.root, 'stash', '-q');
    await put('staged');
    git(project.root, 'add', '-A');
    await put('here');
    await put('nowhere');
    await put('here');
    expect(packsIn(project.root)).toHaveLength(6);
    const result = await gc({ graceMs: 0 });
    expect(result).toMatchObject({ swept: { packs: 1, recipes: 1 }, kept: { packs: 5 } });
    expect(packsIn(project.root)).toHaveLength(5);
    for (const revision of ['HEAD', 'HEAD@{1}', 'stash@{0}']) {
      const commit = git(project.root, 'rev-parse', revision);
      await project.checkout([commit, 'm.bin'], { force: true });
    }
    // The pointer of what was here has been replaced, and was never committed.
    expect(await gc({ graceMs: 0 })).toMatchObject({ kept: { packs: 4 }, swept: { packs: 1 } });
  });

  it('keeps what other working trees of the repository have', async () => {
    const project = await makeProject();
    project.write('m.bin', noise(mib, 'a'));
    await project.add('m.bin');
    project.commit();
    const other = path.join(scratchFolder(), 'other');
    git(project.root, 'worktree', 'add', '-q', '-b', 'side', other);
    const there = projectAt(other);
    there.write('m.bin', noise(mib, 'there'));
    await there.add('m.bin');
    expect(packsIn(project.root)).toHaveLength(2);
    expect(await cleaners(project).gc({ graceMs: 0 })).toMatchObject({ swept: { packs: 0 } });
    fs.rmSync(other, { recursive: true });
    await expect(cleaners(project).gc({ graceMs: 0 })).rejects.toMatchObject({ code: 'not-found' });
    git(project.root, 'worktree', 'prune');
    expect(await cleaners(project).gc({ graceMs: 0 })).toMatchObject({ swept: { packs: 1 } });
  });

  it('leaves what was just written, unless it is told', async () => {
    const clock = handClock();
    const project = await makePlainProject({ clock });
    project.write('m.bin', noise(mib, 'a'));
    await project.add('m.bin');
    project.write('m.bin', noise(mib, 'b'));
    await project.add('m.bin');
    const { gc } = cleaners(project);
    const young = await gc();
    expect(young).toMatchObject({ marked: { packs: 0 }, swept: { packs: 0 } });
    expect(young.youngBytes).toBeGreaterThan(mib);
    clock.pass(hourMs + 1000);
    expect(await gc()).toMatchObject({ swept: { packs: 1, recipes: 1 }, youngBytes: 0 });
    expect(project.read('m.bin')).toHaveLength(mib);
    await project.checkoutTo(path.join(scratchFolder(), 'out'));
  });

  it('gives up old versions by a policy, and names them before', async () => {
    const project = await makeProject();
    for (const [i, seed] of ['a', 'b', 'c', 'd'].entries()) {
      project.write('m.bin', noise(mib, seed));
      await project.add('m.bin');
      git(project.root, 'add', '-A');
      const date = `2024-0${i + 1}-01T00:00:00Z`;
      git(project.root, '-c', 'user.name=T', 'commit', '-q', '-m', seed, `--date=${date}`);
      if (seed === 'a') git(project.root, 'tag', 'v1');
    }
    const { gc } = cleaners(project);
    const dry = await gc({ policy: { last: 1, tags: ['v*'] }, dryRun: true, graceMs: 0 });
    expect(dry).toMatchObject({ marked: { packs: 2 }, swept: { packs: 0 } });
    expect(dry.givenUp.map(({ name }) => /^m\.bin at [0-9a-f]{10}$/.test(name))).toEqual([
      true,
      true,
    ]);
    expect(packsIn(project.root)).toHaveLength(4);
    expect(await gc({ policy: { last: 1, tags: ['v*'] }, graceMs: 0 })).toMatchObject({
      swept: { packs: 2, recipes: 2 },
    });
    await project.checkout(['v1'], { force: true });
    expect(project.read('m.bin').equals(noise(mib, 'a'))).toBe(true);
    await expect(project.checkout(['HEAD~1'], { force: true })).rejects.toMatchObject({
      code: 'objects-missing',
    });
  });

  it('keeps the second of two copies only when the first is sound', async () => {
    const project = await makePlainProject();
    const bytes = noise(mib, 'a');
    project.write('m.bin', bytes);
    await project.add('m.bin');
    const [pack = ''] = packsIn(project.root);
    const file = path.join(project.root, '.modelstore/store/packs', pack);
    // The same chunks in a second pack: the pack is hidden, added again in company, and put back.
    const index = file.replace('/packs/', '/index/').replace(/pack$/, 'idx');
    const [hidden, hiddenIndex] = [fs.readFileSync(file), fs.readFileSync(index)];
    fs.rmSync(file);
    fs.rmSync(index);
    project.write('n.bin', noise(200_000, 'n'));
    project.write('both/m.bin', bytes);
    project.write('both/n.bin', noise(200_000, 'n'));
    await project.add('both');
    fs.writeFileSync(file, hidden);
    fs.writeFileSync(index, hiddenIndex);
    const older = new Date(Date.now() - 10 * hourMs);
    fs.utimesSync(file, older, older);
    const newer = packsIn(project.root).find((name) => name !== pack) as string;
    const newerFile = path.join(project.root, '.modelstore/store/packs', newer);
    const sound = fs.readFileSync(newerFile);
    const damaged = Buffer.from(sound);
    damaged[1000] = (damaged[1000] as number) ^ 1;
    fs.writeFileSync(newerFile, damaged);
    const { gc } = cleaners(project);
    const result = await gc({ graceMs: 0, rewriteShare: 2 });
    expect(packsIn(project.root)).toHaveLength(2);
    expect(result.swept.packs).toBe(0);
    expect(result.warnings.join()).toContain('is damaged');
    fs.writeFileSync(newerFile, sound);
    expect(await gc({ graceMs: 0, rewriteShare: 2 })).toMatchObject({ swept: { packs: 1 } });
    await project.checkout([], { force: true });
    expect(project.read('both/m.bin').equals(bytes)).toBe(true);
  });

  it('keeps in a shared store what other workspaces need', async () => {
    const shared = path.join(scratchFolder(), 'store');
    const env = { ...testSurroundings().env, MSTORE_STORE_PATH: shared };
    const make = async () => {
      const root = scratchFolder();
      await initWorkspace(root, { git: false }, testSurroundings({ env }));
      return projectAt(root, { env });
    };
    const [one, two] = [await make(), await make()];
    one.write('m.bin', noise(mib, 'one'));
    await one.add('m.bin');
    two.write('m.bin', noise(mib, 'two'));
    await two.add('m.bin');
    one.write('m.bin', noise(mib, 'other'));
    await one.add('m.bin');
    const result = await cleaners(one).gc({ graceMs: 0 });
    expect(result).toMatchObject({ swept: { packs: 0 } });
    const repository = (await two.open()).config.string('core.repository') as string;
    expect(await cleaners(one).gc({ graceMs: 0, forget: [repository] })).toMatchObject({
      swept: { packs: 1 },
    });
    expect(new Store(shared).damagedPacks().size).toBe(0);
  });

  it('says nothing is there to do in an empty store', async () => {
    const project = await makePlainProject();
    project.write('m.bin', 'small');
    await project.add('m.bin');
    expect(await cleaners(project).gc({ graceMs: 0 })).toMatchObject({
      marked: { packs: 0 },
      warnings: [],
    });
  });
});

describe('beside gc of the local store', () => {
  it('add stores again what was taken away before its pointer was there', async () => {
    const project = await makePlainProject();
    const bytes = noise(2 * mib, 'a');
    project.write('m.bin', bytes);
    await project.add('m.bin');
    fs.rmSync(project.at('m.bin.mstore'));
    const { gc } = cleaners(project);
    const swept: number[] = [];
    const { finish } = BlobWriter.prototype;
    const spy = vi.spyOn(BlobWriter.prototype, 'finish').mockImplementationOnce(async function (
      this: BlobWriter,
    ) {
      const stats = await finish.call(this);
      swept.push((await gc({ graceMs: 0 })).swept.packs);
      return stats;
    });
    const result = await project.add('m.bin');
    spy.mockRestore();
    expect(swept).toEqual([1]);
    expect(result.paths).toMatchObject([{ path: 'm.bin', changed: true }]);
    expect(result.bytesNew).toBe(2 * mib);
    const out = path.join(scratchFolder(), 'out');
    await project.checkoutTo(out);
    expect(fs.readFileSync(path.join(out, 'm.bin')).equals(bytes)).toBe(true);
  });

  it('fetch gets again what was taken away in the middle of it', async () => {
    const place = await emptyRemote();
    const remote = hooked(place);
    const project = await makeProject(withRemotes({ origin: remote }));
    const bytes = noise(1500 * 1024, 'a');
    // Two packs: one has arrived while the other one is asked for.
    for (const name of ['m.bin', 'n.bin']) {
      project.write(name, name === 'm.bin' ? bytes : noise(400 * 1024, name));
      await project.add(name);
      await project.push();
    }
    project.commit();
    let swept = 0;
    for (let call = 1, happened = true; happened; call++) {
      const clone = cloneProject(project, withRemotes({ origin: remote }));
      remote.before(call, async () => {
        swept += (await cleaners(clone).gc({ graceMs: 0 })).swept.packs;
      });
      await fetchOneByOne(clone);
      await clone.checkout();
      happened = remote.happened;
      expect(clone.read('m.bin').equals(bytes)).toBe(true);
    }
    // What has arrived is needed by the pointer only from its recipe on.
    expect(swept).toBeGreaterThan(0);
  });
});

async function fetchOneByOne(project: Project): Promise<void> {
  const workspace = await project.open();
  const { tracked } = await findTargets(workspace, [], project.root);
  const remote = await chooseRemote(workspace, 'memory://origin', project.root);
  await fetch(workspace, tracked, remote, { jobs: 1 });
}
