import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { fileURLToPath } from 'node:url';
import { crc32 } from 'node:zlib';
import { beforeAll, describe, expect, it } from 'vitest';
import { installDebian } from '../support/debian.ts';
import { gitTestEnv } from '../support/git.ts';
import { bytesUsed, mountReflinkDisk } from '../support/reflink-disk.ts';

const mstoreProgram = fileURLToPath(new URL('../../bin/mstore.js', import.meta.url));
const mib = 1024 * 1024;

function mstore(cwd: string, ...args: string[]): void {
  execFileSync(process.execPath, [mstoreProgram, ...args], { cwd, env: gitTestEnv, stdio: 'pipe' });
}

function digestOf(file: string): string {
  return createHash('sha256').update(fs.readFileSync(file)).digest('hex');
}

/** A workspace with two versions of a file of 100 MiB that differ in one MiB; the second is in place. */
function twoVersions(place: string): { work: string; model: string; pointers: Buffer[] } {
  const work = path.join(place, 'work');
  const model = path.join(work, 'model.bin');
  fs.mkdirSync(work);
  mstore(work, 'init', '--no-git');
  fs.writeFileSync(model, randomBytes(100 * mib), { mode: 0o640 });
  const pointers: Buffer[] = [];
  for (let version = 0; version < 2; version++) {
    if (version === 1) {
      const fd = fs.openSync(model, 'r+');
      fs.writeSync(fd, randomBytes(mib), 0, mib, 50 * mib);
      fs.closeSync(fd);
    }
    mstore(work, 'add', 'model.bin');
    pointers.push(fs.readFileSync(`${model}.mstore`));
  }
  return { work, model, pointers };
}

describe('on a file system that clones', () => {
  beforeAll(() => installDebian('mkfs.xfs', 'xfsprogs'));

  it('writes only what differs from the older version of a large file', () => {
    const { work, model, pointers } = twoVersions(mountReflinkDisk(1024));
    // The second version stays in use here, so that what the first one shares with it shows.
    fs.linkSync(model, `${model}.kept`);
    const before = bytesUsed(work);
    fs.writeFileSync(`${model}.mstore`, pointers[0] as Buffer);
    mstore(work, 'checkout');
    expect(digestOf(model)).toBe(JSON.parse(String(pointers[0])).sha256);
    expect(digestOf(`${model}.kept`)).toBe(JSON.parse(String(pointers[1])).sha256);
    expect(bytesUsed(work) - before).toBeLessThan(20 * mib);
    expect(fs.statSync(model).nlink).toBe(1);
  });

  it('does not trust the older version where it was changed behind its times', () => {
    const { work, model, pointers } = twoVersions(mountReflinkDisk(1024));
    // The stat cache can be told a lie only by setting times: ctime cannot be set, so the clock is.
    const { atime, mtime } = fs.statSync(model);
    const cache = path.join(work, '.modelstore/cache/stat');
    const [name] = fs.readdirSync(cache) as [string];
    const old = fs.statSync(model, { bigint: true });
    const fd = fs.openSync(model, 'r+');
    fs.writeSync(fd, randomBytes(10), 0, 10, 20 * mib);
    fs.closeSync(fd);
    fs.utimesSync(model, atime, mtime);
    const now = fs.statSync(model, { bigint: true });
    const text = fs.readFileSync(path.join(cache, name), 'utf8').slice(9);
    const stamp = (stat: fs.BigIntStats) =>
      `${stat.size} ${stat.mtimeNs} ${stat.ctimeNs} ${stat.ino}`;
    expect(text).toContain(stamp(old));
    const lie = text.replace(stamp(old), stamp(now));
    const sum = crc32(lie).toString(16).padStart(8, '0');
    fs.writeFileSync(path.join(cache, name), `${sum}\n${lie}`);
    fs.writeFileSync(`${model}.mstore`, pointers[0] as Buffer);
    mstore(work, 'checkout');
    expect(digestOf(model)).toBe(JSON.parse(String(pointers[0])).sha256);
  });

  it('places a clone that is no part of the store', () => {
    const { work, model, pointers } = twoVersions(mountReflinkDisk(1024));
    fs.rmSync(model);
    mstore(work, 'checkout', '--link', 'reflink');
    const before = bytesUsed(work);
    fs.rmSync(model);
    mstore(work, 'checkout', '--link', 'reflink');
    expect(bytesUsed(work) - before).toBeLessThan(10 * mib);
    fs.writeFileSync(model, 'changed by its user');
    fs.rmSync(model);
    mstore(work, 'checkout', '--link', 'reflink');
    expect(digestOf(model)).toBe(JSON.parse(String(pointers[1])).sha256);
  });
});
