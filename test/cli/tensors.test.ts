import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { TensorsDiff } from '../../src/flow/diff-tensors.ts';
import type { TensorListing } from '../../src/flow/tensors.ts';
import { type CliWorkspace, cliEnv, makeWorkspace } from '../support/cli.ts';
import { git } from '../support/git.ts';
import { program, programArgs } from '../support/program.ts';
import { floats, typedFile } from '../support/tensors.ts';

async function twoVersions(before: Buffer, after: Buffer): Promise<CliWorkspace> {
  const workspace = await makeWorkspace();
  for (const [tag, bytes] of [
    ['v1', before],
    ['v2', after],
  ] as const) {
    workspace.write('w.safetensors', bytes);
    await workspace.add('w.safetensors');
    git(workspace.root, 'add', '.');
    git(workspace.root, 'commit', '-q', '-m', tag);
    git(workspace.root, 'tag', tag);
  }
  return workspace;
}

const many = (value: (i: number) => number): Buffer =>
  typedFile(Array.from({ length: 60 }, (_, i) => floats(`t${i}`, [1, value(i)])));

describe('mstore diff --tensors', () => {
  it('shows the largest changes first, and counts the rest', async () => {
    const workspace = await twoVersions(
      many((i) => i),
      many((i) => i + (i * i) / 5900),
    );
    const { stdout, code } = await workspace.run('diff', 'v1', 'v2', '--tensors');
    expect(code).toBe(0);
    const lines = stdout.trimEnd().split('\n');
    expect(lines).toHaveLength(52);
    expect(lines[0]).toBe('~ t59  F32 [2]  50 % of values, norm 0.01     w.safetensors');
    expect(lines.slice(-2)).toEqual([
      '  and 9 more tensors (-v shows them)',
      'Tensors: 59 changed, 1 unchanged',
    ]);
    const all = await workspace.ok('diff', 'v1', 'v2', '--tensors', '-v');
    expect(all.stdout.trimEnd().split('\n')).toHaveLength(60);
    const { stdout: json } = await workspace.ok('diff', 'v1', 'v2', '--tensors', '--json');
    const { tensors, totals } = JSON.parse(json) as TensorsDiff;
    expect(tensors).toHaveLength(59);
    expect(totals).toMatchObject({ changed: 59, unchanged: 1 });
  });

  it('warns of broken files, and ends with the exit code of damage', async () => {
    const whole = typedFile([floats('a', [1])]);
    const workspace = await twoVersions(whole, whole.subarray(0, 20));
    const { stdout, stderr, code } = await workspace.run('diff', 'v1', 'v2', '--tensors');
    expect(code).toBe(5);
    expect(stderr).toContain('w.safetensors (after) cannot be read as safetensors: ');
    expect(stdout).toContain('- a');
    const json = await workspace.run('diff', 'v1', 'v2', '--tensors', '--json');
    expect([json.code, json.stderr]).toEqual([5, '']);
    expect((JSON.parse(json.stdout) as TensorsDiff).broken).toHaveLength(1);
  });

  it('lets no name of a tensor reach the terminal as it is', async () => {
    const odd = (value: number) => typedFile([floats('a\u001b[31m\n', [value])]);
    const workspace = await twoVersions(odd(1), odd(2));
    for (const args of [
      ['diff', 'v1', 'v2', '--tensors'],
      ['ls', '--tensors'],
      ['cat', 'w.safetensors', '--tensor', '\u001b[31m'],
    ]) {
      const { stdout, stderr } = await workspace.run(...args);
      expect(stdout + stderr).not.toContain('\u001b[31m');
    }
  });
});

describe('mstore ls --tensors and mstore cat --tensor', () => {
  it('list tensors, and write one, also of a file that is only on the remote', async () => {
    const tensor = floats('t', [1, 2, 3, 4], [2, 2]);
    const workspace = await twoVersions(typedFile([tensor]), typedFile([floats('t', [5])]));
    await workspace.ok('push', 'v1');
    fs.rmSync(workspace.at('.modelstore/store'), { recursive: true });
    const { stdout } = await workspace.ok('ls', 'v1', '--tensors');
    expect(
      stdout
        .split('\n')
        .slice(0, 2)
        .map((line) => line.trim()),
    ).toEqual(['w.safetensors', '16 B  F32  [2, 2]    t']);
    const listed = await workspace.ok('ls', 'v1', '--tensors', '--json');
    const { tensors } = JSON.parse(listed.stdout) as TensorListing;
    expect(tensors).toEqual([
      { file: 'w.safetensors', name: 't', dtype: 'F32', shape: [2, 2], bytes: 16 },
    ]);
    const args = ['cat', 'v1:w.safetensors', '--tensor', 't', '--range', '1:2'];
    const bytes = execFileSync(program, [...programArgs, ...args], {
      cwd: workspace.root,
      env: cliEnv,
    });
    expect(bytes.equals(tensor.bytes.subarray(8))).toBe(true);
    const missing = await workspace.run('cat', 'v2:w.safetensors', '--tensor', 't');
    expect([missing.code, missing.stderr]).toEqual([4, expect.stringContaining('objects-missing')]);
  });

  it.each([
    [['--range', '0:1'], 'no tensor is named'],
    [['--tensor', 't', '--range', '1'], '--range cannot be 1'],
    [['--tensor', 't', '--range', '-1:2'], '--range cannot be -1:2'],
    [['--tensor', 't', '--range', '2:1'], 'has 2 on its first axis'],
    [['--tensor', 't', '--json'], 'cat prints the bytes of a file'],
  ])('refuse %s', async (args, text) => {
    const workspace = await twoVersions(Buffer.from('x'), typedFile([floats('t', [1, 2])]));
    const { code, stderr, stdout } = await workspace.run('cat', 'v2:w.safetensors', ...args);
    expect([code, stderr + stdout]).toEqual([2, expect.stringContaining(text)]);
  });
});
