import { Breather } from '../../base/abort.ts';
import { mapInOrder } from '../../base/concurrency.ts';
import { type Digest, digestBytes, digestToRaw, sha256Raw } from '../../base/digest.ts';
import { isMstoreError } from '../../base/errors.ts';
import { silentProgress } from '../../base/progress.ts';
import { RowBuffer } from '../../base/row-buffer.ts';
import { readObject } from '../../remote/remote.ts';
import { blobOfRecipeKey, recipeKey, recipesPrefix } from '../../store/keys.ts';
import { parseRecipe, type Recipe, recipeBytesMax } from '../../store/recipe.ts';
import { BlobProver } from './blobs.ts';
import type { ChunkStates } from './chunks.ts';
import type { FindingNote } from './findings.ts';
import { foreign, isObjectFault, type PassParts, repairHint } from './packs.ts';
import type { Proofs } from './proofs.ts';

/** Bytes of recipes that are read ahead; one may have more by itself. */
const aheadBytesMax = 64 * 1024 * 1024;
/** Recipes of one turn of the listing. */
const recipesAtOnce = 512;
/** Findings noted of one blob. */
const reasonsMax = 16;

/** What the second pass found. */
export interface RecipesResult {
  recipes: number;
  /** Blobs that were put together and hashed. */
  hashed: number;
  hashedBytes: number;
  /** Blobs that were known to be right from an earlier run. */
  known: number;
  /** Blobs that cannot be had, with the findings that are to blame. */
  readonly bad: Map<Digest, readonly FindingNote[]>;
  /** Blobs of which not all is here, which is no damage: it was removed to make room, or given up. */
  readonly partial: Set<Digest>;
  /** All recipes that are listed, checked or not. */
  readonly names: SortedDigests;
  /** The bad ones whose recipe itself is damaged or wrong. */
  readonly unusable: Digest[];
}

/** What the second pass works with. */
export interface RecipeParts extends PassParts {
  readonly chunks: ChunkStates;
  readonly proofs: Proofs;
  /** Tells whether all chunks of a recipe must be there. */
  readonly mustBeWhole: (blob: Digest) => boolean;
}

/**
 * Checks the recipes of a place: form and name, that a good copy of every chunk is there, and that the blob
 * hashes to its name. The last is done once for a recipe, as its bytes decide it. Memory: 64 MiB of recipes, or
 * the largest one, and 32 MiB of chunks.
 */
export async function verifyRecipes(parts: RecipeParts): Promise<RecipesResult> {
  const pass = new RecipePass(parts);
  try {
    await pass.run();
  } finally {
    pass.close();
  }
  return pass.result;
}

class RecipePass {
  readonly result: RecipesResult = {
    recipes: 0,
    hashed: 0,
    hashedBytes: 0,
    known: 0,
    bad: new Map(),
    unusable: [],
    partial: new Set(),
    names: new SortedDigests(),
  };
  readonly #parts: RecipeParts;
  readonly #prover: BlobProver;
  readonly #breather: Breather;
  #isFresh = false;

  constructor(parts: RecipeParts) {
    this.#parts = parts;
    const { place, chunks, progress = silentProgress } = parts;
    this.#prover = new BlobProver(place, chunks, (bytes) => progress.advance({ bytes }));
    this.#breather = new Breather(place.requests.signal);
  }

  async run(): Promise<void> {
    const { place, scope, findings, progress = silentProgress } = this.#parts;
    progress.start('verify');
    const isLost = this.#parts.chunks.lostCount > 0;
    let batch: Listed[] = [];
    for await (const { key, size } of place.objects.list(recipesPrefix, place.requests)) {
      const blob = blobOfRecipeKey(key);
      if (blob === undefined) findings.add(foreign(key));
      else this.result.names.add(blob);
      // Which blobs lost chunks harm is asked of all recipes; only those in the slice are proven.
      if (blob !== undefined && (scope.recipes(blob) || isLost)) batch.push({ blob, size });
      if (batch.length < recipesAtOnce) continue;
      await this.#batch(batch);
      batch = [];
    }
    await this.#batch(batch);
    progress.finish();
  }

  async #batch(batch: readonly Listed[]): Promise<void> {
    const { objects, requests } = this.#parts.place;
    const limits = {
      atOnce: requests.jobs,
      bytesOf: ({ size }: Listed) => size,
      bytesMax: aheadBytesMax,
    };
    const read = mapInOrder(batch, limits, async ({ blob }) => {
      try {
        const bytes = await readObject(objects, recipeKey(blob), recipeBytesMax, requests);
        return { blob, bytes };
      } catch (error) {
        if (isMstoreError(error, 'not-found')) return undefined;
        if (!isObjectFault(error)) throw error;
        return { blob, bytes: undefined };
      }
    });
    // What was pushed since the index was opened is found in a new one, which is opened when it is asked for.
    this.#isFresh = false;
    for await (const one of read) {
      if (one === undefined) continue;
      if (this.#parts.scope.recipes(one.blob)) this.result.recipes++;
      await this.#recipe(one.blob, one.bytes);
      if (this.#breather.due()) await this.#breather.turn();
    }
  }

  async #recipe(blob: Digest, bytes: Buffer | undefined): Promise<void> {
    const recipe = this.#parse(blob, bytes);
    if (recipe === undefined || bytes === undefined) return;
    if (!(await this.#isComplete(recipe)) || !this.#parts.scope.recipes(blob)) return;
    const digest = sha256Raw(bytes);
    const { proofs } = this.#parts;
    if (proofs.has(digest)) {
      this.result.known++;
      return;
    }
    const proof = await this.#prover.prove(recipe);
    this.result.hashed++;
    this.result.hashedBytes += recipe.size;
    if (proof === 'right') proofs.add(digest);
    else if (proof === 'wrong') this.#wrong(blob, 'its chunks, which are whole, yield other bytes');
    else await this.#isComplete(recipe);
  }

  #parse(blob: Digest, bytes: Buffer | undefined): Recipe | undefined {
    let reason = 'it cannot be read';
    try {
      if (bytes !== undefined) return parseRecipe(bytes, blob);
    } catch (error) {
      if (!isMstoreError(error, 'corrupt-recipe')) throw error;
      reason = error.message.slice(error.message.lastIndexOf(': ') + 2);
    }
    this.#note(blob, 'recipe-damaged', `The recipe is damaged: ${reason}`);
    return undefined;
  }

  #wrong(blob: Digest, what: string): void {
    this.#note(blob, 'recipe-wrong', `The recipe does not yield its blob: ${what}`);
  }

  #note(
    blob: Digest,
    kind: 'recipe-damaged' | 'recipe-wrong' | 'recipe-incomplete',
    message: string,
  ): FindingNote {
    const note = this.#parts.findings.add({
      kind,
      severity: 'damage',
      code: kind === 'recipe-incomplete' ? 'objects-missing' : 'corrupt-recipe',
      key: recipeKey(blob),
      message,
      hint: repairHint,
    });
    this.#blame(blob, note);
    if (kind !== 'recipe-incomplete') this.result.unusable.push(blob);
    return note;
  }

  #blame(blob: Digest, note: FindingNote): void {
    const known = this.result.bad.get(blob) ?? [];
    if (known.includes(note) || known.length >= reasonsMax) return;
    this.result.bad.set(blob, [...known, note]);
  }

  /** Tells whether a good copy of every chunk is there, and notes what is missing. */
  async #isComplete(recipe: Recipe): Promise<boolean> {
    const { chunks } = this.#parts;
    const unknown: Buffer[] = [];
    let complete = true;
    for (let row = 0; row < recipe.count; row++) {
      if (this.#breather.due()) await this.#breather.turn();
      const at = recipe.idOffset(row);
      const place = chunks.find(recipe.rows, at);
      if (place?.rawLength === recipe.length(row)) continue;
      complete = false;
      if (place !== undefined) {
        this.#wrong(recipe.blob, `its chunk ${row} has another length in its pack`);
        return false;
      }
      const note = chunks.lostBy(recipe.rows, at);
      if (note === undefined) unknown.push(recipe.rows.subarray(at, at + 32));
      else this.#blame(recipe.blob, note);
    }
    if (unknown.length > 0 && !this.#parts.mustBeWhole(recipe.blob)) {
      this.result.partial.add(recipe.blob);
    } else if (unknown.length > 0) {
      if (!this.#isFresh) {
        this.#isFresh = true;
        chunks.refresh(await this.#parts.place.index());
        return this.#isComplete(recipe);
      }
      const what = `${unknown.length} of ${recipe.count} chunks are in no pack`;
      const note = this.#note(recipe.blob, 'recipe-incomplete', `The blob is not whole: ${what}`);
      chunks.noteLost(Buffer.concat(unknown), note);
    }
    return complete;
  }

  close(): void {
    this.#prover.close();
  }
}

/** Digests that are added in their order. Memory: 32 to 64 bytes each. */
export class SortedDigests {
  readonly #rows = new RowBuffer(digestBytes);

  /** Adds one that comes behind all others. */
  add(digest: Digest): void {
    this.#rows.add().write(digest, 'hex');
  }

  has(digest: Digest): boolean {
    return this.#rows.hasSorted(digestToRaw(digest));
  }
}

interface Listed {
  readonly blob: Digest;
  readonly size: number;
}
