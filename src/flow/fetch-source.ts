import type { Digest } from '../base/digest.ts';
import type { MstoreError } from '../base/errors.ts';
import { silentProgress } from '../base/progress.ts';
import { recipeKey } from '../store/keys.ts';
import type { Store } from '../store/local-store.ts';
import { publishObjects } from '../store/publish.ts';
import { formatRecipe, type Recipe } from '../store/recipe.ts';
import { RemoteStore, type TransferOptions } from '../store/remote-store.ts';
import type { WorkOptions } from './add.ts';
import { type FetchPlan, planFetch } from './fetch-plan.ts';
import { isRemoteFailure, receiveChunks } from './fetch-receive.ts';
import { chosenJobs, requestJobs, transferJobs } from './remotes.ts';
import type { RemoteChoice } from './several-remotes.ts';
import type { NeededBlob } from './tracked.ts';
import type { Workspace } from './workspace.ts';

/** Problems of one remote that are told one by one. */
const problemsMax = 16;

/** One remote as a source of one fetch: what it gave, and what went wrong. */
export class FetchSource {
  readonly choice: RemoteChoice;
  /** Whether it was asked for anything, or passed over. */
  asked = false;
  chunks = 0;
  /** Bytes it was asked for and does not have. */
  missingBytes = 0;
  /** What ended the work with it, or kept a part from it. */
  failure: MstoreError | undefined;
  readonly #workspace: Workspace;
  readonly #options: WorkOptions;
  readonly #problems = new Map<string, MstoreError>();
  #there: RemoteStore | undefined;
  #givenUp = false;

  constructor(workspace: Workspace, choice: RemoteChoice, options: WorkOptions) {
    this.#workspace = workspace;
    this.choice = choice;
    this.#options = options;
  }

  /** Where the remote is; undefined when it could not even be opened. */
  get location(): string | undefined {
    return 'remote' in this.choice ? this.choice.remote.location : undefined;
  }

  get bytes(): number {
    return 'remote' in this.choice ? this.choice.remote.counts().get.bytes : 0;
  }

  /** All that was wrong, damage that did no harm included. Bounded. */
  get problems(): readonly MstoreError[] {
    return [...this.#problems.values()];
  }

  /**
   * Gets what the remote has of what is lacking. A failure of the remote is noted, not thrown: nothing more
   * is asked of it then.
   * @param recipes found so far; those found here are added
   * @returns whether nothing is lacking any more
   */
  async serve(blobs: readonly NeededBlob[], recipes: Map<Digest, Recipe>): Promise<boolean> {
    if (this.#givenUp) return false;
    this.asked = true;
    try {
      return await this.#serve(blobs, recipes);
    } catch (error) {
      if (!isRemoteFailure(error)) throw error;
      this.#fail(error);
      this.#givenUp = true;
      return false;
    }
  }

  async #serve(blobs: readonly NeededBlob[], recipes: Map<Digest, Recipe>): Promise<boolean> {
    const { choice } = this;
    if ('error' in choice) throw choice.error;
    const { store } = this.#workspace;
    const { signal, jobs } = this.#options;
    const requests = {
      signal,
      jobs: requestJobs(this.#workspace, jobs, choice),
      requestsMax: chosenJobs(this.#workspace, jobs),
    };
    this.#there ??= await RemoteStore.open(choice.remote, store);
    const plan = await this.#plan(blobs, recipes, this.#there, requests);
    this.missingBytes += plan.missingBytes;
    for (const error of this.#there.damage()) this.#note(error);
    for (const error of plan.damage) this.#fail(error);
    return (await this.#receive(plan, this.#there, requests)) && plan.complete;
  }

  async #plan(
    blobs: readonly NeededBlob[],
    recipes: Map<Digest, Recipe>,
    there: RemoteStore,
    transfer: TransferOptions,
  ): Promise<FetchPlan> {
    const parts = { store: this.#workspace.store, there, recipes, transfer };
    const plan = await planFetch(blobs, parts);
    if (plan.complete || !(await there.recheck(transfer))) return plan;
    return planFetch(blobs, parts);
  }

  /** Fetches what was planned; returns whether all of it came. */
  async #receive(
    { wanted, recipes, complete }: FetchPlan,
    there: RemoteStore,
    requests: TransferOptions,
  ): Promise<boolean> {
    const { store } = this.#workspace;
    const { jobs, progress = silentProgress } = this.#options;
    let whole = complete;
    try {
      await receiveChunks(wanted, {
        store,
        there,
        transfer: { ...requests, jobs: transferJobs(this.#workspace, jobs) },
        requests,
        progress,
        onDamage: (error) => {
          whole = false;
          this.#fail(error);
        },
        onChunks: (count) => {
          this.chunks += count;
        },
      });
    } catch (error) {
      if (isRemoteFailure(error)) await publishRecipes(store, recipes.filter(isWholeIn(store)));
      throw error;
    }
    await publishRecipes(store, whole ? recipes : recipes.filter(isWholeIn(store)));
    return whole;
  }

  #note(error: MstoreError): void {
    if (this.#problems.size < problemsMax) this.#problems.set(error.message, error);
  }

  #fail(error: MstoreError): void {
    this.failure ??= error;
    this.#note(error);
  }
}

/** A recipe never names a chunk that is not durable. */
function isWholeIn(store: Store): (recipe: Recipe) => boolean {
  return (recipe) => {
    const index = store.index();
    for (let row = 0; row < recipe.count; row++) {
      if (!index.has(recipe.rows, recipe.idOffset(row))) return false;
    }
    return true;
  };
}

async function publishRecipes(store: Store, recipes: readonly Recipe[]): Promise<void> {
  if (recipes.length === 0) return;
  store.prepareWriting();
  await publishObjects(
    store,
    recipes.map((recipe) => ({ key: recipeKey(recipe.blob), bytes: formatRecipe(recipe) })),
  );
}
