/*
 * Loaded into the command line with --import: numbers its file operations below one folder, writes each to a
 * log, and lets the n-th fail or kill the process. It stands in front of Node's `fs`, so it needs nothing but
 * Node; crash-wrapper.c does the same in front of the system, where one operation may be several calls. The
 * variables and the log are those of crash-wrapper.c, without the bytes.
 */
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import os from 'node:os';
import path from 'node:path';

const { MSTORE_CRASH_ROOT: root, MSTORE_CRASH_LOG: log, MSTORE_CRASH_HOW: how } = process.env;
const faultAt = Number(process.env.MSTORE_CRASH_AT);
const real = { ...fs, promises: { ...fs.promises } };
const logFd = real.openSync(log, 'a');
/** Paths of open descriptors below the folder. */
const open = new Map();
const making = ['create', 'mkdir', 'link', 'symlink', 'ftruncate'];
let calls = 0;
let diskIsFull = false;

function below(name) {
  const full = path.resolve(String(name));
  return full === root || full.startsWith(`${root}/`) ? full : undefined;
}

function note(number, name, result, length, where, second) {
  const fields = [number, name, result, -1, 0, length, -1, where, second ?? ''];
  real.writeSync(logFd, `${fields.join('\t')}\n`);
}

function systemError(code, name, where) {
  const errno = -os.constants.errno[code];
  const text = `${code}: made to fail, ${name} '${where}'`;
  return Object.assign(new Error(text), { code, errno, syscall: name, path: where });
}

/**
 * Numbers an operation before it happens; what it is to do instead is done here.
 * @param half does half of a write
 * @returns what to tell once it is known how it ended
 */
function begin(name, where, { second, length = 0, half } = {}) {
  const number = ++calls;
  const done = (result) => note(number, name, result, length, where, second);
  const fail = (code) => {
    done(-os.constants.errno[code]);
    throw systemError(code, name, where);
  };
  if (number !== faultAt) {
    if (diskIsFull && (half !== undefined || making.includes(name))) fail('ENOSPC');
    return done;
  }
  if (how === 'ENOSPC') diskIsFull = true;
  if (how === 'torn' || how === 'ENOSPC') half?.();
  if (how !== 'kill' && how !== 'torn') fail(how);
  done(-os.constants.errno.EINTR);
  process.kill(process.pid, 'SIGKILL');
  throw new Error('This process has ended');
}

/** Does an operation and tells how it ended. */
function tell(done, work) {
  try {
    const result = work();
    done(0);
    return result;
  } catch (error) {
    done(error.errno ?? -1);
    throw error;
  }
}

function nameOfOpen(where, flags) {
  const text = typeof flags === 'number' ? '' : (flags ?? 'r');
  const { O_CREAT, O_WRONLY, O_RDWR } = fs.constants;
  const writes = typeof flags === 'number' ? (flags & (O_WRONLY | O_RDWR)) !== 0 : text !== 'r';
  const creates = typeof flags === 'number' ? (flags & O_CREAT) !== 0 : /[wa]/.test(text);
  if (creates && !real.existsSync(where)) return 'create';
  return writes ? 'open-write' : 'open';
}

fs.openSync = (name, flags, ...more) => {
  const where = below(name);
  if (where === undefined) return real.openSync(name, flags, ...more);
  const done = begin(nameOfOpen(where, flags), where);
  const fd = tell(done, () => real.openSync(name, flags, ...more));
  open.set(fd, where);
  return fd;
};

fs.closeSync = (fd) => {
  open.delete(fd);
  return real.closeSync(fd);
};

/** Replaces operations on one path. */
for (const [method, name] of Object.entries({
  readdirSync: 'opendir',
  opendirSync: 'opendir',
  unlinkSync: 'unlink',
  rmdirSync: 'rmdir',
  rmSync: 'remove',
  chmodSync: 'chmod',
})) {
  fs[method] = (target, ...more) => {
    const where = below(target);
    if (where === undefined) return real[method](target, ...more);
    return tell(begin(name, where), () => real[method](target, ...more));
  };
}

/** The folders are made one by one, as the system does. */
fs.mkdirSync = (target, options) => {
  const where = below(target);
  if (where === undefined) return real.mkdirSync(target, options);
  if (!options?.recursive)
    return tell(begin('mkdir', where), () => real.mkdirSync(target, options));
  if (real.existsSync(where)) return real.mkdirSync(target, options);
  const first = fs.mkdirSync(path.dirname(where), options);
  tell(begin('mkdir', where), () => real.mkdirSync(where));
  return first ?? where;
};

/** Replaces operations on two paths. */
for (const [method, name] of Object.entries({
  renameSync: 'rename',
  linkSync: 'link',
  copyFileSync: 'create',
})) {
  fs[method] = (from, to, ...more) => {
    const where = below(to);
    if (where === undefined) return real[method](from, to, ...more);
    return tell(begin(name, String(from), { second: where }), () =>
      real[method](from, to, ...more),
    );
  };
}

fs.symlinkSync = (text, target, ...more) => {
  const where = below(target);
  if (where === undefined) return real.symlinkSync(text, target, ...more);
  const done = begin('symlink', where, { second: text });
  return tell(done, () => real.symlinkSync(text, target, ...more));
};

/** Replaces operations on descriptors. */
for (const [method, name] of Object.entries({
  fsyncSync: 'fsync',
  fdatasyncSync: 'fdatasync',
  ftruncateSync: 'ftruncate',
  fchmodSync: 'fchmod',
  readSync: 'read',
})) {
  fs[method] = (fd, ...more) => {
    const where = open.get(fd);
    if (where === undefined) return real[method](fd, ...more);
    return tell(begin(name, where), () => real[method](fd, ...more));
  };
}

fs.writeSync = (fd, bytes, from, length, position) => {
  const where = open.get(fd);
  if (where === undefined) return real.writeSync(fd, bytes, from, length, position);
  const half = () => real.writeSync(fd, bytes, from, length >> 1, position);
  const done = begin('write', where, { length, half });
  return tell(done, () => real.writeSync(fd, bytes, from, length, position));
};

/** Replaces operations that go on in the background and call back. */
for (const [method, name] of Object.entries({ read: 'read', write: 'write' })) {
  fs[method] = (fd, bytes, from, length, position, back) => {
    const where = open.get(fd);
    if (where === undefined) return real[method](fd, bytes, from, length, position, back);
    const half =
      name === 'write' ? () => real.writeSync(fd, bytes, from, length >> 1, position) : undefined;
    try {
      const done = begin(name, where, { length, half });
      return real[method](fd, bytes, from, length, position, (error, ...result) => {
        done(error?.errno ?? 0);
        back(error, ...result);
      });
    } catch (error) {
      return setImmediate(back, error);
    }
  };
  Object.defineProperty(fs[method], Symbol.for('nodejs.util.promisify.custom'), {
    value: (fd, bytes, from, length, position) =>
      new Promise((resolve, reject) => {
        fs[method](fd, bytes, from, length, position, (error, count) => {
          const counted = name === 'read' ? { bytesRead: count } : { bytesWritten: count };
          if (error) reject(error);
          else resolve({ ...counted, buffer: bytes });
        });
      }),
  });
}

fs.promises.open = async (name, flags, ...more) => {
  const where = below(name);
  if (where === undefined) return real.promises.open(name, flags, ...more);
  const done = begin(nameOfOpen(where, flags), where);
  const handle = await real.promises.open(name, flags, ...more);
  done(0);
  open.set(handle.fd, where);
  const { close, datasync } = handle;
  handle.close = () => {
    open.delete(handle.fd);
    return close.call(handle);
  };
  handle.datasync = async () => {
    const synced = begin('fdatasync', where);
    await datasync.call(handle);
    synced(0);
  };
  return handle;
};

fs.promises.writeFile = async (name, bytes, options) => {
  const where = below(name);
  if (where === undefined) return real.promises.writeFile(name, bytes, options);
  begin('create', where)(0);
  const half = () => real.writeFileSync(name, bytes.subarray(0, bytes.length >> 1), options);
  const done = begin('write', where, { length: bytes.length, half });
  await real.promises.writeFile(name, bytes, options);
  done(0);
};

syncBuiltinESMExports();
