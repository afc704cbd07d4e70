import * as fs from 'node:fs';
import * as path from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { GitTags, pointerAt, readGtoTags } from '../../src/flow/git-tags.ts';
import { requireGit } from '../../src/flow/tracked.ts';
import type { VersionContent, VersionRecord } from '../../src/registry/record.ts';
import { makeProject, type Project, type SurroundingsChange } from '../support/flow-project.ts';
import { git } from '../support/git.ts';

let project: Project;
let first: string;
let second: string;

/** The content of models/m in a commit, as a version record holds it. */
async function contentAt(commit: string): Promise<VersionContent> {
  const tracked = await pointerAt(await project.open(), commit, 'models/m');
  if (tracked === undefined) throw new Error('no pointer');
  const { kind, sha256, size } = tracked.pointer;
  return { path: tracked.path, kind, sha256, size };
}

async function recordAt(commit: string, version: string): Promise<VersionRecord> {
  return {
    model: 'm',
    version,
    content: await contentAt(commit),
    created: '2026-01-01T00:00:00.000Z',
    author: 'Ann',
    tool: 'mstore',
    metrics: {},
    source: { git: { commit, dirty: false } },
  };
}

async function tags(change: SurroundingsChange = {}): Promise<GitTags> {
  return GitTags.open(await project.open(change), 'm');
}

async function register(version: string, commit: string): Promise<string[]> {
  const made = await tags();
  await made.planRegister(version, await contentAt(commit), { commit });
  return made.write();
}

async function assign(environment: string, version: string, commit: string, reason?: string) {
  const made = await tags();
  await made.planAssign(environment, await recordAt(commit, version), reason);
  return made.write();
}

const tagList = () => git(project.root, 'tag').split('\n');

beforeEach(async () => {
  project = await makeProject();
  project.write('models/m/weights', 'one');
  await project.add('models/m');
  first = project.commit();
  project.write('models/m/weights', 'two');
  await project.add('models/m');
  second = project.commit();
});

describe('tags of versions', () => {
  it('go to the commit that holds the pointer, once', async () => {
    expect(await register('v1.1.0', second)).toEqual(['m@v1.1.0']);
    expect(await register('v1.0.0', first)).toEqual(['m@v1.0.0']);
    expect(git(project.root, 'rev-parse', 'm@v1.0.0^{commit}')).toBe(first);
    expect(git(project.root, 'rev-parse', 'm@v1.1.0^{commit}')).toBe(second);
    expect(await register('v1.0.0', first)).toEqual([]);
    expect(git(project.root, 'cat-file', 'tag', 'm@v1.0.0')).toMatch(
      /\ntagger Test <test@example.com> \d+ \+0000\n\nRegistering artifact m version v1.0.0$/,
    );
    expect(git(project.root, 'rev-parse', 'HEAD')).toBe(second);
    expect(git(project.root, 'status', '--porcelain')).toBe('');
  });

  it('are refused before anything is written where no commit holds the content', async () => {
    const content = { ...(await contentAt(second)), sha256: 'f'.repeat(64) as never };
    await expect((await tags()).planRegister('v1.0.0', content)).rejects.toMatchObject({
      code: 'file-changed',
      hint: expect.stringContaining('git add models/m.mstore'),
    });
    // An older commit holds it, but nothing says so.
    const older = (await tags()).planRegister('v1.0.0', await contentAt(first));
    await expect(older).rejects.toMatchObject({ code: 'file-changed' });
  });

  it('are refused where the name is at other content, or the commit is another version', async () => {
    await register('v1.0.0', first);
    const moved = (await tags()).planRegister('v1.0.0', await contentAt(second));
    await expect(moved).rejects.toMatchObject({ code: 'name-taken' });
    const twice = (await tags()).planRegister('v2.0.0', await contentAt(first), { commit: first });
    await expect(twice).rejects.toMatchObject({
      code: 'name-taken',
      message: expect.stringContaining('is v1.0.0 already'),
    });
    expect(tagList()).toEqual(['m@v1.0.0']);
  });

  it('pass over lightweight tags, and say so when one is in the way', async () => {
    git(project.root, 'tag', 'm@v1.0.0', second);
    const made = await tags();
    await made.planRegister('v1.0.0', await contentAt(second));
    await expect(made.write()).rejects.toMatchObject({ code: 'name-taken' });
  });

  it('are refused where tags contradict each other', async () => {
    for (const name of ['m@v1.0.0', 'm@v2.0.0']) {
      git(project.root, 'tag', '-a', '-m', 'x', name, first);
    }
    await expect(tags()).rejects.toMatchObject({ code: 'name-taken' });
  });

  it('are taken out of use and back', async () => {
    await register('v1.0.0', first);
    const steps: string[][] = [];
    for (const inUse of [false, false, true, false, true]) {
      const made = await tags();
      made.planState('v1.0.0', inUse, undefined);
      made.planState('v9.0.0', inUse, undefined);
      steps.push(await made.write());
    }
    expect(steps).toEqual([['m@v1.0.0!'], [], ['m@v1.0.0#1'], ['m@v1.0.0!#2'], ['m@v1.0.0#3']]);
  });
});

describe('tags of environments', () => {
  it('count up, and take the place of what was assigned', async () => {
    await register('v1.0.0', first);
    expect(await assign('staging', 'v1.0.0', first)).toEqual(['m#staging#1']);
    expect(await assign('production', 'v1.0.0', first)).toEqual(['m#production#2']);
    expect(await assign('production', 'v1.1.0', second, 'better')).toEqual([
      'm@v1.1.0',
      'm#production!#3',
      'm#production#4',
    ]);
    expect(await assign('production', 'v1.1.0', second)).toEqual([]);
    expect(await assign('production', 'v1.0.0', first)).toEqual([
      'm#production!#5',
      'm#production#6',
    ]);
    const all = await readGtoTags(requireGit(await project.open()), 'm');
    const at = (name: string) => all.find(({ tag }) => tag === name);
    expect(at('m#production!#3')?.commit).toBe(first);
    expect(at('m#production#4')).toMatchObject({ commit: second, message: 'better' });
    const times = all.sort((a, b) => (a.counter ?? 0) - (b.counter ?? 0)).slice(2);
    expect(new Set(times.map(({ seconds }) => seconds)).size).toBe(times.length);
  });

  it('have rising times, whatever the clock says', async () => {
    await register('v1.0.0', first);
    const back = { clock: { now: () => 5_000, monotonic: () => 0 } };
    const made = await tags(back);
    await made.planAssign('staging', await recordAt(first, 'v1.0.0'), undefined);
    await made.write();
    const all = await readGtoTags(requireGit(await project.open()));
    const [registered, assigned] = ['m@v1.0.0', 'm#staging#1'].map(
      (name) => all.find(({ tag }) => tag === name)?.seconds ?? 0,
    );
    expect(assigned).toBeGreaterThan(registered ?? Number.POSITIVE_INFINITY);
  });

  it('keep to the stages of .gto', async () => {
    fs.writeFileSync(path.join(project.root, '.gto'), 'stages: [dev, production]\n');
    await register('v1.0.0', first);
    expect(await assign('production', 'v1.0.0', first)).toEqual(['m#production#1']);
    await expect(assign('staging', 'v1.0.0', first)).rejects.toMatchObject({
      code: 'bad-name',
      hint: 'Its stages are dev, production',
    });
  });
});

it('refuses names that GTO does not take', async () => {
  const workspace = await project.open();
  await expect(GitTags.open(workspace, 'a.b')).rejects.toMatchObject({ code: 'bad-name' });
  const content = await contentAt(second);
  for (const version of ['1.0.0', 'v2']) {
    const planning = (await tags()).planRegister(version, content);
    await expect(planning).rejects.toMatchObject({ code: 'bad-name' });
  }
  const record = await recordAt(second, 'v1.0.0');
  const assigning = (await tags()).planAssign('eu.west', record, undefined);
  await expect(assigning).rejects.toMatchObject({ code: 'bad-name' });
});
