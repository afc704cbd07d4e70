import { createHash } from 'node:crypto';
import { sha256Raw } from '../base/digest.ts';
import { isMstoreError, MstoreError } from '../base/errors.ts';
import { drain } from './http-answers.ts';
import { notServerError } from './http-errors.ts';
import type { HttpPlace } from './http-place.ts';
import { checkKey } from './keys.ts';
import type { RemoteCreateOptions, RemoteSource } from './remote.ts';
import { toldBytes } from './service.ts';
import { cut, readSource, sendWhole } from './source.ts';
import { type UnclearWrites, underNumber, type WriteNumber } from './unclear-writes.ts';

/** Seconds that the server may take until it says that it is still storing an object. */
const waitSeconds = 10;

/** One write of one object, which all its requests share. */
interface HttpWrite extends WriteNumber {
  readonly key: string;
  /** What to say of a failure. */
  readonly attempt: string;
  readonly options: RemoteCreateOptions | undefined;
}

/** What the server tells of an upload. */
interface UploadState {
  readonly id: unknown;
  /** `receiving`, `storing`, `created`, `exists`; a failure is an answer of its own. */
  readonly state: unknown;
  /** Bytes that it has, from the first on. */
  readonly offset: unknown;
  /** Digest of these, in base64. */
  readonly digest: unknown;
}

/**
 * Creates an object by one request, or in parts by an upload. Each write has a number; the server does one of a
 * number once, however often it is asked for it, and answers alike each time.
 */
export async function createHttpObject(
  place: HttpPlace,
  unclear: UnclearWrites,
  key: string,
  source: RemoteSource,
  options: RemoteCreateOptions | undefined,
): Promise<'created' | 'exists'> {
  checkKey(key);
  return underNumber(unclear, source, key, place.options.random, (number) => {
    const write: HttpWrite = { key, attempt: `write ${key} to`, options, ...number };
    return source.size > place.partBytes
      ? createInParts(place, write, source)
      : createAtOnce(place, write, source);
  });
}

function createAtOnce(
  place: HttpPlace,
  { key, attempt, options, number }: HttpWrite,
  source: RemoteSource,
): Promise<'created' | 'exists'> {
  return sendWhole(place.memory, key, source, options?.signal, (bytes) => {
    const headers = {
      'if-none-match': '*',
      'idempotency-key': number,
      'content-digest': contentDigest(sha256Raw(bytes)),
      'content-type': 'application/octet-stream',
    };
    const path = place.objectPath(key);
    const call = { method: 'PUT', path, headers, body: bytes, accept: [412] } as const;
    return place.call(attempt, options, call, async (answer) => {
      await drain(answer);
      const { status } = answer;
      if (status === 201) return 'created';
      if (status === 412) return 'exists';
      throw notServerError(attempt, place.location, `HTTP ${status}`);
    });
  });
}

/** The header of RFC 9530 that says which digest a body has. */
function contentDigest(raw: Buffer): string {
  return `sha-256=:${raw.toString('base64')}:`;
}

async function createInParts(
  place: HttpPlace,
  write: HttpWrite,
  source: RemoteSource,
): Promise<'created' | 'exists'> {
  const { key, attempt, options, number } = write;
  const begin = {
    method: 'POST',
    path: 'uploads',
    headers: { 'content-type': 'application/json', 'idempotency-key': number },
    body: Buffer.from(
      JSON.stringify({ key, size: source.size, contentKey: options?.contentKey ?? false }),
    ),
    accept: [412],
  } as const;
  const begun = await place.json<UploadState>(attempt, options, begin);
  if (begun.status === 412) return 'exists';
  const { id } = begun;
  if (typeof id !== 'string' || !/^[0-9a-f]{8,64}$/.test(id)) {
    throw notServerError(attempt, place.location);
  }
  if (begun.state === 'created' || begun.state === 'exists') return begun.state;
  const upload = new Upload(place, write, { id, size: source.size });
  let ended = false;
  try {
    const outcome = await upload.send(source, begun);
    ended = true;
    return outcome;
  } catch (error) {
    // What has arrived of content that others may send as well is left for them, as for a later try of ours.
    const isUseless = isMstoreError(error) && error.details['reason'] === 'upload-gone';
    const isLeft = options?.contentKey === true || isMstoreError(error, 'remote-unreachable');
    ended = isLeft && !isUseless;
    throw error;
  } finally {
    if (!ended) await upload.end();
  }
}

/** An upload, of which nothing is visible before its end. */
class Upload {
  readonly #place: HttpPlace;
  readonly #write: HttpWrite;
  readonly #path: string;
  readonly #size: number;

  constructor(place: HttpPlace, write: HttpWrite, { id, size }: { id: string; size: number }) {
    this.#place = place;
    this.#write = write;
    this.#path = `uploads/${id}`;
    this.#size = size;
  }

  /**
   * Sends what the server lacks, then has the object appear.
   * @param begun what the server had when it was asked first
   */
  async send(source: RemoteSource, begun: Partial<UploadState>): Promise<'created' | 'exists'> {
    const { memory, partBytes: size } = this.#place;
    const { key, options } = this.#write;
    const signal = options?.signal;
    const had = this.#offsetOf(begun);
    const whole = createHash('sha256');
    const stop = new AbortController();
    const either = signal === undefined ? stop.signal : AbortSignal.any([signal, stop.signal]);
    let at = 0;
    const blocks = readSource(key, source, signal);
    try {
      for await (const bytes of cut(blocks, { total: source.size, size, memory, signal: either })) {
        let arrived = false;
        try {
          const skipped = Math.min(Math.max(had - at, 0), bytes.length);
          whole.update(bytes.subarray(0, skipped));
          if (skipped > 0 && at + skipped === had) this.#checkHad(whole.copy().digest(), begun);
          if (skipped < bytes.length) await this.#part(bytes.subarray(skipped), at + skipped);
          whole.update(bytes.subarray(skipped));
          arrived = true;
        } finally {
          memory.give(bytes, arrived);
        }
        at += bytes.length;
      }
    } finally {
      stop.abort();
    }
    return this.#finish(whole.digest());
  }

  /** Gives the upload up. Its own failure is nobody's concern: the server forgets uploads after a day. */
  async end(): Promise<void> {
    try {
      // Without the signal of the write: it may be what ended it.
      const call = { method: 'DELETE', path: this.#path, accept: [404] } as const;
      await this.#place.call('end an upload to', undefined, call, drain);
    } catch {
      // The error of the write counts.
    }
  }

  /** Sends a part from its first byte that the server lacks; again where that may help. */
  async #part(bytes: Uint8Array, start: number): Promise<void> {
    const { attempt, options } = this.#write;
    const end = start + bytes.length;
    let from = start;
    let repeated = false;
    const once = async (): Promise<void> => {
      if (repeated) from = this.#offsetOf(await this.#ask());
      repeated = true;
      // It keeps whole parts, or less of one that broke off, never what we did not send.
      if (from < start || from > end) throw notServerError(attempt, this.#place.location);
      if (from === end) return;
      const rest = bytes.subarray(from - start);
      const headers = {
        'content-type': 'application/octet-stream',
        'content-digest': contentDigest(sha256Raw(rest)),
      };
      const query = { offset: String(from) };
      const call = { method: 'PUT', path: this.#path, query, headers, body: rest } as const;
      const state = await this.#place.json<UploadState>(attempt, options, call);
      if (this.#offsetOf(state) !== end) throw notServerError(attempt, this.#place.location);
    };
    await (this.#place.options.policy?.again(once, options?.signal) ?? once());
  }

  #ask(query: Readonly<Record<string, string>> = {}) {
    const { attempt, options } = this.#write;
    const call = { method: 'GET', path: this.#path, query } as const;
    return this.#place.json<UploadState>(attempt, options, call);
  }

  /** Has the object appear, and waits for the end of it. */
  async #finish(digest: Buffer): Promise<'created' | 'exists'> {
    const { attempt, options } = this.#write;
    const body = Buffer.from(JSON.stringify({ digest: digest.toString('base64') }));
    const headers = { 'content-type': 'application/json' };
    const call = { method: 'POST', path: `${this.#path}/finish`, headers, body } as const;
    let asked = false;
    const once = async () => {
      const state = asked
        ? await this.#ask({ wait: String(waitSeconds) })
        : await this.#place.json<UploadState>(attempt, options, call);
      asked = state.state === 'storing';
      return state.state;
    };
    for (;;) {
      const state = await (this.#place.options.policy?.again(once, options?.signal) ?? once());
      if (state === 'created' || state === 'exists') return state;
      if (state !== 'storing') throw notServerError(attempt, this.#place.location);
    }
  }

  #offsetOf({ offset }: Partial<UploadState>): number {
    const told = toldBytes(offset);
    if (told !== undefined && told <= this.#size) return told;
    throw notServerError(this.#write.attempt, this.#place.location);
  }

  /** Makes sure that what somebody sent before begins as our source does. */
  #checkHad(digest: Buffer, { digest: told }: Partial<UploadState>): void {
    if (told === digest.toString('base64')) return;
    const { attempt, key } = this.#write;
    throw new MstoreError(
      'remote-unreachable',
      `Cannot ${attempt} the remote ${this.#place.location}: an upload of the same name that was broken off began with other bytes`,
      {
        hint: 'Run the same command again: the upload is given up',
        details: { key, reason: 'upload-gone' },
      },
    );
  }
}
