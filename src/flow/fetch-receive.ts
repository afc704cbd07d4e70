import * as fs from 'node:fs';
import pLimit from 'p-limit';
import { Breather } from '../base/abort.ts';
import { mapConcurrently, mapInOrder } from '../base/concurrency.ts';
import { isMstoreError, type MstoreError } from '../base/errors.ts';
import { readFully } from '../base/files.ts';
import type { Progress } from '../base/progress.ts';
import type { IndexedPack } from '../index/indexed-pack.ts';
import type { PackFooter } from '../pack/format.ts';
import { readChunk } from '../pack/reader.ts';
import { packKey } from '../store/keys.ts';
import type { Store } from '../store/local-store.ts';
import { PackSink } from '../store/pack-sink.ts';
import { type PackLane, PackThreads } from '../store/pack-threads.ts';
import { receivePack, remoteDamage } from '../store/pack-transfer.ts';
import { joinRows, type RowRange, readRange } from '../store/remote-ranges.ts';
import type { RemoteStore, TransferOptions } from '../store/remote-store.ts';
import type { WantedRows } from './fetch-plan.ts';

/** A pack of which at least this share is wanted is fetched whole. */
const wholePackShare = 0.75;
/** Bytes of one ranged read. */
const rangeBytesMax = 16 * 1024 * 1024;
/** Bytes of all ranged reads that are under way, or wait for their turn to be taken in. */
const rangesBytesMax = 64 * 1024 * 1024;

/** What chunks are received with. */
export interface ReceiveParts {
  readonly store: Store;
  readonly there: RemoteStore;
  /** For whole packs. */
  readonly transfer: TransferOptions;
  /** For ranges. */
  readonly requests: TransferOptions;
  readonly progress: Progress;
  /** Told of what arrived damaged, or is gone; the rest is fetched all the same. */
  readonly onDamage: (error: MstoreError) => void;
  /** Told of chunks that have arrived and were verified. */
  readonly onChunks: (count: number) => void;
}

/**
 * Fetches chunks of one remote into the store, each verified: whole packs where most of one is wanted,
 * else ranges, which are gathered in packs of our own. Memory: 64 MiB of ranges, and the blocks of the
 * packs that are written at once. A failure of the remote ends it; what came before it is kept, that of
 * packs that broke off too.
 */
export async function receiveChunks(wanted: WantedRows, parts: ReceiveParts): Promise<void> {
  const receiver = new Receiver(parts);
  try {
    await receiver.receive(wanted);
    await receiver.sink.finish();
  } catch (error) {
    await keepArrived(receiver.sink);
    throw error;
  } finally {
    receiver.sink.close();
    parts.progress.finish();
  }
}

/** Keeps the chunks that came before a failure: each was verified, and need not come again. */
async function keepArrived(sink: PackSink): Promise<void> {
  try {
    await sink.publish();
  } catch {
    // The failure that is on its way tells more than this one.
  }
}

/** Rows of a pack that is fetched whole. */
interface WholePack {
  readonly pack: IndexedPack;
  readonly rows: ReadonlySet<number>;
}

class Receiver {
  readonly sink: PackSink;
  readonly #parts: ReceiveParts;
  /** Only one at a time puts chunks into the sink. */
  readonly #turn = pLimit(1);
  /** Packs that turned out to be gone: nothing more is asked of them. */
  readonly #gone = new Set<IndexedPack>();

  constructor(parts: ReceiveParts) {
    this.#parts = parts;
    this.sink = new PackSink(parts.store);
  }

  async receive(wanted: WantedRows): Promise<void> {
    const { progress } = this.#parts;
    const whole: WholePack[] = [];
    const ranges: Range[] = [];
    let bytesTotal = 0;
    for (const [pack, rows] of wanted) {
      const footer = await this.#footerOf(pack);
      if (footer === undefined) continue;
      const parts = rangesOf(pack, footer, rows);
      const bytes = parts.reduce((sum, { start, end }) => sum + end - start, 0);
      if (bytes >= pack.payloadBytes * wholePackShare) whole.push({ pack, rows });
      else ranges.push(...parts);
      bytesTotal += bytes >= pack.payloadBytes * wholePackShare ? pack.packBytes : bytes;
    }
    progress.start('fetch', { bytesTotal });
    const left = await this.#receivePacks(whole);
    await this.#receiveRanges([...ranges, ...left]);
  }

  async #footerOf(pack: IndexedPack): Promise<PackFooter | undefined> {
    try {
      return await this.#parts.there.footerOf(pack, this.#parts.requests);
    } catch (error) {
      this.#noteDamage(error);
      return undefined;
    }
  }

  /** Notes what concerns one object alone; any other failure is thrown on. */
  #noteDamage(error: unknown): void {
    const told = remoteDamage(error, this.#parts.there.remote);
    if (!isMstoreError(told, 'corrupt-remote', 'not-found')) throw error;
    this.#parts.onDamage(told);
  }

  /** Fetches whole packs; returns what is to be had in ranges of those that are damaged. */
  async #receivePacks(packs: readonly WholePack[]): Promise<Range[]> {
    const { jobs } = this.#parts.transfer;
    const bytes = packs.reduce((sum, { pack }) => sum + pack.packBytes, 0);
    const threads = PackThreads.for(bytes, jobs);
    try {
      const left = await mapConcurrently(packs, jobs, (one) => {
        const receive = (lane?: PackLane) => this.#receivePack(one, lane);
        return threads?.withLane(receive) ?? receive();
      });
      return left.flat();
    } finally {
      threads?.close();
    }
  }

  async #receivePack({ pack, rows }: WholePack, lane: PackLane | undefined): Promise<Range[]> {
    const { store, there, transfer, progress, onChunks } = this.#parts;
    const { signal, requestsMax } = transfer;
    const footer = await there.footerOf(pack, transfer);
    const onBytes = (bytes: number): void => progress.advance({ bytes });
    const onBroken = (file: string, error: unknown): Promise<void> =>
      this.#turn(() => this.#takeBeginning(file, footer, rows, error));
    try {
      await receivePack(store, there.remote, footer, onBytes, {
        signal,
        requestsMax,
        lane,
        onBroken,
      });
      onChunks(rows.size);
      return [];
    } catch (error) {
      this.#noteDamage(error);
      const left = [...rows].filter((row) => !this.sink.has(footer.bytes, footer.idOffset(row)));
      return isMstoreError(error, 'not-found') ? [] : rangesOf(pack, footer, left);
    }
  }

  /** Takes over the chunks at the start of a pack that broke off, up to the first that is not whole. */
  async #takeBeginning(
    file: string,
    footer: PackFooter,
    rows: ReadonlySet<number>,
    reason: unknown,
  ): Promise<void> {
    if (!isRemoteFailure(reason)) return;
    const breather = new Breather(this.#parts.transfer.signal);
    const fd = fs.openSync(file, 'r');
    try {
      for (const row of [...rows].sort((a, b) => a - b)) {
        const { offset, storedLength } = footer.row(row);
        const stored = Buffer.allocUnsafe(storedLength);
        if (readFully(fd, stored, offset) !== storedLength) return;
        this.#take(footer, row, stored);
        if (this.sink.full) await this.sink.publish();
        if (breather.due()) await breather.turn();
      }
    } catch (error) {
      if (!isMstoreError(error, 'corrupt-chunk')) throw error;
    } finally {
      fs.closeSync(fd);
    }
  }

  /** Verifies a chunk and puts it into the sink. */
  #take(footer: PackFooter, row: number, stored: Uint8Array): void {
    const form = footer.row(row);
    const idAt = footer.idOffset(row);
    readChunk(stored, form, footer.bytes, idAt, `the pack ${footer.id}`);
    if (this.sink.has(footer.bytes, idAt)) return;
    this.sink.appendStored(footer.bytes.subarray(idAt, idAt + 32), stored, form);
    this.#parts.onChunks(1);
  }

  /** Fetches ranges, several at once, and takes their chunks in by the order of the ranges. */
  async #receiveRanges(ranges: readonly Range[]): Promise<void> {
    let failure: { readonly error: unknown } | undefined;
    const arriving = mapInOrder(
      ranges,
      {
        atOnce: this.#parts.requests.jobs,
        bytesOf: ({ start, end }) => end - start,
        bytesMax: rangesBytesMax,
      },
      async (range) => {
        // What is under way when one fails is still waited for: it may be what is needed.
        if (failure !== undefined || this.#gone.has(range.pack)) return undefined;
        try {
          return { range, bytes: await this.#read(range) };
        } catch (error) {
          failure ??= { error };
          return undefined;
        }
      },
    );
    for await (const arrived of arriving) {
      if (arrived?.bytes === undefined) continue;
      await this.#takeRange(arrived.range, arrived.bytes);
    }
    if (failure !== undefined) throw failure.error;
  }

  async #takeRange(range: Range, bytes: Buffer): Promise<void> {
    const footer = await this.#footerOf(range.pack);
    for (const row of footer === undefined ? [] : range.rows) {
      const { offset, storedLength } = (footer as PackFooter).row(row);
      const at = offset - range.start;
      try {
        this.#take(footer as PackFooter, row, bytes.subarray(at, at + storedLength));
      } catch (error) {
        this.#noteDamage(error);
      }
    }
    if (this.sink.full) await this.sink.publish();
  }

  /** Reads a range whole; undefined when the remote does not have it. */
  async #read(range: Range): Promise<Buffer | undefined> {
    const { there, requests, progress } = this.#parts;
    const key = packKey(range.pack.id);
    try {
      return await readRange(there.remote, key, range, requests, (bytes) =>
        progress.advance({ bytes }),
      );
    } catch (error) {
      this.#noteDamage(error);
      if (isMstoreError(error, 'not-found')) this.#gone.add(range.pack);
      return undefined;
    }
  }
}

/** Tells whether an error is one of the remote, or of what it sent: another remote may do better. */
export function isRemoteFailure(error: unknown): error is MstoreError {
  return isMstoreError(
    error,
    'remote-unreachable',
    'remote-refused',
    'not-a-remote',
    'corrupt-remote',
    'newer-format',
    'not-found',
    'offline',
  );
}

/** A range of one of several packs. */
interface Range extends RowRange {
  readonly pack: IndexedPack;
}

function rangesOf(pack: IndexedPack, footer: PackFooter, rows: Iterable<number>): Range[] {
  const ascending = [...rows].sort((a, b) => a - b);
  return joinRows(footer, ascending, rangeBytesMax).map((range) => ({ ...range, pack }));
}
