import * as fs from 'node:fs';
import * as path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { MstoreError } from '../../../src/base/errors.ts';
import { tempName } from '../../../src/base/files.ts';
import { localRemote } from '../../../src/remote/local.ts';
import { bytesSource } from '../../../src/remote/remote.ts';
import { listKeys, readObject, testBytes } from '../../support/remote-bytes.ts';
import { outputOf, startRemoteProcess } from '../../support/remote-process.ts';
import { tempFolder } from '../../support/temp.ts';
import { requireOrSkip, withTmpfs } from '../../support/tmpfs.ts';

const mib = 1024 * 1024;
const text = (value: string) => bytesSource(Buffer.from(value));

/** Expects the error to say what, which remote, and what to do. */
async function expectFailure(
  work: Promise<unknown>,
  expected: string,
  says: RegExp,
): Promise<void> {
  const error: unknown = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(MstoreError);
  if (!(error instanceof MstoreError)) return;
  expect(error.code).toBe(expected);
  expect(error.message).toMatch(says);
  expect(error.message).toMatch(/the remote \//);
  expect(error.hint).toMatch(/^[A-Z].*[^.]$/);
}

describe('a directory remote', () => {
  it('stores objects as plain files under their keys', async () => {
    const root = tempFolder();
    await localRemote(root).create('packs/ab/x.pack', text('bytes'));
    expect(fs.readFileSync(path.join(root, 'packs/ab/x.pack'), 'utf8')).toBe('bytes');
    expect(fs.readdirSync(path.join(root, 'tmp'))).toEqual([]);
  });

  it('lists objects only: no links, temporary or hidden files, sockets, odd names', async () => {
    const root = tempFolder();
    const remote = localRemote(root);
    await remote.create('packs/ab/x', text('x'));
    fs.writeFileSync(path.join(root, 'tmp', tempName()), 'part');
    fs.writeFileSync(path.join(root, 'packs', '.DS_Store'), '');
    fs.writeFileSync(path.join(root, 'packs', 'odd name'), '');
    fs.mkdirSync(path.join(root, 'packs', '.hidden'));
    fs.writeFileSync(path.join(root, 'packs', '.hidden', 'x'), '');
    fs.symlinkSync('x', path.join(root, 'packs/ab/link'));
    fs.symlinkSync('ab', path.join(root, 'packs/cd'));
    fs.symlinkSync('..', path.join(root, 'packs/loop'));
    expect(await listKeys(remote)).toEqual(['packs/ab/x']);
    expect(await listKeys(remote, 'packs/')).toEqual(['packs/ab/x']);
  });

  it('does not make a missing root folder', async () => {
    const root = path.join(tempFolder(), 'not-mounted');
    const remote = localRemote(root);
    const says = /no such folder/;
    await expectFailure(remote.create('a/b', text('x')), 'remote-unreachable', says);
    await expectFailure(remote.create('a', text('x')), 'remote-unreachable', says);
    await expectFailure(remote.stat('a/b'), 'remote-unreachable', says);
    await expectFailure(readObject(remote, 'a'), 'remote-unreachable', says);
    await expectFailure(listKeys(remote), 'remote-unreachable', says);
    await expectFailure(listKeys(remote, 'a/'), 'remote-unreachable', says);
    await expectFailure(remote.delete('a'), 'remote-unreachable', says);
    expect(fs.existsSync(root)).toBe(false);
    fs.mkdirSync(root);
    expect(await remote.create('a/b', text('x'))).toBe('created');
  });

  it('says so when its root is a file', async () => {
    const root = path.join(tempFolder(), 'file');
    fs.writeFileSync(root, 'kept');
    const remote = localRemote(root);
    await expectFailure(remote.create('a/b', text('x')), 'not-a-remote', /not a folder/);
    await expectFailure(remote.stat('a'), 'not-a-remote', /not a folder/);
    await expectFailure(readObject(remote, 'a/b'), 'not-a-remote', /not a folder/);
    await expectFailure(listKeys(remote), 'not-a-remote', /not a folder/);
    expect(fs.readFileSync(root, 'utf8')).toBe('kept');
  });

  it('may itself be named through a link', async () => {
    const folder = tempFolder();
    fs.mkdirSync(path.join(folder, 'real'));
    fs.symlinkSync('real', path.join(folder, 'link'));
    await localRemote(path.join(folder, 'link')).create('a/b', text('x'));
    expect(await listKeys(localRemote(path.join(folder, 'real')))).toEqual(['a/b']);
  });

  it('goes on when its folder of temporary files was removed', async () => {
    const root = tempFolder();
    const remote = localRemote(root);
    await remote.create('a', text('x'));
    fs.rmdirSync(path.join(root, 'tmp'));
    expect(await remote.create('b', text('x'))).toBe('created');
  });
});

describe('a directory remote with things in the way', () => {
  it('does not leave its root through links', async () => {
    const outside = tempFolder();
    fs.mkdirSync(path.join(outside, 'ab'));
    fs.writeFileSync(path.join(outside, 'ab', 'x'), 'secret');
    const root = tempFolder();
    fs.symlinkSync(outside, path.join(root, 'packs'));
    fs.symlinkSync(path.join(outside, 'ab', 'x'), path.join(root, 'object'));
    fs.symlinkSync(path.join(outside, 'gone'), path.join(root, 'dangling'));
    const remote = localRemote(root);
    for (const key of ['packs/ab/x', 'packs/cd/y', 'packs/z', 'object', 'dangling']) {
      await expectFailure(readObject(remote, key), 'corrupt-remote', /symbolic link/);
      await expectFailure(remote.stat(key), 'corrupt-remote', /symbolic link/);
      await expectFailure(remote.create(key, text('x')), 'corrupt-remote', /symbolic link/);
      await expectFailure(remote.delete(key), 'corrupt-remote', /symbolic link/);
    }
    await expectFailure(listKeys(remote, 'packs/'), 'corrupt-remote', /symbolic link/);
    expect(await listKeys(remote)).toEqual([]);
    expect(fs.readdirSync(outside)).toEqual(['ab']);
    expect(fs.readdirSync(path.join(outside, 'ab'))).toEqual(['x']);
  });

  it('does not write through a link in the place of its temporary files', async () => {
    const outside = tempFolder();
    const dead = path.join(outside, tempName().replace(/-\d+-/, '-999999999-'));
    fs.writeFileSync(dead, '');
    const root = tempFolder();
    fs.symlinkSync(outside, path.join(root, 'tmp'));
    const created = localRemote(root).create('a', text('x'));
    await expectFailure(created, 'corrupt-remote', /symbolic link/);
    expect(fs.existsSync(dead)).toBe(true);
  });

  it('takes no folder for an object and no object for a folder', async () => {
    const root = tempFolder();
    fs.mkdirSync(path.join(root, 'folder'));
    fs.writeFileSync(path.join(root, 'file'), 'kept');
    const remote = localRemote(root);
    for (const key of ['folder', 'file/a']) {
      await expectFailure(readObject(remote, key), 'corrupt-remote', /is not a/);
      await expectFailure(remote.stat(key), 'corrupt-remote', /is not a/);
      await expectFailure(remote.create(key, text('x')), 'corrupt-remote', /is not a/);
      await expectFailure(remote.delete(key), 'corrupt-remote', /is not a/);
    }
    await expectFailure(listKeys(remote, 'file/'), 'corrupt-remote', /is not a folder/);
    expect(fs.readdirSync(root).sort()).toEqual(['file', 'folder']);
  });

  it('finds out when an object becomes shorter while it is read', async () => {
    const root = tempFolder();
    const remote = localRemote(root);
    await remote.create('a', bytesSource(testBytes(5 * mib)));
    const read = async () => {
      let received = 0;
      for await (const block of remote.get('a')) {
        if (received === 0) fs.truncateSync(path.join(root, 'a'), 2 * mib + 5);
        received += block.length;
      }
    };
    await expectFailure(read(), 'corrupt-remote', /ends after 2097157 bytes/);
  });

  it('reads what was there when an object becomes longer while it is read', async () => {
    const root = tempFolder();
    const remote = localRemote(root);
    const bytes = testBytes(3 * mib);
    await remote.create('a', bytesSource(bytes));
    let received = 0;
    for await (const block of remote.get('a')) {
      if (received === 0) fs.appendFileSync(path.join(root, 'a'), bytes);
      received += block.length;
    }
    expect(received).toBe(bytes.length);
  });
});

describe('a directory remote that cannot take more', () => {
  it('says that the disk is full, leaves nothing there, and takes what fits', async () => {
    await withTmpfs(4 * mib, async ({ folder }) => {
      const remote = localRemote(folder);
      expect(await remote.create('packs/ab/a', bytesSource(testBytes(mib)))).toBe('created');
      const big = bytesSource(testBytes(6 * mib));
      await expectFailure(remote.create('packs/ab/b', big), 'remote-full', /no space left/);
      expect(await remote.stat('packs/ab/b')).toBeUndefined();
      expect(fs.readdirSync(path.join(folder, 'tmp'))).toEqual([]);
      expect(await remote.create('packs/ab/c', bytesSource(testBytes(2 * mib)))).toBe('created');
      expect(await listKeys(remote)).toEqual(['packs/ab/a', 'packs/ab/c']);
    });
  });

  it('reads from a read-only file system and refuses to write to it', async () => {
    await withTmpfs(4 * mib, async ({ folder, remount }) => {
      const remote = localRemote(folder);
      await remote.create('packs/ab/a', text('kept'));
      remount('ro');
      const says = /read-only/;
      await expectFailure(remote.create('packs/ab/b', text('x')), 'remote-refused', says);
      await expectFailure(remote.create('packs/cd/b', text('x')), 'remote-refused', says);
      await expectFailure(remote.delete('packs/ab/a'), 'remote-refused', says);
      await remote.delete('packs/ab/b');
      expect(await remote.create('packs/ab/a', text('other'))).toBe('exists');
      expect(String(await readObject(remote, 'packs/ab/a'))).toBe('kept');
      expect(await listKeys(remote)).toEqual(['packs/ab/a']);
    });
  });

  it('says that permission is missing', async () => {
    requireOrSkip(process.platform !== 'win32', 'Modes of files do not bind on Windows');
    const root = tempFolder();
    fs.mkdirSync(path.join(root, 'packs/cd'), { recursive: true });
    fs.mkdirSync(path.join(root, 'tmp'));
    fs.writeFileSync(path.join(root, 'packs/a'), 'x');
    for (const name of ['packs/cd', 'tmp']) fs.chmodSync(path.join(root, name), 0o000);
    fs.chmodSync(path.join(root, 'packs/a'), 0o000);
    fs.chmodSync(root, 0o755);
    // Modes do not bind the super-user, so there the calls are made by a process of someone else.
    const script = `
      import { localRemote } from './remote/local.js';
      if (process.getuid() === 0) process.setuid(65534);
      const remote = localRemote(process.argv[2]);
      const source = { size: 0, open: async function* () {} };
      const drain = async (items) => { for await (const _ of items); };
      const told = async (call) => {
        try { await call(); console.log('nothing'); }
        catch (error) { console.log(error.code, error.message.includes('permission denied')); }
      };
      await told(() => remote.create('new', source));
      await told(() => remote.stat('packs/cd/x'));
      await told(() => drain(remote.get('packs/a')));
      await told(() => drain(remote.list('')));
    `;
    try {
      const output = await outputOf(startRemoteProcess(script, [root]));
      const refused = Array.from({ length: 4 }, () => 'remote-refused true');
      expect(output.trim().split('\n')).toEqual(refused);
    } finally {
      for (const name of ['packs/cd', 'tmp']) fs.chmodSync(path.join(root, name), 0o755);
    }
  });

  it('refuses names that its file system cannot hold', async () => {
    const remote = localRemote(tempFolder());
    const key = `refs/${'x'.repeat(300)}`;
    await expectFailure(remote.create(key, text('x')), 'remote-refused', /too long/);
  });
});

describe('a directory remote and large objects', () => {
  it('leaves a block as it is until the next step', async () => {
    const remote = localRemote(tempFolder());
    const bytes = testBytes(4 * mib + 1);
    await remote.create('a', bytesSource(bytes));
    let at = 0;
    for await (const block of remote.get('a')) {
      await sleep(5);
      expect(bytes.subarray(at, at + block.length).equals(block)).toBe(true);
      at += block.length;
    }
    expect(at).toBe(bytes.length);
  });

  it('lets timers run while a large object is read', async () => {
    const remote = localRemote(tempFolder());
    await remote.create('a', bytesSource(testBytes(8 * mib)));
    let turns = 0;
    const timer = setInterval(() => turns++, 0);
    for await (const _ of remote.get('a')) {
      const until = performance.now() + 3;
      while (performance.now() < until);
    }
    clearInterval(timer);
    expect(turns).toBeGreaterThan(0);
  });
});
