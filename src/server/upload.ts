import { createHash, type Hash } from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';
import type { Clock, Random } from '../base/clock.ts';
import { fromSystemError, isMstoreError, MstoreError } from '../base/errors.ts';
import { readBounded, writeAtomically } from '../base/files.ts';
import { isJsonObject, parseJsonBytes } from '../base/json.ts';
import type { RemoteSource } from '../remote/remote.ts';
import { digestMismatch, RequestError } from './request-error.ts';

const factsBytesMax = 16 * 1024;
const readBytes = 1024 * 1024;

/** What an upload is to become. */
export interface UploadFacts {
  readonly key: string;
  /** Bytes. */
  readonly size: number;
  /** Whether the key stands for these bytes and no others. */
  readonly contentKey: boolean;
  /** Drawn by the client, the same for every try of one write. */
  readonly number: string;
  /** Who sends it. */
  readonly by: string;
}

/** What is told of an upload. */
export interface UploadState {
  readonly id: string;
  readonly state: 'receiving' | 'storing' | 'created' | 'exists';
  /** Bytes that are here, from the first on. */
  readonly offset: number;
  /** SHA-256 of these, in base64. */
  readonly digest: string;
}

/** Has a whole object appear under its key. */
export type StoreObject = (
  facts: UploadFacts,
  source: RemoteSource,
  file: string,
) => Promise<'created' | 'exists'>;

/** Options of `Uploads`. */
export interface UploadsOptions {
  /** Absolute folder; it belongs to one server alone. */
  readonly folder: string;
  /** Bytes of all uploads that are under way at most. */
  readonly bytesMax: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly store: StoreObject;
}

/** A large object on its way in; see `Uploads`. */
export class Upload {
  facts: UploadFacts;
  /** When it was used last, in milliseconds since 1970. */
  used: number;
  readonly #folder: string;
  readonly #options: UploadsOptions;
  #offset: number;
  #hash: Hash;
  #isReceiving = false;
  #storing: Promise<void> | undefined;
  #outcome: 'created' | 'exists' | undefined;
  #failure: unknown;
  /** What the last try to store it failed with, where another one may do better. */
  #lastFailure: unknown;

  private constructor(
    folder: string,
    facts: UploadFacts,
    options: UploadsOptions,
    { offset, hash, used }: { offset: number; hash: Hash; used: number },
  ) {
    this.#folder = folder;
    this.facts = facts;
    this.#options = options;
    this.#offset = offset;
    this.#hash = hash;
    this.used = used;
  }

  /** Makes a new one. */
  static made(folder: string, facts: UploadFacts, options: UploadsOptions): Upload {
    try {
      fs.mkdirSync(folder);
      writeAtomically(path.join(folder, 'facts.json'), JSON.stringify(facts));
      fs.writeFileSync(path.join(folder, 'data'), '');
    } catch (error) {
      throw fromSystemError(error, 'beginning an upload');
    }
    const used = options.clock.now();
    return new Upload(folder, facts, options, { offset: 0, hash: createHash('sha256'), used });
  }

  /** Takes up one of an earlier server; undefined for one that is not whole. */
  static left(folder: string, options: UploadsOptions): Upload | undefined {
    const data = path.join(folder, 'data');
    const stat = fs.lstatSync(data, { throwIfNoEntry: false });
    const facts = readFacts(path.join(folder, 'facts.json'));
    if (!stat?.isFile() || facts === undefined || stat.size > facts.size) return undefined;
    const hash = createHash('sha256');
    const fd = fs.openSync(data, 'r');
    let offset = 0;
    try {
      const block = Buffer.alloc(readBytes);
      for (;;) {
        const read = fs.readSync(fd, block);
        if (read === 0) break;
        hash.update(block.subarray(0, read));
        offset += read;
      }
    } finally {
      fs.closeSync(fd);
    }
    return new Upload(folder, facts, options, { offset, hash, used: stat.mtimeMs });
  }

  get state(): UploadState {
    if (this.#failure !== undefined) throw this.#failure;
    const state = this.#outcome ?? (this.#storing === undefined ? 'receiving' : 'storing');
    const digest = this.#hash.copy().digest('base64');
    return { id: path.basename(this.#folder), state, offset: this.#offset, digest };
  }

  /** Whether somebody is sending to it, or it is being stored. */
  get isBusy(): boolean {
    return this.#isReceiving || (this.#storing !== undefined && !this.isOver);
  }

  /** Whether it has ended, well or not. */
  get isOver(): boolean {
    return this.#outcome !== undefined || this.#failure !== undefined;
  }

  /** Tells whether a write goes on here. */
  isFor({ key, size, contentKey, number, by }: UploadFacts): boolean {
    const { facts } = this;
    if (facts.key !== key || facts.size !== size || facts.by !== by) return false;
    if (facts.number === number) return this.#failure === undefined;
    return contentKey && facts.contentKey && !this.isBusy && !this.isOver;
  }

  /** Goes on with it for a write. */
  takeOver(facts: UploadFacts): UploadState {
    this.facts = facts;
    this.used = this.#options.clock.now();
    return this.state;
  }

  /**
   * Takes a part. One that is cut off, or has another digest, leaves nothing.
   * @param digest SHA-256 of the part, in base64
   * @throws RequestError 409 for a part that does not come next, 422 for another digest
   */
  async append(
    offset: number,
    body: AsyncIterable<Uint8Array>,
    digest: string,
  ): Promise<UploadState> {
    const { state } = this;
    if (state.state !== 'receiving' || this.#isReceiving || offset !== this.#offset) {
      throw new RequestError(409, 'lost-race', `The upload is at byte ${this.#offset}`);
    }
    this.#isReceiving = true;
    const whole = this.#hash.copy();
    const part = createHash('sha256');
    const file = await fs.promises.open(path.join(this.#folder, 'data'), 'r+');
    let at = offset;
    let isWhole = false;
    try {
      for await (const block of body) {
        if (at + block.length > this.facts.size) {
          throw new RequestError(400, 'bad-input', 'The part goes beyond the end of the object');
        }
        whole.update(block);
        part.update(block);
        for (let done = 0; done < block.length; ) {
          const { bytesWritten } = await file.write(block, done, block.length - done, at + done);
          done += bytesWritten;
        }
        at += block.length;
      }
      if (part.digest('base64') !== digest) throw digestMismatch();
      isWhole = true;
    } catch (error) {
      throw fromSystemError(error, 'receiving a part of an upload');
    } finally {
      if (!isWhole) await file.truncate(offset).catch(() => {});
      await file.close();
      this.#isReceiving = false;
      this.used = this.#options.clock.now();
    }
    this.#offset = at;
    this.#hash = whole;
    return this.state;
  }

  /**
   * Has the object appear, which may go on behind the answer.
   * @param digest SHA-256 of all of it, in base64
   * @throws RequestError 409 while bytes are lacking, 422 for another digest
   */
  finish(digest: string): UploadState {
    const { state } = this;
    if (state.state !== 'receiving') return state;
    if (this.#isReceiving || this.#offset !== this.facts.size) {
      throw new RequestError(409, 'lost-race', `The upload is at byte ${this.#offset}`);
    }
    if (state.digest !== digest) {
      this.#failure = digestMismatch();
      throw this.#failure;
    }
    this.#lastFailure = undefined;
    this.#storing = this.#store().then(
      (outcome) => {
        this.#outcome = outcome;
      },
      (error: unknown) => {
        // What another try may mend can be finished again.
        if (isMstoreError(error, 'remote-unreachable', 'interrupted')) this.#storing = undefined;
        else this.#failure = error;
        this.#lastFailure = error;
      },
    );
    return this.state;
  }

  /**
   * Waits until it is stored, for a while.
   * @throws what storing it failed with
   */
  async wait(ms: number): Promise<UploadState> {
    const storing = this.#storing;
    if (storing !== undefined && !this.isOver) {
      let timer: NodeJS.Timeout | undefined;
      const late = new Promise<void>((resolve) => {
        timer = setTimeout(resolve, ms);
      });
      await Promise.race([storing, late]);
      clearTimeout(timer);
    }
    // It can be finished again, but whoever waits for the last try is to know how that ended.
    if (this.#storing === undefined && this.#lastFailure !== undefined) throw this.#lastFailure;
    return this.state;
  }

  /** Waits for the end of what is being stored. */
  async settled(): Promise<void> {
    await this.#storing;
  }

  async #store(): Promise<'created' | 'exists'> {
    const file = path.join(this.#folder, 'data');
    const source: RemoteSource = {
      size: this.facts.size,
      open: () => fs.createReadStream(file, { highWaterMark: readBytes }),
    };
    const outcome = await this.#options.store(this.facts, source, file);
    this.used = this.#options.clock.now();
    // The outcome can be asked for still; its bytes are not needed any more.
    fs.rmSync(this.#folder, { recursive: true, force: true });
    return outcome;
  }
}

function readFacts(file: string): UploadFacts | undefined {
  try {
    const bytes = readBounded(file, factsBytesMax);
    const value = bytes === undefined ? undefined : parseJsonBytes(bytes);
    if (!isJsonObject(value)) return undefined;
    const { key, size, contentKey, number, by } = value;
    const texts = [key, number, by].every((text) => typeof text === 'string');
    if (!texts || typeof contentKey !== 'boolean' || !Number.isSafeInteger(size)) return undefined;
    return value as unknown as UploadFacts;
  } catch (error) {
    if (error instanceof MstoreError || error instanceof SyntaxError) return undefined;
    throw error;
  }
}
