import * as fs from 'node:fs';
import * as path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { type CliResult, type RunningCli, startMstore } from '../support/cli.ts';
import { makePublished, textsBelow } from '../support/resolving.ts';
import { testTls } from '../support/s3-remote.ts';
import { freePort } from '../support/server-process.ts';
import { tempFolder } from '../support/temp.ts';
import { xorshiftBytes } from '../support/xorshift.ts';

const files = { 'config.json': '{"model_type":"bert"}', 'weights.bin': 'w'.repeat(300_000) };

/** A remote with a model, a host without a workspace, and servers between them. */
async function scene() {
  const ws = await makePublished();
  await ws.publish('v1', files);
  await ws.deploy('v1');
  const host = tempFolder();
  const env = { HOME: host };
  const run = (args: readonly string[], more: NodeJS.ProcessEnv = {}): Promise<CliResult> =>
    startMstore(host, args, { env: { ...env, ...more } }).done;
  const token = async (name: string, ...more: string[]): Promise<string> => {
    const made = await run(['token', 'create', name, '--token-file', 'tokens.json', ...more]);
    expect(made.code, made.stderr).toBe(0);
    return made.stdout.trim();
  };
  let started = 0;
  const serve = async (...args: string[]): Promise<{ url: string; server: RunningCli }> => {
    const urlFile = path.join(host, `url-${started++}`);
    const all = ['serve', '--remote', ws.remote, '--port', '0', '--url-file', urlFile, ...args];
    const server = startMstore(host, all, { env });
    let isOver = false;
    void server.done.then(() => {
      isOver = true;
    });
    while (!fs.existsSync(urlFile) && !isOver) await delay(20);
    if (isOver) throw new Error((await server.done).stderr);
    return { url: fs.readFileSync(urlFile, 'utf8').trim(), server };
  };
  return { ws, host, run, token, serve };
}

describe('mstore serve', () => {
  it('is a remote for hosts without credentials, for reading and writing', async () => {
    const { ws, host, run, token, serve } = await scene();
    const MSTORE_TOKEN = await token('alice', '--scope', 'read,push,deploy');
    const { url, server } = await serve('--token-file', 'tokens.json');
    const pull = ['pull', 'bert@production', '--to', 'model', '--remote', url];
    expect(await run(pull)).toMatchObject({ code: 8 });
    expect(fs.existsSync(path.join(host, 'model'))).toBe(false);
    const pulled = await run(pull, { MSTORE_TOKEN });
    expect(pulled.code, pulled.stderr).toBe(0);
    expect(textsBelow(path.join(host, 'model'))).toEqual(files);
    fs.writeFileSync(path.join(ws.root, 'large.bin'), xorshiftBytes(1, 20_000_000));
    const inside = (args: string[]) =>
      startMstore(ws.root, args, { env: { HOME: host, MSTORE_TOKEN } }).done;
    for (const args of [
      ['add', 'large.bin'],
      ['register', 'large@v1', 'large.bin'],
      ['push', '--remote', url],
      ['deploy', 'large@v1', '--env', 'production', '--remote', url],
      ['verify', '--remote', url],
      ['remote', 'check', url],
    ]) {
      const result = await inside(args);
      expect(result.code, `${args.join(' ')}\n${result.stdout}${result.stderr}`).toBe(0);
    }
    server.child.kill('SIGTERM');
    const ended = await server.done;
    expect(ended.code, ended.stderr).toBe(0);
    expect(ended.stdout + ended.stderr).not.toContain(MSTORE_TOKEN);
    for (const line of ended.stdout.trim().split('\n')) JSON.parse(line);
    const direct = await run(['pull', 'large@production', '--to', 'large', '--remote', ws.remote]);
    expect(direct.code, direct.stderr).toBe(0);
  });

  it('shows a page to people, unless that is not wanted', async () => {
    const { serve } = await scene();
    const { url } = await serve('--state', 'a');
    const page = await fetch(url);
    expect([page.status, page.headers.get('content-type')]).toEqual([
      200,
      'text/html; charset=utf-8',
    ]);
    const [, script = ''] = /src="([^"]+)"/.exec(await page.text()) ?? [];
    expect((await fetch(`${url}/${script}`)).status).toBe(200);
    const { url: bare } = await serve('--state', 'b', '--no-page');
    expect((await fetch(bare)).status).toBe(404);
    expect((await fetch(`${bare}/${script}`)).status).toBe(404);
  });

  it('is not handed a token where a repository names its address', async () => {
    const { ws, host, token, serve } = await scene();
    const MSTORE_TOKEN = await token('alice', '--scope', 'read');
    const { url, server } = await serve('--token-file', 'tokens.json');
    const inside = (more: NodeJS.ProcessEnv = {}) =>
      startMstore(ws.root, ['fetch', '--remote', 'web'], {
        env: { HOME: host, MSTORE_TOKEN, ...more },
      }).done;
    const config = path.join(ws.root, '.modelstore/config.toml');
    fs.appendFileSync(config, `\n[remote.web]\nurl = "${url}"\n`);
    const withheld = await inside();
    expect(withheld.code).toBe(8);
    expect(withheld.stderr).toContain(`MSTORE_TOKEN_ORIGIN=${url}`);
    expect(await inside({ MSTORE_TOKEN_ORIGIN: 'https://elsewhere.example' })).toMatchObject({
      code: 8,
    });
    expect(await inside({ MSTORE_TOKEN_ORIGIN: url })).toMatchObject({ code: 0 });
    expect(await inside({ MSTORE_REMOTE_WEB_URL: url })).toMatchObject({ code: 0 });
    server.interrupt();
    const { stdout } = await server.done;
    const lines = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    const callers = lines.filter(({ msg }) => msg === 'request').map(({ by }) => by);
    expect(new Set(callers)).toEqual(new Set(['anonymous', 'alice']));
  });

  it('speaks TLS', async () => {
    const { run, serve, host } = await scene();
    fs.writeFileSync(path.join(host, 'cert.pem'), testTls.cert);
    fs.writeFileSync(path.join(host, 'key.pem'), testTls.key);
    const { url } = await serve('--tls-cert', 'cert.pem', '--tls-key', 'key.pem');
    expect(url).toMatch(/^https:/);
    const pull = ['pull', 'bert@v1', '--to', 'model', '--remote', url];
    const untrusted = await run(pull);
    expect(untrusted).toMatchObject({ code: 8 });
    expect(untrusted.stderr).toContain('NODE_EXTRA_CA_CERTS');
    const trusted = await run(pull, { NODE_EXTRA_CA_CERTS: testTls.authority });
    expect(trusted.code, trusted.stderr).toBe(0);
  });

  it('takes a certificate that was renewed, once it goes with its key', async () => {
    const { run, serve, host } = await scene();
    const [cert, key] = [path.join(host, 'cert.pem'), path.join(host, 'key.pem')];
    fs.copyFileSync(path.join('test/fixtures/tls', 'expired.crt'), cert);
    fs.writeFileSync(key, testTls.key);
    const { url, server } = await serve('--tls-cert', 'cert.pem', '--tls-key', 'key.pem');
    const pull = (name: string) =>
      run(['pull', 'bert@v1', '--to', name, '--remote', url], {
        NODE_EXTRA_CA_CERTS: testTls.authority,
      });
    expect((await pull('one')).code).toBe(8);
    fs.writeFileSync(cert, 'half of it');
    await server.seen('The certificate cannot be renewed');
    fs.writeFileSync(cert, testTls.cert);
    await server.seen('The certificate was renewed');
    const pulled = await pull('two');
    expect(pulled.code, pulled.stderr).toBe(0);
  });

  it.each([
    [['--trusted-proxy', 'everybody'], 2, 'is no address or network'],
    [['--notify', 'https://host/'], 2, 'MSTORE_NOTIFY_SECRET'],
    [['--rules', 'nowhere.toml'], 3, 'has no tables [monitor'],
    [['--host', '0.0.0.0'], 2, 'nobody said who may'],
    [['--token-file', 'nowhere.json'], 3, 'no file of tokens'],
    [['--port', '70000'], 2, '--port takes a whole number'],
    [['--tls-cert', 'cert.pem'], 2, 'a certificate and its key'],
    [['--remote', './nothing-there'], 8, 'nothing-there'],
  ])('refuses %j', async (args, code, text) => {
    const { run, ws } = await scene();
    const result = await run(['serve', '--remote', ws.remote, '--port', '0', ...args]);
    expect(result.code).toBe(code);
    expect(result.stderr).toContain(text);
  });

  it('keeps what was read, so that the place behind is read once', async () => {
    const { ws, host, run, serve } = await scene();
    const { url } = await serve('--cache', 'cache', '--cache-space', '1');
    const pulls = ['a', 'b', 'c'].map((to) =>
      run(['pull', 'bert@v1', '--to', to, '--remote', url]),
    );
    for (const pull of await Promise.all(pulls)) expect(pull.code, pull.stderr).toBe(0);
    expect(textsBelow(path.join(host, 'c'))).toEqual(files);
    const metrics = await (await fetch(`${url}/metrics`)).text();
    const number = (name: string) => Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(metrics)?.[1]);
    expect(number('mstore_cache_bytes')).toBeGreaterThan(0);
    // The pack alone, whose index is in it, or both.
    expect(number('mstore_cache_misses')).toBeLessThanOrEqual(6);
    const behind = number('mstore_remote_bytes_total\\{method="get"\\}');
    expect(behind).toBeGreaterThan(files['weights.bin'].length);
    expect(behind).toBeLessThan(2 * files['weights.bin'].length);
    // The bytes of the packs are needed no more by those who read what was read before.
    const packs = path.join(ws.remote, 'packs');
    for (const entry of fs.readdirSync(packs, { recursive: true, withFileTypes: true })) {
      const pack = path.join(entry.parentPath, entry.name);
      if (entry.isFile()) fs.writeFileSync(pack, Buffer.alloc(fs.statSync(pack).size));
    }
    const last = await run(['pull', 'bert@v1', '--to', 'd', '--remote', url]);
    expect(last.code, last.stderr).toBe(0);
    expect(textsBelow(path.join(host, 'd'))).toEqual(files);
  });

  it('may be killed while a host pushes and another pulls: both go on, or do when they are run again', async () => {
    const { ws, host, run, token } = await scene();
    const MSTORE_TOKEN = await token('alice', '--scope', 'read,push');
    const large = xorshiftBytes(11, 60_000_000);
    fs.writeFileSync(path.join(ws.root, 'models/bert/large.bin'), large);
    const inside = (...args: string[]) => startMstore(ws.root, args, { env: { HOME: host } }).done;
    for (const args of [['add', 'models/bert'], ['register', 'bert@v2', 'models/bert'], ['push']]) {
      expect(await inside(...args)).toMatchObject({ code: 0 });
    }
    fs.writeFileSync(path.join(ws.root, 'other.bin'), xorshiftBytes(12, 60_000_000));
    expect(await inside('add', 'other.bin')).toMatchObject({ code: 0 });
    // Where the server comes back, it has the address that it had.
    const port = await freePort();
    const url = `http://127.0.0.1:${port}`;
    const from = ['--remote', ws.remote, '--port', String(port), '--token-file', 'tokens.json'];
    const start = () => startMstore(host, ['serve', ...from], { env: { HOME: host } });
    const env = { HOME: host, MSTORE_TOKEN };
    let server = start();
    while (!(await fetch(`${url}/livez`).catch(() => undefined))?.ok) await delay(50);
    /** Runs it, again where the server was away for longer than a command tries. */
    const inTheEnd = async (start: () => Promise<CliResult>): Promise<CliResult> => {
      for (let tries = 1; ; tries++) {
        const result = await start();
        if (result.code !== 8 || tries === 5) return result;
      }
    };
    const pulled = inTheEnd(() =>
      run(['pull', 'bert@v2', '--to', 'model', '--remote', url], { MSTORE_TOKEN }),
    );
    const pushed = inTheEnd(
      () => startMstore(ws.root, ['push', 'other.bin', '--remote', url], { env }).done,
    );
    for (const ms of [300, 500, 700]) {
      await delay(ms);
      server.child.kill('SIGKILL');
      await server.done;
      server = start();
    }
    const [pull, push] = await Promise.all([pulled, pushed]);
    expect(pull.code, pull.stderr).toBe(0);
    expect(push.code, push.stderr).toBe(0);
    expect(fs.readFileSync(path.join(host, 'model/large.bin')).equals(large)).toBe(true);
    server.child.kill('SIGTERM');
    await server.done;
    const looked = await inside('verify', '--remote', 'origin');
    expect(looked.code, looked.stdout + looked.stderr).toBe(0);
  });

  it('says what is wrong with an address that is none of it', async () => {
    const { run, serve } = await scene();
    const { url } = await serve();
    const elsewhere = await run(['pull', 'bert@v1', '--to', 'm', '--remote', `${url}/nowhere`]);
    expect(elsewhere).toMatchObject({ code: 8 });
    const refused = await run(['pull', 'bert@v1', '--to', 'm', '--remote', 'http://127.0.0.1:1']);
    expect(refused).toMatchObject({ code: 8 });
    const offline = await run(['pull', 'bert@v1', '--to', 'm', '--remote', url, '--offline']);
    expect(offline).toMatchObject({ code: 8 });
    expect(offline.stderr).toContain('[offline]');
  });

  it('lets one server at a time use a folder for uploads', async () => {
    const { run, ws, serve } = await scene();
    await serve('--state', 'state');
    const second = await run(['serve', '--remote', ws.remote, '--port', '0', '--state', 'state']);
    expect(second.code).toBe(1);
    expect(second.stderr).toContain('[locked]');
  });
});

describe('mstore token', () => {
  it('makes, lists and takes back tokens, and keeps none of them', async () => {
    const { run, token, host } = await scene();
    const alice = await token('alice', '--scope', 'read,push', '--model', 'bert');
    const bob = await token('bob', '--scope', 'read', '--expires-in', '30');
    expect(alice).toMatch(/^mst_[\w-]{43}$/);
    const file = path.join(host, 'tokens.json');
    expect(fs.statSync(file).mode & 0o777).toBe(0o600);
    const text = fs.readFileSync(file, 'utf8');
    for (const secret of [alice, bob]) expect(text).not.toContain(secret.slice(8));
    const listed = await run(['token', 'list', '--token-file', 'tokens.json']);
    expect(listed.stdout).toMatch(
      /^alice +read,push +bert +does not end\nbob +read +all models +ends \d{4}-/,
    );
    const json = await run(['token', 'list', '--token-file', 'tokens.json', '--json']);
    expect(json.stdout).not.toContain('sha256');
    expect(await run(['token', 'revoke', 'alice', '--token-file', 'tokens.json'])).toMatchObject({
      code: 0,
    });
    const left = await run(['token', 'list', '--token-file', 'tokens.json']);
    expect(left.stdout).not.toContain('alice');
  });

  it.each([
    [['create', 'Alice', '--scope', 'read'], 2, '[bad-name]'],
    [['create', 'x'], 2, 'without a scope'],
    [['create', 'x', '--scope', 'reed'], 2, 'no scope reed'],
    [['create', 'x', '--scope', 'read', '--expires-in', '-1'], 2, 'number of days'],
    [['create'], 2, 'name of the token is missing'],
    [['create', 'taken', '--scope', 'read'], 6, '[name-taken]'],
    [['revoke', 'nobody'], 3, '[not-found]'],
  ])('refuses %j', async (args, code, text) => {
    const { run, token } = await scene();
    await token('taken', '--scope', 'read');
    const result = await run(['token', ...args, '--token-file', 'tokens.json']);
    expect(result.code).toBe(code);
    expect(result.stderr).toContain(text);
  });

  it('changes a file that is no file of tokens in no way', async () => {
    const { run, host } = await scene();
    const file = path.join(host, 'tokens.json');
    for (const text of [
      '{',
      '[]',
      '{"format":2,"tokens":[]}',
      '{"format":1,"tokens":[{"name":"a"}]}',
    ]) {
      fs.writeFileSync(file, text);
      const create = ['token', 'create', 'x', '--scope', 'read', '--token-file', 'tokens.json'];
      const result = await run(create);
      expect(result.code, text).toBe(2);
      expect(result.stderr).toContain('[config-invalid]');
      expect(fs.readFileSync(file, 'utf8')).toBe(text);
    }
  });
});
