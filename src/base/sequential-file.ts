import * as fs from 'node:fs';
import { DirectFile } from './direct-file.ts';
import { directAlignBytes } from './direct-reader.ts';
import { invariant } from './errors.ts';
import { makePages, startsAtPage } from './wasm-memory.ts';

/** Bytes gathered before each write: large sequential writes cost the least. */
export const writeBlockBytes = 4 * 1024 * 1024;

/** Blocks below this are gathered: a write of each by itself would cost more than the copy. */
const ownBlockBytesMin = 512 * 1024;

/** Working memory of one {@link SequentialFile} at a time. */
export interface WriteMemory {
  /**
   * Of {@link writeBlockBytes} each, at a page of the machine as writes past the page cache ask for. With
   * more than one, a block is written in the background while the next one is filled.
   */
  readonly blocks: readonly Buffer[];
  /** Copies `source` to `target[at]`. */
  readonly copy: (target: Buffer, at: number, source: Uint8Array) => void;
}

/** Makes working memory. */
export function newWriteMemory(count = 1): WriteMemory {
  const blocks = Array.from({ length: count }, () => makePages(writeBlockBytes));
  return { blocks, copy: copyBytes };
}

function copyBytes(target: Buffer, at: number, source: Uint8Array): void {
  target.set(source, at);
}

/**
 * Writes a new file from start to end in blocks of 4 MiB. Full blocks go past the page cache where the
 * file system allows it: what is written once and read much later need not push out what others use,
 * and flushing it at the end costs nothing. Memory: its {@link WriteMemory}.
 */
export class SequentialFile {
  readonly #out: DirectFile;
  #memory: WriteMemory | undefined;
  readonly #blocks: number | undefined;
  #current = 0;
  readonly #busy: Array<Promise<void> | undefined> = [];
  #failure: unknown;
  #fill = 0;
  #written = 0;

  /**
   * Creates the file, which must not exist.
   * @param options `memory` is working memory to reuse from a file that has been closed; `size` is the
   * number of bytes to come, where known: a small file needs less memory; `blocks` is the number of
   * blocks of memory made here, of which all but one may be being written
   */
  constructor(
    file: string,
    options: { memory?: WriteMemory; size?: number; blocks?: number; mode?: number } = {},
  ) {
    this.#memory = options.memory;
    if (options.size !== undefined && options.size < writeBlockBytes) {
      const block = Buffer.allocUnsafe(Math.max(1, options.size));
      this.#memory = { blocks: [block], copy: copyBytes };
    }
    this.#blocks = options.blocks;
    this.#out = DirectFile.create(file, { mode: options.mode });
  }

  get file(): string {
    return this.#out.file;
  }

  /** Descriptor of the file while it is open. */
  get fd(): number {
    return this.#out.fd;
  }

  /**
   * Ends when the next block is free; undefined when it is. Going on without waiting is possible: the
   * current block is then written before {@link write} returns.
   */
  room(): Promise<void> | undefined {
    return this.#busy[this.#next];
  }

  get #next(): number {
    return (this.#current + 1) % (this.#memory?.blocks.length ?? 1);
  }

  /** Appends bytes, which are copied or written before the call returns. */
  write(bytes: Uint8Array): void {
    this.#put(bytes, true);
  }

  /** Appends the last bytes, with nothing left to be written in the background. */
  writeLast(bytes: Uint8Array): void {
    this.#put(bytes, false);
  }

  #put(bytes: Uint8Array, background: boolean): void {
    this.#memory ??= newWriteMemory(this.#blocks);
    const { blocks, copy } = this.#memory;
    for (let from = 0; from < bytes.length; ) {
      const block = blocks[this.#current] as Buffer;
      const count = Math.min(bytes.length - from, block.length - this.#fill);
      copy(block, this.#fill, bytes.subarray(from, from + count));
      this.#fill += count;
      from += count;
      if (this.#fill === block.length) this.#flush(block, background);
    }
  }

  /**
   * Appends bytes, and ends when they have been copied or written and more can come. Large blocks that lie
   * at pages of the machine are written from where they are.
   */
  async append(bytes: Uint8Array): Promise<void> {
    const aligned =
      this.#fill === 0 &&
      bytes.length >= ownBlockBytesMin &&
      bytes.length % directAlignBytes === 0 &&
      startsAtPage(bytes);
    if (aligned) {
      const position = this.#written;
      this.#written += bytes.length;
      await this.#out.writeBlock(bytes, position);
      return;
    }
    this.write(bytes);
    await this.room();
  }

  /** Writes the full block: in the background where that is allowed and another one is free, else at once. */
  #flush(block: Buffer, background: boolean): void {
    if (this.#failure !== undefined) throw this.#failure;
    const position = this.#written;
    this.#written += block.length;
    this.#fill = 0;
    const next = this.#next;
    if (!background || next === this.#current || this.#busy[next] !== undefined) {
      this.#out.writeBlockSync(block, position);
      return;
    }
    const current = this.#current;
    this.#busy[current] = this.#out.writeBlock(block, position).then(
      () => {
        this.#busy[current] = undefined;
      },
      (error: unknown) => {
        this.#busy[current] = undefined;
        this.#failure ??= error;
      },
    );
    this.#current = next;
  }

  /**
   * Waits for the blocks that are being written; needed before {@link end} where there is more than one.
   * @throws the error of a write that failed
   */
  async settled(): Promise<void> {
    await Promise.all(this.#busy);
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** Writes what is left; the file is complete then, and not yet flushed to the disk. */
  end(): void {
    invariant(
      this.#busy.every((write) => write === undefined),
      'all blocks have been written',
    );
    const block = this.#memory?.blocks[this.#current];
    if (block !== undefined && this.#fill > 0) {
      this.#out.writeSync(block.subarray(0, this.#fill), this.#written);
    }
    this.#written += this.#fill;
    this.#fill = 0;
  }

  /** Flushes the complete file to the disk. */
  sync(): void {
    fs.fsyncSync(this.fd);
  }

  /** Closes the file, complete or not; the caller removes it when it is not wanted. */
  close(): void {
    this.#out.close();
  }
}
