import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, it } from 'vitest';
import { MstoreError } from '../../src/base/errors.ts';
import { hostToken } from '../../src/base/host.ts';
import { push } from '../../src/flow/push.ts';
import { register } from '../../src/flow/register.ts';
import { chooseRemote } from '../../src/flow/remotes.ts';
import { findTargets } from '../../src/flow/targets.ts';
import { verify } from '../../src/flow/verify/verify.ts';
import { localRemote } from '../../src/remote/local.ts';
import type { RemotePruner } from '../../src/remote/remote.ts';
import { flipBit } from '../support/cli.ts';
import { cloneProject, makeProject, type Project } from '../support/flow-project.ts';
import { checkRemote } from '../support/flow-remote-check.ts';
import { noise } from '../support/flow-scratch.ts';
import {
  damageIn,
  digestOfFile,
  directoryRemote,
  keyOf,
  kindsIn,
  layModels,
  objectsBelow,
  storeOf,
  verifyProject,
  wrongRecipe,
} from '../support/flow-verify.ts';
import { flushedBelow } from '../support/flushed.ts';

/** A project with models, pushed to `origin`. */
async function pushed(): Promise<{ project: Project; store: string; origin: string }> {
  const project = await makeProject();
  const origin = await directoryRemote(project);
  await layModels(project);
  await project.push([], 'origin');
  project.commit();
  return { project, store: storeOf(project), origin };
}

async function expectSound(project: Project, origin: string): Promise<void> {
  const report = await verifyProject(project, { remote: 'origin' });
  expect(report.findings).toEqual([]);
  await checkRemote(localRemote(origin));
}

const largest = (folder: string, prefix: string): string =>
  objectsBelow(folder, prefix)[0] as string;

const heal = (project: Project) => verifyProject(project, { remote: 'origin', repair: true });

describe('a repair of a remote, run again after it was killed', () => {
  it('makes sure that what it finds whole is on the disk', async () => {
    const { project, origin } = await pushed();
    const expected = ['packs', 'index', 'recipes'].map((prefix) =>
      path.relative(origin, path.dirname(largest(origin, prefix))),
    );
    expect(await flushedBelow(origin, () => heal(project))).toEqual(
      expect.arrayContaining(expected),
    );
  });

  it.each([{}, { remote: 'origin' }])('clears away what it was writing: %j', async (place) => {
    const { project, origin } = await pushed();
    const dead = `${hostToken()}-999999999-0123456789abcdef.tmp`;
    const files = [
      path.join(origin, 'tmp', dead),
      project.at(`.modelstore/cache/.${dead}`),
      project.at(`.modelstore/store/tmp/.${dead}`),
    ];
    for (const file of files) {
      fs.mkdirSync(path.dirname(file), { recursive: true });
      fs.writeFileSync(file, 'half of it');
    }
    await verifyProject(project, { ...place, repair: true });
    expect(files.filter((file) => fs.existsSync(file))).toEqual(
      'remote' in place ? [] : [files[0]],
    );
  });
});

describe('verify of a remote', () => {
  it('says what pushes need and is not there', async () => {
    const { project, origin } = await pushed();
    fs.rmSync(largest(origin, 'recipes'));
    const report = await verifyProject(project, { remote: 'origin' });
    expect(damageIn(report)).toMatchObject([
      {
        kind: 'content-missing',
        harms: [expect.stringMatching(/^models\/a\.bin pushed by [0-9a-f]{8} on \d{4}-\d\d-\d\d$/)],
      },
    ]);
    expect(report).toMatchObject({ code: 'corrupt-remote', remote: 'origin' });
  });

  it('finds a missing pack by the recipes', async () => {
    const { project, origin } = await pushed();
    const pack = largest(origin, 'packs');
    fs.rmSync(pack);
    fs.rmSync(
      path.join(origin, keyOf(origin, pack).replace('packs', 'index').replace('.pack', '.idx')),
    );
    const report = await verifyProject(project, { remote: 'origin' });
    expect(kindsIn(report)).toEqual(['recipe-incomplete', 'recipe-incomplete']);
    const harmed = damageIn(report).flatMap(({ harms }) => harms);
    for (const name of ['models/a.bin', 'models/b.bin'])
      expect(harmed).toContainEqual(expect.stringContaining(name));
    expect(await heal(project)).toMatchObject({ code: null });
    await expectSound(project, origin);
  });

  it('names the versions of its registry', async () => {
    const { project, origin } = await pushed();
    await register(await project.open(), { model: 'ranker', version: 'v1', path: 'models/a.bin' });
    const { pushWithVersions } = await import('../../src/flow/push-versions.ts');
    const workspace = await project.open();
    const chosen = await chooseRemote(workspace, 'origin', project.root);
    await pushWithVersions(workspace, [], chosen, { registry: 'all' });
    flipBit(largest(origin, 'packs'), 10);
    const [finding] = damageIn(await verifyProject(project, { remote: 'origin' }));
    expect(finding?.harms).toContain('ranker@v1');
  });

  it('hides nothing behind a record of a push that cannot be read', async () => {
    const { project, origin } = await pushed();
    const workspace = await project.open();
    const { tracked } = await findTargets(workspace, ['small.bin'], project.root);
    await push(workspace, tracked, await chooseRemote(workspace, 'origin', project.root));
    const roots = objectsBelow(origin, 'roots');
    expect(roots).toHaveLength(2);
    fs.writeFileSync(roots[1] as string, '{');
    fs.writeFileSync(path.join(origin, 'roots/notes'), 'mine');
    fs.rmSync(largest(origin, 'recipes'));
    const report = await verifyProject(project, { remote: 'origin' });
    expect(kindsIn(report)).toEqual(['content-missing', 'foreign', 'root-damaged']);
  });

  it('needs nothing of the host that asks', async () => {
    const { project, origin } = await pushed();
    const clone = cloneProject(project);
    const report = await verifyProject(clone, { remote: origin });
    expect(report).toMatchObject({ code: null, findings: [], blobsHashed: 3, contents: 4 });
    expect(objectsBelow(storeOf(clone), 'packs')).toEqual([]);
    expect(await verifyProject(clone, { remote: origin })).toMatchObject({ blobsKnown: 3 });
  });

  it('reports what a reference needs and was not pushed', async () => {
    const { project } = await pushed();
    project.write('small.bin', noise(3_000, 'not pushed'));
    await project.add('small.bin');
    const asked = { remote: 'origin', args: ['small.bin'] };
    expect(await verifyProject(project, asked)).toMatchObject({
      code: 'objects-missing',
      absent: { bytes: 3_000 },
    });
  });
});

describe('a repair of a remote', () => {
  it('takes chunks from another remote, and from files', async () => {
    const { project, origin } = await pushed();
    const backup = await directoryRemote(project, 'backup');
    await project.push(['models'], 'backup');
    project.commit();
    const clone = cloneProject(project);
    clone.write('bert/weights.bin', project.read('bert/weights.bin'));
    clone.write('bert/config.json', project.read('bert/config.json'));
    for (const pack of objectsBelow(origin, 'packs')) flipBit(pack, 10);
    fs.rmSync(largest(origin, 'packs'));
    const report = await heal(clone);
    expect(damageIn(report)).toEqual([]);
    expect(report.repairedFrom).toContain('backup');
    expect(report.repairedFrom).toContain('bert/config.json');
    expect(objectsBelow(backup, 'quarantine')).toEqual([]);
    await expectSound(project, origin);
  });

  it('keeps what nobody has in quarantine, and heals it when somebody has it again', async () => {
    const { project, origin } = await pushed();
    const pack = largest(origin, 'packs');
    const key = keyOf(origin, pack);
    flipBit(pack, 10);
    const bytes = fs.readFileSync(pack);
    const clone = cloneProject(project);
    const report = await heal(clone);
    expect(report.code).toBe('corrupt-remote');
    expect(damageIn(report)).toMatchObject([
      {
        harms: [
          expect.stringMatching(/^models\/a\.bin pushed/),
          expect.stringMatching(/^models\/b\.bin pushed/),
        ],
        repair: expect.stringMatching(/quarantine/),
      },
    ]);
    expect(fs.existsSync(pack)).toBe(false);
    expect(fs.readFileSync(path.join(origin, 'quarantine', key)).equals(bytes)).toBe(true);
    const later = await verifyProject(clone, { remote: 'origin' });
    expect(damageIn(later)).toMatchObject([{ kind: 'pack-quarantined', key: `quarantine/${key}` }]);

    expect(await heal(project)).toMatchObject({ code: null, damage: 0 });
    expect(objectsBelow(origin, 'quarantine')).toEqual([]);
    await expectSound(project, origin);
  });

  it('gives the name of a damaged pack to no other, whatever is in it', async () => {
    const project = await makeProject();
    const origin = await directoryRemote(project);
    project.write('small.bin', noise(2_000, 'small'));
    await project.add('small.bin');
    await project.push([], 'origin');
    const pack = largest(origin, 'packs');
    // All of its one chunk is whole, so that a new pack of it would have its name.
    fs.appendFileSync(pack, 'more');
    expect(await heal(project)).toMatchObject({ code: null });
    expect(fs.existsSync(pack)).toBe(false);
    await expectSound(project, origin);
  });

  it.each([
    ['damaged', (file: string) => flipBit(file, 70)],
    ['empty', (file: string) => fs.truncateSync(file, 0)],
    ['missing', (file: string) => fs.rmSync(file)],
    [
      'wrong',
      (file: string) => {
        const other = objectsBelow(path.dirname(path.dirname(path.dirname(file))), 'recipes')[1];
        const bytes = fs.readFileSync(other as string);
        fs.writeFileSync(
          file,
          wrongRecipe(digestOfFile(file), bytes, digestOfFile(other as string)),
        );
      },
    ],
  ])('puts a good recipe in the place of one that is %s', async (_, damage) => {
    const { project, origin } = await pushed();
    const recipe = largest(origin, 'recipes');
    const good = fs.readFileSync(recipe);
    damage(recipe);
    expect(await heal(project)).toMatchObject({ code: null, damage: 0 });
    expect(fs.readFileSync(recipe).equals(good)).toBe(true);
    await expectSound(project, origin);
  });

  it('moves a recipe away that nobody has, so that the next push heals it', async () => {
    const { project, origin } = await pushed();
    const recipe = largest(origin, 'recipes');
    flipBit(recipe, 70);
    const clone = cloneProject(project);
    const report = await heal(clone);
    expect(report.code).toBe('corrupt-remote');
    expect(fs.existsSync(recipe)).toBe(false);
    const later = await verifyProject(clone, { remote: 'origin' });
    expect(damageIn(later)).toMatchObject([{ kind: 'recipe-quarantined' }]);
    await project.push([], 'origin');
    expect(await heal(clone)).toMatchObject({ code: null });
    expect(objectsBelow(origin, 'quarantine')).toEqual([]);
    await expectSound(project, origin);
  });

  it('makes index objects again', async () => {
    const { project, origin } = await pushed();
    const [first, second] = objectsBelow(origin, 'index') as [string, string];
    const good = [first, second].map((file) => fs.readFileSync(file));
    flipBit(first, 20);
    fs.rmSync(second);
    const found = await verifyProject(project, { remote: 'origin' });
    expect(kindsIn(found)).toEqual(['index-damaged', 'index-missing']);
    expect(await heal(project)).toMatchObject({ code: null, damage: 0 });
    expect([first, second].map((file) => fs.readFileSync(file))).toEqual(good);
    await expectSound(project, origin);
  });

  it('sends what pushes need and is not there', async () => {
    const { project, origin } = await pushed();
    fs.rmSync(path.join(origin, 'packs'), { recursive: true });
    fs.rmSync(path.join(origin, 'index'), { recursive: true });
    fs.rmSync(path.join(origin, 'recipes'), { recursive: true });
    expect((await verifyProject(project, { remote: 'origin' })).code).toBe('corrupt-remote');
    expect(await heal(project)).toMatchObject({ code: null, damage: 0 });
    await expectSound(project, origin);
  });
});

describe('verify while others work', () => {
  it('takes what is pushed meanwhile for what it is', async () => {
    const { project, origin } = await pushed();
    const late = cloneProject(project);
    late.write('late.bin', noise(900_000, 'late'));
    await late.add('late.bin');
    const remote = localRemote(origin);
    let pushes = 0;
    // All packs have been read, and the index is open, when somebody pushes.
    const busy: RemotePruner = {
      ...remote,
      async *list(prefix, options) {
        if (prefix === 'recipes/' && pushes++ === 0) await late.push(['late.bin'], origin);
        yield* remote.list(prefix, options);
      },
    };
    const chosen = { name: 'origin', remote: busy, isService: false };
    const report = await verify(await project.open(), chosen, {});
    expect(pushes).toBe(1);
    expect(report).toMatchObject({ findings: [], code: null, recipes: 4, contents: 5 });
  });

  it('reads around a bad spot of a disk', async () => {
    const { project, origin } = await pushed();
    const remote = localRemote(origin);
    const bad = keyOf(origin, largest(origin, 'packs'));
    const failing = (): RemotePruner => ({
      ...remote,
      async *get(key, range, options) {
        const { start, end } = range ?? { start: 0, end: Number.POSITIVE_INFINITY };
        if (key === bad && start <= 100 && end > 100) {
          const details = { system: 'EIO' };
          throw new MstoreError('remote-unreachable', 'Cannot read it: a bad spot', { details });
        }
        yield* remote.get(key, range, options);
      },
    });
    const chosen = { name: 'origin', remote: failing(), isService: false };
    const report = await verify(await project.open(), chosen, {});
    expect(damageIn(report)).toMatchObject([
      {
        key: bad,
        message: expect.stringMatching(/1 of \d+ chunks cannot be read; reading it broke/),
      },
    ]);
    const healed = await verify(await project.open(), chosen, { repairFrom: [] });
    expect(healed).toMatchObject({ code: null, damage: 0 });
    await expectSound(project, origin);
  });
});
