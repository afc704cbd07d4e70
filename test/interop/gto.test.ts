import { setTimeout as delay } from 'node:timers/promises';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { deploy, promote, rollback } from '../../src/flow/environments.ts';
import { importGitTags } from '../../src/flow/import-git-tags.ts';
import { register } from '../../src/flow/register.ts';
import { localRegistry } from '../../src/flow/registry.ts';
import { setVersionState } from '../../src/flow/version-states.ts';
import { makeProject, type Project } from '../support/flow-project.ts';
import { git } from '../support/git.ts';
import { gto, installGto } from '../support/gto-program.ts';

interface Event {
  readonly event: string;
  readonly version: string;
  readonly stage?: string;
  readonly ref: string;
}

let project: Project;
const model = 'm';

/** Adds and commits content of its own for a version. */
async function commitVersion(text: string): Promise<string> {
  project.write('models/m/weights', text);
  await project.add('models/m');
  return project.commit();
}

function shown(): Record<string, unknown> {
  const state = JSON.parse(gto(project.root, 'show', '--json')) as Record<string, unknown>;
  return state[model] as Record<string, unknown>;
}

function history(): Event[] {
  return JSON.parse(gto(project.root, 'history', model, '--json', '--asc')) as Event[];
}

/** Waits until a tag that is made now is newer than all others; tags have times in whole seconds. */
async function afterTags(): Promise<void> {
  const times = git(project.root, 'for-each-ref', '--format=%(taggerdate:unix)', 'refs/tags');
  const newest = Math.max(...times.trim().split('\n').map(Number));
  await delay(Math.max(0, (newest + 1) * 1000 - Date.now()));
}

beforeAll(() => installGto(), 300_000);

beforeEach(async () => {
  project = await makeProject();
  project.write('dvc.yaml', 'artifacts:\n  m:\n    path: models/m\n    type: model\n');
});

describe('with the real gto', () => {
  const gitTag = true;

  it('tags of ours are read: versions, what is live, and what was', async () => {
    for (const version of ['v1.0.0', 'v1.1.0']) {
      await commitVersion(version);
      await register(await project.open(), { model, version, path: 'models/m' }, { gitTag });
    }
    const workspace = await project.open();
    const to = (environment: string, version: string) => ({ model, environment, version });
    await deploy(workspace, to('staging', 'v1.0.0'), { gitTag });
    await promote(workspace, { model, from: 'staging', to: 'production' }, { gitTag });
    await deploy(workspace, to('staging', 'v1.1.0'), { gitTag });
    await promote(workspace, { model, from: 'staging', to: 'production' }, { gitTag });
    expect(shown()).toMatchObject({
      version: 'v1.1.0',
      stage: { staging: 'v1.1.0', production: 'v1.1.0' },
    });
    await rollback(workspace, { model, environment: 'production' }, { gitTag, reason: 'worse' });
    expect(shown()).toMatchObject({
      version: 'v1.1.0',
      stage: { staging: 'v1.1.0', production: 'v1.0.0' },
    });
    expect(gto(project.root, 'show', `${model}#production`, '--version').trim()).toBe('v1.0.0');
    const production = history().filter(({ stage }) => stage === 'production');
    expect(production.map(({ event, version }) => `${event} ${version}`)).toEqual([
      'assignment v1.0.0',
      'unassignment v1.0.0',
      'assignment v1.1.0',
      'unassignment v1.1.0',
      'assignment v1.0.0',
    ]);
    await deploy(workspace, to('staging', 'v1.0.0'), { gitTag });
    const force = { force: true, reason: 'wrong data', gitTag };
    await setVersionState(workspace, { model, version: 'v1.1.0', state: 'deprecated' }, force);
    expect(history().at(-1)).toMatchObject({ event: 'deregistration', version: 'v1.1.0' });
    expect(shown()).toMatchObject({ version: 'v1.0.0' });
    await setVersionState(workspace, { model, version: 'v1.1.0', state: 'active' }, { gitTag });
    expect(shown()).toMatchObject({ version: 'v1.1.0' });
    // GTO goes on where we stopped, by the clock, which many tags in one second have run ahead of.
    await afterTags();
    gto(project.root, 'assign', model, '--version', 'v1.1.0', '--stage', 'production');
    expect(shown()).toMatchObject({ stage: { production: 'v1.1.0' } });
    git(project.root, 'fsck', '--strict');
  });

  it('tags of gto become versions and histories of ours', async () => {
    const first = await commitVersion('one');
    gto(project.root, 'register', model, '--version', 'v1.0.0');
    gto(project.root, 'assign', model, '--version', 'v1.0.0', '--stage', 'staging');
    await afterTags();
    const second = await commitVersion('two');
    gto(project.root, 'register', model, '--version', 'v1.1.0', '--message', 'More data');
    await afterTags();
    gto(project.root, 'assign', model, '--version', 'v1.1.0', '--stage', 'staging');
    await afterTags();
    gto(project.root, 'deprecate', model, 'v1.0.0');
    const result = await importGitTags(await project.open());
    expect(result).toMatchObject({
      versions: ['m@v1.0.0', 'm@v1.1.0'],
      states: [{ version: 'v1.0.0', state: 'deprecated' }],
      leftOut: [],
      notes: [],
    });
    const registry = await localRegistry(await project.open());
    const records = await registry.records(model, ['v1.0.0', 'v1.1.0']);
    expect(records.map(({ value }) => value.source?.git?.commit)).toEqual([first, second]);
    expect(records[1]?.value.description).toBe('More data');
    const staging = await registry.history(model, 'staging');
    expect(staging.map(({ value }) => value.version)).toEqual(['v1.0.0', 'v1.1.0']);
    // We go on where GTO stopped.
    const target = { model, environment: 'staging', version: 'v1.0.0' };
    await setVersionState(await project.open(), { ...target, state: 'active' }, { gitTag });
    await deploy(await project.open(), target, { gitTag });
    expect(shown()).toMatchObject({ stage: { staging: 'v1.0.0' } });
    const again = await importGitTags(await project.open());
    expect(again).toMatchObject({ versions: [], entries: [], states: [] });
  });
});
