import * as fs from 'node:fs';
import * as path from 'node:path';
import type { Digest } from '../base/digest.ts';
import { systemCode } from '../base/errors.ts';
import {
  ensureCacheFolder,
  publishReplacing,
  readFully,
  removeFile,
  tempName,
  writeFully,
} from '../base/files.ts';
import type { TableFile } from '../index/chunk-table.ts';
import type { TableStore } from '../index/table-set.ts';

/** The number is that of the layout: a version of mstore with another one passes these files over. */
const suffix = '.table-1';
/** Bytes gathered before they are written. */
const bufferBytes = 1024 * 1024;
/** Listings until one finds all files that it names: another process may be merging them. */
const listingsMax = 5;

/** Closes files of stores that nobody uses any more: a store has no end of its own. */
const forgotten = new FinalizationRegistry((fd: number) => {
  try {
    fs.closeSync(fd);
  } catch {
    // Nothing depends on it.
  }
});

class OpenTable implements TableFile {
  readonly name: string;
  readonly size: number;
  #fd: number | undefined;

  constructor(name: string, fd: number) {
    const stat = fs.fstatSync(fd);
    this.name = name;
    this.size = stat.isFile() ? stat.size : 0;
    this.#fd = fd;
    forgotten.register(this, fd, this);
  }

  read(target: Uint8Array, position: number): number {
    try {
      return this.#fd === undefined ? 0 : readFully(this.#fd, target, position);
    } catch {
      // A file that cannot be read is as good as damaged: all of it can be had again.
      return 0;
    }
  }

  close(): void {
    if (this.#fd === undefined) return;
    forgotten.unregister(this);
    fs.closeSync(this.#fd);
    this.#fd = undefined;
  }
}

/**
 * Chunk tables in a folder. Any number of processes may use it at once, without locks: a table appears
 * whole or not at all, is never changed, and may be removed at any time; who has it open still reads it.
 */
export class TableFolder implements TableStore {
  readonly #folder: string;
  readonly #temps: string;

  /** @param temps folder for files under construction, on the same file system */
  constructor(folder: string, temps: string) {
    this.#folder = folder;
    this.#temps = temps;
  }

  open(): TableFile[] {
    for (let listing = 1; ; listing++) {
      const tables: TableFile[] = [];
      const names = this.#list();
      for (const name of names) {
        const table = this.#openFile(name);
        if (table !== undefined) tables.push(table);
      }
      // What was merged meanwhile stands in a table that this listing does not name yet.
      if (tables.length === names.length || listing === listingsMax) return tables;
      for (const table of tables) table.close();
    }
  }

  #list(): string[] {
    try {
      return fs.readdirSync(this.#folder).filter((name) => name.endsWith(suffix));
    } catch {
      return [];
    }
  }

  #openFile(name: string): TableFile | undefined {
    try {
      const flags = fs.constants.O_RDONLY | (fs.constants.O_NONBLOCK ?? 0);
      const fd = fs.openSync(path.join(this.#folder, name), flags);
      return new OpenTable(name, fd);
    } catch {
      return undefined;
    }
  }

  write(fill: (write: (bytes: Uint8Array) => void) => Digest): TableFile {
    ensureCacheFolder(this.#folder);
    ensureCacheFolder(this.#temps);
    const temp = path.join(this.#temps, tempName());
    try {
      const name = writeTemp(temp, fill) + suffix;
      // Opened before it has its name: from then on another process may merge and remove it.
      const fd = fs.openSync(temp, 'r');
      const table = new OpenTable(name, fd);
      publishReplacing(temp, path.join(this.#folder, name));
      return table;
    } catch (error) {
      removeFile(temp);
      throw error;
    }
  }

  remove(file: TableFile): void {
    file.close();
    try {
      fs.unlinkSync(path.join(this.#folder, file.name));
    } catch (error) {
      // Another process was first, or the store cannot be written; on some systems a file in use stays.
      if (systemCode(error) === undefined) throw error;
    }
  }
}

/** Not flushed to the disk: what a power cut leaves of it is told from a table by its sums. */
function writeTemp(temp: string, fill: (write: (bytes: Uint8Array) => void) => Digest): Digest {
  const fd = fs.openSync(temp, 'wx');
  try {
    const buffer = new WriteBuffer(fd);
    const name = fill((bytes) => buffer.add(bytes));
    buffer.flush();
    return name;
  } finally {
    fs.closeSync(fd);
  }
}

/** Gathers small writes. */
class WriteBuffer {
  readonly #fd: number;
  readonly #bytes = Buffer.allocUnsafe(bufferBytes);
  #fill = 0;

  constructor(fd: number) {
    this.#fd = fd;
  }

  add(bytes: Uint8Array): void {
    if (this.#fill + bytes.length > bufferBytes) this.flush();
    if (bytes.length > bufferBytes) {
      writeFully(this.#fd, bytes);
      return;
    }
    this.#bytes.set(bytes, this.#fill);
    this.#fill += bytes.length;
  }

  flush(): void {
    writeFully(this.#fd, this.#bytes.subarray(0, this.#fill));
    this.#fill = 0;
  }
}
