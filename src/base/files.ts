import * as fs from 'node:fs';
import * as path from 'node:path';
import { promisify } from 'node:util';
import { type Clock, systemClock, systemRandom } from './clock.ts';
import { sha256 } from './digest.ts';
import { fromSystemError, MstoreError, systemCode } from './errors.ts';
import { type Owner, ownerIsGone, parseOwner, thisOwner } from './host.ts';

const read = promisify(fs.read);
const write = promisify(fs.write);

/**
 * Makes a folder and those above it; the entries made are flushed, so that a file published in the
 * folder cannot lose its way after a crash. They are made one by one, each flushed before something is
 * put into it. So a folder that holds something is on the disk for certain, and one that is empty may be
 * what a process left that ended before it came to flush it: then it is flushed here.
 */
export function ensureFolder(folder: string): void {
  if (makeFolder(folder)) syncFolder(path.dirname(folder));
  else if (isEmptyFolder(folder)) trySyncFolder(path.dirname(folder));
}

/** The same for what may be lost in a crash: those above it are flushed, it is not. */
export function ensureCacheFolder(folder: string): void {
  makeFolder(folder);
}

/** Makes one folder, after those above it where they are missing; returns false when it is there. */
function makeFolder(folder: string): boolean {
  const above = path.dirname(folder);
  try {
    return makeOneFolder(folder);
  } catch (error) {
    if (systemCode(error) !== 'ENOENT' || above === folder) throw error;
  }
  ensureFolder(above);
  return makeOneFolder(folder);
}

function makeOneFolder(folder: string): boolean {
  try {
    fs.mkdirSync(folder);
    return true;
  } catch (error) {
    // Of a folder that is there systems say several things, such as that its file system is read-only.
    if (fs.statSync(folder, { throwIfNoEntry: false })?.isDirectory()) return false;
    throw error;
  }
}

function isEmptyFolder(folder: string): boolean {
  try {
    const entries = fs.opendirSync(folder);
    try {
      return entries.readSync() === null;
    } finally {
      entries.closeSync();
    }
  } catch (error) {
    if (refusals.includes(systemCode(error) ?? '')) return false;
    throw error;
  }
}

/** Flushes the entries of a folder that may be another user's; whoever made them there flushes them. */
function trySyncFolder(folder: string): void {
  try {
    syncFolder(folder);
  } catch (error) {
    if (!refusals.includes(systemCode(error) ?? '')) throw error;
  }
}

/**
 * Names are flushed by whoever makes them. What ended before it came to that left names that everybody
 * sees and that a power cut takes away; after this time the system has written them by itself.
 */
const settledMs = 60 * 60 * 1000;

/**
 * Flushes the entries of a folder if some are so new that their maker may have ended before it came to
 * that: for whoever builds on names that it did not make.
 */
export function settleFolder(folder: string, clock: Clock = systemClock): void {
  const stat = fs.statSync(folder, { throwIfNoEntry: false });
  if (stat !== undefined && clock.now() - stat.mtimeMs < settledMs) trySyncFolder(folder);
}

const refusals = ['EACCES', 'EPERM', 'EROFS'];

/** Flushes the entries of a folder. A no-op where the system cannot open folders (Windows). */
export function syncFolder(folder: string): void {
  let fd: number;
  try {
    fd = fs.openSync(folder, 'r');
  } catch (error) {
    if (process.platform === 'win32') return;
    throw error;
  }
  try {
    fs.fsyncSync(fd);
  } catch (error) {
    // Some file systems cannot flush folders; then the order of rename and flush is theirs to keep.
    if (!['EINVAL', 'ENOTSUP', 'EPERM', 'EBADF'].includes(systemCode(error) ?? '')) throw error;
  } finally {
    fs.closeSync(fd);
  }
}

/** Writes all of `bytes`, however the system splits the writes. */
export function writeFully(fd: number, bytes: Uint8Array, position: number | null = null): void {
  let done = 0;
  while (done < bytes.length) {
    const at = position === null ? null : position + done;
    const written = fs.writeSync(fd, bytes, done, bytes.length - done, at);
    if (written === 0) {
      throw new MstoreError('io', 'Failed writing: the system accepted no bytes');
    }
    done += written;
  }
}

/** The same in the background: `bytes` must stay as they are until the promise has ended. */
export async function writeFullyAsync(
  fd: number,
  bytes: Uint8Array,
  position: number,
): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const { bytesWritten } = await write(fd, bytes, done, bytes.length - done, position + done);
    if (bytesWritten === 0) {
      throw new MstoreError('io', 'Failed writing: the system accepted no bytes');
    }
    done += bytesWritten;
  }
}

/** Writes all of `bytes` where a file that is open stands. */
export async function writeOn(handle: fs.promises.FileHandle, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const { bytesWritten } = await handle.write(bytes, done);
    if (bytesWritten === 0) {
      throw new MstoreError('io', 'Failed writing: the system accepted no bytes');
    }
    done += bytesWritten;
  }
}

/** Reads until `target` is full or the file ends; returns the number of bytes read. */
export function readFully(fd: number, target: Uint8Array, position: number | null = null): number {
  let done = 0;
  while (done < target.length) {
    const at = position === null ? null : position + done;
    const count = fs.readSync(fd, target, done, target.length - done, at);
    if (count === 0) break;
    done += count;
  }
  return done;
}

/** The same in the background: nobody else may use `target` until the promise has ended. */
export async function readFullyAsync(
  fd: number,
  target: Uint8Array,
  position: number,
): Promise<number> {
  let done = 0;
  while (done < target.length) {
    const count = await readOnce(fd, target.subarray(done), position + done);
    if (count === 0) break;
    done += count;
  }
  return done;
}

/** The same by one call, which may read fewer bytes than there are. */
export async function readOnce(fd: number, target: Uint8Array, position: number): Promise<number> {
  return (await read(fd, target, 0, target.length, position)).bytesRead;
}

/**
 * Reads a small file whole; returns undefined when it does not exist.
 * @param noFollow refuses a symbolic link: for files that are written again with what was read, so that a
 * link to a file of secrets does not become a copy of them
 * @throws MstoreError `too-large` when it holds more than `bytesMax`; `io` for what is no regular file
 */
export function readBounded(
  file: string,
  bytesMax: number,
  { noFollow = false } = {},
): Buffer | undefined {
  // O_NONBLOCK: opening a FIFO that stands where a file is expected must not hang.
  const { O_RDONLY, O_NONBLOCK = 0, O_NOFOLLOW = 0 } = fs.constants;
  let fd: number;
  try {
    // Windows does not know the flag.
    if (noFollow && fs.lstatSync(file).isSymbolicLink()) throw linkRefused(file);
    fd = fs.openSync(file, O_RDONLY | O_NONBLOCK | (noFollow ? O_NOFOLLOW : 0));
  } catch (error) {
    if (systemCode(error) === 'ENOENT' || systemCode(error) === 'ENOTDIR') return undefined;
    if (noFollow && systemCode(error) === 'ELOOP') throw linkRefused(file);
    throw fromSystemError(error, `reading ${file}`);
  }
  try {
    const stat = fs.fstatSync(fd);
    if (!stat.isFile()) throw new MstoreError('io', `Failed reading ${file}: not a regular file`);
    if (stat.size > bytesMax) {
      throw new MstoreError(
        'too-large',
        `${file} holds ${stat.size} bytes; at most ${bytesMax} are read`,
        {
          hint: 'Such files are small: look whether something else was put in its place',
          details: { path: file, size: stat.size },
        },
      );
    }
    const bytes = Buffer.allocUnsafe(stat.size);
    return bytes.subarray(0, readFully(fd, bytes));
  } catch (error) {
    throw fromSystemError(error, `reading ${file}`);
  } finally {
    fs.closeSync(fd);
  }
}

function linkRefused(file: string): MstoreError {
  const hint = 'Put a regular file in the place of the link, then run the same command again';
  return new MstoreError('io', `Failed reading ${file}: it is a symbolic link`, { hint });
}

/** Removes a file; one that is not there is success. */
export function removeFile(file: string): void {
  try {
    fs.unlinkSync(file);
  } catch (error) {
    if (systemCode(error) !== 'ENOENT') throw error;
  }
}

let tempsMade = 0;
let tempBase: string | undefined;

/**
 * Makes names for temporary files that tell who made them: `HOST-PID-NUMBER.tmp`. No two are the same:
 * behind the process come a random number, one a thread, and a count.
 */
export function tempName(): string {
  const owner = thisOwner();
  tempBase ??= `${owner.host}-${owner.pid}-${systemRandom.hex(4)}`;
  return `${tempBase}${(tempsMade++).toString(16).padStart(8, '0')}.tmp`;
}

const tempNamePattern = /^\.?(?:[^/]*\.)?([0-9a-f]{12})-(\d{1,10})-[0-9a-f]{16}\.tmp$/;

/**
 * Tells whether `name` has the form of {@link tempName}, alone or behind a prefix that ends with a dot.
 */
export function isTempName(name: string): boolean {
  return tempOwner(name) !== undefined;
}

/** Tells who made a temporary file, by its name; undefined for other names. */
export function tempOwner(name: string): Owner | undefined {
  const [, host, pid] = tempNamePattern.exec(name) ?? [];
  return host === undefined ? undefined : { host, pid: Number(pid) };
}

/**
 * Gives a complete, flushed temporary file its final name, replacing what is there.
 * The caller flushes the folder, once for many files.
 */
export function publishReplacing(temp: string, target: string): void {
  fs.renameSync(temp, target);
}

/**
 * Gives a complete, flushed temporary file its final name only if that name is free; one winner among
 * many processes. The temporary file is gone afterwards, whoever won.
 * @returns whether this call made the name
 */
export function publishIfAbsent(temp: string, target: string): boolean {
  try {
    fs.linkSync(temp, target);
    return true;
  } catch (error) {
    const code = systemCode(error) ?? '';
    // On a network file system the reply to a link that worked may be lost, and the retry finds it made.
    if (code === 'EEXIST') return fs.statSync(temp).nlink > 1;
    if (!['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK'].includes(code)) throw error;
    return renameIfAbsent(temp, target);
  } finally {
    removeFile(temp);
  }
}

/** Milliseconds a publisher waits for another one of the same name; each holds its lock for some 1 ms. */
const renameWaitMsMax = 5_000;
/** A lock file whose owner cannot be read is left alone this long: it may just be being written. */
const tornLockMs = 2_000;

/**
 * The way without hard links (FAT, some network file systems): a lock file made exclusively beside the
 * temporary file guards the check and the rename.
 */
function renameIfAbsent(temp: string, target: string): boolean {
  const lock = path.join(path.dirname(temp), `.${sha256(target).slice(0, 32)}.lock`);
  const giveUpAt = systemClock.monotonic() + renameWaitMsMax;
  while (!createLock(lock)) {
    clearDeadLock(lock);
    if (systemClock.monotonic() > giveUpAt) {
      throw new MstoreError('locked', `Another process holds ${lock}`, {
        hint: 'Wait for it to end; if no mstore runs on any host that shares this folder, remove the file',
        details: { path: lock },
      });
    }
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2);
  }
  try {
    if (fs.lstatSync(target, { throwIfNoEntry: false }) !== undefined) return false;
    fs.renameSync(temp, target);
    return true;
  } finally {
    removeFile(lock);
  }
}

function createLock(lock: string): boolean {
  try {
    fs.writeFileSync(lock, JSON.stringify(thisOwner()), { flag: 'wx' });
    return true;
  } catch (error) {
    if (systemCode(error) === 'EEXIST') return false;
    throw error;
  }
}

function clearDeadLock(lock: string): void {
  try {
    const idleMs = systemClock.now() - fs.statSync(lock).mtimeMs;
    const owner = parseOwner(fs.readFileSync(lock, 'utf8'));
    if (owner === undefined ? idleMs > tornLockMs : ownerIsGone(owner, idleMs)) removeFile(lock);
  } catch (error) {
    if (systemCode(error) !== 'ENOENT') throw error;
  }
}

/** Options of {@link writeAtomically}. */
export interface AtomicWriteOptions {
  /** Folder for the temporary file, on the same file system; default: the target's own. */
  readonly tempFolder?: string;
  /** Keep what is there: the write happens only if the name is free. */
  readonly ifAbsent?: boolean;
  readonly mode?: number;
  /** Leave flushing to the system: for caches that can be rebuilt. */
  readonly unsynced?: boolean;
}

/**
 * Writes a small file whole or not at all: temporary file, flush, rename, flush of the folder.
 * @returns false only with `ifAbsent`, when the name was taken
 */
export function writeAtomically(
  target: string,
  bytes: Uint8Array | string,
  options: AtomicWriteOptions = {},
): boolean {
  const folder = path.dirname(target);
  const temp = path.join(options.tempFolder ?? folder, `.${tempName()}`);
  const data = typeof bytes === 'string' ? Buffer.from(bytes) : bytes;
  try {
    const fd = fs.openSync(temp, 'wx', options.mode ?? 0o666);
    try {
      writeFully(fd, data);
      if (!options.unsynced) fs.fsyncSync(fd);
    } finally {
      fs.closeSync(fd);
    }
    const made = options.ifAbsent ? publishIfAbsent(temp, target) : true;
    if (!options.ifAbsent) publishReplacing(temp, target);
    // Also where the name was taken: whoever took it may have ended before it came to flush it.
    if (!options.unsynced) syncFolder(folder);
    return made;
  } catch (error) {
    throw fromSystemError(error, `writing ${target}`);
  } finally {
    removeFile(temp);
  }
}
