import * as fs from 'node:fs';
import { invariant } from '../base/errors.ts';
import { writeFully } from '../base/files.ts';
import { FooterBuilder, type PackFooter } from './format.ts';

/** Bytes gathered before each write: large sequential writes cost the least. */
const blockBytes = 4 * 1024 * 1024;

/**
 * Writes one pack into a new file: chunks back to back, then footer and trailer. Memory: one block of
 * 4 MiB and 52 bytes a chunk.
 */
export class PackWriter {
  readonly file: string;
  #fd: number | undefined;
  readonly #block: Buffer;
  #fill = 0;
  #payload = 0;
  readonly #footer = new FooterBuilder();

  /**
   * Creates the file, which must not exist.
   * @param block working memory to reuse from a writer that has ended
   */
  constructor(file: string, block?: Buffer) {
    this.file = file;
    this.#block = block ?? PackWriter.newBlock();
    this.#fd = fs.openSync(file, 'wx');
  }

  /** Working memory for one writer at a time. */
  static newBlock(): Buffer {
    return Buffer.allocUnsafeSlow(blockBytes);
  }

  /** Chunks so far. */
  get count(): number {
    return this.#footer.count;
  }

  /** Stored bytes of the chunks so far. */
  get payloadBytes(): number {
    return this.#payload;
  }

  /**
   * Appends a chunk; its bytes are copied before the call returns.
   * @param id 32 bytes, the SHA-256 of `raw`; the caller has just computed or checked it
   */
  append(id: Uint8Array, raw: Uint8Array): void {
    invariant(raw.length > 0, 'a chunk is not empty');
    this.#footer.add(id, {
      offset: this.#payload,
      storedLength: raw.length,
      rawLength: raw.length,
      encoding: 0,
    });
    this.#payload += raw.length;
    this.#put(raw);
  }

  #put(bytes: Uint8Array): void {
    let from = 0;
    while (from < bytes.length) {
      const count = Math.min(bytes.length - from, this.#block.length - this.#fill);
      this.#block.set(bytes.subarray(from, from + count), this.#fill);
      this.#fill += count;
      from += count;
      if (this.#fill === this.#block.length) this.#flush();
    }
  }

  #flush(): void {
    invariant(this.#fd !== undefined, 'the pack is open');
    writeFully(this.#fd, this.#block.subarray(0, this.#fill));
    this.#fill = 0;
  }

  /** Completes the file and flushes it to the disk. */
  finish(): PackFooter {
    invariant(this.#fd !== undefined, 'the pack is open');
    const footer = this.#footer.finish();
    this.#put(footer.bytes);
    this.#put(footer.trailer());
    this.#flush();
    fs.fsyncSync(this.#fd);
    this.close();
    return footer;
  }

  /** Closes the file, complete or not; the caller removes it when it is not wanted. */
  close(): void {
    if (this.#fd === undefined) return;
    fs.closeSync(this.#fd);
    this.#fd = undefined;
  }
}
