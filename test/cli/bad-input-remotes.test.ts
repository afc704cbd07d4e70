import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, test } from 'vitest';
import { sha256 } from '../../src/base/digest.ts';
import { localRemote } from '../../src/remote/local.ts';
import {
  type CliWorkspace,
  expectError,
  expectGood,
  expectNoLeftovers,
  expectRefused,
  filesBelow,
  flipBit,
  makeWorkspace,
  snapshot,
  soleFile,
} from '../support/cli.ts';
import { checkRemote } from '../support/flow-remote-check.ts';
import { withTmpfs } from '../support/tmpfs.ts';
import { xorshiftBytes } from '../support/xorshift.ts';

const model = xorshiftBytes(11, 2_000_000);
const digest = sha256(model);

/** A workspace whose one file is pushed, and is then nowhere but on the remote. */
async function onlyOnRemote(): Promise<CliWorkspace> {
  const ws = await makeWorkspace();
  ws.write('a.onnx', model);
  await ws.add('a.onnx');
  await ws.push();
  ws.remove('a.onnx');
  ws.remove('.modelstore/store');
  return ws;
}

/** A workspace whose one file is stored, and not yet pushed. */
async function notPushed(): Promise<CliWorkspace> {
  const ws = await makeWorkspace();
  ws.write('a.onnx', model);
  await ws.add('a.onnx');
  return ws;
}

async function expectPulled(ws: CliWorkspace): Promise<void> {
  await ws.ok('pull');
  expect(sha256(ws.read('a.onnx'))).toBe(digest);
  await expectGood(ws);
  expectNoLeftovers(ws);
}

describe('a place that is no remote', () => {
  const line = ['push', 'pull', 'fetch'] as const;
  test('because nothing is there', async () => {
    const ws = await onlyOnRemote();
    const aside = `${ws.remote}-aside`;
    fs.renameSync(ws.remote, aside);
    for (const command of line) {
      await expectRefused(ws, [command], {
        code: 'remote-unreachable',
        message: /^Cannot open the remote .*\/remote: no such folder$/,
        hint: /Mount it if it is a mount/,
      });
    }
    // The place of a mount that is missing is not filled.
    expect(fs.existsSync(ws.remote)).toBe(false);
    fs.renameSync(aside, ws.remote);
    await expectPulled(ws);
  });

  test('because a file is there', async () => {
    const ws = await onlyOnRemote();
    fs.rmSync(ws.remote, { recursive: true });
    fs.writeFileSync(ws.remote, 'mine');
    for (const command of line) {
      await expectRefused(ws, [command], {
        code: 'not-a-remote',
        message: /it is not a folder$/,
        hint: /Name the folder that holds the remote/,
      });
    }
    expect(fs.readFileSync(ws.remote, 'utf8')).toBe('mine');
  });

  test('because other files are there', async () => {
    const ws = await onlyOnRemote();
    const photos = path.join(path.dirname(ws.remote), 'photos');
    fs.mkdirSync(photos);
    fs.writeFileSync(path.join(photos, 'a.jpg'), 'mine');
    for (const command of line) {
      await expectRefused(ws, [command, '--remote', '../photos'], {
        code: 'not-a-remote',
        message: /photos is no mstore remote: it has no mstore\.json$/,
        hint: /mstore remote add NAME DIR/,
      });
    }
    const config = ws.read('.modelstore/config.toml');
    await expectRefused(ws, ['remote', 'add', 'photos', '../photos'], {
      code: 'not-a-remote',
      message: /photos holds other files \(a\.jpg\) and no mstore remote$/,
      hint: /empty or a new directory/,
    });
    expect(ws.read('.modelstore/config.toml')).toEqual(config);
    expect(fs.readdirSync(photos)).toEqual(['a.jpg']);
  });

  test.each([
    ['damaged', '{"mst', 'corrupt-remote', /no header of an mstore store/, /Restore the file/],
    ['of a newer format', '{"mstore":2}', 'newer-format', /uses format 2/, /newer mstore/],
    ['encrypted', '{"mstore":1,"encryption":{}}', 'newer-format', /uses encryption/, /newer/],
  ] as const)('because its header is %s', async (_, header, code, message, hint) => {
    const ws = await onlyOnRemote();
    const file = path.join(ws.remote, 'mstore.json');
    fs.writeFileSync(file, header);
    for (const command of ['push', 'pull', `remote add again ${ws.remote}`]) {
      await expectRefused(ws, command.split(' '), { code, message, hint });
    }
  });

  test.each([
    ['that has no name', ['push', '--remote', 'nowhere'], 'unknown-remote', /no remote nowhere/],
    ['of a kind unknown', ['push', '--remote', 'ftp://host/x'], 'usage', /Cannot open ftp:/],
    [
      'with a password, which is not shown',
      ['push', '--remote', 's3://me:secret@host/x'],
      'usage',
      /^Cannot open s3:\/\/…: the URL holds a user name or a password$/,
    ],
  ] as const)('%s', async (_, args, code, message) => {
    const ws = await notPushed();
    const { stdout } = await expectRefused(ws, args, { code, message, hint: /./ });
    expect(stdout).not.toContain('secret');
  });

  test('when none is set up', async () => {
    const ws = await notPushed();
    await ws.ok('remote', 'remove', 'origin');
    await expectRefused(ws, ['push'], {
      code: 'unknown-remote',
      message: /^No remote is set up$/,
      hint: /mstore remote add NAME DIR/,
    });
  });
});

describe('a damaged object of a remote', () => {
  const pack = (ws: CliWorkspace): string => soleFile(`${ws.remote}/packs`);

  test('a pack with one bit flipped: all is kept but the damaged chunk', async () => {
    const ws = await onlyOnRemote();
    flipBit(pack(ws), 700_000);
    await expectDamage(ws, {
      code: 'corrupt-remote',
      message: /sent damaged data\. The chunk [0-9a-f]{64} .* its bytes have another digest$/,
      hint: /Fetch from another remote\. Remove that pack from the remote/,
    });
    await checkRemote(localRemote(ws.store));
    flipBit(pack(ws), 700_000);
    const { stdout } = await ws.ok('fetch', '--json');
    expect(JSON.parse(stdout)).toMatchObject({ chunksFetched: 1 });
    await expectPulled(ws);
  });

  test('a pack cut short counts as absent; push names it', async () => {
    const ws = await notPushed();
    await ws.push();
    fs.truncateSync(pack(ws), 1000);
    await expectRefused(ws, ['push'], {
      code: 'corrupt-remote',
      message: /\.pack is damaged: it has 1000 bytes instead of \d+$/,
      hint: /Remove that object from the remote, then push again/,
    });
    // The hint works.
    fs.rmSync(pack(ws));
    await ws.ok('push');
    ws.remove('a.onnx');
    ws.remove('.modelstore/store');
    await expectPulled(ws);
  });

  test('a pack that is missing: the bytes are counted, and pushed again', async () => {
    const ws = await notPushed();
    await ws.push();
    const kept = `${ws.store}-kept`;
    fs.rmSync(pack(ws));
    fs.renameSync(ws.store, kept);
    ws.remove('a.onnx');
    await expectDamage(ws, {
      code: 'objects-missing',
      message: /^1\.91 MiB of a\.onnx are not on the remote/,
      hint: /Push them from a host that has them/,
    });
    fs.rmSync(ws.store, { recursive: true, force: true });
    fs.renameSync(kept, ws.store);
    await ws.ok('push');
    ws.remove('.modelstore/store');
    await expectPulled(ws);
  });

  test('an index object: the pack itself serves', async () => {
    const ws = await onlyOnRemote();
    fs.truncateSync(soleFile(`${ws.remote}/index`), 10);
    await expectPulled(ws);
  });

  test('a recipe cut short', async () => {
    const ws = await onlyOnRemote();
    fs.truncateSync(soleFile(`${ws.remote}/recipes`), 100);
    await expectDamage(ws, {
      code: 'corrupt-remote',
      message: /sent damaged data\. The recipe of the blob [0-9a-f]{64} is damaged/,
      hint: /Remove recipes\/.* from the remote, then push again/,
    });
    // The hint works, also for a host that has nothing but the file.
    fs.rmSync(soleFile(`${ws.remote}/recipes`));
    ws.write('a.onnx', model);
    await ws.ok('add', 'a.onnx');
    await ws.ok('push');
    ws.remove('a.onnx');
    ws.remove('.modelstore/store');
    await expectPulled(ws);
  });

  test('a symbolic link in its place is not followed', async () => {
    const ws = await onlyOnRemote();
    const file = pack(ws);
    fs.renameSync(file, `${ws.remote}-moved`);
    fs.symlinkSync(`${ws.remote}-moved`, file);
    await expectDamage(ws, {
      code: 'objects-missing',
      message: /not on the remote/,
      hint: /Push them/,
    });
  });

  async function expectDamage(
    ws: CliWorkspace,
    expected: Parameters<typeof expectError>[1],
  ): Promise<void> {
    const remote = snapshot(ws);
    expectError(await ws.run('--json', 'pull'), expected);
    expectError(await ws.run('--json', 'pull', '--to', '../out'), expected);
    expect(fs.existsSync(ws.at('a.onnx'))).toBe(false);
    expect(fs.existsSync(ws.at('../out'))).toBe(false);
    const kept = (all: Record<string, string>) =>
      Object.entries(all).filter(([name]) => !name.startsWith('store/'));
    expect(kept(snapshot(ws))).toEqual(kept(remote));
    expectNoLeftovers(ws);
  }
});

describe('a remote that refuses', () => {
  test('because it is read-only: push says so, pull works', async () => {
    await withTmpfs(16 * 1024 * 1024, async (tmpfs) => {
      const ws = await notPushed();
      await ws.moveRemote(path.join(tmpfs.folder, 'remote'));
      await ws.push();
      ws.write('b.onnx', 'b');
      await ws.add('b.onnx');
      tmpfs.remount('ro');
      await expectRefused(ws, ['push'], {
        code: 'remote-refused',
        message: /^Cannot write .* its file system is read-only$/,
        hint: /Mount it writable/,
      });
      ws.remove('a.onnx');
      ws.remove('.modelstore/store');
      await ws.ok('pull', 'a.onnx');
      expect(sha256(ws.read('a.onnx'))).toBe(digest);
      tmpfs.remount('rw');
      await ws.ok('add', 'b.onnx');
      await ws.ok('push');
    });
  });

  test('because it is full: nothing half is left, and what arrived is not sent twice', async () => {
    await withTmpfs(8 * 1024 * 1024, async (tmpfs) => {
      const ws = await notPushed();
      const remote = path.join(tmpfs.folder, 'remote');
      await ws.moveRemote(remote);
      await ws.push();
      const ballast = path.join(tmpfs.folder, 'ballast');
      fs.writeFileSync(ballast, Buffer.alloc(5 * 1024 * 1024));
      ws.write('b.onnx', xorshiftBytes(13, 1_500_000));
      await ws.add('b.onnx');
      expectError(await ws.run('--json', 'push'), {
        code: 'remote-full',
        message: /^Cannot write packs\/.*: no space left on its device$/,
        hint: /Make space there, then run the same command again/,
      });
      expect(filesBelow(path.join(remote, 'tmp'))).toEqual([]);
      expectNoLeftovers(ws);
      fs.rmSync(ballast);
      const { json } = await ws.ok('--json', 'push');
      expect(json.bytesSent).toBeLessThan(1_510_000);
      ws.remove('a.onnx');
      ws.remove('b.onnx');
      ws.remove('.modelstore/store');
      await expectPulled(ws);
    });
  });
});
