import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { describe, expect, test } from 'vitest';
import { sha256 } from '../../src/base/digest.ts';
import {
  type CliWorkspace,
  expectError,
  expectGood,
  expectNoLeftovers,
  makeWorkspace,
  snapshot,
  startMstore,
} from '../support/cli.ts';
import { git } from '../support/git.ts';
import { tempFolder } from '../support/temp.ts';
import { requireOrSkip, type Tmpfs, withTmpfs } from '../support/tmpfs.ts';
import { xorshiftBytes } from '../support/xorshift.ts';

const mib = 1024 * 1024;
const small = xorshiftBytes(17, 300_000);
const large = xorshiftBytes(19, 3 * mib);

/** Fills a file system up to the last byte; returns the function that makes room again. */
function fill({ folder }: Tmpfs): () => void {
  const ballast = path.join(folder, 'ballast');
  const fd = fs.openSync(ballast, 'w');
  try {
    for (let size = mib; size >= 1; size = size > 4096 ? size / 2 : size / 4096) {
      try {
        for (;;) fs.writeSync(fd, Buffer.alloc(Math.ceil(size)));
      } catch {
        // Full for blocks of this size.
      }
    }
  } finally {
    fs.closeSync(fd);
  }
  return () => fs.rmSync(ballast);
}

const full = {
  code: 'no-space',
  message: /no space left on the device$/,
  hint: /^Free some space, then run the same command again/,
} as const;

describe('a full disk', () => {
  test('of the store, while a file is added', async () => {
    await withTmpfs(8 * mib, async (tmpfs) => {
      const ws = await makeWorkspace();
      const store = path.join(tmpfs.folder, 'store');
      ws.moveStore(store);
      ws.write('a.onnx', small);
      await ws.add('a.onnx');
      const makeRoom = fill(tmpfs);
      ws.write('a.onnx', large);
      ws.write('b.onnx', 'b');
      const before = { ...snapshot(ws), pack: fs.readdirSync(path.join(store, 'packs')) };
      expectError(await ws.run('--json', 'add', 'a.onnx', 'b.onnx'), full);
      expect({ ...snapshot(ws), pack: fs.readdirSync(path.join(store, 'packs')) }).toEqual(before);
      expect(fs.readdirSync(path.join(store, 'tmp'))).toEqual([]);
      expectNoLeftovers(ws);
      makeRoom();
      await ws.ok('add', 'a.onnx', 'b.onnx');
      await expectGood(ws);
    });
  });

  test('of the workspace, while a pointer is written: the old one and .gitignore stay', async () => {
    await withTmpfs(8 * mib, async (tmpfs) => {
      const ws = await makeWorkspace(tmpfs.folder);
      ws.moveStore(path.join(tempFolder(), 'store'));
      ws.write('models/a.onnx', small);
      await ws.add('models/a.onnx');
      ws.write('models/a.onnx', large);
      ws.write('models/b.onnx', 'b');
      const makeRoom = fill(tmpfs);
      const before = snapshot(ws);
      for (const name of ['models/a.onnx', 'models/b.onnx']) {
        expectError(await ws.run('--json', 'add', name), full);
        expect(snapshot(ws)).toEqual(before);
        expectNoLeftovers(ws);
      }
      makeRoom();
      await ws.ok('add', 'models/a.onnx', 'models/b.onnx');
      await expectGood(ws);
    });
  });

  test('of the store, while bytes are fetched', async () => {
    await withTmpfs(8 * mib, async (tmpfs) => {
      const ws = await makeWorkspace();
      ws.write('a.onnx', large);
      await ws.add('a.onnx');
      await ws.push();
      ws.remove('a.onnx');
      const store = path.join(tmpfs.folder, 'store');
      ws.moveStore(store);
      const makeRoom = fill(tmpfs);
      for (let run = 0; run < 2; run++) expectError(await ws.run('--json', 'pull'), full);
      expect(fs.existsSync(path.join(store, 'packs'))).toBe(false);
      expect(fs.existsSync(ws.at('a.onnx'))).toBe(false);
      expectNoLeftovers(ws);
      makeRoom();
      await ws.ok('pull');
      expect(sha256(ws.read('a.onnx'))).toBe(sha256(large));
      await expectGood(ws);
    });
  });

  test('of the working tree, while files are checked out: the old file stays', async () => {
    await withTmpfs(8 * mib, async (tmpfs) => {
      const ws = await makeWorkspace(tmpfs.folder);
      ws.moveStore(path.join(tempFolder(), 'store'));
      ws.write('a.onnx', large);
      await ws.add('a.onnx');
      const pointer = ws.read('a.onnx.mstore');
      ws.write('a.onnx', small);
      await ws.add('a.onnx');
      ws.write('a.onnx.mstore', pointer);
      const makeRoom = fill(tmpfs);
      const before = snapshot(ws);
      expectError(await ws.run('--json', 'checkout'), full);
      expect(snapshot(ws)).toEqual(before);
      expectNoLeftovers(ws);
      makeRoom();
      await ws.ok('checkout');
      expect(sha256(ws.read('a.onnx'))).toBe(sha256(large));
      await expectGood(ws);
    });
  });

  test('of the destination of --to: nothing of it is left', async () => {
    await withTmpfs(4 * mib, async (tmpfs) => {
      const ws = await makeWorkspace();
      ws.write('bert/a.onnx', small);
      ws.write('bert/b.onnx', large);
      await ws.add('bert');
      const ballast = path.join(tmpfs.folder, 'ballast');
      fs.writeFileSync(ballast, Buffer.alloc(2 * mib));
      for (const to of ['out', 'deep/er/out']) {
        const at = path.join(tmpfs.folder, to);
        expectError(await ws.run('--json', 'checkout', '--to', at), full);
        // Nor of the folders above it that were made.
        expect(fs.readdirSync(tmpfs.folder)).toEqual(['ballast']);
      }
      fs.rmSync(ballast);
      const out = path.join(tmpfs.folder, 'out');
      await ws.ok('checkout', '--to', out);
      expect(sha256(fs.readFileSync(path.join(out, 'b.onnx')))).toBe(sha256(large));
    });
  });
});

describe('a working tree that cannot be written', () => {
  test('because its file system is read-only: reading works, --to elsewhere too', async () => {
    await withTmpfs(8 * mib, async (tmpfs) => {
      const ws = await makeWorkspace(tmpfs.folder);
      ws.write('bert/a.onnx', small);
      await ws.add('bert');
      git(ws.root, 'add', '-A');
      git(ws.root, 'commit', '-q', '-m', 'A commit');
      ws.write('b.onnx', 'b');
      ws.remove('bert/a.onnx');
      const before = snapshot(ws);
      tmpfs.remount('ro');
      const expected = {
        code: 'read-only',
        message: /the file system is read-only$/,
        hint: /--to DIR to write elsewhere/,
      } as const;
      for (const line of ['checkout', 'add b.onnx', 'untrack bert']) {
        expectError(await ws.run('--json', ...line.split(' ')), expected);
      }
      const { stdout } = await ws.ok('status');
      expect(stdout).toMatch(/modified {3}bert\n {6}- a\.onnx/);
      expect((await ws.ok('ls')).stdout).toContain('bert/a.onnx');
      const out = path.join(tempFolder(), 'out');
      await ws.ok('checkout', '--to', out);
      expect(sha256(fs.readFileSync(path.join(out, 'a.onnx')))).toBe(sha256(small));
      tmpfs.remount('rw');
      expect(snapshot(ws)).toEqual(before);
      await ws.ok('checkout');
      await expectGood(ws);
    });
  });

  test('because it belongs to another user', async () => {
    requireOrSkip(process.getuid?.() === 0, 'Only root can run as another user');
    const ws = await makeWorkspace();
    ws.write('bert/a.onnx', small);
    ws.write('b.onnx', 'b');
    await ws.add('bert');
    ws.remove('bert/a.onnx');
    fs.chmodSync(path.dirname(ws.root), 0o755);
    const before = snapshot(ws);
    const foreign = (...args: string[]) =>
      startMstore(ws.root, ['--json', ...args], { uid: 65_534, env: trusting(ws) }).done;
    for (const line of ['checkout', 'add b.onnx', 'untrack bert']) {
      expectError(await foreign(...line.split(' ')), {
        code: 'permission-denied',
        message: /permission denied$/,
        hint: /Check the owner and the mode/,
      });
    }
    expect((await foreign('status')).json.paths).toMatchObject([{ path: 'bert' }]);
    expect(snapshot(ws)).toEqual(before);
    expectNoLeftovers(ws);
    await ws.ok('checkout');
    await expectGood(ws);
  });

  /** Lets Git work in a repository of another user, as its owner would have to. */
  function trusting(ws: CliWorkspace): NodeJS.ProcessEnv {
    return {
      GIT_CONFIG_COUNT: '1',
      GIT_CONFIG_KEY_0: 'safe.directory',
      GIT_CONFIG_VALUE_0: ws.root,
      HOME: os.tmpdir(),
    };
  }
});
