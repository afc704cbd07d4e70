#!/usr/bin/env node
/**
 * Measures what encryption costs: a large file is pushed to a directory remote, and fetched from it, once as it is and
 * once encrypted, in turns.
 *
 *   node test/tools/encrypted-remotes.js                    512 MiB, 3 rounds
 *   node test/tools/encrypted-remotes.js --size 64 --runs 1
 *
 * It runs the commands of dist/: build it first. Nothing else may run on the machine meanwhile.
 */
import { execFileSync } from 'node:child_process';
import { createCipheriv, randomBytes } from 'node:crypto';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const program = fileURLToPath(new URL('../../bin/mstore.js', import.meta.url));
const age = new URL('../../dist/encryption/identity-file.js', import.meta.url).href;
const mebibyte = 1024 * 1024;

/** Writes bytes without any pattern. */
export function writeNoise(file, mebibytes) {
  const cipher = createCipheriv('aes-256-ctr', randomBytes(32), Buffer.alloc(16));
  const zeros = Buffer.alloc(mebibyte);
  const fd = fs.openSync(file, 'w');
  for (let i = 0; i < mebibytes; i++) fs.writeSync(fd, cipher.update(zeros));
  fs.closeSync(fd);
}

/** One round with one kind of remote: seconds of a push and of a fetch. */
function measureOne({ place, file, kind, env, addOptions }) {
  const work = path.join(place, `${kind}-work`);
  const run = (cwd, ...args) =>
    execFileSync(process.execPath, [program, ...args], { cwd, env, stdio: 'pipe' });
  const timed = (cwd, ...args) => {
    execFileSync('sync');
    const start = performance.now();
    run(cwd, ...args);
    return (performance.now() - start) / 1000;
  };
  fs.mkdirSync(work);
  run(work, 'init', '--no-git');
  run(work, 'remote', 'add', 'origin', '../remote', ...addOptions);
  fs.copyFileSync(file, path.join(work, 'model.bin'));
  run(work, 'add', 'model.bin');
  const push = timed(work, 'push');
  fs.rmSync(path.join(work, '.modelstore/store'), { recursive: true });
  const fetch = timed(work, 'fetch');
  fs.rmSync(work, { recursive: true });
  fs.rmSync(path.join(place, 'remote'), { recursive: true });
  return { push, fetch };
}

/** Measures rounds; a ratio is taken within a round. */
export async function encryptedRemotes({ place, size = 512, runs = 3 }) {
  const folder = fs.mkdtempSync(path.join(place, 'encrypted-'));
  const identity = path.join(folder, 'identity.txt');
  const { makeIdentityFile } = await import(age);
  const recipient = await makeIdentityFile(identity, new Date());
  const env = { ...process.env, MSTORE_IDENTITY_FILE: identity };
  const file = path.join(folder, 'model.bin');
  writeNoise(file, size);
  const rounds = [];
  for (let turn = 0; turn < runs; turn++) {
    const clear = measureOne({ place: folder, file, kind: 'clear', env, addOptions: [] });
    const addOptions = ['--encrypt', '--recipient', recipient];
    const encrypted = measureOne({ place: folder, file, kind: 'encrypted', env, addOptions });
    rounds.push({ clear, encrypted });
  }
  fs.rmSync(folder, { recursive: true });
  return ['push', 'fetch'].map((verb) => {
    const ratios = rounds.map(({ clear, encrypted }) => clear[verb] / encrypted[verb]).sort();
    const rate = (kind) => Math.round(size / median(rounds.map((round) => round[kind][verb])));
    return { verb, clear: rate('clear'), encrypted: rate('encrypted'), ratio: median(ratios) };
  });
}

function median(values) {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];
}

/** The table of what was measured. */
export function encryptedRemotesMarkdown(rows) {
  const cells = rows.map(
    ({ verb, clear, encrypted, ratio }) =>
      `| ${verb} | ${clear} | ${encrypted} | ${Math.round(ratio * 100)} % |`,
  );
  const head = '| | clear, MiB/s | encrypted, MiB/s | throughput beside the clear remote |';
  return [head, '| --- | --- | --- | --- |', ...cells].join('\n');
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values } = parseArgs({
    options: {
      size: { type: 'string', default: '512' },
      runs: { type: 'string', default: '3' },
      place: { type: 'string', default: os.tmpdir() },
    },
  });
  const { place, size, runs } = values;
  const rows = await encryptedRemotes({ place, size: Number(size), runs: Number(runs) });
  process.stdout.write(`${encryptedRemotesMarkdown(rows)}\n`);
}
