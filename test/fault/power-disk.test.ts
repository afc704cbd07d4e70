import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Call } from '../support/crash-calls.ts';
import { FolderWriter, readFolder } from '../support/crash-folders.ts';
import { scratchFolder } from '../support/flow-scratch.ts';
import { type Loss, PowerDisk } from '../support/power-disk.ts';

const root = '/world';

/** A call with what matters of it. */
function call(name: string, fields: Partial<Call>): Call {
  const none = { number: 1, result: 0, fd: -1, offset: 0, length: 0, data: -1 };
  return { ...none, path: '', second: '', name, ...fields };
}

function writeFile(name: string, fd: number, data: Buffer): Call[] {
  return [
    call('create', { path: `${root}/${name}`, fd, length: 0o644 }),
    call('write', { fd, length: data.length, data: 0 }),
  ];
}

/** A disk with the file `old` and the folder `tmp`, after some calls; all write the same bytes. */
function diskAfter(calls: readonly Call[], data = Buffer.from('new')): PowerDisk {
  const image = scratchFolder();
  fs.writeFileSync(path.join(image, 'old'), 'old');
  fs.mkdirSync(path.join(image, 'tmp'));
  const disk = new PowerDisk(readFolder(image), root);
  for (const each of calls) disk.apply(each, data);
  return disk;
}

const strict: Loss = { names: () => 0, bytes: () => 'none' };
const lossy: Loss = { names: (count) => count, bytes: () => 'none' };

/** What a cut leaves: files with their bytes, folders with a slash. */
function left(disk: PowerDisk, loss: Loss): Record<string, string> {
  const to = path.join(scratchFolder(), 'image');
  new FolderWriter(to).write(disk.left(loss));
  const entries = fs.readdirSync(to, { recursive: true, withFileTypes: true });
  return Object.fromEntries(
    entries.map((entry) => {
      const full = path.join(entry.parentPath, entry.name);
      const name = path.relative(to, full);
      return entry.isDirectory() ? [`${name}/`, ''] : [name, fs.readFileSync(full, 'utf8')];
    }),
  );
}

const fsync = (fd: number): Call => call('fsync', { fd });
const openFolder = (name: string, fd: number): Call =>
  call('open', { path: path.join(root, name), fd });
const rename = (from: string, to: string): Call =>
  call('rename', { path: `${root}/${from}`, second: `${root}/${to}` });
const start = { old: 'old', 'tmp/': '' };

describe('a disk that loses what was not flushed', () => {
  it('forgets a new name, or its bytes', () => {
    const disk = diskAfter(writeFile('made', 5, Buffer.from('new')));
    expect(left(disk, strict)).toEqual(start);
    expect(left(disk, lossy)).toEqual({ ...start, made: '' });
    expect(left(disk, { ...lossy, bytes: () => 'half' })).toEqual({ ...start, made: 'n' });
    expect(left(disk, { ...lossy, bytes: () => 'zeros' })).toEqual({ ...start, made: '\0\0\0' });
  });

  it('keeps bytes by fsync of the file, and the name by fsync of the folder', () => {
    const calls = [...writeFile('made', 5, Buffer.from('new')), fsync(5)];
    expect(left(diskAfter(calls), strict)).toEqual(start);
    expect(left(diskAfter(calls), lossy)).toEqual({ ...start, made: 'new' });
    const flushed = diskAfter([...calls, openFolder('.', 6), fsync(6)]);
    expect(left(flushed, strict)).toEqual({ ...start, made: 'new' });
  });

  it('may keep a rename with none of the bytes, which is why they are flushed before', () => {
    const calls = [...writeFile('tmp/1', 5, Buffer.from('new')), rename('tmp/1', 'old')];
    expect(left(diskAfter(calls), lossy)).toEqual({ 'tmp/': '', old: '' });
    expect(left(diskAfter(calls), strict)).toEqual(start);
  });

  it('keeps names of one folder in their order', () => {
    const calls = [
      call('mkdir', { path: `${root}/a` }),
      call('mkdir', { path: `${root}/b` }),
      call('unlink', { path: `${root}/old` }),
    ];
    const one: Loss = { names: (count) => Math.min(count, 1), bytes: () => 'all' };
    expect(left(diskAfter(calls), one)).toEqual({ ...start, 'a/': '' });
  });

  it('loses what is in a folder whose own name is lost', () => {
    const calls = [
      call('mkdir', { path: `${root}/a` }),
      ...writeFile('a/1', 5, Buffer.from('new')),
      fsync(5),
      openFolder('a', 6),
      fsync(6),
    ];
    expect(left(diskAfter(calls), strict)).toEqual(start);
    const flushed = diskAfter([...calls, openFolder('.', 7), fsync(7)]);
    expect(left(flushed, strict)).toEqual({ ...start, 'a/': '', 'a/1': 'new' });
  });

  it('does not do what failed', () => {
    const disk = diskAfter([{ ...call('unlink', { path: `${root}/old` }), result: -5 }]);
    expect(left(disk, lossy)).toEqual(start);
  });
});
