import { invariant } from '../base/errors.ts';
import { limits } from '../base/limits.ts';
import { SequentialFile, type WriteMemory } from '../base/sequential-file.ts';
import type { ChunkForm } from './codec.ts';
import { encodingNumber, FooterBuilder, type PackFooter } from './format.ts';

/**
 * Writes one pack into a new file: chunks back to back, then footer and trailer. Memory: one block of
 * 4 MiB, or what is given, and 52 bytes a chunk.
 */
export class PackWriter {
  readonly #out: SequentialFile;
  #payload = 0;
  readonly #footer = new FooterBuilder();

  /**
   * Creates the file, which must not exist.
   * @param memory working memory to reuse from a writer that has ended
   */
  constructor(file: string, memory?: WriteMemory) {
    this.#out = new SequentialFile(file, memory === undefined ? {} : { memory });
  }

  get file(): string {
    return this.#out.file;
  }

  /** Chunks so far. */
  get count(): number {
    return this.#footer.count;
  }

  /** Stored bytes of the chunks so far. */
  get payloadBytes(): number {
    return this.#payload;
  }

  /** Tells whether the next chunk belongs in another pack. */
  get full(): boolean {
    return this.#payload >= limits.packBytesTarget || this.count >= limits.packChunksTarget;
  }

  /**
   * Appends a chunk; its bytes are copied before the call returns.
   * @param id 32 bytes, the SHA-256 of the raw bytes; the caller has just computed or checked it
   * @param stored the bytes as they are to be stored
   * @param form how they yield the raw bytes; left out where they are the raw bytes
   */
  append(id: Uint8Array, stored: Uint8Array, form: ChunkForm = rawForm(stored)): void {
    invariant(stored.length > 0, 'a chunk is not empty');
    const { encoding, rawLength } = form;
    this.#footer.add(id, {
      offset: this.#payload,
      storedLength: stored.length,
      rawLength,
      encoding,
    });
    this.#payload += stored.length;
    this.#out.write(stored);
  }

  /** Ends when the next chunk need not wait for the disk; undefined when it need not. */
  room(): Promise<void> | undefined {
    return this.#out.room();
  }

  /** Waits for writes in the background; needed before {@link finish} where the memory allows them. */
  settled(): Promise<void> {
    return this.#out.settled();
  }

  /** Completes the file and flushes it to the disk. */
  finish(): PackFooter {
    const footer = this.#footer.finish();
    this.#out.writeLast(footer.bytes);
    this.#out.writeLast(footer.trailer());
    this.#out.end();
    this.#out.sync();
    this.close();
    return footer;
  }

  /** Closes the file, complete or not; the caller removes it when it is not wanted. */
  close(): void {
    this.#out.close();
  }
}

function rawForm(raw: Uint8Array): ChunkForm {
  return { encoding: encodingNumber('raw'), rawLength: raw.length };
}
