import * as fs from 'node:fs';
import { invariant, systemCode } from './errors.ts';
import { writeFully } from './files.ts';
import { makeWasmMemory, wasmPageBytes } from './wasm-memory.ts';

/** Bytes gathered before each write: large sequential writes cost the least. */
const blockBytes = 4 * 1024 * 1024;

/**
 * Makes working memory for one {@link SequentialFile} at a time. It starts at a page of the machine, as
 * writes that bypass the page cache ask for.
 */
export function newBlock(): Buffer {
  return Buffer.from(makeWasmMemory(blockBytes / wasmPageBytes).buffer as unknown as ArrayBuffer);
}

/**
 * Writes a new file from start to end in blocks of 4 MiB. Full blocks go past the page cache where the
 * file system allows it: what is written once and read much later need not push out what others use,
 * and flushing it at the end costs nothing. Memory: one block.
 */
export class SequentialFile {
  readonly file: string;
  #fd: number | undefined;
  /** The second descriptor, for writes past the page cache; null once they are known not to work. */
  #directFd: number | null | undefined;
  #block: Buffer | undefined;
  #fill = 0;
  #written = 0;

  /**
   * Creates the file, which must not exist.
   * @param options `block` is working memory to reuse from a file that has been closed; `size` is the
   * number of bytes to come, where known: a small file needs less memory
   */
  constructor(file: string, options: { block?: Buffer; size?: number; mode?: number } = {}) {
    this.file = file;
    this.#block = options.block;
    if (options.size !== undefined && options.size < blockBytes) {
      this.#block = Buffer.allocUnsafe(Math.max(1, options.size));
      this.#directFd = null;
    }
    this.#fd = fs.openSync(file, 'wx', options.mode ?? 0o666);
  }

  /** Descriptor of the file while it is open. */
  get fd(): number {
    invariant(this.#fd !== undefined, 'the file is open');
    return this.#fd;
  }

  /** Appends bytes, which are copied or written before the call returns. */
  write(bytes: Uint8Array): void {
    this.#block ??= newBlock();
    let from = 0;
    while (from < bytes.length) {
      const count = Math.min(bytes.length - from, this.#block.length - this.#fill);
      this.#block.set(bytes.subarray(from, from + count), this.#fill);
      this.#fill += count;
      from += count;
      if (this.#fill === this.#block.length) this.#flushBlock(this.#block);
    }
  }

  #flushBlock(block: Buffer): void {
    if (!this.#writeDirect(block)) writeFully(this.fd, block, this.#written);
    this.#written += block.length;
    this.#fill = 0;
  }

  #writeDirect(block: Buffer): boolean {
    const { O_WRONLY, O_DIRECT } = fs.constants;
    if (this.#directFd === null || O_DIRECT === undefined) return false;
    try {
      this.#directFd ??= fs.openSync(this.file, O_WRONLY | O_DIRECT);
      writeFully(this.#directFd, block, this.#written);
      return true;
    } catch (error) {
      if (!['EINVAL', 'ENOTSUP', 'EOPNOTSUPP', 'EACCES', 'EPERM'].includes(systemCode(error) ?? ''))
        throw error;
      this.#closeDirect();
      return false;
    }
  }

  #closeDirect(): void {
    if (typeof this.#directFd === 'number') fs.closeSync(this.#directFd);
    this.#directFd = null;
  }

  /** Writes what is left; the file is complete then, and not yet flushed to the disk. */
  end(): void {
    if (this.#block !== undefined && this.#fill > 0) {
      writeFully(this.fd, this.#block.subarray(0, this.#fill), this.#written);
    }
    this.#written += this.#fill;
    this.#fill = 0;
    this.#closeDirect();
  }

  /** Flushes the complete file to the disk. */
  sync(): void {
    fs.fsyncSync(this.fd);
  }

  /** Closes the file, complete or not; the caller removes it when it is not wanted. */
  close(): void {
    this.#closeDirect();
    if (this.#fd === undefined) return;
    fs.closeSync(this.#fd);
    this.#fd = undefined;
  }
}
