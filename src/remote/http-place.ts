import { setMaxListeners } from 'node:events';
import { throwIfAborted } from '../base/abort.ts';
import type { Random } from '../base/clock.ts';
import { MstoreError } from '../base/errors.ts';
import { answerText, errorBytesMax, parseObject } from './http-answers.ts';
import {
  fromHttpError,
  type HttpAccess,
  newerProtocolError,
  notServerError,
  refusalError,
} from './http-errors.ts';
import { exchange, type HttpAnswer, keepAliveAgents } from './http-exchange.ts';
import { noObject } from './keys.ts';
import { PartMemory } from './part-memory.ts';
import type { RemoteCallOptions } from './remote.ts';
import type { RequestGate, Turn } from './wrappers/concurrency.ts';
import type { RetryPolicy } from './wrappers/retry.ts';

/** The header by which a server is known, and the number of the protocol that this client speaks. */
export const protocolHeader = 'mstore-protocol';
export const protocolNumber = 1;

/** Bound of answers in JSON that are read whole. */
const jsonBytesMax = 64 * 1024;
const partBytesDefault = 8 * 1024 * 1024;

/** A token, and whether it may go to the address. */
export interface HttpToken {
  readonly value: string;
  readonly isWithheld: boolean;
}

/** Options of a remote over HTTP. */
export interface HttpOptions {
  readonly random: Random;
  readonly token?: HttpToken | undefined;
  /** Tries the parts of a large object again, one by one; without it a part has one try. */
  readonly policy?: RetryPolicy | undefined;
  /** A connection on which no byte moves for so many milliseconds is given up. */
  readonly stallMsMax?: number;
  readonly gate?: RequestGate | undefined;
  /** Sources up to so many bytes are sent in one request, larger ones in parts of this size. */
  readonly partBytes?: number;
  /** Bodies of this many parts fit in the memory that all uploads of the remote share. */
  readonly partsInMemory?: number;
}

/** A call to the server. */
export interface HttpCall {
  readonly method: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'DELETE';
  /** Below the interface of the server, without a slash in front. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string | undefined>>;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
  /** The object that a 404 says is missing. */
  readonly key?: string;
  /** Statuses that are no failure, beside 200 to 299. */
  readonly accept?: readonly number[];
}

/** A remote over HTTP, as the modules of the backend hand it to each other. */
export class HttpPlace {
  /** The URL, fit to be printed. */
  readonly location: string;
  readonly options: HttpOptions;
  readonly partBytes: number;
  /** Memory for bodies on their way. */
  readonly memory: PartMemory;
  readonly #base: URL;
  readonly #agentFor = keepAliveAgents();

  /** @param url of the server, with the path that all of its own start with */
  constructor(url: URL, options: HttpOptions) {
    const { partBytes = partBytesDefault, partsInMemory = 8 } = options;
    this.#base = new URL(`${url.origin}${url.pathname.replace(/\/*$/, '')}/api/v1/`);
    this.location = `${url.origin}${url.pathname.replace(/\/*$/, '')}`;
    this.options = options;
    this.partBytes = partBytes;
    this.memory = new PartMemory(partBytes * partsInMemory, partBytes);
  }

  /** Whether requests carry a token. */
  get access(): HttpAccess {
    const { token } = this.options;
    if (token === undefined) return 'none';
    return token.isWithheld ? 'withheld' : 'token';
  }

  /** Path of an object. */
  objectPath(key: string): string {
    return `objects/${key.split('/').map(encodeURIComponent).join('/')}`;
  }

  /**
   * Makes one attempt at a call and reads its answer; its failure becomes the remote's own error.
   * @throws MstoreError `interrupted` once the signal is aborted, whatever failed; `not-found` when the
   * object of the call is missing
   */
  async call<T>(
    attempt: string,
    options: RemoteCallOptions | undefined,
    call: HttpCall,
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

  /**
   * Makes a call and reads the JSON of its answer.
   * @throws MstoreError `not-a-remote` when the answer is no JSON
   */
  json<T extends object>(
    attempt: string,
    options: RemoteCallOptions | undefined,
    call: HttpCall,
  ): Promise<Partial<T> & { readonly status: number }> {
    return this.call(attempt, options, call, async (answer) => {
      const value = parseObject(await answerText(answer, jsonBytesMax));
      if (value === undefined) throw notServerError(attempt, this.location);
      return { ...(value as Partial<T>), status: answer.status };
    });
  }

  /** Makes a call whose answer the caller reads or closes; then its turn is to be ended. */
  async begin(
    attempt: string,
    options: RemoteCallOptions | undefined,
    call: HttpCall,
  ): Promise<{ readonly answer: HttpAnswer; readonly turn: Turn | undefined }> {
    const signal = options?.signal;
    throwIfAborted(signal);
    // So many requests may wait for it that Node would take them for a leak.
    if (signal !== undefined) setMaxListeners(0, signal);
    const turn = await this.options.gate?.enter(options);
    try {
      const answer = await this.#send(call, signal, turn);
      await this.#check(attempt, call, answer);
      return { answer, turn };
    } catch (error) {
      const failure = this.failure(error, attempt, signal);
      turn?.end(failure);
      throw failure;
    }
  }

  /** Turns what a call threw into what is thrown on. */
  failure(error: unknown, attempt: string, signal: AbortSignal | undefined): unknown {
    if (!(error instanceof MstoreError)) throwIfAborted(signal);
    return fromHttpError(error, attempt, this.location);
  }

  #send(
    { method, path, query, headers = {}, body }: HttpCall,
    signal: AbortSignal | undefined,
    turn: Turn | undefined,
  ): Promise<HttpAnswer> {
    const { token, stallMsMax = 30_000 } = this.options;
    const url = new URL(path, this.#base);
    for (const [name, value] of Object.entries(query ?? {})) {
      if (value !== undefined) url.searchParams.set(name, value);
    }
    const signed = this.access === 'token' ? { authorization: `Bearer ${token?.value}` } : {};
    return exchange({
      method,
      url,
      headers: { 'accept-encoding': 'identity', ...headers, ...signed },
      body: body === undefined ? [] : [body],
      agent: this.#agentFor(url),
      signal,
      stallMsMax,
      moved: (bytes) => turn?.moved(bytes),
    });
  }

  /** Makes sure that it is an mstore server that answers, and that the answer is a success. */
  async #check(attempt: string, { key, accept }: HttpCall, answer: HttpAnswer): Promise<void> {
    const { status } = answer;
    const spoken = answer.header(protocolHeader);
    const isOurs = spoken !== undefined && /^\d{1,3}$/.test(spoken);
    // What stands in between may be busy, or ask for a moment; any other answer of it says nothing.
    const isPassing = status === 429 || (status >= 502 && status <= 504);
    if (!isOurs && !isPassing) {
      answer.close();
      throw notServerError(attempt, this.location, `HTTP ${status}`);
    }
    if (isOurs && Number(spoken) > protocolNumber) {
      answer.close();
      throw newerProtocolError(attempt, this.location, `version ${spoken}`);
    }
    if (isOurs && ((status >= 200 && status < 300) || accept?.includes(status))) return;
    // A body that breaks off takes nothing from what the status says.
    const text = await answerText(answer, errorBytesMax).catch(() => '');
    answer.close();
    if (isOurs && status === 404 && key !== undefined) throw noObject(key, this.location);
    const { error } = (parseObject(text) ?? {}) as { error?: Record<string, unknown> };
    const word = (name: string): string | undefined => {
      const value = typeof error === 'object' && error !== null ? error[name] : undefined;
      return typeof value === 'string' ? value : undefined;
    };
    const refusal = { code: word('code'), message: word('message'), hint: word('hint') };
    const { location, access } = this;
    throw refusalError(answer, refusal, { attempt, location, access });
  }
}
