import type { Extract, Header } from 'tar-stream';
import { isMstoreError } from '../base/errors.ts';
import { corruptPackage } from './corrupt.ts';

/** One entry of an archive that is being read. */
export interface ReadEntry {
  readonly header: Header;
  /** Its bytes, to be read to their end before the next entry is asked for. */
  readonly blocks: AsyncIterable<Uint8Array>;
}

/** Bytes of headers, and of zeros at the end, that an archive may have between two entries. */
const betweenBytesMax = 1024 * 1024;

/**
 * Reads an archive entry by entry. Nothing in it is believed: what names, types and sizes may be is for the
 * caller to say. Memory: a few blocks, and 1 MiB of long names.
 * @param where the package, for errors
 * @throws MstoreError `corrupt-package`, and whatever the source throws
 */
export async function* tarEntries(
  source: AsyncIterable<Uint8Array>,
  where: string,
): AsyncGenerator<ReadEntry, void, undefined> {
  const { extract } = await import('./tar-stream.ts');
  const reader = extract();
  const feed = new Feed(reader, source, where);
  // Whoever reads sees the failure; without a listener it would end the process.
  reader.on('error', () => {});
  const entries = reader[Symbol.asyncIterator]();
  const fed = feed.run();
  try {
    for (;;) {
      const next = await entries.next();
      if (next.done) break;
      feed.taken();
      yield { header: next.value.header, blocks: taking(next.value, feed) };
    }
  } catch (error) {
    throw feed.failureBehind(error);
  } finally {
    reader.destroy();
    await fed;
  }
}

async function* taking(
  blocks: AsyncIterable<unknown>,
  feed: Feed,
): AsyncGenerator<Uint8Array, void, undefined> {
  try {
    for await (const block of blocks) {
      feed.taken();
      yield block as Uint8Array;
    }
  } catch (error) {
    throw feed.failureBehind(error);
  }
}

/** Hands the bytes of an archive to its reader, no faster than they are taken. */
class Feed {
  #failure: unknown;
  readonly #reader: Extract;
  readonly #source: AsyncIterable<Uint8Array>;
  readonly #where: string;
  #between = 0;
  /** Goes on with what waits for the reader, or for the source. */
  #wake = (): void => {};

  constructor(reader: Extract, source: AsyncIterable<Uint8Array>, where: string) {
    this.#reader = reader;
    this.#source = source;
    this.#where = where;
    reader.on('drain', () => this.#wake());
    reader.on('close', () => this.#wake());
  }

  /** Notes that the reader has handed something out: it does not only gather. */
  taken(): void {
    this.#between = 0;
  }

  /** Finds what led to an error of the reader: what ended the feeding, or the archive. */
  failureBehind(error: unknown): unknown {
    if (this.#failure !== undefined) return this.#failure;
    if (isMstoreError(error)) return error;
    return corruptPackage(this.#where, 'the archive in it is damaged', error);
  }

  /**
   * Feeds the reader to its end; a failure ends the reader. When the reader has ended, it does not wait for what the
   * source may give some day.
   */
  async run(): Promise<void> {
    const source = this.#source[Symbol.asyncIterator]();
    let isWaiting = true;
    try {
      for (;;) {
        isWaiting = true;
        const next = await this.#next(source);
        if (next === undefined) return;
        isWaiting = false;
        if (next.done) break;
        if (!(await this.#write(next.value))) return;
      }
      this.#reader.end(null);
    } catch (error) {
      this.#failure = error;
      this.#reader.destroy(error as Error);
    } finally {
      const left = source.return?.().catch(() => {});
      if (!isWaiting) await left;
    }
  }

  /** Asks the source for more; undefined when the reader ends before that comes. */
  #next(source: AsyncIterator<Uint8Array>): Promise<IteratorResult<Uint8Array> | undefined> {
    return new Promise((resolve, reject) => {
      const leave = () => {
        if (this.#reader.destroyed) resolve(undefined);
      };
      this.#wake = leave;
      leave();
      source.next().then(resolve, reject);
    });
  }

  /** Hands bytes to the reader, and returns whether it takes more. */
  async #write(bytes: Uint8Array): Promise<boolean> {
    if (this.#reader.destroyed) return false;
    this.#between += bytes.length;
    if (this.#between > betweenBytesMax) {
      throw corruptPackage(
        this.#where,
        `it has more than ${betweenBytesMax} bytes in a row that belong to no file`,
      );
    }
    const drained = new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
    if (!this.#reader.write(bytes)) await drained;
    return !this.#reader.destroyed;
  }
}
