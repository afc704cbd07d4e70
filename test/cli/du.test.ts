import { describe, expect, test } from 'vitest';
import { makeWorkspace } from '../support/cli.ts';
import { git } from '../support/git.ts';
import { xorshiftBytes } from '../support/xorshift.ts';

describe('du', () => {
  test('shows what paths and versions take, here and on a remote', async () => {
    const ws = await makeWorkspace();
    expect(await ws.ok('du')).toMatchObject({
      stdout: '',
      stderr: expect.stringMatching(/^the local store takes \d+ B: mstore\.json/),
    });
    for (const seed of [1, 2]) {
      ws.write('models/a.onnx', xorshiftBytes(seed, 1_000_000));
      ws.write('models/b.onnx', xorshiftBytes(1, 1_000_000));
      await ws.add('models/a.onnx', 'models/b.onnx');
      git(ws.root, 'add', '-A');
      git(ws.root, 'commit', '-q', '-m', `version ${seed}`);
    }
    await ws.ok('push', '--all-versions');
    const here = await ws.ok('du');
    expect(here.stdout).toBe(
      [
        '   FILES    STORED      OWN  VERSIONS  PATH',
        '1.91 MiB  1.91 MiB  977 KiB         2  models/a.onnx',
        ' 977 KiB   977 KiB      0 B         1  models/b.onnx',
        '',
      ].join('\n'),
    );
    expect(here.stderr).toMatch(/^the local store takes 1\.9\d MiB: packs 1\.9/);
    expect(here.stderr).toContain(
      'Needed: 1.91 MiB of chunks, for 2.86 MiB of files (1.5 times as much)\n',
    );
    const there = await ws.ok('du', '--remote', 'origin');
    expect(there.stdout).toBe(here.stdout);
    expect(there.stderr).toMatch(/^origin takes /);
    const versions = await ws.ok('du', '--versions', 'models/a.onnx');
    expect(versions.stdout).toMatch(
      /\n977 KiB +977 KiB +977 KiB +models\/a\.onnx in the working tree\n/,
    );
    expect(versions.stdout).toMatch(/\n977 KiB +977 KiB +0 B +models\/a\.onnx at [0-9a-f]{10}\n/);
    const unknown = await ws.run('du', 'models/a.onnx', 'nowhere', '--json');
    expect(unknown.json.error?.code).toBe('not-tracked');
    expect(unknown.code).toBe(3);
    const one = await ws.run('du', 'models/b.onnx', '--json');
    expect(one.json).toMatchObject({
      place: 'the local store',
      entries: [{ path: 'models/b.onnx', versions: 1, size: 1_000_000, stored: 1_000_000, own: 0 }],
      size: 3_000_000,
      stored: 2_000_000,
      needless: 0,
    });
  });
});
