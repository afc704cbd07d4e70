import type { Clock } from '../../base/clock.ts';
import { fromSystemError, isMstoreError, MstoreError } from '../../base/errors.ts';
import { printable } from '../../base/names.ts';
import {
  formatLfsReply,
  type LfsFailure,
  type LfsReply,
  type LfsRequest,
  parseLfsRequest,
  requestLines,
} from '../../lfs/protocol.ts';
import { chooseRemote, chosenJobs } from '../remotes.ts';
import { chooseFetchRemotes } from '../several-remotes.ts';
import type { Workspace } from '../workspace.ts';
import { LfsDownloader } from './download.ts';
import { lfsStorageOf } from './storage.ts';
import { LfsUploader } from './upload.ts';

/** Requests at once of all processes together, and of one of them at least. */
const requestsAll = 16;
const requestsMin = 2;
/** A reply of progress tells of at least so much time. */
const progressMs = 100;

/** What an agent is connected to, and how it works. */
export interface LfsAgentOptions {
  /** What Git LFS sends. */
  readonly input: AsyncIterable<Uint8Array>;
  /** Sends a reply; fails when nobody reads any more. */
  readonly write: (reply: Uint8Array) => Promise<void>;
  /** Opens the workspace: at the first request, so that a failure can be told. */
  readonly workspace: () => Promise<Workspace>;
  /** Name, URL or directory of the remote; by default those that push and fetch use. */
  readonly remote?: string | undefined;
  /** Absolute folder that a directory in `remote` starts from. */
  readonly cwd: string;
  readonly clock: Clock;
  readonly signal?: AbortSignal | undefined;
  readonly jobs?: number | undefined;
}

type Init = Extract<LfsRequest, { readonly event: 'init' }>;
type Transfer = Extract<LfsRequest, { readonly event: 'upload' | 'download' }>;
type Write = (reply: LfsReply) => Promise<void>;
/** Moves one object, and returns the file of one that came. */
type Mover = (transfer: Transfer, onBytes: (bytes: number) => void) => Promise<string | undefined>;

/**
 * Moves objects for Git LFS, one after the other, until it says that it needs no more, or is gone. What concerns one object is
 * told of that one, and the others go on.
 * @throws MstoreError `usage` when whoever asks is not Git LFS
 */
export async function runLfsAgent(options: LfsAgentOptions): Promise<void> {
  const gone = new AbortController();
  const signals = options.signal === undefined ? [gone.signal] : [options.signal, gone.signal];
  const signal = AbortSignal.any(signals);
  const write: Write = async (reply) => {
    try {
      await options.write(formatLfsReply(reply));
    } catch {
      gone.abort();
    }
  };
  let move: Mover | undefined;
  try {
    for await (const line of requestLines(options.input)) {
      const request = parseLfsRequest(line);
      if (request.event === 'terminate' || gone.signal.aborted) return;
      if (request.event === 'init') {
        const opened = await begin(request, { ...options, signal });
        await write('error' in opened ? { error: opened.error } : {});
        if ('error' in opened) return;
        move = opened.move;
      } else if (request.event === 'refused') {
        const error = { code: 2, message: request.why };
        await write({ event: 'complete', oid: request.oid, error });
      } else {
        if (move === undefined) throw notBegun();
        await transfer(request, move, new TransferProgress(request, options.clock, write), write);
      }
    }
  } catch (error) {
    // Nobody is there to be told.
    if (!gone.signal.aborted) throw error;
  }
}

async function begin(
  init: Init,
  options: LfsAgentOptions,
): Promise<{ readonly move: Mover } | { readonly error: LfsFailure }> {
  try {
    return { move: await moverOf(init, options) };
  } catch (error) {
    return { error: failureOf(error) };
  }
}

async function moverOf(init: Init, options: LfsAgentOptions): Promise<Mover> {
  const { remote, cwd, signal, jobs: given } = options;
  const { processes } = init;
  const workspace = await options.workspace();
  const shared = Math.max(requestsMin, Math.floor(requestsAll / processes));
  const jobs = chosenJobs(workspace, given) ?? shared;
  if (init.operation === 'upload') {
    const choice = await chooseRemote(workspace, remote, cwd);
    const how = { signal, jobs, requestsMax: jobs, isShared: init.concurrent };
    const uploader = await LfsUploader.open(workspace, choice, how);
    return async (object, onBytes) => {
      if (object.event === 'download') throw wrongWay(init);
      await uploader.upload(object, onBytes);
      return undefined;
    };
  }
  const choices = await chooseFetchRemotes(workspace, remote === undefined ? [] : [remote], cwd);
  const { storage } = await lfsStorageOf(workspace);
  const how = { signal, jobs, processes };
  const downloader = new LfsDownloader({ workspace, choices }, storage, how);
  return async ({ event, oid, size }, onBytes) => {
    if (event === 'upload') throw wrongWay(init);
    return downloader.download(oid, size, onBytes);
  };
}

async function transfer(
  request: Transfer,
  move: Mover,
  progress: TransferProgress,
  write: Write,
): Promise<void> {
  const { oid, size } = request;
  try {
    const path = await move(request, (bytes) => progress.advance(bytes));
    await progress.finish(size);
    await write({ event: 'complete', oid, ...(path === undefined ? {} : { path }) });
  } catch (error) {
    if (isMstoreError(error, 'interrupted')) throw error;
    await progress.sent;
    await write({ event: 'complete', oid, error: failureOf(error) });
  }
}

/** Tells how far one object is, not too often, and never more than there is of it. */
class TransferProgress {
  readonly #request: Transfer;
  readonly #clock: Clock;
  readonly #write: Write;
  #bytes = 0;
  #told = 0;
  #toldAt = Number.NEGATIVE_INFINITY;
  /** Ends when what was told is with the reader. */
  sent: Promise<void> = Promise.resolve();

  constructor(request: Transfer, clock: Clock, write: Write) {
    this.#request = request;
    this.#clock = clock;
    this.#write = write;
  }

  advance(bytes: number): void {
    // What is read again, as a clean-up ran, was told before.
    this.#bytes = Math.min(this.#bytes + bytes, this.#request.size);
    const now = this.#clock.monotonic();
    if (now - this.#toldAt < progressMs) return;
    this.#toldAt = now;
    this.#tell();
  }

  async finish(size: number): Promise<void> {
    this.#bytes = size;
    if (this.#told < size) this.#tell();
    await this.sent;
  }

  #tell(): void {
    const { oid } = this.#request;
    const bytesSinceLast = this.#bytes - this.#told;
    this.#told = this.#bytes;
    const reply = { event: 'progress', oid, bytesSoFar: this.#told, bytesSinceLast } as const;
    this.sent = this.sent.then(() => this.#write(reply));
  }
}

/** What Git LFS shows of an error. What is no error of ours is a defect, and ends the program. */
function failureOf(thrown: unknown): LfsFailure {
  const error = fromSystemError(thrown, 'moving an object of Git LFS');
  if (!isMstoreError(error)) throw thrown;
  const hint = error.hint === undefined ? '' : `. ${error.hint}`;
  return { code: error.exitCode, message: printable(`${error.message} [${error.code}]${hint}`) };
}

function wrongWay({ operation }: Init): MstoreError {
  return new MstoreError('usage', `Git LFS asked for the other way than ${operation}`, {
    hint: 'Look into the version of Git LFS: one process has one direction',
  });
}

function notBegun(): MstoreError {
  return new MstoreError('usage', 'Standard input holds a transfer before "init"', {
    hint: 'This command is started by Git LFS; set it up with "mstore lfs install"',
  });
}
