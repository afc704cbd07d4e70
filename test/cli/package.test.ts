import { execFileSync, spawn } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  type CliResult,
  type CliWorkspace,
  cliEnv,
  describeFolder,
  expectError,
  flipBit,
  makeWorkspace,
  mstore,
  mstoreOk,
} from '../support/cli.ts';
import { filesBelow } from '../support/flow-state.ts';
import { git } from '../support/git.ts';
import { program, programArgs } from '../support/program.ts';
import { tempFolder } from '../support/temp.ts';

async function withVersion(): Promise<CliWorkspace> {
  const one = await makeWorkspace();
  one.write('model/weights', 'w'.repeat(300_000));
  one.write('model/run', 'echo');
  fs.chmodSync(one.at('model/run'), 0o755);
  await one.add('model');
  git(one.root, 'add', '.');
  git(one.root, 'commit', '-q', '-m', 'First');
  await one.ok('register', 'm@v1', 'model', '--metric', 'bleu=0.4');
  await one.ok('deploy', 'm@v1', '--env', 'staging', '--local');
  return one;
}

/** A host with nothing but an empty workspace, and no network. */
async function island(): Promise<{ root: string; run: (...args: string[]) => Promise<CliResult> }> {
  const root = path.join(tempFolder(), 'island');
  fs.mkdirSync(root);
  git(root, 'init', '-q');
  await mstoreOk(root, 'init');
  return { root, run: (...args) => mstoreOk(root, '--offline', ...args) };
}

const modelOf = (root: string) => describeFolder(path.join(root, 'model'), 'm');

describe('mstore package and unpackage', () => {
  it('carry a version to a host without a network, from where it is pushed', async () => {
    const one = await withVersion();
    const made = await one.ok('package', 'm@v1');
    const file = one.at('m_v1.tar.gz');
    expect(made.stdout).toBe(`${file}\n`);
    expect(made.stderr).toMatch(/Wrote \d+ KiB \(2 files, 2 records of the registry\) to /);

    const two = await island();
    const taken = await two.run('unpackage', file);
    expect(taken.stderr).toMatch(/m@v1: 2 files, \d+ KiB \(\d+ KiB new, 2 records/);
    expect((await two.run('show', 'm@v1')).stdout).toMatch(/bleu/);
    expect((await two.run('history', 'm')).stdout).toMatch(/staging/);
    await two.run('checkout', 'm@staging');
    expect(modelOf(two.root)).toEqual(modelOf(one.root));
    await two.run('remote', 'add', 'depot', '../depot');
    const pushed = await two.run('push', '--json');
    expect(JSON.parse(pushed.stdout)).toMatchObject({ recordsSent: 2 });
    const folder = path.dirname(two.root);
    await mstoreOk(folder, 'pull', 'm@v1', '--remote', './depot', '--to', './three');
    expect(describeFolder(path.join(folder, 'three'), 'm')).toEqual(modelOf(one.root));
  });

  it('tell what they did in JSON', async () => {
    const one = await withVersion();
    const made = await one.ok('--json', 'package', 'm@v1', '--output', '../x.tar.gz');
    const file = path.join(path.dirname(one.root), 'x.tar.gz');
    expect(made.json).toMatchObject({ file, name: 'm_v1', files: 2, bytes: 300_004, records: 2 });
    const sum = execFileSync('sha256sum', [file], { encoding: 'utf8' }).slice(0, 64);
    expect(made.json).toMatchObject({ sha256: sum, size: fs.statSync(file).size });
    const { root } = await island();
    const to = await mstoreOk(root, '--json', 'unpackage', file, '--to', 'out');
    expect(to.json).toMatchObject({
      name: 'm_v1',
      version: { model: 'm', version: 'v1' },
      directory: path.join(fs.realpathSync(root), 'out'),
      files: 2,
    });
    expect(describeFolder(path.join(root, 'out'), 'm')).toEqual(modelOf(one.root));
    const taken = await mstoreOk(root, '--json', 'unpackage', file);
    expect(taken.json).toMatchObject({ version: { version: 'v1' }, files: 2, records: 2 });
    const events = await one.ok('--json-events', 'package', 'm@v1');
    expect(events.stdout).toMatch(/"phase":"package"/);
  });

  it('pass a package on through a pipe, without a workspace at its end', async () => {
    const one = await withVersion();
    const folder = tempFolder();
    const run = (cwd: string, ...args: string[]) =>
      spawn(program, [...programArgs, ...args], {
        cwd,
        env: cliEnv,
        stdio: ['pipe', 'pipe', 'pipe'],
      });
    const packing = run(one.root, 'package', 'm@v1', '--output', '-');
    const unpacking = run(folder, 'unpackage', '-', '--to', 'out');
    packing.stdout.pipe(unpacking.stdin);
    const codes = await Promise.all(
      [packing, unpacking].map((child) => new Promise((resolve) => child.once('close', resolve))),
    );
    expect(codes).toEqual([0, 0]);
    expect(describeFolder(path.join(folder, 'out'), 'm')).toEqual(modelOf(one.root));
    expect(fs.readdirSync(folder)).toEqual(['out']);
  });

  it('are unpacked by tar as well', async () => {
    const one = await withVersion();
    await one.ok('package', 'm@v1', '--output', '../x.tar.gz');
    const folder = tempFolder();
    execFileSync('tar', ['xzf', path.join(path.dirname(one.root), 'x.tar.gz'), '-C', folder]);
    expect(fs.readdirSync(path.join(folder, 'm_v1')).sort()).toEqual([
      'files',
      'mstore-package.json',
      'registry',
    ]);
    const unpacked = describeFolder(path.join(folder, 'm_v1/files'), 'm');
    expect(unpacked).toEqual(modelOf(one.root));
  });

  it('refuse what cannot be, with the error that says what to do', async () => {
    const one = await withVersion();
    await one.ok('package', 'm@v1');
    const taken = await one.run('--json', 'package', 'm@v1');
    expectError(taken, { code: 'destination-exists', message: /exists already/, hint: /--force/ });
    await one.ok('package', 'm@v1', '--force');
    const usages: ReadonlyArray<readonly [string[], RegExp]> = [
      [['package', 'm@v1', '--output', '-'], /not JSON/],
      [['package', 'm@v1', '--output', ''], /names no file/],
      [['unpackage', 'm_v1.tar.gz', '--to', ''], /names no directory/],
      [['unpackage', 'm_v1.tar.gz', '--force'], /for --to alone/],
      [['export', 'm@v1'], /none is named/],
    ];
    for (const [args, message] of usages) {
      expectError(await one.run('--json', ...args), { code: 'usage', message, hint: /./ });
    }
    const { root } = await island();
    expectError(await mstore(root, '--json', 'unpackage', 'none.tar.gz'), {
      code: 'not-found',
      message: /none\.tar\.gz/,
      hint: /Check the path/,
    });
    flipBit(one.at('m_v1.tar.gz'), 200_000);
    for (const more of [[], ['--to', 'out']]) {
      expectError(await mstore(root, '--json', 'unpackage', one.at('m_v1.tar.gz'), ...more), {
        code: 'corrupt-package',
        message: /cannot be used/,
        hint: /get the package again/,
      });
    }
    expect(fs.readdirSync(root).sort()).not.toContain('out');
    expect((await mstore(root, 'models', '--json')).json).toEqual({ models: [] });
  });

  it('push all that is there from such a host, and fail for what is not', async () => {
    const one = await withVersion();
    one.write('model/weights', 'x'.repeat(300_000));
    await one.add('model');
    await one.ok('register', 'm@v2', 'model');
    await one.ok('deploy', 'm@v2', '--env', 'staging', '--local');
    await one.ok('package', 'm@v1', '--output', '../v1.tar.gz');
    await one.ok('package', 'm@v2', '--output', '../v2.tar.gz');
    const two = await island();
    const folder = path.dirname(one.root);
    await two.run('unpackage', path.join(folder, 'v2.tar.gz'));
    await two.run('remote', 'add', 'depot', '../depot');
    expectError(await mstore(two.root, '--offline', '--json', 'push'), {
      code: 'objects-missing',
      message: /^m@v1 and the histories that speak of it were left out/,
      hint: /mstore fetch m@v1/,
    });
    const refs = path.join(path.dirname(two.root), 'depot/refs');
    expect(filesBelow(refs)).toEqual(['models/m/versions/v2.json']);
    const words = await mstore(two.root, '--offline', 'push');
    expect(words).toMatchObject({ code: 4, stdout: '' });
    await two.run('unpackage', path.join(folder, 'v1.tar.gz'));
    await two.run('push');
    expect(filesBelow(refs)).toHaveLength(4);
    await mstoreOk(path.dirname(two.root), 'pull', 'm@staging', '--remote', './depot', '--to', 'x');
    expect(describeFolder(path.join(path.dirname(two.root), 'x'), 'm')).toEqual(modelOf(one.root));
  });

  it('tell of a history that differs, after all else was taken', async () => {
    const one = await withVersion();
    await one.ok('package', 'm@v1', '--output', '../first.tar.gz');
    const two = await island();
    const folder = path.dirname(one.root);
    await two.run('unpackage', path.join(folder, 'first.tar.gz'));
    await two.run('checkout', 'm@v1');
    await two.run('register', 'm@v2', 'model');
    await two.run('deploy', 'm@v2', '--env', 'staging');
    await one.ok('register', 'm@v3', 'model');
    await one.ok('deploy', 'm@v3', '--env', 'staging', '--local');
    await one.ok('package', 'm@v3', '--output', '../second.tar.gz');
    expectError(await mstore(two.root, '--json', 'unpackage', path.join(folder, 'second.tar.gz')), {
      code: 'histories-differ',
      message: /staging of m differ/,
      hint: /m@v3 was taken/,
    });
    expect((await two.run('show', 'm@v3')).stdout).toMatch(/v3/);
  });

  it('export writes plain files, with what is known of them', async () => {
    const one = await withVersion();
    await one.ok('export', 'm@v1', '--to', '../plain');
    const folder = path.dirname(one.root);
    expect(describeFolder(path.join(folder, 'plain'), 'm')).toEqual(modelOf(one.root));
    expect(fs.statSync(path.join(folder, 'plain/run')).mode & 0o111).not.toBe(0);
    fs.writeFileSync(path.join(folder, 'plain/mine'), 'x');
    expectError(await one.run('--json', 'export', 'm@v1', '--to', '../plain'), {
      code: 'destination-exists',
      message: /not empty/,
      hint: /--force/,
    });
    expect(fs.readFileSync(path.join(folder, 'plain/mine'), 'utf8')).toBe('x');
    await one.ok('export', 'm@v1', '--to', '../plain', '--force');
    expect(describeFolder(path.join(folder, 'plain'), 'm')).toEqual(modelOf(one.root));
    const full = await one.ok('--json', 'export', 'm@staging', '--to', '../full', '--metadata');
    expect(full.json).toMatchObject({ version: { environment: 'staging' }, files: 2 });
    const manifest = fs.readFileSync(path.join(folder, 'full/mstore-package.json'), 'utf8');
    expect(JSON.parse(manifest)).toMatchObject({
      version: 'v1',
      document: { metrics: { bleu: 0.4 } },
    });
  });
});
