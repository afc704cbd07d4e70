import { createHash, type Hash } from 'node:crypto';
import * as fs from 'node:fs';
import { Breather } from '../base/abort.ts';
import { DirectReader, readForward } from '../base/direct-reader.ts';
import { fromSystemError, invariant, isMstoreError, MstoreError } from '../base/errors.ts';
import { removeFile } from '../base/files.ts';
import { SequentialFile } from '../base/sequential-file.ts';
import { placeOf } from '../index/chunk-index.ts';
import { type PackFooter, packProblem } from '../pack/format.ts';
import { chunkProblem, readChunk } from '../pack/reader.ts';
import {
  bytesSource,
  type RemoteCallOptions,
  type RemoteReader,
  type RemoteSource,
  type RemoteWriter,
} from '../remote/remote.ts';
import { missingPack, pushedAgain } from './hints.ts';
import { indexKey, packKey } from './keys.ts';
import type { Store } from './local-store.ts';
import type { PackLane } from './pack-threads.ts';
import { publishPack } from './publish.ts';

/** How packs are verified on their way. */
export interface VerifyOptions {
  /** Names the pack in errors. */
  readonly where?: string | undefined;
  /** Has threads hash the chunks; without it this thread does. */
  readonly lane?: PackLane | undefined;
  /** Told of damage, which then does not end the iteration; without it the first one is thrown. */
  readonly onDamage?: OnPackDamage | undefined;
}

/**
 * Is told of damage in a pack.
 * @param rows the chunks that cannot be used, from `first` to before `end`; undefined for damage of its end
 */
export type OnPackDamage = (
  error: MstoreError,
  rows?: { readonly first: number; readonly end: number },
) => void;

const throwDamage: OnPackDamage = (error) => {
  throw error;
};

/**
 * Passes the bytes of a pack on and verifies them on the way: every chunk against its id, the end of
 * the pack against its footer. Bytes may be passed on before they are verified, but never the last of
 * them: the receiver makes the pack visible only after the iteration has ended.
 */
export async function* verifiedPack(
  blocks: AsyncIterable<Uint8Array>,
  footer: PackFooter,
  { where = `the pack ${footer.id}`, lane, onDamage = throwDamage }: VerifyOptions = {},
): AsyncGenerator<Uint8Array, void, undefined> {
  // Threads hash what is stored; what is encoded must be decoded first.
  if (lane !== undefined && isRaw(footer)) {
    yield* verifiedByThreads(blocks, new LaneCheck(footer, where, lane, onDamage));
    return;
  }
  const check = new PackCheck(footer, where, onDamage);
  for await (const block of blocks) {
    check.update(block);
    yield block;
  }
  check.end();
}

function isRaw(footer: PackFooter): boolean {
  for (let row = 0; row < footer.count; row++) {
    if (footer.row(row).encoding !== 0) return false;
  }
  return true;
}

async function* verifiedByThreads(
  blocks: AsyncIterable<Uint8Array>,
  check: LaneCheck,
): AsyncGenerator<Uint8Array, void, undefined> {
  let checked: Promise<void> | undefined;
  try {
    for await (const block of check.gather(blocks)) {
      checked = check.update(block);
      // It is awaited behind the next line, or in the end where the receiver stops.
      checked.catch(() => {});
      if (check.complete) await checked;
      yield block;
      await checked;
    }
  } finally {
    await checked?.catch(() => {});
  }
  check.end();
}

/** Verifies the bytes of a pack of raw chunks by threads. */
class LaneCheck {
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
class PackCheck {
  readonly #footer: PackFooter;
  readonly #where: string;
  readonly #onDamage: OnPackDamage;
  readonly #tail: Buffer;
  #row = 0;
  /** Bytes of the current chunk, or of the tail behind the chunks, that have come. */
  #seen = 0;
  #hash: Hash | undefined;
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
    if (place.encoding === 0) {
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
    this.#hash = undefined;
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
    const actual = this.#hash?.digest() ?? Buffer.alloc(0);
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

async function* fileBlocks(
  file: string,
  lane: PackLane | undefined,
): AsyncGenerator<Uint8Array, void, undefined> {
  let fd: number;
  try {
    fd = fs.openSync(file, 'r');
  } catch (error) {
    throw fromSystemError(error, `reading ${file}`);
  }
  const reader = new DirectReader(fd, file);
  try {
    yield* readForward(reader, { start: 0, end: fs.fstatSync(fd).size }, lane?.blocks);
  } catch (error) {
    throw fromSystemError(error, `reading ${file}`);
  } finally {
    reader.close();
    fs.closeSync(fd);
  }
}

/** A file as the source of a remote object, as it is. */
export function fileSource(file: string): RemoteSource {
  return { size: fs.statSync(file).size, open: () => fileBlocks(file, undefined) };
}

/**
 * A pack file as the source of a remote object, verified each time it is read. One that is gone ends the reading with
 * `objects-missing`.
 */
export function packSource(file: string, footer: PackFooter, lane?: PackLane): RemoteSource {
  const open = () => verifiedPack(packBlocks(file, footer, lane), footer, { where: file, lane });
  return { size: footer.packBytes, open };
}

async function* packBlocks(
  file: string,
  { id }: PackFooter,
  lane: PackLane | undefined,
): AsyncGenerator<Uint8Array, void, undefined> {
  try {
    yield* fileBlocks(file, lane);
  } catch (error) {
    if (isMstoreError(error, 'not-found')) throw missingPack(id);
    throw error;
  }
}

/** Creates a pack at a remote, verified on its way, and after it the index object that makes it known. */
export async function sendPack(
  remote: RemoteWriter,
  file: string,
  footer: PackFooter,
  options: RemoteCallOptions,
): Promise<void> {
  const source = packSource(file, footer);
  await remote.create(packKey(footer.id), source, { ...options, contentKey: true });
  await remote.create(indexKey(footer.id), bytesSource(footer.bytes), options);
}

/** Options of {@link receivePack}. */
export interface ReceiveOptions extends RemoteCallOptions {
  /** Has threads verify the pack; without it this thread does. */
  readonly lane?: PackLane | undefined;
  /**
   * Called before a pack that broke off is dropped, with the file that holds its beginning as far as it
   * came; what lies in it has to be verified again.
   */
  readonly onBroken?: (file: string, error: unknown) => Promise<void>;
}

/**
 * Fetches a whole pack into the store: written beside, verified, flushed, then published.
 * @param onBytes called with the bytes received since the last call
 */
export async function receivePack(
  store: Store,
  remote: RemoteReader,
  footer: PackFooter,
  onBytes: (bytes: number) => void,
  { signal, requestsMax, lane, onBroken }: ReceiveOptions = {},
): Promise<void> {
  store.prepareWriting();
  const temp = store.tempFile();
  try {
    const breather = new Breather(signal);
    const out = new SequentialFile(temp, { size: footer.packBytes, blocks: 2 });
    try {
      const options = { signal, requestsMax, memory: lane?.blocks };
      const blocks = remote.get(packKey(footer.id), undefined, options);
      for await (const block of verifiedPack(blocks, footer, { lane })) {
        await out.append(block);
        onBytes(block.length);
        if (breather.due()) await breather.turn();
      }
      await out.settled();
      out.end();
      out.sync();
    } catch (error) {
      if (onBroken !== undefined) {
        await out.settled();
        out.end();
        await onBroken(temp, remoteDamage(error, remote));
      }
      throw error;
    } finally {
      out.close();
    }
    await publishPack(store, temp, footer);
  } catch (error) {
    throw remoteDamage(fromSystemError(error, `writing a pack to ${store.folder}`), remote);
  } finally {
    removeFile(temp);
  }
}

/** Says of damage found on arrival where the damaged bytes came from. */
export function remoteDamage(error: unknown, remote: RemoteReader): unknown {
  if (!isMstoreError(error, 'corrupt-chunk', 'corrupt-pack')) return error;
  return new MstoreError(
    'corrupt-remote',
    `${remote.location} sent damaged data. ${error.message}`,
    {
      hint: `Fetch from another remote. ${pushedAgain('that pack')}`,
      details: { ...error.details, location: remote.location },
      cause: error,
    },
  );
}
