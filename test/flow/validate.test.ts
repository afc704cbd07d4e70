import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import { describe, expect, it } from 'vitest';
import { deploy } from '../../src/flow/environments.ts';
import { info } from '../../src/flow/info.ts';
import { register } from '../../src/flow/register.ts';
import { validate } from '../../src/flow/validate.ts';
import { validateAll } from '../../src/flow/validate-files.ts';
import { sourcesOnDisk } from '../../src/flow/validate-sources.ts';
import { BlobReader } from '../../src/store/blob-reader.ts';
import { makePlainProject, makeProject, type Project, settle } from '../support/flow-project.ts';
import { git } from '../support/git.ts';
import { field, nodeProto, numberField, onnxModel } from '../support/onnx.ts';
import { callOf, globalOp, longText, op, pickleOf } from '../support/pickles.ts';
import { safetensorsFile, withHeader } from '../support/safetensors.ts';
import { brokenRules } from '../support/validate.ts';
import { weightBytes } from '../support/weights.ts';

const evil = pickleOf(2, callOf(globalOp('os', 'system')));
const good = safetensorsFile([{ name: 'w', bytes: Buffer.alloc(64) }]);
const cut = good.subarray(0, -1);

/** A model whose one tensor of 12 bytes is in `w.bin`. */
const external = onnxModel([
  field(1, nodeProto('n')),
  field(5, [
    ...[numberField(1, 12), numberField(2, 2), field(8, 'w')],
    ...[field(13, [field(1, 'location'), field(2, 'w.bin')]), numberField(14, 1)],
  ]),
]);

async function validateIn(project: Project, ...args: string[]) {
  return validate(() => project.open(), args, project.root);
}

async function setPolicy(project: Project, policy: string): Promise<void> {
  const file = project.at('.modelstore/config.toml');
  const text = fs.readFileSync(file, 'utf8').replace(/\[validate\]\npolicy = "\w+"\n/, '');
  fs.writeFileSync(file, `${text}\n[validate]\npolicy = "${policy}"\n`);
}

describe('validate of the disk', () => {
  it('looks into files and folders, tracked or not', async () => {
    const project = await makePlainProject();
    project.write('m/good.safetensors', good);
    project.write('m/deep/bad.safetensors', cut);
    project.write('m/deep/.git/x.pt', evil);
    project.write('x.pt', evil);
    const all = await validateIn(project, 'm', 'x.pt');
    expect(all.files.map(({ path, verdict }) => [path, verdict])).toEqual([
      ['m/deep/bad.safetensors', 'invalid'],
      ['m/good.safetensors', 'ok'],
      ['x.pt', 'dangerous'],
    ]);
    expect(all.verdict).toBe('dangerous');
    expect((await validateIn(project, 'm/good.safetensors')).verdict).toBe('ok');
  });

  it('needs no workspace', async () => {
    const project = await makePlainProject();
    project.write('m/good.safetensors', good);
    const never = () => Promise.reject(new Error('The workspace was opened'));
    const result = await validate(never, ['good.safetensors'], project.at('m'));
    expect(result.verdict).toBe('ok');
  });

  it('knows the files beside a model, and which are links', async () => {
    const project = await makePlainProject();
    project.write('m/model.onnx', external);
    const rules = async () =>
      brokenRules((await validateIn(project, 'm/model.onnx')).files[0] as never);
    expect(await rules()).toEqual(['onnx-external-file']);
    project.write('m/w.bin', Buffer.alloc(12));
    expect(await rules()).toEqual([]);
    fs.linkSync(project.at('m/w.bin'), project.at('m/other'));
    expect(await rules()).toEqual(['onnx-external-link']);
  });

  it('fails for what does not exist, or has no bytes', async () => {
    const project = await makePlainProject();
    execFileSync('mkfifo', [project.at('pipe')]);
    await expect(validateIn(project, 'pipe')).rejects.toMatchObject({
      code: 'unsupported-file-type',
    });
    project.write('d/good.safetensors', good);
    fs.symlinkSync('round', project.at('d/round'));
    execFileSync('mkfifo', [project.at('d/pipe')]);
    expect((await validateIn(project, 'd')).files).toHaveLength(1);
    await expect(validateIn(project, './none')).rejects.toMatchObject({ code: 'not-tracked' });
  });
});

describe('validate of what is stored', () => {
  it('reads a version and a commit from the store, with what lies around', async () => {
    const project = await makeProject();
    project.write('m/model.onnx', external);
    project.write('m/w.bin', Buffer.alloc(12));
    project.write('m/sub/x.pt', evil);
    await project.add('m');
    git(project.root, 'add', '.');
    git(project.root, 'commit', '-q', '-m', 'First');
    await register(await project.open(), { model: 'm', version: 'v1' });
    fs.rmSync(project.at('m'), { recursive: true });
    for (const reference of ['m@v1', 'git:HEAD', 'm']) {
      const { files, verdict } = await validateIn(project, reference);
      expect(
        files.map((file) => [file.path, brokenRules(file)]),
        reference,
      ).toEqual([
        ['m/model.onnx', []],
        ['m/sub/x.pt', ['pickle-denied']],
        ['m/w.bin', []],
      ]);
      expect(verdict).toBe('dangerous');
    }
  });

  it('reads only the chunks that it needs', async () => {
    const project = await makePlainProject();
    const data = weightBytes(1, 6 * 1024 * 1024);
    project.write('m.safetensors', safetensorsFile([{ name: 'w', bytes: data }]));
    await project.add('m.safetensors');
    fs.rmSync(project.at('m.safetensors'));
    const packs = project.at('.modelstore/store/packs');
    const [pack] = fs
      .readdirSync(packs, { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.pack'));
    const file = `${packs}/${pack}`;
    const bytes = fs.readFileSync(file);
    bytes[4 * 1024 * 1024] = (bytes[4 * 1024 * 1024] ?? 0) ^ 1;
    fs.chmodSync(file, 0o644);
    fs.writeFileSync(file, bytes);
    expect((await validateIn(project, 'm.safetensors')).verdict).toBe('ok');
    bytes[20] = (bytes[20] ?? 0) ^ 1;
    fs.writeFileSync(file, bytes);
    await expect(validateIn(project, 'm.safetensors')).rejects.toMatchObject({
      code: 'corrupt-chunk',
    });
  });

  it('reads any part of a blob as it is', async () => {
    const project = await makePlainProject();
    const data = weightBytes(7, 3 * 1024 * 1024 + 17);
    project.write('w', data);
    const { paths } = await project.add('w');
    const reader = new BlobReader((await project.open()).store);
    const file = reader.open(paths[0]?.pointer.sha256 as never);
    expect(file.size).toBe(data.length);
    const places = [
      [0, 1],
      [0, data.length],
      [data.length - 1, 10],
      [data.length, 5],
      [1_000_000, 1_500_000],
      [5, 0],
    ];
    for (const [offset = 0, length = 0] of places)
      expect(
        Buffer.from(file.read(offset, length)).equals(data.subarray(offset, offset + length)),
      ).toBe(true);
    reader.close();
  });
});

describe('the policy', () => {
  it('warns by default, of new files alone', async () => {
    const project = await makePlainProject();
    project.write('m/a.safetensors', cut);
    project.write('m/b.safetensors', good);
    await settle();
    const first = await project.add('m');
    expect(first.warnings).toEqual([
      expect.stringMatching(/^m\/a\.safetensors is invalid: .*\[safetensors-end\]$/),
    ]);
    project.write('m/c.txt', 'more');
    expect((await project.add('m')).warnings).toEqual([]);
  });

  it('needs 256 KiB at most of a file of 16 GiB', async () => {
    const project = await makePlainProject();
    const size = 2 ** 34;
    const header = { w: { dtype: 'U8', shape: [size], data_offsets: [0, size] } };
    const head = withHeader(JSON.stringify(header), Buffer.alloc(0));
    project.write('m.safetensors', head);
    fs.truncateSync(project.at('m.safetensors'), head.length + size);
    const sources = sourcesOnDisk(project.at('m.safetensors'), 'm.safetensors');
    const { files } = await validateAll(sources, {}, 256 * 1024);
    expect(files).toMatchObject([{ verdict: 'ok', summary: { parameters: size } }]);
  });

  it('allow reads nothing', async () => {
    const project = await makePlainProject();
    await setPolicy(project, 'allow');
    project.write('x.pt', evil);
    expect((await project.add('x.pt')).warnings).toEqual([]);
  });

  it('deny refuses before anything is written', async () => {
    const project = await makePlainProject();
    await setPolicy(project, 'deny');
    project.write('m/good.safetensors', good);
    project.write('m/x.pt', evil);
    await expect(project.add('m')).rejects.toMatchObject({
      code: 'validation-refused',
      details: { paths: ['m/x.pt'] },
    });
    expect(fs.existsSync(project.at('m.mstore'))).toBe(false);
    expect(fs.existsSync(project.at('.modelstore/store/packs'))).toBe(false);
    fs.rmSync(project.at('m/x.pt'));
    expect((await project.add('m')).warnings).toEqual([]);
  });

  it('deny looks into files that are known too', async () => {
    const project = await makePlainProject();
    project.write('x.pt', evil);
    await project.add('x.pt');
    await setPolicy(project, 'deny');
    await expect(project.add('x.pt')).rejects.toMatchObject({ code: 'validation-refused' });
  });

  it('deny refuses what was not seen to its end, warn does not tell of it', async () => {
    const project = await makePlainProject();
    const many = `{"a":[${'{},'.repeat(6_000_000)}{}]}`;
    project.write('m/big.json', many);
    const word = Buffer.concat([longText('x'.repeat(4000)), op.pop]);
    const long = pickleOf(2, ...Array<Buffer>(5000).fill(word), op.none);
    project.write('m/long.pkl', long);
    expect((await project.add('m')).warnings).toEqual([]);
    await setPolicy(project, 'deny');
    await expect(project.add('m')).rejects.toMatchObject({
      code: 'validation-refused',
      message: expect.stringContaining('m/big.json is not seen whole'),
      details: { paths: ['m/big.json'] },
    });
  });

  it('warn passes over names of texts and pictures, and deny over none', async () => {
    const project = await makePlainProject();
    for (const name of ['m/x.txt', 'm/x.png', 'm/labels.txt']) project.write(name, evil);
    expect((await project.add('m')).warnings).toEqual([
      expect.stringMatching(/^m\/labels\.txt is dangerous/),
    ]);
    await setPolicy(project, 'deny');
    await expect(project.add('m')).rejects.toMatchObject({
      details: { paths: ['m/labels.txt', 'm/x.png', 'm/x.txt'] },
    });
  });

  it('holds for register and deploy', async () => {
    const project = await makePlainProject();
    project.write('x.pt', evil);
    await project.add('x.pt');
    const registration = { model: 'm', version: 'v1' };
    await setPolicy(project, 'deny');
    await expect(register(await project.open(), registration)).rejects.toMatchObject({
      code: 'validation-refused',
    });
    await setPolicy(project, 'warn');
    const { warnings } = await register(await project.open(), registration);
    expect(warnings).toEqual([expect.stringContaining('x.pt is dangerous')]);
    const target = { ...registration, environment: 'staging' };
    await setPolicy(project, 'deny');
    await expect(deploy(await project.open(), target)).rejects.toMatchObject({
      code: 'validation-refused',
    });
    await setPolicy(project, 'warn');
    expect((await deploy(await project.open(), target)).warnings).toEqual([
      expect.stringContaining('x.pt is dangerous'),
    ]);
    await setPolicy(project, 'allow');
    expect(
      (await deploy(await project.open(), { ...target, environment: 'other' })).warnings,
    ).toEqual([]);
  });

  it('deny needs the files of a version, warn does not', async () => {
    const project = await makePlainProject();
    project.write('m/good.safetensors', good);
    await project.add('m');
    await register(await project.open(), { model: 'm', version: 'v1' });
    fs.rmSync(project.at('.modelstore/store/packs'), { recursive: true });
    fs.rmSync(project.at('.modelstore/store/tables'), { recursive: true, force: true });
    fs.rmSync(project.at('.modelstore/store/index'), { recursive: true, force: true });
    const target = { model: 'm', version: 'v1', environment: 'staging' };
    await setPolicy(project, 'deny');
    await expect(deploy(await project.open(), target)).rejects.toMatchObject({
      code: 'objects-missing',
    });
    await setPolicy(project, 'warn');
    expect((await deploy(await project.open(), target)).warnings).toEqual([]);
  });
});

describe('info', () => {
  it('tells what a model is', async () => {
    const project = await makePlainProject();
    const config = { model_type: 'bert', id2label: { 0: 'no', 1: 'yes' } };
    project.write('m/config.json', JSON.stringify(config));
    project.write('m/model.safetensors', good);
    project.write('m/model.onnx', external);
    project.write('m/w.bin', Buffer.alloc(12));
    await project.add('m');
    await register(await project.open(), {
      model: 'm',
      version: 'v1',
      source: { hf: { repository: 'a/b' } },
    });
    const result = await info(await project.open(), ['m@v1'], project.root);
    expect(result.source).toMatchObject({ hf: { repository: 'a/b' } });
    expect(result.models).toMatchObject([
      {
        path: 'm',
        kind: 'tree',
        modelType: 'bert',
        labels: { count: 2, from: 'm/config.json', first: ['no', 'yes'] },
        tensors: 2,
        parameters: 76,
        dtypes: { U8: 1, UINT8: 1 },
        opset: { 'ai.onnx': 17 },
        availability: { complete: true, missingBytes: 0 },
      },
    ]);
    expect(result.models[0]?.files.map(({ path, format }) => [path, format])).toEqual([
      ['m/config.json', 'config'],
      ['m/model.onnx', 'onnx'],
      ['m/model.safetensors', 'safetensors'],
      ['m/w.bin', 'other'],
    ]);
  });

  it('takes labels from labels.txt, and the format where nothing names a type', async () => {
    const project = await makePlainProject();
    project.write('m/labels.txt', 'cat\ndog\nfox\n');
    project.write('m/deep/labels.txt', 'one\n');
    project.write('m/model.safetensors', good);
    await project.add('m');
    const { models } = await info(await project.open(), ['m'], project.root);
    expect(models).toMatchObject([
      { modelType: 'safetensors', labels: { count: 3, from: 'm/labels.txt' } },
    ]);
  });

  it('tells what is not here', async () => {
    const project = await makePlainProject();
    project.write('m/model.safetensors', good);
    project.write('m/other', 'x');
    const [added] = (await project.add('m')).paths;
    fs.rmSync(project.at('.modelstore/store'), { recursive: true });
    const { models } = await info(await project.open(), ['m'], project.root);
    expect(models).toMatchObject([
      { modelType: null, labels: null, tensors: 0, availability: { complete: false } },
    ]);
    expect(models[0]?.availability.missingBytes).toBeGreaterThanOrEqual(added?.pointer.size ?? 0);
    expect(models[0]?.files).toHaveLength(2);
  });
});
