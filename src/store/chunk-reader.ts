import * as fs from 'node:fs';
import type { Digest } from '../base/digest.ts';
import { DirectReader, directAlignBytes, roundUp } from '../base/direct-reader.ts';
import { fromSystemError, invariant, systemCode } from '../base/errors.ts';
import { readFully } from '../base/files.ts';
import type { ChunkPlace } from '../index/chunk-index.ts';
import { chunkBytesMax, packProblem } from '../pack/format.ts';
import { readChunk } from '../pack/reader.ts';
import { missingPack } from './hints.ts';
import { packKey } from './keys.ts';
import type { Store } from './local-store.ts';

/** Bytes of one read from a pack; chunks that lie side by side are read together. */
const readBytesMax = 4 * 1024 * 1024;
/** Packs kept open; a version that was edited often is spread over many. */
const openPacksMax = 16;
/** Reads in the background: fewer than packs are kept open. */
export const readsAtOnceMax = 4;

/** The raw, verified bytes of some chunks that follow each other. */
export interface ChunkBlock {
  /** Valid until the next step of the iteration. */
  readonly bytes: Uint8Array;
  /** The same chunks as they are stored; the very bytes where all are raw. As long valid. */
  readonly stored: Uint8Array;
  readonly places: readonly ChunkPlace[];
}

/** Chunks that lie side by side in one pack. */
export interface ChunkRun {
  readonly places: readonly ChunkPlace[];
  /** Stored bytes of all. */
  readonly bytes: number;
}

/** Parts below this are read through the page cache: what lies around them is likely to be wanted too. */
const directPartBytes = 256 * 1024;

/** Memory that starts at a page of the machine, and a quick way to copy out of it. */
export interface Bounce {
  readonly bytes: Buffer;
  readonly copy: (target: Uint8Array, at: number, source: Uint8Array) => void;
}

interface OpenPack {
  readonly fd: number;
  readonly reader: DirectReader;
}

/**
 * Reads chunks from packs, in large reads where they lie side by side; each is verified before it is
 * handed out. Memory: one buffer of 4 MiB, larger only for a chunk larger than that, and three times an
 * encoded chunk.
 */
export class ChunkReader {
  readonly #store: Store;
  readonly #packs = new Map<Digest, OpenPack>();
  #buffer: Buffer = Buffer.alloc(0);

  constructor(store: Store) {
    this.#store = store;
  }

  /**
   * Yields the bytes of the chunks at `places`, in that order.
   * @throws MstoreError `objects-missing`, `corrupt-chunk`, `corrupt-pack`
   */
  *read(places: Iterable<ChunkPlace>): Generator<ChunkBlock, void, undefined> {
    for (const run of this.runs(places, readBytesMax)) yield* this.#readRun(run);
  }

  /** Joins chunks that lie side by side in one pack, up to `bytesMax` bytes or one chunk. */
  *runs(places: Iterable<ChunkPlace>, bytesMax: number): Generator<ChunkRun, void, undefined> {
    let run: ChunkPlace[] = [];
    let bytes = 0;
    for (const place of places) {
      const before = run.at(-1);
      const joins =
        before !== undefined &&
        place.pack === before.pack &&
        place.offset === before.offset + before.storedLength &&
        bytes + place.storedLength <= bytesMax;
      if (!joins && before !== undefined) {
        yield { places: run, bytes };
        run = [];
        bytes = 0;
      }
      run.push(place);
      bytes += place.storedLength;
    }
    if (run.length > 0) yield { places: run, bytes };
  }

  *#readRun(run: ChunkRun): Generator<ChunkBlock, void, undefined> {
    const stored = this.#bufferOf(run);
    this.readStored(run, stored);
    const together = run.places.every((place) => place.encoding === 0);
    let at = 0;
    for (const place of run.places) {
      const part = stored.subarray(at, at + place.storedLength);
      const where = this.#store.file(packKey(place.pack.id));
      const raw = readChunk(part, place, place.ids, place.idAt, where);
      at += place.storedLength;
      if (!together) yield { bytes: raw, stored: part, places: [place] };
    }
    if (together) yield { bytes: stored, stored, places: run.places };
  }

  #bufferOf({ places, bytes }: ChunkRun): Buffer {
    if (this.#buffer.length < bytes) {
      invariant(bytes <= Math.max(readBytesMax, chunkBytesMax), 'a read is bounded');
      const usual = Math.min(readBytesMax, places[0]?.pack.payloadBytes ?? 0);
      this.#buffer = Buffer.allocUnsafeSlow(Math.max(bytes, usual));
    }
    return this.#buffer.subarray(0, bytes);
  }

  /**
   * Reads the stored bytes of a run, as they are; the caller decodes and verifies them.
   * @param target as many bytes as the run has
   */
  readStored({ places, bytes }: ChunkRun, target: Uint8Array): void {
    const { pack, offset } = places[0] as ChunkPlace;
    const { fd } = this.#open(pack.id);
    let count: number;
    try {
      count = readFully(fd, target, offset);
    } catch (error) {
      throw fromSystemError(error, `reading the pack ${pack.id}`);
    }
    if (count !== bytes) throw packProblem('it is cut short', pack.id);
  }

  /**
   * Reads bytes of a pack in the background, as they are. At most {@link readsAtOnceMax} such reads may
   * be under way, or a pack would be closed while it is read.
   * @param bounce memory for reads past the page cache, of 8 KiB more than `target`
   */
  async readPart(
    pack: Digest,
    offset: number,
    target: Uint8Array,
    bounce: Bounce | undefined,
  ): Promise<void> {
    const { reader } = this.#open(pack);
    const first = offset - (offset % directAlignBytes);
    let count: number;
    try {
      if (bounce === undefined || target.length < directPartBytes || !reader.isDirect(first)) {
        count = await reader.read(target, offset);
      } else {
        const wanted = roundUp(offset + target.length - first);
        const read = await reader.readAligned(bounce.bytes.subarray(0, wanted), first);
        const part = bounce.bytes.subarray(offset - first, Math.min(read, wanted));
        count = Math.min(part.length, target.length);
        bounce.copy(target, 0, part.subarray(0, count));
      }
    } catch (error) {
      throw fromSystemError(error, `reading the pack ${pack}`);
    }
    if (count !== target.length) throw packProblem('it is cut short', pack);
  }

  #open(pack: Digest): OpenPack {
    const open = this.#packs.get(pack);
    if (open !== undefined) {
      // Moved to the end: the pack used longest ago is the first to be closed.
      this.#packs.delete(pack);
      this.#packs.set(pack, open);
      return open;
    }
    if (this.#packs.size >= openPacksMax) {
      const [oldest, packOpen] = this.#packs.entries().next().value as [Digest, OpenPack];
      closePack(packOpen);
      this.#packs.delete(oldest);
    }
    const file = this.#store.file(packKey(pack));
    try {
      const fd = fs.openSync(file, 'r');
      const opened = { fd, reader: new DirectReader(fd, file) };
      this.#packs.set(pack, opened);
      return opened;
    } catch (error) {
      if (systemCode(error) === 'ENOENT') throw missingPack(pack);
      throw fromSystemError(error, `reading ${file}`);
    }
  }

  /** Closes the packs that are open. */
  close(): void {
    for (const open of this.#packs.values()) closePack(open);
    this.#packs.clear();
  }
}

function closePack({ fd, reader }: OpenPack): void {
  reader.close();
  fs.closeSync(fd);
}
