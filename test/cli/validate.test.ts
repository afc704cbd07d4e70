import { describe, expect, it } from 'vitest';
import { makeWorkspace } from '../support/cli.ts';
import { callOf, globalOp, pickleOf, stateDict, torchTensor } from '../support/pickles.ts';
import { safetensorsFile } from '../support/safetensors.ts';
import { zipFile } from '../support/zip.ts';

const evil = pickleOf(2, callOf(globalOp('os', 'system')));
const good = safetensorsFile([{ name: 'w', bytes: Buffer.alloc(64) }]);

describe('mstore validate', () => {
  it('shows a line a file, findings below, and ends with 5', async () => {
    const workspace = await makeWorkspace();
    workspace.write('m/a.safetensors', good);
    workspace.write('m/x.pt', evil);
    const { code, stdout, stderr } = await workspace.run('validate', 'm');
    expect(code).toBe(5);
    expect(stdout).toMatch(
      /^ok {9}m\/a\.safetensors {2}safetensors, .*1 tensor, 64 parameters, U8$/m,
    );
    expect(stdout).toMatch(/^dangerous {2}m\/x\.pt {2}pickle, .*weights_only refuses it$/m);
    expect(stdout).toMatch(/dangerous {2}byte 2: Loading imports "os\.system".*/);
    expect(stdout).toContain('[pickle-denied]');
    expect(stdout).toContain('imports os.system');
    expect(stderr).toContain('Looked into 2 files: 1 dangerous');
  });

  it('leaves out what is right with --problems, and ends with 0 where nothing is wrong', async () => {
    const workspace = await makeWorkspace();
    workspace.write('m/a.safetensors', good);
    workspace.write('m/code.py', 'x = 1');
    const { code, stdout, stderr } = await workspace.run('validate', 'm', '--problems');
    expect(code).toBe(0);
    expect(stdout).not.toContain('a.safetensors');
    expect(stdout).toContain('code.py');
    expect(stderr).toContain('Looked into 2 files: 1 with warnings');
  });

  it('prints a document', async () => {
    const workspace = await makeWorkspace();
    const weights = stateDict({ a: torchTensor('0', 4) });
    const members = [
      { name: 'm/data.pkl', bytes: weights },
      { name: 'm/data/0', bytes: Buffer.alloc(16) },
    ];
    workspace.write('x.pt', zipFile(members));
    const { code, stdout } = await workspace.run('validate', 'x.pt', '--json');
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      verdict: 'ok',
      files: [{ path: 'x.pt', format: 'torch-zip', summary: { tensors: 1, weightsOnly: true } }],
    });
  });

  it('shows nothing that a terminal acts on', async () => {
    const workspace = await makeWorkspace();
    workspace.write('x.pt', pickleOf(2, callOf(globalOp('os', 'sys\u001b[31mtem'))));
    const { stdout } = await workspace.run('validate', 'x.pt');
    expect(stdout).toContain('\\u{1b}');
    expect(stdout).not.toContain('\u001b[31m');
  });

  it('looks into a version, and fails for what is unknown', async () => {
    const workspace = await makeWorkspace();
    workspace.write('x.pt', evil);
    const added = await workspace.run('add', 'x.pt');
    expect(added.code).toBe(0);
    expect(added.stderr).toContain('x.pt is dangerous');
    await workspace.ok('register', 'm@v1', 'x.pt');
    workspace.remove('x.pt');
    expect((await workspace.run('validate', 'm@v1')).code).toBe(5);
    expect((await workspace.run('validate', 'm@v7')).code).toBe(3);
  });

  it('is obeyed by add where the policy denies', async () => {
    const workspace = await makeWorkspace();
    await workspace.ok('config', 'set', 'validate.policy', 'deny');
    workspace.write('x.pt', evil);
    const { code, json } = await workspace.run('add', 'x.pt', '--json');
    expect(code).toBe(5);
    expect(json.error).toMatchObject({ code: 'validation-refused' });
    expect((await workspace.run('config', 'set', 'validate.policy', 'maybe')).code).toBe(2);
  });
});

describe('mstore info', () => {
  it('shows what a version is, for people and programs', async () => {
    const workspace = await makeWorkspace();
    workspace.write('m/model.safetensors', good);
    workspace.write('m/labels.txt', 'cat\ndog\n');
    await workspace.add('m');
    await workspace.ok('register', 'm@v1', 'm');
    const { stdout } = await workspace.ok('info', 'm@v1');
    expect(stdout).toMatch(/^m@v1$/m);
    expect(stdout).toMatch(/ type +safetensors$/m);
    expect(stdout).toMatch(/ labels +2 of labels\.txt: cat, dog$/m);
    expect(stdout).toMatch(/ parameters +64 in 1 tensor$/m);
    expect(stdout).toMatch(/ here +all of it$/m);
    expect(stdout).toMatch(/labels {7,}m\/labels\.txt$/m);
    const document = JSON.parse((await workspace.ok('info', 'm@v1', '--json')).stdout) as object;
    expect(document).toMatchObject({
      version: { model: 'm', version: 'v1' },
      models: [{ path: 'm', labels: { count: 2 }, availability: { complete: true } }],
    });
  });
});
