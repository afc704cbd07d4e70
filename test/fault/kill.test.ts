import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, it } from 'vitest';
import { addRemote } from '../../src/flow/remotes.ts';
import { localRemote } from '../../src/remote/local.ts';
import { killedRun, killPoints, tempsBelow, timedRun } from '../support/flow-kill.ts';
import { cloneProject, makeProject, type Project } from '../support/flow-project.ts';
import { checkRemote } from '../support/flow-remote-check.ts';
import { noise, scratchFolder } from '../support/flow-scratch.ts';
import { filesBelow, stateOf } from '../support/flow-state.ts';
import { git } from '../support/git.ts';
import { runs } from '../support/runs.ts';

const kills = runs(8).numRuns;
const timeout = 30_000 + 10_000 * kills;

/** Lays a version of the model: one large file that shares much with others, and many small ones. */
function lay(project: Project, version: number): void {
  const base = noise(8_000_000, 'base');
  noise(2_000_000, version).copy(base, (version % 3) * 2_500_000);
  project.write('model/weights.bin', base);
  project.write('model/extra.bin', noise(3_000_000, `extra ${version}`));
  for (let n = 0; n < 150; n++) project.write(`model/parts/${n}`, `${version} ${n}`);
  project.write('model/run', `echo ${version}`, 0o755);
  project.write('single.bin', noise(200_000, `single ${version}`));
}

/** A project with a first version added, committed and tagged, and a directory remote. */
async function withFirstVersion(): Promise<{ project: Project; remote: string }> {
  const project = await makeProject();
  const remote = path.join(scratchFolder(), 'remote');
  const options = { isDefault: true, create: true };
  await addRemote(await project.open(), 'origin', remote, options, project.root);
  lay(project, 0);
  await project.add('model', 'single.bin');
  project.commit();
  git(project.root, 'tag', 'v0');
  return { project, remote };
}

/** The store has the layout of a remote; all that is visible in it must be whole. */
async function checkStore(project: Project): Promise<void> {
  const folder = project.at('.modelstore/store');
  if (fs.existsSync(folder)) await checkRemote(localRemote(folder));
}

describe('kill -9', () => {
  it('of add leaves every earlier version, and a store to go on with', { timeout }, async () => {
    const { project } = await withFirstVersion();
    const expected = [stateOf(project.root)];
    lay(project, 1);
    const usualMs = await timedRun(project.root, 'add', 'model', 'single.bin');
    let killed = 0;
    for (const [n, at] of killPoints(kills, 'add').entries()) {
      lay(project, n + 2);
      const before = stateOf(project.root);
      if (await killedRun(project.root, usualMs, at, 'add', 'model', 'single.bin')) killed++;
      await checkStore(project);
      expect(stateOf(project.root)).toEqual(before);
      expect((await project.status()).paths.map(({ state }) => state)).not.toContain('broken');
      for (const [version, state] of expected.entries()) {
        if (version > 0 && version < expected.length - 1) continue;
        const to = path.join(scratchFolder(), 'out');
        await project.checkoutTo(to, [`v${version}`]);
        expect(stateOf(to)).toEqual(state);
        fs.rmSync(to, { recursive: true });
      }

      await project.add('model', 'single.bin');
      expect(tempsBelow(project.root)).toEqual([]);
      expect((await project.status()).paths).toMatchObject([
        { state: 'unchanged' },
        { state: 'unchanged' },
      ]);
      expect(git(project.root, 'status', '--porcelain', '--untracked-files=all')).not.toContain(
        'tmp',
      );
      project.commit();
      git(project.root, 'tag', `v${expected.length}`);
      expected.push(before);
    }
    expect(killed).toBeGreaterThan(0);
  });

  it('of push leaves a remote that names only what it has', { timeout }, async () => {
    const { project, remote } = await withFirstVersion();
    const usualMs = await timedRun(project.root, 'push');
    let killed = 0;
    for (const [n, at] of killPoints(kills, 'push').entries()) {
      lay(project, n + 1);
      await project.add('model', 'single.bin');
      if (await killedRun(project.root, usualMs, at, 'push')) killed++;
      await checkRemote(localRemote(remote));
      await project.push([], 'origin');
      expect(await project.push([], 'origin')).toMatchObject({ bytesSent: 0 });
      await checkRemote(localRemote(remote));
      expect(filesBelow(path.join(remote, 'tmp'))).toEqual([]);
      expect(tempsBelow(project.root)).toEqual([]);
    }
    expect(killed).toBeGreaterThan(0);
    project.commit();
    const clone = cloneProject(project);
    await clone.fetch([], remote);
    await clone.checkout();
    expect(stateOf(clone.root)).toEqual(stateOf(project.root));
  });

  it('of pull leaves whole files, or the old ones', { timeout }, async () => {
    const { project } = await withFirstVersion();
    await project.push([], 'origin');
    lay(project, 1);
    await project.add('model', 'single.bin');
    await project.push([], 'origin');
    project.commit();
    git(project.root, 'tag', 'v1');
    const clone = cloneProject(project);
    const usualMs = await timedRun(clone.root, 'pull', 'v0');
    const old = stateOf(clone.root);
    const wanted = stateOf(project.root);
    const store = clone.at('.modelstore/store');
    const storeOfOld = path.join(scratchFolder(), 'store');
    fs.cpSync(store, storeOfOld, { recursive: true });
    let killed = 0;
    for (const at of killPoints(kills, 'pull')) {
      fs.rmSync(store, { recursive: true });
      fs.cpSync(storeOfOld, store, { recursive: true });
      if (await killedRun(clone.root, usualMs, at, 'pull', 'v1')) killed++;
      await checkStore(clone);
      for (const [file, is] of Object.entries(stateOf(clone.root))) {
        if (file.endsWith('.tmp')) continue;
        expect([old[file], wanted[file]], file).toContain(is);
      }
      await clone.fetch(['v1'], 'origin');
      await clone.checkout(['v1']);
      expect(stateOf(clone.root)).toEqual(wanted);
      expect(tempsBelow(clone.root)).toEqual([]);
      await clone.checkout(['v0']);
      expect(stateOf(clone.root)).toEqual(old);
    }
    expect(killed).toBeGreaterThan(0);
  });
});
