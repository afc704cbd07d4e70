import { Breather } from '../base/abort.ts';
import { mapConcurrently } from '../base/concurrency.ts';
import { type Digest, digestToRaw } from '../base/digest.ts';
import { isMstoreError, type MstoreError } from '../base/errors.ts';
import type { ChunkIndex, ChunkPlace } from '../index/chunk-index.ts';
import type { IndexedPack } from '../index/indexed-pack.ts';
import type { Store } from '../store/local-store.ts';
import type { Recipe } from '../store/recipe.ts';
import type { RemoteStore, TransferOptions } from '../store/remote-store.ts';
import type { NeededBlob } from './tracked.ts';

/** Rows wanted of packs of a remote. */
export type WantedRows = ReadonlyMap<IndexedPack, ReadonlySet<number>>;

/** What one remote can give of the blobs that are lacking. */
export interface FetchPlan {
  readonly wanted: WantedRows;
  /** Recipes to be stored once their chunks are here. */
  readonly recipes: readonly Recipe[];
  /** Bytes that the remote lacks as well. */
  readonly missingBytes: number;
  /** Whether the remote has everything. */
  readonly complete: boolean;
  /** Recipes that were damaged there. */
  readonly damage: readonly MstoreError[];
}

/** What a plan is made from. */
export interface PlanParts {
  readonly store: Store;
  readonly there: RemoteStore;
  /** Recipes found so far, at other remotes too; those found now are added. */
  readonly recipes: Map<Digest, Recipe>;
  readonly transfer: TransferOptions;
}

/** Finds out what a remote can give of blobs that are not, or not whole, in the local store. */
export async function planFetch(
  blobs: readonly NeededBlob[],
  { store, there, recipes, transfer }: PlanParts,
): Promise<FetchPlan> {
  const index = await there.index(transfer);
  const search = new RecipeSearch(store, index, recipes);
  const asked: NeededBlob[] = [];
  const breather = new Breather(transfer.signal);
  for (const blob of blobs) {
    if (breather.due()) await breather.turn();
    if (!search.near(blob)) asked.push(blob);
  }
  const damage: MstoreError[] = [];
  await mapConcurrently(asked, transfer.jobs, async (blob) => {
    try {
      search.take(await there.recipe(blob.sha256, transfer), blob);
    } catch (error) {
      if (!isMstoreError(error, 'corrupt-remote')) throw error;
      damage.push(error);
    }
  });
  const collector = new Collector(store.index(), index);
  for (const blob of blobs) {
    if (breather.due()) await breather.turn();
    collector.add(blob, recipes.get(blob.sha256));
  }
  const { wanted, missingBytes, lacking } = collector;
  const stored = blobs.flatMap(({ sha256 }) => {
    const recipe = recipes.get(sha256);
    return recipe === undefined ? [] : [recipe];
  });
  return { wanted, recipes: stored, missingBytes, complete: !lacking, damage };
}

/** Finds how blobs are put together of chunks that are here or at one remote. */
class RecipeSearch {
  readonly #store: Store;
  readonly #there: ChunkIndex;
  readonly #recipes: Map<Digest, Recipe>;

  constructor(store: Store, there: ChunkIndex, recipes: Map<Digest, Recipe>) {
    this.#store = store;
    this.#there = there;
    this.#recipes = recipes;
  }

  /** Tells whether a recipe that can be fulfilled is known without asking the remote for it. */
  near({ sha256 }: NeededBlob): boolean {
    if (this.#there.has(digestToRaw(sha256))) return true;
    const recipe = this.#recipes.get(sha256) ?? this.#local(sha256);
    if (recipe === undefined) return false;
    this.#recipes.set(sha256, recipe);
    return this.#fulfilled(recipe);
  }

  /**
   * Takes the remote's own recipe. Where one is known that the remote has not all chunks of, its own is
   * better only if it has all of those: a blob may be cut in more than one way.
   */
  take(recipe: Recipe | undefined, { sha256 }: NeededBlob): void {
    if (recipe === undefined) return;
    if (!this.#recipes.has(sha256) || this.#fulfilled(recipe)) this.#recipes.set(sha256, recipe);
  }

  #local(blob: Digest): Recipe | undefined {
    try {
      return this.#store.recipe(blob);
    } catch (error) {
      if (!isMstoreError(error, 'corrupt-recipe')) throw error;
      return undefined;
    }
  }

  #fulfilled(recipe: Recipe): boolean {
    const here = this.#store.index();
    for (let row = 0; row < recipe.count; row++) {
      const at = recipe.idOffset(row);
      if (!here.has(recipe.rows, at) && !this.#there.has(recipe.rows, at)) return false;
    }
    return true;
  }
}

/** Notes the chunks to fetch, each once, and what is missing. */
class Collector {
  readonly wanted = new Map<IndexedPack, Set<number>>();
  missingBytes = 0;
  lacking = false;
  readonly #here: ChunkIndex;
  readonly #there: ChunkIndex;

  constructor(here: ChunkIndex, there: ChunkIndex) {
    this.#here = here;
    this.#there = there;
  }

  add(blob: NeededBlob, recipe: Recipe | undefined): void {
    // A blob of one chunk has no recipe.
    const sole = this.#there.find(digestToRaw(blob.sha256));
    if (sole !== undefined) this.#want(sole);
    else if (recipe === undefined) this.#lack(blob.size);
    else this.#addRows(recipe);
  }

  #addRows(recipe: Recipe): void {
    for (let row = 0; row < recipe.count; row++) {
      const at = recipe.idOffset(row);
      if (this.#here.has(recipe.rows, at)) continue;
      const place = this.#there.find(recipe.rows, at);
      if (place === undefined) this.#lack(recipe.length(row));
      else this.#want(place);
    }
  }

  #want({ pack, number }: ChunkPlace): void {
    const rows = this.wanted.get(pack) ?? new Set();
    rows.add(number);
    this.wanted.set(pack, rows);
  }

  #lack(bytes: number): void {
    this.missingBytes += bytes;
    this.lacking = true;
  }
}
