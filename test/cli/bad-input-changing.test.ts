import { spawn } from 'node:child_process';
import * as fs from 'node:fs';
import { describe, expect, onTestFinished, test } from 'vitest';
import { sha256 } from '../../src/base/digest.ts';
import { BlobWriter } from '../../src/store/blob-writer.ts';
import {
  type CliWorkspace,
  expectError,
  expectGood,
  expectNoLeftovers,
  makeWorkspace,
  snapshot,
} from '../support/cli.ts';
import { xorshiftBytes } from '../support/xorshift.ts';

const expected = {
  code: 'file-changed',
  message: /a\.onnx changed while it was being read$/,
  hint: /Wait until the program that writes it has ended/,
} as const;

test('a file that a program goes on writing is not added', async () => {
  const ws = await makeWorkspace();
  ws.write('a.onnx', 'old');
  await ws.add('a.onnx');
  ws.write('b.onnx', 'b');
  fs.truncateSync(ws.at('a.onnx'), 300 * 1024 * 1024);
  const kept = notes(ws);
  const writer = spawn('sh', ['-c', 'while printf x; do :; done >> a.onnx'], { cwd: ws.root });
  onTestFinished(() => void writer.kill('SIGKILL'));
  expectError(await ws.run('--json', 'add', 'b.onnx', 'a.onnx'), expected);
  // Of the file that was whole there is no pointer either: a command adds all or nothing.
  expect(notes(ws)).toEqual(kept);
  expectNoLeftovers(ws);
  writer.kill('SIGKILL');
  await new Promise((resolve) => writer.once('close', resolve));
  fs.truncateSync(ws.at('a.onnx'), 1000);
  await ws.ok('add', 'b.onnx', 'a.onnx');
  await expectGood(ws);
});

/** The pointers and Git's files, with their content. */
function notes(ws: CliWorkspace): Record<string, string> {
  return Object.fromEntries(
    fs
      .readdirSync(ws.root)
      .filter((name) => name.endsWith('.mstore') || name.startsWith('.git'))
      .filter((name) => name !== '.git')
      .map((name) => [name, ws.read(name).toString()]),
  );
}

describe('whatever way the file changes, at any moment of the reading', () => {
  const size = 20_000_000;
  const bytes = xorshiftBytes(23, size);

  test.each([
    ['grows', (file: string) => fs.appendFileSync(file, 'x')],
    ['shrinks to where reading is', (file: string) => fs.truncateSync(file, size / 2)],
    ['is emptied', (file: string) => fs.truncateSync(file, 0)],
    ['has one byte replaced', (file: string) => patch(file)],
    ['is touched', (file: string) => fs.utimesSync(file, 1, 1)],
  ])('it %s', async (_, change) => {
    const ws = await makeWorkspace();
    ws.write('a.onnx', bytes);
    const before = snapshot(ws);
    // The window holds 8 MiB: the file is read in three steps.
    for (const step of [1, 2, 3]) {
      ws.write('a.onnx', bytes);
      let steps = 0;
      const writer = new BlobWriter((await ws.open()).store, {
        onBytes: () => {
          if (++steps === step) change(ws.at('a.onnx'));
        },
      });
      try {
        await expect(writer.addFile(ws.at('a.onnx'))).rejects.toMatchObject({
          code: 'file-changed',
        });
      } finally {
        writer.close();
      }
      expect(steps).toBeGreaterThanOrEqual(step);
      expectNoLeftovers(ws);
    }
    ws.write('a.onnx', bytes);
    const after = Object.keys(snapshot(ws)).filter((name) => name !== 'store/mstore.json');
    expect(after).toEqual(Object.keys(before));
  });

  test('it is replaced by another file: what was opened is stored whole', async () => {
    const ws = await makeWorkspace();
    ws.write('a.onnx', bytes);
    const writer = new BlobWriter((await ws.open()).store, {
      onBytes: () => {
        ws.write('b.onnx', 'other');
        fs.renameSync(ws.at('b.onnx'), ws.at('a.onnx'));
      },
    });
    const outcome = await writer.addFile(ws.at('a.onnx')).then(
      (blob) => blob.sha256,
      (error: { code: string }) => error.code,
    );
    await writer.finish();
    // Renaming over it changes the inode's ctime, so that either answer is right; half a file is not.
    expect([sha256(bytes), 'file-changed']).toContain(outcome);
  });

  function patch(file: string): void {
    const fd = fs.openSync(file, 'r+');
    fs.writeSync(fd, 'x', 100);
    fs.closeSync(fd);
  }
});
