import * as fs from 'node:fs';
import * as path from 'node:path';
import { type Clock, systemClock } from '../base/clock.ts';
import { DirectFile } from '../base/direct-file.ts';
import { fromSystemError, MstoreError, systemCode } from '../base/errors.ts';
import { ensureCacheFolder, removeFile, tempName, writeFully } from '../base/files.ts';
import { printable } from '../base/names.ts';
import { stampNow } from './stat-cache.ts';

/**
 * What a block of 4 MiB may take past the page cache, several being under way: on disks of less than some
 * 500 MB a second, whoever asked for a file should not wait for them, nor whoever loads it next.
 */
const directMsMax = 30;

/**
 * Where a file is made before it has its name: in a folder for that, or in the folder of its place. In a folder that nobody sees
 * until it is whole, it has its name from the beginning.
 */
export type Making = 'apart' | 'beside' | 'unseen';

/**
 * Places files below one folder. A file gets its final name only when its bytes are complete; nothing
 * is ever written through a link: each folder on the way is looked at before it is used.
 */
export class Placer {
  readonly #root: string;
  readonly #tempFolder: string;
  readonly #clock: Clock;
  /** Folders below the root known to be real folders. */
  readonly #folders = new Set<string>(['']);

  /**
   * @param root absolute folder that nothing is written outside of
   * @param tempFolder for files under construction, best on the same file system
   */
  constructor(root: string, tempFolder: string, options: { clock?: Clock } = {}) {
    this.#root = root;
    this.#tempFolder = tempFolder;
    this.#clock = options.clock ?? systemClock;
    ensureCacheFolder(tempFolder);
  }

  /** Returns the absolute path of an entry. */
  absolute(relative: string): string {
    return path.join(this.#root, relative);
  }

  /**
   * Makes the folders above an entry, and checks that those which exist are no links or files.
   * @throws MstoreError `would-overwrite` when something else stands where a folder must be
   */
  ensureParents(relative: string): void {
    const cut = relative.lastIndexOf('/');
    if (cut > 0) this.ensureFolder(relative.slice(0, cut));
  }

  /** Makes a folder and those above it. */
  ensureFolder(relative: string): void {
    if (this.#folders.has(relative)) return;
    this.ensureParents(relative);
    const full = this.absolute(relative);
    const stat = fs.lstatSync(full, { throwIfNoEntry: false });
    if (stat === undefined) {
      try {
        fs.mkdirSync(full);
      } catch (error) {
        if (systemCode(error) !== 'EEXIST')
          throw fromSystemError(error, `making ${printable(full)}`);
      }
    } else if (!stat.isDirectory()) {
      throw new MstoreError(
        'would-overwrite',
        `${printable(full)} is in the way: it is no folder`,
        {
          hint: 'Move it away, then run the same command again',
          details: { path: full },
        },
      );
    }
    this.#folders.add(relative);
  }

  /** Forgets what is known about folders, after some were removed. */
  forgetFolders(): void {
    this.#folders.clear();
    this.#folders.add('');
  }

  /**
   * Writes a file from blocks; whatever interrupts them leaves the old file.
   * @returns the file's stat under its final name; its times are stamped ({@link stampNow})
   */
  async writeFile(
    relative: string,
    blocks: Iterable<Uint8Array>,
    options: { executable: boolean; making: Making; pause?: () => Promise<void> | undefined },
  ): Promise<fs.BigIntStats> {
    this.ensureParents(relative);
    const target = this.absolute(relative);
    const temp = this.#tempFor(target, options.making);
    let fd: number;
    try {
      fd = fs.openSync(temp, 'wx', options.executable ? 0o777 : 0o666);
    } catch (error) {
      throw fromSystemError(error, `writing ${printable(target)}`);
    }
    try {
      try {
        for (const block of blocks) {
          writeFully(fd, block);
          await options.pause?.();
        }
        stampNow(fd, this.#clock.now());
        if (temp === target) return fs.fstatSync(fd, { bigint: true });
      } finally {
        fs.closeSync(fd);
      }
      this.#publish(temp, target, options.executable);
      return fs.lstatSync(target, { bigint: true });
    } catch (error) {
      fs.rmSync(temp, { force: true });
      throw fromSystemError(error, `writing ${printable(target)}`);
    }
  }

  #tempFor(target: string, making: Making): string {
    if (making === 'unseen') return target;
    return making === 'beside'
      ? path.join(path.dirname(target), `.${tempName()}`)
      : path.join(this.#tempFolder, tempName());
  }

  /**
   * The same for a large file, which `fill` writes, past the page cache where it can.
   * @param options `clone` starts from a clone of the file that is there, where the file system can make
   * one; `fill` is told whether it did
   */
  async writeLargeFile(
    relative: string,
    fill: (out: DirectFile, cloned: boolean) => Promise<void>,
    options: { executable: boolean; clone: boolean },
  ): Promise<fs.BigIntStats> {
    this.ensureParents(relative);
    const target = this.absolute(relative);
    const temp = path.join(this.#tempFolder, tempName());
    try {
      const how = { mode: options.executable ? 0o777 : 0o666, directMsMax };
      const cloned = options.clone ? DirectFile.clone(temp, target, how) : undefined;
      const out = cloned ?? DirectFile.create(temp, how);
      try {
        await fill(out, cloned !== undefined);
        stampNow(out.fd, this.#clock.now());
      } finally {
        out.close();
      }
      this.#publish(temp, target, options.executable);
      return fs.lstatSync(target, { bigint: true });
    } catch (error) {
      fs.rmSync(temp, { force: true });
      throw fromSystemError(error, `writing ${printable(target)}`);
    }
  }

  #publish(temp: string, target: string, executable: boolean): void {
    try {
      fs.renameSync(temp, target);
    } catch (error) {
      if (systemCode(error) !== 'EXDEV') throw error;
      // Something is mounted below the root: the last step happens beside the target instead.
      const beside = path.join(path.dirname(target), `.${tempName()}`);
      try {
        fs.copyFileSync(temp, beside, fs.constants.COPYFILE_EXCL);
        const { mode, mtimeMs } = fs.statSync(temp);
        fs.chmodSync(beside, mode & (executable ? 0o777 : 0o666));
        fs.utimesSync(beside, mtimeMs / 1000, mtimeMs / 1000);
        fs.renameSync(beside, target);
        removeFile(temp);
      } finally {
        removeFile(beside);
      }
    }
  }

  /** Places an entry by a link or clone that `make` creates under a temporary name. */
  placeLinked(relative: string, make: (temp: string) => void): fs.BigIntStats {
    this.ensureParents(relative);
    const target = this.absolute(relative);
    const temp = path.join(path.dirname(target), `.${tempName()}`);
    try {
      make(temp);
      fs.renameSync(temp, target);
      // Renaming one hard link over another of the same file does nothing and leaves both.
      removeFile(temp);
      return fs.lstatSync(target, { bigint: true });
    } finally {
      removeFile(temp);
    }
  }

  /** Writes a symbolic link that belongs to the tree. */
  writeLink(relative: string, link: string): void {
    try {
      this.placeLinked(relative, (temp) => fs.symlinkSync(link, temp));
    } catch (error) {
      if (['EPERM', 'ENOTSUP', 'ENOSYS'].includes(systemCode(error) ?? '')) {
        throw new MstoreError(
          'link-unsupported',
          `Cannot make the symbolic link ${printable(relative)}: this system or file system does not allow it`,
          {
            hint: 'On Windows turn on developer mode; otherwise check out to a file system with links',
            details: { path: relative },
          },
        );
      }
      throw fromSystemError(error, `writing ${printable(this.absolute(relative))}`);
    }
  }

  /** Gives a file the executable bits its readers ask for, or takes them. */
  setExecutable(relative: string, executable: boolean): fs.BigIntStats {
    const target = this.absolute(relative);
    const mode = Number(fs.lstatSync(target).mode) & 0o777;
    // Whoever may read may execute, as with Git.
    const bits = (mode & 0o444) >> 2;
    fs.chmodSync(target, executable ? mode | bits : mode & ~0o111);
    return fs.lstatSync(target, { bigint: true });
  }

  /** Tells whether an entry is a folder, links not followed. */
  isFolder(relative: string): boolean {
    return fs.lstatSync(this.absolute(relative), { throwIfNoEntry: false })?.isDirectory() ?? false;
  }

  /** Removes a file or a link; one that is not there is success. */
  remove(relative: string): void {
    try {
      removeFile(this.absolute(relative));
    } catch (error) {
      throw fromSystemError(error, `removing ${printable(this.absolute(relative))}`);
    }
  }

  /** Removes a folder if it is empty. */
  removeEmptyFolder(relative: string): void {
    try {
      fs.rmdirSync(this.absolute(relative));
    } catch (error) {
      const code = systemCode(error) ?? '';
      if (!['ENOENT', 'ENOTEMPTY', 'EEXIST', 'ENOTDIR'].includes(code)) {
        throw fromSystemError(error, `removing ${printable(this.absolute(relative))}`);
      }
    }
  }
}
