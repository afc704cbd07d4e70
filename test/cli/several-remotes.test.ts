import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, test } from 'vitest';
import { sha256 } from '../../src/base/digest.ts';
import {
  type CliWorkspace,
  expectError,
  expectGood,
  filesBelow,
  flipBit,
  makeWorkspace,
  soleFile,
} from '../support/cli.ts';
import { git } from '../support/git.ts';
import { xorshiftBytes } from '../support/xorshift.ts';

const model = xorshiftBytes(12, 2_000_000);

interface Places {
  readonly ws: CliWorkspace;
  readonly backup: string;
}

/** A workspace with a stored file and the remotes `origin` and `backup`, which are empty. */
async function stored(): Promise<Places> {
  const ws = await makeWorkspace();
  const backup = path.join(path.dirname(ws.remote), 'backup');
  await ws.addRemote('backup', backup);
  ws.write('a.onnx', model);
  await ws.add('a.onnx');
  return { ws, backup };
}

/** The same, with the file nowhere but on both remotes. */
async function onBoth(): Promise<Places> {
  const places = await stored();
  await places.ws.ok('push', '--remote', 'origin', '--remote', 'backup');
  forget(places.ws);
  return places;
}

function forget(ws: CliWorkspace): void {
  ws.remove('a.onnx');
  ws.remove('.modelstore/store');
}

async function expectPulled(ws: CliWorkspace, ...args: string[]): Promise<string> {
  const { stderr } = await ws.ok('pull', ...args);
  expect(sha256(ws.read('a.onnx'))).toBe(sha256(model));
  await expectGood(ws);
  return stderr;
}

describe('push to several remotes', () => {
  test('says what each got; the list of the configuration does the same', async () => {
    const { ws } = await stored();
    const { stderr, stdout } = await ws.ok('push', '--remote', 'origin', '--remote', 'backup');
    expect(stdout).toBe('');
    expect(stderr).toMatch(
      /^Sent 1\.9\d MiB \(\d+ chunks, 1 pack\) to origin\nSent 1\.9\d MiB \(\d+ chunks, 1 pack\) to backup\n$/,
    );
    await ws.ok('config', 'set', 'push.remotes', 'backup,origin');
    const again = await ws.ok('push');
    expect(again.stderr).toBe(
      'backup has everything already; sent 0 bytes\norigin has everything already; sent 0 bytes\n',
    );
    const one = await ws.ok('push', '--remote', 'origin');
    expect(one.stderr).toBe('origin has everything already; sent 0 bytes\n');
  });

  test('goes on where one fails, tells the error, and ends with its exit code', async () => {
    const { ws, backup } = await stored();
    await ws.ok('remote', 'add', 'gone', '../gone', '--no-create');
    const remotes = ['--remote', 'gone', '--remote', 'origin', '--remote', 'backup'];
    const { code, stderr } = await ws.run('push', ...remotes);
    expect(code).toBe(8);
    expect(stderr).toMatch(
      /^error: Push to gone failed\. Cannot open the remote .*\/gone: no such folder \[remote-unreachable\]\nhint: Mount it.*\nSent .* to origin\nSent .* to backup\n$/,
    );
    expect(filesBelow(path.join(backup, 'roots'))).toHaveLength(1);
    const json = await ws.run('push', '--json', ...remotes);
    expect(json.code).toBe(8);
    expect(json.stderr).toBe('');
    expect(json.json).toMatchObject({
      remote: 'origin',
      location: ws.remote,
      paths: 1,
      bytesSent: 0,
      error: { code: 'remote-unreachable' },
      remotes: [
        { remote: 'gone', error: { code: 'remote-unreachable', hint: expect.any(String) } },
        { remote: 'origin', location: ws.remote, chunksSent: 0, packsSent: 0, bytesSent: 0 },
        { remote: 'backup', location: backup, chunksSent: 0, packsSent: 0, bytesSent: 0 },
      ],
    });
  });

  test('ends with the first failure where all fail', async () => {
    const { ws } = await stored();
    fs.rmSync(ws.remote, { recursive: true });
    fs.writeFileSync(ws.remote, 'mine');
    const { code, json } = await ws.run(
      ...['push', '--json', '--remote', '../nowhere', '--remote', 'origin'],
    );
    expect(code).toBe(8);
    expect(json).toMatchObject({
      error: { code: 'remote-unreachable' },
      remotes: [{ error: { code: 'remote-unreachable' } }, { error: { code: 'not-a-remote' } }],
    });
  });

  test('sends nothing where one of them is no remote at all', async () => {
    const { ws, backup } = await stored();
    const args = ['push', '--json', '--remote', 'backup', '--remote', 'bakcup'];
    expectError(await ws.run(...args), {
      code: 'unknown-remote',
      message: /^There is no remote bakcup$/,
      hint: /^Remotes: backup, origin; /,
    });
    expect(filesBelow(backup)).toEqual([path.join(backup, 'mstore.json')]);
  });

  test('sends every version to each', async () => {
    const { ws, backup } = await stored();
    git(ws.root, 'add', '-A');
    git(ws.root, 'commit', '-q', '-m', 'First');
    ws.write('a.onnx', 'second');
    await ws.add('a.onnx');
    await ws.ok('push', '--all-versions', '--remote', 'origin', '--remote', 'backup');
    ws.remove('.modelstore/store');
    fs.rmSync(path.join(ws.remote, 'packs'), { recursive: true });
    const { stderr } = await ws.ok('fetch', '--all-versions');
    expect(stderr).toMatch(/^Fetched 1\.9\d MiB \(\d+ chunks\) from backup\n$/);
    fs.rmSync(backup, { recursive: true });
    await ws.ok('checkout', '--force', 'HEAD');
    expect(sha256(ws.read('a.onnx'))).toBe(sha256(model));
  });
});

describe('pull from several remotes', () => {
  test('asks the default remote alone where it has everything', async () => {
    const { ws, backup } = await onBoth();
    fs.rmSync(backup, { recursive: true });
    expect(await expectPulled(ws)).toMatch(
      /^Fetched 1\.9\d MiB \(\d+ chunks\) from origin\nWrote /,
    );
  });

  test('takes the rest from the other, warns of the damage, and ends with 0', async () => {
    const { ws } = await onBoth();
    flipBit(soleFile(`${ws.remote}/packs`), 700_000);
    expect(await expectPulled(ws)).toMatch(
      /^warning: origin: .*\/remote sent damaged data\. The chunk [0-9a-f]{64} in the pack [0-9a-f]{64} is damaged: its bytes have another digest\nFetched .* \(\d+ chunks\) from origin\nFetched .* \(1 chunk\) from backup\nWrote /,
    );
    forget(ws);
    const { json, stderr } = await ws.ok('pull', '--json');
    expect(stderr).toMatch(/^warning: origin: .*\n$/);
    expect(json).toMatchObject({
      fetched: {
        remote: 'origin',
        location: ws.remote,
        remotes: [
          { remote: 'origin', missingBytes: 0, problems: [{ code: 'corrupt-remote' }] },
          { remote: 'backup', chunksFetched: 1, problems: [] },
        ],
      },
    });
  });

  test('asks in the order of the configuration, and only those of the command line', async () => {
    const { ws, backup } = await onBoth();
    await ws.ok('config', 'set', 'fetch.remotes', 'backup,origin', '--local');
    expect(await expectPulled(ws)).toMatch(/^Fetched .* from backup\nWrote /);
    forget(ws);
    fs.rmSync(path.join(backup, 'packs'), { recursive: true });
    const alone = await ws.run('pull', '--json', '--remote', 'backup');
    expectError(alone, {
      code: 'objects-missing',
      message: /^1\.91 MiB of a\.onnx are not on the remote .*\/backup$/,
      hint: /fetch from another remote with --remote; restore a pointer/,
    });
    const both = await expectPulled(ws, '--remote', 'backup', '--remote', '../remote');
    expect(both).toMatch(/^Fetched .* from \.\.\/remote\nWrote /);
  });

  test('names all remotes and their reasons where none has it', async () => {
    const { ws, backup } = await onBoth();
    fs.rmSync(ws.remote, { recursive: true });
    fs.rmSync(path.join(backup, 'packs'), { recursive: true });
    const { code, stderr } = await ws.run('pull');
    expect(code).toBe(8);
    expect(stderr).toMatch(
      /^error: 1\.91 MiB of a\.onnx are to be had from none of 2 remotes\. origin: Cannot open the remote .*\/remote: no such folder\. backup: It does not have 1\.91 MiB \[remote-unreachable\]\nhint: Mount it/,
    );
    expect(fs.existsSync(ws.at('a.onnx'))).toBe(false);
  });

  test('passes over what needs the network offline, and fails where nothing else serves', async () => {
    const { ws } = await onBoth();
    await ws.ok('remote', 'add', 'far', 's3://models/team', '--no-create', '--default');
    expect(await expectPulled(ws, '--offline')).toMatch(
      /^warning: far: Cannot open s3:\/\/models\/team: it needs the network\nFetched .* from backup\nWrote /,
    );
    forget(ws);
    expectError(await ws.run('pull', '--json', '--offline', '--remote', 'far'), {
      code: 'offline',
      message: /^Cannot open s3:\/\/models\/team: it needs the network$/,
      hint: /name a directory remote/,
    });
  });
});
