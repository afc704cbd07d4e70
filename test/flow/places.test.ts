import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, it } from 'vitest';
import { initWorkspace } from '../../src/flow/init.ts';
import { findTargets } from '../../src/flow/targets.ts';
import { openWorkspace } from '../../src/flow/workspace.ts';
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
import { filesBelow, stateOf } from '../support/flow-state.ts';
import { git } from '../support/git.ts';

const mib = 1024 * 1024;

/** Goes through the life of a model in a workspace that lies anywhere: two versions, there and back. */
async function liveThere(project: Project, otherPlace: () => Project): Promise<void> {
  project.write('m/a.bin', noise(300_000, 1));
  await project.add('m');
  project.commit();
  git(project.root, 'tag', 'v1');
  project.write('m/a.bin', noise(300_000, 2));
  await project.add('m');
  expect((await project.status()).paths).toMatchObject([
    { path: 'm', state: 'unchanged', pointer: 'changed' },
  ]);
  project.commit();
  expect((await project.status()).paths).toMatchObject([{ pointer: 'committed' }]);
  await project.push();
  await project.push(['v1']);
  await project.checkout(['v1']);
  expect(project.read('m/a.bin').equals(noise(300_000, 1))).toBe(true);
  await project.checkout(['main']);
  expect(git(project.root, 'status', '--porcelain')).toBe('');
  const other = otherPlace();
  await other.pull();
  expect(stateOf(other.at('m'))).toEqual(stateOf(project.at('m')));
  await other.pull(['v1']);
  expect(other.read('m/a.bin').equals(noise(300_000, 1))).toBe(true);
}

describe('a workspace', () => {
  it('lives at the top of a Git repository', async () => {
    const change = withRemotes({ origin: await emptyRemote() });
    const project = await makeProject(change);
    await liveThere(project, () => cloneProject(project, change));
  });

  it('lives in a folder of a Git repository', async () => {
    const change = withRemotes({ origin: await emptyRemote() });
    const top = scratchFolder();
    git(top, 'init', '-q');
    fs.mkdirSync(path.join(top, 'packages/model'), { recursive: true });
    const root = path.join(top, 'packages/model');
    await initWorkspace(root, { git: false }, testSurroundings(change));
    const project = projectAt(root, change);
    expect(await project.open()).toMatchObject({ root, gitPrefix: 'packages/model/' });
    await liveThere(project, () => {
      const clone = scratchFolder();
      git(clone, 'clone', '-q', top, '.');
      return projectAt(path.join(clone, 'packages/model'), change);
    });
    expect(fs.existsSync(path.join(top, '.gitattributes'))).toBe(false);
    expect(project.read('.gitattributes').toString()).toContain('*.mstore');
  });

  it('lives in a SHA-256 repository', async () => {
    const change = withRemotes({ origin: await emptyRemote() });
    const root = scratchFolder();
    git(root, 'init', '-q', '--object-format=sha256');
    await initWorkspace(root, { git: true }, testSurroundings(change));
    const project = projectAt(root, change);
    await liveThere(project, () => cloneProject(project, change));
  });

  it('lives in a linked worktree, and shares the store of the main one', async () => {
    const change = withRemotes({ origin: await emptyRemote() });
    const main = await makeProject(change);
    main.write('m/a.bin', noise(mib, 1));
    await main.add('m');
    const first = main.commit();
    const linked = scratchFolder();
    git(main.root, 'worktree', 'add', '-q', '-b', 'side', path.join(linked, 'tree'));
    const project = projectAt(path.join(linked, 'tree'), change);
    expect((await project.open()).store.folder).toBe(main.at('.modelstore/store'));
    // Nothing has to be fetched, and nothing is stored twice.
    await project.checkout();
    expect(stateOf(project.at('m'))).toEqual(stateOf(main.at('m')));
    project.write('m/b.bin', noise(mib, 2));
    expect(await project.add('m')).toMatchObject({ chunksNew: expect.any(Number) });
    project.commit();
    expect(fs.existsSync(project.at('.modelstore/store'))).toBe(false);
    await main.checkout(['side']);
    expect(stateOf(main.at('m'))).toEqual(stateOf(project.at('m')));
    await project.checkout([first]);
    expect(stateOf(project.at('m'))['b.bin']).toBeUndefined();
    expect((await project.status()).branch).toBe('side');
  });

  it('lives in a repository without commits', async () => {
    const project = await makeProject(withRemotes({ origin: await emptyRemote() }));
    project.write('a', 'a');
    await project.add('a');
    expect(await project.status()).toMatchObject({
      branch: 'main',
      commit: undefined,
      paths: [{ state: 'unchanged', pointer: 'new' }],
    });
    fs.rmSync(project.at('a'));
    await project.checkout();
    await project.push();
    const { allVersions } = await import('../../src/flow/history.ts');
    expect((await allVersions(await project.open())).tracked).toHaveLength(1);
    await expect(project.checkout(['main'])).rejects.toMatchObject({ code: 'unknown-ref' });
  });

  it('lives without Git', async () => {
    const change = withRemotes({ origin: await emptyRemote() });
    const project = await makePlainProject(change);
    project.write('m/a', 'a');
    await project.add('m');
    await project.push();
    expect(await project.status()).toMatchObject({
      branch: undefined,
      paths: [{ state: 'unchanged', pointer: undefined }],
    });
    const other = await makePlainProject(change);
    fs.copyFileSync(project.at('m.mstore'), other.at('m.mstore'));
    await other.pull();
    expect(stateOf(other.at('m'))).toEqual(stateOf(project.at('m')));
    await expect(
      findTargets(await project.open(), ['git:main'], project.root),
    ).rejects.toMatchObject({ code: 'no-git' });
    const { allVersions } = await import('../../src/flow/history.ts');
    await expect(allVersions(await project.open())).rejects.toMatchObject({ code: 'no-git' });
  });

  it('is found from any folder below it', async () => {
    const project = await makeProject();
    project.write('deep/er/a', 'a');
    const workspace = await openWorkspace(project.at('deep/er'), testSurroundings());
    expect(workspace.root).toBe(project.root);
    expect(workspace.relative('a', project.at('deep/er'))).toBe('deep/er/a');
    expect(workspace.relative('../../x', project.at('deep/er'))).toBe('x');
    expect(() => workspace.relative('../../..', project.at('deep/er'))).toThrow(
      expect.objectContaining({ code: 'outside-workspace' }),
    );
    await expect(
      openWorkspace(path.dirname(project.root), testSurroundings()),
    ).rejects.toMatchObject({ code: 'no-workspace' });
  });

  it('is made once, and completed when it is made again', async () => {
    const project = await makeProject();
    const config = project.read('.modelstore/config.toml');
    fs.rmSync(project.at('.gitattributes'));
    fs.rmSync(project.at('.modelstore/.gitignore'));
    fs.mkdirSync(project.at('sub'));
    const again = await initWorkspace(project.at('sub'), { git: true }, testSurroundings());
    expect(again).toMatchObject({ created: false, workspace: { root: project.root } });
    expect(project.read('.modelstore/config.toml').equals(config)).toBe(true);
    expect(project.read('.gitattributes').toString()).toContain('*.mstore text eol=lf');
    expect(fs.existsSync(project.at('.modelstore/.gitignore'))).toBe(true);
    await expect(
      initWorkspace(scratchFolder(), { git: true }, testSurroundings()),
    ).rejects.toMatchObject({ code: 'no-git' });
  });
});

describe('two workspaces with one store', () => {
  it('have what either added or fetched', async () => {
    const change = withRemotes({ origin: await emptyRemote() });
    const shared = scratchFolder();
    const env = { ...testSurroundings().env, MSTORE_STORE_PATH: shared };
    const one = await makeProject({ ...change, env });
    one.write('a', noise(mib, 'a'));
    await one.add('a');
    await one.push();
    one.commit();
    const two = cloneProject(one, { ...change, env });
    await two.checkout();
    expect(stateOf(two.root)).toEqual(stateOf(one.root));
    expect(filesBelow(one.at('.modelstore/store'))).toEqual([]);
    expect(await two.push()).toMatchObject({ bytesSent: 0 });
    expect(await two.fetch()).toMatchObject({ bytesReceived: 0 });
  });

  it('add to it at the same time', async () => {
    const shared = scratchFolder();
    const env = { ...testSurroundings().env, MSTORE_STORE_PATH: shared };
    const projects = await Promise.all(Array.from({ length: 4 }, () => makePlainProject({ env })));
    for (const [n, project] of projects.entries()) {
      project.write('common', noise(mib, 'common'));
      project.write('own', noise(mib, n));
    }
    await Promise.all(projects.map((project) => project.add('common', 'own')));
    for (const [n, project] of projects.entries()) {
      fs.rmSync(project.at('common'));
      fs.rmSync(project.at('own'));
      await project.checkout();
      expect(project.read('common').equals(noise(mib, 'common'))).toBe(true);
      expect(project.read('own').equals(noise(mib, n))).toBe(true);
    }
  });
});
