import { createHash, type Hash } from 'node:crypto';
import { sha256Raw } from '../base/digest.ts';
import { invariant, isMstoreError, type MstoreError } from '../base/errors.ts';
import { placeOf } from '../index/chunk-index.ts';
import { type PackFooter, packProblem } from '../pack/format.ts';
import { chunkProblem, readChunk } from '../pack/reader.ts';
import type { PackLane } from './pack-threads.ts';

/**
 * Is told of damage in a pack.
 * @param rows the chunks that cannot be used, from `first` to before `end`; undefined for damage of its end
 */
export type OnPackDamage = (
  error: MstoreError,
  rows?: { readonly first: number; readonly end: number },
) => void;

/** Verifies the bytes of a pack of raw chunks by threads. */
export class LaneCheck {
  readonly #footer: PackFooter;
  readonly #where: string;
  readonly #lane: PackLane;
  readonly #onDamage: OnPackDamage;
  readonly #tail: Buffer;
  readonly #tailStart: number;
  #row = 0;
  #position = 0;

  constructor(footer: PackFooter, where: string, lane: PackLane, onDamage: OnPackDamage) {
    this.#footer = footer;
    this.#where = where;
    this.#lane = lane;
    this.#onDamage = onDamage;
    this.#tail = Buffer.concat([footer.bytes, footer.trailer()]);
    this.#tailStart = footer.packBytes - this.#tail.length;
  }

  /** Whether all bytes of the pack have come. */
  get complete(): boolean {
    return this.#position >= this.#footer.packBytes;
  }

  /** Yields the same bytes in the memory of the lane: as they are where they lie there, else gathered. */
  async *gather(blocks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
    let [target, spare] = this.#lane.blocks;
    let fill = 0;
    for await (const block of blocks) {
      if (this.#lane.holds(block)) {
        invariant(fill === 0, 'a remote reads to the memory it is given, or never');
        yield block;
        continue;
      }
      for (let at = 0; at < block.length; ) {
        const piece = block.subarray(at, at + target.length - fill);
        target.set(piece, fill);
        fill += piece.length;
        at += piece.length;
        if (fill < target.length) continue;
        yield target;
        [target, spare] = [spare, target];
        fill = 0;
      }
    }
    if (fill > 0) yield target.subarray(0, fill);
  }

  async update(block: Uint8Array): Promise<void> {
    const first = this.#row;
    const from = this.#position;
    const cuts: number[] = [];
    this.#position += block.length;
    for (; this.#row < this.#footer.count; this.#row++) {
      const { offset, storedLength } = this.#footer.row(this.#row);
      if (offset + storedLength > this.#position) break;
      cuts.push(offset + storedLength - from);
    }
    const chunks = block.subarray(0, Math.max(0, this.#tailStart - from));
    if (chunks.length > 0) this.#compare(first, await this.#lane.hash(chunks, cuts));
    if (from + block.length > this.#tailStart) this.#checkTail(block, from);
  }

  #compare(first: number, digests: Uint8Array): void {
    const { bytes } = this.#footer;
    for (let at = 0, row = first; at < digests.length; at += 32, row++) {
      const actual = Buffer.from(digests.buffer, digests.byteOffset + at, 32);
      const idAt = this.#footer.idOffset(row);
      if (actual.compare(bytes, idAt, idAt + 32) === 0) continue;
      const error = chunkProblem(this.#footer.chunk(row), this.#where, actual.toString('hex'));
      this.#onDamage(error, { first: row, end: row + 1 });
    }
  }

  #checkTail(block: Uint8Array, from: number): void {
    const start = Math.max(from, this.#tailStart);
    const bytes = block.subarray(start - from);
    const at = start - this.#tailStart;
    if (this.#tail.subarray(at, at + bytes.length).equals(bytes)) return;
    this.#onDamage(packProblem('its end is not its footer', this.#footer.id));
  }

  end(): void {
    if (this.#position === this.#footer.packBytes) return;
    const rows = { first: this.#row, end: this.#footer.count };
    this.#onDamage(packProblem('it is cut short', this.#footer.id), rows);
  }
}

/** Verifies the bytes of a pack as they come. Memory: three times a chunk where it is encoded, else none. */
export class PackCheck {
  readonly #footer: PackFooter;
  readonly #where: string;
  readonly #onDamage: OnPackDamage;
  readonly #tail: Buffer;
  #row = 0;
  /** Bytes of the current chunk, or of the tail behind the chunks, that have come. */
  #seen = 0;
  /** Of a chunk that comes in pieces; the digest of one that came whole. */
  #hash: Hash | undefined;
  #whole: Buffer | undefined;
  #stored: Buffer | undefined;

  constructor(footer: PackFooter, where: string, onDamage: OnPackDamage) {
    this.#footer = footer;
    this.#where = where;
    this.#onDamage = onDamage;
    this.#tail = Buffer.concat([footer.bytes, footer.trailer()]);
  }

  update(block: Uint8Array): void {
    let at = 0;
    while (at < block.length) {
      at +=
        this.#row < this.#footer.count ? this.#chunkBytes(block, at) : this.#tailBytes(block, at);
    }
  }

  #chunkBytes(block: Uint8Array, at: number): number {
    const place = placeOf(this.#footer, this.#row);
    const bytes = block.subarray(at, at + place.storedLength - this.#seen);
    if (place.encoding === 0 && bytes.length === place.storedLength) {
      this.#whole = sha256Raw(bytes);
    } else if (place.encoding === 0) {
      this.#hash ??= createHash('sha256');
      this.#hash.update(bytes);
    } else {
      this.#stored ??= Buffer.allocUnsafe(place.storedLength);
      this.#stored.set(bytes, this.#seen);
    }
    this.#seen += bytes.length;
    if (this.#seen === place.storedLength) this.#endChunk(place.encoding);
    return bytes.length;
  }

  #endChunk(encoding: number): void {
    try {
      this.#checkChunk(encoding);
    } catch (error) {
      if (!isMstoreError(error, 'corrupt-chunk')) throw error;
      this.#onDamage(error, { first: this.#row, end: this.#row + 1 });
    }
    [this.#hash, this.#whole] = [undefined, undefined];
    this.#stored = undefined;
    this.#row++;
    this.#seen = 0;
  }

  #checkChunk(encoding: number): void {
    const { bytes } = this.#footer;
    const idAt = this.#footer.idOffset(this.#row);
    if (encoding !== 0) {
      readChunk(this.#stored as Buffer, this.#footer.row(this.#row), bytes, idAt, this.#where);
      return;
    }
    const actual = this.#whole ?? this.#hash?.digest() ?? Buffer.alloc(0);
    if (actual.compare(bytes, idAt, idAt + 32) === 0) return;
    throw chunkProblem(this.#footer.chunk(this.#row), this.#where, actual.toString('hex'));
  }

  #tailBytes(block: Uint8Array, at: number): number {
    const bytes = block.subarray(at);
    const wanted = this.#tail.subarray(this.#seen, this.#seen + bytes.length);
    if (!wanted.equals(bytes))
      this.#onDamage(packProblem('its end is not its footer', this.#footer.id));
    this.#seen += bytes.length;
    return bytes.length;
  }

  end(): void {
    if (this.#row === this.#footer.count && this.#seen === this.#tail.length) return;
    const rows = { first: this.#row, end: this.#footer.count };
    this.#onDamage(packProblem('it is cut short', this.#footer.id), rows);
  }
}
