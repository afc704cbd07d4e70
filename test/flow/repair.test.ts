import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, it } from 'vitest';
import { localRemote } from '../../src/remote/local.ts';
import { flipBit } from '../support/cli.ts';
import { makeProject, type Project } from '../support/flow-project.ts';
import { checkRemote } from '../support/flow-remote-check.ts';
import {
  damageIn,
  directoryRemote,
  keyOf,
  layModels,
  objectsBelow,
  storeOf,
  verifyProject,
} from '../support/flow-verify.ts';

/** A project with models, pushed to `origin`, whose files are still there. */
async function pushed(): Promise<{ project: Project; store: string; origin: string }> {
  const project = await makeProject();
  const origin = await directoryRemote(project);
  await layModels(project);
  await project.push([], 'origin');
  return { project, store: storeOf(project), origin };
}

/** A sound place: nothing is found, and all that it names can be read by the formats alone. */
async function expectSound(project: Project, remote?: string, folder?: string): Promise<void> {
  const report = await verifyProject(project, remote === undefined ? {} : { remote });
  expect(report.findings).toEqual([]);
  await checkRemote(localRemote(folder ?? storeOf(project)));
}

function removeFiles(project: Project): void {
  for (const name of ['models/a.bin', 'models/b.bin', 'small.bin', 'bert'])
    fs.rmSync(project.at(name), { recursive: true });
}

const largest = (folder: string, prefix: string): string =>
  objectsBelow(folder, prefix)[0] as string;

describe('a repair of the local store', () => {
  it.each([
    ['a flipped bit', (file: string) => flipBit(file, 10)],
    ['a flipped bit in its footer', (file: string) => flipBit(file, -100)],
    ['a flipped bit in its trailer', (file: string) => flipBit(file, -50)],
    ['a cut', (file: string) => fs.truncateSync(file, 700_000)],
    ['nothing in it', (file: string) => fs.truncateSync(file, 0)],
    ['more behind it', (file: string) => fs.appendFileSync(file, 'more')],
    ['no file', (file: string) => fs.rmSync(file)],
  ])('heals a pack with %s from a remote', async (_, damage) => {
    const { project, store } = await pushed();
    removeFiles(project);
    damage(largest(store, 'packs'));
    expect((await verifyProject(project)).code).toBe('corrupt-store');
    const report = await verifyProject(project, { repair: true });
    expect(damageIn(report)).toEqual([]);
    expect(report).toMatchObject({ code: null, damage: 0 });
    await expectSound(project);
    await project.checkout();
    expect((await project.status()).paths.every(({ state }) => state === 'unchanged')).toBe(true);
  });

  it('heals a pack from the files of the workspace', async () => {
    const { project, store, origin } = await pushed();
    fs.rmSync(origin, { recursive: true });
    for (const file of objectsBelow(store, 'packs')) flipBit(file, 10);
    const report = await verifyProject(project, { repair: true });
    expect(report).toMatchObject({ code: null, notAsked: [expect.stringMatching(/^origin: /)] });
    expect(report.repairedFrom).toContain('models/a.bin');
    await expectSound(project);
  });

  it('moves away what nobody has, and heals it when somebody has it again', async () => {
    const { project, store, origin } = await pushed();
    removeFiles(project);
    const away = `${origin}-away`;
    fs.renameSync(origin, away);
    const pack = largest(store, 'packs');
    const damaged = keyOf(store, pack);
    flipBit(pack, 10);
    const bytes = fs.readFileSync(pack);
    const harms = ['models/a.bin in the working tree', 'models/b.bin in the working tree'];
    const first = await verifyProject(project, { repair: true });
    expect(first.code).toBe('corrupt-store');
    expect(damageIn(first)).toMatchObject([
      { harms, healed: false, repair: expect.stringMatching(/quarantine/) },
    ]);
    expect(fs.readFileSync(path.join(store, 'quarantine', damaged)).equals(bytes)).toBe(true);
    expect(fs.existsSync(pack)).toBe(false);

    const second = await verifyProject(project);
    expect(damageIn(second)).toMatchObject([{ kind: 'pack-quarantined', harms }]);
    expect(second.code).toBe('corrupt-store');

    fs.renameSync(away, origin);
    expect(await verifyProject(project, { repair: true })).toMatchObject({ code: null });
    expect(objectsBelow(store, 'quarantine')).toEqual([]);
    await expectSound(project);
  });

  it.each([
    ['damaged', (bytes: Buffer) => bytes.fill(0, 60, 61)],
    ['empty', () => Buffer.alloc(0)],
  ])('replaces a recipe that is %s', async (_, change) => {
    const { project, store } = await pushed();
    removeFiles(project);
    const recipe = largest(store, 'recipes');
    const good = fs.readFileSync(recipe);
    fs.writeFileSync(recipe, change(Buffer.from(good)));
    expect(damageIn(await verifyProject(project))).toMatchObject([
      { kind: 'recipe-damaged', harms: ['models/a.bin in the working tree'] },
    ]);
    expect(await verifyProject(project, { repair: true })).toMatchObject({ code: null });
    expect(fs.readFileSync(recipe).equals(good)).toBe(true);
    await expectSound(project);
  });

  it('makes index objects again', async () => {
    const { project, store } = await pushed();
    const [first, second] = objectsBelow(store, 'index') as [string, string];
    const good = [first, second].map((file) => fs.readFileSync(file));
    flipBit(first, 20);
    fs.rmSync(second);
    expect(await verifyProject(project, { repair: true })).toMatchObject({ code: null, damage: 0 });
    expect([first, second].map((file) => fs.readFileSync(file))).toEqual(good);
    await expectSound(project);
  });
});

describe('a repair of a remote', () => {
  it.each([
    ['a flipped bit', (file: string) => flipBit(file, 10)],
    ['a flipped bit in its footer', (file: string) => flipBit(file, -100)],
    ['a cut', (file: string) => fs.truncateSync(file, 700_000)],
    ['nothing in it', (file: string) => fs.truncateSync(file, 0)],
    ['more behind it', (file: string) => fs.appendFileSync(file, 'more')],
    ['no file', (file: string) => fs.rmSync(file)],
  ])('heals a pack with %s from the local store', async (_, damage) => {
    const { project, origin } = await pushed();
    damage(largest(origin, 'packs'));
    const found = await verifyProject(project, { remote: 'origin' });
    expect(found.code).toBe('corrupt-remote');
    const report = await verifyProject(project, { remote: 'origin', repair: true });
    expect(report).toMatchObject({ code: null, damage: 0 });
    expect(objectsBelow(origin, 'quarantine')).toEqual([]);
    await expectSound(project, 'origin', origin);
  });
});
