import { createHash } from 'node:crypto';
import { throwIfAborted } from '../../base/abort.ts';
import { mapInOrder } from '../../base/concurrency.ts';
import { isMstoreError } from '../../base/errors.ts';
import type { ChunkPlace } from '../../index/chunk-index.ts';
import { readChunk } from '../../pack/reader.ts';
import { ChunkReader, readsAtOnceMax } from '../../store/chunk-reader.ts';
import { packKey } from '../../store/keys.ts';
import type { Recipe } from '../../store/recipe.ts';
import { readRange } from '../../store/remote-ranges.ts';
import type { ChunkStates } from './chunks.ts';
import { isObjectFault } from './packs.ts';
import type { VerifiedPlace } from './place.ts';

/** Bytes of one read: chunks that lie side by side are read together. */
const runBytesMax = 4 * 1024 * 1024;
/** Bytes that are read ahead. */
const aheadBytesMax = 32 * 1024 * 1024;
/** Reads that are planned at a time. */
const runsPlanned = 256;

/** Chunks that lie side by side in one pack, here or there. */
interface Run {
  readonly isNear: boolean;
  readonly places: ChunkPlace[];
  bytes: number;
}

/** Whether a recipe yields its blob, or what kept that from being found out. */
export type Proof = 'right' | 'wrong' | 'lost';

/**
 * Puts blobs together and hashes them. Of a remote, chunks that the local store has are read from there: the
 * same id stands for the same bytes. Memory: 32 MiB that are read ahead.
 */
export class BlobProver {
  readonly #place: VerifiedPlace;
  readonly #chunks: ChunkStates;
  readonly #reader: ChunkReader | undefined;
  readonly #onBytes: (bytes: number) => void;

  constructor(place: VerifiedPlace, chunks: ChunkStates, onBytes: (bytes: number) => void) {
    this.#place = place;
    this.#chunks = chunks;
    this.#onBytes = onBytes;
    const store = place.store ?? place.near;
    this.#reader = store === undefined ? undefined : new ChunkReader(store);
  }

  /**
   * Hashes the blob of a recipe, all of whose chunks are there. The chunks were verified before, or are of the
   * local store; so they are verified only when the whole turns out to be wrong, to find out what is.
   */
  async prove(recipe: Recipe): Promise<Proof> {
    if (await this.#isRight(recipe, false)) return 'right';
    let isLost = false;
    const right = await this.#isRight(recipe, true, (place) => {
      this.#chunks.noteBad(place);
      isLost = true;
    });
    if (right) return 'right';
    return isLost ? 'lost' : 'wrong';
  }

  async #isRight(
    recipe: Recipe,
    verify: boolean,
    onBad: (place: ChunkPlace) => void = () => {},
  ): Promise<boolean> {
    const whole = createHash('sha256');
    // When all is verified, all is read from the place itself: what is damaged here is none of its faults.
    const runs = this.#runs(recipe, !verify);
    let planned: Run[];
    do {
      planned = take(runs, runsPlanned);
      const limits = {
        atOnce: Math.min(readsAtOnceMax, this.#place.requests.jobs),
        bytesOf: ({ bytes }: Run) => bytes,
        bytesMax: aheadBytesMax,
      };
      const read = mapInOrder(planned, limits, async (run) => ({
        run,
        stored: await this.#read(run),
      }));
      for await (const { run, stored } of read) {
        throwIfAborted(this.#place.requests.signal);
        if (!this.#hash(whole, run, stored, verify, onBad)) return false;
        this.#onBytes(stored?.length ?? 0);
      }
    } while (planned.length === runsPlanned);
    return whole.digest('hex') === recipe.blob;
  }

  #hash(
    whole: ReturnType<typeof createHash>,
    run: Run,
    stored: Buffer | undefined,
    verify: boolean,
    onBad: (place: ChunkPlace) => void,
  ): boolean {
    let at = 0;
    let good = true;
    for (const place of run.places) {
      const part = stored?.subarray(at, at + place.storedLength);
      at += place.storedLength;
      try {
        if (part === undefined) throw unread;
        const isPlain = !verify && place.encoding === 0;
        whole.update(isPlain ? part : readChunk(part, place, place.ids, place.idAt, ''));
      } catch (error) {
        if (error !== unread && !isMstoreError(error, 'corrupt-chunk')) throw error;
        onBad(place);
        good = false;
      }
    }
    return good;
  }

  /** Joins the chunks of a blob to reads. */
  *#runs(recipe: Recipe, nearToo: boolean): Generator<Run, void, undefined> {
    let run: Run | undefined;
    for (let row = 0; row < recipe.count; row++) {
      const next = this.#placeOf(recipe, row, nearToo);
      if (next === undefined) continue;
      const { place, isNear } = next;
      const before = run?.places.at(-1);
      const joins =
        run !== undefined &&
        before !== undefined &&
        run.isNear === isNear &&
        place.pack.id === before.pack.id &&
        place.offset === before.offset + before.storedLength &&
        run.bytes + place.storedLength <= runBytesMax;
      if (run !== undefined && joins) {
        run.places.push(place);
        run.bytes += place.storedLength;
        continue;
      }
      if (run !== undefined) yield run;
      run = { isNear, places: [place], bytes: place.storedLength };
    }
    if (run !== undefined) yield run;
  }

  #placeOf(
    recipe: Recipe,
    row: number,
    nearToo: boolean,
  ): { place: ChunkPlace; isNear: boolean } | undefined {
    const at = recipe.idOffset(row);
    const { near, store } = this.#place;
    const here = nearToo ? near?.index().find(recipe.rows, at) : undefined;
    if (here !== undefined) return { place: here, isNear: true };
    const place = this.#chunks.find(recipe.rows, at);
    return place && { place, isNear: store !== undefined };
  }

  /** Reads a run; undefined when it cannot be read as a whole. */
  async #read({ isNear, places, bytes }: Run): Promise<Buffer | undefined> {
    const { pack, offset } = places[0] as ChunkPlace;
    try {
      if (isNear && this.#reader !== undefined) {
        const target = Buffer.allocUnsafe(bytes);
        await this.#reader.readPart(pack.id, offset, target, undefined);
        return target;
      }
      const { objects, requests } = this.#place;
      const range = { start: offset, end: offset + bytes };
      return await readRange(objects, packKey(pack.id), range, requests);
    } catch (error) {
      if (isObjectFault(error) || isMstoreError(error, 'not-found', 'objects-missing', 'io'))
        return undefined;
      throw error;
    }
  }

  /** Closes the packs that are open. */
  close(): void {
    this.#reader?.close();
  }
}

/** Takes the next items, without ending what yields them. */
function take<T>(items: Iterator<T>, count: number): T[] {
  const taken: T[] = [];
  while (taken.length < count) {
    const next = items.next();
    if (next.done === true) break;
    taken.push(next.value);
  }
  return taken;
}

const unread = new Error('not read');
