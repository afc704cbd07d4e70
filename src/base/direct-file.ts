import * as fs from 'node:fs';
import { invariant, systemCode } from './errors.ts';
import { writeFully, writeFullyAsync } from './files.ts';

/** Positions and sizes that bypass the page cache are multiples of this on all common disks. */
export const directAlignBytes = 4096;

/** What a file system answers that cannot bypass the page cache, or not with this memory. */
const refusals = new Set(['EINVAL', 'ENOTSUP', 'EOPNOTSUPP', 'EACCES', 'EPERM']);

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
  #writing = 0;
  #closed = false;

  /** Creates the file, which must not exist. */
  constructor(file: string, mode = 0o666) {
    this.file = file;
    this.#fd = fs.openSync(file, 'wx', mode);
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
   * Writes a block whose position and length are multiples of {@link directAlignBytes}, and whose memory
   * starts at such a multiple. It must stay as it is until the promise has ended.
   */
  async writeBlock(block: Uint8Array, position: number): Promise<void> {
    this.#writing++;
    try {
      const direct = this.#direct();
      if (direct !== undefined) {
        try {
          await writeFullyAsync(direct, block, position);
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
