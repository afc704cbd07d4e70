import { spawn } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { expect, it } from 'vitest';
import { cliEnv, makeWorkspace } from '../support/cli.ts';
import { weightBytes } from '../support/weights.ts';

const mib = 1024 * 1024;
/** What a command may hold at its peak, Node itself included: less than one tensor. */
const peakBytesMax = 160 * mib;
/** The heap of JavaScript gets less still. */
const heapMib = 64;
const tensorBytes = 256 * mib;

const program = path.resolve(import.meta.dirname, '../tools/peak-memory.js');

/** Runs a command and returns the bytes it had at its peak, and the last of what it printed. */
async function peakOf(
  cwd: string,
  args: readonly string[],
): Promise<{ peak: number; out: string }> {
  const child = spawn(process.execPath, [`--max-old-space-size=${heapMib}`, program, ...args], {
    cwd,
    env: cliEnv,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let [stderr, out, bytes] = ['', '', 0];
  child.stdout.on('data', (part: Buffer) => {
    bytes += part.length;
    out = part.subarray(-400).toString();
  });
  child.stderr.setEncoding('utf8').on('data', (part: string) => {
    stderr += part;
  });
  const code = await new Promise((resolve) => child.once('close', resolve));
  expect(code, stderr).toBe(0);
  return { peak: Number(/peak (\d+)/.exec(stderr)?.[1]), out: `${bytes} ${out}` };
}

/** Writes a file of one tensor, with its numbers of a seed. */
function writeModel(file: string, seed: number): void {
  const entry = { dtype: 'BF16', shape: [tensorBytes / 2], data_offsets: [0, tensorBytes] };
  const header = Buffer.from(JSON.stringify({ w: entry }));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  const fd = fs.openSync(file, 'w');
  fs.writeSync(fd, Buffer.concat([length, header]));
  for (let at = 0; at < tensorBytes; at += 16 * mib)
    fs.writeSync(fd, weightBytes(seed + at, 16 * mib));
  fs.closeSync(fd);
}

it('tensors larger than the memory are compared and written', { timeout: 300_000 }, async () => {
  const workspace = await makeWorkspace();
  writeModel(workspace.at('w.safetensors'), 1);
  await workspace.add('w.safetensors');
  await workspace.push();
  writeModel(workspace.at('w.safetensors'), 2);
  const diff = await peakOf(workspace.root, ['diff', '--tensors']);
  expect(diff.out).toContain('Tensors: 1 changed, 0 unchanged');
  expect(diff.peak).toBeLessThan(peakBytesMax);
  const near = await peakOf(workspace.root, ['cat', 'w.safetensors', '--tensor', 'w']);
  expect(near.out.startsWith(`${tensorBytes} `)).toBe(true);
  expect(near.peak).toBeLessThan(peakBytesMax);
  fs.rmSync(workspace.store, { recursive: true });
  const far = await peakOf(workspace.root, ['cat', 'w.safetensors', '--tensor', 'w']);
  expect(far.out.startsWith(`${tensorBytes} `)).toBe(true);
  expect(far.peak).toBeLessThan(peakBytesMax);
});
