import * as fs from 'node:fs';
import * as path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { makeIdentityFile } from '../../src/encryption/identity-file.ts';
import { startMstore } from '../support/cli.ts';
import { tempFolder } from '../support/temp.ts';
import { xorshiftBytes } from '../support/xorshift.ts';

/** A workspace, an identity, and what runs commands there with it. */
async function scene() {
  const top = tempFolder();
  const root = path.join(top, 'work');
  fs.mkdirSync(root);
  const identity = path.join(top, 'identity.txt');
  const recipient = await makeIdentityFile(identity, new Date(0));
  const env = { HOME: top, MSTORE_IDENTITY_FILE: identity, MSTORE_CORE_AUTHOR: 'Ann <a@b.c>' };
  const start = (cwd: string, args: readonly string[], more: NodeJS.ProcessEnv = {}) =>
    startMstore(cwd, args, { env: { ...env, ...more } });
  const run = (...args: string[]) => start(root, args).done;
  const ok = async (...args: string[]) => {
    const result = await run(...args);
    expect(result.code, `${args.join(' ')}: ${result.stdout}${result.stderr}`).toBe(0);
    return result;
  };
  await ok('init', '--no-git');
  return { top, root, recipient, start, run, ok };
}

it('refuses what cannot be encrypted, and makes nothing', async () => {
  const { top, recipient, run, ok } = await scene();
  const add = ['remote', 'add', 'origin', '../remote', '--json'];
  const encrypt = ['--encrypt', '--recipient', recipient];
  for (const [args, message] of [
    [[...add, '--encrypt'], /somebody who can read/],
    [[...add, '--recipient', recipient], /belong to --encrypt/],
    [[...add, '--encrypt', '--recipient', 'age1nobody'], /is no recipient/],
    [[...add, '--no-create', ...encrypt], /make nothing/],
    [[...add.with(3, 'http://127.0.0.1:9'), ...encrypt], /behind a server/],
  ] as const) {
    const { json, code } = await run(...args);
    expect(json.error).toMatchObject({ code: 'usage', message: expect.stringMatching(message) });
    expect(code).toBe(2);
  }
  expect(fs.existsSync(path.join(top, 'remote'))).toBe(false);
  await ok('remote', 'add', 'clear', '../clear');
  const late = await run('remote', 'add', 'other', '../clear', '--json', ...encrypt);
  expect(late.json.error?.code).toBe('remote-exists');
  expect((await run('remote', 'recipients', 'clear', '--json')).json.error?.code).toBe('usage');
  expect((await run('remote', 'rekey', 'clear', '--json')).json.error?.code).toBe('usage');
});

it('a server gives an encrypted remote out in clear, to clients that have no key', async () => {
  const { top, root, recipient, start, run, ok } = await scene();
  const added = await ok(
    'remote',
    'add',
    'origin',
    '../remote',
    '--encrypt',
    '--recipient',
    recipient,
    '--json',
  );
  expect(added.json).toMatchObject({
    state: 'created',
    encryption: expect.stringMatching(/^[0-9a-f]{32}$/),
  });
  const bytes = xorshiftBytes(7, 3_000_000);
  fs.writeFileSync(path.join(root, 'model.bin'), bytes);
  await ok('add', 'model.bin');
  await ok('register', 'bert@v1', 'model.bin');
  await ok('push');
  await ok('deploy', 'bert@v1', '--env', 'production');
  // Who has no identity is told so, by a code of its own.
  const locked = await start(root, ['push', '--json'], { MSTORE_IDENTITY_FILE: '' }).done;
  expect(locked.json.error).toMatchObject({ code: 'wrong-key' });
  expect(locked.code).toBe(5);
  // Added once more elsewhere, the key that is there is written down.
  const again = await ok('remote', 'add', 'second', '../remote', '--json');
  expect(again.json).toMatchObject({
    state: 'exists',
    encryption: (added.json as { encryption?: string }).encryption,
  });

  const urlFile = path.join(top, 'url');
  const server = start(root, [
    'serve',
    '--port',
    '0',
    '--url-file',
    urlFile,
    '--anonymous',
    'read',
  ]);
  while (!fs.existsSync(urlFile)) await delay(20);
  const url = fs.readFileSync(urlFile, 'utf8').trim();
  const client = tempFolder();
  const args = ['pull', 'bert@production', '--to', 'model', '--remote', url];
  const pulled = await start(client, args, { MSTORE_IDENTITY_FILE: '' }).done;
  expect(pulled.code, pulled.stderr).toBe(0);
  const files = fs.readdirSync(path.join(client, 'model'));
  expect(fs.readFileSync(path.join(client, 'model', files[0] ?? '')).equals(bytes)).toBe(true);
  server.child.kill('SIGTERM');
  await server.done;
  expect((await run('verify', '--remote', 'origin')).code).toBe(0);
});

it('writes down who was let in, who was not any more, and each new key', async () => {
  const { top, recipient, run, ok } = await scene();
  const made = await ok('keygen', '../friend.txt', '--type', 'age', '--json');
  const friend = (made.json as { recipient?: string }).recipient ?? '';
  expect(fs.readFileSync(path.join(top, 'friend.txt'), 'utf8')).toContain(friend);
  const again = await run('keygen', '../friend.txt', '--type', 'age', '--json');
  expect(again.json.error?.code).toBe('destination-exists');
  await ok('remote', 'add', 'vault', '../vault', '--encrypt', '--recipient', recipient);
  await ok('remote', 'recipients', 'vault', '--add', friend);
  await ok('remote', 'recipients', 'vault', '--remove', friend);
  const { json } = await ok('remote', 'rekey', 'vault', '--json');
  const { before, key } = json as { before?: string; key?: string };
  await ok('audit', '--remote', 'vault', '--check');
  const log = await ok('audit', '--remote', 'vault', '--jsonl');
  const lines = log.stdout.trimEnd().split('\n');
  const acts = lines.map((line) => JSON.parse(line) as { act: string; reason?: string });
  expect(acts.map(({ act, reason }) => [act, reason]).filter(([act]) => act !== 'begin')).toEqual([
    ['recipients', `added ${friend}`],
    ['recipients', `removed ${friend}`],
    ['rekey', `key ${before} was replaced by ${key}`],
  ]);
});
