import * as fs from 'node:fs';
import * as path from 'node:path';
import { crc32 } from 'node:zlib';
import { writeCacheFile } from '../base/cache-file.ts';
import { type Digest, isDigest, sha256 } from '../base/digest.ts';
import { ensureCacheFolder, readBounded, tempName } from '../base/files.ts';
import { bootToken } from '../base/host.ts';
import { compareUtf8 } from '../base/json.ts';

const cacheVersion = 3;
const cacheBytesMax = 1024 * 1024 * 1024;
/** Bytes of the first line: the CRC-32 of what follows it. */
const sumBytes = 9;

function sumOf(text: Uint8Array): Buffer {
  return Buffer.from(`${crc32(text).toString(16).padStart(8, '0')}\n`);
}

/**
 * A file changed within this time of being read may carry the same times afterwards: clocks of file
 * systems tick every 1 to 10 ms, that of FAT every 2 s.
 */
const fineTickNs = 20_000_000n;
const coarseTickNs = 2_000_000_000n;

/**
 * What was written within this time may not be on the disk yet. After a power cut it can be a file of the
 * right size and times that holds zeros.
 */
const settledNs = 600_000_000_000n;

type Row = readonly [name: string, stamp: string, digest: string, boot?: string];

/** What a file was when its digest was known. */
interface Known {
  /** Size, times and inode in one text: it is compared, never taken apart. */
  readonly stamp: string;
  readonly digest: string;
  /** When the machine must not have been started anew since: while the file may not be on the disk. */
  readonly boot?: string | undefined;
}

/** What of a stat tells whether a file changed, how it may be used, and who else has it. */
export type FileStat = Pick<
  fs.BigIntStats,
  'size' | 'mtimeNs' | 'ctimeNs' | 'ino' | 'mode' | 'nlink'
>;

/** Something found on disk, as {@link StatCache.holdsWhole} sees it. */
type FoundEntry =
  | { readonly kind: 'file'; readonly path: string; readonly stat: FileStat }
  | { readonly kind: 'link'; readonly path: string; readonly link: string }
  | { readonly kind: 'directory'; readonly path: string };

function stampOf({ size, mtimeNs, ctimeNs, ino }: FileStat): string {
  return `${size} ${mtimeNs} ${ctimeNs} ${ino}`;
}

/**
 * Remembers the digests of the files of one tracked path with the size, times and inode they had, so
 * that an unchanged file costs one stat and no read. A file that was changed so shortly before it was
 * read that a later change might not show in its times is never remembered, and one that may not have
 * reached the disk is forgotten when the machine starts anew. Losing the cache loses time, nothing else:
 * a cache that cannot be read, or in which a bit has turned, is an empty one.
 */
export class StatCache {
  readonly #file: string;
  readonly #startNs: bigint;
  /** As it was read, until somebody asks for a single file: most often nothing has changed. */
  #rows: readonly Row[] | undefined;
  #byName: Map<string, Known> | undefined;
  /** Targets of links that were part of a version, by name. */
  #links = new Map<string, string>();
  /** The version that the files and links are all of, while it is known. */
  #whole: string | undefined;
  #changed = false;

  private constructor(file: string, startNs: bigint) {
    this.#file = file;
    this.#startNs = startNs;
  }

  /**
   * Opens the cache of one tracked path.
   * @param folder where caches lie
   * @param tracked path from the top of the workspace
   * @param startNs a moment, by the file system's clock, before the first file is read
   */
  static open(folder: string, tracked: string, startNs: bigint): StatCache {
    const cache = new StatCache(path.join(folder, `${sha256(tracked).slice(0, 32)}.json`), startNs);
    cache.#load(tracked);
    return cache;
  }

  #load(tracked: string): void {
    try {
      const bytes = readBounded(this.#file, cacheBytesMax);
      if (bytes === undefined) return;
      const text = bytes.subarray(sumBytes);
      if (!bytes.subarray(0, sumBytes).equals(sumOf(text))) return;
      const value = JSON.parse(text.toString()) as {
        version: number;
        tracked: string;
        rows: Row[];
        links?: Array<[name: string, target: string]>;
        whole?: string;
      };
      if (value.version !== cacheVersion || value.tracked !== tracked) return;
      if (!value.rows.every((row) => Array.isArray(row))) return;
      this.#links = new Map(value.links ?? []);
      this.#rows = value.rows;
      this.#whole = value.whole;
    } catch {
      this.#rows = undefined;
      this.#links = new Map();
    }
  }

  get #known(): Map<string, Known> {
    this.#byName ??= new Map(
      (this.#rows ?? []).map(([name, stamp, digest, boot]) => [name, { stamp, digest, boot }]),
    );
    return this.#byName;
  }

  /**
   * Remembers that what is remembered is a version and all of it, the executable bits included: a
   * change of those shows in the times of a file as well. A file that was changed too shortly before it
   * was read is not remembered, and then nothing is whole.
   * @param version names the content of the tracked path
   * @param count files, links and directories of the version
   */
  rememberWhole(version: string, count: number): void {
    if (this.#whole === version || this.#known.size + this.#links.size !== count) return;
    this.#whole = version;
    this.#changed = true;
  }

  /**
   * Tells whether the files and links that were found are just those of a version, all unchanged since
   * {@link rememberWhole}. False says nothing: the comparison with the version tells.
   * @param found sorted by the UTF-8 bytes of the paths
   */
  holdsWhole(version: string, found: readonly FoundEntry[]): boolean {
    const rows = this.#rows;
    if (this.#whole !== version || rows?.length !== found.length - this.#links.size) return false;
    let at = 0;
    const settled: Array<readonly [string, FileStat]> = [];
    for (const entry of found) {
      if (entry.kind === 'directory') return false;
      if (entry.kind === 'link') {
        if (!this.knowsLink(entry.path, entry.link)) return false;
        continue;
      }
      const [name, stamp, , boot] = rows[at++] ?? [];
      if (name !== entry.path || stamp !== stampOf(entry.stat)) return false;
      if (boot === undefined) continue;
      if (boot !== bootToken()) return false;
      if (!this.#isUnsettled(entry.stat)) settled.push([name, entry.stat]);
    }
    for (const [name, stat] of settled) this.find(name, stat);
    return true;
  }

  /** Remembers a link that is part of a version: nothing is lost with it. */
  rememberLink(name: string, target: string): void {
    if (this.knowsLink(name, target)) return;
    this.#links.set(name, target);
    this.#touch();
  }

  /** Tells whether a link with this target was part of a version when it was last seen. */
  knowsLink(name: string, target: string): boolean {
    return this.#links.get(name) === target;
  }

  /** Returns the digest of a file if it is surely the same as when it was remembered. */
  find(name: string, stat: FileStat): Digest | undefined {
    const known = this.#known.get(name);
    if (known === undefined || known.stamp !== stampOf(stat)) return undefined;
    if (known.boot !== undefined && known.boot !== bootToken()) return undefined;
    if (!isDigest(known.digest)) return undefined;
    if (known.boot !== undefined && !this.#isUnsettled(stat)) this.#set(name, stat, known.digest);
    return known.digest;
  }

  /** Remembers a digest with the stat that held before and after the file was read. */
  rememberRead(name: string, stat: FileStat, digest: Digest): void {
    if (this.find(name, stat) === digest) return;
    if (!this.#isRacy(stat)) this.#set(name, stat, digest);
    else if (this.#known.delete(name)) this.#touch();
  }

  /**
   * Remembers a file that this process has written and stamped ({@link stampNow}): its time is none
   * that the file system's clock would give to a later change.
   */
  rememberWritten(name: string, stat: FileStat, digest: Digest): void {
    this.#set(name, stat, digest);
  }

  #set(name: string, stat: FileStat, digest: Digest): void {
    const boot = this.#isUnsettled(stat) ? bootToken() : undefined;
    const stamp = stampOf(stat);
    const was = this.#known.get(name);
    this.#known.set(name, { stamp, digest, boot });
    if (was?.stamp !== stamp || was.digest !== digest) this.#touch();
    else this.#changed = true;
  }

  #touch(): void {
    this.#whole = undefined;
    this.#changed = true;
  }

  #isUnsettled({ ctimeNs }: FileStat): boolean {
    return ctimeNs + settledNs >= this.#startNs;
  }

  #isRacy(stat: FileStat): boolean {
    const latest = stat.mtimeNs > stat.ctimeNs ? stat.mtimeNs : stat.ctimeNs;
    const coarse = stat.mtimeNs % 1_000_000_000n === 0n && stat.ctimeNs % 1_000_000_000n === 0n;
    return latest + (coarse ? coarseTickNs : fineTickNs) >= this.#startNs;
  }

  /** Forgets all files but those named. */
  keepOnly(names: ReadonlySet<string>): void {
    for (const remembered of [this.#known, this.#links]) {
      for (const name of remembered.keys()) {
        if (names.has(name)) continue;
        remembered.delete(name);
        this.#touch();
      }
    }
  }

  /** Writes the cache if it changed. A cache that cannot be written is left as it is. */
  save(tracked: string): void {
    if (!this.#changed) return;
    const rows = [...this.#known]
      .map(
        ([name, { stamp, digest, boot }]): Row =>
          boot === undefined ? [name, stamp, digest] : [name, stamp, digest, boot],
      )
      .sort(([a], [b]) => compareUtf8(a, b));
    const links = [...this.#links];
    const whole = this.#whole;
    const value = { version: cacheVersion, tracked, rows, links, whole };
    const text = Buffer.from(JSON.stringify(value));
    this.#changed = !writeCacheFile(this.#file, Buffer.concat([sumOf(text), text]));
  }
}

/**
 * Stamps a file that is being written with the present moment in microseconds, never a whole
 * millisecond. Clocks of file systems tick in milliseconds, so that a change within the same tick shows
 * all the same. The half keeps what a double rounds away (a quarter of a microsecond, today) from
 * becoming another microsecond where the system call cuts it off.
 */
export function stampNow(fd: number, nowMs: number): void {
  const micros = 1 + (process.hrtime()[1] % 998);
  const seconds = Math.floor(nowMs) / 1000 + (micros + 0.5) / 1e6;
  fs.futimesSync(fd, seconds, seconds);
}

/**
 * Reads the file system's own clock by making a file; it can differ from the system's on network file
 * systems. Where no file can be made there is no cache to write either.
 */
export function fileClockNs(folder: string, fallbackMs: number): bigint {
  const probe = path.join(folder, tempName());
  try {
    ensureCacheFolder(folder);
    fs.closeSync(fs.openSync(probe, 'wx'));
    try {
      return fs.statSync(probe, { bigint: true }).mtimeNs;
    } finally {
      fs.rmSync(probe, { force: true });
    }
  } catch {
    return BigInt(fallbackMs) * 1_000_000n;
  }
}
