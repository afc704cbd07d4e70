import * as fs from 'node:fs';
import * as path from 'node:path';
import type { Clock } from '../../base/clock.ts';

/** Of a cache that is full, so much is freed at once. */
const freedShare = 0.1;
/** A file that is used all the time is marked so rarely. */
const markMs = 60_000;

/** The files of a cache and the room that they take: those that were used longest ago go first. */
export class CacheSpace {
  readonly #bytesMax: number;
  readonly #clock: Clock;
  /** Sizes and times of last use, the longest ago first. */
  readonly #files = new Map<string, { readonly size: number; readonly marked: number }>();
  #bytes = 0;

  /** Takes up what is there, two folders deep. */
  constructor(
    folder: string,
    { bytesMax, clock }: { readonly bytesMax: number; readonly clock: Clock },
  ) {
    this.#bytesMax = bytesMax;
    this.#clock = clock;
    const found: Array<{ file: string; size: number; used: number }> = [];
    for (const dirent of fs.readdirSync(folder, { recursive: true, withFileTypes: true })) {
      if (!dirent.isFile()) continue;
      const file = path.join(dirent.parentPath, dirent.name);
      const { size, mtimeMs: used } = fs.lstatSync(file);
      // What an earlier process did not come to name.
      if (file.endsWith('.tmp')) fs.rmSync(file, { force: true });
      else found.push({ file, size, used });
    }
    found.sort((a, b) => a.used - b.used);
    for (const { file, size, used } of found) {
      this.#files.set(file, { size, marked: used });
      this.#bytes += size;
    }
    this.makeRoom(0);
  }

  /** Bytes of all files. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Notes that a file is used. */
  used(file: string): void {
    const known = this.#files.get(file);
    if (known === undefined) return;
    const now = this.#clock.now();
    const isDue = now - known.marked > markMs;
    // Behind all others: it goes last.
    this.#files.delete(file);
    this.#files.set(file, isDue ? { ...known, marked: now } : known);
    if (!isDue) return;
    try {
      fs.utimesSync(file, now / 1000, now / 1000);
    } catch {
      // It goes earlier than it should after the next start.
    }
  }

  /** Notes a new file, and frees room where there is too little. */
  added(file: string, size: number): void {
    this.#forget(file);
    this.#files.set(file, { size, marked: this.#clock.now() });
    this.#bytes += size;
    if (this.#bytes > this.#bytesMax) this.makeRoom();
  }

  /** Removes a file. */
  remove(file: string): void {
    fs.rmSync(file, { force: true });
    this.#forget(file);
  }

  /** Removes what was used longest ago. */
  makeRoom(share = freedShare): void {
    const goal = this.#bytesMax * (1 - share);
    for (const file of this.#files.keys()) {
      if (this.#bytes <= goal) return;
      this.remove(file);
    }
  }

  #forget(file: string): void {
    this.#bytes -= this.#files.get(file)?.size ?? 0;
    this.#files.delete(file);
  }
}
