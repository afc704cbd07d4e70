import { Readable } from 'node:stream';
import type { EditionFile } from './publication.ts';

/** Bytes read at once. */
const blockBytes = 1024 * 1024;

/** A file of a version, or a part of one, as libraries take files: its bytes are read when they are sent. */
export class EditionBlob extends Blob {
  readonly #file: EditionFile;
  readonly #start: number;
  readonly #end: number;
  override readonly size: number;

  constructor(file: EditionFile, start = 0, end = file.size) {
    super([]);
    this.#file = file;
    this.#start = start;
    this.#end = end;
    this.size = end - start;
  }

  override slice(start = 0, end = this.size): Blob {
    const at = (place: number): number =>
      this.#start + Math.min(this.size, Math.max(0, place < 0 ? this.size + place : place));
    return new EditionBlob(this.#file, at(start), Math.max(at(start), at(end)));
  }

  override stream(): ReturnType<Blob['stream']> {
    const blocks = Readable.from(this.blocks(), { objectMode: false });
    return Readable.toWeb(blocks) as unknown as ReturnType<Blob['stream']>;
  }

  override async arrayBuffer(): Promise<ArrayBuffer> {
    const whole = new Uint8Array(this.size);
    let at = 0;
    for (const block of this.blocks()) {
      whole.set(block, at);
      at += block.length;
    }
    return whole.buffer;
  }

  override async text(): Promise<string> {
    return new TextDecoder().decode(await this.arrayBuffer());
  }

  /** Yields its bytes; a block is the caller's. */
  *blocks(): Generator<Uint8Array, void, void> {
    const reader = this.#file.open();
    for (let at = this.#start; at < this.#end; ) {
      const block = reader.read(at, Math.min(blockBytes, this.#end - at));
      if (block.length === 0) return;
      at += block.length;
      yield Uint8Array.from(block);
    }
  }
}
