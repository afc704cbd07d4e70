import type { ByteReader } from '../weights/byte-reader.ts';

/** An open file; it is closed by whoever opened it. */
export interface OpenSource extends ByteReader {
  close(): void;
}

/** A file that can be looked into. */
export interface Source {
  /** `/`-separated. */
  readonly path: string;
  /** Bytes. */
  readonly size: number;
  /** Whether it is a symbolic link, or has several names. */
  readonly linked?: boolean;
  open(): OpenSource;
}

/** The files around a file. */
export interface Neighbours {
  /**
   * Finds a file by its path from the folder of the file that is validated.
   * @param path without `..`, `/`-separated
   */
  find(path: string): Source | undefined;
}

/** Thrown when a file may not be read any further. */
export class BudgetSpent extends Error {
  /** Whether the caller asked for a short look: that all was not seen then means nothing. */
  readonly isPassing: boolean;

  constructor(isPassing: boolean) {
    super('The limit of bytes is met');
    this.isPassing = isPassing;
  }
}

/** Counts what is read of a file, and ends it where it would be more than a limit. */
export class BudgetReader implements ByteReader {
  readonly size: number;
  readonly #file: ByteReader;
  readonly #isPassing: boolean;
  #left: number;

  /** @param isPassing is told by what is thrown */
  constructor(file: ByteReader, bytesMax: number, isPassing: boolean) {
    this.#file = file;
    this.size = file.size;
    this.#left = bytesMax;
    this.#isPassing = isPassing;
  }

  read(offset: number, length: number): Uint8Array {
    const bytes = Math.max(0, Math.min(length, this.size - offset));
    if (bytes > this.#left) throw new BudgetSpent(this.#isPassing);
    this.#left -= bytes;
    return this.#file.read(offset, bytes);
  }
}
