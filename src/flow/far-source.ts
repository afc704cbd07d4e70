import { type Digest, digestToRaw } from '../base/digest.ts';
import type { MstoreError } from '../base/errors.ts';
import type { IndexedPack } from '../index/indexed-pack.ts';
import { type Recipe, soleChunkRecipe } from '../store/recipe.ts';
import { readRemoteRows } from '../store/remote-rows.ts';
import { RemoteStore, type TransferOptions } from '../store/remote-store.ts';
import type { WorkOptions } from './add.ts';
import { isRemoteFailure } from './fetch-receive.ts';
import { type ChosenRemote, chosenJobs, requestJobs } from './remotes.ts';
import type { RemoteChoice } from './several-remotes.ts';
import type { Workspace } from './workspace.ts';

/** One remote as a source of chunks; what fails is noted, and nothing more is asked of it then. */
export class FarSource {
  /** What ended the work with it, or kept a part from it. */
  failure: MstoreError | undefined;
  readonly #workspace: Workspace;
  readonly #choice: RemoteChoice;
  readonly #options: WorkOptions;
  #there: RemoteStore | undefined;
  #givenUp = false;

  constructor(workspace: Workspace, choice: RemoteChoice, options: WorkOptions) {
    this.#workspace = workspace;
    this.#choice = choice;
    this.#options = options;
  }

  get bytes(): number {
    return 'remote' in this.#choice ? this.#choice.remote.counts().get.bytes : 0;
  }

  /** Finds how a blob is put together; undefined where the remote does not tell. */
  recipe(blob: Digest): Promise<Recipe | undefined> {
    return this.#asking(async (there, transfer) => {
      const place = (await there.index(transfer)).find(digestToRaw(blob));
      return place === undefined
        ? there.recipe(blob, transfer)
        : soleChunkRecipe(blob, place.rawLength);
    });
  }

  /** Tells which of some chunks of a blob the remote lacks; all where it cannot be asked. */
  async lacks(recipe: Recipe, rows: readonly number[]): Promise<number[]> {
    const found = await this.#asking((there, transfer) =>
      this.#places(there, recipe, rows, transfer),
    );
    const here = new Set(
      [...(found?.values() ?? [])].flatMap((numbers) => [...numbers.values()].flat()),
    );
    return rows.filter((row) => !here.has(row));
  }

  /** Where the remote has chunks of a blob; its index is looked at anew where some are not in it. */
  async #places(
    there: RemoteStore,
    recipe: Recipe,
    rows: readonly number[],
    transfer: TransferOptions,
  ): Promise<Map<IndexedPack, Map<number, number[]>>> {
    const wanted = await placesOf(there, recipe, rows, transfer);
    const found = [...wanted.values()].reduce((sum, { size }) => sum + size, 0);
    if (found >= rows.length || !(await there.recheck(transfer))) return wanted;
    return placesOf(there, recipe, rows, transfer);
  }

  /** Gives what the remote has of some chunks of a blob. */
  async give(
    recipe: Recipe,
    rows: readonly number[],
    take: (row: number, bytes: Uint8Array) => void,
  ): Promise<void> {
    await this.#asking(async (there, transfer) => {
      for (const [pack, numbers] of await this.#places(there, recipe, rows, transfer)) {
        const footer = await there.footerOf(pack, transfer);
        const ascending = [...numbers.keys()].sort((a, b) => a - b);
        for await (const one of readRemoteRows(there.remote, footer, ascending, transfer)) {
          if (one.damage !== undefined) this.failure ??= one.damage;
          if (one.raw === undefined) continue;
          for (const row of numbers.get(one.row) ?? []) take(row, Buffer.from(one.raw));
        }
      }
    });
  }

  async #asking<T>(
    work: (there: RemoteStore, transfer: TransferOptions) => Promise<T>,
  ): Promise<T | undefined> {
    if (this.#givenUp) return undefined;
    try {
      if ('error' in this.#choice) throw this.#choice.error;
      this.#there ??= await RemoteStore.open(this.#choice.remote, this.#workspace.store);
      return await work(this.#there, this.#transfer(this.#choice));
    } catch (error) {
      if (!isRemoteFailure(error)) throw error;
      this.failure ??= error;
      this.#givenUp = true;
      return undefined;
    }
  }

  #transfer(choice: ChosenRemote): TransferOptions {
    const { signal, jobs } = this.#options;
    return {
      signal,
      jobs: requestJobs(this.#workspace, jobs, choice),
      requestsMax: chosenJobs(this.#workspace, jobs),
    };
  }
}

/** Finds chunks of a blob in packs of a remote: rows of the blob by the rows of the pack. */
async function placesOf(
  there: RemoteStore,
  recipe: Recipe,
  rows: readonly number[],
  transfer: TransferOptions,
): Promise<Map<IndexedPack, Map<number, number[]>>> {
  const index = await there.index(transfer);
  const wanted = new Map<IndexedPack, Map<number, number[]>>();
  for (const row of rows) {
    const place = index.find(recipe.rows, recipe.idOffset(row));
    if (place === undefined || place.rawLength !== recipe.length(row)) continue;
    const inPack = wanted.get(place.pack) ?? new Map<number, number[]>();
    inPack.set(place.number, [...(inPack.get(place.number) ?? []), row]);
    wanted.set(place.pack, inPack);
  }
  return wanted;
}
