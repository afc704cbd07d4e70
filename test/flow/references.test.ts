import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, it } from 'vitest';
import { diffReferences } from '../../src/flow/diff-versions.ts';
import { deploy } from '../../src/flow/environments.ts';
import { findFile, list } from '../../src/flow/list.ts';
import { type Registration, register } from '../../src/flow/register.ts';
import { findReference, findTargets } from '../../src/flow/targets.ts';
import { chosenVersion } from '../../src/flow/version-content.ts';
import { setVersionState } from '../../src/flow/version-states.ts';
import { formatPointer } from '../../src/worktree/pointer.ts';
import { makePlainProject, makeProject, type Project } from '../support/flow-project.ts';
import { scratchFolder } from '../support/flow-scratch.ts';
import { git } from '../support/git.ts';

/** Registers what a tracked path is now. */
async function registered(
  project: Project,
  name: string,
  more: Partial<Registration> = {},
): Promise<string> {
  const [model = '', version = ''] = name.split('@');
  const { record } = await register(await project.open(), { model, version, ...more });
  return record.sha256;
}

async function deployed(project: Project, name: string, environment: string): Promise<void> {
  const [model = '', version = ''] = name.split('@');
  await deploy(await project.open(), { model, version, environment });
}

/** A model of two files and a folder, in two versions: v1 is live in production. */
async function withVersions(): Promise<Project> {
  const project = await makeProject();
  project.write('models/bert/weights', 'one '.repeat(100));
  project.write('models/bert/run.sh', 'echo', 0o755);
  fs.mkdirSync(project.at('models/bert/empty'));
  await project.add('models/bert');
  await registered(project, 'bert@v1', { metrics: { bleu: 0.25, loss: 2 }, status: 'candidate' });
  await deployed(project, 'bert@v1', 'production');
  project.commit();
  project.write('models/bert/weights', 'two '.repeat(90));
  await project.add('models/bert');
  await registered(project, 'bert@v2', {
    metrics: { bleu: 0.5 },
    metadata: { layers: { count: 12 } },
  });
  project.commit();
  return project;
}

async function find(project: Project, ...args: string[]) {
  return findTargets(await project.open(), args, project.root);
}

describe('references to versions', () => {
  it('give the path of the version and the pointer that add wrote, byte for byte', async () => {
    const project = await withVersions();
    const second = project.read('models/bert.mstore').toString();
    const cases: Array<[reference: string, chosen: object, bytes: number]> = [
      ['bert@v1', { model: 'bert', version: 'v1' }, 404],
      ['bert@production', { version: 'v1', environment: 'production' }, 404],
      ['bert@latest', { version: 'v2' }, 364],
      ['v1', { version: 'v1' }, 404],
      ['v2', { version: 'v2' }, 364],
      ['production', { version: 'v1', environment: 'production' }, 404],
      ['latest', { version: 'v2' }, 364],
    ];
    for (const [reference, chosen, bytes] of cases) {
      const { version, commit, tracked } = await find(project, reference);
      expect(version && chosenVersion(version), reference).toMatchObject(chosen);
      expect(commit).toBeUndefined();
      expect(tracked).toMatchObject([{ path: 'models/bert', pointer: { size: bytes } }]);
    }
    expect('environment' in chosenVersion((await find(project, 'latest')).version as never)).toBe(
      false,
    );
    const { tracked } = await find(project, 'bert@v2', 'models');
    expect(formatPointer((tracked[0] as (typeof tracked)[0]).pointer)).toBe(second);
  });

  it('take a checkout from one version to another and back, pointers included', async () => {
    const project = await withVersions();
    const second = project.read('models/bert.mstore').toString();
    const first = git(project.root, 'show', 'HEAD~1:models/bert.mstore');
    await project.checkout(['bert@production']);
    expect(project.read('models/bert.mstore').toString().trim()).toBe(first);
    expect(project.read('models/bert/weights').toString()).toBe('one '.repeat(100));
    await project.checkout(['v2']);
    expect(project.read('models/bert.mstore').toString()).toBe(second);
    expect(fs.existsSync(project.at('models/bert/empty'))).toBe(true);
    const place = path.join(scratchFolder(), 'bert');
    await project.checkoutTo(place, ['bert@v1']);
    expect(fs.readFileSync(path.join(place, 'run.sh'), 'utf8')).toBe('echo');
  });

  it('keep what else the pointer here says, as add does', async () => {
    const project = await withVersions();
    const pointer = JSON.parse(project.read('models/bert.mstore').toString()) as object;
    project.write('models/bert.mstore', JSON.stringify({ ...pointer, note: 'ours' }));
    await project.checkout(['bert@v1']);
    expect(JSON.parse(project.read('models/bert.mstore').toString())).toMatchObject({
      note: 'ours',
      size: 404,
    });
  });

  it('are of executable files, and of directories with more files than a pointer lists', async () => {
    const project = await makePlainProject();
    project.write('tool', 'x', 0o755);
    for (let i = 0; i <= 1_000; i++) project.write(`many/${i}`, String(i % 7));
    await project.add('tool', 'many');
    await registered(project, 'tool@v1', { path: 'tool' });
    await registered(project, 'many@v1', { path: 'many' });
    for (const [reference, path] of [
      ['tool@v1', 'tool.mstore'],
      ['many@v1', 'many.mstore'],
    ] as const) {
      const { tracked } = await find(project, reference);
      expect(formatPointer((tracked[0] as (typeof tracked)[0]).pointer)).toBe(
        project.read(path).toString(),
      );
    }
  });

  it('are listed, printed and compared', async () => {
    const project = await withVersions();
    const workspace = await project.open();
    const { tracked } = await find(project, 'bert@v1');
    expect(list(workspace, tracked)[0]?.entries).toHaveLength(3);
    const file = (text: string) => findFile(workspace, text, project.root);
    expect(await file('bert@v1:models/bert/weights')).toMatchObject({ size: 400 });
    expect(await file('production:models/bert/weights')).toMatchObject({ size: 400 });
    expect(await file('models/bert/weights')).toMatchObject({ size: 360 });
    expect(await file('HEAD~1:models/bert/weights')).toMatchObject({ size: 400 });
    await expect(file('bert@v1:models/other')).rejects.toMatchObject({
      code: 'not-tracked',
      hint: expect.stringContaining('mstore ls bert@v1'),
    });
    await expect(file('models/bert:weights')).rejects.toMatchObject({ code: 'unknown-ref' });
    const diff = diffReferences(
      workspace,
      await find(project, 'bert@v1'),
      await find(project, 'bert@v2'),
    );
    expect(diff).toMatchObject({
      paths: [
        {
          path: 'models/bert',
          change: 'modified',
          sharedBytes: 4,
          files: [{ path: 'weights', before: { size: 400 }, after: { size: 360 } }],
        },
      ],
      versions: {
        before: { version: 'v1' },
        after: { version: 'v2' },
        metrics: [
          { name: 'bleu', before: 0.25, after: 0.5 },
          { name: 'loss', before: 2 },
        ],
        fields: [
          { name: 'metadata.layers.count', after: 12 },
          { name: 'status', before: 'candidate' },
        ],
      },
    });
  });

  it('compare with commits by the path of the version, and follow a model that was moved', async () => {
    const project = await withVersions();
    project.write('other', 'x');
    await project.add('other');
    project.commit();
    const workspace = await project.open();
    const head = await findReference(workspace, 'HEAD', ({ tracked }) => [...tracked]);
    expect(head.tracked).toHaveLength(2);
    expect(diffReferences(workspace, await find(project, 'bert@v2'), head).paths).toEqual([]);
    expect(diffReferences(workspace, head, await find(project, 'bert@v1')).paths).toHaveLength(1);
    for (const [version, path] of [
      ['v1', 'a.onnx'],
      ['v2', 'deep/b.onnx'],
    ] as const) {
      project.write(path, `weights ${version}`);
      await project.add(path);
      await registered(project, `moved@${version}`, { path });
    }
    const { paths } = diffReferences(
      workspace,
      await find(project, 'moved@v1'),
      await find(project, 'moved@v2'),
    );
    expect(paths).toMatchObject([
      { path: 'deep/b.onnx', files: [{ path: 'b.onnx', change: 'modified' }] },
    ]);
  });
});

describe('words with more than one reading', () => {
  it('are taken where all give the same', async () => {
    const project = await withVersions();
    git(project.root, 'tag', 'v1', 'HEAD~1');
    git(project.root, 'tag', 'v2');
    const { commit, version, tracked } = await find(project, 'v1');
    expect(commit).toBe(git(project.root, 'rev-parse', 'v1'));
    expect(version?.record.value.version).toBe('v1');
    expect(tracked).toMatchObject([{ pointer: { size: 404 } }]);
    const file = await findFile(await project.open(), 'v2:models/bert/weights', project.root);
    expect(file.size).toBe(360);
  });

  it('are refused where they differ, with how to write each', async () => {
    const project = await withVersions();
    git(project.root, 'tag', 'v1');
    project.write('production', 'a file');
    await project.add('production');
    git(project.root, 'branch', 'production');
    const cases: Array<[args: string[], hint: string]> = [
      [['v1'], 'Write git:v1 for a Git revision, or bert@v1 for the version bert@v1'],
      [
        ['production'],
        'Write ./production for a tracked path, or git:production for a Git revision, or bert@production for the version bert@v1',
      ],
    ];
    for (const [args, hint] of cases) {
      await expect(find(project, ...args)).rejects.toMatchObject({ code: 'ambiguous-ref', hint });
    }
    for (const way of ['./production', 'git:production', 'bert@production', 'bert@v1', 'git:v1']) {
      await expect(find(project, way), way).resolves.toBeDefined();
    }
    await expect(
      findFile(await project.open(), 'v1:models/bert/weights', project.root),
    ).rejects.toMatchObject({ code: 'ambiguous-ref' });
  });

  it('mean the model of core.model where there are several', async () => {
    const project = await withVersions();
    await registered(project, 'other@v9');
    await expect(find(project, 'v1')).rejects.toMatchObject({
      code: 'unknown-ref',
      hint: expect.stringMatching(/^Write bert@v1; .*core\.model/),
    });
    const { env } = (await project.open()).surroundings;
    const open = (model: string) => project.open({ env: { ...env, MSTORE_CORE_MODEL: model } });
    const { version } = await findTargets(await open('bert'), ['v1'], project.root);
    expect(version?.record.value).toMatchObject({ model: 'bert', version: 'v1' });
    await expect(findTargets(await open('other'), ['v1'], project.root)).rejects.toMatchObject({
      code: 'unknown-ref',
    });
    await expect(open('Not A Name')).rejects.toMatchObject({ code: 'config-invalid' });
  });

  it('name a tracked path that looks like a version', async () => {
    const project = await withVersions();
    project.write('logo@v2.png', 'x');
    await project.add('logo@v2.png');
    expect((await find(project, 'logo@v2.png')).tracked).toMatchObject([{ path: 'logo@v2.png' }]);
    project.write('bert@v2', 'y');
    await project.add('bert@v2');
    expect((await find(project, 'bert@v2')).tracked).toMatchObject([{ path: 'models/bert' }]);
    expect((await find(project, './bert@v2')).tracked).toMatchObject([{ path: 'bert@v2' }]);
  });
});

describe('references that name nothing', () => {
  it('fail with a code and the nearest name', async () => {
    const project = await withVersions();
    git(project.root, 'tag', 'gone@v1');
    await setVersionState(
      await project.open(),
      { model: 'bert', version: 'v2', state: 'deleted' },
      { force: true, reason: 'A test' },
    );
    const cases: Array<[reference: string, error: object]> = [
      ['brt@v1', { code: 'unknown-model', hint: 'Did you mean bert?' }],
      [
        'bert@v11',
        {
          code: 'unknown-version',
          hint: expect.stringMatching(/^Did you mean bert@v1\? .*mstore fetch/),
        },
      ],
      ['bert@v2', { code: 'unknown-version' }],
      ['prodution', { code: 'unknown-ref', hint: 'Did you mean production?' }],
      ['Bert@v1', { code: 'unknown-ref', hint: 'Did you mean bert@v1?' }],
      ['bert', { code: 'unknown-ref', hint: expect.stringContaining('bert@latest') }],
      ['gone@v1', { code: 'unknown-model', hint: expect.stringContaining('git:gone@v1') }],
      ['', { code: 'usage' }],
      [
        'hf:org/name',
        { code: 'usage', hint: expect.stringContaining('mstore import hf:org/name') },
      ],
      ['s3://bucket/x', { code: 'usage', hint: expect.stringContaining('--remote') }],
      ['gs://bucket/x', { code: 'usage', hint: expect.stringContaining('--remote') }],
      ['mlflow:models:/name/3', { code: 'usage', hint: expect.stringContaining('mlflow') }],
      ['dvc:model.pkl', { code: 'usage', hint: expect.stringContaining('mstore import') }],
      ['oci://host/m:v1', { code: 'usage', hint: expect.stringContaining('oras') }],
      ['local:../dir', { code: 'usage', hint: expect.stringContaining('mstore import') }],
    ];
    for (const [reference, error] of cases) {
      await expect(find(project, reference), reference).rejects.toMatchObject(error);
    }
  });

  it('say so without Git too', async () => {
    const project = await makePlainProject();
    project.write('model', 'x');
    await project.add('model');
    await expect(find(project, 'v1')).rejects.toMatchObject({ code: 'not-tracked' });
    await registered(project, 'm@v1');
    expect((await find(project, 'v1')).tracked).toMatchObject([{ path: 'model' }]);
    await expect(find(project, 'v2')).rejects.toMatchObject({
      code: 'unknown-ref',
      hint: 'Did you mean v1?',
    });
  });
});
