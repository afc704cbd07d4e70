import * as fs from 'node:fs';
import * as path from 'node:path';
import { fromSystemError, MstoreError, systemCode } from '../base/errors.ts';
import { compareUtf8 } from '../base/json.ts';
import { limits } from '../base/limits.ts';
import { printable } from '../base/names.ts';
import { type FileEntry, isFileEntry } from '../base/tree.ts';
import { BlobReader } from '../store/blob-reader.ts';
import { byteReader, openRegular } from '../store/source-file.ts';
import type { Neighbours, OpenSource, Source } from '../validate/source.ts';
import { type Tracked, trackedFiles } from './tracked.ts';
import type { Workspace } from './workspace.ts';

/** Folders that hold nothing of a model. */
const passedOver = new Set(['.git', '.modelstore']);

/** A file to be validated, with those around it where they are known. */
export interface PlacedSource {
  readonly source: Source;
  readonly around: Neighbours | undefined;
}

/**
 * Lists a file of the disk, or those below a folder, in the order of their paths. Links to files count as
 * what they stand for; links to folders are passed over.
 * @param full absolute
 * @param shown how it is called in results
 * @throws MstoreError `not-found`, `unsupported-file-type`
 */
export function sourcesOnDisk(full: string, shown: string): PlacedSource[] {
  const stat = statOf(full, shown);
  if (stat === undefined) {
    throw new MstoreError('not-found', `${printable(shown)} does not exist`, {
      hint: 'Check the spelling; paths are relative to the current folder',
      details: { path: shown },
    });
  }
  if (!stat.isDirectory()) {
    const source = diskSource(full, shown);
    if (source !== undefined) return [{ source, around: aroundOnDisk(full) }];
    throw new MstoreError('unsupported-file-type', `${printable(shown)} is no regular file`, {
      hint: 'Name a file or a directory',
      details: { path: shown },
    });
  }
  const found: PlacedSource[] = [];
  collect(full, shown, found);
  return found;
}

function collect(folder: string, shown: string, found: PlacedSource[]): void {
  let entries: fs.Dirent[];
  try {
    entries = fs.readdirSync(folder, { withFileTypes: true });
  } catch (error) {
    throw fromSystemError(error, `reading ${printable(shown)}`);
  }
  entries.sort((a, b) => compareUtf8(a.name, b.name));
  for (const entry of entries) {
    const full = path.join(folder, entry.name);
    const name = path.posix.join(shown, entry.name);
    if (entry.isDirectory()) {
      if (!passedOver.has(entry.name)) collect(full, name, found);
      continue;
    }
    const source = diskSource(full, name);
    if (source !== undefined) found.push({ source, around: aroundOnDisk(full) });
    if (found.length > limits.treeEntriesMax) {
      throw new MstoreError('too-large', `${printable(shown)} has more files than are looked at`);
    }
  }
}

/** What stands at a path, links followed unless `own` is set; undefined where nothing does. */
function statOf(full: string, shown: string, own = false): fs.Stats | undefined {
  try {
    const options = { throwIfNoEntry: false } as const;
    return own ? fs.lstatSync(full, options) : fs.statSync(full, options);
  } catch (error) {
    // A link that leads in a circle leads to nothing.
    if (systemCode(error) === 'ELOOP') return undefined;
    throw fromSystemError(error, `reading ${printable(shown)}`);
  }
}

/** A regular file as a source; undefined for what is none. */
function diskSource(full: string, shown: string): Source | undefined {
  const own = statOf(full, shown, true);
  const stat = own?.isSymbolicLink() ? statOf(full, shown) : own;
  if (stat === undefined || own === undefined || !stat.isFile()) return undefined;
  return {
    path: shown,
    size: stat.size,
    linked: own.isSymbolicLink() || stat.nlink > 1,
    open: () => openOnDisk(fs.realpathSync(full), shown),
  };
}

/** Most that is asked of a file lies at its beginning, in small parts: these are read at once. */
const headBytes = 4096;

/**
 * Opens a file of the disk.
 * @param full absolute, no link
 * @param shown how it is called in errors
 */
export function openOnDisk(full: string, shown: string): OpenSource {
  const { fd, stat } = openRegular(full);
  const size = Number(stat.size);
  const file = byteReader(fd, size);
  const headSize = Math.min(size, headBytes);
  let head: Uint8Array | undefined;
  return {
    size,
    read: (offset, length) => {
      try {
        if (offset + length > headSize) return file.read(offset, length);
        head ??= file.read(0, headSize);
        return head.subarray(offset, offset + length);
      } catch (error) {
        throw fromSystemError(error, `reading ${printable(shown)}`);
      }
    },
    close: () => fs.closeSync(fd),
  };
}

/** The files around one on the disk. */
function aroundOnDisk(full: string): Neighbours {
  const folder = path.dirname(full);
  return { find: (name) => diskSource(path.join(folder, name), name) };
}

/** Reads the files of tracked paths from the local store. */
export class StoredSources {
  readonly #workspace: Workspace;
  readonly #reader: BlobReader;

  constructor(workspace: Workspace) {
    this.#workspace = workspace;
    this.#reader = new BlobReader(workspace.store);
  }

  /**
   * Lists the files of a tracked path.
   * @throws MstoreError `objects-missing` when the list of a large tree is not here
   */
  list(item: Tracked): PlacedSource[] {
    const { base, entries } = trackedFiles(this.#workspace.store, item);
    const files = new Map(entries.filter(isFileEntry).map((entry) => [entry.path, entry] as const));
    const isFolder = item.pointer.kind === 'tree';
    return [...files.values()].map((entry) => ({
      source: this.#source(entry, base === '' ? entry.path : `${base}/${entry.path}`),
      around: isFolder ? this.#around(files, entry) : undefined,
    }));
  }

  #source({ sha256, size }: FileEntry, shown: string): Source {
    return {
      path: shown,
      size,
      open: () => {
        const file = this.#reader.open(sha256);
        return {
          size: file.size,
          read: (offset, length) => file.read(offset, length),
          close: () => undefined,
        };
      },
    };
  }

  #around(files: ReadonlyMap<string, FileEntry>, { path: name }: FileEntry): Neighbours {
    const folder = path.posix.dirname(name);
    return {
      find: (given) => {
        const found = files.get(path.posix.join(folder, given));
        return found === undefined ? undefined : this.#source(found, given);
      },
    };
  }

  /** Closes what is open. */
  close(): void {
    this.#reader.close();
  }
}
