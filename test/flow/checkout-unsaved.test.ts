import * as fs from 'node:fs';
import * as net from 'node:net';
import { describe, expect, it } from 'vitest';
import { makeProject, type Project, settle } from '../support/flow-project.ts';
import { noise } from '../support/flow-scratch.ts';
import { stateOf } from '../support/flow-state.ts';
import { git } from '../support/git.ts';

const conflict = (...paths: string[]) =>
  expect.objectContaining({ code: 'would-overwrite', details: { paths } });

/** A directory `m` with two versions, tagged v0 and v1, the second on disk. */
async function withTwoVersions(): Promise<Project> {
  const project = await makeProject();
  project.write('m/a', 'one');
  project.write('m/only/in-v0', 'old');
  await settle();
  await project.add('m');
  project.commit();
  git(project.root, 'tag', 'v0');
  project.write('m/a', 'two');
  fs.rmSync(project.at('m/only'), { recursive: true });
  project.write('m/new', 'new');
  fs.symlinkSync('a', project.at('m/link'));
  await settle();
  await project.add('m');
  project.commit();
  git(project.root, 'tag', 'v1');
  return project;
}

describe('checkout over changes that are stored nowhere', () => {
  it('ends before the first change, naming all files that would be lost', async () => {
    const project = await withTwoVersions();
    project.write('m/a', 'mine');
    project.write('m/only', 'a file where a directory must be');
    const before = stateOf(project.at('m'));
    const pointer = project.read('m.mstore');
    await expect(project.checkout(['v0'])).rejects.toEqual(conflict('m/a', 'm/only'));
    expect(stateOf(project.at('m'))).toEqual(before);
    expect(project.read('m.mstore').equals(pointer)).toBe(true);
  });

  it('overwrites and removes them when it is forced', async () => {
    const project = await withTwoVersions();
    project.write('m/a', 'mine');
    project.write('m/only', 'mine');
    project.write('m/extra/deep', 'mine');
    await project.checkout(['v0'], { force: true });
    expect(Object.keys(stateOf(project.at('m')))).toEqual(['a', 'only/in-v0']);
    expect(project.read('m/a').toString()).toBe('one');
  });

  it('keeps extra files, and says so', async () => {
    const project = await withTwoVersions();
    project.write('m/extra', 'mine');
    project.write('m/sub/deep', 'mine');
    fs.symlinkSync('extra', project.at('m/extra-link'));
    expect(await project.checkout(['v0'])).toMatchObject({
      kept: ['m/extra', 'm/extra-link', 'm/sub/deep'],
    });
    expect(project.read('m/extra').toString()).toBe('mine');
    expect(project.read('m/sub/deep').toString()).toBe('mine');
    expect(project.read('m/a').toString()).toBe('one');
  });

  it('keeps a changed file that the other version does not have', async () => {
    const project = await withTwoVersions();
    project.write('m/new', 'changed since');
    expect(await project.checkout(['v0'])).toMatchObject({ kept: ['m/new'] });
    expect(project.read('m/new').toString()).toBe('changed since');
  });

  it('overwrites changes that were stored, by whatever path', async () => {
    const project = await withTwoVersions();
    project.write('m/a', 'mine');
    project.write('copy', 'mine');
    await project.add('copy');
    await project.checkout(['v0']);
    expect(project.read('m/a').toString()).toBe('one');
  });

  it('keeps a link of the user where a file must be', async () => {
    const project = await withTwoVersions();
    fs.rmSync(project.at('m/a'));
    fs.symlinkSync('new', project.at('m/a'));
    await expect(project.checkout(['v0'])).rejects.toEqual(conflict('m/a'));
    expect(fs.readlinkSync(project.at('m/a'))).toBe('new');
    expect(project.read('m/new').toString()).toBe('new');
    await project.checkout(['v0'], { force: true });
    expect(stateOf(project.at('m'))['a']).toMatch(/^file 3 /);
  });

  it('never writes through a link that stands where a directory must be', async () => {
    const project = await withTwoVersions();
    fs.mkdirSync(project.at('outside'));
    fs.symlinkSync('../outside', project.at('m/only'));
    await expect(project.checkout(['v0'])).rejects.toEqual(conflict('m/only'));
    await project.checkout(['v0'], { force: true });
    expect(fs.readdirSync(project.at('outside'))).toEqual([]);
    expect(project.read('m/only/in-v0').toString()).toBe('old');
  });

  it('keeps a socket, and does not replace one', async () => {
    const project = await withTwoVersions();
    const listen = (at: string) =>
      new Promise<net.Server>((resolve) => {
        const server = net.createServer();
        server.listen(project.at(at), () => resolve(server));
      });
    const aside = await listen('m/s');
    expect(await project.checkout(['v0'])).toMatchObject({ kept: ['m/s'] });
    fs.rmSync(project.at('m/a'));
    const inTheWay = await listen('m/a');
    await expect(project.checkout(['v1'])).rejects.toEqual(conflict('m/a'));
    await expect(project.checkout(['v1'])).rejects.toMatchObject({ exitCode: 6 });
    for (const server of [aside, inTheWay]) server.close();
  });

  it('keeps a file in a directory that has no entries in the version', async () => {
    const project = await makeProject();
    fs.mkdirSync(project.at('m/d'), { recursive: true });
    await project.add('m');
    project.write('m/d/mine', 'mine');
    expect(await project.checkout()).toMatchObject({ kept: ['m/d/mine'] });
    expect(project.read('m/d/mine').toString()).toBe('mine');
  });

  it('keeps what is left out of versions when a directory must become a file', async () => {
    const project = await makeProject();
    project.write('m', 'a file');
    await project.add('m');
    project.commit();
    fs.rmSync(project.at('m'));
    project.write('.mstoreignore', '*.log\n');
    project.write('m/a', 'a');
    project.write('m/notes.log', 'mine');
    await project.add('m');
    await expect(project.checkout(['main'])).rejects.toMatchObject({ code: 'would-overwrite' });
    expect(project.read('m/notes.log').toString()).toBe('mine');
    expect(project.read('m/a').toString()).toBe('a');
    await project.checkout(['main'], { force: true });
    expect(project.read('m').toString()).toBe('a file');
  });

  it('sees a change of the same size and moment', async () => {
    const project = await makeProject();
    project.write('a', noise(64, 1));
    await project.add('a');
    project.commit();
    git(project.root, 'tag', 'v0');
    project.write('a', noise(64, 2));
    await project.add('a');
    for (let turn = 0; turn < 20; turn++) {
      project.write('a', noise(64, `mine ${turn}`));
      await expect(project.checkout(['v0'])).rejects.toEqual(conflict('a'));
    }
  });
});

describe('checkout over files that .mstoreignore names', () => {
  async function withIgnored(): Promise<Project> {
    const project = await makeProject();
    project.write('m/x/a', 'stored');
    project.write('m/b', 'b');
    await project.add('m');
    project.commit();
    fs.rmSync(project.at('m/x'), { recursive: true });
    project.write('.mstoreignore', '/m/x\n');
    return project;
  }

  it('keeps them where the version has a file', async () => {
    const project = await withIgnored();
    project.write('m/x/a', 'mine');
    await expect(project.checkout()).rejects.toEqual(conflict('m/x/a'));
    expect(project.read('m/x/a').toString()).toBe('mine');
    await project.checkout([], { force: true });
    expect(project.read('m/x/a').toString()).toBe('stored');
  });

  it('keeps them where the version has a directory', async () => {
    const project = await withIgnored();
    project.write('m/x', 'mine');
    await expect(project.checkout()).rejects.toEqual(conflict('m/x'));
    expect(project.read('m/x').toString()).toBe('mine');
    await project.checkout([], { force: true });
    expect(project.read('m/x/a').toString()).toBe('stored');
  });

  it('takes nothing behind a link for what is at its place', async () => {
    const project = await withIgnored();
    project.write('elsewhere/a', 'stored');
    fs.symlinkSync('../elsewhere', project.at('m/x'));
    await expect(project.checkout()).rejects.toEqual(conflict('m/x'));
    await project.checkout([], { force: true });
    expect(fs.lstatSync(project.at('m/x')).isDirectory()).toBe(true);
    expect(project.read('m/x/a').toString()).toBe('stored');
    expect(project.read('elsewhere/a').toString()).toBe('stored');
  });
});
