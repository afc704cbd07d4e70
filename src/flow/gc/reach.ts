import { Breather } from '../../base/abort.ts';
import { mapConcurrently } from '../../base/concurrency.ts';
import { type Digest, digestToRaw } from '../../base/digest.ts';
import { isMstoreError } from '../../base/errors.ts';
import { limits } from '../../base/limits.ts';
import { isFileEntry, parseTree, type TreeEntry } from '../../base/tree.ts';
import type { ChunkIndex, ChunkPlace } from '../../index/chunk-index.ts';
import type { IndexedPack } from '../../index/indexed-pack.ts';
import type { Store } from '../../store/local-store.ts';
import { emptyBlob } from '../../store/recipe.ts';
import { readRemoteBlob } from '../../store/remote-rows.ts';
import type { RemoteStore, TransferOptions } from '../../store/remote-store.ts';
import type { TreePointer } from '../../worktree/pointer.ts';
import type { Root } from '../root-set.ts';
import { type Tracked, treeEntries } from '../tracked.ts';

/** Something that is kept and not all there. */
export interface MissingRoot {
  readonly name: string;
  /** A blob of it that is missing, or not all there. */
  readonly blob: Digest;
}

/** Missing roots that are told one by one. */
const missingMax = 100;

interface NamedBlob {
  readonly blob: Digest;
  readonly root: string;
}

/**
 * What a set of roots leads to in a place: blobs, recipes and chunks. Memory: some 150 bytes a blob, and a bit
 * a chunk.
 */
export class Reach {
  readonly #there: RemoteStore;
  /** Where lists of directories are read first; the local store. */
  readonly #near: Store;
  readonly #options: TransferOptions;
  readonly #blobs = new Set<Digest>();
  readonly #trees = new Set<Digest>();
  readonly #recipes = new Set<Digest>();
  readonly #used = new Map<Digest, Uint8Array>();
  readonly #missing: MissingRoot[] = [];
  #missingCount = 0;

  constructor(there: RemoteStore, near: Store, options: TransferOptions) {
    this.#there = there;
    this.#near = near;
    this.#options = options;
  }

  /** Those that are kept and not all there, the first hundred of them. */
  get missing(): readonly MissingRoot[] {
    return this.#missing;
  }

  /** How many blobs are not all there. */
  get missingCount(): number {
    return this.#missingCount;
  }

  /** Blobs that are needed. */
  get blobs(): ReadonlySet<Digest> {
    return this.#blobs;
  }

  /** Tells whether the recipe of a blob is needed. */
  needsRecipe(blob: Digest): boolean {
    return this.#recipes.has(blob);
  }

  /** The rows of a pack that are needed, one bit each, the lowest first; undefined when none is. */
  usedRows(pack: Digest): Uint8Array | undefined {
    return this.#used.get(pack);
  }

  /** Tells whether a row of a pack is needed. */
  isUsed(pack: Digest, row: number): boolean {
    const bits = this.#used.get(pack);
    return bits !== undefined && ((bits[row >> 3] as number) & (1 << (row & 7))) !== 0;
  }

  /**
   * Follows roots to their chunks.
   * @throws MstoreError `corrupt-recipe`, `corrupt-remote`, `corrupt-tree` for what cannot be followed
   */
  async add(roots: readonly Root[]): Promise<void> {
    const index = await this.#there.index(this.#options);
    const todo: NamedBlob[] = [];
    const trees: Root[] = [];
    for (const root of roots) {
      const { pointer } = root.item;
      this.#note({ blob: pointer.sha256, root: root.name }, todo);
      if (pointer.kind === 'file' || this.#trees.has(pointer.sha256)) continue;
      this.#trees.add(pointer.sha256);
      trees.push(root);
    }
    let found = await this.#follow(trees, todo, index);
    // What is kept here of the place may be wrong, or gone: that is no damage of the place.
    if (found.lacking.length > 0 && (await this.#there.recheck(this.#options))) {
      found = await this.#follow(found.unlisted, found.lacking, index);
    }
    for (const one of found.lacking) this.#lack(one);
  }

  /**
   * Follows directories and blobs to their chunks.
   * @param blobs gets those of the directories
   * @returns what is not there, or not all of it
   */
  async #follow(
    trees: readonly Root[],
    blobs: NamedBlob[],
    index: ChunkIndex,
  ): Promise<{ readonly unlisted: readonly Root[]; readonly lacking: NamedBlob[] }> {
    const { jobs, signal } = this.#options;
    const breather = new Breather(signal);
    const unlisted: Root[] = [];
    await mapConcurrently(trees, jobs, async (root) => {
      const entries = await this.#entries(root.item);
      if (entries === undefined) unlisted.push(root);
      for (const entry of entries ?? []) {
        if (isFileEntry(entry)) this.#note({ blob: entry.sha256, root: root.name }, blobs);
        if (breather.due()) await breather.turn();
      }
    });
    const lacking: NamedBlob[] = [];
    await mapConcurrently(blobs, jobs, async (one) => {
      const { hasRecipe, isWhole } = await this.#eachChunk(one.blob, index);
      if (hasRecipe) this.#recipes.add(one.blob);
      if (!isWhole) lacking.push(one);
    });
    return { unlisted, lacking };
  }

  #note(one: NamedBlob, todo: NamedBlob[]): void {
    if (one.blob === emptyBlob || this.#blobs.has(one.blob)) return;
    this.#blobs.add(one.blob);
    todo.push(one);
  }

  /** The entries of a directory; undefined when its list is not there. */
  async #entries({ pointer }: Tracked): Promise<readonly TreeEntry[] | undefined> {
    if (pointer.kind === 'file') return [];
    return listEntries(this.#there, this.#near, pointer, this.#options);
  }

  /** Of the local store, which is read as remotes are, the damage is told as that of the store. */
  async #eachChunk(blob: Digest, index: ChunkIndex): Promise<FollowedBlob> {
    try {
      const onChunk = (place: ChunkPlace): void => this.#use(place);
      return await eachChunk(this.#there, index, blob, onChunk, this.#options);
    } catch (error) {
      const isHere = this.#there.remote.location === this.#near.folder;
      const isDamaged = isMstoreError(error, 'corrupt-remote');
      if (isHere && isDamaged && isMstoreError(error.cause, 'corrupt-recipe')) throw error.cause;
      throw error;
    }
  }

  #use({ pack, number }: ChunkPlace): void {
    const bits = this.#used.get(pack.id) ?? new Uint8Array(Math.ceil(pack.count / 8));
    bits[number >> 3] = (bits[number >> 3] as number) | (1 << (number & 7));
    this.#used.set(pack.id, bits);
  }

  #lack({ blob, root }: NamedBlob): void {
    this.#missingCount++;
    if (this.#missing.length < missingMax) this.#missing.push({ name: root, blob });
  }
}

/**
 * Lists the entries of a directory: from its pointer, the local store or the place.
 * @param near the local store
 * @returns undefined when the list is not there
 */
export async function listEntries(
  there: RemoteStore,
  near: Store,
  pointer: TreePointer,
  options: TransferOptions,
): Promise<readonly TreeEntry[] | undefined> {
  const { files, sha256 } = pointer;
  if (files !== undefined) return files;
  try {
    if (near.has(sha256)) return treeEntries(near, pointer);
  } catch (error) {
    // A clean-up of the local store, by a neighbour who shares it, may have taken it away since.
    if (!isMstoreError(error, 'objects-missing')) throw error;
  }
  const bytes = await readRemoteBlob(there, sha256, limits.treeBytesMax, options);
  return bytes && parseTree(bytes);
}

/** What {@link eachChunk} found of a blob. */
interface FollowedBlob {
  /** Whether a recipe leads to its chunks. */
  readonly hasRecipe: boolean;
  /** Whether the place has all of them. */
  readonly isWhole: boolean;
}

/**
 * Follows a blob to its chunks.
 * @param onChunk called for each that the place has
 * @throws MstoreError `corrupt-remote` for a recipe that is damaged
 */
export async function eachChunk(
  there: RemoteStore,
  index: ChunkIndex,
  blob: Digest,
  onChunk: (place: ChunkPlace) => void,
  options: TransferOptions,
): Promise<FollowedBlob> {
  const sole = index.find(digestToRaw(blob));
  if (sole !== undefined) {
    onChunk(sole);
    return { hasRecipe: false, isWhole: true };
  }
  const recipe = await there.recipe(blob, options);
  if (recipe === undefined) return { hasRecipe: false, isWhole: false };
  const breather = new Breather(options.signal);
  let isWhole = true;
  for (let row = 0; row < recipe.count; row++) {
    const place = index.find(recipe.rows, recipe.idOffset(row));
    if (place === undefined) isWhole = false;
    else onChunk(place);
    if (breather.due()) await breather.turn();
  }
  return { hasRecipe: true, isWhole };
}

/** Lists the rows of a pack that are needed, ascending. */
export function neededRows(reach: Reach, { id, count }: IndexedPack): number[] {
  const rows: number[] = [];
  for (let row = 0; row < count; row++) if (reach.isUsed(id, row)) rows.push(row);
  return rows;
}
