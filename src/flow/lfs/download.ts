import { createHash } from 'node:crypto';
import type { Digest } from '../../base/digest.ts';
import { fromSystemError, isMstoreError, MstoreError } from '../../base/errors.ts';
import { removeFile, writeOn } from '../../base/files.ts';
import { printable } from '../../base/names.ts';
import { FarBlobs } from '../far-blobs.ts';
import type { RemoteChoice } from '../several-remotes.ts';
import type { Workspace } from '../workspace.ts';
import type { LfsStorage } from './storage.ts';

/** Chunks that all processes together read ahead, and one of them at most and at least. */
const aheadBytesAll = 64 * 1024 * 1024;
const aheadBytesMax = 16 * 1024 * 1024;
const aheadBytesMin = 4 * 1024 * 1024;

/** How objects are received. */
export interface LfsDownloadOptions {
  readonly signal?: AbortSignal | undefined;
  /** Requests at once. */
  readonly jobs: number;
  /** How many processes do this side by side. */
  readonly processes: number;
}

/** Receives objects of Git LFS from remotes, each verified, into files that Git LFS moves to their places. */
export class LfsDownloader {
  readonly #workspace: Workspace;
  readonly #choices: readonly RemoteChoice[];
  readonly #storage: LfsStorage;
  readonly #options: LfsDownloadOptions;
  #far: FarBlobs | undefined;

  /** @param choices in the order in which they are asked */
  constructor(
    parts: { readonly workspace: Workspace; readonly choices: readonly RemoteChoice[] },
    storage: LfsStorage,
    options: LfsDownloadOptions,
  ) {
    this.#workspace = parts.workspace;
    this.#choices = parts.choices;
    this.#storage = storage;
    this.#options = options;
  }

  /**
   * Receives an object; nothing is left of one that did not come whole.
   * @returns the absolute path of a flushed file
   * @throws MstoreError `objects-missing`, `corrupt-remote`, or the failure of the first remote that failed
   */
  async download(oid: Digest, size: number, onBytes: (bytes: number) => void): Promise<string> {
    const isKnown = this.#far !== undefined;
    try {
      return await this.#receive(oid, size, onBytes);
    } catch (error) {
      this.close();
      // What was pushed after the remotes were looked at is found by another look.
      if (isKnown && isMstoreError(error, 'objects-missing'))
        return this.#again(oid, size, onBytes);
      throw error;
    }
  }

  async #again(oid: Digest, size: number, onBytes: (bytes: number) => void): Promise<string> {
    try {
      return await this.#receive(oid, size, onBytes);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  async #receive(oid: Digest, size: number, onBytes: (bytes: number) => void): Promise<string> {
    const { processes, signal, jobs } = this.#options;
    const share = Math.floor(aheadBytesAll / processes);
    this.#far ??= new FarBlobs(this.#workspace, {
      signal,
      jobs,
      remotes: async () => this.#choices,
      aheadBytes: () => Math.min(aheadBytesMax, Math.max(aheadBytesMin, share)),
    });
    const blob = await this.#far.open(oid, size, `the object ${oid} of Git LFS`);
    if (blob.size !== size) throw otherSize(oid, size, blob.size);
    const { file, handle } = await this.#storage.createTemp(oid);
    let isWhole = false;
    try {
      const hash = createHash('sha256');
      for await (const block of blob.blocks(0, size)) {
        hash.update(block);
        await writeOn(handle, block);
        onBytes(block.length);
      }
      if (hash.digest('hex') !== oid) throw otherBytes(oid);
      await handle.datasync();
      isWhole = true;
      return file;
    } catch (error) {
      throw fromSystemError(error, `writing ${printable(file)}`);
    } finally {
      await handle.close();
      if (!isWhole) removeFile(file);
    }
  }

  /** Forgets what is known of the remotes. */
  close(): void {
    this.#far?.close();
    this.#far = undefined;
  }
}

function otherSize(oid: Digest, size: number, found: number): MstoreError {
  return new MstoreError(
    'corrupt-pointer',
    `A pointer of Git LFS says that ${oid} has ${size} bytes, and it has ${found}`,
    { hint: 'Restore the pointer that was changed by mistake from Git', details: { sha256: oid } },
  );
}

function otherBytes(oid: Digest): MstoreError {
  return new MstoreError('corrupt-remote', `What was received for ${oid} has another digest`, {
    hint: 'Run "mstore verify --remote --repair" on a host that has the object',
    details: { sha256: oid },
  });
}
