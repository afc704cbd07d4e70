import * as fs from 'node:fs';
import * as path from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { type GitTagImport, importGitTags } from '../../src/flow/import-git-tags.ts';
import { localRegistry } from '../../src/flow/registry.ts';
import { makeProject, type Project } from '../support/flow-project.ts';
import { git, gitTestEnv } from '../support/git.ts';

let project: Project;
const commits: string[] = [];

/** Makes an annotated tag at a time, as GTO does. */
function tag(name: string, commit: string, seconds: number, message = name): void {
  const env = gitTestEnv;
  const before = { ...env };
  Object.assign(env, {
    GIT_COMMITTER_DATE: `${1_700_000_000 + seconds} +0000`,
    GIT_COMMITTER_NAME: 'Bob',
    GIT_COMMITTER_EMAIL: 'bob@example.com',
  });
  try {
    git(project.root, 'tag', '-a', '-m', message, name, commit);
  } finally {
    Object.assign(env, before);
  }
}

const time = (seconds: number) => new Date((1_700_000_000 + seconds) * 1000).toISOString();

async function bring(options: GitTagImport = {}) {
  return importGitTags(await project.open(), options);
}

async function registry() {
  return localRegistry(await project.open());
}

async function history(environment: string, model = 'm') {
  const entries = await (await registry()).history(model, environment);
  return entries.map(({ value: { version, at, by, reason } }) => ({ version, at, by, reason }));
}

const annotated = 'artifacts:\n  m:\n    path: models/m\n    type: model\n';

beforeEach(async () => {
  project = await makeProject();
  commits.length = 0;
  project.write('dvc.yaml', annotated);
  for (const text of ['one', 'two', 'three']) {
    project.write('models/m/weights', text);
    await project.add('models/m');
    commits.push(project.commit());
  }
});

const at = (index: number) => commits[index] as string;

describe('the tags of GTO', () => {
  it('become versions and histories, in the order of their times', async () => {
    git(project.root, 'remote', 'add', 'origin', 'https://ann:secret@example.com/m.git');
    tag('m@v1.1.0', at(1), 20);
    tag('m@v1.0.0', at(0), 10, 'The first one');
    tag('m#staging#1', at(0), 11);
    tag('m#prod#2', at(0), 30);
    tag('m#prod!#3', at(0), 40);
    tag('m#prod#4', at(1), 40, 'better');
    tag('m#prod#5', at(0), 50, 'back');
    tag('unrelated', at(0), 1);
    const result = await bring();
    expect(result).toMatchObject({
      versions: ['m@v1.0.0', 'm@v1.1.0'],
      unchanged: [],
      leftOut: [],
      notes: [],
    });
    expect(result.entries).toHaveLength(4);
    const record = (await (await registry()).record('m', 'v1.0.0'))?.value;
    expect(record).toMatchObject({
      content: { path: 'models/m', kind: 'tree' },
      created: time(10),
      author: 'Bob <bob@example.com>',
      description: 'The first one',
      metrics: {},
      source: {
        git: { commit: at(0), dirty: false, remote: 'https://example.com/m.git' },
        gto: { tag: 'm@v1.0.0' },
      },
    });
    const by = 'Bob <bob@example.com>';
    expect(await history('prod')).toEqual([
      { version: 'v1.0.0', at: time(30), by, reason: 'm#prod#2' },
      { version: 'v1.1.0', at: time(40), by, reason: 'better' },
      { version: 'v1.0.0', at: time(50), by, reason: 'back' },
    ]);
    expect(await history('staging')).toHaveLength(1);
  });

  it('are imported again with what is new alone', async () => {
    tag('m@v1.0.0', at(0), 10);
    tag('m#prod#1', at(0), 20);
    expect((await bring({ dryRun: true })).versions).toEqual(['m@v1.0.0']);
    expect(await (await registry()).names()).toEqual([]);
    await bring();
    expect(await bring()).toMatchObject({ versions: [], unchanged: ['m@v1.0.0'], entries: [] });
    tag('m@v1.1.0', at(1), 30);
    tag('m#prod#2', at(1), 40);
    const again = await bring();
    expect(again.versions).toEqual(['m@v1.1.0']);
    expect(again.entries).toEqual([
      { model: 'm', environment: 'prod', version: 'v1.1.0', at: time(40) },
    ]);
    expect(await history('prod')).toHaveLength(2);
  });

  it('take versions out of use, and say what a registry here cannot', async () => {
    tag('m@v1.0.0', at(0), 10);
    tag('m@v1.1.0', at(1), 20);
    tag('m@v1.0.0!', at(0), 30, 'bad data');
    tag('m#prod#1', at(1), 40);
    tag('m#prod!#2', at(1), 50);
    const result = await bring();
    expect(result.states).toEqual([{ model: 'm', version: 'v1.0.0', state: 'deprecated' }]);
    expect(result.notes).toEqual([expect.stringContaining('prod of m was emptied')]);
    expect(await (await registry()).state('m', 'v1.0.0')).toBe('deprecated');
    expect(await (await registry()).state('m', 'v1.1.0')).toBe('active');
    expect((await bring()).states).toEqual([]);
  });

  it('of a folder and of other names are taken under names of ours', async () => {
    fs.mkdirSync(project.at('sub'));
    project.write('sub/dvc.yaml', 'artifacts:\n  Big-Model:\n    path: ../models/m/\n');
    const commit = project.commit();
    tag('sub=Big-Model@v1.0.0', commit, 10);
    await expect(bring()).rejects.toMatchObject({
      code: 'import-refused',
      message: expect.stringContaining('sub:Big-Model'),
    });
    const result = await bring({ models: new Map([['sub:Big-Model', 'big-model']]) });
    expect(result.versions).toEqual(['big-model@v1.0.0']);
  });

  it('need a path: that of artifacts.yaml, or a given one', async () => {
    fs.rmSync(project.at('dvc.yaml'));
    const bare = project.commit();
    project.write('artifacts.yaml', 'm:\n  path: models/m\n  type: model\n');
    const old = project.commit();
    tag('m@v1.0.0', bare, 10);
    tag('m@v2.0.0', old, 20);
    await expect(bring()).rejects.toMatchObject({
      message: expect.stringMatching(/m@v1\.0\.0: no path is known; .*--path-of m=PATH$/),
    });
    expect(await (await registry()).names()).toEqual([]);
    expect((await bring({ partial: true })).versions).toEqual(['m@v2.0.0']);
    const paths = new Map([['m', 'models/m']]);
    expect(await bring({ paths })).toMatchObject({
      versions: ['m@v1.0.0'],
      unchanged: ['m@v2.0.0'],
    });
    const wrong = bring({ paths: new Map([['m', 'models/none']]) });
    await expect(wrong).rejects.toMatchObject({
      message: expect.stringContaining('has no pointer models/none.mstore'),
    });
  });

  it('that cannot be taken are named, all at once, and nothing is taken', async () => {
    tag('m@v1.0.0', at(0), 10);
    tag('m@v9.0.0', at(0), 11);
    tag('m@v1.1.0-RC.1', at(1), 20);
    tag('m#prod#1', at(2), 30);
    tag('m#EU/west#2', at(0), 40);
    const problems = [
      'The tag m@v9.0.0 at',
      'm@v1.1.0-RC.1: v1.1.0-RC.1 cannot name a version',
      'm#prod#1: commit',
      'm#EU/west: EU/west cannot name an environment',
    ];
    await expect(bring()).rejects.toMatchObject({
      code: 'import-refused',
      details: { problems: problems.map((text) => expect.stringContaining(text)) },
    });
    expect(await (await registry()).names()).toEqual([]);
    const rest = await bring({ partial: true });
    expect(rest.versions).toEqual(['m@v1.0.0']);
    expect(rest.leftOut).toHaveLength(4);
  });

  it('are held against what is here', async () => {
    tag('m@v1.0.0', at(0), 10);
    tag('m#prod#1', at(0), 20);
    await bring();
    git(project.root, 'tag', '-d', 'm@v1.0.0', 'm#prod#1');
    tag('m@v1.0.0', at(1), 10);
    await expect(bring()).rejects.toMatchObject({
      message: expect.stringContaining('m@v1.0.0 is registered here with other content'),
    });
    git(project.root, 'tag', '-d', 'm@v1.0.0');
    tag('m@v1.0.0', at(0), 10);
    tag('m@v1.1.0', at(1), 11);
    tag('m#prod#1', at(1), 20);
    await expect(bring()).rejects.toMatchObject({
      message: expect.stringContaining('prod of m: entry 1 is v1.0.0 here, and v1.1.0 there'),
    });
  });

  it('of versions whose data is not here ask for the data', async () => {
    tag('m@v1.0.0', at(0), 10);
    const folder = project.at('.modelstore/store/packs');
    fs.renameSync(folder, `${folder}-away`);
    await expect(bring()).rejects.toMatchObject({
      code: 'objects-missing',
      hint: expect.stringContaining('mstore fetch --all-versions'),
    });
    fs.renameSync(`${folder}-away`, folder);
    expect((await bring()).versions).toEqual(['m@v1.0.0']);
  });

  it('are none outside of Git', async () => {
    fs.renameSync(path.join(project.root, '.git'), path.join(project.root, 'git-away'));
    await expect(bring()).rejects.toMatchObject({ code: 'no-git' });
  });
});
