import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { Breather } from '../../base/abort.ts';
import { type Digest, digestFromRaw } from '../../base/digest.ts';
import { isMstoreError } from '../../base/errors.ts';
import { readFully } from '../../base/files.ts';
import { printable } from '../../base/names.ts';
import { silentProgress } from '../../base/progress.ts';
import { isFileEntry } from '../../base/tree.ts';
import type { IndexedPack } from '../../index/indexed-pack.ts';
import { BlobWriter } from '../../store/blob-writer.ts';
import type { Store } from '../../store/local-store.ts';
import { RemoteStore } from '../../store/remote-store.ts';
import type { WorkOptions } from '../add.ts';
import { externalData, filesBeside } from '../external-data.ts';
import { isRemoteFailure, receiveChunks } from '../fetch-receive.ts';
import { FetchSource } from '../fetch-source.ts';
import { type ChosenRemote, chosenJobs, requestJobs, transferJobs } from '../remotes.ts';
import type { RemoteChoice } from '../several-remotes.ts';
import { type Tracked, type TrackedFiles, trackedFiles, trackedInWorkspace } from '../tracked.ts';
import { isLocalDamage } from '../verify/harm.ts';
import { Workspace } from '../workspace.ts';

/** The same workspace over a store that was opened afresh. */
export function withStore(workspace: Workspace, store: Store): Workspace {
  const { root, config, git, surroundings } = workspace;
  return new Workspace({ root, config, git, store, surroundings });
}

/** Where data came from, and what could not be asked. */
export interface NearLog {
  readonly healed: (from: string, chunks: number) => void;
  readonly failed: (from: string, reason: string) => void;
}

/** What is to be had again. */
export interface Wanted {
  /** Chunk ids, 32 bytes each. */
  readonly chunks: readonly Buffer[];
  /** Blobs that have no good recipe: they are fetched whole. */
  readonly recipes: ReadonlySet<Digest>;
  /** Blobs that are harmed in any way: they are looked for among the files. */
  readonly blobs: ReadonlySet<Digest>;
}

/**
 * Brings chunks and blobs into the local store that are damaged somewhere: from remotes, in their order, then from
 * the files of the workspace that hash to them. All is verified before it is stored. What nobody has stays lacking.
 * @param workspace its store must not know damaged packs any more
 * @param remotes all but the one that is repaired
 */
export async function bringNear(
  workspace: Workspace,
  wanted: Wanted,
  remotes: readonly RemoteChoice[],
  options: WorkOptions,
  log: NearLog,
): Promise<void> {
  const near = new Near(workspace, options, log);
  for (const choice of remotes) {
    if (!near.lacksAny(wanted)) return;
    await near.fromRemote(wanted, choice);
  }
  if (near.lacksAny(wanted)) await near.fromFiles(wanted);
}

class Near {
  readonly #workspace: Workspace;
  readonly #options: WorkOptions;
  readonly #log: NearLog;

  constructor(workspace: Workspace, options: WorkOptions, log: NearLog) {
    this.#workspace = workspace;
    this.#options = options;
    this.#log = log;
  }

  lacksAny(wanted: Wanted): boolean {
    return this.#lackedChunks(wanted).length > 0 || this.#lacked(wanted.recipes).length > 0;
  }

  #lackedChunks({ chunks }: Wanted): Buffer[] {
    const index = this.#workspace.store.index();
    return chunks.filter((id) => !index.has(id));
  }

  #lacked(blobs: ReadonlySet<Digest>): Digest[] {
    return [...blobs].filter((blob) => !this.#workspace.store.has(blob));
  }

  async fromRemote(wanted: Wanted, choice: RemoteChoice): Promise<void> {
    try {
      if ('error' in choice) throw choice.error;
      await this.#fetchChunks(this.#lackedChunks(wanted), choice);
      await this.#fetchBlobs(this.#lacked(wanted.recipes), choice);
    } catch (error) {
      if (!isMstoreError(error) || !isRemoteFailure(error)) throw error;
      this.#log.failed(choice.name, error.message);
    }
  }

  async #fetchChunks(ids: readonly Buffer[], choice: ChosenRemote): Promise<void> {
    if (ids.length === 0) return;
    const { store } = this.#workspace;
    const { signal, jobs, progress = silentProgress } = this.#options;
    const requestsMax = chosenJobs(this.#workspace, jobs);
    const requests = { signal, requestsMax, jobs: requestJobs(this.#workspace, jobs, choice) };
    const there = await RemoteStore.open(choice.remote, store);
    await there.recheck(requests);
    const index = await there.index(requests);
    const rows = new Map<IndexedPack, Set<number>>();
    for (const id of ids) {
      const place = index.find(id);
      if (place === undefined) continue;
      rows.set(place.pack, (rows.get(place.pack) ?? new Set()).add(place.number));
    }
    if (rows.size === 0) return;
    const before = ids.length;
    await receiveChunks(rows, {
      store,
      there,
      transfer: { ...requests, jobs: transferJobs(this.#workspace, jobs) },
      requests,
      progress,
      onDamage: (error) => this.#log.failed(choice.name, error.message),
      onChunks: () => {},
    });
    const left = ids.filter((id) => !store.index().has(id)).length;
    if (left < before) this.#log.healed(choice.name, before - left);
  }

  /** Gets the recipes that are wrong or damaged here, and what else their blobs lack. */
  async #fetchBlobs(blobs: readonly Digest[], choice: ChosenRemote): Promise<void> {
    if (blobs.length === 0) return;
    const source = new FetchSource(this.#workspace, choice, this.#options);
    await source.serve(
      blobs.map((sha256) => ({ sha256, size: 0 })),
      new Map(),
    );
    if (source.failure !== undefined) this.#log.failed(choice.name, source.failure.message);
    const had = blobs.filter((blob) => this.#workspace.store.has(blob)).length;
    if (had > 0) this.#log.healed(choice.name, source.chunks);
  }

  /** Stores files of the workspace again whose bytes are those of a blob that is lacking. */
  async fromFiles(wanted: Wanted): Promise<void> {
    const lacking = new Set(this.#lacked(wanted.blobs));
    // A blob of one chunk has its name.
    for (const id of this.#lackedChunks(wanted)) lacking.add(digestFromRaw(id));
    const { store } = this.#workspace;
    const writer = new BlobWriter(store, {
      signal: this.#options.signal,
      threads: this.#options.jobs,
      compress: this.#workspace.config.string('store.compression') === 'auto',
    });
    const taken: string[] = [];
    try {
      for (const { file, shown, sha256, size } of this.#files()) {
        if (!lacking.has(sha256) || !(await this.#isBlob(file, sha256, size))) continue;
        lacking.delete(sha256);
        const tensors = externalData(() => filesBeside(file));
        const hardCuts = (bytes: number): number[] => tensors.cutsOf(path.basename(file), bytes);
        await writer.addFiles([{ file, hardCuts }], () => {});
        taken.push(shown);
      }
      await writer.finish();
    } finally {
      writer.close();
    }
    for (const shown of taken) this.#log.healed(printable(shown), 0);
  }

  *#files(): Generator<WorkspaceFile, void, undefined> {
    for (const item of trackedInWorkspace(this.#workspace).tracked) {
      const { base, entries } = filesOf(this.#workspace.store, item);
      for (const entry of entries) {
        if (!isFileEntry(entry)) continue;
        const shown = path.posix.join(base, entry.path);
        const { sha256, size } = entry;
        yield { file: this.#workspace.absolute(shown), shown, sha256, size };
      }
    }
  }

  async #isBlob(file: string, sha256: Digest, size: number): Promise<boolean> {
    const stat = fs.lstatSync(file, { throwIfNoEntry: false });
    if (!stat?.isFile() || stat.size !== size) return false;
    const hash = createHash('sha256');
    const block = Buffer.allocUnsafe(Math.max(1, Math.min(size, 4 * 1024 * 1024)));
    const breather = new Breather(this.#options.signal);
    const fd = fs.openSync(file, fs.constants.O_RDONLY | (fs.constants.O_NONBLOCK ?? 0));
    try {
      for (;;) {
        const count = readFully(fd, block);
        hash.update(block.subarray(0, count));
        if (count < block.length) return hash.digest('hex') === sha256;
        if (breather.due()) await breather.turn();
      }
    } finally {
      fs.closeSync(fd);
    }
  }
}

interface WorkspaceFile {
  readonly file: string;
  /** Path from the top of the workspace. */
  readonly shown: string;
  readonly sha256: Digest;
  readonly size: number;
}

function filesOf(store: Store, item: Tracked): TrackedFiles {
  try {
    return trackedFiles(store, item);
  } catch (error) {
    // The list of a large directory may be what is damaged.
    if (isLocalDamage(error)) return { base: '', entries: [] };
    throw error;
  }
}
