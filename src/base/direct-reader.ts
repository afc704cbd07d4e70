import * as fs from 'node:fs';
import { systemCode } from './errors.ts';
import { readFullyAsync, readOnce } from './files.ts';
import { makePages } from './wasm-memory.ts';

/** Positions and sizes of reads past the page cache are multiples of this, which suits all common disks. */
export const directAlignBytes = 4096;

const probeBytes = 16 * 1024;
/** Reads from memory are held up now and then, on a virtual machine by what is outside of it; those from a disk all take long. */
const probes = 9;
const slowMin = 7;
/** Findings that it is not in memory, so far apart, after which that is believed: one moment may hold up all reads. */
const findings = 3;
const findingsMsApart = 3;
/** Bytes in memory take a tenth of this, bytes on the fastest disks twice as long. */
const probeMsMax = 0.05;
let probeTarget: Buffer | undefined;

/**
 * Reads of an open file that go past the page cache where its bytes are not in it: bringing in what is
 * read once costs more than the reading, and pushes out what others use. What is there already is read
 * from there. Which of the two holds is measured at the first reads of a file.
 */
export class DirectReader {
  readonly #fd: number;
  readonly #file: string;
  readonly #now: () => number;
  /** Undefined until it was measured; null where the bytes are in memory, or reads past it do not work. */
  #directFd: number | null | undefined;
  /** Times that it was found not to be in memory, and the last of these, in milliseconds. */
  #found = 0;
  #lastFound = Number.NEGATIVE_INFINITY;

  /**
   * @param fd descriptor of the file, which stays the caller's
   * @param file its path, to open it once more
   * @param now milliseconds, by which reads are measured
   */
  constructor(fd: number, file: string, now: () => number = () => performance.now()) {
    this.#fd = fd;
    this.#file = file;
    this.#now = now;
  }

  /** Tells whether {@link readAligned} goes past the page cache. */
  isDirect(position: number): boolean {
    if (this.#directFd === undefined) this.#measure(position);
    return typeof this.#directFd === 'number';
  }

  #measure(position: number): void {
    const now = this.#now();
    if (now - this.#lastFound < findingsMsApart) return;
    if (!this.#isCold(position)) this.#directFd = null;
    else if (++this.#found >= findings) this.#directFd = this.#openDirect();
    this.#lastFound = this.#now();
  }

  #isCold(position: number): boolean {
    // The first read of a process takes longer than the probe, as does the first touch of new memory.
    probeTarget ??= Buffer.alloc(probeBytes, 1);
    fs.readSync(this.#fd, probeTarget, 0, 1, position);
    const { size } = fs.fstatSync(this.#fd);
    let slow = 0;
    for (let i = 0; i < probes; i++) {
      // Apart, so that none brings in the next one.
      const at = position + ((i + 0.5) / probes) * Math.max(0, size - position - probeBytes);
      if (this.#timeRead(at - (at % directAlignBytes)) > probeMsMax) slow++;
    }
    return slow >= slowMin;
  }

  #timeRead(position: number): number {
    const start = this.#now();
    fs.readSync(this.#fd, probeTarget as Buffer, 0, probeBytes, position);
    return this.#now() - start;
  }

  #openDirect(): number | null {
    const { O_RDONLY, O_DIRECT, O_NOFOLLOW, O_NONBLOCK } = fs.constants;
    if (O_DIRECT === undefined) return null;
    let direct: number | undefined;
    try {
      direct = fs.openSync(this.#file, O_RDONLY | O_DIRECT | (O_NOFOLLOW ?? 0) | (O_NONBLOCK ?? 0));
      const [mine, opened] = [this.#fd, direct].map((fd) => fs.fstatSync(fd, { bigint: true }));
      if (mine?.ino === opened?.ino && mine?.dev === opened?.dev) return direct;
    } catch {
      // It is read through the page cache then, and errors that matter show there.
    }
    if (direct !== undefined) fs.closeSync(direct);
    return null;
  }

  /**
   * Reads until `target` is full or the file ends, past the page cache where that is better.
   * @param target memory that starts at a page of the machine, as many bytes as a multiple of 4 KiB
   * @param position a multiple of 4 KiB
   * @returns the number of bytes read
   */
  async readAligned(target: Uint8Array, position: number): Promise<number> {
    if (this.isDirect(position) && typeof this.#directFd === 'number') {
      try {
        return await readBlock(this.#directFd, target, position);
      } catch (error) {
        if (systemCode(error) !== 'EINVAL') throw error;
        this.close();
        this.#directFd = null;
      }
    }
    return readFullyAsync(this.#fd, target, position);
  }

  /** Reads until `target` is full or the file ends, through the page cache. */
  read(target: Uint8Array, position: number): Promise<number> {
    return readFullyAsync(this.#fd, target, position);
  }

  /** Closes what was opened here. No read may be under way. */
  close(): void {
    if (typeof this.#directFd === 'number') fs.closeSync(this.#directFd);
    this.#directFd = undefined;
  }
}

/** Reads until `target` is full; what is left behind a short read is aligned unless the file ends there. */
async function readBlock(fd: number, target: Uint8Array, position: number): Promise<number> {
  let done = 0;
  while (done < target.length) {
    const count = await readOnce(fd, target.subarray(done), position + done);
    done += count;
    if (count % directAlignBytes !== 0 || count === 0) break;
  }
  return done;
}

/** Bytes of one block of {@link readForward}. */
const forwardBytes = 1 * 1024 * 1024;

/** Ranges up to this are read at once, through the page cache. */
const smallBytes = 1024 * 1024;

/**
 * Yields the bytes of an open file from `start` to `end`, each block while the next one is being read. A
 * block is valid until the next step. Memory: two blocks of 1 MiB.
 * @param memory two blocks to use, of one size that is a multiple of 4 KiB, each at a page of the machine;
 * made here by default
 * @returns the position reached: less than `end` where the file is shorter
 */
export async function* readForward(
  reader: DirectReader,
  { start, end }: { readonly start: number; readonly end: number },
  memory?: readonly [Buffer, Buffer],
): AsyncGenerator<Uint8Array, number, undefined> {
  if (end - start <= smallBytes && memory === undefined) {
    const block = Buffer.allocUnsafe(Math.max(0, end - start));
    const count = await reader.read(block, start);
    if (count > 0) yield block.subarray(0, count);
    return start + count;
  }
  const first = start - (start % directAlignBytes);
  const size = Math.min(forwardBytes, roundUp(end - first));
  const [one, other] = memory ?? [makePages(size), makePages(size)];
  const room = one.length;
  const readAt = (position: number, target: Buffer): Promise<number> => {
    const wanted = roundUp(Math.min(target.length, end - position));
    const count = reader.readAligned(target.subarray(0, wanted), position);
    // It may fail while the caller holds the block before; the failure is thrown at its own turn.
    count.catch(() => {});
    return count;
  };
  let [filling, spare] = [one, other];
  let next: Promise<number> | undefined = readAt(first, filling);
  try {
    for (let at = first; ; at += room) {
      const count: number = await next;
      const block = filling.subarray(Math.max(0, start - at), Math.min(count, end - at));
      [filling, spare] = [spare, filling];
      next = at + room < end && count === room ? readAt(at + room, filling) : undefined;
      if (block.length > 0) yield block;
      if (next === undefined) return Math.min(at + count, end);
    }
  } finally {
    // Nothing may be read into memory, or from a descriptor, that belongs to somebody else.
    await next?.catch(() => {});
  }
}

/** Rounds up to what reads past the page cache take. */
export function roundUp(bytes: number): number {
  return Math.ceil(bytes / directAlignBytes) * directAlignBytes;
}
