import * as fs from 'node:fs';
import * as path from 'node:path';
import { mapConcurrently } from '../base/concurrency.ts';
import { fromSystemError, isMstoreError, MstoreError, systemCode } from '../base/errors.ts';
import { readBounded } from '../base/files.ts';
import { printable } from '../base/names.ts';
import { type ListedFile, listBytesMax, parseDirectoryList } from '../dvc/directory-list.ts';
import { type DvcObject, objectKey } from '../dvc/object-key.ts';
import type { RemoteReader } from '../remote/remote.ts';
import { readObject } from './bucket.ts';
import { corruptSource, type SourceFile, type SourceReadOptions } from './snapshot.ts';

/** Objects that are asked for at once. */
const asksAtOnce = 16;

/** A place that may have objects of DVC: its cache, or a remote. */
export type DvcPlace = {
  /** For people. */
  readonly name: string;
} & ({ readonly folder: string } | { readonly reader: RemoteReader });

/** Where an object was found. */
interface Found {
  readonly place: DvcPlace;
  readonly size: number;
}

/** A file of a directory, or one by itself, as it was found. */
export interface FoundFile extends SourceFile {
  /** Absolute path of its bytes, where they are on this machine. */
  readonly local?: string;
}

/** Finds and reads objects of DVC in several places, of which the first that has one counts. */
export class DvcObjects {
  readonly #reference: string;
  readonly #places: ReadonlyArray<() => Promise<DvcPlace>>;
  readonly #opened = new Map<number, Promise<DvcPlace>>();

  /**
   * @param reference what is read, for errors
   * @param places opened in their order, each when the ones before it lack something
   */
  constructor(reference: string, places: ReadonlyArray<() => Promise<DvcPlace>>) {
    this.#reference = reference;
    this.#places = places;
  }

  /**
   * Reads the list of a directory; a damaged copy is passed over where another place has a whole one.
   * @throws MstoreError `not-found`, `corrupt-source`, and what places throw
   */
  async list(object: DvcObject, { signal }: SourceReadOptions): Promise<ListedFile[]> {
    const key = objectKey(object);
    let damage: unknown;
    for await (const place of this.#each()) {
      const bytes = await readWhole(place, key, signal);
      if (bytes === undefined) continue;
      try {
        return parseDirectoryList(bytes, object.md5, `${key} of ${place.name}`);
      } catch (error) {
        if (!isMstoreError(error, 'corrupt-source')) throw error;
        damage ??= error;
      }
    }
    throw damage ?? (await this.#missing(`the list of its files, ${key},`));
  }

  /**
   * Finds files: how large they are, and where on this machine they lie.
   * @param files with the objects that they are
   * @param workspace absolute folder in which the files may lie by their own names
   * @throws MstoreError `not-found`, and what places throw
   */
  async find(
    files: ReadonlyArray<{ readonly path: string; readonly object: DvcObject }>,
    workspace: string,
    { signal }: SourceReadOptions,
  ): Promise<FoundFile[]> {
    const known = new Map<string, Promise<Found | undefined>>();
    return mapConcurrently(files, asksAtOnce, async ({ path: name, object }) => {
      const key = objectKey(object);
      const asked = known.get(key) ?? this.#look(key, signal);
      known.set(key, asked);
      const md5 = { hash: object.hash, digest: object.md5 };
      const found = await asked;
      if (found !== undefined) {
        const { place, size } = found;
        const local = 'folder' in place ? { local: path.join(place.folder, key) } : {};
        return { path: name, size, md5, ...local };
      }
      // What DVC has neither in its cache nor in a remote may be where people work with it.
      const local = path.join(workspace, name);
      const size = sizeOf(local);
      if (size === undefined) throw await this.#missing(printable(name));
      return { path: name, size, md5, local };
    });
  }

  /** Where the first of the places, the cache, has an object on this machine; undefined where it has not. */
  async near(object: DvcObject): Promise<string | undefined> {
    const place = await this.#place(0);
    if (place === undefined || !('folder' in place)) return undefined;
    const file = path.join(place.folder, objectKey(object));
    return sizeOf(file) === undefined ? undefined : file;
  }

  /**
   * Reads a file from a byte on, from what is not a folder of this machine.
   * @throws MstoreError `corrupt-source` where this machine has a damaged copy alone
   */
  async *read(
    file: SourceFile,
    object: DvcObject,
    start: number,
    { signal }: SourceReadOptions,
  ): AsyncGenerator<Uint8Array, void, undefined> {
    const key = objectKey(object);
    let damaged: string | undefined;
    for await (const place of this.#each()) {
      if ('folder' in place) {
        if (sizeOf(path.join(place.folder, key)) !== undefined) damaged ??= place.name;
        continue;
      }
      const size = await place.reader.stat(key, { signal });
      if (size === undefined) continue;
      if (size !== file.size) break;
      yield* readObject(place.reader, { reference: this.#reference, key, file }, start, signal);
      return;
    }
    if (damaged === undefined) throw await this.#missing(printable(file.path));
    throw corruptSource(
      this.#reference,
      `${key} of ${damaged} is damaged (remove it, and run "dvc fetch" or the same command again)`,
    );
  }

  async #look(key: string, signal: AbortSignal | undefined): Promise<Found | undefined> {
    for await (const place of this.#each()) {
      const size =
        'folder' in place
          ? sizeOf(path.join(place.folder, key))
          : await place.reader.stat(key, { signal });
      if (size !== undefined) return { place, size };
    }
    return undefined;
  }

  async *#each(): AsyncGenerator<DvcPlace, void, undefined> {
    for (let i = 0; ; i++) {
      const place = await this.#place(i);
      if (place === undefined) return;
      yield place;
    }
  }

  /** Opens a place once. */
  async #place(index: number): Promise<DvcPlace | undefined> {
    const opened = this.#opened.get(index) ?? this.#places[index]?.();
    if (opened !== undefined) this.#opened.set(index, opened);
    return opened;
  }

  async #missing(what: string): Promise<MstoreError> {
    const names: string[] = [];
    for await (const { name } of this.#each()) names.push(name);
    return new MstoreError(
      'not-found',
      `${what} of ${printable(this.#reference)} is in none of the places that DVC knows: ${names.join(', ')}`,
      {
        hint: 'Run "dvc push" where it was made, or "dvc fetch" here if DVC can reach it',
        details: { source: this.#reference },
      },
    );
  }
}

async function readWhole(
  place: DvcPlace,
  key: string,
  signal: AbortSignal | undefined,
): Promise<Buffer | undefined> {
  if ('folder' in place) return readBounded(path.join(place.folder, key), listBytesMax);
  const blocks: Buffer[] = [];
  let length = 0;
  try {
    for await (const block of place.reader.get(key, undefined, { signal })) {
      blocks.push(Buffer.from(block));
      length += block.length;
      if (length > listBytesMax) {
        throw corruptSource(place.name, `${key} has more than ${listBytesMax} bytes`);
      }
    }
  } catch (error) {
    if (isMstoreError(error, 'not-found')) return undefined;
    throw error;
  }
  return Buffer.concat(blocks);
}

/** Size of a regular file; undefined where there is none. */
function sizeOf(file: string): number | undefined {
  try {
    const stat = fs.statSync(file);
    return stat.isFile() ? stat.size : undefined;
  } catch (error) {
    const code = systemCode(error);
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    throw fromSystemError(error, `reading ${printable(file)}`);
  }
}
