import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, it } from 'vitest';
import { deploy } from '../../src/flow/environments.ts';
import { pushWithVersions } from '../../src/flow/push-versions.ts';
import { register } from '../../src/flow/register.ts';
import { chooseRemote } from '../../src/flow/remotes.ts';
import { setVersionState } from '../../src/flow/version-states.ts';
import { entryKey, versionKey } from '../../src/registry/keys.ts';
import { environmentLog } from '../../src/registry/registry.ts';
import { makeProject, type Project } from '../support/flow-project.ts';
import {
  damageIn,
  directoryRemote,
  objectsOf,
  storeOf,
  verifyProject,
} from '../support/flow-verify.ts';

const model = 'ranker';
const entry = (number: number): string => entryKey(environmentLog(model, 'production'), number);

/** A project with three versions, of which each was live once, and a remote that has all of it. */
async function withHistory(): Promise<{ project: Project; store: string; origin: string }> {
  const project = await makeProject();
  const origin = await directoryRemote(project);
  for (const version of ['v1', 'v2', 'v3']) {
    project.write('model.bin', `weights of ${version}`);
    await project.add('model.bin');
    await register(await project.open(), { model, version, path: 'model.bin' });
    const workspace = await project.open();
    await deploy(workspace, { model, version, environment: 'production' });
  }
  const workspace = await project.open();
  const state = { model, version: 'v1', state: 'deprecated' } as const;
  await setVersionState(workspace, state, { force: true, reason: 'a test' });
  const chosen = await chooseRemote(workspace, 'origin', project.root);
  await pushWithVersions(workspace, [], chosen, { registry: 'all' });
  return { project, store: storeOf(project), origin };
}

/** Changes a word of a record or an entry, as somebody with an editor would. */
function edit(folder: string, key: string): void {
  const file = path.join(folder, key);
  fs.writeFileSync(file, fs.readFileSync(file, 'utf8').replace(/"(at|created)": "2/, '"$1": "1'));
}

describe('verify of a registry', () => {
  it('finds everything that is wrong, one beside the other', async () => {
    const { project, store } = await withHistory();
    expect(await verifyProject(project)).toMatchObject({ findings: [], registryObjects: 7 });
    edit(store, versionKey(model, 'v1'));
    fs.rmSync(path.join(store, versionKey(model, 'v2')));
    edit(store, entry(3));
    fs.rmSync(path.join(store, entry(1)));
    const report = await verifyProject(project);
    const told = damageIn(report).map(({ key, message, harms }) => [key, message, harms]);
    const history = ['the history of ranker in production'];
    expect(told).toHaveLength(4);
    expect(told).toEqual(
      expect.arrayContaining([
        [versionKey(model, 'v1'), expect.stringMatching(/does not fit its digest/), ['ranker@v1']],
        [
          versionKey(model, 'v2'),
          'The record of ranker@v2, which was live in production, is missing',
          ['ranker@v2'],
        ],
        [entry(3), expect.stringMatching(/does not fit its digest/), history],
        [entry(1), 'An entry of the history is missing: it goes on with 2', history],
      ]),
    );
    expect(report.code).toBe('corrupt-store');
  });

  it('finds an entry that was replaced by another one', async () => {
    const { project, store } = await withHistory();
    const other = await withHistory();
    fs.copyFileSync(path.join(other.store, entry(2)), path.join(store, entry(2)));
    const keys = damageIn(await verifyProject(project)).map(({ key }) => key);
    expect(keys).toEqual(expect.arrayContaining([entry(2), entry(3)]));
  });

  it('asks for the data of no version that is deleted', async () => {
    const { project, store } = await withHistory();
    const deleted = { model, version: 'v1', state: 'deleted' } as const;
    await setVersionState(await project.open(), deleted, { force: true, reason: 'a test' });
    fs.rmSync(path.join(store, 'packs'), { recursive: true });
    const report = await verifyProject(project);
    const harmed = report.findings.flatMap(({ harms }) => harms);
    expect(harmed).toContain('ranker@v2');
    expect(harmed).not.toContain('ranker@v1');
  });
});

describe('a repair of a registry', () => {
  it.each(['local', 'remote'] as const)('of the %s takes what the other has', async (where) => {
    const { project, store, origin } = await withHistory();
    const folder = where === 'local' ? store : origin;
    const remote = where === 'local' ? {} : { remote: 'origin' };
    const before = objectsOf(folder);
    edit(folder, versionKey(model, 'v1'));
    fs.rmSync(path.join(folder, versionKey(model, 'v2')));
    edit(folder, entry(2));
    fs.rmSync(path.join(folder, entry(1)));
    const report = await verifyProject(project, { ...remote, repair: true });
    expect(report).toMatchObject({ code: null, damage: 0 });
    expect(
      report.findings.every(({ repair }) => repair?.startsWith('The object was taken from')),
    ).toBe(true);
    expect(objectsOf(folder)).toEqual(before);
  });

  it.each(['local', 'remote'] as const)(
    'of the %s puts entries and records that were swapped back in their places',
    async (where) => {
      const { project, store, origin } = await withHistory();
      const folder = where === 'local' ? store : origin;
      const remote = where === 'local' ? {} : { remote: 'origin' };
      const before = objectsOf(folder);
      for (const [one, other] of [
        [entry(1), entry(2)],
        [versionKey(model, 'v1'), versionKey(model, 'v2')],
      ] as const) {
        const bytes = fs.readFileSync(path.join(folder, one));
        fs.copyFileSync(path.join(folder, other), path.join(folder, one));
        fs.writeFileSync(path.join(folder, other), bytes);
      }
      const report = await verifyProject(project, { ...remote, repair: true });
      expect(report).toMatchObject({ code: null, damage: 0 });
      expect(objectsOf(folder)).toEqual(before);
    },
  );

  it('takes no history for another one', async () => {
    const { project, store, origin } = await withHistory();
    const other = await withHistory();
    // The remote has another history of the same names, whole in itself.
    fs.rmSync(path.join(origin, 'refs'), { recursive: true });
    fs.cpSync(path.join(other.origin, 'refs'), path.join(origin, 'refs'), { recursive: true });
    edit(store, entry(2));
    edit(store, versionKey(model, 'v1'));
    const before = objectsOf(store);
    const report = await verifyProject(project, { repair: true });
    expect(report.code).toBe('corrupt-store');
    expect(damageIn(report)).toHaveLength(2);
    expect(objectsOf(store)).toEqual(before);
  });
});
