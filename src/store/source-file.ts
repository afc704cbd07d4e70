import * as fs from 'node:fs';
import { fromSystemError, MstoreError, systemCode } from '../base/errors.ts';
import { readFully } from '../base/files.ts';
import { printable } from '../base/names.ts';
import { formatChunkParams } from '../chunk/chunker.ts';
import type { ByteReader } from '../weights/byte-reader.ts';
import { findHardCuts } from '../weights/hard-cuts.ts';

/** Takes what lies behind the end that a file had, which is nothing. */
const behind = Buffer.alloc(1);

/** A regular file that is open to be stored, and must not change meanwhile. */
export class SourceFile {
  readonly file: string;
  readonly fd: number;
  /** Bytes. */
  readonly size: number;
  readonly #before: fs.BigIntStats;

  /** Opens a file. */
  constructor(file: string) {
    this.file = file;
    ({ fd: this.fd, stat: this.#before } = openRegular(file));
    this.size = Number(this.#before.size);
  }

  /** Throws that the file holds fewer bytes than it did. */
  readonly short = (): never => {
    throw changedWhileRead(this.file);
  };

  /**
   * Checks, once all was read, that the file is as it was when it was opened.
   * @throws MstoreError `file-changed`
   */
  check(): fs.BigIntStats {
    if (readFully(this.fd, behind, this.size) !== 0) this.short();
    const after = fs.fstatSync(this.fd, { bigint: true });
    return sameStat(this.#before, after) ? after : this.short();
  }

  /**
   * The hard cuts that its content gives; a file that can only be one chunk has none.
   * @param others asked for those of a file whose content gives none
   */
  hardCuts(others?: (size: number) => readonly number[]): readonly number[] {
    if (this.size <= formatChunkParams.min) return [];
    const cuts = findHardCuts(byteReader(this.fd, this.size), formatChunkParams.min);
    return cuts.length > 0 ? cuts : (others?.(this.size) ?? []);
  }

  close(): void {
    fs.closeSync(this.fd);
  }
}

/** Random access to an open file. */
export function byteReader(fd: number, size: number): ByteReader {
  return {
    size,
    read: (offset, length) => {
      const bytes = Buffer.alloc(Math.min(length, Math.max(0, size - offset)));
      return bytes.subarray(0, readFully(fd, bytes, offset));
    },
  };
}

/** A regular file that was just opened. */
export interface OpenFile {
  readonly fd: number;
  readonly stat: fs.BigIntStats;
}

/** Opens a regular file without following a link and without waiting on a FIFO. */
export function openRegular(file: string): OpenFile {
  const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = fs.constants;
  let fd: number;
  try {
    fd = fs.openSync(file, O_RDONLY | (O_NOFOLLOW ?? 0) | (O_NONBLOCK ?? 0));
  } catch (error) {
    if (systemCode(error) === 'ELOOP') throw changedWhileRead(file);
    throw fromSystemError(error, `reading ${printable(file)}`);
  }
  const stat = fs.fstatSync(fd, { bigint: true });
  if (stat.isFile()) return { fd, stat };
  fs.closeSync(fd);
  throw changedWhileRead(file);
}

function sameStat(a: fs.BigIntStats, b: fs.BigIntStats): boolean {
  return a.size === b.size && a.mtimeNs === b.mtimeNs && a.ctimeNs === b.ctimeNs && a.ino === b.ino;
}

function changedWhileRead(file: string): MstoreError {
  return new MstoreError('file-changed', `${printable(file)} changed while it was being read`, {
    hint: 'Wait until the program that writes it has ended, then run the same command again',
    details: { path: file },
  });
}
