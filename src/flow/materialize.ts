import * as fs from 'node:fs';
import { Breather } from '../base/abort.ts';
import type { Digest } from '../base/digest.ts';
import { fromSystemError, isMstoreError, MstoreError, systemCode } from '../base/errors.ts';
import { printable } from '../base/names.ts';
import type { Progress } from '../base/progress.ts';
import type { FileEntry } from '../base/tree.ts';
import { BlobReader } from '../store/blob-reader.ts';
import type { Store } from '../store/local-store.ts';
import type { Recipe } from '../store/recipe.ts';
import { wholeFile } from '../store/whole-files.ts';
import type { LinkKind } from '../worktree/config-keys.ts';
import type { Making, Placer } from '../worktree/place.ts';

/** Files up to this size count as small. */
const smallFileBytes = 1024 * 1024;

/** Files from this size on are verified by threads and written past the page cache. */
const largeFileBytes = 64 * 1024 * 1024;

/** Options of {@link Materializer}. */
export interface MaterializeOptions {
  /** Ways to place a file, tried in this order. */
  readonly link: readonly LinkKind[];
  readonly progress: Progress;
  /** Threads that may be used; 1 uses none but this one. */
  readonly jobs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** A file that has its place. */
export interface PlacedFile {
  readonly stat: fs.BigIntStats;
  /** Whether its times are none that the file system's clock would give to a later change. */
  readonly stamped: boolean;
}

/** Gives files of the store their place in a folder, every byte verified before a name is given. */
export class Materializer {
  readonly #store: Store;
  readonly #reader: BlobReader;
  readonly #placer: Placer;
  readonly #options: MaterializeOptions;
  readonly #breather: Breather;

  constructor(store: Store, placer: Placer, options: MaterializeOptions) {
    this.#store = store;
    this.#reader = new BlobReader(store, options.jobs);
    this.#placer = placer;
    this.#options = options;
    this.#breather = new Breather(options.signal);
  }

  /** Lets signals in, when it is time. */
  readonly pause = (): Promise<void> | undefined => {
    return this.#breather.due() ? this.#breather.turn() : undefined;
  };

  /**
   * Places a file.
   * @param relative path from the root of the placer
   * @param how where a small file is made: `beside` its place, as making many in one folder and moving them to others costs
   * several times as much; `apart`, in the folder of the placer; or at its place in a folder that is `unseen` until it is whole
   * @param there digest of the older file at that place, where it is known
   * @throws MstoreError `link-unsupported` when none of the ways works here
   */
  async file(relative: string, entry: FileEntry, how: Making, there?: Digest): Promise<PlacedFile> {
    await this.pause();
    for (const kind of this.#options.link) {
      const making = how === 'beside' && entry.size > smallFileBytes ? 'apart' : how;
      const stat = await this.#tryFile(kind, relative, entry, making, there);
      if (stat === undefined) continue;
      this.#options.progress.advance({ files: 1, name: relative });
      return { stat, stamped: kind === 'copy' };
    }
    throw new MstoreError(
      'link-unsupported',
      `Cannot place ${printable(relative)} by ${this.#options.link.join(' or ')}: the file system does not allow it`,
      {
        hint: `Add "copy" as the last way: --link ${[...this.#options.link, 'copy'].join(',')}`,
        details: { path: relative },
      },
    );
  }

  async #tryFile(
    kind: LinkKind,
    relative: string,
    entry: FileEntry,
    making: Making,
    there: Digest | undefined,
  ): Promise<fs.BigIntStats | undefined> {
    const { progress } = this.#options;
    const executable = entry.executable ?? false;
    if (kind === 'copy') {
      if (entry.size >= largeFileBytes) return this.#copyLarge(relative, entry, there);
      return this.#placer.writeFile(relative, this.#counted(entry), {
        executable,
        making,
        pause: this.pause,
      });
    }
    const source = await wholeFile(this.#store, this.#reader, entry.sha256, executable, this.pause);
    try {
      this.#placer.placeLinked(relative, (temp) => makeLink(kind, source, temp, executable));
    } catch (error) {
      const code = systemCode(error) ?? '';
      if (linkUnsupportedCodes.has(code)) return undefined;
      throw fromSystemError(error, `placing ${printable(relative)}`);
    }
    progress.advance({ bytes: entry.size });
    return fs.statSync(this.#placer.absolute(relative), { bigint: true });
  }

  /**
   * Writes a large file; where the file system can clone the older one, only what differs from that. All
   * is verified in either case, so that a file that is not what it was taken for is found and not used.
   */
  async #copyLarge(
    relative: string,
    entry: FileEntry,
    there: Digest | undefined,
  ): Promise<fs.BigIntStats> {
    const { progress, signal } = this.#options;
    const onBytes = (bytes: number): void => progress.advance({ bytes });
    const executable = entry.executable ?? false;
    const seed = there === undefined ? undefined : this.#seed(there);
    const write = (clone: boolean): Promise<fs.BigIntStats> =>
      this.#placer.writeLargeFile(
        relative,
        (out, cloned) =>
          this.#reader.writeTo(entry.sha256, out, {
            onBytes,
            signal,
            seed: cloned ? seed : undefined,
          }),
        { executable, clone },
      );
    if (seed === undefined) return write(false);
    try {
      return await write(true);
    } catch (error) {
      if (!isMstoreError(error, 'corrupt-chunk', 'io')) throw error;
      return write(false);
    }
  }

  #seed(blob: Digest): Recipe | undefined {
    try {
      return this.#store.recipe(blob);
    } catch {
      return undefined;
    }
  }

  *#counted(entry: FileEntry): Generator<Uint8Array, void, undefined> {
    for (const block of this.#reader.read(entry.sha256)) {
      yield block;
      this.#options.progress.advance({ bytes: block.length });
    }
  }

  close(): void {
    this.#reader.close();
  }
}

/** What systems answer where a file cannot be linked or cloned in the way that was asked for. */
export const linkUnsupportedCodes: ReadonlySet<string> = new Set([
  'ENOTSUP',
  'EOPNOTSUPP',
  'ENOSYS',
  'EXDEV',
  'EPERM',
  'EMLINK',
  'ENOTTY',
  'EINVAL',
]);

function makeLink(
  kind: Exclude<LinkKind, 'copy'>,
  source: string,
  temp: string,
  executable: boolean,
): void {
  if (kind === 'hardlink') fs.linkSync(source, temp);
  else if (kind === 'symlink') fs.symlinkSync(source, temp);
  else {
    fs.copyFileSync(source, temp, fs.constants.COPYFILE_FICLONE_FORCE);
    // A clone has bytes of its own and is the user's to change.
    fs.chmodSync(temp, executable ? 0o755 : 0o644);
  }
}
