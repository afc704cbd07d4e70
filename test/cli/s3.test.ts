import * as fs from 'node:fs';
import * as path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { formatBytes } from '../../src/base/format-bytes.ts';
import { type CliResult, startMstore } from '../support/cli.ts';
import { s3Environment, testS3Server, testTls } from '../support/s3-remote.ts';
import { tempFolder } from '../support/temp.ts';
import { xorshiftBytes } from '../support/xorshift.ts';

const server = await testS3Server();
const model = xorshiftBytes(5, 20_000_000);
const credentials = {
  ...s3Environment(server),
  NODE_EXTRA_CA_CERTS: testTls.authority,
};

function run(cwd: string, ...args: string[]): Promise<CliResult> {
  return startMstore(cwd, args, { env: credentials }).done;
}

async function ok(cwd: string, ...args: string[]): Promise<CliResult> {
  const result = await run(cwd, ...args);
  expect(result.stderr).not.toMatch(/error:|warning/i);
  expect(result.code).toBe(0);
  return result;
}

async function workspace(folder: string, at = server): Promise<string> {
  const root = tempFolder();
  await ok(root, 'init', '--no-git');
  await ok(root, 'config', 'set', 'remote.origin.endpoint', at.endpoint);
  await ok(root, 'config', 'set', 'remote.origin.region', at.region);
  await ok(root, 'remote', 'add', 'origin', `s3://models/${folder}`);
  return root;
}

describe('a remote on S3', () => {
  it('serves the commands as a directory does', async () => {
    const root = await workspace('team');
    fs.writeFileSync(path.join(root, 'a.bin'), model);
    await ok(root, 'add', 'a.bin');
    server.fault({ how: 'reset', at: 'partNumber=2' });
    server.fault({ how: 'lost-reply', at: '/index/' });
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
    server.fault({ how: 'truncate', at: 'GET /models/team/packs' });
    await ok(other, 'pull');
    expect(fs.readFileSync(path.join(other, 'a.bin')).equals(model)).toBe(true);

    fs.rmSync(path.join(other, '.modelstore/store'), { recursive: true });
    fs.rmSync(path.join(other, 'a.bin'));
    server.fault({ how: 'wrong-bytes', at: 'GET /models/team/packs', times: 9 });
    const damaged = await run(other, 'pull', '--json');
    server.heal();
    expect(damaged.json.error?.code).toBe('corrupt-remote');
    expect(fs.existsSync(path.join(other, 'a.bin'))).toBe(false);
    await ok(other, 'pull');
  });

  it('sends bodies over TLS with a checksum in place of a signature', async () => {
    const secure = await testS3Server({ tls: testTls });
    const root = await workspace('secure', secure);
    fs.writeFileSync(path.join(root, 'a.bin'), model);
    await ok(root, 'add', 'a.bin');
    await ok(root, 'push');
    expect(secure.unsignedBodies).toBeGreaterThan(3);
    expect(secure.checkedBodies).toBe(secure.unsignedBodies);
    fs.rmSync(path.join(root, '.modelstore/store'), { recursive: true });
    fs.rmSync(path.join(root, 'a.bin'));
    await ok(root, 'pull');
    expect(fs.readFileSync(path.join(root, 'a.bin')).equals(model)).toBe(true);
  });

  it('lists what a killed push left, and ends what is old', async () => {
    const root = await workspace('left');
    const bare = await run(root, 'remote', 'uploads');
    expect([bare.code, bare.stdout]).toEqual([0, '']);
    expect(bare.stderr).toMatch(/^0 unfinished uploads on origin, 0 B$/m);
    fs.writeFileSync(path.join(root, 'a.bin'), model);
    await ok(root, 'add', 'a.bin');
    server.fault({ how: { status: 403, code: 'AccessDenied' }, at: 'partNumber=3' });
    server.fault({ how: 'reset', at: 'DELETE ' });
    expect((await run(root, 'push')).code).toBe(8);
    server.heal();
    const [left] = server.uploads.values();
    if (left === undefined) throw new Error('Nothing was left');
    // The failure ends the parts beside it, so that it is up to chance how many arrive, and until when.
    const arrived = () =>
      [...left.parts.values()].reduce((sum, part) => sum + part.bytes.length, 0);
    for (let before = -1; before !== arrived(); await delay(300)) before = arrived();
    const size = formatBytes(arrived());
    left.begun -= 26 * 3_600_000;
    server.uploads.set('young', { ...left, begun: Date.now() });

    const listed = await ok(root, 'remote', 'uploads');
    const lines = listed.stdout.trimEnd().split('\n');
    expect(lines).toHaveLength(2);
    expect(lines[0]).toMatch(new RegExp(`^packs/.*\\.pack +26 h 0 min +${size}$`));
    expect(lines[1]).toMatch(new RegExp(`^packs/.*\\.pack +\\d\\.\\d s +${size}$`));
    const old = ['remote', 'uploads', 'origin', '--end-older-than', '24h'];
    expect((await ok(root, ...old, '--dry-run')).stdout).toMatch(/would be ended$/m);
    expect(server.uploads.size).toBe(2);
    const ended = await ok(root, ...old);
    expect(ended.stdout).toMatch(new RegExp(`26 h 0 min +${size} +ended$`, 'm'));
    expect(ended.stderr).toMatch(new RegExp(`^Ended 1 upload, ${size}$`, 'm'));
    expect([...server.uploads.keys()]).toEqual(['young']);
    const json = JSON.parse((await ok(root, ...old, '--json')).stdout);
    expect(json).toMatchObject({ listable: true, uploads: [{ id: 'young', state: 'kept' }] });
    server.uploads.clear();
    await ok(root, 'push');
  });

  it('connects to nothing offline, and tells what is refused', async () => {
    const root = await workspace('other');
    const before = server.log.length;
    fs.writeFileSync(path.join(root, 'a.bin'), model.subarray(0, 1000));
    await ok(root, 'add', 'a.bin');
    const offline = await run(root, 'push', '--offline', '--json');
    expect(offline.json.error?.code).toBe('offline');
    expect(server.log).toHaveLength(before);
    server.fault({ how: { status: 403, code: 'AccessDenied' }, times: 9 });
    const refused = await run(root, 'push');
    server.heal();
    expect(refused.code).toBe(8);
    expect(refused.stderr).toMatch(
      /access is denied \(AccessDenied\) \[remote-refused\]\nhint: Ask for s3:ListBucket/,
    );
    await ok(root, 'remote', 'remove', 'origin');
    expect(fs.readFileSync(path.join(root, '.modelstore/config.toml'), 'utf8')).not.toMatch(
      /endpoint|region/,
    );
  });

  it('costs other commands nothing: the SDK is a part of its own', () => {
    const folder = path.resolve(import.meta.dirname, '../../dist/cli');
    const holds = fs
      .readdirSync(folder)
      .filter((name) =>
        fs.readFileSync(path.join(folder, name), 'utf8').includes('CompleteMultipartUploadOutput'),
      );
    expect(holds).toEqual(['s3-sdk.cjs']);
  });
});
