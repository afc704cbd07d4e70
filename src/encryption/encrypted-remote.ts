import { throwIfAborted } from '../base/abort.ts';
import type { Random } from '../base/clock.ts';
import { isMstoreError, MstoreError } from '../base/errors.ts';
import { checkKey, checkPrefix, checkRange, noObject } from '../remote/keys.ts';
import type {
  ByteRange,
  RemoteCallOptions,
  RemoteCreateOptions,
  RemoteObject,
  RemoteProbe,
  RemotePruner,
  RemoteReadOptions,
  RemoteSource,
  RemoteUploads,
} from '../remote/remote.ts';
import { bytesSource } from '../remote/remote.ts';
import type { MasterKey } from './keys.ts';
import { EncryptedNames } from './names.ts';
import {
  headBytes,
  type ObjectHead,
  openedSize,
  parseHead,
  SegmentCipher,
  sealedSegmentBytes,
  sealedSize,
  segmentBytes,
  segmentsOf,
} from './object-format.ts';
import { openSegments, sealedSource } from './objects.ts';

/** Heads that are remembered, so that a range of an object is one request and not two. */
const headsMax = 10_000;

/** What an encrypted remote is made of. */
export interface EncryptedOptions {
  readonly master: MasterKey;
  /** The folder that holds the objects, with its final slash; empty for the top. */
  readonly folder?: string;
  readonly random: Random;
}

/**
 * Encrypts what goes to a remote, and decrypts what comes from it: names, and bytes. All else is as the remote has it.
 * Objects that were not encrypted by this key, under names of it, are passed over. Sizes are those of the clear bytes.
 *
 * A range of an object is read from whole segments of 64 KiB; its head is asked for before the first one. Listings are put
 * in order in memory: some 300 bytes for each object that they name.
 */
export function encryptedRemote(remote: RemotePruner, options: EncryptedOptions): RemotePruner {
  const sealed = new EncryptedRemote(remote, options);
  const { probe, uploads } = remote;
  return {
    location: remote.location,
    probe: probe && sealed.probe(probe),
    uploads: uploads && sealed.uploads(uploads),
    ...(remote.settle === undefined ? {} : { settle: (how) => remote.settle?.(how) ?? done }),
    get: (key, range, how) => sealed.get(key, range, how),
    stat: (key, how) => sealed.stat(key, how),
    list: (prefix, how) => sealed.list(prefix, how),
    create: (key, source, how) => sealed.create(key, source, how),
    delete: (key, how) => sealed.delete(key, how),
  };
}

const done = Promise.resolve();

class EncryptedRemote {
  readonly #remote: RemotePruner;
  readonly #master: MasterKey;
  readonly #folder: string;
  readonly #random: Random;
  readonly #names: EncryptedNames;
  readonly #heads = new Map<string, ObjectHead>();

  constructor(remote: RemotePruner, { master, folder = '', random }: EncryptedOptions) {
    this.#remote = remote;
    this.#master = master;
    this.#folder = folder;
    this.#random = random;
    this.#names = new EncryptedNames(master);
  }

  async *get(
    key: string,
    range: ByteRange | undefined,
    options: RemoteReadOptions | undefined,
  ): AsyncGenerator<Uint8Array, void, void> {
    const name = this.#name(key);
    // The memory of a reader is for clear bytes: it may fill it with what it was handed before.
    const how = { signal: options?.signal, requestsMax: options?.requestsMax };
    try {
      if (range === undefined) yield* this.#readWhole(key, name, how);
      else yield* this.#readRange(key, name, range, how);
    } catch (error) {
      // The name that the remote has for it tells nobody anything.
      if (isMstoreError(error, 'not-found')) throw noObject(key, this.#remote.location);
      const isShort = isMstoreError(error, 'corrupt-remote') && error.details['key'] === name;
      throw isShort ? this.#damaged(key, 'it ends before it should', error) : error;
    }
  }

  async *#readWhole(
    key: string,
    name: string,
    options: RemoteCallOptions,
  ): AsyncGenerator<Uint8Array, void, void> {
    const blocks = this.#remote.get(name, undefined, options)[Symbol.asyncIterator]();
    try {
      const { head, rest } = await this.#takeHead(key, blocks);
      const cipher = new SegmentCipher(this.#master, key, head);
      const part = { from: 0, to: segmentsOf(head.size) };
      const damaged = (what: string) => this.#damaged(key, what);
      yield* openSegments(cipher, head, withFirst(rest, blocks), part, damaged);
    } finally {
      await blocks.return?.();
    }
  }

  async *#readRange(
    key: string,
    name: string,
    range: ByteRange,
    options: RemoteCallOptions,
  ): AsyncGenerator<Uint8Array, void, void> {
    // An empty range is of no segment: that there is an object its head tells.
    const known = range.start === range.end ? undefined : this.#heads.get(key);
    let at = range.start;
    try {
      const head = known ?? (await this.#readHead(key, name, options));
      const { end } = checkRange(key, range, head.size, this.#remote.location);
      for await (const block of this.#readSegments(key, name, head, { start: at, end }, options)) {
        at += block.length;
        yield block;
      }
    } catch (error) {
      if (known === undefined || !isMstoreError(error, 'corrupt-remote')) throw error;
      // An object that was deleted and made again has another head.
      this.#heads.delete(key);
      yield* this.#readRange(key, name, { start: at, end: range.end }, options);
    }
  }

  async *#readSegments(
    key: string,
    name: string,
    head: ObjectHead,
    { start, end }: ByteRange,
    options: RemoteCallOptions,
  ): AsyncGenerator<Uint8Array, void, void> {
    if (start === end) return;
    const part = { from: Math.floor(start / segmentBytes), to: Math.ceil(end / segmentBytes) };
    const sealedRange = {
      start: headBytes + part.from * sealedSegmentBytes,
      end: Math.min(headBytes + part.to * sealedSegmentBytes, sealedSize(head.size)),
    };
    const cipher = new SegmentCipher(this.#master, key, head);
    const blocks = this.#remote.get(name, sealedRange, options);
    const damaged = (what: string) => this.#damaged(key, what);
    let at = part.from * segmentBytes;
    for await (const segment of openSegments(cipher, head, blocks, part, damaged)) {
      const piece = segment.subarray(Math.max(0, start - at), Math.max(0, end - at));
      at += segment.length;
      yield piece;
    }
  }

  async #readHead(key: string, name: string, options: RemoteCallOptions): Promise<ObjectHead> {
    const range = { start: 0, end: headBytes };
    const blocks = this.#remote.get(name, range, options)[Symbol.asyncIterator]();
    try {
      const { head } = await this.#takeHead(key, blocks);
      if (this.#heads.size >= headsMax) this.#heads.clear();
      this.#heads.set(key, head);
      return head;
    } catch (error) {
      if (!isMstoreError(error, 'corrupt-remote')) throw error;
      throw this.#damaged(key, 'it has no head', error);
    } finally {
      await blocks.return?.();
    }
  }

  /** Takes the head from the beginning of an object. */
  async #takeHead(
    key: string,
    blocks: AsyncIterator<Uint8Array>,
  ): Promise<{ head: ObjectHead; rest: Uint8Array }> {
    const bytes = Buffer.alloc(headBytes);
    let filled = 0;
    let rest: Uint8Array = bytes.subarray(headBytes);
    while (filled < headBytes) {
      const step = await blocks.next();
      if (step.done === true) break;
      const piece = step.value.subarray(0, headBytes - filled);
      bytes.set(piece, filled);
      filled += piece.length;
      rest = step.value.subarray(piece.length);
    }
    const head = parseHead(bytes.subarray(0, filled));
    if (head === undefined) throw this.#damaged(key, 'it is no encrypted object of version 1');
    return { head, rest };
  }

  async stat(key: string, options: RemoteCallOptions | undefined): Promise<number | undefined> {
    const size = await this.#remote.stat(this.#name(key), options);
    return size === undefined ? undefined : openedSize(size);
  }

  async *list(
    prefix: string,
    options: RemoteCallOptions | undefined,
  ): AsyncGenerator<RemoteObject, void, void> {
    checkPrefix(prefix);
    throwIfAborted(options?.signal);
    const found: RemoteObject[] = [];
    const sealedPrefix = this.#folder + this.#names.sealPrefix(prefix);
    for await (const object of this.#remote.list(sealedPrefix, options)) {
      const key = this.#keyOf(object.key);
      if (key === undefined || !key.startsWith(prefix)) continue;
      found.push({ key, size: openedSize(object.size), time: object.time });
    }
    // Keys are ASCII, so the order of strings is the order of their bytes.
    found.sort((a, b) => (a.key < b.key ? -1 : 1));
    for (const object of found) {
      throwIfAborted(options?.signal);
      yield object;
    }
  }

  async create(
    key: string,
    source: RemoteSource,
    options: RemoteCreateOptions | undefined,
  ): Promise<'created' | 'exists'> {
    const name = this.#name(key);
    throwIfAborted(options?.signal);
    const place = { master: this.#master, key };
    const sealed = sealedSource(place, source, this.#random);
    // Encrypted bytes are others in each try, so that what an earlier one sent is of no use.
    return this.#remote.create(name, sealed, { ...options, contentKey: false });
  }

  async delete(key: string, options: RemoteCallOptions | undefined): Promise<void> {
    const name = this.#name(key);
    this.#heads.delete(key);
    await this.#remote.delete(name, options);
  }

  /** The same tries, of names and bytes that are encrypted. */
  probe(probe: RemoteProbe): RemoteProbe {
    const sealed = async (key: string, bytes: Uint8Array) => {
      const blocks: Uint8Array[] = [];
      const place = { master: this.#master, key };
      const source = sealedSource(place, bytesSource(bytes), this.#random);
      for await (const block of source.open()) blocks.push(Buffer.from(block));
      return Buffer.concat(blocks);
    };
    const { createIfAbsent, createInPartsIfAbsent } = probe;
    return {
      ...probe,
      ...(createIfAbsent && {
        createIfAbsent: async (key, bytes, options) =>
          probe.createIfAbsent?.(this.#name(key), await sealed(key, bytes), options) ?? 'exists',
      }),
      ...(createInPartsIfAbsent && {
        createInPartsIfAbsent: async (key, bytes, options) =>
          probe.createInPartsIfAbsent?.(this.#name(key), await sealed(key, bytes), options) ??
          'exists',
      }),
    };
  }

  /** Uploads of this key; those of others are passed over. */
  uploads(uploads: RemoteUploads): RemoteUploads {
    const keyOf = (name: string) => this.#keyOf(name);
    return {
      async *list(options) {
        for await (const upload of uploads.list(options)) {
          const key = keyOf(upload.key);
          if (key !== undefined) yield { ...upload, key };
        }
      },
      end: ({ key, id }, options) => uploads.end({ key: this.#name(key), id }, options),
    };
  }

  #name(key: string): string {
    checkKey(key);
    return this.#folder + this.#names.seal(key);
  }

  #keyOf(name: string): string | undefined {
    if (!name.startsWith(this.#folder)) return undefined;
    return this.#names.open(name.slice(this.#folder.length));
  }

  #damaged(key: string, what: string, cause?: unknown): MstoreError {
    return new MstoreError(
      'corrupt-remote',
      `${key} of the encrypted remote ${this.#remote.location} is damaged: ${what}`,
      {
        hint: `Delete the object ${this.#name(key)} there, then push again from a machine that has the data`,
        details: { key, object: this.#name(key) },
        cause,
      },
    );
  }
}

async function* withFirst(
  first: Uint8Array,
  blocks: AsyncIterator<Uint8Array>,
): AsyncGenerator<Uint8Array, void, void> {
  yield first;
  for (;;) {
    const step = await blocks.next();
    if (step.done === true) return;
    yield step.value;
  }
}
