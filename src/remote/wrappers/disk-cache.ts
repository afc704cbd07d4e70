import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { throwIfAborted, untilAborted } from '../../base/abort.ts';
import type { Clock } from '../../base/clock.ts';
import { digestBytes, sha256, sha256Raw } from '../../base/digest.ts';
import { ensureCacheFolder } from '../../base/files.ts';
import { checkKey, checkRange, noObject } from '../keys.ts';
import type { ByteRange, RemotePruner, RemoteReadOptions } from '../remote.ts';
import { CacheSpace } from './cache-space.ts';

/** Bytes of one file of the cache. */
const blockBytes = 4 * 1024 * 1024;
/** Bytes that are verified, and handed out, at once. */
const pieceBytes = 256 * 1024;
/** Blocks that are asked for at once, at most: a reader that is slow holds nobody up for longer. */
const runBlocksMax = 16;
/** Sizes of objects that are remembered. */
const sizesMax = 100_000;

/** Options of {@link diskCached}. */
export interface DiskCacheOptions {
  /** Absolute folder that belongs to one process alone. */
  readonly folder: string;
  /** Bytes that it may take. */
  readonly bytesMax: number;
  readonly clock: Clock;
  /** Tells whether a key stands for its bytes, so that they are the same for ever; others are not kept. */
  readonly isContent: (key: string) => boolean;
}

/** A remote whose reads are kept on the disk. */
export interface CachedRemote extends RemotePruner {
  /** The size of an object whose bytes are the same for ever, without asking where it was asked for before. */
  sizeOf(key: string, options?: RemoteReadOptions): Promise<number | undefined>;
  /** Numbers of blocks that were here, and that had to be asked for; bytes that are here. */
  readonly counts: { readonly hits: number; readonly misses: number; readonly bytes: number };
}

/**
 * Keeps what is read of a remote on the disk, so that many who read the same objects reach the place behind once: at the
 * same time, as those who come while something is under way wait for it, and later. Bytes are verified by digests of their
 * own each time they come from the disk. Listings, `stat` and small objects that may come and go are always asked for. What
 * was deleted behind may still be read here, which is as good as a read that came a moment earlier.
 *
 * Memory: 256 KiB a reader, and 4 MiB for each request to the place behind.
 */
export function diskCached(remote: RemotePruner, options: DiskCacheOptions): CachedRemote {
  const cache = new DiskCache(remote, options);
  return {
    ...remote,
    get: (key, range, how) =>
      options.isContent(key) ? cache.read(key, range, how) : remote.get(key, range, how),
    async delete(key, how) {
      await remote.delete(key, how);
      cache.forget(key);
    },
    sizeOf: (key, how) => (options.isContent(key) ? cache.sizeOf(key, how) : remote.stat(key, how)),
    get counts() {
      return cache.counts;
    },
  };
}

class DiskCache {
  readonly counts = { hits: 0, misses: 0, bytes: 0 };
  readonly #remote: RemotePruner;
  readonly #folder: string;
  readonly #space: CacheSpace;
  readonly #sizes = new Map<string, number>();
  /** Blocks that are being asked for. */
  readonly #coming = new Map<string, Promise<void>>();

  constructor(remote: RemotePruner, { folder, bytesMax, clock }: DiskCacheOptions) {
    this.#remote = remote;
    this.#folder = folder;
    ensureCacheFolder(folder);
    this.#space = new CacheSpace(folder, { bytesMax, clock });
    this.counts.bytes = this.#space.bytes;
  }

  async sizeOf(key: string, options: RemoteReadOptions | undefined): Promise<number | undefined> {
    const known = this.#sizes.get(key);
    if (known !== undefined) return known;
    const size = await this.#remote.stat(key, options);
    if (size === undefined) return undefined;
    if (this.#sizes.size >= sizesMax) this.#sizes.clear();
    this.#sizes.set(key, size);
    return size;
  }

  /** Drops what is here of an object. */
  forget(key: string): void {
    this.#sizes.delete(key);
    const first = this.#file({ key, size: 0, block: 0 });
    const [folder, name] = [path.dirname(first), path.basename(first).slice(0, -1)];
    for (const entry of fs.existsSync(folder) ? fs.readdirSync(folder) : []) {
      if (entry.startsWith(name)) this.#space.remove(path.join(folder, entry));
    }
    this.counts.bytes = this.#space.bytes;
  }

  async *read(
    key: string,
    range: ByteRange | undefined,
    options: RemoteReadOptions | undefined,
  ): AsyncGenerator<Uint8Array, void, void> {
    checkKey(key);
    throwIfAborted(options?.signal);
    const size = await this.sizeOf(key, options);
    if (size === undefined) throw noObject(key, this.#remote.location);
    const { start, end } = checkRange(key, range, size, this.#remote.location);
    for (let at = start; at < end; ) {
      throwIfAborted(options?.signal);
      const block = Math.floor(at / blockBytes);
      const to = Math.min(end, (block + 1) * blockBytes);
      yield* this.#readBlock({ key, size, block }, { start: at, end: to }, end, options);
      at = to;
    }
  }

  /** Yields a part of one block; where it is not here, it is asked for with those behind it that are wanted too. */
  async *#readBlock(
    of: BlockOf,
    range: ByteRange,
    wantedEnd: number,
    options: RemoteReadOptions | undefined,
  ): AsyncGenerator<Uint8Array, void, void> {
    const base = of.block * blockBytes;
    const within = { start: range.start - base, end: range.end - base };
    for (let tries = 0; tries < 2; tries++) {
      const handle = await this.#open(of);
      if (handle !== undefined) {
        this.counts.hits++;
        const done = yield* piecesOf(handle, within, bytesOf(of));
        if (done === 'whole') return;
        // What is damaged goes, and is asked for anew from where it was.
        this.#space.remove(this.#file(of));
        within.start = done;
      }
      await this.#fetch(of, wantedEnd, options);
    }
    this.counts.misses++;
    // The disk keeps nothing: it is full, or fails. What is read goes through.
    const rest = { start: base + within.start, end: range.end };
    yield* this.#remote.get(of.key, rest, options);
  }

  #file({ key, block }: BlockOf): string {
    const name = sha256(key);
    return path.join(this.#folder, name.slice(0, 2), `${name}-${block}`);
  }

  async #open(of: BlockOf): Promise<fs.promises.FileHandle | undefined> {
    const file = this.#file(of);
    try {
      const handle = await fs.promises.open(file, 'r');
      this.#space.used(file);
      return handle;
    } catch {
      return undefined;
    }
  }

  /** Has a block here, by whoever asks for it first. */
  async #fetch(of: BlockOf, wantedEnd: number, options: RemoteReadOptions | undefined) {
    const coming = this.#coming.get(this.#file(of));
    if (coming !== undefined) return untilAborted(coming, options?.signal);
    // It may have come since it was looked for.
    if (fs.existsSync(this.#file(of))) return;
    const run = [of];
    for (let block = of.block + 1; block * blockBytes < wantedEnd; block++) {
      const next = { ...of, block };
      const file = this.#file(next);
      if (run.length >= runBlocksMax || this.#coming.has(file) || fs.existsSync(file)) break;
      run.push(next);
    }
    await this.#fetchRun(run, options);
  }

  /** Asks for blocks that lie side by side, with one request; each is here as soon as its bytes have come. */
  async #fetchRun(run: readonly BlockOf[], options: RemoteReadOptions | undefined): Promise<void> {
    const waits = run.map((of) => {
      let end: () => void = () => {};
      const come = new Promise<void>((resolve) => {
        end = resolve;
      });
      this.#coming.set(this.#file(of), come);
      return end;
    });
    this.counts.misses += run.length;
    const [first] = run as readonly [BlockOf];
    const last = run.at(-1) as BlockOf;
    const range = {
      start: first.block * blockBytes,
      end: Math.min(first.size, (last.block + 1) * blockBytes),
    };
    // Others may wait for it: a reader that goes away ends nothing.
    const fetching = this.#receive(run, waits, this.#remote.get(first.key, range)).finally(() => {
      for (const [i, of] of run.entries()) {
        this.#coming.delete(this.#file(of));
        waits[i]?.();
      }
    });
    fetching.catch(() => {});
    const here = this.#coming.get(this.#file(first)) as Promise<void>;
    await untilAborted(Promise.race([here, fetching]), options?.signal);
  }

  async #receive(
    run: readonly BlockOf[],
    waits: ReadonlyArray<() => void>,
    blocks: AsyncIterable<Uint8Array>,
  ): Promise<void> {
    const buffer = Buffer.allocUnsafeSlow(blockBytes);
    let [i, filled] = [0, 0];
    for await (const bytes of blocks) {
      for (let at = 0; at < bytes.length; ) {
        const of = run[i] as BlockOf;
        const take = Math.min(bytes.length - at, bytesOf(of) - filled);
        buffer.set(bytes.subarray(at, at + take), filled);
        filled += take;
        at += take;
        if (filled < bytesOf(of)) continue;
        this.#keep(of, buffer.subarray(0, filled));
        this.#coming.delete(this.#file(of));
        waits[i]?.();
        [i, filled] = [i + 1, 0];
      }
    }
  }

  /** Writes a block behind the digests of its pieces. A disk that is full, or fails, keeps nothing. */
  #keep(of: BlockOf, bytes: Buffer): void {
    const file = this.#file(of);
    const digests: Buffer[] = [];
    for (let at = 0; at < bytes.length; at += pieceBytes) {
      digests.push(sha256Raw(bytes.subarray(at, at + pieceBytes)));
    }
    try {
      fs.mkdirSync(path.dirname(file), { recursive: true });
      const temp = `${file}.tmp`;
      fs.writeFileSync(temp, Buffer.concat([...digests, bytes]));
      fs.renameSync(temp, file);
      this.#space.added(file, bytes.length + digests.length * digestBytes);
      this.counts.bytes = this.#space.bytes;
    } catch {
      this.#space.makeRoom();
    }
  }
}

interface BlockOf {
  readonly key: string;
  /** Of the object. */
  readonly size: number;
  /** Number of the block in it. */
  readonly block: number;
}

function bytesOf({ size, block }: BlockOf): number {
  return Math.min(blockBytes, size - block * blockBytes);
}

/**
 * Yields a range of a block, piece by piece, each verified.
 * @returns `whole`, or where the first piece begins that is not right
 */
async function* piecesOf(
  handle: fs.promises.FileHandle,
  { start, end }: ByteRange,
  bytes: number,
): AsyncGenerator<Uint8Array, 'whole' | number, void> {
  try {
    const count = Math.ceil(bytes / pieceBytes);
    const digests = Buffer.alloc(count * digestBytes);
    await handle.read(digests, 0, digests.length, 0);
    const buffer = Buffer.allocUnsafeSlow(Math.min(pieceBytes, bytes));
    for (let piece = Math.floor(start / pieceBytes); piece * pieceBytes < end; piece++) {
      const from = piece * pieceBytes;
      const part = buffer.subarray(0, Math.min(pieceBytes, bytes - from));
      const { bytesRead } = await handle.read(part, 0, part.length, digests.length + from);
      const digest = createHash('sha256').update(part).digest();
      const told = digests.subarray(piece * digestBytes, (piece + 1) * digestBytes);
      if (bytesRead !== part.length || !digest.equals(told)) return Math.max(start, from);
      yield part.subarray(Math.max(0, start - from), Math.min(part.length, end - from));
    }
    return 'whole';
  } finally {
    await handle.close();
  }
}
