import * as childProcess from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { clearDeadTemps } from '../../../src/base/dead-temps.ts';
import { sha256 } from '../../../src/base/digest.ts';
import {
  ensureFolder,
  isTempName,
  publishIfAbsent,
  readBounded,
  readFully,
  removeFile,
  tempName,
  writeAtomically,
  writeFully,
} from '../../../src/base/files.ts';
import { hostToken } from '../../../src/base/host.ts';
import { tempFolder } from '../../support/temp.ts';

/** Calls that a test makes fail; the code of the error by the name of the call. */
const failing = vi.hoisted(() => new Map<string, string>());
/** Called in front of the next rename: what another process does in between. */
const meanwhile = vi.hoisted(() => ({ rename: undefined as (() => void) | undefined }));

vi.mock('node:fs', async (importOriginal) => {
  const real = await importOriginal<typeof fs>();
  const guard = <A extends unknown[], R>(name: string, work: (...args: A) => R) => {
    return (...args: A): R => {
      const code = failing.get(name);
      if (code !== undefined) throw Object.assign(new Error(`${code}: ${name}`), { code });
      return work(...args);
    };
  };
  return {
    ...real,
    linkSync: guard('link', real.linkSync),
    fsyncSync: guard('fsync', real.fsyncSync),
    renameSync: guard('rename', (from: string, to: string) => {
      meanwhile.rename?.();
      meanwhile.rename = undefined;
      real.renameSync(from, to);
    }),
    writeSync: guard(
      'write',
      (fd: number, bytes: Uint8Array, from: number, length: number, at: number | null) => {
        // Systems may take fewer bytes than offered.
        return real.writeSync(fd, bytes, from, Math.min(length, 3), at);
      },
    ),
  };
});

let folder: string;
beforeEach(() => {
  failing.clear();
  meanwhile.rename = undefined;
  folder = tempFolder();
});

const at = (name: string) => path.join(folder, name);
const list = () => fs.readdirSync(folder).sort();

/** The id of a process that has surely ended. */
function deadPid(): number {
  const { pid } = childProcess.spawnSync(process.execPath, ['-e', '']);
  return pid;
}

describe('writeAtomically', () => {
  it('writes whole files, and leaves nothing else', () => {
    expect(writeAtomically(at('a'), 'first text')).toBe(true);
    expect(writeAtomically(at('a'), Buffer.from('second, longer text'))).toBe(true);
    expect(fs.readFileSync(at('a'), 'utf8')).toBe('second, longer text');
    expect(writeAtomically(at('empty'), '', { unsynced: true })).toBe(true);
    expect(list()).toEqual(['a', 'empty']);
  });

  it('keeps what is there with ifAbsent', () => {
    expect(writeAtomically(at('a'), 'one', { ifAbsent: true })).toBe(true);
    expect(writeAtomically(at('a'), 'two', { ifAbsent: true })).toBe(false);
    expect(fs.readFileSync(at('a'), 'utf8')).toBe('one');
    expect(list()).toEqual(['a']);
  });

  it.each([
    ['write', 'ENOSPC', 'no-space'],
    ['fsync', 'EIO', 'io'],
    ['rename', 'EACCES', 'permission-denied'],
  ])('leaves the old file when %s fails with %s', (call, system, code) => {
    writeAtomically(at('a'), 'old');
    failing.set(call, system);
    expect(() => writeAtomically(at('a'), 'new')).toThrow(
      expect.objectContaining({ code }) as Error,
    );
    expect(fs.readFileSync(at('a'), 'utf8')).toBe('old');
    expect(list()).toEqual(['a']);
  });

  it('does not mind a file system that cannot flush folders', () => {
    fs.writeFileSync(at('a'), '');
    failing.set('fsync', 'EINVAL');
    expect(() => writeAtomically(at('a'), 'x', { unsynced: true })).not.toThrow();
    expect(() => ensureFolder(at('b/c'))).not.toThrow();
  });

  it('can make its temporary file elsewhere, and says where it may not write', () => {
    ensureFolder(at('tmp'));
    fs.mkdirSync(at('sub'));
    writeAtomically(at('sub/a'), 'x', { tempFolder: at('tmp') });
    expect(fs.readdirSync(at('tmp'))).toEqual([]);
    expect(() => writeAtomically(at('none/a'), 'x')).toThrow(
      expect.objectContaining({ code: 'not-found' }) as Error,
    );
  });
});

describe('publishIfAbsent', () => {
  const publish = (text: string): boolean => {
    const temp = at(tempName());
    fs.writeFileSync(temp, text);
    return publishIfAbsent(temp, at('target'));
  };

  it('lets the first win, and removes the temporary file of all', () => {
    expect(publish('one')).toBe(true);
    expect(publish('two')).toBe(false);
    expect(fs.readFileSync(at('target'), 'utf8')).toBe('one');
    expect(list()).toEqual(['target']);
  });

  it.each(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK'])(
    'does so without hard links (%s)',
    (code) => {
      failing.set('link', code);
      expect(publish('one')).toBe(true);
      expect(publish('two')).toBe(false);
      expect(fs.readFileSync(at('target'), 'utf8')).toBe('one');
      expect(list()).toEqual(['target']);
    },
  );

  it('counts a link whose reply was lost as made', () => {
    const temp = at(tempName());
    fs.writeFileSync(temp, 'one');
    fs.linkSync(temp, at('target'));
    expect(publishIfAbsent(temp, at('target'))).toBe(true);
    expect(list()).toEqual(['target']);
  });

  it('passes other failures on, and still removes the temporary file', () => {
    failing.set('link', 'ENOSPC');
    expect(() => publish('one')).toThrow(/ENOSPC/);
    expect(list()).toEqual([]);
  });

  const lockName = () => `.${sha256(at('target')).slice(0, 32)}.lock`;

  it('takes over the lock of a dead process', () => {
    failing.set('link', 'EPERM');
    fs.writeFileSync(at(lockName()), JSON.stringify({ host: hostToken(), pid: deadPid() }));
    expect(publish('one')).toBe(true);
    expect(list()).toEqual(['target']);
  });

  it('takes over a lock that was never completed, once it is old', () => {
    failing.set('link', 'EPERM');
    fs.writeFileSync(at(lockName()), '');
    const old = Date.now() / 1000 - 60;
    fs.utimesSync(at(lockName()), old, old);
    expect(publish('one')).toBe(true);
  });

  it('waits for a live holder and gives up at last', () => {
    failing.set('link', 'EPERM');
    fs.writeFileSync(at(lockName()), JSON.stringify({ host: hostToken(), pid: process.ppid }));
    const clock = vi.spyOn(performance, 'now');
    let time = 0;
    clock.mockImplementation(() => {
      time += 1_000;
      return time;
    });
    try {
      expect(() => publish('one')).toThrow(expect.objectContaining({ code: 'locked' }) as Error);
    } finally {
      clock.mockRestore();
    }
    expect(list()).toEqual([lockName()]);
  });
});

describe('names of temporary files', () => {
  it('differ, and are recognised alone and behind a prefix', () => {
    const names = new Set(Array.from({ length: 1_000 }, () => tempName()));
    expect(names.size).toBe(1_000);
    for (const name of names) {
      expect(isTempName(name)).toBe(true);
      expect(isTempName(`.${name}`)).toBe(true);
      expect(isTempName(`.out.v1.${name}`)).toBe(true);
    }
  });

  it.each([
    'model.tmp',
    '.tmp',
    'abc-1-0123456789abcdef.tmp',
    '0123456789ab-1-0123456789abcdef.bin',
    '0123456789ab-1-0123456789abcde.tmp',
    '0123456789ab-x-0123456789abcdef.tmp',
    'x0123456789ab-1-0123456789abcdef.tmp',
    '0123456789ab-1-0123456789abcdef.tmp.bak',
  ])('are not the user’s own: %s', (name) => {
    expect(isTempName(name)).toBe(false);
  });
});

describe('clearDeadTemps', () => {
  const temp = (host: string, pid: number, prefix = '') =>
    `${prefix}${host}-${pid}-0123456789abcdef.tmp`;
  const day = 24 * 60 * 60 * 1000;
  const clock = (ms: number) => ({ now: () => ms, monotonic: () => 0 });

  it('removes what dead processes of this host left, files and folders', () => {
    const dead = deadPid();
    fs.writeFileSync(at(temp(hostToken(), dead)), 'x');
    fs.mkdirSync(at(temp(hostToken(), dead, '.out.')));
    fs.writeFileSync(at(`${temp(hostToken(), dead, '.out.')}/file`), 'x');
    fs.writeFileSync(at(temp(hostToken(), process.pid)), 'mine');
    fs.writeFileSync(at(temp(hostToken(), process.ppid)), 'alive');
    fs.writeFileSync(at('model.tmp'), 'not ours');
    expect(clearDeadTemps(folder)).toBe(2);
    expect(list()).toEqual(
      [temp(hostToken(), process.pid), temp(hostToken(), process.ppid), 'model.tmp'].sort(),
    );
  });

  it('leaves those of other hosts for a day', () => {
    const foreign = temp('0123456789ab', 1);
    fs.writeFileSync(at(foreign), 'x');
    const made = fs.statSync(at(foreign)).mtimeMs;
    expect(clearDeadTemps(folder, '', clock(made + day - 1))).toBe(0);
    expect(clearDeadTemps(folder, '', clock(made + day + 1))).toBe(1);
    expect(list()).toEqual([]);
  });

  it('looks only behind the prefix, and does not mind a folder that is not there', () => {
    const dead = deadPid();
    fs.writeFileSync(at(temp(hostToken(), dead, '.a.')), 'x');
    fs.writeFileSync(at(temp(hostToken(), dead, '.b.')), 'x');
    expect(clearDeadTemps(folder, '.a.')).toBe(1);
    expect(list()).toEqual([temp(hostToken(), dead, '.b.')]);
    expect(clearDeadTemps(at('none'))).toBe(0);
  });
});

describe('reading and writing', () => {
  it('goes on after short writes and ends at the end of the file', () => {
    const fd = fs.openSync(at('a'), 'w+');
    writeFully(fd, Buffer.from('0123456789'));
    writeFully(fd, Buffer.from('abcd'), 2);
    const target = Buffer.alloc(20);
    expect(readFully(fd, target, 0)).toBe(10);
    expect(target.toString('latin1', 0, 10)).toBe('01abcd6789');
    fs.closeSync(fd);
  });

  it('reads small files whole, none as undefined, large ones not', () => {
    fs.writeFileSync(at('a'), '12345');
    expect(readBounded(at('a'), 5)?.toString()).toBe('12345');
    expect(readBounded(at('none'), 5)).toBeUndefined();
    expect(readBounded(at('a/b'), 5)).toBeUndefined();
    expect(() => readBounded(at('a'), 4)).toThrow(
      expect.objectContaining({ code: 'too-large' }) as Error,
    );
    expect(() => readBounded(folder, 5)).toThrow(expect.objectContaining({ code: 'io' }) as Error);
  });

  it('does not hang on a FIFO', () => {
    childProcess.execFileSync('mkfifo', [at('fifo')]);
    expect(() => readBounded(at('fifo'), 5)).toThrow(/not a regular file/);
  });

  it('removes files, also those that are not there', () => {
    fs.writeFileSync(at('a'), '');
    removeFile(at('a'));
    removeFile(at('a'));
    expect(() => removeFile(folder)).toThrow();
  });
});
