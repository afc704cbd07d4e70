import * as fs from 'node:fs';
import * as path from 'node:path';
import { fromSystemError } from '../base/errors.ts';
import { ensureFolder } from '../base/files.ts';
import { RequestError } from './request-error.ts';
import { Upload, type UploadFacts, type UploadState, type UploadsOptions } from './upload.ts';

/** Uploads that nobody has sent anything to for so long are forgotten. */
const idleMsMax = 24 * 60 * 60 * 1000;
/** How long the outcome of an upload can be asked for. */
const outcomeMsMax = 60 * 60 * 1000;
const uploadsMax = 1000;

/**
 * Large objects on their way in: each is gathered in a file, part by part, each part verified by its digest, so that a
 * connection that breaks costs one part at most, and a server that ends none. Nothing of one is visible before it is
 * whole.
 */
export class Uploads {
  readonly #options: UploadsOptions;
  readonly #uploads = new Map<string, Upload>();

  /** Takes up what an earlier server left. */
  constructor(options: UploadsOptions) {
    this.#options = options;
    try {
      ensureFolder(options.folder);
      for (const id of fs.readdirSync(options.folder)) {
        const upload = Upload.left(path.join(options.folder, id), options);
        if (upload === undefined) this.#remove(id);
        else this.#uploads.set(id, upload);
      }
    } catch (error) {
      throw fromSystemError(error, `opening the uploads in ${options.folder}`);
    }
  }

  /** Bytes that all uploads take, or will. */
  get bytes(): number {
    let sum = 0;
    for (const { facts, isOver } of this.#uploads.values()) sum += isOver ? 0 : facts.size;
    return sum;
  }

  /** Number of uploads that are not over. */
  get count(): number {
    return [...this.#uploads.values()].filter(({ isOver }) => !isOver).length;
  }

  /**
   * Begins an upload, or goes on with one: that of the same write, or one of the same content that nobody is
   * sending.
   * @throws RequestError 507 without room
   */
  begin(facts: UploadFacts): UploadState {
    this.clear();
    const known = [...this.#uploads.values()].find((upload) => upload.isFor(facts));
    if (known !== undefined) return known.takeOver(facts);
    const { bytesMax, folder, random } = this.#options;
    if (this.#uploads.size >= uploadsMax || this.bytes + facts.size > bytesMax) {
      throw new RequestError(507, 'remote-full', 'The server has no room for another upload', {
        hint: 'Run the same command again later; what has arrived is not sent twice',
      });
    }
    const id = random.hex(16);
    const upload = Upload.made(path.join(folder, id), facts, this.#options);
    this.#uploads.set(id, upload);
    return upload.state;
  }

  /** The upload of a write that was begun before, with its outcome if it has one. */
  known(by: string, number: string): UploadState | undefined {
    const uploads = [...this.#uploads.values()];
    return uploads.find(({ facts }) => facts.by === by && facts.number === number)?.state;
  }

  /** @throws RequestError 410 for one that is not known any more */
  find(id: string, by: string): Upload {
    const upload = this.#uploads.get(id);
    if (upload !== undefined && upload.facts.by === by) return upload;
    throw new RequestError(410, 'not-found', 'There is no such upload, or not any more', {
      hint: 'Run the same command again',
    });
  }

  /** Gives an upload up. */
  end(id: string, by: string): void {
    const upload = this.#uploads.get(id);
    if (upload === undefined || upload.facts.by !== by || upload.isBusy) return;
    this.#uploads.delete(id);
    this.#remove(id);
  }

  /** Forgets what is old. */
  clear(): void {
    const now = this.#options.clock.now();
    for (const [id, upload] of this.#uploads) {
      const idleMs = now - upload.used;
      if (upload.isBusy || idleMs < (upload.isOver ? outcomeMsMax : idleMsMax)) continue;
      this.#uploads.delete(id);
      this.#remove(id);
    }
  }

  /** Waits for what is being stored, and closes all files. What has arrived stays for the next server. */
  async close(): Promise<void> {
    await Promise.all([...this.#uploads.values()].map((upload) => upload.settled()));
  }

  #remove(id: string): void {
    fs.rmSync(path.join(this.#options.folder, id), { recursive: true, force: true });
  }
}
