#!/usr/bin/env node
/**
 * Measures signatures against the size of what is signed: a version of one large file is signed and verified by the digests
 * that are held, and a directory with the same file is verified byte for byte; beside it a bare program that hashes the file.
 *
 *   node test/tools/signatures.js                          1 to 512 MiB, 3 rounds
 *   node test/tools/signatures.js --size 64 --runs 1
 *
 * It runs the commands of dist/: build it first. Nothing else may run on the machine meanwhile.
 */
import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { writeNoise } from './encrypted-remotes.js';

const program = fileURLToPath(new URL('../../bin/mstore.js', import.meta.url));

const hashing = `
const hash = require('crypto').createHash('sha256');
const fd = require('fs').openSync(process.argv[1]);
const block = Buffer.allocUnsafeSlow(4 << 20);
for (let n; (n = require('fs').readSync(fd, block)) > 0; ) hash.update(block.subarray(0, n));
hash.digest('hex');`;

/** Measures one size: seconds of each command, medians of the rounds. */
function measureSize(place, size, runs) {
  const work = fs.mkdtempSync(path.join(place, 'signatures-'));
  const run = (...args) => execFileSync(process.execPath, args, { cwd: work, stdio: 'pipe' });
  const mstore = (...args) => run(program, ...args);
  mstore('init', '--no-git');
  fs.mkdirSync(path.join(work, 'model'));
  const file = path.join(work, 'model/weights.bin');
  writeNoise(file, size);
  mstore('add', 'model');
  mstore('register', 'm@v1', 'model');
  mstore('keygen', 'key');
  mstore('sign', 'm@v1', '--key', 'key', '--output', 'model.sig');
  const commands = {
    sign: () => mstore('sign', 'm@v1', '--key', 'key'),
    verify: () => mstore('verify', 'm@v1', '--signature', 'model.sig', '--key', 'key.pub'),
    directory: () => mstore('verify', './model', '--signature', 'model.sig', '--key', 'key.pub'),
    hash: () => run('-e', hashing, file),
  };
  const seconds = Object.fromEntries(Object.keys(commands).map((name) => [name, []]));
  for (let turn = 0; turn < runs; turn++) {
    for (const [name, command] of Object.entries(commands)) {
      const start = performance.now();
      command();
      seconds[name].push((performance.now() - start) / 1000);
    }
  }
  fs.rmSync(work, { recursive: true });
  return { size, ...Object.fromEntries(Object.entries(seconds).map(([k, v]) => [k, median(v)])) };
}

/** Measures sizes from 1 MiB to the given one, eight times as much each. */
export function signatures({ place, size = 512, runs = 3 }) {
  const sizes = [];
  for (let one = 1; one <= size; one *= 8) sizes.push(one);
  return sizes.map((one) => measureSize(place, one, runs));
}

function median(values) {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];
}

/** The table of what was measured. */
export function signaturesMarkdown(rows) {
  const cells = rows.map((row) => {
    const times = [row.sign, row.verify, row.directory, row.hash].map((one) => one.toFixed(2));
    return `| ${row.size} | ${times.join(' | ')} | ${(row.directory / row.hash).toFixed(2)} |`;
  });
  const head =
    '| MiB | sign, s | verify a version, s | verify a directory, s | hash, s | directory / hash |';
  return [head, '| --- | --- | --- | --- | --- | --- |', ...cells].join('\n');
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
  const rows = signatures({ place, size: Number(size), runs: Number(runs) });
  process.stdout.write(`${signaturesMarkdown(rows)}\n`);
}
