import * as fs from 'node:fs';
import { invariant, MstoreError, systemCode } from './errors.ts';
import { readFullyAsync, removeFile, writeFully, writeFullyAsync } from './files.ts';

/** What a file system answers that cannot bypass the page cache, or not with this memory. */
const refusals = new Set(['EINVAL', 'ENOTSUP', 'EOPNOTSUPP', 'EACCES', 'EPERM']);

/** Blocks past the page cache after which a file is judged. */
const blocksJudged = 8;

/** Options of a {@link DirectFile}. */
export interface DirectFileOptions {
  readonly mode?: number | undefined;
  /**
   * Milliseconds that a block may take past the page cache, on the average of the first ones. On a slower
   * disk the rest goes through the page cache, whence the system writes it when it can: for files that
   * need not be on the disk when they are complete. Without it all goes past.
   */
  readonly directMsMax?: number;
}

/**
 * A new file that is written in blocks past the page cache where the file system allows it, else
 * through it. Blocks may be written at any position, and several at once.
 */
export class DirectFile {
  readonly file: string;
  #fd: number | undefined;
  /** The second descriptor, for writes past the page cache. */
  #directFd: number | undefined;
  #directWorks = fs.constants.O_DIRECT !== undefined;
  readonly #directMsMax: number;
  #directMs = 0;
  #directBlocks = 0;
  #writing = 0;
  #closed = false;

  private constructor(file: string, fd: number, directMsMax: number) {
    this.file = file;
    this.#fd = fd;
    this.#directMsMax = directMsMax;
  }

  /** Creates a file, which must not exist. */
  static create(file: string, options: DirectFileOptions = {}): DirectFile {
    const { mode = 0o666, directMsMax = Number.POSITIVE_INFINITY } = options;
    return new DirectFile(file, fs.openSync(file, 'wx+', mode), directMsMax);
  }

  /**
   * Creates a file, which must not exist, with the bytes of another one, where the file system can let
   * both share them until one is changed; elsewhere there is nothing to gain.
   * @returns undefined where it cannot
   */
  static clone(
    file: string,
    source: string,
    options: DirectFileOptions = {},
  ): DirectFile | undefined {
    const out = DirectFile.create(file, options);
    try {
      const made = fs.fstatSync(out.fd).mode & 0o777;
      fs.copyFileSync(source, file, fs.constants.COPYFILE_FICLONE_FORCE);
      // The clone took over the mode of its source.
      fs.fchmodSync(out.fd, made);
      return out;
    } catch {
      out.close();
      removeFile(file);
      return undefined;
    }
  }

  /** Descriptor of the file while it is open. */
  get fd(): number {
    invariant(this.#fd !== undefined && !this.#closed, 'the file is open');
    return this.#fd;
  }

  /** Descriptor for writes past the page cache, where they may work. */
  #direct(): number | undefined {
    if (!this.#directWorks) return undefined;
    const { O_WRONLY, O_DIRECT } = fs.constants;
    try {
      this.#directFd ??= fs.openSync(this.file, O_WRONLY | O_DIRECT);
      return this.#directFd;
    } catch (error) {
      this.#refused(error);
      return undefined;
    }
  }

  /** Goes through the page cache from now on, if that is what an error asks for. */
  #refused(error: unknown): void {
    if (!refusals.has(systemCode(error) ?? '')) throw error;
    // The descriptor stays open until the end: another write may be using it.
    this.#directWorks = false;
  }

  /**
   * Writes a block whose position, length and place in memory are multiples of 4 KiB, which all common
   * disks take past the page cache. It must stay as it is until the promise has ended.
   */
  async writeBlock(block: Uint8Array, position: number): Promise<void> {
    this.#writing++;
    try {
      const direct = this.#direct();
      if (direct !== undefined) {
        try {
          const start = performance.now();
          await writeFullyAsync(direct, block, position);
          this.#judge(performance.now() - start);
          return;
        } catch (error) {
          this.#refused(error);
        }
      }
      await writeFullyAsync(this.#fd as number, block, position);
    } finally {
      this.#writing--;
      if (this.#closed) this.#closeNow();
    }
  }

  #judge(ms: number): void {
    this.#directMs += ms;
    this.#directBlocks++;
    if (this.#directBlocks < blocksJudged) return;
    if (this.#directMs > this.#directMsMax * this.#directBlocks) this.#directWorks = false;
  }

  /** The same, done when it returns. */
  writeBlockSync(block: Uint8Array, position: number): void {
    const direct = this.#direct();
    if (direct !== undefined) {
      try {
        writeFully(direct, block, position);
        return;
      } catch (error) {
        this.#refused(error);
      }
    }
    writeFully(this.fd, block, position);
  }

  /** Reads the bytes at a position; fewer are an error. */
  async read(target: Uint8Array, position: number): Promise<void> {
    if ((await readFullyAsync(this.fd, target, position)) === target.length) return;
    throw new MstoreError('io', `${this.file} is shorter than it was`);
  }

  /** Gives the file its size at once: writes that do not make it longer can go side by side. */
  reserve(size: number): void {
    fs.ftruncateSync(this.fd, size);
  }

  /**
   * Writes any bytes at any position, through the page cache. They must stay as they are until the
   * promise has ended.
   */
  async write(bytes: Uint8Array, position: number): Promise<void> {
    this.#writing++;
    try {
      await writeFullyAsync(this.fd, bytes, position);
    } finally {
      this.#writing--;
      if (this.#closed) this.#closeNow();
    }
  }

  /** The same, done when it returns. */
  writeSync(bytes: Uint8Array, position: number): void {
    writeFully(this.fd, bytes, position);
  }

  /**
   * Closes the file, complete or not; the caller removes it when it is not wanted. Writes that are under
   * way end first, since their descriptor must not become another file's.
   */
  close(): void {
    this.#closed = true;
    this.#closeNow();
  }

  #closeNow(): void {
    if (this.#writing > 0 || this.#fd === undefined) return;
    fs.closeSync(this.#fd);
    this.#fd = undefined;
    if (this.#directFd !== undefined) fs.closeSync(this.#directFd);
  }
}
