import { Breather } from '../base/abort.ts';
import { mapConcurrently } from '../base/concurrency.ts';
import type { Digest } from '../base/digest.ts';
import { isMstoreError, MstoreError } from '../base/errors.ts';
import { removeFile } from '../base/files.ts';
import { silentProgress } from '../base/progress.ts';
import { newWriteMemory } from '../base/sequential-file.ts';
import { placeOf } from '../index/chunk-index.ts';
import type { PackFooter } from '../pack/format.ts';
import { PackWriter } from '../pack/writer.ts';
import { bytesSource, type RemoteSource, type RemoteWriter } from '../remote/remote.ts';
import { ChunkReader } from '../store/chunk-reader.ts';
import { indexKey, packKey, recipeKey } from '../store/keys.ts';
import { type PackLane, PackThreads } from '../store/pack-threads.ts';
import { checkPackPresent, packSource } from '../store/pack-transfer.ts';
import { formatRecipe, type Recipe } from '../store/recipe.ts';
import { RemoteStore, type TransferOptions } from '../store/remote-store.ts';
import type { WorkOptions } from './add.ts';
import { problemOf, type RemoteProblem } from './missing.ts';
import { type PushPlan, planPush } from './push-plan.ts';
import { type ChosenRemote, chosenJobs, requestJobs, transferJobs } from './remotes.ts';
import { publishRoot } from './roots.ts';
import { SweepWatch } from './sweep-watch.ts';
import { contentName, type Tracked } from './tracked.ts';
import type { Workspace } from './workspace.ts';

/** Times that a push looks again because a clean-up ran meanwhile, here or there. */
const triesMax = 8;

/** What {@link push} did. */
export interface PushResult {
  readonly remote: string;
  readonly location: string;
  readonly paths: number;
  /** Blobs the versions need. */
  readonly blobs: number;
  readonly chunksSent: number;
  readonly packsSent: number;
  /** Records of versions, states and entries of histories that were sent; left out where none were asked for. */
  readonly recordsSent?: number;
  /** All bytes written to the remote, index, recipes and records included. */
  readonly bytesSent: number;
  /** Damage that was found on the remote, and did not keep anything from being sent. */
  readonly problems: readonly RemoteProblem[];
}

/**
 * Sends what the tracked paths need and the remote lacks: packs, index, recipes, then the record of
 * what must be kept. Nothing is named on the remote before it is whole there; an interrupted push is
 * finished by another one, and what has arrived is not sent twice.
 * @param versions of the registry, which are sent and kept beside the tracked paths
 * @throws MstoreError `objects-missing` when neither side has some bytes: before anything is sent, unless they were
 * taken away here meanwhile
 */
export async function push(
  workspace: Workspace,
  tracked: readonly Tracked[],
  chosen: ChosenRemote,
  options: WorkOptions = {},
  versions: readonly Tracked[] = [],
): Promise<PushResult> {
  const { name, remote } = chosen;
  const transfer = {
    signal: options.signal,
    jobs: transferJobs(workspace, options.jobs),
    requestsMax: chosenJobs(workspace, options.jobs),
  };
  const requests = { ...transfer, jobs: requestJobs(workspace, options.jobs, chosen) };
  const progress = options.progress ?? silentProgress;
  const watch = await SweepWatch.begin(remote, workspace.surroundings, {
    signal: options.signal,
    progress,
  });
  const items = unique([...tracked, ...versions]);
  const sent = { blobs: 0, chunksSent: 0, packsSent: 0, problems: [] as RemoteProblem[] };
  for (let tries = 1; ; tries++) {
    const there = await RemoteStore.open(remote, workspace.store);
    const plan = await planPush(workspace, items, there, requests);
    progress.start('push', { bytesTotal: plan.bytes });
    const sender = new Sender(workspace, remote, transfer, (bytes) => progress.advance({ bytes }));
    try {
      await sender.send(plan);
    } catch (error) {
      if (!isMstoreError(error, 'objects-missing') || tries === triesMax) throw error;
      // A clean-up by a neighbour who shares the store took it away: the same may be in another pack.
      progress.finish();
      workspace.store.reopen();
      continue;
    } finally {
      sent.packsSent += sender.packs;
    }
    sent.chunksSent += plan.chunks;
    sent.blobs = plan.blobs;
    sent.problems = there.damage().map(problemOf);
    await sendIndexes(there, remote, requests);
    await sendRecipes(plan.recipes, there, remote, requests);
    await remote.settle?.(requests);
    await publishRoot(workspace, remote, tracked, transfer);
    await publishRoot(workspace, remote, versions, { ...transfer, forVersions: true });
    progress.finish();
    if (!(await watch.mayHaveLost())) break;
    if (tries === triesMax) throw neverQuiet(remote);
  }
  return {
    remote: name,
    location: remote.location,
    paths: tracked.length,
    ...sent,
    bytesSent: remote.counts().create.bytes,
  };
}

function neverQuiet({ location }: RemoteWriter): MstoreError {
  return new MstoreError('locked', `Clean-ups of ${location} kept overtaking this push`, {
    hint: 'Look who runs "mstore gc --remote" in a loop, then push again',
    details: { location },
  });
}

/** Leaves out what is the same path with the same content. */
function unique(items: readonly Tracked[]): Tracked[] {
  return [...new Map(items.map((item) => [contentName(item), item])).values()];
}

/** Sends packs, each followed by its index object. */
class Sender {
  readonly #workspace: Workspace;
  readonly #remote: RemoteWriter;
  readonly #transfer: TransferOptions;
  readonly #onBytes: (bytes: number) => void;
  /** Packs that were sent so far. */
  packs = 0;
  #threads: PackThreads | undefined;

  constructor(
    workspace: Workspace,
    remote: RemoteWriter,
    transfer: TransferOptions,
    onBytes: (bytes: number) => void,
  ) {
    this.#workspace = workspace;
    this.#remote = remote;
    this.#transfer = transfer;
    this.#onBytes = onBytes;
  }

  async send(plan: PushPlan): Promise<void> {
    const { store } = this.#workspace;
    this.#threads = PackThreads.for(plan.bytes, this.#transfer.jobs);
    try {
      await mapConcurrently(plan.whole, this.#transfer.jobs, (pack) =>
        this.#sendPack(store.file(packKey(pack.id)), store.footerOf(pack)),
      );
      await this.#sendParts(plan);
    } finally {
      this.#threads?.close();
    }
  }

  /** Gathers single chunks, as they are stored, in new packs: what lies beside them is not sent. */
  async #sendParts(plan: PushPlan): Promise<void> {
    if (plan.parts.length === 0) return;
    const { store } = this.#workspace;
    store.prepareWriting();
    const reader = new ChunkReader(store);
    const breather = new Breather(this.#transfer.signal);
    const memory = newWriteMemory();
    let writer: PackWriter | undefined;
    try {
      for (const { pack, rows } of plan.parts) {
        const footer = store.footerOf(pack);
        for (const { stored, places } of reader.read(rows.map((row) => placeOf(footer, row)))) {
          let at = 0;
          for (const place of places) {
            writer ??= new PackWriter(store.tempFile(), memory);
            const idAt = footer.idOffset(place.number);
            writer.append(
              footer.bytes.subarray(idAt, idAt + 32),
              stored.subarray(at, at + place.storedLength),
              place,
            );
            at += place.storedLength;
          }
          if (writer?.full === true) {
            await this.#sendWritten(writer);
            writer = undefined;
          }
          if (breather.due()) await breather.turn();
        }
      }
      if (writer !== undefined) await this.#sendWritten(writer);
    } finally {
      reader.close();
      if (writer !== undefined) {
        writer.close();
        removeFile(writer.file);
      }
    }
  }

  async #sendWritten(writer: PackWriter): Promise<void> {
    const footer = writer.finish();
    await this.#sendPack(writer.file, footer);
    removeFile(writer.file);
  }

  async #sendPack(file: string, footer: PackFooter): Promise<void> {
    const send = (lane?: PackLane) => this.#sendBy(packSource(file, footer, lane), footer);
    await (this.#threads?.withLane(send) ?? send());
  }

  async #sendBy(source: RemoteSource, footer: PackFooter): Promise<void> {
    const remote = this.#remote;
    const counted = {
      size: source.size,
      open: () => countBlocks(source.open(), this.#onBytes),
    };
    const key = packKey(footer.id);
    const state = await remote.create(key, counted, { ...this.#transfer, contentKey: true });
    if (state === 'created') this.packs++;
    else await checkPackPresent(remote, footer, this.#transfer);
    await remote.create(indexKey(footer.id), bytesSource(footer.bytes), this.#transfer);
  }
}

async function* countBlocks(
  blocks: AsyncIterable<Uint8Array>,
  onBytes: (bytes: number) => void,
): AsyncGenerator<Uint8Array, void, undefined> {
  for await (const block of blocks) {
    yield block;
    onBytes(block.length);
  }
}

async function sendRecipes(
  recipes: readonly Recipe[],
  there: RemoteStore,
  remote: RemoteWriter,
  transfer: TransferOptions,
): Promise<void> {
  const byBlob = new Map<Digest, Recipe>(recipes.map((recipe) => [recipe.blob, recipe]));
  const lacking = await there.withoutRecipe([...byBlob.keys()], transfer);
  await mapConcurrently(lacking, transfer.jobs, (blob) => {
    const bytes = formatRecipe(byBlob.get(blob) as Recipe);
    return remote.create(recipeKey(blob), bytesSource(bytes), transfer);
  });
}

/** Adds the index objects that a push broken off between pack and index left out. */
async function sendIndexes(
  there: RemoteStore,
  remote: RemoteWriter,
  transfer: TransferOptions,
): Promise<void> {
  const lacking = await there.packsWithoutIndex(transfer);
  const index = await there.index(transfer);
  await mapConcurrently(lacking, transfer.jobs, async (pack) => {
    const footer = index.footer(pack);
    if (footer === undefined) return;
    await remote.create(indexKey(pack), bytesSource(footer.bytes), transfer);
  });
}
