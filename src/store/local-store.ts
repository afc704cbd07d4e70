import * as fs from 'node:fs';
import * as path from 'node:path';
import { type Clock, type Random, systemClock, systemRandom } from '../base/clock.ts';
import { type Digest, digestToRaw } from '../base/digest.ts';
import { fromSystemError, isMstoreError, systemCode } from '../base/errors.ts';
import {
  clearDeadTemps,
  ensureFolder,
  readBounded,
  tempName,
  writeAtomically,
} from '../base/files.ts';
import { limits } from '../base/limits.ts';
import { ChunkIndex } from '../index/chunk-index.ts';
import { type PackFooter, parseFooter, rowBytes } from '../pack/format.ts';
import { readPackFooter } from '../pack/reader.ts';
import { formatHeader, parseHeader } from './header.ts';
import { digestInKey, headerKey, indexKey, packKey, packsPrefix, recipeKey } from './keys.ts';
import { emptyBlob, parseRecipe, type Recipe, recipeBytesMax, soleChunkRecipe } from './recipe.ts';

const idxBytesMax = 16 + limits.packChunksMax * rowBytes;

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
  readonly #damaged = new Map<Digest, string>();
  #writable = false;

  constructor(folder: string, clock: Clock = systemClock, random: Random = systemRandom) {
    this.folder = folder;
    this.#clock = clock;
    this.#random = random;
    const header = readBounded(path.join(folder, headerKey), limits.headerBytesMax);
    if (header !== undefined) parseHeader(header, folder);
  }

  /** Returns the path of an object by its key. */
  file(key: string): string {
    return path.join(this.folder, key);
  }

  /** Folder of all files under construction, in which the next writer clears those of the dead. */
  get #temps(): string {
    return path.join(this.folder, 'tmp');
  }

  /** Returns a fresh path for a temporary file of this process. */
  tempFile(): string {
    return path.join(this.#temps, tempName());
  }

  /** Keeps bytes that can be had again under a key; a store that cannot be written does without. */
  keep(key: string, bytes: Uint8Array): void {
    try {
      const file = this.file(key);
      ensureFolder(path.dirname(file));
      ensureFolder(this.#temps);
      writeAtomically(file, bytes, { unsynced: true, tempFolder: this.#temps });
    } catch {
      // It is fetched again the next time.
    }
  }

  /** Makes the folders and the header, once; clears what dead processes left in `tmp/`. */
  prepareWriting(): void {
    if (this.#writable) return;
    try {
      ensureFolder(this.#temps);
      clearDeadTemps(this.#temps, '', this.#clock);
      const header = this.file(headerKey);
      if (!fs.existsSync(header)) {
        const bytes = formatHeader(this.#clock, this.#random);
        writeAtomically(header, bytes, { ifAbsent: true, tempFolder: this.#temps });
      }
    } catch (error) {
      throw fromSystemError(error, `preparing the store ${this.folder}`);
    }
    this.#writable = true;
  }

  /** The index of all packs, loaded at the first call. */
  index(): ChunkIndex {
    this.#index ??= this.#loadIndex();
    return this.#index;
  }

  /** Returns the footer of a pack that is here and whole. */
  footer(pack: Digest): PackFooter | undefined {
    return this.index().pack(pack);
  }

  /** Makes a published pack known to the open index. */
  addPack(footer: PackFooter): void {
    this.index().addPack(footer);
    this.#damaged.delete(footer.id);
  }

  /** Packs that are there but cannot be used, with the reason; known after {@link index}. */
  damagedPacks(): ReadonlyMap<Digest, string> {
    this.index();
    return this.#damaged;
  }

  #loadIndex(): ChunkIndex {
    const index = new ChunkIndex();
    for (const { pack, size } of this.#listPacks()) {
      try {
        const footer = this.#readFooter(pack);
        if (footer.packBytes === size) index.addPack(footer);
        else this.#damaged.set(pack, `it has ${size} bytes instead of ${footer.packBytes}`);
      } catch (error) {
        if (!isMstoreError(error, 'corrupt-pack')) throw error;
        this.#damaged.set(pack, String(error.details['reason'] ?? error.message));
      }
    }
    return index;
  }

  /** Reads a pack's index object; where it is missing or damaged, the pack itself holds the same. */
  #readFooter(pack: Digest): PackFooter {
    const file = this.file(indexKey(pack));
    try {
      const bytes = readBounded(file, idxBytesMax);
      if (bytes !== undefined) return parseFooter(bytes, pack);
    } catch (error) {
      if (!isMstoreError(error, 'corrupt-pack', 'too-large')) throw error;
    }
    const footer = readPackFooter(this.file(packKey(pack)));
    this.#restoreIndex(file, footer);
    return footer;
  }

  #restoreIndex(file: string, footer: PackFooter): void {
    try {
      ensureFolder(path.dirname(file));
      ensureFolder(this.#temps);
      writeAtomically(file, footer.bytes, { tempFolder: this.#temps });
    } catch {
      // A read-only store is read all the same; the next writer restores the file.
    }
  }

  #listPacks(): Array<{ pack: Digest; size: number }> {
    const packs: Array<{ pack: Digest; size: number }> = [];
    const top = path.join(this.folder, packsPrefix);
    for (const shard of listFolder(top)) {
      for (const name of listFolder(path.join(top, shard))) {
        const pack = name.endsWith('.pack') ? digestInKey(name, '.pack') : undefined;
        if (pack === undefined) continue;
        const stat = fs.statSync(path.join(top, shard, name), { throwIfNoEntry: false });
        if (stat?.isFile()) packs.push({ pack, size: stat.size });
      }
    }
    return packs;
  }

  /**
   * Finds the ordered chunks of a blob: stored as a recipe, or known because the blob is one chunk.
   * @returns undefined when the store knows no such blob
   * @throws MstoreError `corrupt-recipe`
   */
  recipe(blob: Digest): Recipe | undefined {
    if (blob === emptyBlob) return soleChunkRecipe(blob, 0);
    const place = this.index().find(digestToRaw(blob));
    if (place !== undefined) return soleChunkRecipe(blob, place.rawLength);
    const bytes = readBounded(this.file(recipeKey(blob)), recipeBytesMax);
    return bytes === undefined ? undefined : parseRecipe(bytes, blob);
  }

  /** Counts what the store lacks of a blob; undefined when it lacks nothing. */
  missing(blob: Digest, size: number): MissingBytes | undefined {
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

function listFolder(folder: string): string[] {
  try {
    return fs.readdirSync(folder);
  } catch (error) {
    const code = systemCode(error);
    if (code === 'ENOENT' || code === 'ENOTDIR') return [];
    throw fromSystemError(error, `listing ${folder}`);
  }
}
