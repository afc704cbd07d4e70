/**
 * Makes the fixtures of old programs: for each commit that changed what is written, its program is built in a
 * folder of its own and takes some files through two versions, a remote and, from when it has one, a registry. What it
 * left is kept in test/fixtures/programs/COMMIT.json.br, with the digests of the files that must come back.
 *
 *   node test/tools/old-programs.js              all commits that have no fixture yet
 *   node test/tools/old-programs.js COMMIT…      these, anew
 *
 * Frozen fixtures are not written again but for a mistake in this file; a new one is added with each commit that
 * changes what is written.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import { register } from 'node:module';
import * as os from 'node:os';
import * as path from 'node:path';
import { brotliCompressSync, constants } from 'node:zlib';

register('./typescript-loader.js', import.meta.url);
const { xorshiftBytes } = await import('../support/xorshift.ts');
const { safetensorsFile } = await import('../support/safetensors.ts');
const { zipFile } = await import('../support/zip.ts');
const { ggufFile } = await import('../support/gguf.ts');
const { oldPrograms } = await import('../support/old-programs.ts');

const root = path.resolve(import.meta.dirname, '../..');
const fixtures = path.join(root, 'test/fixtures/programs');

/** Bytes that compress well and are still cut as random ones: a block of them over and over, with its number. */
function blocks(seed, length) {
  const bytes = Buffer.alloc(length, xorshiftBytes(seed, 4096));
  for (let at = 0; at + 4 <= length; at += 4096) bytes.writeUInt32LE(at, at);
  return bytes;
}

/** The files of a version, by path; a text that starts with `->` is a link. */
function filesOf(version) {
  const model = blocks(1, 420_000);
  const edited = [model.subarray(0, 300_000), Buffer.from('new'), model.subarray(300_000)];
  const part = { name: 'embed', bytes: blocks(2, 140_000) };
  const head = { name: 'head', bytes: blocks(version + 2, 135_000) };
  return {
    'models/model.bin': version === 1 ? model : Buffer.concat(edited),
    'models/weights.safetensors': safetensorsFile([part, head]),
    'models/weights.npz': zipFile([part, { name: 'b', bytes: blocks(9, 1_000) }]),
    'models/weights.gguf': ggufFile([part]),
    'models/empty.bin': Buffer.alloc(0),
    'bert/config.json': Buffer.from(`{"version": ${version}}\n`),
    'bert/tools/run.sh': Buffer.from('#!/bin/sh\necho run\n'),
    'bert/größe "π".txt': Buffer.from('π\n'),
    'bert/latest': '->tools/../config.json',
  };
}

const tracked = [
  'models/model.bin',
  'models/weights.safetensors',
  'models/weights.npz',
  'models/weights.gguf',
  'models/empty.bin',
  'bert',
];

function writeFiles(folder, files) {
  for (const [name, content] of Object.entries(files)) {
    const file = path.join(folder, name);
    fs.mkdirSync(path.dirname(file), { recursive: true });
    fs.rmSync(file, { force: true });
    if (typeof content === 'string') fs.symlinkSync(content.slice(2), file);
    else fs.writeFileSync(file, content, { mode: name.endsWith('.sh') ? 0o755 : 0o644 });
  }
  fs.mkdirSync(path.join(folder, 'bert/cache'), { recursive: true });
}

const env = {
  PATH: process.env.PATH,
  HOME: os.devNull,
  GIT_CONFIG_GLOBAL: os.devNull,
  GIT_CONFIG_SYSTEM: os.devNull,
  GIT_AUTHOR_NAME: 'Ann',
  GIT_AUTHOR_EMAIL: 'ann@example.org',
  GIT_COMMITTER_NAME: 'Ann',
  GIT_COMMITTER_EMAIL: 'ann@example.org',
  MSTORE_CORE_AUTHOR: 'Ann <ann@example.org>',
};

/** Builds the program of a commit; returns its entry. */
function build(commit, folder) {
  execFileSync('git', ['clone', '-q', '--no-checkout', root, folder]);
  execFileSync('git', ['checkout', '-q', commit], { cwd: folder });
  // Later packages do what they did; what an old program writes is its own.
  fs.symlinkSync(path.join(root, 'node_modules'), path.join(folder, 'node_modules'));
  execFileSync('npm', ['run', '--silent', 'build'], { cwd: folder, stdio: 'inherit' });
  return path.join(folder, 'bin/mstore.js');
}

/** Takes files through two versions by an old program. */
function live(program, top, { registry, compression, gate, moves }) {
  const work = path.join(top, 'work');
  fs.mkdirSync(work);
  const git = (...args) => execFileSync('git', args, { cwd: work, env });
  const mstore = (...args) =>
    execFileSync(process.execPath, [program, ...args], {
      cwd: work,
      env,
      stdio: ['ignore', 'ignore', 'pipe'],
    });
  git('init', '-q', '-b', 'main', '--template=');
  mstore('init');
  fs.mkdirSync(path.join(top, 'remote'));
  mstore('remote', 'add', 'origin', '../remote', '--default');
  if (compression) mstore('config', 'set', 'store.compression', 'auto');
  for (const version of [1, 2]) {
    writeFiles(work, filesOf(version));
    mstore('add', ...tracked);
    mstore('status');
    git('add', '-A');
    git('commit', '-q', '-m', `Version ${version}`);
    git('tag', `files-${version}`);
    mstore('push');
    const said = ['--metric', `loss=0.${5 - version}`, '--description', `Version ${version}`];
    if (registry) mstore('register', `captioner@v${version}.0.0`, 'bert', ...said);
  }
  if (!registry) return;
  mstore('push', '--all-versions');
  if (gate)
    fs.appendFileSync(
      path.join(work, '.modelstore/config.toml'),
      '\n[policy.production]\nlower_is_better = ["loss"]\n\n[policy.production.weights]\nloss = 1\n',
    );
  // The first registries were of one host.
  const decide = (...args) => mstore(...args, ...(moves ? [] : ['--local']));
  decide('deploy', 'captioner@v1.0.0', '--env', 'staging', '--reason', 'First');
  decide('promote', 'captioner', '--from', 'staging', '--to', 'production');
  decide('deploy', 'captioner@v2.0.0', '--env', 'staging');
  decide('promote', 'captioner', '--from', 'staging', '--to', 'production');
  decide('rollback', 'captioner', '--env', 'staging', '--reason', 'Too slow');
  decide('deprecate', 'captioner@v1.0.0', '--reason', 'Old', '--force');
  git('add', '-A');
  git('commit', '-q', '--allow-empty', '-m', 'Policies');
  mstore('push', '--all-versions');
}

/** All that is below a folder: files, links and folders; what several files hold is there once, in base64. */
function packed(folder) {
  const contents = [];
  const entries = fs
    .readdirSync(folder, { recursive: true, withFileTypes: true })
    .map((entry) => {
      const full = path.join(entry.parentPath, entry.name);
      const name = path.relative(folder, full);
      if (entry.isSymbolicLink()) return { path: name, link: fs.readlinkSync(full) };
      if (entry.isDirectory()) return { path: name, directory: true };
      const bytes = fs.readFileSync(full).toString('base64');
      if (!contents.includes(bytes)) contents.push(bytes);
      const mode = fs.statSync(full).mode & 0o777;
      return { path: name, mode, content: contents.indexOf(bytes) };
    })
    .sort((a, b) => (a.path < b.path ? -1 : 1));
  return { contents, entries };
}

function digests(files) {
  return Object.fromEntries(
    Object.entries(files).map(([name, content]) => [
      name,
      typeof content === 'string' ? content : createHash('sha256').update(content).digest('hex'),
    ]),
  );
}

fs.mkdirSync(fixtures, { recursive: true });
const asked = process.argv.slice(2);
for (const program of oldPrograms) {
  const file = path.join(fixtures, `${program.commit}.json.br`);
  if (asked.length > 0 ? !asked.includes(program.commit) : fs.existsSync(file)) continue;
  const top = fs.mkdtempSync(path.join(os.tmpdir(), 'mstore-old-'));
  try {
    const entry = build(program.commit, path.join(top, 'program'));
    const lived = path.join(top, 'lived');
    fs.mkdirSync(lived);
    live(entry, lived, program);
    const versions = [1, 2].map((version) => digests(filesOf(version)));
    const text = JSON.stringify({ versions, ...packed(lived) });
    // Packs are alike in several places, further apart than gzip looks.
    const params = { [constants.BROTLI_PARAM_LGWIN]: constants.BROTLI_MAX_WINDOW_BITS };
    fs.writeFileSync(file, brotliCompressSync(text, { params }));
    process.stdout.write(`${program.commit}: ${fs.statSync(file).size} bytes\n`);
  } finally {
    fs.rmSync(top, { recursive: true, force: true });
  }
}
