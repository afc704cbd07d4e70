import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  ensureCacheFolder,
  ensureFolder,
  settleFolder,
  writeAtomically,
} from '../../src/base/files.ts';
import { initWorkspace } from '../../src/flow/init.ts';
import { addRemote } from '../../src/flow/remotes.ts';
import { untrack } from '../../src/flow/untrack.ts';
import { localRemote } from '../../src/remote/local.ts';
import { bytesSource } from '../../src/remote/remote.ts';
import { makeProject, type Project, testSurroundings } from '../support/flow-project.ts';
import { noise, scratchFolder } from '../support/flow-scratch.ts';
import { filesBelow } from '../support/flow-state.ts';
import { ageFolder, flushedBelow } from '../support/flushed.ts';

/*
 * A name is on the disk for certain only when its folder was flushed. Whoever makes names flushes them; these
 * tests are of names that were made by somebody else, who may have ended between the two.
 */

describe('folders', () => {
  it('are made one by one, each flushed before something is in it', async () => {
    const top = scratchFolder();
    const flushed = await flushedBelow(top, () => ensureFolder(path.join(top, 'a/b/c')));
    expect(flushed).toEqual(['.', 'a', 'a/b']);
  });

  it('that hold something are flushed, those that are empty may not be', async () => {
    const top = scratchFolder();
    fs.mkdirSync(path.join(top, 'a/b'), { recursive: true });
    expect(await flushedBelow(top, () => ensureFolder(path.join(top, 'a')))).toEqual([]);
    expect(await flushedBelow(top, () => ensureFolder(path.join(top, 'a/b')))).toEqual(['a']);
  });

  it('for what may be lost are not flushed, those above them are', async () => {
    const top = scratchFolder();
    const make = (): void => ensureCacheFolder(path.join(top, 'a/tmp'));
    expect(await flushedBelow(top, make)).toEqual(['.']);
    expect(await flushedBelow(top, make)).toEqual([]);
  });

  it('are told from files and links that lead nowhere', () => {
    const top = scratchFolder();
    fs.writeFileSync(path.join(top, 'file'), '');
    fs.symlinkSync('nowhere', path.join(top, 'link'));
    for (const name of ['file', 'link', 'file/below', 'link/below'])
      expect(() => ensureFolder(path.join(top, name)), name).toThrow(/EEXIST|ENOTDIR/);
  });

  it('settle once, while their names are young', async () => {
    const top = scratchFolder();
    const settle = (): void => settleFolder(top);
    expect(await flushedBelow(top, settle)).toEqual(['.']);
    ageFolder(top);
    expect(await flushedBelow(top, settle)).toEqual([]);
    settleFolder(path.join(top, 'none'));
  });
});

describe('a name that was taken', () => {
  it('is flushed by who finds it', async () => {
    const top = scratchFolder();
    const file = path.join(top, 'a');
    fs.writeFileSync(file, 'first');
    const write = (): void => {
      expect(writeAtomically(file, 'second', { ifAbsent: true })).toBe(false);
    };
    expect((await flushedBelow(top, write)).at(-1)).toBe('.');
    expect(fs.readFileSync(file, 'utf8')).toBe('first');
  });
});

/** A project with a file of several chunks that was added, pushed and committed. */
async function withModel(): Promise<{ project: Project; remote: string }> {
  const project = await makeProject();
  const remote = path.join(scratchFolder(), 'remote');
  const options = { isDefault: true, create: true };
  await addRemote(await project.open(), 'origin', remote, options, project.root);
  project.write('models/a', noise(900_000));
  await project.add('models/a');
  await project.push([], 'origin');
  return { project, remote };
}

describe('work that was found done is flushed by', () => {
  it('init: the configuration', async () => {
    const { root } = await makeProject();
    const init = () => initWorkspace(root, { git: true }, testSurroundings());
    expect(await flushedBelow(root, init)).toEqual(
      expect.arrayContaining(['.modelstore', '.modelstore', '.']),
    );
  });

  it('add: recipes, pointer, ignore lines', async () => {
    const { project } = await withModel();
    const [recipe] = filesBelow(project.at('.modelstore/store/recipes')) as [string];
    const shard = `.modelstore/store/recipes/${path.dirname(recipe)}`;
    const add = () => project.add('models/a');
    const flushed = await flushedBelow(project.root, add);
    expect(flushed).toEqual(expect.arrayContaining([shard, 'models', '.']));
    for (const folder of [shard, 'models', '.']) ageFolder(project.at(folder));
    expect(await flushedBelow(project.root, add)).toEqual([]);
  });

  it('add: a pack without an index object', async () => {
    const { project } = await withModel();
    const store = project.at('.modelstore/store');
    const [pack] = filesBelow(path.join(store, 'packs')) as [string];
    for (const name of ['index', 'tables'])
      fs.rmSync(path.join(store, name), { recursive: true, force: true });
    const flushed = await flushedBelow(project.root, () => project.add('models/a'));
    const at = flushed.indexOf(`.modelstore/store/packs/${path.dirname(pack)}`);
    const index = flushed.findIndex((name) => name.startsWith('.modelstore/store/index/'));
    expect(at).toBeGreaterThanOrEqual(0);
    expect(index).toBeGreaterThan(at);
  });

  it('push: all that is on a directory remote', async () => {
    const { project, remote } = await withModel();
    const push = () => project.push([], 'origin');
    const folders = filesBelow(remote).map((name) => path.dirname(name));
    const needed = [...new Set(folders)].filter((name) => name !== '.');
    expect(await flushedBelow(remote, push)).toEqual(expect.arrayContaining(needed));
    for (const name of needed) ageFolder(path.join(remote, name));
    expect(await flushedBelow(remote, push)).toEqual([]);
  });

  it('untrack: the folder of the pointer', async () => {
    const { project } = await withModel();
    const flushed = await flushedBelow(project.root, async () =>
      untrack(await project.open(), ['models/a']),
    );
    expect(flushed).toEqual(['models', 'models']);
  });
});

describe('a directory remote', () => {
  it('settles what was listed, and no more', async () => {
    const folder = scratchFolder();
    const remote = localRemote(folder);
    for (const key of ['a/1', 'b/1', 'b/2'])
      await remote.create(key, bytesSource(Buffer.from(key)));
    const settle = () => remote.settle?.();
    expect(await flushedBelow(folder, settle)).toEqual([]);
    for await (const _ of remote.list('b/'));
    expect(await flushedBelow(folder, settle)).toEqual(['b']);
    expect(await flushedBelow(folder, settle)).toEqual([]);
  });
});

describe('checkout', () => {
  it('flushes what it removed, or an earlier run did, before the pointer', async () => {
    const project = await makeProject();
    project.write('m/a', 'a');
    await project.add('m');
    const first = project.commit();
    project.write('m/sub/b', 'b');
    await project.add('m');
    project.commit();
    fs.rmSync(project.at('m/sub'), { recursive: true });
    const flushed = await flushedBelow(project.root, () => project.checkout([first]));
    expect(flushed.indexOf('m')).toBeGreaterThanOrEqual(0);
    expect(flushed.indexOf('m')).toBeLessThan(flushed.indexOf('.'));
    expect(await flushedBelow(project.root, () => project.checkout([first]))).not.toContain('m');
  });
});
