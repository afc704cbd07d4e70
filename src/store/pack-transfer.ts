import { createHash, type Hash } from 'node:crypto';
import * as fs from 'node:fs';
import { Breather } from '../base/abort.ts';
import { DirectReader, readForward } from '../base/direct-reader.ts';
import { fromSystemError, isMstoreError, MstoreError } from '../base/errors.ts';
import { removeFile } from '../base/files.ts';
import { SequentialFile } from '../base/sequential-file.ts';
import { placeOf } from '../index/chunk-index.ts';
import { type PackFooter, packProblem } from '../pack/format.ts';
import { chunkProblem, readChunk } from '../pack/reader.ts';
import type { RemoteReader, RemoteSource } from '../remote/remote.ts';
import { packKey } from './keys.ts';
import type { Store } from './local-store.ts';
import { publishPack } from './publish.ts';

/**
 * Passes the bytes of a pack on and verifies them on the way: every chunk against its id, the end of
 * the pack against its footer. Nothing is held back but the last bytes: the receiver makes the pack
 * visible only after the iteration has ended.
 * @param where names the pack in errors
 */
export async function* verifiedPack(
  blocks: AsyncIterable<Uint8Array>,
  footer: PackFooter,
  where = `the pack ${footer.id}`,
): AsyncGenerator<Uint8Array, void, undefined> {
  const check = new PackCheck(footer, where);
  for await (const block of blocks) {
    check.update(block);
    yield block;
  }
  check.end();
}

/** Verifies the bytes of a pack as they come. Memory: three times a chunk where it is encoded, else none. */
class PackCheck {
  readonly #footer: PackFooter;
  readonly #where: string;
  readonly #tail: Buffer;
  #row = 0;
  /** Bytes of the current chunk, or of the tail behind the chunks, that have come. */
  #seen = 0;
  #hash: Hash | undefined;
  #stored: Buffer | undefined;

  constructor(footer: PackFooter, where: string) {
    this.#footer = footer;
    this.#where = where;
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
    const { bytes } = this.#footer;
    const idAt = this.#footer.idOffset(this.#row);
    if (encoding === 0) {
      const actual = this.#hash?.digest() ?? Buffer.alloc(0);
      if (actual.compare(bytes, idAt, idAt + 32) !== 0) {
        throw chunkProblem(this.#footer.chunk(this.#row), this.#where, actual.toString('hex'));
      }
      this.#hash = undefined;
    } else {
      readChunk(this.#stored as Buffer, this.#footer.row(this.#row), bytes, idAt, this.#where);
      this.#stored = undefined;
    }
    this.#row++;
    this.#seen = 0;
  }

  #tailBytes(block: Uint8Array, at: number): number {
    const bytes = block.subarray(at);
    const wanted = this.#tail.subarray(this.#seen, this.#seen + bytes.length);
    if (!wanted.equals(bytes)) throw packProblem('its end is not its footer', this.#footer.id);
    this.#seen += bytes.length;
    return bytes.length;
  }

  end(): void {
    if (this.#row === this.#footer.count && this.#seen === this.#tail.length) return;
    throw packProblem('it is cut short', this.#footer.id);
  }
}

async function* fileBlocks(file: string): AsyncGenerator<Uint8Array, void, undefined> {
  let fd: number;
  try {
    fd = fs.openSync(file, 'r');
  } catch (error) {
    throw fromSystemError(error, `reading ${file}`);
  }
  const reader = new DirectReader(fd, file);
  try {
    yield* readForward(reader, { start: 0, end: fs.fstatSync(fd).size });
  } catch (error) {
    throw fromSystemError(error, `reading ${file}`);
  } finally {
    reader.close();
    fs.closeSync(fd);
  }
}

/** A pack file as the source of a remote object, verified each time it is read. */
export function packSource(file: string, footer: PackFooter): RemoteSource {
  return { size: footer.packBytes, open: () => verifiedPack(fileBlocks(file), footer, file) };
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
  options: { signal?: AbortSignal | undefined } = {},
): Promise<void> {
  store.prepareWriting();
  const temp = store.tempFile();
  try {
    const breather = new Breather(options.signal);
    const out = new SequentialFile(temp, { size: footer.packBytes, blocks: 2 });
    try {
      const blocks = remote.get(packKey(footer.id), undefined, options);
      for await (const block of verifiedPack(blocks, footer)) {
        out.write(block);
        await out.room();
        onBytes(block.length);
        if (breather.due()) await breather.turn();
      }
      await out.settled();
      out.end();
      out.sync();
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
      hint: 'Fetch from another remote; or remove that pack there, then push again from a host that has the data',
      details: { ...error.details, location: remote.location },
      cause: error,
    },
  );
}
