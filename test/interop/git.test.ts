import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it } from 'vitest';
import { git, gitTestEnv, tempFolder } from '../support/git.ts';

const mstoreProgram = fileURLToPath(new URL('../../bin/mstore.js', import.meta.url));

function mstore(cwd: string, ...args: string[]): string {
  const env = gitTestEnv;
  return execFileSync(process.execPath, [mstoreProgram, ...args], { cwd, env, encoding: 'utf8' });
}

/** The digests of all files below a folder, as the program sha256sum sees them. */
function sha256sum(folder: string): string[] {
  const script = 'find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum';
  return execFileSync('sh', ['-c', script], { cwd: folder, encoding: 'utf8' }).trim().split('\n');
}

function writeModel(folder: string): void {
  fs.mkdirSync(path.join(folder, 'sub dir'), { recursive: true });
  fs.writeFileSync(path.join(folder, 'weights.bin'), randomBytes(5_000_000));
  fs.writeFileSync(path.join(folder, 'empty'), '');
  fs.writeFileSync(path.join(folder, 'sub dir', 'größe ünïcode.json'), '{"a": 1}\r\n');
  fs.writeFileSync(path.join(folder, 'run.sh'), '#!/bin/sh\necho ok\n', { mode: 0o755 });
  for (let i = 0; i < 200; i++)
    fs.writeFileSync(path.join(folder, `shard-${i}`), randomBytes(4096));
}

describe('with the real git and sha256sum', () => {
  let place: string;
  let work: string;

  beforeAll(() => {
    execFileSync('git', ['--version']);
    execFileSync('sha256sum', ['--version']);
    place = tempFolder();
    work = path.join(place, 'work');
    fs.mkdirSync(work);
    git(work, 'init', '-q', '-b', 'main');
    mstore(work, 'init');
    mstore(work, 'remote', 'add', 'origin', '../remote');
    writeModel(path.join(work, 'models/bert'));
    mstore(work, 'add', 'models/bert');
    git(work, 'add', '-A');
    git(work, 'commit', '-qm', 'one');
    git(work, 'tag', 'v1');
    mstore(work, 'push');
  });

  it('writes digests that sha256sum agrees with', () => {
    const pointer = JSON.parse(fs.readFileSync(path.join(work, 'models/bert.mstore'), 'utf8')) as {
      files: Array<{ path: string; sha256: string }>;
    };
    const ours = pointer.files.map(({ path: name, sha256 }) => `${sha256}  ./${name}`);
    expect(ours.sort()).toEqual(sha256sum(path.join(work, 'models/bert')).sort());
  });

  it('keeps the model out of Git and the pointer in it', () => {
    const tracked = git(work, 'ls-files').trim().split('\n');
    expect(tracked).toContain('models/bert.mstore');
    expect(tracked.filter((name) => name.startsWith('models/bert/'))).toEqual([]);
    expect(git(work, 'status', '--porcelain').trim()).toBe('');
    expect(git(work, 'check-attr', 'eol', 'models/bert.mstore')).toContain('eol: lf');
  });

  it('gives a clone every byte, whatever line ends the clone prefers', () => {
    const clone = path.join(place, 'clone');
    git(place, 'clone', '-q', '-c', 'core.autocrlf=true', work, clone);
    mstore(clone, 'pull');
    expect(sha256sum(path.join(clone, 'models/bert'))).toEqual(
      sha256sum(path.join(work, 'models/bert')),
    );
    expect(fs.statSync(path.join(clone, 'models/bert/run.sh')).mode & 0o111).not.toBe(0);
    expect(git(clone, 'status', '--porcelain').trim()).toBe('');
  });

  it('moves between tags so that git diff shows the pointers alone', () => {
    const before = sha256sum(path.join(work, 'models/bert'));
    fs.appendFileSync(path.join(work, 'models/bert/weights.bin'), 'more');
    fs.rmSync(path.join(work, 'models/bert/shard-7'));
    mstore(work, 'add', 'models/bert');
    git(work, 'commit', '-qam', 'two');
    const after = sha256sum(path.join(work, 'models/bert'));
    mstore(work, '--offline', 'checkout', 'v1');
    expect(sha256sum(path.join(work, 'models/bert'))).toEqual(before);
    expect(git(work, 'diff', '--name-only').trim()).toBe('models/bert.mstore');
    mstore(work, '--offline', 'checkout', 'main');
    expect(sha256sum(path.join(work, 'models/bert'))).toEqual(after);
    expect(git(work, 'status', '--porcelain').trim()).toBe('');
  });

  it('stores a file whose chunks sha256sum can find in the pack by its index alone', () => {
    const remote = path.join(place, 'remote');
    const packs = fs
      .readdirSync(remote, { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.pack'));
    for (const pack of packs) {
      const name = path.basename(pack, '.pack');
      const index = path.join(remote, 'index', name.slice(0, 2), `${name}.idx`);
      expect(execFileSync('sha256sum', [index], { encoding: 'utf8' }).slice(0, 64)).toBe(name);
      const rows = fs.readFileSync(index);
      for (let at = 16; at < rows.length; at += 52 * 50) {
        const offset = Number(rows.readBigUInt64LE(at + 32));
        const length = rows.readUInt32LE(at + 40);
        const chunk = fs.readFileSync(path.join(remote, pack)).subarray(offset, offset + length);
        const judged = execFileSync('sha256sum', { input: chunk, encoding: 'utf8' }).slice(0, 64);
        expect(judged).toBe(rows.subarray(at, at + 32).toString('hex'));
      }
    }
    expect(packs.length).toBeGreaterThan(0);
  });
});
