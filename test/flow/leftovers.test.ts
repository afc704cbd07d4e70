import * as fs from 'node:fs';
import { describe, expect, it } from 'vitest';
import { hostToken } from '../../src/base/host.ts';
import { initWorkspace } from '../../src/flow/init.ts';
import { addRemote } from '../../src/flow/remotes.ts';
import { untrack } from '../../src/flow/untrack.ts';
import { writeConfigKey } from '../../src/worktree/config-file.ts';
import { tempsBelow } from '../support/flow-kill.ts';
import {
  emptyRemote,
  makeProject,
  type Project,
  testSurroundings,
  withRemotes,
} from '../support/flow-project.ts';
import { filesBelow, stateOf } from '../support/flow-state.ts';

const dead = `${hostToken()}-999999999-0123456789abcdef.tmp`;
/** Of a process that runs: the first of this host. */
const alive = `${hostToken()}-1-0123456789abcdef.tmp`;
/** Of another host, which cannot be asked. */
const foreign = '0123456789ab-999999999-0123456789abcdef.tmp';

/** Every place in which a file is under construction at some moment. */
const places = [
  '.',
  'models/.',
  'models/bert/.',
  'models/bert/sub/.',
  '.modelstore/.',
  '.modelstore/tmp/',
  '.modelstore/cache/.',
  '.modelstore/cache/git-files.lock.',
  '.modelstore/cache/stat/.',
  '.modelstore/store/tmp/',
  '.modelstore/store/tmp/.',
];

async function withLeftovers(): Promise<Project> {
  const project = await makeProject(withRemotes({ origin: await emptyRemote() }));
  project.write('models/bert/a', 'a');
  project.write('models/bert/sub/b', 'b');
  await project.add('models/bert');
  await project.push();
  for (const place of places) {
    for (const name of [dead, alive, foreign]) project.write(place + name, 'half a file');
  }
  return project;
}

const commands: Array<[string, (project: Project) => Promise<unknown>]> = [
  ['add', (project) => project.add('models/bert')],
  [
    'pull',
    (project) => {
      fs.rmSync(project.at('.modelstore/store/packs'), { recursive: true });
      return project.pull();
    },
  ],
];

describe.each(commands)('%s', (_, run) => {
  it('clears what dead processes left, and nothing of the living', async () => {
    const project = await withLeftovers();
    await run(project);
    const left = tempsBelow(project.root);
    expect(left.filter((file) => file.endsWith(dead))).toEqual([]);
    expect(left.filter((file) => file.endsWith(alive))).toHaveLength(places.length);
    expect(left.filter((file) => file.endsWith(foreign))).toHaveLength(places.length);
  });
});

describe('short commands', () => {
  it('clear what dead ones left', async () => {
    const leave = (project: Project, ...places: string[]): void => {
      for (const place of places)
        for (const name of [dead, alive]) project.write(place + name, 'half a file');
    };
    const lefts = (project: Project): string[] =>
      tempsBelow(project.root).filter((file) => file.endsWith(dead));
    const project = await makeProject();
    project.write('models/a', 'a');
    await project.add('models/a');
    const { folder, cacheFolder, root } = await project.open();
    leave(project, '.modelstore/.', '.modelstore/cache/.');
    await writeConfigKey(`${folder}/config.toml`, 'core.remote', 'origin', cacheFolder);
    expect(lefts(project)).toEqual([]);
    leave(project, '.', '.modelstore/.', '.modelstore/cache/git-files.lock.');
    await initWorkspace(root, { git: true }, testSurroundings());
    expect(lefts(project)).toEqual([]);
    leave(project, 'models/.', '.modelstore/cache/.');
    await untrack(await project.open(), ['models/a']);
    expect(lefts(project)).toEqual([]);
    expect(tempsBelow(root)).toHaveLength(5);
  });
});

describe('files under construction', () => {
  it('are no part of a directory', async () => {
    const project = await withLeftovers();
    expect((await project.status()).paths).toMatchObject([{ state: 'unchanged', problems: [] }]);
    await project.add('models/bert');
    expect(project.read('models/bert.mstore').toString()).not.toContain('.tmp');
  });

  it('are forgotten after a day without a sign of life', async () => {
    const project = await withLeftovers();
    const later = Date.now() + 25 * 60 * 60 * 1000;
    const { add } = await import('../../src/flow/add.ts');
    const clock = { now: () => later, monotonic: () => performance.now() };
    await add(await project.open({ clock }), ['models/bert']);
    expect(tempsBelow(project.root).filter((file) => file.endsWith(foreign))).toEqual([]);
    expect(tempsBelow(project.root).filter((file) => file.endsWith(alive))).not.toEqual([]);
  });

  it('lie in the one folder for them, on a remote too', async () => {
    const project = await withLeftovers();
    const folder = `${project.root}-remote`;
    const options = { isDefault: true, create: true };
    try {
      await addRemote(await project.open(), 'there', folder, options, project.root);
      fs.mkdirSync(`${folder}/tmp`, { recursive: true });
      for (const name of [dead, alive]) fs.writeFileSync(`${folder}/tmp/${name}`, 'half');
      const before = stateOf(project.root);
      await project.push([], 'there');
      expect(filesBelow(`${folder}/tmp`)).toEqual([alive]);
      expect(stateOf(project.root)).toEqual(before);
    } finally {
      fs.rmSync(folder, { recursive: true, force: true });
    }
  });
});
