import * as path from 'node:path';
import { type Digest, digestToRaw } from '../../base/digest.ts';
import { MstoreError } from '../../base/errors.ts';
import { ensureCacheFolder, removeFile } from '../../base/files.ts';
import { LongLock } from '../../base/long-lock.ts';
import { formatChunkParams } from '../../chunk/chunker.ts';
import type { ChunkIndex } from '../../index/chunk-index.ts';
import { bytesSource } from '../../remote/remote.ts';
import { type BlobPlace, BlobWriter } from '../../store/blob-writer.ts';
import { checkPackPresent, sendPack } from '../../store/pack-transfer.ts';
import { emptyBlob } from '../../store/recipe.ts';
import { RemoteStore, type TransferOptions } from '../../store/remote-store.ts';
import type { ChosenRemote } from '../remotes.ts';
import { SweepWatch } from '../sweep-watch.ts';
import type { Workspace } from '../workspace.ts';
import { LfsRoots } from './lfs-roots.ts';

/** Times that it is looked again because a clean-up ran meanwhile. */
const triesMax = 8;
/** Objects of which each may take long are sent one after the other: this long one waits for the others. */
const turnMsMax = 24 * 60 * 60 * 1000;

/** An object to be sent. */
export interface LfsObject {
  readonly oid: Digest;
  readonly size: number;
  /** Absolute path of a file with its bytes. */
  readonly path: string;
}

/** How objects are sent. */
export interface LfsUploadOptions extends TransferOptions {
  /** Whether other processes on this machine may send objects of the same repository. */
  readonly isShared: boolean;
}

/**
 * Sends objects of Git LFS to a remote: what of their chunks it lacks, in packs, then how they are put together, then the
 * record that keeps them. On the disk is one pack at a time, beside the object where it lies.
 */
export class LfsUploader {
  readonly #workspace: Workspace;
  readonly #choice: ChosenRemote;
  readonly #options: LfsUploadOptions;
  readonly #roots: LfsRoots;
  readonly #watch: SweepWatch;
  #there: RemoteStore | undefined;

  private constructor(
    parts: { readonly workspace: Workspace; readonly choice: ChosenRemote },
    options: LfsUploadOptions,
    watch: SweepWatch,
    there: RemoteStore,
  ) {
    this.#workspace = parts.workspace;
    this.#choice = parts.choice;
    this.#options = options;
    this.#watch = watch;
    this.#there = there;
    this.#roots = new LfsRoots(parts.workspace, parts.choice.remote, options);
  }

  /**
   * Opens a remote to send objects to.
   * @throws MstoreError `not-a-remote`, `remote-unreachable`, `remote-refused`
   */
  static async open(
    workspace: Workspace,
    choice: ChosenRemote,
    options: LfsUploadOptions,
  ): Promise<LfsUploader> {
    const { remote } = choice;
    const { surroundings, store } = workspace;
    const there = await RemoteStore.open(remote, store);
    const watch = await SweepWatch.begin(remote, surroundings, options);
    return new LfsUploader({ workspace, choice }, options, watch, there);
  }

  /**
   * Sends an object; when this returns, it is on the remote and kept there, whoever sent it.
   * @param onBytes called with the bytes read since the last call
   * @throws MstoreError `corrupt-source` when the file does not hold the object
   */
  async upload(object: LfsObject, onBytes: (bytes: number) => void): Promise<void> {
    const turn = await this.#turn(object);
    try {
      for (let tries = 1; ; tries++) {
        await this.#uploadOnce(object, onBytes);
        if (!(await this.#watch.mayHaveLost())) return;
        if (tries === triesMax) throw neverQuiet(this.#choice);
        this.#there = undefined;
        this.#roots.forget();
      }
    } catch (error) {
      // What is known of the remote may be what led there.
      this.#there = undefined;
      throw error;
    } finally {
      turn?.release();
    }
  }

  /**
   * Objects of several chunks go one after the other, so that each is compared with all that went before: versions of one
   * file are pushed together, and would each be sent whole.
   */
  async #turn({ size }: LfsObject): Promise<LongLock | undefined> {
    if (!this.#options.isShared || size <= formatChunkParams.min) return undefined;
    const { cacheFolder, surroundings } = this.#workspace;
    ensureCacheFolder(cacheFolder);
    const turn = await LongLock.take(path.join(cacheFolder, 'lfs-upload.lock'), {
      waitMsMax: turnMsMax,
      clock: surroundings.clock,
      signal: this.#options.signal,
      of: 'the turn to send objects of Git LFS',
    });
    this.#there = undefined;
    return turn;
  }

  async #uploadOnce(object: LfsObject, onBytes: (bytes: number) => void): Promise<void> {
    const { remote } = this.#choice;
    this.#there ??= await RemoteStore.open(remote, this.#workspace.store);
    const there = this.#there;
    const index = await there.index(this.#options);
    if (!(await this.#isThere(there, index, object))) {
      await this.#send({ there, index }, object, onBytes);
    }
    await remote.settle?.(this.#options);
    await this.#roots.keep(object.oid, object.size);
  }

  /** Tells whether the remote has all of an object. */
  async #isThere(
    there: RemoteStore,
    index: ChunkIndex,
    { oid, size }: LfsObject,
  ): Promise<boolean> {
    if (oid === emptyBlob) return true;
    if (index.has(digestToRaw(oid))) return true;
    const recipe = await there.recipe(oid, this.#options);
    if (recipe === undefined || recipe.size !== size) return false;
    for (let row = 0; row < recipe.count; row++) {
      if (!index.has(recipe.rows, recipe.idOffset(row))) return false;
    }
    return true;
  }

  async #send(
    remote: { readonly there: RemoteStore; readonly index: ChunkIndex },
    object: LfsObject,
    onBytes: (bytes: number) => void,
  ): Promise<void> {
    const { store, config } = this.#workspace;
    const writer = new BlobWriter(store, {
      signal: this.#options.signal,
      compress: config.string('store.compression') === 'auto',
      bytesExpected: object.size,
      onBytes,
      place: this.#placeAt(remote),
    });
    try {
      const { sha256, size } = await writer.addFile(object.path);
      if (sha256 !== object.oid || size !== object.size) throw damagedHere(object, sha256, size);
      await writer.finish();
    } finally {
      writer.close();
    }
  }

  #placeAt({ there, index }: { there: RemoteStore; index: ChunkIndex }): BlobPlace {
    const { remote } = this.#choice;
    const options = this.#options;
    return {
      find: (id) => index.find(id),
      async publishPack(file, footer) {
        try {
          const state = await sendPack(remote, file, footer, options);
          if (state === 'exists') await checkPackPresent(remote, footer, options);
        } finally {
          removeFile(file);
        }
        there.addPack(footer);
      },
      async publishRecipes(recipes) {
        for (const { key, bytes } of recipes) {
          await remote.create(key, bytesSource(bytes), options);
        }
      },
    };
  }
}

function damagedHere(
  { oid, size, path: file }: LfsObject,
  sha256: Digest,
  found: number,
): MstoreError {
  const what =
    found === size
      ? `its bytes have the digest ${sha256}`
      : `it has ${found} bytes instead of ${size}`;
  return new MstoreError(
    'corrupt-source',
    `The object ${oid} of Git LFS is damaged here: ${what}`,
    {
      hint: 'Run "git lfs fsck"; get the file from where it is whole, and add it again',
      details: { path: file, sha256: oid },
    },
  );
}

function neverQuiet({ remote: { location } }: ChosenRemote): MstoreError {
  return new MstoreError('locked', `Clean-ups of ${location} kept overtaking this upload`, {
    hint: 'Look who runs "mstore gc --remote" in a loop, then push again',
    details: { location },
  });
}
