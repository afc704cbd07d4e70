import { randomBytes } from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import {
  type DvcImportRequest,
  type DvcImportResult,
  importDvc,
} from '../../src/flow/import/dvc-import.ts';
import {
  type DvcTagsRequest,
  type DvcTagsResult,
  importDvcTags,
} from '../../src/flow/import/dvc-tags.ts';
import { localRegistry } from '../../src/flow/registry.ts';
import { DvcFixture } from '../support/dvc-repository.ts';
import { md5Of } from '../support/dvc-text.ts';
import { makeProject, type Project } from '../support/flow-project.ts';
import { git, gitTestEnv } from '../support/git.ts';
import { tempFolder } from '../support/temp.ts';

const weights = randomBytes(200_000);

let project: Project;
let dvc: DvcFixture;

beforeEach(async () => {
  project = await makeProject();
  dvc = new DvcFixture(project.root);
});

async function take(more: Partial<DvcImportRequest> = {}): Promise<DvcImportResult> {
  return importDvc(await project.open(), { folder: project.root, ...more });
}

async function takeTags(more: Partial<DvcTagsRequest> = {}): Promise<DvcTagsResult> {
  return importDvcTags(await project.open(), { output: project.root, ...more });
}

function outcomes({ outputs }: Pick<DvcImportResult, 'outputs'>): string[] {
  return outputs.map(({ path: name, outcome }) => `${name} ${outcome}`);
}

/** Three outputs, as DVC leaves them: Git ignores their files. */
function fill(): void {
  dvc.file('models/m.bin', weights);
  dvc.write('models/.gitignore', '/m.bin\n');
  dvc.folder('data', { 'a.txt': 'a', 'b/c.txt': 'c' });
  dvc.folder('empty', {});
  dvc.write('.gitignore', '/data\n/empty\n');
}

describe('import of a repository of DVC', () => {
  it('tracks every output, and leaves the files of DVC as they are', async () => {
    fill();
    dvc.commit();
    const planned = await take({ dryRun: true });
    expect(outcomes(planned)).toEqual(['data taken', 'empty taken', 'models/m.bin taken']);
    expect(fs.existsSync(project.at('data.mstore'))).toBe(false);
    const result = await take();
    expect(outcomes(result)).toEqual(outcomes(planned));
    expect(result).toMatchObject({ bytesReceived: 0, removed: [], dryRun: false });
    expect(JSON.parse(project.read('models/m.bin.mstore').toString())).toMatchObject({
      kind: 'file',
      path: 'm.bin',
      size: 200_000,
    });
    expect(
      git(project.root, 'status', '--short')
        .split('\n')
        .map((line) => line.trim()),
    ).toEqual(['?? data.mstore', '?? empty.mstore', '?? models/m.bin.mstore']);
    await project.checkout();
    expect(project.read('models/m.bin').equals(weights)).toBe(true);
    expect(project.read('data/b/c.txt').toString()).toBe('c');
    expect(fs.readdirSync(project.at('empty'))).toEqual([]);
  });

  it('reads nothing again, takes what DVC has changed, and keeps keys of pointers', async () => {
    fill();
    await take();
    const pointer = JSON.parse(project.read('models/m.bin.mstore').toString()) as object;
    project.write('models/m.bin.mstore', JSON.stringify({ ...pointer, team: 'ours' }));
    fs.rmSync(dvc.place({ hash: 'md5', md5: md5Of(weights), isList: false }));
    dvc.folder('data', { 'a.txt': 'A', 'b/c.txt': 'c' });
    const again = await take();
    expect(outcomes(again)).toEqual(['data taken', 'empty unchanged', 'models/m.bin unchanged']);
    expect(project.read('models/m.bin.mstore').toString()).toContain('"team": "ours"');
  });

  it('takes what DVC says, not what the working tree holds', async () => {
    fill();
    project.write('models/m.bin', 'changed since');
    await take();
    expect((await project.status()).paths.find((one) => one.path === 'models/m.bin')?.state).toBe(
      'modified',
    );
    expect(project.read('models/m.bin').toString()).toBe('changed since');
  });

  it('takes a part, and a revision', async () => {
    fill();
    dvc.commit('v1');
    dvc.folder('data', { 'a.txt': 'new' });
    expect(outcomes(await take({ folder: project.at('models') }))).toEqual(['models/m.bin taken']);
    expect(outcomes(await take({ folder: project.at('data.dvc') }))).toEqual(['data taken']);
    const old = await take({ folder: project.at('data'), revision: 'v1' });
    expect(old.commit).toBe(git(project.root, 'rev-parse', 'v1'));
    expect(outcomes(old)).toEqual(['data taken']);
    await project.checkout(['data']);
    expect(fs.readdirSync(project.at('data')).sort()).toEqual(['a.txt', 'b']);
    await expect(take({ folder: project.at('nothing') })).rejects.toMatchObject({
      code: 'not-found',
    });
    await expect(take({ revision: 'v1', replace: true })).rejects.toMatchObject({ code: 'usage' });
  });

  it('replaces files of DVC where it is asked to, but for what it did not take', async () => {
    fill();
    const gone = dvc.file('gone.bin', 'gone');
    fs.rmSync(dvc.place({ hash: 'md5', md5: gone, isList: false }));
    dvc.write(
      'two.dvc',
      `outs:\n- md5: ${md5Of('c')}\n  hash: md5\n  path: two-a\n- path: two-b\n`,
    );
    await expect(take({ replace: true })).rejects.toMatchObject({ code: 'import-refused' });
    const left = ['data.dvc', 'empty.dvc', 'gone.bin.dvc', 'models/m.bin.dvc', 'two.dvc'];
    expect(left.filter((name) => fs.existsSync(project.at(name)))).toEqual([
      'gone.bin.dvc',
      'two.dvc',
    ]);
    expect(fs.existsSync(project.at('two-a.mstore'))).toBe(true);
    fs.rmSync(project.at('two.dvc'));
    dvc.object('gone');
    expect((await take({ replace: true })).removed).toEqual(['gone.bin.dvc']);
    await expect(take()).rejects.toMatchObject({ code: 'not-found' });
  });

  it('names all that cannot be taken, and takes the rest', async () => {
    fill();
    const damaged = dvc.file('damaged.bin', 'right');
    fs.writeFileSync(dvc.place({ hash: 'md5', md5: damaged, isList: false }), 'wrong');
    dvc.write('broken.dvc', 'outs: [');
    dvc.write('cloud.dvc', 'outs:\n- path: cloud\n  etag: x\n');
    const failure = take();
    await expect(failure).rejects.toMatchObject({
      code: 'import-refused',
      exitCode: 2,
      details: {
        problems: [
          expect.stringContaining('broken.dvc is not valid YAML'),
          expect.stringMatching(/^cloud: .*versions of a bucket/),
          expect.stringMatching(/^damaged\.bin: .*is damaged/),
        ],
      },
    });
    await expect(failure).rejects.toThrow('3 of 5 outputs of DVC are taken');
    expect(fs.existsSync(project.at('models/m.bin.mstore'))).toBe(true);
    expect(fs.existsSync(project.at('damaged.bin.mstore'))).toBe(false);
  });

  it('leaves to Git what Git keeps', async () => {
    fill();
    dvc.file('kept.json', '{}');
    dvc.write('kept.json', '{}');
    dvc.file('metrics.json', '{}', { more: ['cache: false'] });
    dvc.commit();
    const { outputs } = await take();
    expect(outputs.filter(({ outcome }) => outcome === 'left-out')).toEqual([
      expect.objectContaining({ path: 'kept.json', why: 'Git keeps it' }),
      expect.objectContaining({ path: 'metrics.json', why: 'DVC leaves it to Git' }),
    ]);
  });

  it('refuses before anything is stored what lies in what is tracked as a whole', async () => {
    fill();
    project.write('models/other', 'x');
    await project.add('models');
    await expect(take()).rejects.toMatchObject({ code: 'inside-tracked' });
    expect(fs.existsSync(project.at('data.mstore'))).toBe(false);
  });

  it('stops at the policy of validation, for that output alone', async () => {
    dvc.file('weights.pkl', Buffer.from("cos\nsystem\n(S'true'\ntR."));
    dvc.folder('data', { 'a.txt': 'a' });
    const workspace = await project.open({
      env: { ...gitTestEnv, MSTORE_VALIDATE_POLICY: 'deny' },
    });
    await expect(importDvc(workspace, { folder: project.root })).rejects.toMatchObject({
      code: 'import-refused',
      details: { problems: [expect.stringMatching(/^weights\.pkl: .*dangerous/)] },
    });
    expect(fs.existsSync(project.at('weights.pkl.mstore'))).toBe(false);
    expect(fs.existsSync(project.at('data.mstore'))).toBe(true);
  });

  it('finds a repository in a folder of the workspace, and refuses one outside', async () => {
    const inner = new DvcFixture(project.at('sub'));
    inner.file('m.bin', 'm');
    dvc.file('top.bin', 't');
    // One of DVC inside of another is its own.
    expect(outcomes(await take())).toEqual(['top.bin taken']);
    expect(outcomes(await take({ folder: project.at('sub') }))).toEqual(['sub/m.bin taken']);
    const other = await makeProject();
    const far = new DvcFixture(other.root);
    far.file('m.bin', 'm');
    await expect(take({ folder: other.root })).rejects.toMatchObject({ code: 'outside-workspace' });
  });

  it('makes folders that are not there, and writes through no link', async () => {
    const md5 = dvc.object('x');
    dvc.write('dvc.yaml', 'stages:\n  a:\n    cmd: x\n    wdir: w/d\n    outs: [o]\n');
    dvc.write(
      'dvc.lock',
      `schema: '2.0'\nstages:\n  a:\n    outs:\n    - {path: o, md5: ${md5}, hash: md5}\n`,
    );
    await take();
    expect(fs.existsSync(project.at('w/d/o.mstore'))).toBe(true);
    const outside = tempFolder();
    for (const to of [outside, 'w']) {
      fs.rmSync(project.at('link'), { force: true });
      fs.symlinkSync(to, project.at('link'));
      dvc.write('l.dvc', `outs:\n- {path: link/o, md5: ${md5}, hash: md5}\n`);
      await expect(take()).rejects.toThrow('link/o: it lies behind a symbolic link');
    }
    expect(fs.readdirSync(outside)).toEqual([]);
    expect(fs.readdirSync(project.at('w'))).toEqual(['d']);
  });

  it('does not look where .dvcignore says, nor into what DVC keeps', async () => {
    dvc.folder('data', { 'a.txt': 'a' });
    dvc.write('data/inner.dvc', 'outs: [');
    dvc.write('left/x.dvc', 'outs: [');
    dvc.write('.dvcignore', '/left\n');
    expect(outcomes(await take())).toEqual(['data taken']);
  });
});

/** Makes an annotated tag at a time, as GTO does. */
function annotate(name: string, seconds: number, message = name, at = 'HEAD'): void {
  const before = gitTestEnv['GIT_COMMITTER_DATE'];
  gitTestEnv['GIT_COMMITTER_DATE'] = `${1_700_000_000 + seconds} +0000`;
  try {
    git(project.root, 'tag', '-a', '-m', message, name, at);
  } finally {
    gitTestEnv['GIT_COMMITTER_DATE'] = before;
  }
}

async function recordOf(model: string, version: string) {
  return (await (await localRegistry(await project.open())).record(model, version))?.value;
}

describe('import of the tags of a repository of DVC', () => {
  it('makes each tag a version of an output, with what DVC had there', async () => {
    dvc.write('readme', 'nothing yet');
    dvc.commit('v0');
    for (const [i, text] of ['one', 'two', 'three'].entries()) {
      dvc.file('m.bin', text);
      dvc.commit(`v${i + 1}`);
    }
    annotate('m@v9.0.0', 10, 'the third, by GTO');
    annotate('other@v1.0.0', 11);
    git(project.root, 'tag', 'Not_A_Version');
    const request = { output: project.at('m.bin'), model: 'm' };
    const planned = await takeTags({ ...request, dryRun: true });
    const result = await takeTags(request);
    expect(result.tags).toEqual(planned.tags);
    expect(result.tags.map(({ tag, version, outcome }) => [tag, version, outcome]).sort()).toEqual([
      ['Not_A_Version', 'Not_A_Version', 'left-out'],
      ['m@v9.0.0', 'v9.0.0', 'registered'],
      ['v0', 'v0', 'left-out'],
      ['v1', 'v1', 'registered'],
      ['v2', 'v2', 'registered'],
      ['v3', 'v3', 'registered'],
    ]);
    expect(await recordOf('m', 'v2')).toMatchObject({
      content: { path: 'm.bin', kind: 'file', size: 3 },
      source: { imported: { md5: md5Of('two'), commit: git(project.root, 'rev-parse', 'v2') } },
    });
    expect(await recordOf('m', 'v9.0.0')).toMatchObject({
      created: new Date(1_700_000_010_000).toISOString(),
      description: 'the third, by GTO',
      content: { size: 5 },
    });
    fs.rmSync(dvc.objects, { recursive: true });
    const again = await takeTags(request);
    expect(again).toMatchObject({ bytesReceived: 0, bytesNew: 0 });
    expect(again.tags.filter(({ outcome }) => outcome === 'registered')).toEqual([]);
  });

  it('takes models, paths and stages from what GTO tagged', async () => {
    const artifacts = (name: string, where: string) =>
      `artifacts:\n  ${name}:\n    path: ${where}\n    type: model\n`;
    dvc.write('dvc.yaml', artifacts('bert', 'models/bert'));
    dvc.folder('models/bert', { w: 'one' });
    dvc.commit();
    annotate('bert@v1.0.0', 1);
    annotate('bert#prod#1', 2);
    annotate('lost@v1.0.0', 3);
    dvc.write('dvc.yaml', artifacts('bert', 'moved'));
    fs.rmSync(project.at('models/bert.dvc'));
    dvc.folder('moved', { w: 'two' });
    dvc.commit();
    annotate('bert@v1.1.0', 4);
    annotate('bert#prod#2', 5);
    annotate('bert@v1.0.0!', 6, 'old', 'HEAD~1');
    const result = await takeTags();
    expect(result.tags).toEqual([
      {
        tag: 'bert@v1.0.0',
        model: 'bert',
        version: 'v1.0.0',
        path: 'models/bert',
        outcome: 'registered',
      },
      {
        tag: 'bert@v1.1.0',
        model: 'bert',
        version: 'v1.1.0',
        path: 'moved',
        outcome: 'registered',
      },
      expect.objectContaining({
        tag: 'lost@v1.0.0',
        outcome: 'left-out',
        why: expect.stringContaining('no path'),
      }),
    ]);
    expect(result.moves).toBe(3);
    const registry = await localRegistry(await project.open());
    const history = await registry.history('bert', 'prod');
    expect(history.map(({ value }) => value.version)).toEqual(['v1.0.0', 'v1.1.0']);
    expect(await registry.state('bert', 'v1.0.0')).toBe('deprecated');
    // A directory with one file is a directory.
    expect((await recordOf('bert', 'v1.0.0'))?.content.kind).toBe('tree');
    const to = path.join(tempFolder(), 'v1');
    await project.checkoutTo(to, ['bert@v1.0.0']);
    expect(fs.readFileSync(path.join(to, 'w'), 'utf8')).toBe('one');
    expect((await takeTags()).moves).toBe(0);
  });

  it('names tags whose data is nowhere, and takes the others', async () => {
    dvc.file('m.bin', 'one');
    dvc.commit('v1');
    dvc.file('m.bin', 'two');
    dvc.commit('v2');
    fs.rmSync(dvc.place({ hash: 'md5', md5: md5Of('one'), isList: false }));
    const failure = takeTags({ output: project.at('m.bin'), model: 'm' });
    await expect(failure).rejects.toMatchObject({
      code: 'import-refused',
      details: { problems: [expect.stringMatching(/^v1: m\.bin of .* is in none of the places/)] },
    });
    expect((await recordOf('m', 'v2'))?.content.size).toBe(3);
    expect(await recordOf('m', 'v1')).toBeUndefined();
  });

  it('refuses a tag that is another version already', async () => {
    dvc.file('m.bin', 'one');
    dvc.commit('v1');
    const request = { output: project.at('m.bin'), model: 'm' };
    await takeTags(request);
    dvc.file('m.bin', 'two');
    dvc.commit();
    git(project.root, 'tag', '-f', 'v1');
    await expect(takeTags(request)).rejects.toMatchObject({
      code: 'import-refused',
      details: { problems: [expect.stringContaining('m@v1 is registered already')] },
    });
    await expect(takeTags({ ...request, model: 'M' })).rejects.toMatchObject({ code: 'bad-name' });
  });
});
