import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, it } from 'vitest';
import { type CliResult, startMstore } from '../support/cli.ts';
import { gcsEnvironment, testGcsServer } from '../support/gcs-remote.ts';
import { tempFolder } from '../support/temp.ts';
import { xorshiftBytes } from '../support/xorshift.ts';

const server = await testGcsServer();
const model = xorshiftBytes(5, 20_000_000);
// Of the environment, since no credentials go to an endpoint that a file names.
const env = { ...gcsEnvironment(server), MSTORE_REMOTE_ORIGIN_ENDPOINT: server.endpoint };

function run(cwd: string, ...args: string[]): Promise<CliResult> {
  return startMstore(cwd, args, { env }).done;
}

async function ok(cwd: string, ...args: string[]): Promise<CliResult> {
  const result = await run(cwd, ...args);
  expect(result.stderr).not.toMatch(/error:|warning/i);
  expect(result.code).toBe(0);
  return result;
}

async function workspace(folder: string): Promise<string> {
  const root = tempFolder();
  await ok(root, 'init', '--no-git');
  await ok(root, 'config', 'set', 'remote.origin.storage_class', 'NEARLINE');
  await ok(root, 'remote', 'add', 'origin', `gs://models/${folder}`, '--no-create');
  await ok(root, 'remote', 'add', 'origin', `gs://models/${folder}`);
  return root;
}

describe('a remote on Google Cloud Storage', () => {
  it('serves the commands as a directory does', async () => {
    const root = await workspace('team');
    fs.writeFileSync(path.join(root, 'a.bin'), model);
    await ok(root, 'add', 'a.bin');
    server.fault({ how: 'reset', at: 'PUT ' });
    server.fault({ how: 'lost-reply', at: 'uploadType=multipart&name=team%2Findex' });
    const sent = await ok(root, 'push', '--json');
    expect(sent.json.bytesSent).toBeGreaterThanOrEqual(model.length);
    expect((await ok(root, 'push', '--json')).json.bytesSent).toBe(0);
    expect(server.uploads.size).toBe(0);

    const other = tempFolder();
    fs.cpSync(
      path.join(root, '.modelstore/config.toml'),
      path.join(other, '.modelstore/config.toml'),
    );
    fs.copyFileSync(path.join(root, 'a.bin.mstore'), path.join(other, 'a.bin.mstore'));
    server.fault({ how: 'truncate', at: 'GET /storage/v1/b/models/o/team%2Fpacks' });
    await ok(other, 'pull');
    expect(fs.readFileSync(path.join(other, 'a.bin')).equals(model)).toBe(true);

    fs.rmSync(path.join(other, '.modelstore/store'), { recursive: true });
    fs.rmSync(path.join(other, 'a.bin'));
    server.fault({ how: 'wrong-bytes', at: 'GET /storage/v1/b/models/o/team%2Fpacks', times: 9 });
    const damaged = await run(other, 'pull', '--json');
    server.heal();
    expect(damaged.json.error?.code).toBe('corrupt-remote');
    expect(fs.existsSync(path.join(other, 'a.bin'))).toBe(false);
    await ok(other, 'pull');
  });

  it('connects to nothing offline, and tells what is refused', async () => {
    const root = await workspace('other');
    const before = server.log.length;
    fs.writeFileSync(path.join(root, 'a.bin'), model.subarray(0, 1000));
    await ok(root, 'add', 'a.bin');
    const offline = await run(root, 'push', '--offline', '--json');
    expect(offline.json.error?.code).toBe('offline');
    expect(server.log).toHaveLength(before);
    server.fault({ how: { status: 403, reason: 'forbidden' }, times: 9 });
    const refused = await run(root, 'push');
    server.heal();
    expect(refused.code).toBe(8);
    expect(refused.stderr).toMatch(
      /access is denied \(forbidden\) \[remote-refused\]\nhint: Ask for storage.objects.list/,
    );
    await ok(root, 'remote', 'remove', 'origin');
    expect(fs.readFileSync(path.join(root, '.modelstore/config.toml'), 'utf8')).not.toMatch(
      /storage_class/,
    );
  });

  it('costs other commands nothing: the SDK is a part of its own', () => {
    const folder = path.resolve(import.meta.dirname, '../../dist/cli');
    const holds = fs
      .readdirSync(folder)
      .filter((name) =>
        /GoogleAuth|node-rs/.test(fs.readFileSync(path.join(folder, name), 'utf8')),
      );
    expect(holds).toEqual(['gcs-sdk.cjs']);
  });
});
