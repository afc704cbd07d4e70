import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, test } from 'vitest';
import { type ErrorCode, exitCodeOf } from '../../src/base/errors.ts';
import { type CliWorkspace, expectGood, makeWorkspace, mstore, mstoreOk } from '../support/cli.ts';
import { git } from '../support/git.ts';
import { tempFolder } from '../support/temp.ts';
import { xorshiftBytes } from '../support/xorshift.ts';

/** A workspace with three versions of a file, each committed and pushed. */
async function threeVersions(): Promise<CliWorkspace> {
  const ws = await makeWorkspace();
  for (const seed of [1, 2, 3]) {
    ws.write('a.onnx', xorshiftBytes(seed, 1_000_000));
    await ws.add('a.onnx');
    git(ws.root, 'add', '-A');
    git(ws.root, 'commit', '-q', '-m', `version ${seed}`);
    await ws.ok('push');
  }
  return ws;
}

async function refused(folder: string, code: ErrorCode, ...args: string[]): Promise<void> {
  const result = await mstore(folder, ...args, '--json');
  expect(result.json.error?.code, result.stdout + result.stderr).toBe(code);
  expect(result.json.error?.hint).toBeTruthy();
  expect(result.code).toBe(exitCodeOf(code));
}

describe('gc', () => {
  test('frees the local store, says what and how much, and says what it would do', async () => {
    const ws = await threeVersions();
    const dry = await ws.ok('gc', '--keep-last', '1', '--grace', '0', '--dry-run');
    expect(dry.stdout).toMatch(/^(a\.onnx at [0-9a-f]{10} +977 KiB\n){2}$/);
    expect(dry.stderr).toMatch(
      /^the local store needs \d+ KiB in 1 pack\nWould remove: 1\.9\d MiB \(2 packs, 2 recipes\)\n$/,
    );
    expect(await ws.ok('gc')).toMatchObject({
      stderr: expect.stringContaining('Nothing to clean up'),
    });
    const { stderr } = await ws.ok('gc', '--keep-last', '1');
    expect(stderr).toContain('was just written');
    const done = await ws.ok('gc', '--keep-last', '1', '--grace', '0');
    expect(done.stderr).toContain('Removed 1.9');
    await expectGood(ws);
    await refused(ws.root, 'objects-missing', 'checkout', 'HEAD~1', '--force');
    await ws.ok('pull', 'HEAD~1', '--force');
    expect(ws.read('a.onnx').equals(xorshiftBytes(2, 1_000_000))).toBe(true);
  });

  test('marks on a remote, tells when it is removed, takes it back, and removes at once', async () => {
    const ws = await threeVersions();
    const young = await ws.ok('gc', '--remote', '--keep-last', '1');
    expect(young.stderr).toContain('2 records of this repository were pushed within the last day');
    // Records that were just written are not given up: these are of last week.
    const roots = path.join(ws.remote, 'roots');
    const [repository = ''] = fs.readdirSync(roots);
    const lastWeek = new Date(Date.now() - 7 * 86_400_000);
    for (const name of fs.readdirSync(path.join(roots, repository))) {
      fs.utimesSync(path.join(roots, repository, name), lastWeek, lastWeek);
    }
    const marked = await ws.ok('gc', '--remote', '--keep-last', '1');
    expect(marked.stderr).toContain('Found needless: 1.9');
    expect(marked.stderr).toMatch(/can be removed in \d+ days \(--keep-last 1\); --undo keeps it/);
    const undone = await ws.ok('gc', '--remote', 'origin', '--undo');
    expect(undone.stderr).toMatch(/^Kept 1\.9\d MiB in origin that waited to be removed\n$/);
    const none = await ws.ok('gc', '--remote', 'origin', '--undo');
    expect(none.stderr).toBe('Nothing waits to be removed from origin\n');

    await ws.ok('gc', '--remote', '--keep-last', '1', '--plan', 'plan.json');
    const applied = await ws.run(
      'gc',
      '--remote',
      '--apply',
      'plan.json',
      '--grace',
      '0',
      '--json',
    );
    expect(applied.code).toBe(0);
    expect(applied.json).toMatchObject({
      place: 'origin',
      dryRun: false,
      swept: { packs: 2, recipes: 2, roots: 2, rescued: 0 },
      pending: [],
      warnings: [],
    });
    await expectGood(ws);
    ws.remove('.modelstore/store');
    ws.remove('a.onnx');
    await ws.ok('pull');
    expect(ws.read('a.onnx').equals(xorshiftBytes(3, 1_000_000))).toBe(true);
  });

  test('refuses options that are none, or do not go together', async () => {
    const ws = await makeWorkspace();
    for (const args of [
      ['--keep-last', '0'],
      ['--keep-last', 'x'],
      ['--keep-within', '90'],
      ['--grace', 'soon'],
      ['--forget', 'abc', '--remote'],
      ['--forget', '0'.repeat(32)],
      ['--plan', 'p', '--apply', 'p'],
      ['--undo', '--dry-run'],
      ['--apply', 'p', '--keep-last', '3'],
      ['--undo', '--keep-tag', 'v*'],
      ['extra'],
    ]) {
      await refused(ws.root, 'usage', 'gc', ...args);
    }
    await refused(ws.root, 'not-found', 'gc', '--apply', 'absent.json');
    ws.write('odd.json', '{}');
    await refused(ws.root, 'usage', 'gc', '--apply', 'odd.json');
    await ws.ok('gc', '--plan', 'here.json');
    await refused(ws.root, 'usage', 'gc', '--remote', '--apply', 'here.json');
    await refused(ws.root, 'unknown-remote', 'gc', '--remote', 'nowhere');
    await ws.ok('gc', '--apply', 'here.json', '--dry-run');
  });

  test('needs Git for its policies, and nothing else', async () => {
    const root = tempFolder();
    await mstoreOk(root, 'init', '--no-git');
    fs.writeFileSync(path.join(root, 'a.onnx'), xorshiftBytes(1, 500_000));
    await mstoreOk(root, 'add', 'a.onnx');
    await mstoreOk(root, 'gc', '--grace', '0');
    await refused(root, 'no-git', 'gc', '--keep-last', '1');
    await mstoreOk(root, 'checkout', '--to', 'out');
  });
});
