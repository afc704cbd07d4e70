import * as fs from 'node:fs';
import * as path from 'node:path';
import type { Digest } from '../base/digest.ts';
import { fromSystemError, isMstoreError, MstoreError } from '../base/errors.ts';
import { printable } from '../base/names.ts';
import { type FileEntry, isFileEntry } from '../base/tree.ts';
import { BlobReader } from '../store/blob-reader.ts';
import { ChunkSpans } from '../store/chunk-spans.ts';
import { byteReader, openRegular } from '../store/source-file.ts';
import type { ByteReader } from '../weights/byte-reader.ts';
import type { PathDiff } from './diff.ts';
import { missingError } from './missing.ts';
import { type Tracked, trackedFiles } from './tracked.ts';
import type { Workspace } from './workspace.ts';

/** A file of one side of a comparison. */
export interface SideFile {
  /** Path from the top of the workspace. */
  readonly path: string;
  readonly reader: ByteReader;
  /** Where its chunks lie, as far as it is known. */
  readonly spans: ChunkSpans | undefined;
}

/** Files of the disk that are kept open. */
const openFilesMax = 16;

/** Opens the files of both sides of a comparison, each once. */
export class TensorSides {
  readonly #workspace: Workspace;
  readonly #reader: BlobReader;
  readonly #stored = new Map<Digest, Pick<SideFile, 'reader' | 'spans'>>();
  readonly #onDisk = new Map<string, DiskFile>();
  /** In the order in which they were used. */
  readonly #open = new Set<DiskFile>();

  constructor(workspace: Workspace) {
    this.#workspace = workspace;
    this.#reader = new BlobReader(workspace.store, 1);
  }

  /**
   * Opens a file of a version from the local store.
   * @throws MstoreError `objects-missing`, also from its reads
   */
  stored(file: string, { sha256, size }: Pick<FileEntry, 'sha256' | 'size'>): SideFile {
    const known = this.#stored.get(sha256) ?? this.#openStored(file, sha256, size);
    this.#stored.set(sha256, known);
    return { path: file, ...known };
  }

  #openStored(file: string, sha256: Digest, size: number): Pick<SideFile, 'reader' | 'spans'> {
    const { store } = this.#workspace;
    const saying = <T>(work: () => T): T => {
      try {
        return work();
      } catch (error) {
        if (!isMstoreError(error, 'objects-missing')) throw error;
        const bytes = store.missing(sha256, size)?.bytes ?? size;
        const hint = 'Run "mstore fetch" with the reference that it is of';
        throw missingError([{ path: file, bytes }], 'not in the local store', hint);
      }
    };
    const blob = saying(() => this.#reader.open(sha256));
    const reader = {
      size: blob.size,
      read: (offset: number, length: number) => saying(() => blob.read(offset, length)),
    };
    const recipe = store.recipe(sha256);
    return { reader, spans: recipe && new ChunkSpans(recipe) };
  }

  /** Opens a file of the workspace; undefined where none is. */
  onDisk(file: string): SideFile | undefined {
    const known = this.#onDisk.get(file) ?? this.#openOnDisk(file);
    if (known === undefined) return undefined;
    this.#onDisk.set(file, known);
    const reader = {
      size: known.size,
      read: (offset: number, length: number) => this.#fresh(known).read(offset, length),
    };
    return { path: file, reader, spans: undefined };
  }

  #openOnDisk(file: string): DiskFile | undefined {
    const { root } = this.#workspace;
    const full = this.#workspace.absolute(file);
    // A folder may be a link: what it leads to is no part of the workspace.
    if (!fs.lstatSync(full, { throwIfNoEntry: false })?.isFile()) return undefined;
    if (fs.realpathSync(full) !== path.join(root, ...file.split('/'))) return undefined;
    return new DiskFile(full, file);
  }

  /** Makes a file the one that was used last, and closes the one that was not used for longest. */
  #fresh(file: DiskFile): DiskFile {
    this.#open.delete(file);
    this.#open.add(file);
    const [oldest] = this.#open;
    if (this.#open.size > openFilesMax && oldest !== undefined) {
      oldest.close();
      this.#open.delete(oldest);
    }
    return file;
  }

  /**
   * Checks that no file of the workspace has changed since it was opened.
   * @throws MstoreError `file-changed`
   */
  check(): void {
    for (const file of this.#onDisk.values()) file.check();
  }

  /** Closes what is open. */
  close(): void {
    for (const file of this.#open) file.close();
    this.#open.clear();
    this.#reader.close();
  }
}

/** A file of the workspace that is opened again when it is needed again, and must be the same then. */
class DiskFile {
  readonly size: number;
  readonly #full: string;
  readonly #shown: string;
  readonly #stamp: string;
  #fd: number | undefined;
  #reader: ByteReader | undefined;

  constructor(full: string, shown: string) {
    this.#full = full;
    this.#shown = shown;
    const { fd, stat } = openRegular(full);
    fs.closeSync(fd);
    this.size = Number(stat.size);
    this.#stamp = stampOf(stat);
  }

  read(offset: number, length: number): Uint8Array {
    this.#reader ??= this.#opened();
    let bytes: Uint8Array;
    try {
      bytes = this.#reader.read(offset, length);
    } catch (error) {
      throw fromSystemError(error, `reading ${printable(this.#shown)}`);
    }
    if (bytes.length < Math.min(length, this.size - offset)) throw changed(this.#shown);
    return bytes;
  }

  #opened(): ByteReader {
    const { fd, stat } = openRegular(this.#full);
    this.#fd = fd;
    if (stampOf(stat) !== this.#stamp) throw changed(this.#shown);
    return byteReader(fd, this.size);
  }

  check(): void {
    const stat = fs.lstatSync(this.#full, { bigint: true, throwIfNoEntry: false });
    if (stat === undefined || stampOf(stat) !== this.#stamp) throw changed(this.#shown);
  }

  close(): void {
    if (this.#fd !== undefined) fs.closeSync(this.#fd);
    this.#fd = undefined;
    this.#reader = undefined;
  }
}

function stampOf({ size, mtimeNs, ctimeNs, ino }: fs.BigIntStats): string {
  return [size, mtimeNs, ctimeNs, ino].join(' ');
}

function changed(file: string): MstoreError {
  return new MstoreError('file-changed', `${printable(file)} changed while it was being read`, {
    hint: 'Wait until the program that writes it has ended, then run the same command again',
    details: { path: file },
  });
}

/** What is compared: which files differ, and how all others are found. */
export interface SidePaths {
  readonly paths: readonly PathDiff[];
  readonly before: readonly Tracked[];
  /** Undefined for the files of the workspace. */
  readonly after: readonly Tracked[] | undefined;
  /** What is tracked in the workspace beside what `before` has. */
  readonly here: readonly Tracked[];
}

/** Finds the files of both sides of a comparison by their paths. */
export class ComparedFiles {
  readonly #sides: TensorSides;
  readonly #before: ReadonlyMap<string, FileEntry>;
  readonly #after: ReadonlyMap<string, FileEntry> | undefined;
  readonly #changed: ReadonlySet<string>;

  constructor(workspace: Workspace, sides: TensorSides, { paths, before, after, here }: SidePaths) {
    this.#sides = sides;
    this.#before = filesOf(workspace, before);
    this.#after = after && filesOf(workspace, after);
    const kinds = new Map(
      [...here, ...before, ...(after ?? [])].map((item) => [item.path, item.pointer.kind]),
    );
    this.#changed = new Set(
      paths.flatMap((diff) => {
        const base = kinds.get(diff.path) === 'file' ? path.posix.dirname(diff.path) : diff.path;
        return diff.files
          .filter(({ change }) => change !== 'mode')
          .map((file) => path.posix.join(base, file.path));
      }),
    );
  }

  /** Paths of the files that differ. */
  changed(): readonly string[] {
    return [...this.#changed];
  }

  /** Paths of the files that are the same on both sides. */
  *same(): Generator<string, void, undefined> {
    for (const file of this.#before.keys()) if (!this.#changed.has(file)) yield file;
  }

  /** Finds a file of the earlier side. */
  before(file: string): SideFile | undefined {
    const entry = this.#before.get(file);
    return entry && this.#sides.stored(file, entry);
  }

  /** Finds a file of the later side; in the workspace, one that is unchanged is read from the store. */
  after(file: string): SideFile | undefined {
    const entry = (this.#after ?? this.#before).get(file);
    if (this.#after === undefined && this.#changed.has(file)) return this.#sides.onDisk(file);
    return entry && this.#sides.stored(file, entry);
  }
}

function filesOf({ store }: Workspace, tracked: readonly Tracked[]): Map<string, FileEntry> {
  const files = new Map<string, FileEntry>();
  for (const item of tracked) {
    const { base, entries } = trackedFiles(store, item);
    for (const entry of entries) {
      if (isFileEntry(entry)) files.set(base === '' ? entry.path : `${base}/${entry.path}`, entry);
    }
  }
  return files;
}
