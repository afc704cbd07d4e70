import { setMaxListeners } from 'node:events';
import { throwIfAborted } from '../base/abort.ts';
import type { Clock, Random } from '../base/clock.ts';
import { invariant, isMstoreError, MstoreError } from '../base/errors.ts';
import { GcsConnection } from './gcs-connection.ts';
import { fromGcsError, GcsRefusal, noPayerError, notGcsAnswer } from './gcs-errors.ts';
import { answerText, errorBytesMax, parseObject } from './http-answers.ts';
import type { HttpAnswer } from './http-exchange.ts';
import { noObject } from './keys.ts';
import { PartMemory } from './part-memory.ts';
import type { RemoteCallOptions } from './remote.ts';
import type { BucketPlace, ServiceSettings } from './service.ts';
import type { RequestGate, Turn } from './wrappers/concurrency.ts';
import type { RetryPolicy } from './wrappers/retry.ts';

/** A multiple of 256 KiB, as the service wants it. */
const partBytesDefault = 12 * 1024 * 1024;

/** Options of a GCS remote. */
export interface GcsOptions {
  readonly settings?: ServiceSettings | undefined;
  readonly clock: Clock;
  readonly random: Random;
  /** Tries the parts of a large object again, one by one; without it a part has one try. */
  readonly policy?: RetryPolicy | undefined;
  /** A connection on which no byte moves for so many milliseconds is given up. */
  readonly stallMsMax?: number;
  /** Says how many requests may be under way; without it there is no bound but the memory for bodies. */
  readonly gate?: RequestGate | undefined;
  /**
   * Sources up to so many bytes are sent in one request, larger ones in parts of this size. The service
   * wants a multiple of 256 KiB.
   */
  readonly partBytes?: number;
  /** Bodies of this many parts fit in the memory that all uploads of the remote share. */
  readonly partsInMemory?: number;
}

/** A call to the service. */
export interface GcsCall {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  /** Absolute path on the endpoint; a query in it stays. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string | undefined>>;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: readonly Uint8Array[];
  /** The object that a 404 says is missing; without it the bucket is. */
  readonly key?: string;
  /** Whether it is about an upload that has begun, which a 404 then says is gone. */
  readonly upload?: boolean;
  /** Statuses that are no failure, beside 200 to 299. */
  readonly accept?: readonly number[];
}

/** The members of a resource of the service that are asked for. */
export interface ObjectResource {
  readonly name: string;
  /** Bytes, in digits. */
  readonly size: string;
  readonly generation: string;
  /** RFC 3339. */
  readonly timeCreated: string;
  /** Base64 of four bytes, the highest first. */
  readonly crc32c: string;
  readonly metadata: Readonly<Record<string, string>>;
}

/** Bound of answers that are read whole: a page of a list. */
const jsonBytesMax = 16 * 1024 * 1024;

/** A GCS remote, as the modules of the backend hand it to each other. */
export class GcsPlace {
  readonly place: BucketPlace;
  readonly options: GcsOptions;
  /** Size of a part. */
  readonly partBytes: number;
  /** Memory for bodies on their way. */
  readonly memory: PartMemory;
  #connection: Promise<GcsConnection> | undefined;
  #bucketSeen = false;

  constructor(place: BucketPlace, options: GcsOptions) {
    invariant((options.stallMsMax ?? 1) > 0, 'a time after which a silent connection is given up');
    const { partBytes = partBytesDefault, partsInMemory = 8 } = options;
    this.place = place;
    this.options = options;
    this.partBytes = partBytes;
    this.memory = new PartMemory(partBytes * partsInMemory, partBytes);
  }

  get location(): string {
    return this.place.location;
  }

  /** Path of the objects of the bucket. */
  get objectsPath(): string {
    return `/storage/v1/b/${this.place.bucket}/o`;
  }

  /** Path of an object, whose slashes are not those of the path. */
  objectPath(key: string): string {
    return `${this.objectsPath}/${encodeURIComponent(this.place.prefix + key)}`;
  }

  /**
   * Makes one attempt at a call and reads its answer; its failure becomes the remote's own error.
   * @param attempt as {@link fromGcsError} takes it
   * @throws MstoreError `interrupted` once the signal is aborted, whatever failed; `not-found` when the
   * object of the call is missing
   */
  async call<T>(
    attempt: string,
    options: RemoteCallOptions | undefined,
    call: GcsCall,
    read: (answer: HttpAnswer) => Promise<T>,
  ): Promise<T> {
    const { answer, turn } = await this.begin(attempt, options, call);
    try {
      const value = await read(answer);
      turn?.end();
      return value;
    } catch (error) {
      const failure = this.failure(error, attempt, options?.signal);
      answer.close();
      turn?.end(failure);
      throw failure;
    }
  }

  /** Makes a call whose answer the caller reads or closes; then its turn is to be ended. */
  async begin(
    attempt: string,
    options: RemoteCallOptions | undefined,
    call: GcsCall,
  ): Promise<{ readonly answer: HttpAnswer; readonly turn: Turn | undefined }> {
    const signal = options?.signal;
    throwIfAborted(signal);
    // So many requests may wait for it that Node would take them for a leak.
    if (signal !== undefined) setMaxListeners(0, signal);
    const turn = await this.options.gate?.enter(options);
    try {
      const connection = await this.#connected();
      const answer = await this.#send(connection, call, { attempt, signal, turn });
      const { status } = answer;
      const good = (status >= 200 && status < 300) || call.accept?.includes(status);
      if (!good) throw await refusalOf(connection, call, answer);
      return { answer, turn };
    } catch (error) {
      if (call.key !== undefined && error instanceof GcsRefusal && error.status === 404) {
        turn?.end();
        await this.#findBucket(attempt, options);
        throw noObject(call.key, this.location);
      }
      const failure = this.failure(error, attempt, signal);
      turn?.end(failure);
      throw failure;
    }
  }

  /**
   * Makes a call and reads the JSON of its answer.
   * @throws MstoreError `remote-refused` when the answer is no JSON
   */
  json<T extends object>(
    attempt: string,
    options: RemoteCallOptions | undefined,
    call: GcsCall,
  ): Promise<Partial<T>> {
    return this.call(attempt, options, call, (answer) => this.parsed<T>(attempt, answer));
  }

  /**
   * Asks for members of the resource of an object.
   * @returns undefined when there is no such object
   */
  async resource(
    attempt: string,
    options: RemoteCallOptions | undefined,
    key: string,
    fields: string,
  ): Promise<Partial<ObjectResource> | undefined> {
    const call = { method: 'GET', path: this.objectPath(key), query: { fields }, key } as const;
    try {
      const found = await this.json<ObjectResource>(attempt, options, call);
      if (found.generation === undefined) throw notGcsAnswer(attempt, this.location);
      return found;
    } catch (error) {
      if (isMstoreError(error, 'not-found')) return undefined;
      throw error;
    }
  }

  /** Reads the JSON of an answer; throws as {@link json} does. */
  async parsed<T extends object>(attempt: string, answer: HttpAnswer): Promise<Partial<T>> {
    const value = parseObject(await answerText(answer, jsonBytesMax));
    if (value === undefined) throw notGcsAnswer(attempt, this.location);
    this.#bucketSeen = true;
    return value as Partial<T>;
  }

  /** Turns what a call threw into what is thrown on. */
  failure(error: unknown, attempt: string, signal: AbortSignal | undefined): unknown {
    if (!(error instanceof MstoreError)) throwIfAborted(signal);
    return fromGcsError(error, attempt, this.location);
  }

  /** Tells what is known without a request. */
  async tell<T>(
    attempt: string,
    options: RemoteCallOptions | undefined,
    read: (connection: GcsConnection) => T,
  ): Promise<T> {
    throwIfAborted(options?.signal);
    try {
      return read(await this.#connected());
    } catch (error) {
      throw this.failure(error, attempt, options?.signal);
    }
  }

  #connected(): Promise<GcsConnection> {
    const { settings = {}, clock } = this.options;
    this.#connection ??= GcsConnection.open(settings, clock).catch((error: unknown) => {
      // Who signs in meanwhile is to be served by the next call.
      this.#connection = undefined;
      throw error;
    });
    return this.#connection;
  }

  #send(
    connection: GcsConnection,
    { method, path, query, headers = {}, body = [] }: GcsCall,
    how: { attempt: string; signal: AbortSignal | undefined; turn: Turn | undefined },
  ): Promise<HttpAnswer> {
    const { attempt, signal, turn } = how;
    const { settings, stallMsMax = 30_000 } = this.options;
    const url = new URL(path, connection.endpoint);
    // A path of an answer that begins with two slashes names a host, which must get no credentials.
    if (url.origin !== new URL(connection.endpoint).origin) {
      throw notGcsAnswer(attempt, this.location);
    }
    for (const [name, value] of Object.entries(query ?? {})) {
      if (value !== undefined) url.searchParams.set(name, value);
    }
    if (settings?.requesterPays) {
      if (settings.project === undefined) throw noPayerError(attempt, this.location);
      url.searchParams.set('userProject', settings.project);
    }
    const moved = (bytes: number): void => turn?.moved(bytes);
    return connection.send({ method, url, headers, body, signal, stallMsMax, moved });
  }

  /** Makes sure that the bucket is there: the service answers alike for it and for an object of it. */
  async #findBucket(attempt: string, options: RemoteCallOptions | undefined): Promise<void> {
    if (this.#bucketSeen) return;
    const query = { maxResults: '1', fields: 'kind' };
    try {
      await this.json(attempt, options, { method: 'GET', path: this.objectsPath, query });
    } catch (error) {
      // Who may not list is told of the object alone.
      if (!(error instanceof MstoreError) || error.details['status'] !== 403) throw error;
    }
  }
}

/** Loads what counts CRC32C of bytes, on from that of the bytes before. */
export async function loadCrc32c(): Promise<(bytes: Uint8Array, before: number) => number> {
  const { crc32c } = (await import('./gcs-sdk.ts')).gcsSdk;
  return (bytes, before) =>
    crc32c(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength), before);
}

/** Writes a CRC32C as the service does. */
export function crcText(sum: number): string {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(sum);
  return bytes.toString('base64');
}

async function refusalOf(
  connection: GcsConnection,
  { upload = false }: GcsCall,
  answer: HttpAnswer,
): Promise<GcsRefusal> {
  // A body that breaks off takes nothing from what the status says.
  const text = await answerText(answer, errorBytesMax).catch(() => '');
  const { error } = (parseObject(text) ?? {}) as {
    error?: { message?: unknown; errors?: Array<{ reason?: unknown }> };
  };
  const reason = Array.isArray(error?.errors) ? error.errors[0]?.reason : undefined;
  return new GcsRefusal(typeof error?.message === 'string' ? error.message : text.slice(0, 500), {
    status: answer.status,
    spoken: typeof error === 'object',
    reason: typeof reason === 'string' ? reason : undefined,
    retryAfter: answer.header('retry-after'),
    date: answer.header('date'),
    requestId: answer.header('x-guploader-uploadid'),
    upload,
    access: connection.access,
    skewed: connection.isSkewed(answer.header('date')),
  });
}
