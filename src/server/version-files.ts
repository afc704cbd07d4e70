import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Clock } from '../base/clock.ts';
import type { Digest } from '../base/digest.ts';
import { compareUtf8 } from '../base/json.ts';
import { type FileEntry, isFileEntry } from '../base/tree.ts';
import { FarBlobs } from '../flow/far-blobs.ts';
import type { ChosenRemote } from '../flow/remotes.ts';
import { contentOf } from '../flow/version-content.ts';
import type { Workspace } from '../flow/workspace.ts';
import type { FoundVersion } from '../registry/find.ts';
import { matches, rangeOf, sendBlocks } from './answers.ts';
import { RequestError } from './request-error.ts';

/** Bytes of files that are read ahead of clients, of all together; each has its least at any rate. */
const aheadBytes = { all: 256 * 1024 * 1024, least: 1024 * 1024, most: 16 * 1024 * 1024 } as const;
/** A client that waits for longer gives up: no more is read ahead than comes in this time. */
const aheadMs = 4_000;
/** Files that are sent at once. */
const sendsMax = 256;
/** Files of the lists that are kept, of all together. */
const keptFilesMax = 500_000;

/** The files of a version, sorted by the bytes of their paths in it. */
export type FileList = readonly FileEntry[];

/** What files of versions are read from. */
export interface FileParts {
  readonly workspace: Workspace;
  readonly chosen: ChosenRemote;
  readonly clock: Clock;
}

/** Gives out files of versions, so many at once as the memory of the server has room for. */
export class VersionFiles {
  readonly #parts: FileParts;
  #sends = 0;
  /** Lists that were read last, by the digests of their records: what a version holds never changes. */
  readonly #lists = new Map<Digest, FileList>();
  #keptFiles = 0;
  readonly #reading = new Map<Digest, Promise<FileList>>();

  constructor(parts: FileParts) {
    this.#parts = parts;
  }

  /** Lists the files of a version. */
  async list(found: FoundVersion): Promise<FileList> {
    const { sha256 } = found.record;
    const kept = this.#lists.get(sha256);
    if (kept !== undefined) {
      this.#lists.delete(sha256);
      this.#lists.set(sha256, kept);
      return kept;
    }
    const reading = this.#reading.get(sha256) ?? this.#read(found);
    this.#reading.set(sha256, reading);
    try {
      return await reading;
    } finally {
      this.#reading.delete(sha256);
    }
  }

  async #read({ record }: FoundVersion): Promise<FileList> {
    const far = this.#open(() => aheadBytes.least);
    try {
      const item = contentOf(this.#parts.workspace.store, record.value, {});
      const files = (await far.filesOf(item)).entries.filter(isFileEntry);
      this.#keep(record.sha256, files);
      return files;
    } finally {
      far.close();
    }
  }

  #keep(record: Digest, files: FileList): void {
    if (files.length > keptFilesMax) return;
    this.#lists.set(record, files);
    this.#keptFiles += files.length;
    for (const [oldest, { length }] of this.#lists) {
      if (this.#keptFiles <= keptFilesMax) break;
      this.#lists.delete(oldest);
      this.#keptFiles -= length;
    }
  }

  /** Finds a file of a version by its path. */
  async find(found: FoundVersion, path: string): Promise<FileEntry | undefined> {
    const files = await this.list(found);
    const file = files[placeOf(files, path)];
    return file?.path === path ? file : undefined;
  }

  /**
   * Sends a file, or a range of it. Its digest is its ETag. Every byte is verified before it goes out: a connection
   * that is closed early says that the rest was damaged.
   */
  async send({ path, size, sha256 }: FileEntry, { request, reply, isFixed }: Sending) {
    const etag = `"${sha256}"`;
    reply.headers({
      etag,
      'accept-ranges': 'bytes',
      'content-type': 'application/octet-stream',
      // What a version is never changes; what an environment names does.
      'cache-control': isFixed ? 'private, max-age=31536000, immutable' : 'private, no-cache',
    });
    if (matches(request.headers['if-none-match'], etag)) return void (await reply.code(304).send());
    // A range of what has changed since would be a part of something else.
    const ifRange = request.headers['if-range'];
    const isSame = ifRange === undefined || ifRange === etag;
    const range = isSame ? rangeOf(request.headers.range, size) : undefined;
    const { start, end } = range ?? { start: 0, end: size };
    const headers = {
      'content-length': end - start,
      ...(range === undefined ? {} : { 'content-range': `bytes ${start}-${end - 1}/${size}` }),
    };
    const status = range === undefined ? 200 : 206;
    if (request.method === 'HEAD') return void (await reply.code(status).headers(headers).send());
    if (this.#sends >= sendsMax) throw tooManySends();
    this.#sends++;
    const far = this.#open(this.#aheadOf(request));
    try {
      const blob = await far.open(sha256, size, path);
      await sendBlocks(reply, blob.blocks(start, end), { status, headers });
    } finally {
      this.#sends--;
      far.close();
    }
  }

  /** How far to read ahead of a client: its share of the memory, and not more than it waits for. */
  #aheadOf(request: FastifyRequest): () => number {
    const { clock } = this.#parts;
    const began = clock.monotonic();
    return () => {
      const share = Math.min(aheadBytes.most, aheadBytes.all / this.#sends);
      const perMs = request.sentBytes / Math.max(1, clock.monotonic() - began);
      return Math.max(aheadBytes.least, Math.min(share, perMs * aheadMs));
    };
  }

  #open(ahead: () => number): FarBlobs {
    const { workspace, chosen } = this.#parts;
    return new FarBlobs(workspace, { remotes: async () => [chosen], aheadBytes: ahead });
  }
}

/** A request that a file is the answer to. */
export interface Sending {
  readonly request: FastifyRequest;
  readonly reply: FastifyReply;
  /** Whether its address names these bytes for ever. */
  readonly isFixed: boolean;
}

/** The place of the first file whose path does not come before a text. */
export function placeOf(files: FileList, text: string): number {
  let [low, high] = [0, files.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (compareUtf8((files[middle] as FileEntry).path, text) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

function tooManySends(): RequestError {
  return new RequestError(503, 'remote-unreachable', `${sendsMax} files are being sent already`, {
    hint: 'Try again in a moment',
    details: { retryAfterMs: 1000 },
  });
}
