import { randomBytes } from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { sha256 } from '../../src/base/digest.ts';
import type { ProgressPhase } from '../../src/base/progress.ts';
import {
  type CliWorkspace,
  cliEnv,
  expectError,
  expectGood,
  expectNoLeftovers,
  filesBelow,
  makeWorkspace,
  snapshot,
  startMstore,
} from '../support/cli.ts';

const mib = 1024 * 1024;

/**
 * Runs a command, and presses Ctrl-C as soon as it says that a phase has begun; twice when `times` says
 * so. The phases here are long enough that the signal comes before their end on any machine.
 */
async function interrupted(
  ws: CliWorkspace,
  args: readonly string[],
  phase: ProgressPhase,
  times = 1,
): Promise<void> {
  const run = startMstore(ws.root, ['--json-events', ...args]);
  await run.seen(`"event":"start","phase":"${phase}"`);
  for (let i = 0; i < times; i++) run.interrupt();
  const { code, stdout, stderr } = await run.done;
  expect(code, stdout + stderr).toBe(130);
  expect(stderr).toBe('');
  if (times > 1) return;
  const last = JSON.parse(stdout.trim().split('\n').at(-1) as string);
  expect(last.error).toMatchObject({
    code: 'interrupted',
    message: expect.stringMatching(/^Interrupted before/),
    hint: expect.stringMatching(/Run the same command again/),
  });
  expectNoLeftovers(ws);
}

/** A workspace with a large file, of zeros where only the time of reading it counts. */
async function withLarge(content: 'zeros' | 'random', size: number): Promise<CliWorkspace> {
  const ws = await makeWorkspace();
  if (content === 'random') ws.write('a.onnx', randomBytes(size));
  else {
    ws.write('a.onnx', '');
    fs.truncateSync(ws.at('a.onnx'), size);
  }
  return ws;
}

/** A workspace whose large file is stored and pushed; the working tree has an older version. */
async function withOlder(): Promise<{ ws: CliWorkspace; digest: string }> {
  const ws = await makeWorkspace();
  const bytes = randomBytes(64 * mib);
  ws.write('a.onnx', bytes);
  await ws.add('a.onnx');
  const pointer = ws.read('a.onnx.mstore');
  ws.write('a.onnx', 'older');
  await ws.add('a.onnx');
  ws.write('a.onnx.mstore', pointer);
  return { ws, digest: sha256(bytes) };
}

describe('Ctrl-C ends with 130 and leaves nothing half-done; the same command then completes', () => {
  test('while files are listed', async () => {
    const ws = await makeWorkspace();
    for (let i = 0; i < 4000; i++) ws.write(`bert/${i % 40}/${i}`, `${i}`);
    const before = snapshot(ws);
    await interrupted(ws, ['add', 'bert'], 'scan');
    expect(files(snapshot(ws), 'work/')).toEqual(files(before, 'work/'));
    await ws.ok('add', 'bert');
    await expectGood(ws);
  });

  test.each([1, 2])('while a file is added, pressed %d times', async (times) => {
    const ws = await withLarge('zeros', 300 * mib);
    ws.write('b.onnx', 'b');
    const before = snapshot(ws);
    await interrupted(ws, ['add', 'b.onnx', 'a.onnx'], 'add', times);
    expect(files(snapshot(ws), 'work/')).toEqual(files(before, 'work/'));
    fs.truncateSync(ws.at('a.onnx'), mib);
    await ws.ok('add', 'b.onnx', 'a.onnx');
    // What the second press left is cleared by the next run.
    expectNoLeftovers(ws);
    await expectGood(ws);
  });

  test('while files are compared by status', async () => {
    const ws = await withLarge('zeros', 300 * mib);
    await ws.add('a.onnx');
    fs.utimesSync(ws.at('a.onnx'), 1, 1);
    await interrupted(ws, ['status'], 'check');
    await expectGood(ws);
  });

  test.each([1, 2])('while packs are pushed, pressed %d times', async (times) => {
    const ws = await withLarge('random', 64 * mib);
    await ws.add('a.onnx');
    await interrupted(ws, ['push'], 'push', times);
    const there = filesBelow(ws.remote).map((file) => path.relative(ws.remote, file));
    expect(there.filter((file) => !file.startsWith('tmp/'))).toEqual(['mstore.json']);
    await ws.ok('push');
    expectNoLeftovers(ws);
    ws.remove('a.onnx');
    ws.remove('.modelstore/store');
    await ws.ok('pull');
    await expectGood(ws);
  });

  test.each(['fetch', 'pull'])('while packs are fetched by %s', async (command) => {
    const { ws, digest } = await withOlder();
    await ws.push();
    ws.remove('.modelstore/store');
    await interrupted(ws, [command, '--jobs', '1'], 'fetch');
    expect(ws.read('a.onnx').toString()).toBe('older');
    expect(fs.existsSync(`${ws.store}/packs`)).toBe(false);
    await ws.ok('pull', '--force');
    expect(sha256(ws.read('a.onnx'))).toBe(digest);
    await expectGood(ws);
  });

  test.each([1, 2])('while files are checked out, pressed %d times', async (times) => {
    const { ws, digest } = await withOlder();
    await interrupted(ws, ['checkout'], 'checkout', times);
    expect(ws.read('a.onnx').toString()).toBe('older');
    await ws.ok('checkout');
    expect(sha256(ws.read('a.onnx'))).toBe(digest);
    expectNoLeftovers(ws);
    await expectGood(ws);
  });

  test.each([1, 2])('while a directory is written by --to, pressed %d times', async (times) => {
    const { ws, digest } = await withOlder();
    const made = path.join(path.dirname(ws.root), 'made');
    const parent = path.join(made, 'for/it');
    const out = path.join(parent, 'out');
    const before = snapshot(ws);
    await interrupted(ws, ['checkout', '--to', out], 'checkout', times);
    expect(fs.existsSync(times === 1 ? made : out)).toBe(false);
    expect(snapshot(ws)).toEqual(before);
    await ws.ok('checkout', '--to', out);
    expect(sha256(fs.readFileSync(path.join(out, 'a.onnx')))).toBe(digest);
    // What the second press left beside it is cleared by the next run.
    expect(fs.readdirSync(parent)).toEqual(['out']);
  });

  test('at any moment of starting up', async () => {
    const ws = await withLarge('zeros', 300 * mib);
    for (const ms of [60, 150, 200, 300]) {
      const run = startMstore(ws.root, ['--json', 'add', 'a.onnx']);
      await delay(ms);
      run.interrupt();
      const { code, stdout, stderr } = await run.done;
      // Before the handler is in place the signal itself ends the process: shells say 130 as well.
      expect(code ?? 130, stdout + stderr).toBe(130);
      expect(fs.existsSync(ws.at('a.onnx.mstore'))).toBe(false);
      expectNoLeftovers(ws);
    }
  });
});

test('Ctrl-C ends a Git that is waited for, and is not taken for its failure', async () => {
  const ws = await makeWorkspace();
  ws.write('a.onnx', 'a');
  const bin = path.join(path.dirname(ws.root), 'bin');
  const marker = path.join(bin, 'waiting');
  fs.mkdirSync(bin);
  const slow = `case "$*" in *check-ignore*) touch '${marker}'; exec sleep 20;; esac`;
  const script = `#!/bin/sh\n${slow}\nPATH='${cliEnv['PATH']}' exec git "$@"\n`;
  fs.writeFileSync(path.join(bin, 'git'), script, { mode: 0o755 });
  const env = { PATH: `${bin}:${cliEnv['PATH']}` };
  const run = startMstore(ws.root, ['--json', 'add', 'a.onnx'], { env });
  while (!fs.existsSync(marker)) await delay(10);
  run.interrupt();
  expectError(await run.done, {
    code: 'interrupted',
    message: /^Interrupted before/,
    hint: /Run the same command again/,
  });
  expectNoLeftovers(ws);
});

function files(all: Record<string, string>, prefix: string): Array<[string, string]> {
  return Object.entries(all).filter(([name]) => name.startsWith(prefix));
}
