import * as fs from 'node:fs';
import { beforeEach, describe, expect, it } from 'vitest';
import { deploy, rollback } from '../../src/flow/environments.ts';
import { type FileImport, importRegistryFile } from '../../src/flow/import-registry-file.ts';
import { register } from '../../src/flow/register.ts';
import { localRegistry } from '../../src/flow/registry.ts';
import { type ExportedRegistry, exportRegistry } from '../../src/flow/registry-export.ts';
import { setVersionState } from '../../src/flow/version-states.ts';
import { makeProject, type Project } from '../support/flow-project.ts';

let project: Project;

/** A registry as teams keep it by hand. */
const byHand = {
  models: {
    ranker: {
      'v1.0.0': {
        version: 'v1.0.0',
        registered_at: '2024-01-15T10:30:00.123456',
        status: 'archived',
        bleu1: 0.5,
        rougeL_precision: 0.25,
      },
      'v1.1.0': {
        version: 'v1.1.0',
        registered_at: '2024-02-15 10:30:00+02:00',
        status: 'production',
        description: 'More data',
        metrics: { bleu1: 0.6, nested: { loss: 0.1 } },
        trained_by: 'Ann',
      },
    },
  },
  deployments: {
    ranker: {
      production: { version: 'v1.1.0', deployed_at: '2024-02-16', status: 'active' },
    },
  },
};

const paths = new Map([['ranker', 'models/{version}']]);

async function bring(value: unknown, options: FileImport = {}, into = project) {
  into.write('registry.json', typeof value === 'string' ? value : JSON.stringify(value));
  return importRegistryFile(await into.open(), into.at('registry.json'), options);
}

async function registryOf(of = project) {
  return localRegistry(await of.open());
}

async function exported(of = project): Promise<ExportedRegistry> {
  return exportRegistry(await registryOf(of));
}

/** The problems for which nothing was imported. */
async function problemsOf(value: unknown, options: FileImport = { paths }): Promise<unknown> {
  const error: unknown = await bring(value, options).catch((thrown: unknown) => thrown);
  expect(error).toMatchObject({ code: 'import-refused' });
  expect(await (await registryOf()).names()).toEqual([]);
  return (error as { details: { problems: unknown } }).details.problems;
}

beforeEach(async () => {
  project = await makeProject();
  for (const version of ['v1.0.0', 'v1.1.0', 'v2.0.0']) {
    project.write(`models/${version}/weights`, version);
    await project.add(`models/${version}`);
  }
});

describe('a registry that was kept by hand', () => {
  it('is taken over with the data of tracked paths', async () => {
    const result = await bring(byHand, { paths });
    expect(result).toMatchObject({
      versions: ['ranker@v1.0.0', 'ranker@v1.1.0'],
      entries: [{ environment: 'production', version: 'v1.1.0', at: '2024-02-16T00:00:00.000Z' }],
      leftOut: [],
    });
    const registry = await registryOf();
    expect((await registry.record('ranker', 'v1.0.0'))?.value).toMatchObject({
      content: { path: 'models/v1.0.0', kind: 'tree', size: 6 },
      created: '2024-01-15T10:30:00.123Z',
      status: 'archived',
      metrics: { bleu1: 0.5, rougeL_precision: 0.25 },
      source: { imported: { file: 'registry.json' } },
    });
    const second = (await registry.record('ranker', 'v1.1.0'))?.value;
    expect(second).toMatchObject({
      created: '2024-02-15T08:30:00.000Z',
      description: 'More data',
      metrics: { bleu1: 0.6, 'nested.loss': 0.1 },
      metadata: byHand.models.ranker['v1.1.0'],
    });
    expect((await registry.live('ranker', 'production'))?.value).toMatchObject({
      action: 'deploy',
      by: 'Test <test@example.com>',
      reason: 'Imported from registry.json (active)',
    });
    expect(await bring(byHand, { paths })).toMatchObject({
      versions: [],
      unchanged: ['ranker@v1.0.0', 'ranker@v1.1.0'],
      entries: [],
    });
  });

  it('may be YAML', async () => {
    project.write(
      'r.yaml',
      'models:\n  ranker:\n    v1.0.0: {registered_at: 2024-01-15, acc: 0.5}\n',
    );
    const done = await importRegistryFile(await project.open(), project.at('r.yaml'), { paths });
    expect(done.versions).toEqual(['ranker@v1.0.0']);
    const record = (await (await registryOf()).record('ranker', 'v1.0.0'))?.value;
    expect(record).toMatchObject({ created: '2024-01-15T00:00:00.000Z', metrics: { acc: 0.5 } });
  });

  it('is refused as a whole where the data of a version is nowhere known', async () => {
    expect(await problemsOf(byHand, {})).toEqual([
      expect.stringMatching(/^ranker@v1\.0\.0: nothing says where .* --path-of ranker=PATH\//),
      expect.stringContaining('ranker@v1.1.0: nothing says'),
      'production of ranker: ranker@v1.1.0 cannot be imported',
    ]);
    const far = new Map([['ranker', 'models/{version}/weights']]);
    expect(await problemsOf(byHand, { paths: far })).toHaveLength(3);
    fs.rmSync(project.at('models/v1.0.0.mstore'));
    expect(await problemsOf(byHand)).toEqual([expect.stringContaining('is not tracked')]);
    const rest = await bring(byHand, { paths, partial: true });
    expect(rest.versions).toEqual(['ranker@v1.1.0']);
    expect(rest.entries).toHaveLength(1);
    expect(rest.leftOut).toHaveLength(1);
  });

  it('changes nothing in a dry run', async () => {
    const result = await bring(byHand, { paths, dryRun: true });
    expect(result).toMatchObject({ dryRun: true, versions: ['ranker@v1.0.0', 'ranker@v1.1.0'] });
    expect(await (await registryOf()).names()).toEqual([]);
  });

  it.each([
    ['[1]', 'has no object "models"'],
    ['{"models": []}', 'has no object "models"'],
    [{ models: { A: {} } }, 'A cannot name a model'],
    [{ models: { a: 1 } }, 'a is no object'],
    [{ models: { ranker: { latest: {} } } }, 'latest cannot name a version'],
    [{ models: { ranker: { 'v1.0.0': 1 } } }, 'it is no object'],
    [{ models: { ranker: { 'v1.0.0': { version: 'v2' } } } }, 'it says another version'],
    [{ models: { ranker: { 'v1.0.0': { registered_at: 'May' } } } }, 'registered_at is no time'],
    [{ models: { ranker: { 'v1.0.0': { registered_at: '2024-13-01' } } } }, 'is no time'],
    [{ models: { ranker: { 'v1.0.0': { acc: 1, metrics: { acc: 2 } } } } }, 'metric acc twice'],
    [{ models: { ranker: { 'v1.0.0': { acc: 'NaN', f1: 1 } } } }, 'ranker@v1.0.0: '],
    [{ models: {}, deployments: { r: { prod: {} } } }, 'it names no version'],
    [{ models: {}, deployments: { r: { prod: { version: 'v1' } } } }, 'cannot be imported'],
    [{ models: {}, deployments: 1 }, '"deployments" is no object'],
    [{ models: {}, records: { r: { v1: { model: 'x' } } } }, 'cannot be used'],
    [{ models: {}, history: { r: { prod: 1 } } }, 'is no list'],
    [{ models: {}, history: { r: { prod: [{}] } } }, 'cannot be used'],
  ])('is refused when it is %j', async (value, problem) => {
    expect(await problemsOf(value)).toEqual([expect.stringContaining(problem)]);
  });

  it('is refused when it is no JSON, or not there', async () => {
    await expect(bring('{"models": ')).rejects.toMatchObject({ code: 'import-refused' });
    const absent = importRegistryFile(await project.open(), project.at('none.json'));
    await expect(absent).rejects.toMatchObject({ code: 'not-found' });
  });
});

describe('an exported registry', () => {
  async function fill(): Promise<void> {
    const workspace = await project.open();
    const model = 'ranker';
    for (const version of ['v1.0.0', 'v1.1.0', 'v2.0.0']) {
      await register(workspace, {
        ...{ model, version, path: `models/${version}`, metrics: { acc: 0.5, status: 7 } },
        labels: { team: 'search' },
        ...(version === 'v1.1.0' ? { status: 'candidate' } : {}),
      });
    }
    const production = { model, environment: 'production' };
    await deploy(workspace, { ...production, version: 'v1.0.0' });
    await deploy(workspace, { ...production, version: 'v1.1.0' }, { reason: 'better' });
    await rollback(workspace, production, { reason: 'worse' });
    await setVersionState(workspace, { model, version: 'v2.0.0', state: 'archived' });
  }

  it('has the shape that teams know', async () => {
    await fill();
    const document = await exported();
    const times = Object.values(document.records['ranker'] ?? {}).map(({ created }) => created);
    expect(document.models).toEqual({
      ranker: {
        'v1.0.0': { version: 'v1.0.0', registered_at: times[0], status: 'registered', acc: 0.5 },
        'v1.1.0': { version: 'v1.1.0', registered_at: times[1], status: 'candidate', acc: 0.5 },
        'v2.0.0': { version: 'v2.0.0', registered_at: times[2], status: 'archived', acc: 0.5 },
      },
    });
    const live = document.history['ranker']?.['production']?.at(-1);
    expect(document.deployments).toEqual({
      ranker: { production: { version: 'v1.0.0', deployed_at: live?.at, status: 'active' } },
    });
    expect(document.history['ranker']?.['production']).toHaveLength(3);
  });

  it('is empty where nothing is registered', async () => {
    const none = { models: {}, deployments: {}, records: {}, history: {}, states: {} };
    expect(await exported()).toEqual(none);
  });

  it('gives the same registry again, digest by digest', async () => {
    await fill();
    const document = await exported();
    const other = await makeProject();
    for (const version of ['v1.0.0', 'v1.1.0', 'v2.0.0']) {
      other.write(`elsewhere/${version}/weights`, version);
      await other.add(`elsewhere/${version}`);
    }
    const result = await bring(document, {}, other);
    expect(result.versions).toHaveLength(3);
    expect(result.entries).toHaveLength(3);
    expect(result.states).toEqual([{ model: 'ranker', version: 'v2.0.0', state: 'archived' }]);
    expect(await exported(other)).toEqual(document);
    expect(await bring(document, {}, other)).toMatchObject({
      versions: [],
      entries: [],
      states: [],
    });
    // What happened since stays; what happened otherwise is refused.
    const workspace = await other.open();
    const target = { model: 'ranker', environment: 'production', version: 'v1.1.0' };
    await deploy(workspace, target);
    expect((await bring(document, {}, other)).entries).toEqual([]);
    await deploy(await project.open(), { ...target, version: 'v2.0.0' }, force);
    await expect(bring(await exported(), {}, other)).rejects.toMatchObject({
      code: 'import-refused',
      message: expect.stringContaining('production of ranker: entry 4 is another one here'),
    });
  });

  const force = { force: true, reason: 'test' };

  it('is refused where its histories do not follow', async () => {
    await fill();
    const document = JSON.parse(JSON.stringify(await exported())) as ExportedRegistry;
    const entries = document.history['ranker']?.['production'] as unknown as Array<{ by: string }>;
    (entries[0] as { by: string }).by = 'Somebody else';
    const other = await makeProject();
    for (const version of ['v1.0.0', 'v1.1.0', 'v2.0.0']) {
      other.write(`${version}/weights`, version);
      await other.add(version);
    }
    await expect(bring(document, {}, other)).rejects.toMatchObject({
      message: expect.stringContaining('entry 2 does not follow the one before it'),
    });
  });

  it('is refused where a version has another record, though the same content', async () => {
    await fill();
    const document = await exported();
    const other = await makeProject();
    for (const version of ['v1.0.0', 'v1.1.0', 'v2.0.0']) {
      other.write(`models/${version}/weights`, version);
      await other.add(`models/${version}`);
    }
    const mine = { model: 'ranker', version: 'v1.0.0', path: 'models/v1.0.0' };
    await register(await other.open(), { ...mine, description: 'mine' });
    await expect(bring(document, {}, other)).rejects.toMatchObject({
      message: expect.stringContaining(
        'production of ranker: ranker@v1.0.0 has another record here',
      ),
    });
  });

  it('asks for data that is not here', async () => {
    await fill();
    const document = await exported();
    await expect(bring(document, {}, await makeProject())).rejects.toMatchObject({
      code: 'import-refused',
      message: expect.stringContaining('ranker@v1.0.0'),
    });
  });
});
