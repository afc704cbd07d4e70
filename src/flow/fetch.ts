import { throwIfAborted } from '../base/abort.ts';
import { mapConcurrently } from '../base/concurrency.ts';
import { type Digest, digestToRaw } from '../base/digest.ts';
import { isMstoreError, MstoreError } from '../base/errors.ts';
import { silentProgress } from '../base/progress.ts';
import type { ChunkIndex } from '../index/chunk-index.ts';
import type { IndexedPack } from '../index/indexed-pack.ts';
import type { PackFooter } from '../pack/format.ts';
import { readChunk } from '../pack/reader.ts';
import type { RemoteReader } from '../remote/remote.ts';
import { packKey, recipeKey } from '../store/keys.ts';
import { PackSink } from '../store/pack-sink.ts';
import { type PackLane, PackThreads } from '../store/pack-threads.ts';
import { receivePack, remoteDamage } from '../store/pack-transfer.ts';
import { publishObjects } from '../store/publish.ts';
import { formatRecipe, type Recipe, soleChunkRecipe } from '../store/recipe.ts';
import { RemoteStore, type TransferOptions } from '../store/remote-store.ts';
import type { WorkOptions } from './add.ts';
import { type MissingPath, missingError } from './missing.ts';
import { type ChosenRemote, transferJobs } from './remotes.ts';
import { type NeededBlob, neededBlobs, type Tracked } from './tracked.ts';
import type { Workspace } from './workspace.ts';

/** A pack of which at least this share is wanted is fetched whole. */
const wholePackShare = 0.75;
/** Unwanted bytes between two wanted chunks that are read along rather than asked for around. */
const gapBytesMax = 256 * 1024;
/** Bytes of one ranged read. */
const rangeBytesMax = 16 * 1024 * 1024;

/** What {@link fetch} did. */
export interface FetchResult {
  readonly remote: string;
  readonly location: string;
  readonly paths: number;
  readonly chunksFetched: number;
  /** All bytes read from the remote, index and recipes included. */
  readonly bytesReceived: number;
}

/**
 * Gets what the tracked paths need and the local store lacks. Everything is verified on arrival, and
 * visible in the store only once it is durable. Touches no file of the workspace.
 * @throws MstoreError `objects-missing` when the remote does not have all; what it has is fetched
 */
export async function fetch(
  workspace: Workspace,
  tracked: readonly Tracked[],
  { name, remote }: ChosenRemote,
  options: WorkOptions = {},
): Promise<FetchResult> {
  const transfer = { signal: options.signal, jobs: transferJobs(workspace, options.jobs) };
  const fetcher = new Fetcher(workspace, remote, transfer, options);
  // A large tree lists its files itself: it is needed before they are known.
  const unlisted = tracked.filter(
    ({ pointer }) => pointer.kind === 'tree' && pointer.files === undefined,
  );
  const trees = unlisted.map((item) => ({
    item,
    blobs: [{ sha256: item.pointer.sha256, size: 0 }],
  }));
  await fetcher.fetch(trees);
  const all = tracked.map((item) => ({ item, blobs: neededBlobs(workspace.store, [item]) }));
  await fetcher.fetch(all);
  return {
    remote: name,
    location: remote.location,
    paths: tracked.length,
    chunksFetched: fetcher.chunks,
    bytesReceived: remote.counts().get.bytes,
  };
}

interface Wish {
  readonly item: Tracked;
  readonly blobs: readonly NeededBlob[];
}

interface FetchPlan {
  readonly wanted: Map<IndexedPack, Set<number>>;
  readonly recipes: Recipe[];
  readonly missing: MissingPath[];
}

class Fetcher {
  readonly #workspace: Workspace;
  readonly #remote: RemoteReader;
  readonly #transfer: TransferOptions;
  readonly #options: WorkOptions;
  #there: RemoteStore | undefined;
  chunks = 0;

  constructor(
    workspace: Workspace,
    remote: RemoteReader,
    transfer: TransferOptions,
    options: WorkOptions,
  ) {
    this.#workspace = workspace;
    this.#remote = remote;
    this.#transfer = transfer;
    this.#options = options;
  }

  async fetch(wishes: readonly Wish[]): Promise<void> {
    const { store } = this.#workspace;
    const lacking = wishes
      .map(({ item, blobs }) => ({ item, blobs: blobs.filter((blob) => !store.has(blob.sha256)) }))
      .filter(({ blobs }) => blobs.length > 0);
    if (lacking.length === 0) return;
    this.#there ??= await RemoteStore.open(this.#remote, store);
    let plan = await this.#plan(lacking, this.#there);
    if (plan.missing.length > 0 && (await this.#there.recheck(this.#transfer)))
      plan = await this.#plan(lacking, this.#there);
    await this.#receive(plan, this.#there);
    if (plan.missing.length > 0) {
      throw missingError(
        plan.missing,
        `not on the remote ${this.#remote.location}`,
        'Push them from a host that has them, or fetch from another remote with --remote',
      );
    }
  }

  async #plan(wishes: readonly Wish[], there: RemoteStore): Promise<FetchPlan> {
    const index = await there.index(this.#transfer);
    const plan: FetchPlan = { wanted: new Map(), recipes: [], missing: [] };
    const seen = new Set<Digest>();
    for (const { item, blobs } of wishes) {
      throwIfAborted(this.#transfer.signal);
      const fresh = blobs.filter(({ sha256 }) => !seen.has(sha256));
      for (const { sha256 } of fresh) seen.add(sha256);
      const recipes = await mapConcurrently(fresh, this.#transfer.jobs, (blob) =>
        this.#recipe(there, index, blob),
      );
      let bytes = 0;
      for (const [i, recipe] of recipes.entries()) {
        if (recipe === undefined) bytes += (fresh[i] as NeededBlob).size;
        else bytes += this.#collect(index, recipe, plan);
      }
      if (bytes > 0 || recipes.includes(undefined)) plan.missing.push({ path: item.path, bytes });
    }
    return plan;
  }

  /** Finds the chunks of a blob: by the local recipe, the remote's index, or the remote's recipe. */
  async #recipe(
    there: RemoteStore,
    index: ChunkIndex,
    blob: NeededBlob,
  ): Promise<Recipe | undefined> {
    const place = index.find(digestToRaw(blob.sha256));
    if (place !== undefined) return soleChunkRecipe(blob.sha256, place.rawLength);
    try {
      const local = this.#workspace.store.recipe(blob.sha256);
      if (local !== undefined) return local;
    } catch (error) {
      if (!isMstoreError(error, 'corrupt-recipe')) throw error;
    }
    return there.recipe(blob.sha256, this.#transfer);
  }

  /** Notes the chunks to fetch; returns the bytes that the remote lacks as well. */
  #collect(index: ChunkIndex, recipe: Recipe, plan: FetchPlan): number {
    const here = this.#workspace.store.index();
    if (recipe.count > 1) plan.recipes.push(recipe);
    let lacking = 0;
    for (let row = 0; row < recipe.count; row++) {
      const at = recipe.idOffset(row);
      if (here.has(recipe.rows, at)) continue;
      const place = index.find(recipe.rows, at);
      if (place === undefined) {
        lacking += recipe.length(row);
        continue;
      }
      const rows = plan.wanted.get(place.pack) ?? new Set();
      rows.add(place.number);
      plan.wanted.set(place.pack, rows);
    }
    return lacking;
  }

  async #receive({ wanted, recipes }: FetchPlan, there: RemoteStore): Promise<void> {
    const whole: IndexedPack[] = [];
    const ranges: Range[] = [];
    let bytesTotal = 0;
    for (const [pack, rows] of wanted) {
      const parts = rangesOf(pack, await there.footerOf(pack, this.#transfer), rows);
      const bytes = parts.reduce((sum, { start, end }) => sum + end - start, 0);
      if (bytes >= pack.payloadBytes * wholePackShare) whole.push(pack);
      else ranges.push(...parts);
      bytesTotal += bytes >= pack.payloadBytes * wholePackShare ? pack.packBytes : bytes;
      this.chunks += rows.size;
    }
    const progress = this.#options.progress ?? silentProgress;
    progress.start('fetch', { bytesTotal });
    const onBytes = (bytes: number): void => progress.advance({ bytes });
    const { store } = this.#workspace;
    await this.#receivePacks(there, whole, onBytes);
    await this.#receiveRanges(there, ranges, onBytes);
    store.prepareWriting();
    await publishObjects(
      store,
      recipes.map((recipe) => ({ key: recipeKey(recipe.blob), bytes: formatRecipe(recipe) })),
    );
    progress.finish();
  }

  async #receivePacks(
    there: RemoteStore,
    packs: readonly IndexedPack[],
    onBytes: (bytes: number) => void,
  ): Promise<void> {
    const { signal, jobs } = this.#transfer;
    const bytes = packs.reduce((sum, { packBytes }) => sum + packBytes, 0);
    const threads = PackThreads.for(bytes, jobs);
    try {
      await mapConcurrently(packs, jobs, async (pack) => {
        const footer = await there.footerOf(pack, this.#transfer);
        const receive = (lane?: PackLane) =>
          receivePack(this.#workspace.store, this.#remote, footer, onBytes, { signal, lane });
        await (threads?.withLane(receive) ?? receive());
      });
    } finally {
      threads?.close();
    }
  }

  /** Fetches single chunks and gathers them in packs of our own. */
  async #receiveRanges(
    there: RemoteStore,
    ranges: readonly Range[],
    onBytes: (bytes: number) => void,
  ): Promise<void> {
    if (ranges.length === 0) return;
    const sink = new PackSink(this.#workspace.store);
    try {
      for (const range of ranges) {
        const footer = await there.footerOf(range.pack, this.#transfer);
        await this.#receiveRange(footer, range, sink, onBytes);
        if (sink.full) await sink.publish();
      }
      await sink.finish();
    } catch (error) {
      await keepArrived(sink);
      throw remoteDamage(error, this.#remote);
    } finally {
      sink.close();
    }
  }

  async #receiveRange(
    footer: PackFooter,
    range: Range,
    sink: PackSink,
    onBytes: (bytes: number) => void,
  ): Promise<void> {
    const { start, end } = range;
    const bytes = Buffer.allocUnsafe(end - start);
    let fill = 0;
    for await (const block of this.#remote.get(
      packKey(footer.id),
      { start, end },
      this.#transfer,
    )) {
      bytes.set(block, fill);
      fill += block.length;
      onBytes(block.length);
    }
    if (fill !== bytes.length) {
      throw new MstoreError(
        'corrupt-remote',
        `${this.#remote.location} sent ${fill} bytes instead of ${bytes.length}`,
      );
    }
    for (const number of range.rows) {
      const row = footer.row(number);
      const stored = bytes.subarray(row.offset - start, row.offset - start + row.storedLength);
      const idAt = footer.idOffset(number);
      readChunk(stored, row, footer.bytes, idAt, `the pack ${footer.id}`);
      const id = footer.bytes.subarray(idAt, idAt + 32);
      if (!sink.has(id)) sink.appendStored(id, stored, row);
    }
  }
}

/** Keeps the chunks that came before a failure: each was verified, and need not come again. */
async function keepArrived(sink: PackSink): Promise<void> {
  try {
    await sink.publish();
  } catch {
    // The failure that is on its way tells more than this one.
  }
}

/** Bytes of a pack that are read at once, and the wanted chunks in them. */
interface Range {
  readonly pack: IndexedPack;
  readonly start: number;
  end: number;
  readonly rows: number[];
}

/** Joins wanted chunks that lie near each other into ranges. */
function rangesOf(pack: IndexedPack, footer: PackFooter, rows: ReadonlySet<number>): Range[] {
  const ranges: Range[] = [];
  for (const number of [...rows].sort((a, b) => a - b)) {
    const { offset, storedLength } = footer.row(number);
    const last = ranges.at(-1);
    const end = offset + storedLength;
    if (
      last !== undefined &&
      offset - last.end <= gapBytesMax &&
      end - last.start <= rangeBytesMax
    ) {
      last.end = end;
      last.rows.push(number);
    } else {
      ranges.push({ pack, start: offset, end, rows: [number] });
    }
  }
  return ranges;
}
