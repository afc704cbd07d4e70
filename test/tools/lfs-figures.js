#!/usr/bin/env node
/**
 * Measures Git LFS alone beside Git LFS with the agent of mstore: bytes of the remote after many versions of one file, and times
 * of push and clone. Both remotes are directories: a bare repository, to which Git LFS copies whole files by itself, and a remote of
 * mstore. The figures are in docs/guide/lfs.md. Needs git-lfs on PATH, and on the disk five times all versions.
 *
 *   node test/tools/lfs-figures.js [--mib 500] [--versions 20]
 */
import { execFileSync } from 'node:child_process';
import * as crypto from 'node:crypto';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const { values } = parseArgs({
  options: {
    mib: { type: 'string', default: '500' },
    versions: { type: 'string', default: '20' },
  },
});
const mib = 1024 * 1024;
const size = Number(values.mib) * mib;
const versions = Number(values.versions);
const bin = fileURLToPath(new URL('../../bin/mstore.js', import.meta.url));
const top = fs.mkdtempSync(path.join(os.tmpdir(), 'mstore-lfs-'));

/** A home with the filters of Git LFS, and nothing of the user's. */
const env = {
  ...process.env,
  HOME: top,
  GIT_CONFIG_GLOBAL: path.join(top, 'gitconfig'),
  GIT_AUTHOR_NAME: 'Bench',
  GIT_AUTHOR_EMAIL: 'bench@example.com',
  GIT_COMMITTER_NAME: 'Bench',
  GIT_COMMITTER_EMAIL: 'bench@example.com',
};
const run = (cwd, file, ...args) => execFileSync(file, args, { cwd, env, stdio: 'pipe' });
const git = (cwd, ...args) => run(cwd, 'git', ...args);
const mstore = (cwd, ...args) => run(cwd, process.execPath, bin, ...args);

function timed(work) {
  // Nobody pays for what the one before left to be written.
  run('/', 'sync');
  const start = performance.now();
  work();
  return (performance.now() - start) / 1000;
}

function bytesOf(folder) {
  return Number(run('/', 'du', '-sb', folder).toString().split('\t')[0]);
}

function median(numbers) {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}

/** Small edits in twenty places, drawn from the version, and one that moves what is behind it. */
function edited(bytes, version) {
  for (let edit = 0; edit < 20; edit++) {
    const at = (version * 104_729 * 4099 + edit * 26_214_401) % (bytes.length - 1024);
    crypto.createHash('sha512').update(`${version} ${edit}`).digest().copy(bytes, at);
  }
  const at = (version * 31_337_777) % bytes.length;
  return Buffer.concat([
    bytes.subarray(0, at),
    Buffer.from(`version ${version}`),
    bytes.subarray(at),
  ]);
}

function measure(name, withAgent) {
  const place = path.join(top, name);
  fs.mkdirSync(place);
  const work = path.join(place, 'work');
  git(place, 'init', '-q', '--bare', 'origin.git');
  git(place, 'init', '-q', 'work');
  git(work, 'remote', 'add', 'origin', '../origin.git');
  git(work, 'lfs', 'track', '*.bin');
  if (withAgent) {
    mstore(work, 'init');
    mstore(work, 'remote', 'add', 'store', '../remote');
    mstore(work, 'lfs', 'install');
  }
  let bytes = crypto.createHash('shake256', { outputLength: size }).update('model').digest();
  const pushes = [];
  for (let version = 1; version <= versions; version++) {
    if (version > 1) bytes = edited(bytes, version);
    fs.writeFileSync(path.join(work, 'model.bin'), bytes);
    git(work, 'add', '-A');
    git(work, 'commit', '-q', '-m', `Version ${version}`);
    pushes.push(timed(() => git(work, 'push', '-q', 'origin', 'main')));
  }
  const remote = path.join(place, withAgent ? 'remote' : 'origin.git/lfs');
  const remoteBytes = bytesOf(remote);
  const cloned = timed(() => {
    execFileSync('git', ['clone', '-q', 'origin.git', 'clone'], {
      cwd: place,
      env: { ...env, GIT_LFS_SKIP_SMUDGE: '1' },
    });
    if (withAgent) mstore(path.join(place, 'clone'), 'lfs', 'install');
    git(path.join(place, 'clone'), 'lfs', 'pull');
  });
  git(path.join(place, 'clone'), 'lfs', 'fsck');
  if (!fs.readFileSync(path.join(place, 'clone/model.bin')).equals(bytes))
    throw new Error('differs');
  fs.rmSync(place, { recursive: true });
  return { first: pushes[0], later: median(pushes.slice(1)), cloned, remoteBytes };
}

try {
  git(top, 'config', '--global', 'init.defaultBranch', 'main');
  git(top, 'lfs', 'install', '--skip-repo');
  const version = git(top, 'lfs', 'version').toString().trim();
  process.stdout.write(`${versions} versions of ${size / mib} MiB, ${version}\n\n`);
  process.stdout.write(
    '| | first push | later ones | clone and pull | remote |\n| --- | --- | --- | --- | --- |\n',
  );
  for (const [name, withAgent] of [
    ['Git LFS alone', false],
    ['with the agent', true],
  ]) {
    const { first, later, cloned, remoteBytes } = measure(withAgent ? 'agent' : 'alone', withAgent);
    const times = [first, later, cloned].map((seconds) => `${seconds.toFixed(1)} s`).join(' | ');
    process.stdout.write(`| ${name} | ${times} | ${(remoteBytes / mib).toFixed(0)} MiB |\n`);
  }
} finally {
  fs.rmSync(top, { recursive: true, force: true });
}
