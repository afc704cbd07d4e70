import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, it } from 'vitest';
import { type Digest, sha256, sha256Raw } from '../../src/base/digest.ts';
import { tempName } from '../../src/base/files.ts';
import { register } from '../../src/flow/register.ts';
import { parseSubset } from '../../src/flow/verify/subset.ts';
import { FooterBuilder } from '../../src/pack/format.ts';
import { flipBit } from '../support/cli.ts';
import { cloneProject, makeProject } from '../support/flow-project.ts';
import { noise } from '../support/flow-scratch.ts';
import {
  damageIn,
  digestOfFile,
  keyOf,
  kindsIn,
  layModels,
  objectsBelow,
  objectsOf,
  storeOf,
  verifyProject,
  wrongRecipe,
} from '../support/flow-verify.ts';

async function withModels() {
  const project = await makeProject();
  await layModels(project);
  const store = storeOf(project);
  const packs = objectsBelow(store, 'packs');
  return { project, store, packs };
}

describe('verify of a sound store', () => {
  it('reads every pack and hashes every blob, once', async () => {
    const { project, store, packs } = await withModels();
    const before = objectsOf(store);
    const report = await verifyProject(project);
    expect(report).toMatchObject({ place: 'local', findings: [], damage: 0, code: null });
    const bytes = packs.reduce((sum, file) => sum + fs.statSync(file).size, 0);
    const recipes = objectsBelow(store, 'recipes').length;
    expect(recipes).toBe(3);
    expect(report).toMatchObject({ packs: packs.length, packBytes: bytes, recipes, contents: 4 });
    expect(report).toMatchObject({
      blobsHashed: 3,
      bytesHashed: 3e6 + 2.4e6 + 1.2e6,
      blobsKnown: 0,
    });
    expect(await verifyProject(project)).toMatchObject({
      blobsHashed: 0,
      blobsKnown: 3,
      code: null,
    });
    expect(objectsOf(store)).toEqual(before);
  });

  it('knows an empty workspace', async () => {
    const project = await makeProject();
    expect(await verifyProject(project)).toMatchObject({ packs: 0, contents: 0, code: null });
  });
});

describe('verify of a damaged local store', () => {
  it('names the versions that a flipped bit harms', async () => {
    const { project, store, packs } = await withModels();
    flipBit(packs[0] as string, 10);
    const report = await verifyProject(project);
    expect(report.code).toBe('corrupt-store');
    expect(damageIn(report)).toMatchObject([
      {
        kind: 'pack-damaged',
        key: keyOf(store, packs[0] as string),
        message: expect.stringMatching(/1 of \d+ chunks cannot be read/),
        harms: ['models/a.bin in the working tree', 'models/b.bin in the working tree'],
      },
    ]);
  });

  it.each([
    ['cut short', (file: string) => fs.truncateSync(file, fs.statSync(file).size - 100)],
    ['cut to nothing', (file: string) => fs.truncateSync(file, 0)],
    ['longer', (file: string) => fs.appendFileSync(file, 'more')],
  ])('names what a pack that is %s harms', async (_, damage) => {
    const { project, packs } = await withModels();
    damage(packs[1] as string);
    const report = await verifyProject(project);
    expect(damageIn(report)).toMatchObject([
      {
        kind: 'pack-damaged',
        harms: ['bert in the working tree: its list of files, config.json, weights.bin'],
      },
    ]);
  });

  it('finds a missing pack by its index object', async () => {
    const { project, packs } = await withModels();
    fs.rmSync(packs[0] as string);
    const report = await verifyProject(project);
    expect(kindsIn(report)).toEqual(['pack-missing']);
    expect(report.findings[0]?.harms).toHaveLength(2);
  });

  it('takes what was removed to make room for absent: packs with their index objects', async () => {
    const { project, store, packs } = await withModels();
    fs.rmSync(packs[0] as string);
    fs.rmSync(path.join(store, 'index'), { recursive: true });
    const report = await verifyProject(project);
    expect(kindsIn(report)).toEqual(['index-missing', 'index-missing']);
    expect(report).toMatchObject({ code: null, absent: { contents: 2, blobs: 2 } });
    const asked = await verifyProject(project, { args: ['models/a.bin'] });
    expect(asked).toMatchObject({ code: 'objects-missing', absent: { bytes: 3_000_000 } });
  });
});

describe('verify of recipes', () => {
  it('finds one that is well-formed and yields other bytes', async () => {
    const { project, store } = await withModels();
    const [first, second] = objectsBelow(store, 'recipes') as [string, string];
    const wrong = wrongRecipe(digestOfFile(first), fs.readFileSync(second), digestOfFile(second));
    fs.writeFileSync(first, wrong);
    const report = await verifyProject(project);
    expect(damageIn(report)).toMatchObject([
      {
        kind: 'recipe-wrong',
        key: keyOf(store, first),
        message: expect.stringContaining('its chunks, which are whole, yield other bytes'),
        harms: ['models/a.bin in the working tree'],
      },
    ]);
    // Nothing is noted of what is wrong: it is found again.
    expect(damageIn(await verifyProject(project))).toHaveLength(1);
  });

  it('finds one that is damaged, or under the name of another', async () => {
    const { project, store } = await withModels();
    const [first, second] = objectsBelow(store, 'recipes') as [string, string];
    fs.copyFileSync(second, first);
    flipBit(second, 70);
    const report = await verifyProject(project);
    const messages = damageIn(report).map(({ kind, message }) => `${kind}: ${message}`);
    expect(messages.sort()).toEqual([
      'recipe-damaged: The recipe is damaged: it belongs to another blob',
      'recipe-damaged: The recipe is damaged: its bytes do not match their own digest',
    ]);
  });

  it('finds the chunk that is damaged though its pack was not in the slice', async () => {
    const { project, store, packs } = await withModels();
    const pack = packs[0] as string;
    const id = digestOfFile(pack);
    flipBit(pack, 10);
    const isNotThat = (name: Digest): boolean => name !== id;
    const report = await verifyProject(project, { subset: { slice: 'most', has: isNotThat } });
    expect(damageIn(report)).toMatchObject([
      {
        kind: 'pack-damaged',
        key: keyOf(store, pack),
        message: expect.stringMatching(/1 of \d+ chunks/),
      },
    ]);
  });
});

describe('what is no damage', () => {
  it('is told and left alone: foreign objects, objects in a wrong place, files under construction', async () => {
    const { project, store, packs } = await withModels();
    const pack = packs[0] as string;
    const misplaced = path.join(store, 'packs/zz', path.basename(pack));
    const foreign = [
      misplaced,
      path.join(store, 'packs/notes.txt'),
      path.join(store, 'index/ab/readme'),
      path.join(store, 'recipes/00/short'),
      path.join(store, 'refs/models/Not A Model.json'.replaceAll(' ', '_')),
    ];
    for (const file of foreign) fs.mkdirSync(path.dirname(file), { recursive: true });
    fs.copyFileSync(pack, misplaced);
    for (const file of foreign.slice(1)) fs.writeFileSync(file, 'mine');
    const temp = path.join(store, 'tmp', tempName());
    fs.writeFileSync(temp, 'half');
    const report = await verifyProject(project, { repair: true });
    expect(report.code).toBeNull();
    const keys = report.findings.filter(({ kind }) => kind === 'foreign').map(({ key }) => key);
    expect(keys.sort()).toEqual(foreign.map((file) => keyOf(store, file)).sort());
    expect(kindsIn(report).filter((kind) => kind !== 'foreign')).toEqual(['temporary']);
    for (const file of [...foreign, temp]) expect(fs.existsSync(file), file).toBe(true);
  });

  it('a pack in a wrong place is not taken for one that is there', async () => {
    const { project, store, packs } = await withModels();
    const pack = packs[0] as string;
    fs.mkdirSync(path.join(store, 'packs/zz'));
    fs.renameSync(pack, path.join(store, 'packs/zz', path.basename(pack)));
    const report = await verifyProject(project);
    expect(kindsIn(report)).toEqual(['foreign', 'pack-missing']);
    const { store: opened } = await project.open();
    expect(opened.index().pack(digestOfFile(pack))).toBeUndefined();
  });

  it('what was never fetched, unless it is asked for', async () => {
    const { project } = await withModels();
    project.commit();
    const clone = cloneProject(project);
    const report = await verifyProject(clone);
    expect(report).toMatchObject({ code: null, findings: [], absent: { contents: 4, blobs: 6 } });
    expect(report.absent.names).toContain('models/a.bin in the working tree');
    const asked = await verifyProject(clone, { args: ['small.bin'] });
    expect(asked).toMatchObject({ code: 'objects-missing', absent: { bytes: 2000 } });
  });
});

describe('verify of what is named', () => {
  it('reads the packs that hold it, and tells nothing of others', async () => {
    const { project, packs } = await withModels();
    flipBit(packs[0] as string, 10);
    const fine = await verifyProject(project, { args: ['bert'] });
    expect(fine).toMatchObject({ code: null, findings: [], packs: 1, contents: 1 });
    expect(await verifyProject(project, { args: ['models/a.bin'] })).toMatchObject({
      code: 'corrupt-store',
      findings: [{ kind: 'pack-damaged', harms: ['models/a.bin'] }],
    });
  });
});

describe('a daily slice', () => {
  it('comes to every pack and recipe in turn', async () => {
    const project = await makeProject();
    for (let n = 0; n < 12; n++) {
      project.write(`many/${n}.bin`, noise(300_000, `many ${n}`));
      await project.add(`many/${n}.bin`);
    }
    const all = await verifyProject(project);
    expect(all.recipes).toBeGreaterThan(3);
    let [packs, recipes] = [0, 0];
    for (let day = 0; day < 5; day++) {
      const subset = parseSubset('20%', day * 86_400_000);
      const report = await verifyProject(project, { subset });
      expect(report).toMatchObject({ slice: subset.slice, contents: 12, code: null });
      packs += report.packs;
      recipes += report.recipes;
    }
    expect({ packs, recipes }).toEqual({ packs: all.packs, recipes: all.recipes });
  });
});

describe('names of what is harmed', () => {
  it('are versions, pointers here and in history, and files of directories', async () => {
    const { project, packs } = await withModels();
    await register(await project.open(), { model: 'ranker', version: 'v1', path: 'models/a.bin' });
    const commit = project.commit();
    project.write('models/a.bin', noise(200_000, 'new'));
    await project.add('models/a.bin');
    flipBit(packs[0] as string, 10);
    const [finding] = damageIn(await verifyProject(project));
    expect(finding?.harms).toEqual([
      'ranker@v1',
      'models/b.bin in the working tree',
      `models/a.bin at ${commit.slice(0, 10)}`,
    ]);
  });

  it('are bounded', async () => {
    const { project, packs } = await withModels();
    const workspace = await project.open();
    for (let n = 0; n < 25; n++)
      await register(workspace, { model: 'ranker', version: `v${n}`, path: 'models/a.bin' });
    flipBit(packs[0] as string, 10);
    const [finding] = damageIn(await verifyProject(project));
    expect(finding?.harms).toHaveLength(20);
    expect(finding?.harmsMore).toBe(7);
  });

  it('a pointer that cannot be used hides no other', async () => {
    const { project, packs } = await withModels();
    project.write('models/a.bin.mstore', '{');
    flipBit(packs[0] as string, 10);
    const report = await verifyProject(project);
    expect(damageIn(report)).toMatchObject([
      { kind: 'pack-damaged', harms: ['models/b.bin in the working tree'] },
      { kind: 'pointer-damaged', key: 'models/a.bin.mstore' },
    ]);
  });
});

/** A pack of a format that is not known yet. */
function newerPack(): { id: Digest; bytes: Buffer } {
  const raw = Buffer.from('chunk');
  const builder = new FooterBuilder();
  builder.add(sha256Raw(raw), { offset: 0, storedLength: 5, rawLength: 5, encoding: 0 });
  const { bytes: known, id: knownId } = builder.finish();
  const footer = Buffer.from(known);
  footer.writeUInt32LE(2, 8);
  const id = sha256(footer);
  const trailer = builder.finish().trailer();
  Buffer.from(id, 'hex').copy(trailer, trailer.indexOf(Buffer.from(knownId, 'hex')));
  return { id, bytes: Buffer.concat([raw, footer, trailer]) };
}

describe('a store of a newer format', () => {
  it('is refused, and left as it is', async () => {
    const { project, store } = await withModels();
    const newer = newerPack();
    const target = path.join(store, 'packs', newer.id.slice(0, 2), `${newer.id}.pack`);
    fs.mkdirSync(path.dirname(target), { recursive: true });
    fs.writeFileSync(target, newer.bytes);
    const before = objectsOf(store);
    await expect(verifyProject(project, { repair: true })).rejects.toMatchObject({
      code: 'newer-format',
    });
    expect(objectsOf(store)).toEqual(before);
  });
});
