import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, it } from 'vitest';
import { type CliResult, makeWorkspace, startMstore } from '../support/cli.ts';
import { s3Environment, testS3Server } from '../support/s3-remote.ts';
import { tempFolder } from '../support/temp.ts';
import { requireOrSkip } from '../support/tmpfs.ts';

const fixtures = path.resolve(import.meta.dirname, '../fixtures/tls');
const key = fs.readFileSync(path.join(fixtures, 'server.key'));
const authority = path.join(fixtures, 'authority.crt');
const server = await testS3Server();
const credentials = {
  ...s3Environment(server),
};

interface CheckDocument {
  readonly checks: ReadonlyArray<{ name: string; state: string; message?: string; hint?: string }>;
}

const check = async (root: string, args: string[], env: NodeJS.ProcessEnv = {}) =>
  startMstore(root, ['remote', 'check', ...args], { env: { ...credentials, ...env } }).done;
const failuresOf = ({ stdout }: CliResult) =>
  (JSON.parse(stdout) as CheckDocument).checks.filter(({ state }) => state === 'failed');

describe('mstore remote check', () => {
  it('prints a line for each check of the default remote, and ends with 0', async () => {
    const ws = await makeWorkspace();
    const result = await ws.ok('remote', 'check');
    const lines = result.stdout.trimEnd().split('\n');
    expect(lines.map((line) => line.split(/ +/).slice(0, 2))).toEqual([
      ['ok', 'identity'],
      ['skipped', 'region'],
      ['ok', 'reach'],
      ['ok', 'header'],
      ['ok', 'read'],
      ['ok', 'write'],
      ['ok', 'list'],
      ['ok', 'range'],
      ['ok', 'create-if-absent'],
      ['skipped', 'parts-if-absent'],
      ['ok', 'read-after-write'],
      ['ok', 'delete'],
    ]);
    for (const line of lines) expect(line).toMatch(/ \d+ ms|^skipped/);
    expect(result.stdout).not.toContain('\u001b');
    expect(result.stderr).toContain('All is there that was needed');
    expect(fs.readdirSync(path.join(ws.remote, 'probes'))).toEqual([]);
    // What a check leaves does not keep other clients from using the remote.
    ws.write('a', 'a');
    await ws.add('a');
    await ws.ok('push');
  });

  it('ends with the code of the first failure, and tells what to do', async () => {
    const ws = await makeWorkspace();
    fs.writeFileSync(path.join(ws.remote, 'mstore.json'), '{');
    const damaged = await ws.run('remote', 'check');
    expect(damaged.code).toBe(5);
    expect(damaged.stdout).toMatch(/failed {3}header .*\[corrupt-remote\]\n {9}hint: Restore/);
    fs.rmSync(ws.remote, { recursive: true });
    const gone = await ws.run('remote', 'check', 'origin', '--json');
    expect(gone.code).toBe(8);
    expect(failuresOf(gone)).toMatchObject([
      { name: 'reach', code: 'remote-unreachable', message: expect.stringContaining('no such') },
    ]);
    const nowhere = await ws.run('remote', 'check', 'nothing');
    expect(nowhere.code).toBe(3);
    expect((await ws.run('remote', 'check', 'origin', 'more')).code).toBe(2);
  });

  it('tells users of a folder which permission they lack', async () => {
    requireOrSkip(process.getuid?.() === 0, 'another user to run as');
    const ws = await makeWorkspace();
    const top = path.dirname(ws.root);
    for (const folder of [top, ws.root, path.join(ws.root, '.modelstore')]) {
      fs.chmodSync(folder, 0o755);
    }
    const asNobody = async (...args: string[]) =>
      startMstore(ws.root, ['remote', 'check', ...args], { uid: 65_534 }).done;
    const writing = await asNobody();
    expect(writing.code).toBe(8);
    expect(writing.stdout).toMatch(/failed {3}write .*permission denied/);
    expect(writing.stdout).toContain('hint: Ask for permission to write to the folder');
    const reading = await asNobody('--read-only');
    expect(reading.stdout).toMatch(/ok {7}read /);
    expect(reading.code).toBe(0);
  });

  it('takes a bucket by its URL with what the environment says, in the path of requests', async () => {
    const ws = await makeWorkspace();
    const env = { AWS_ENDPOINT_URL: server.endpoint, AWS_REGION: server.region };
    await startMstore(ws.root, ['remote', 'add', 'bucket', 's3://models/by-url'], {
      env: { ...credentials, ...env },
    }).done;
    const byUrl = await check(ws.root, ['s3://models/by-url', '--json'], env);
    expect(byUrl.code, byUrl.stdout).toBe(0);
    const file = path.join(tempFolder(), 'config');
    fs.writeFileSync(
      file,
      `[profile own]\nregion = ${server.region}\nendpoint_url = ${server.endpoint}\naws_access_key_id = ${server.accessKey}\naws_secret_access_key = ${server.secret}\n`,
    );
    const byProfile = await check(ws.root, ['s3://models/by-url'], {
      AWS_ACCESS_KEY_ID: '',
      AWS_SECRET_ACCESS_KEY: '',
      AWS_CONFIG_FILE: file,
      AWS_PROFILE: 'own',
    });
    expect(byProfile.code, byProfile.stdout).toBe(0);
    expect(byProfile.stdout).toContain('access key …TKEY, from a profile of the shared files');
    expect(byProfile.stdout).toContain(server.endpoint);
  });

  it('prints on a bucket what the guide shows', async () => {
    const page = path.resolve(import.meta.dirname, '../../docs/guide/remotes.md');
    const shown = /\n```text check\n([\s\S]*?)\n```\n/.exec(fs.readFileSync(page, 'utf8'))?.[1];
    const ws = await makeWorkspace();
    const env = { ...credentials, MSTORE_REMOTE_BUCKET_REGION: server.region };
    await ws.ok('config', 'set', 'remote.bucket.endpoint', server.endpoint);
    const url = 's3://models/shown';
    await startMstore(ws.root, ['remote', 'add', 'bucket', url, '--no-create'], { env }).done;
    await startMstore(ws.root, ['remote', 'add', 'bucket', url], { env }).done;
    const result = await check(ws.root, ['bucket'], env);
    const plain = (text = '') =>
      text
        .trimEnd()
        .replace(/ +\d+ ms/g, ' N ms')
        .replace(/id [0-9a-f]{32}/, 'id N')
        .replace(/…\w{4},/, '…,')
        .replace(/\S+, from remote/, 'R, from remote')
        .replace(/https?:\S+/, 'URL');
    expect(plain(result.stdout)).toBe(plain(shown));
  });

  it('connects to nothing offline', async () => {
    const ws = await makeWorkspace();
    const before = server.log.length;
    const result = await check(ws.root, ['s3://models/by-url', '--offline', '--json']);
    expect(result.json.error?.code).toBe('offline');
    expect(server.log).toHaveLength(before);
  });
});

describe('a certificate', () => {
  const cases: [string, NodeJS.ProcessEnv, RegExp, RegExp][] = [
    ['trusted', {}, /an authority that is not known here/, /^Set NODE_EXTRA_CA_CERTS/],
    ['self-signed', {}, /is signed by itself/, /set NODE_EXTRA_CA_CERTS/],
    ['expired', { NODE_EXTRA_CA_CERTS: authority }, /has expired/, /renewed/],
    ['early', { NODE_EXTRA_CA_CERTS: authority }, /is not valid yet/, /clock of this machine/],
    ['other-name', { NODE_EXTRA_CA_CERTS: authority }, /another host name/, /path_style/],
  ];
  it.each(cases)('that is %s is told with its remedy', async (name, env, message, hint) => {
    const result = await checkWith(name, env);
    expect(result.code).toBe(8);
    expect(failuresOf(result)).toEqual([
      expect.objectContaining({
        name: 'reach',
        code: 'remote-refused',
        message: expect.stringMatching(message),
        hint: expect.stringMatching(hint),
      }),
    ]);
  });

  it('of an authority of one’s own is taken with NODE_EXTRA_CA_CERTS', async () => {
    for (const [name, file] of [
      ['trusted', authority],
      ['self-signed', path.join(fixtures, 'self-signed.crt')],
    ] as const) {
      const result = await checkWith(name, { NODE_EXTRA_CA_CERTS: file });
      expect(failuresOf(result).map((one) => one.name)).toEqual(['header']);
    }
  });
});

async function checkWith(name: string, env: NodeJS.ProcessEnv): Promise<CliResult> {
  const cert = fs.readFileSync(path.join(fixtures, `${name}.crt`));
  const secure = await testS3Server({ tls: { key, cert } });
  const ws = await makeWorkspace();
  return check(ws.root, ['s3://models/x', '--json'], {
    AWS_ENDPOINT_URL: secure.endpoint,
    AWS_REGION: secure.region,
    ...env,
  });
}
