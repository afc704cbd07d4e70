import * as fs from 'node:fs';
import * as path from 'node:path';
import { type Clock, type Random, systemClock, systemRandom } from '../base/clock.ts';
import { clearDeadTemps } from '../base/dead-temps.ts';
import { type Digest, digestBytes, digestToRaw } from '../base/digest.ts';
import { fromSystemError, isMstoreError } from '../base/errors.ts';
import {
  ensureCacheFolder,
  readBounded,
  settleFolder,
  tempName,
  writeAtomically,
} from '../base/files.ts';
import { limits } from '../base/limits.ts';
import { ChunkIndex } from '../index/chunk-index.ts';
import type { IndexedPack } from '../index/indexed-pack.ts';
import { FooterBuilder, type PackFooter, packProblem } from '../pack/format.ts';
import { formatHeader, parseHeader } from './header.ts';
import { missingPack } from './hints.ts';
import { headerKey, indexKey, packKey, recipeKey } from './keys.ts';
import { PackFiles } from './pack-files.ts';
import { emptyBlob, parseRecipe, type Recipe, recipeBytesMax, soleChunkRecipe } from './recipe.ts';
import { TableFolder } from './table-folder.ts';

/** What the store lacks of a blob. */
export interface MissingBytes {
  readonly chunks: number;
  /** Raw bytes; the blob's size where even its recipe is missing and the size is known. */
  readonly bytes: number;
}

/**
 * The local store: packs, indexes and recipes below one folder. Any number of processes may use it at
 * once; nothing is ever overwritten with other bytes, and what a reader has found stays where it is
 * until garbage collection. A folder that does not exist yet is an empty store.
 */
export class Store {
  readonly folder: string;
  readonly #clock: Clock;
  readonly #random: Random;
  #index: ChunkIndex | undefined;
  #packs: PackFiles;
  #writable = false;
  /** Folders of recipes that were found here, as long as their names may not be flushed. */
  readonly #unsettled = new Set<string>();
  /** Plain files that stand for packs, by the keys of those. */
  readonly #lent = new Map<string, { readonly file: string; readonly footer: PackFooter }>();

  constructor(folder: string, clock: Clock = systemClock, random: Random = systemRandom) {
    this.folder = folder;
    this.#clock = clock;
    this.#random = random;
    this.#packs = new PackFiles(folder, this.tempsFolder);
    const header = readBounded(path.join(folder, headerKey), limits.headerBytesMax);
    if (header !== undefined) parseHeader(header, folder);
  }

  /** Returns the path of an object by its key. */
  file(key: string): string {
    return this.#lent.get(key)?.file ?? path.join(this.folder, key);
  }

  /**
   * Takes the chunks of a plain file as if they lay in a pack, as long as this object lives: they are read from
   * there and verified like all others, so that a file which is not what it was taken for is found out. For a
   * store that one process has for itself.
   * @param recipe of what the file holds
   * @param file absolute path
   */
  lend(recipe: Recipe, file: string): void {
    const builder = new FooterBuilder();
    for (let row = 0, offset = 0; row < recipe.count; row++) {
      const length = recipe.length(row);
      const at = recipe.idOffset(row);
      const place = { offset, storedLength: length, rawLength: length, encoding: 0 };
      builder.add(recipe.rows.subarray(at, at + digestBytes), place);
      offset += length;
    }
    const footer = builder.finish();
    if (this.index().pack(footer.id) !== undefined) return;
    this.#lent.set(packKey(footer.id), { file, footer });
    // Where there are so many that a table covers them, footers are read again from here.
    this.keep(indexKey(footer.id), footer.bytes);
    this.index().addPack(footer);
  }

  /** Takes nothing more from the files of {@link lend}. */
  giveBack(): void {
    this.#lent.clear();
    this.reopen();
  }

  /** Folder of all files under construction, in which the next writer clears those of the dead. */
  get tempsFolder(): string {
    return path.join(this.folder, 'tmp');
  }

  /** Returns a fresh path for a temporary file of this process. */
  tempFile(): string {
    return path.join(this.tempsFolder, tempName());
  }

  /** Keeps bytes that can be had again under a key; a store that cannot be written does without. */
  keep(key: string, bytes: Uint8Array): void {
    try {
      const file = this.file(key);
      ensureCacheFolder(path.dirname(file));
      ensureCacheFolder(this.tempsFolder);
      writeAtomically(file, bytes, { unsynced: true, tempFolder: this.tempsFolder });
    } catch {
      // It is fetched again the next time.
    }
  }

  /** Makes the folders and the header, once; clears what dead processes left in `tmp/`. */
  prepareWriting(): void {
    if (this.#writable) return;
    try {
      ensureCacheFolder(this.tempsFolder);
      clearDeadTemps(this.tempsFolder, '', this.#clock);
      const header = this.file(headerKey);
      if (!fs.existsSync(header)) {
        const bytes = formatHeader(this.#clock, this.#random);
        writeAtomically(header, bytes, { ifAbsent: true, tempFolder: this.tempsFolder });
      }
    } catch (error) {
      throw fromSystemError(error, `preparing the store ${this.folder}`);
    }
    this.#writable = true;
  }

  /** The index of all packs, opened at the first call. */
  index(): ChunkIndex {
    this.#index ??= this.#openIndex();
    return this.#index;
  }

  /** Forgets what is known of the packs, so that the next call looks again: a clean-up has run. */
  reopen(): void {
    this.#index = undefined;
    this.#packs = new PackFiles(this.folder, this.tempsFolder);
  }

  /** Returns the footer of a pack that is here and whole, read if need be. */
  footer(pack: Digest): PackFooter | undefined {
    return this.index().footer(pack);
  }

  /**
   * Returns the footer of a pack that the index knows.
   * @throws MstoreError `corrupt-pack` when it turns out to be damaged, `objects-missing` when it is gone
   */
  footerOf({ id }: IndexedPack): PackFooter {
    const footer = this.footer(id);
    if (footer !== undefined) return footer;
    const reason = this.#packs.damaged.get(id);
    throw reason === undefined ? missingPack(id) : packProblem(reason, id);
  }

  /** Makes a published pack known to the open index. */
  addPack(footer: PackFooter): void {
    const index = this.index();
    index.addPack(footer, this.#packs.time(footer.id));
    index.settle();
    this.#packs.damaged.delete(footer.id);
  }

  /**
   * Packs that are there but cannot be used, with the reason. Damage of a pack that a table covers shows
   * when one of its chunks is looked for; that of others, when the {@link index} is opened.
   */
  damagedPacks(): ReadonlyMap<Digest, string> {
    this.index();
    return this.#packs.damaged;
  }

  /**
   * Makes sure that nothing counts as missing because a chunk table is wrong. For callers who are about
   * to say that something is missing: may read all index objects, once.
   * @returns whether it is worth looking again
   */
  recheck(): boolean {
    return this.index().recheck();
  }

  #openIndex(): ChunkIndex {
    const index = new ChunkIndex(
      this.#packs,
      new TableFolder(this.file('tables'), this.tempsFolder),
    );
    for (const { pack, size, time } of index.attach(this.#packs.list())) {
      const footer = this.#packs.load(pack, size);
      if (footer !== undefined) index.addPack(footer, time);
    }
    for (const { footer } of this.#lent.values()) index.addPack(footer);
    index.settle();
    return index;
  }

  /**
   * Finds the ordered chunks of a blob: stored as a recipe, or known because the blob is one chunk.
   * @returns undefined when the store knows no such blob
   * @throws MstoreError `corrupt-recipe`
   */
  recipe(blob: Digest): Recipe | undefined {
    const sole = this.#soleSize(blob);
    if (sole !== undefined) return soleChunkRecipe(blob, sole);
    const file = this.file(recipeKey(blob));
    const bytes = readBounded(file, recipeBytesMax);
    if (bytes === undefined) return undefined;
    this.#unsettled.add(path.dirname(file));
    return parseRecipe(bytes, blob);
  }

  /** The size of a blob that needs no recipe: it is empty, or a chunk that is here. */
  #soleSize(blob: Digest): number | undefined {
    return blob === emptyBlob ? 0 : this.index().find(digestToRaw(blob))?.rawLength;
  }

  /** The bytes of a blob, undefined when the store does not know it. That they are here is not said. */
  sizeOf(blob: Digest): number | undefined {
    return this.#soleSize(blob) ?? this.recipe(blob)?.size;
  }

  /**
   * Makes sure that the recipes which were found so far are on the disk for certain, whoever wrote them.
   * (A pack that has an index object is.)
   */
  settle(): void {
    for (const folder of this.#unsettled) settleFolder(folder, this.#clock);
    this.#unsettled.clear();
  }

  /** Counts what the store lacks of a blob; undefined when it lacks nothing. */
  missing(blob: Digest, size: number): MissingBytes | undefined {
    if (this.#soleSize(blob) !== undefined) return undefined;
    const recipe = this.recipe(blob);
    if (recipe === undefined) return { chunks: 1, bytes: size };
    const index = this.index();
    let chunks = 0;
    let bytes = 0;
    for (let row = 0; row < recipe.count; row++) {
      if (index.has(recipe.rows, recipe.idOffset(row))) continue;
      chunks++;
      bytes += recipe.length(row);
    }
    return chunks === 0 ? undefined : { chunks, bytes };
  }

  /** Tells whether every byte of a blob is here. A damaged recipe counts as absent. */
  has(blob: Digest): boolean {
    try {
      return this.missing(blob, 0) === undefined;
    } catch (error) {
      if (isMstoreError(error, 'corrupt-recipe')) return false;
      throw error;
    }
  }
}
