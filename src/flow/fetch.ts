import type { Digest } from '../base/digest.ts';
import { invariant, MstoreError } from '../base/errors.ts';
import { formatBytes } from '../base/format-bytes.ts';
import type { Store } from '../store/local-store.ts';
import type { Recipe } from '../store/recipe.ts';
import type { WorkOptions } from './add.ts';
import { FetchSource } from './fetch-source.ts';
import {
  type MissingPath,
  missingError,
  orDamage,
  problemOf,
  type RemoteProblem,
} from './missing.ts';
import type { ChosenRemote } from './remotes.ts';
import type { RemoteChoice } from './several-remotes.ts';
import { storing } from './store-watch.ts';
import { type NeededBlob, neededBlobs, type Tracked } from './tracked.ts';
import type { Workspace } from './workspace.ts';

/** What {@link fetch} did. */
export interface FetchResult {
  /** The remote that comes first. */
  readonly remote: string;
  /** Where that is; left out when it could not be opened. */
  readonly location?: string;
  readonly paths: number;
  readonly chunksFetched: number;
  /** All bytes read from the remotes, index and recipes included. */
  readonly bytesReceived: number;
  /** The remotes that were asked, in that order; none when nothing was lacking. */
  readonly remotes: readonly FetchShare[];
}

/** What one remote had to do with a fetch. */
export interface FetchShare {
  readonly remote: string;
  /** Left out when it could not be opened. */
  readonly location?: string;
  readonly chunksFetched: number;
  readonly bytesReceived: number;
  /** Bytes it was asked for and does not have. */
  readonly missingBytes: number;
  /** What was wrong with it: damaged objects, or why it could not be asked. */
  readonly problems: readonly RemoteProblem[];
}

/**
 * Gets what the tracked paths need and the local store lacks. Everything is verified on arrival, and
 * visible in the store only once it is durable. Touches no file of the workspace.
 * @param remotes one, or several in the order in which they are asked: what one lacks, has damaged or
 * cannot give for want of a connection is taken from the next, by its digest
 * @throws MstoreError when there is something that none of them gives; what they have is fetched.
 * `objects-missing` when all of them lack it, else the failure of the first that failed, or the damage of
 * the first that is damaged
 */
export async function fetch(
  workspace: Workspace,
  tracked: readonly Tracked[],
  remotes: ChosenRemote | readonly RemoteChoice[],
  options: WorkOptions = {},
): Promise<FetchResult> {
  const choices = 'name' in remotes ? [remotes] : remotes;
  invariant(choices.length > 0, 'a fetch has a remote to ask');
  const sources = choices.map((choice) => new FetchSource(workspace, choice, options));
  await storing(workspace, options, {
    work: () => fetchAll(workspace, tracked, sources),
    needed: () => tracked,
    merge: () => undefined,
  });
  return resultOf(sources, tracked.length);
}

async function fetchAll(
  workspace: Workspace,
  tracked: readonly Tracked[],
  sources: readonly FetchSource[],
): Promise<undefined> {
  // A large tree lists its files itself: it is needed before they are known.
  const unlisted = tracked.filter(
    ({ pointer }) => pointer.kind === 'tree' && pointer.files === undefined,
  );
  const trees = unlisted.map((item) => ({
    item,
    blobs: [{ sha256: item.pointer.sha256, size: item.pointer.size }],
  }));
  await fetchWishes(workspace.store, trees, sources);
  const all = tracked.map((item) => ({ item, blobs: neededBlobs(workspace.store, item) }));
  await fetchWishes(workspace.store, all, sources);
  workspace.store.settle();
  return undefined;
}

interface Wish {
  readonly item: Tracked;
  readonly blobs: readonly NeededBlob[];
}

async function fetchWishes(
  store: Store,
  wishes: readonly Wish[],
  sources: readonly FetchSource[],
): Promise<void> {
  const recipes = new Map<Digest, Recipe>();
  const all = new Map(wishes.flatMap(({ blobs }) => blobs.map((blob) => [blob.sha256, blob])));
  let lacking = lackingOf(store, [...all.values()]);
  for (const source of sources) {
    if (lacking.length === 0 || (await source.serve(lacking, recipes))) return;
    lacking = lackingOf(store, lacking);
  }
  if (lacking.length > 0) throw failure(missingPaths(store, wishes, lacking, recipes), sources);
}

function lackingOf(store: Store, blobs: readonly NeededBlob[]): NeededBlob[] {
  return blobs.filter(({ sha256 }) => !store.has(sha256));
}

/** Counts the bytes that are still missing by path, those of one blob once. */
function missingPaths(
  store: Store,
  wishes: readonly Wish[],
  lacking: readonly NeededBlob[],
  recipes: ReadonlyMap<Digest, Recipe>,
): MissingPath[] {
  const left = new Map(lacking.map((blob) => [blob.sha256, blob]));
  return wishes.flatMap(({ item, blobs }) => {
    const missing = blobs.filter(({ sha256 }) => left.delete(sha256));
    if (missing.length === 0) return [];
    const sizes = missing.map((blob) => missingBytes(store, blob, recipes.get(blob.sha256)));
    return [{ path: item.path, bytes: sizes.reduce((sum, bytes) => sum + bytes, 0) }];
  });
}

function missingBytes(store: Store, { size }: NeededBlob, recipe: Recipe | undefined): number {
  if (recipe === undefined) return size;
  const index = store.index();
  let bytes = 0;
  for (let row = 0; row < recipe.count; row++) {
    if (!index.has(recipe.rows, recipe.idOffset(row))) bytes += recipe.length(row);
  }
  return bytes;
}

/** Builds the error of what no remote gave: of one remote its own, of several with what each said. */
function failure(paths: readonly MissingPath[], sources: readonly FetchSource[]): MstoreError {
  const first = sources.find((source) => source.failure !== undefined)?.failure;
  const [sole, second] = sources;
  if (sole !== undefined && second === undefined) {
    if (first !== undefined) return first;
    const missing = missingError(
      paths,
      `not on the remote ${sole.location}`,
      'Push them from a host that has them, or fetch from another remote with --remote; restore a pointer that was changed by mistake from Git',
    );
    return orDamage(missing, sole.problems);
  }
  const blamed = first ?? sources.flatMap(({ problems }) => problems)[0];
  const told = sources.map((source) => `${source.choice.name}: ${reasonOf(source)}`);
  const missing = missingError(
    paths,
    `to be had from none of ${sources.length} remotes. ${told.join('. ')}`,
    blamed?.hint ?? 'Push them from a host that has them, or name another remote with --remote',
  );
  return new MstoreError(blamed?.code ?? missing.code, missing.message, {
    ...(missing.hint === undefined ? {} : { hint: missing.hint }),
    details: { ...missing.details, remotes: sources.map(({ choice }) => choice.name) },
    cause: blamed,
  });
}

function reasonOf({ failure: reason, problems, missingBytes: bytes }: FetchSource): string {
  const texts = problems.map(({ message }) => message);
  if (bytes > 0 || reason === undefined) texts.push(`It does not have ${formatBytes(bytes)}`);
  return texts.join('. ');
}

function resultOf(sources: readonly FetchSource[], paths: number): FetchResult {
  const shares = sources.filter(({ asked }) => asked).map(shareOf);
  const [first] = sources;
  return {
    ...namesOf(first as FetchSource),
    paths,
    chunksFetched: shares.reduce((sum, share) => sum + share.chunksFetched, 0),
    bytesReceived: shares.reduce((sum, share) => sum + share.bytesReceived, 0),
    remotes: shares,
  };
}

function namesOf({ choice, location }: FetchSource): { remote: string; location?: string } {
  return { remote: choice.name, ...(location === undefined ? {} : { location }) };
}

function shareOf(source: FetchSource): FetchShare {
  return {
    ...namesOf(source),
    chunksFetched: source.chunks,
    bytesReceived: source.bytes,
    missingBytes: source.missingBytes,
    problems: source.problems.map(problemOf),
  };
}
