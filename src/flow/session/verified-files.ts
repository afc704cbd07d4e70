import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { throwIfAborted } from '../../base/abort.ts';
import type { Digest } from '../../base/digest.ts';
import { fromSystemError, MstoreError } from '../../base/errors.ts';
import { formatBytes } from '../../base/format-bytes.ts';
import { printable } from '../../base/names.ts';
import type { FileEntry } from '../../base/tree.ts';
import { openRegular } from '../../store/source-file.ts';

/** A version that lies in a directory. */
export interface ModelPlace {
  /** The reference as it was given. */
  readonly reference: string;
  /** The same, so that it means these bytes for ever. */
  readonly exact: string;
  readonly model?: string;
  readonly version?: string;
  /** Absolute. */
  readonly directory: string;
  /** What the directory holds, by the digest of the version. */
  readonly files: readonly FileEntry[];
}

const blockBytes = 4 * 1024 * 1024;

/**
 * Reads whole files of a version into memory, each once. What is handed out has the digest that the version has for
 * it, whatever has become of the directory since it was checked.
 */
export class VerifiedFiles {
  readonly list: readonly FileEntry[];
  readonly #place: ModelPlace;
  readonly #bytesMax: number;
  readonly #signal: AbortSignal | undefined;
  readonly #read = new Map<string, ArrayBuffer>();
  #bytes = 0;

  /** @param bytesMax of all files together */
  constructor(place: ModelPlace, bytesMax: number, signal?: AbortSignal) {
    this.#place = place;
    this.list = place.files;
    this.#bytesMax = bytesMax;
    this.#signal = signal;
  }

  /** Bytes that were read. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Finds a file by its path in the version. */
  find(name: string): FileEntry | undefined {
    return this.list.find((entry) => entry.path === name);
  }

  /**
   * Reads a file.
   * @throws MstoreError `file-changed` when it has other bytes than the version, `too-large`
   */
  async read(entry: FileEntry): Promise<ArrayBuffer> {
    const known = this.#read.get(entry.path);
    if (known !== undefined) return known;
    if (this.#bytes + entry.size > this.#bytesMax) throw this.#tooLarge(entry);
    this.#bytes += entry.size;
    const bytes = await this.#verified(entry);
    this.#read.set(entry.path, bytes);
    return bytes;
  }

  async #verified({ path: name, size, sha256 }: FileEntry): Promise<ArrayBuffer> {
    const full = path.join(this.#place.directory, ...name.split('/'));
    const { fd, stat } = openRegular(full);
    try {
      if (stat.size !== BigInt(size)) throw changed(full);
      const bytes = Buffer.from(new ArrayBuffer(size));
      if ((await fill(fd, bytes, this.#signal)) !== sha256) throw changed(full);
      return bytes.buffer;
    } catch (error) {
      throw fromSystemError(error, `reading ${printable(full)}`);
    } finally {
      fs.closeSync(fd);
    }
  }

  #tooLarge({ path: name, size }: FileEntry): MstoreError {
    const needed = this.#bytes + size;
    return new MstoreError(
      'too-large',
      `Loading ${printable(name)} of ${printable(this.#place.reference)} takes ${formatBytes(needed)} of memory; the limit is ${formatBytes(this.#bytesMax)}`,
      {
        hint: 'Raise bytesMax where there is room, or resolve the reference and have the runtime open the file',
        details: { path: name, size: needed, bytesMax: this.#bytesMax },
      },
    );
  }
}

/** Reads a file in blocks that let the program breathe, and returns the digest of what was read. */
async function fill(fd: number, bytes: Buffer, signal: AbortSignal | undefined): Promise<Digest> {
  const hash = createHash('sha256');
  let at = 0;
  while (at < bytes.length) {
    throwIfAborted(signal);
    const length = Math.min(blockBytes, bytes.length - at);
    const read = await readAt(fd, bytes, at, length);
    if (read === 0) break;
    hash.update(bytes.subarray(at, at + read));
    at += read;
  }
  return hash.digest('hex') as Digest;
}

function readAt(fd: number, bytes: Buffer, at: number, length: number): Promise<number> {
  return new Promise((resolve, reject) => {
    fs.read(fd, bytes, at, length, at, (error, read) =>
      error === null ? resolve(read) : reject(error),
    );
  });
}

function changed(full: string): MstoreError {
  return new MstoreError('file-changed', `${printable(full)} is not what the version holds`, {
    hint: 'Another process writes there; load the model again, which writes a whole copy',
    details: { path: full },
  });
}
