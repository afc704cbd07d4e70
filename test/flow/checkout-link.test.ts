import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import * as path from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import type { LinkKind } from '../../src/worktree/config-keys.ts';
import {
  makePlainProject,
  makeProject,
  type Project,
  projectAt,
  settle,
} from '../support/flow-project.ts';
import { noise } from '../support/flow-scratch.ts';
import { filesBelow } from '../support/flow-state.ts';
import { git } from '../support/git.ts';
import { requireOrSkip } from '../support/tmpfs.ts';

const writeBits = 0o222;

async function withModel(): Promise<Project> {
  const project = await makePlainProject();
  project.write('m/a.bin', noise(300_000, 'a'));
  project.write('m/run', 'echo', 0o755);
  await settle();
  await project.add('m');
  fs.rmSync(project.at('m'), { recursive: true });
  return project;
}

/** Whole files in the store, by name. */
function wholeFiles(project: Project): string[] {
  return filesBelow(project.at('.modelstore/store/files'));
}

describe.each(['hardlink', 'symlink'] as const)('checkout with --link %s', (kind) => {
  it('places read-only files that are the store’s own', async () => {
    const project = await withModel();
    await project.checkout([], { link: [kind] });
    expect(project.read('m/a.bin').equals(noise(300_000, 'a'))).toBe(true);
    const { ino, mode } = fs.statSync(project.at('m/a.bin'));
    expect(mode & writeBits).toBe(0);
    expect(mode & 0o111).toBe(0);
    expect(fs.statSync(project.at('m/run')).mode & 0o777).toBe(0o555);
    const inos = wholeFiles(project).map(
      (file) => fs.statSync(project.at(`.modelstore/store/files/${file}`)).ino,
    );
    expect(inos).toContain(ino);
    expect(fs.lstatSync(project.at('m/a.bin')).isSymbolicLink()).toBe(kind === 'symlink');
  });

  it('counts as unchanged for status, add and checkout', async () => {
    const project = await withModel();
    await project.checkout([], { link: [kind] });
    expect((await project.status()).paths).toMatchObject([{ state: 'unchanged', problems: [] }]);
    const pointer = project.read('m.mstore');
    expect(await project.add('m')).toMatchObject({ bytesNew: 0, paths: [{ changed: false }] });
    expect(project.read('m.mstore').equals(pointer)).toBe(true);
    expect(await project.checkout()).toMatchObject({ filesWritten: 0, filesUnchanged: 2 });
  });

  it('lets a file be replaced without harm to the store', async () => {
    const project = await withModel();
    await project.checkout([], { link: [kind] });
    fs.writeFileSync(project.at('m/next'), 'mine');
    fs.renameSync(project.at('m/next'), project.at('m/a.bin'));
    expect((await project.status()).paths).toMatchObject([{ state: 'modified' }]);
    await expect(project.checkout()).rejects.toMatchObject({ code: 'would-overwrite' });
    await project.checkout([], { force: true, link: [kind] });
    expect(project.read('m/a.bin').equals(noise(300_000, 'a'))).toBe(true);
  });

  it('leaves the store’s file alone when only the executable bit differs', async () => {
    const project = await makeProject();
    project.write('m/run', 'echo', 0o755);
    project.write('m/text', 'text');
    await project.add('m');
    project.commit();
    git(project.root, 'tag', 'v0');
    fs.chmodSync(project.at('m/run'), 0o644);
    fs.chmodSync(project.at('m/text'), 0o755);
    await project.add('m');
    fs.rmSync(project.at('m'), { recursive: true });
    await project.checkout([], { link: [kind] });
    const modes = () =>
      wholeFiles(project).map((file) => [
        file.endsWith('.x'),
        fs.statSync(project.at(`.modelstore/store/files/${file}`)).mode & 0o777,
      ]);
    const before = modes();
    await project.checkout(['v0'], { link: [kind] });
    expect(before).toHaveLength(2);
    expect(modes()).toHaveLength(4);
    for (const [executable, mode] of modes()) expect(mode).toBe(executable ? 0o555 : 0o444);
    expect(fs.statSync(project.at('m/run')).mode & 0o111).toBe(0o111);
    expect(fs.statSync(project.at('m/text')).mode & 0o111).toBe(0);
    await project.checkout();
    expect((await project.status()).paths).toMatchObject([{ state: 'unchanged' }]);
  });

  it('makes a whole file anew that was altered', async () => {
    const project = await withModel();
    await project.checkout([], { link: [kind] });
    const [name] = wholeFiles(project).filter((file) => !file.endsWith('.x'));
    const file = project.at(`.modelstore/store/files/${name}`);
    fs.chmodSync(file, 0o644);
    fs.writeFileSync(file, 'altered');
    expect((await project.status()).paths).toMatchObject([{ state: 'modified' }]);
    await project.checkout([], { link: [kind], force: true });
    expect(fs.readFileSync(file).equals(noise(300_000, 'a'))).toBe(true);
    expect(project.read('m/a.bin').equals(noise(300_000, 'a'))).toBe(true);
    expect((await project.status()).paths).toMatchObject([{ state: 'unchanged' }]);
  });

  it('goes to another version and back', async () => {
    const project = await makeProject();
    project.write('a', noise(200_000, 1));
    await project.add('a');
    project.commit();
    git(project.root, 'tag', 'v0');
    project.write('a', noise(200_000, 2));
    await project.add('a');
    project.commit();
    for (const [ref, seed] of [['v0', 1] as const, ['main', 2] as const, ['v0', 1] as const]) {
      await project.checkout([ref], { link: [kind] });
      expect(project.read('a').equals(noise(200_000, seed))).toBe(true);
      expect((await project.status()).paths).toMatchObject([{ state: 'unchanged' }]);
    }
    expect(wholeFiles(project)).toHaveLength(2);
  });
});

describe('checkout with --link', () => {
  it('turns links into copies that may be changed', async () => {
    const project = await withModel();
    await project.checkout([], { link: ['hardlink'] });
    fs.rmSync(project.at('m'), { recursive: true });
    await project.checkout([], { link: ['copy'] });
    fs.appendFileSync(project.at('m/a.bin'), 'more');
    expect(fs.statSync(project.at('m/a.bin')).nlink).toBe(1);
  });

  it('takes the next way where one does not work, and fails where none does', async () => {
    const project = await withModel();
    const refuse = (name: 'linkSync' | 'copyFileSync', code: string) => {
      const fail = () => {
        throw Object.assign(new Error(code), { code });
      };
      return vi.spyOn(fs, name).mockImplementation(fail);
    };
    const spies = [refuse('linkSync', 'EXDEV'), refuse('copyFileSync', 'ENOTSUP')];
    syncBuiltinESMExports();
    try {
      const all: LinkKind[] = ['reflink', 'hardlink'];
      await expect(project.checkout([], { link: all })).rejects.toMatchObject({
        code: 'link-unsupported',
        hint: expect.stringContaining('reflink,hardlink,copy'),
      });
      expect(filesBelow(project.at('m'))).toEqual([]);
      await project.checkout([], { link: [...all, 'copy'] });
    } finally {
      for (const spy of spies) spy.mockRestore();
      syncBuiltinESMExports();
    }
    expect(fs.statSync(project.at('m/a.bin')).mode & 0o200).toBe(0o200);
    expect(project.read('m/a.bin').equals(noise(300_000, 'a'))).toBe(true);
  });

  it('clones where the file system can', async () => {
    const project = await withModel();
    const probe = project.at('probe');
    fs.writeFileSync(probe, 'probe');
    let can = true;
    try {
      fs.copyFileSync(probe, `${probe}2`, fs.constants.COPYFILE_FICLONE_FORCE);
    } catch {
      can = false;
    }
    if (!can) {
      await expect(project.checkout([], { link: ['reflink'] })).rejects.toMatchObject({
        code: 'link-unsupported',
      });
      return;
    }
    await project.checkout([], { link: ['reflink'] });
    fs.appendFileSync(project.at('m/a.bin'), 'more');
    await project.checkout([], { link: ['reflink'], force: true });
    expect(project.read('m/a.bin').equals(noise(300_000, 'a'))).toBe(true);
  });

  it('follows the configuration', async () => {
    const project = await withModel();
    const env = { ...process.env, MSTORE_CHECKOUT_LINK: 'reflink,symlink' };
    await projectAt(project.root, { env }).checkout();
    requireOrSkip(process.platform !== 'win32', 'Links need developer mode');
    const kinds = fs.lstatSync(project.at('m/a.bin')).isSymbolicLink() ? 'symlink' : 'reflink';
    expect(['symlink', 'reflink']).toContain(kinds);
    expect(wholeFiles(project).length).toBeGreaterThan(0);
  });

  it('takes links of a workspace that was moved for what they are', async () => {
    const project = await withModel();
    await project.checkout([], { link: ['symlink'] });
    const moved = path.join(path.dirname(project.root), `${path.basename(project.root)}-moved`);
    fs.renameSync(project.root, moved);
    try {
      const there = projectAt(moved);
      expect((await there.status()).paths).toMatchObject([{ state: 'modified' }]);
      await there.checkout([], { force: true });
      expect(there.read('m/a.bin').equals(noise(300_000, 'a'))).toBe(true);
    } finally {
      fs.renameSync(moved, project.root);
    }
  });
});
