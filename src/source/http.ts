import type * as http from 'node:http';
import { throwIfAborted } from '../base/abort.ts';
import { type Clock, type Random, systemClock, systemRandom } from '../base/clock.ts';
import { MstoreError } from '../base/errors.ts';
import { printable } from '../base/names.ts';
import {
  exchange,
  type HttpAnswer,
  keepAliveAgents,
  type StreamedBody,
  soleAgent,
} from '../remote/http-exchange.ts';
import { refused, unreachable } from '../remote/service-errors.ts';
import { type RetryPolicy, retryPolicy } from '../remote/wrappers/retry.ts';
import { connectionError, passingError, type SourceAct, sourceError } from './failures.ts';
import { proxyAgent, proxyError, proxyFor } from './proxy.ts';
import { corruptSource, sourceChanged } from './snapshot.ts';

/** Silence after which a connection is given up. */
const stallMs = 60_000;
const redirectsMax = 10;

/** Authorities by which servers are believed, in place of those of the system. */
export interface WebTls {
  readonly ca: Buffer;
}

/** How a web source is read; all of it can be replaced in tests. */
export interface WebOptions {
  readonly clock?: Clock;
  readonly random?: Random;
  /** Tries of a request in a row that bring nothing. */
  readonly triesMax?: number | undefined;
  readonly sleep?: ((ms: number, signal: AbortSignal | undefined) => Promise<void>) | undefined;
  readonly stallMsMax?: number;
  /** Names proxies. */
  readonly env?: NodeJS.ProcessEnv;
  /** For the words of errors. */
  readonly act?: SourceAct;
  readonly tls?: WebTls | undefined;
}

/** One request, without its address. */
export interface WebRequest {
  readonly headers?: Readonly<Record<string, string>>;
  readonly method?: string;
  readonly body?: Uint8Array | StreamedBody | undefined;
  readonly signal?: AbortSignal | undefined;
  /**
   * Whether it cannot be tried again: then it has a connection of its own, as the other side may be about to close one that was
   * kept for long.
   */
  readonly isSentOnce?: boolean;
}

/** What is to be downloaded. */
export interface WebFile {
  readonly url: URL;
  /** For errors: what the file is of, and its path there. */
  readonly where: string;
  readonly path: string;
  /** Bytes, where they are known. */
  readonly size: number | undefined;
  readonly headers?: Readonly<Record<string, string>>;
  /** Turns an answer that is final into an error. */
  readonly refusal: (answer: HttpAnswer) => MstoreError;
}

/** Reads the web: over HTTP and HTTPS, redirections followed, tried again where that may help. */
export class Web {
  readonly policy: RetryPolicy;
  readonly #agentFor: (url: URL) => http.Agent;
  readonly #proxyAgents = new Map<string, Promise<http.Agent>>();
  readonly #stallMs: number;
  readonly #env: NodeJS.ProcessEnv;
  readonly #act: SourceAct;
  readonly #tls: WebTls | undefined;

  constructor({ clock = systemClock, random = systemRandom, ...rest }: WebOptions = {}) {
    const { triesMax, sleep, stallMsMax = stallMs, env = {}, act = 'read', tls } = rest;
    this.#agentFor = keepAliveAgents(tls);
    this.#tls = tls;
    this.policy = retryPolicy({
      clock,
      random,
      ...(triesMax === undefined ? {} : { triesMax }),
      ...(sleep === undefined ? {} : { sleep }),
    });
    this.#stallMs = stallMsMax;
    this.#env = env;
    this.#act = act;
  }

  /**
   * Sends one request and follows redirections. Credentials go to the host alone that they were given for, and never
   * from HTTPS to HTTP.
   * @returns the answer, whatever its status; its body is to be read or closed
   * @throws MstoreError `remote-unreachable`, `remote-refused`
   */
  async send(url: URL, where: string, request: WebRequest = {}): Promise<HttpAnswer> {
    let at = url;
    for (let hops = 0; hops <= redirectsMax; hops++) {
      const answer = await this.#exchange(at, url, where, request);
      const location = answer.header('location');
      if (![301, 302, 303, 307, 308].includes(answer.status) || location === undefined) {
        return answer;
      }
      answer.close();
      at = this.#follow(at, location, where);
    }
    const circle = refused('redirects', 'it redirects in a circle', 'Check the address');
    throw sourceError(circle, where, { act: this.#act });
  }

  async #exchange(at: URL, first: URL, where: string, request: WebRequest): Promise<HttpAnswer> {
    const { headers = {}, method = 'GET', body, signal } = request;
    const own = Object.entries(headers).filter(
      ([name]) => at.origin === first.origin || name !== 'authorization',
    );
    const proxy = proxyFor(at, this.#env);
    try {
      return await exchange({
        method,
        url: at,
        headers: { 'accept-encoding': 'identity', ...Object.fromEntries(own) },
        body: body === undefined ? [] : body instanceof Uint8Array ? [body] : body,
        agent: await this.#agent(at, proxy, request),
        signal,
        stallMsMax: this.#stallMs,
      });
    } catch (error) {
      throwIfAborted(signal);
      const act = this.#act;
      if (proxy === undefined) throw connectionError(error, where, { act });
      throw (
        proxyError(error, where, proxy) ?? connectionError(error, where, { act, proxy: proxy.host })
      );
    }
  }

  #agent(
    at: URL,
    proxy: URL | undefined,
    { isSentOnce = false }: WebRequest,
  ): http.Agent | Promise<http.Agent> {
    if (proxy !== undefined) {
      return isSentOnce ? proxyAgent(proxy, this.#tls) : this.#agentBy(proxy);
    }
    return isSentOnce ? soleAgent(at, this.#tls) : this.#agentFor(at);
  }

  #agentBy(proxy: URL): Promise<http.Agent> {
    const agent = this.#proxyAgents.get(proxy.href) ?? proxyAgent(proxy, this.#tls);
    this.#proxyAgents.set(proxy.href, agent);
    return agent;
  }

  #follow(at: URL, location: string, where: string): URL {
    const next = URL.canParse(location, at.href) ? new URL(location, at) : undefined;
    const fits =
      next?.protocol === 'https:' || (next?.protocol === 'http:' && at.protocol === 'http:');
    if (next !== undefined && fits) return next;
    throw sourceError(
      refused('redirects', 'it redirects to what is not read', 'Check the address'),
      where,
      { act: this.#act, said: next?.protocol ?? 'no URL' },
    );
  }

  /**
   * Reads a file from a byte on. A connection that breaks goes on behind the last byte that came.
   * @throws MstoreError `remote-unreachable`, `remote-refused`, `source-changed`, `corrupt-source`, and what
   * `refusal` gives
   */
  async *read(
    file: WebFile,
    start: number,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<Uint8Array, void, undefined> {
    const tries = this.policy.start(signal);
    let at = start;
    // Asking for nothing is no range.
    if (file.size !== undefined && at >= file.size) return;
    for (;;) {
      const before = at;
      try {
        for await (const block of this.#from(file, at, signal)) {
          at += block.length;
          yield block;
        }
        return;
      } catch (error) {
        throwIfAborted(signal);
        if (at > before) tries.progressed();
        await tries.next(connectionError(error, file.where));
      }
    }
  }

  async *#from(
    file: WebFile,
    start: number,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<Uint8Array, void, undefined> {
    const { url, where, path, size } = file;
    const range = start === 0 ? {} : { range: `bytes=${start}-` };
    const answer = await this.send(url, where, { headers: { ...file.headers, ...range }, signal });
    try {
      const { first, total } = this.#placeOf(answer, start, file);
      if (size !== undefined && total !== undefined && total !== size) {
        throw sourceChanged(where, path, `it has ${total} bytes, and ${size} by the listing`);
      }
      let skip = start - first;
      let at = first;
      for await (const block of answer.body) {
        at += block.length;
        if (size !== undefined && at > size) {
          throw corruptSource(where, `${printable(path)} has more than its ${size} bytes`);
        }
        const rest = block.subarray(Math.min(skip, block.length));
        skip -= block.length - rest.length;
        if (rest.length > 0) yield rest;
      }
      const end = size ?? total;
      if (end !== undefined && at < end) {
        throw sourceError(unreachable('connection', 'the connection broke off'), where);
      }
    } finally {
      answer.close();
    }
  }

  /** Which bytes of the file an answer holds. */
  #placeOf(
    answer: HttpAnswer,
    start: number,
    file: WebFile,
  ): { readonly first: number; readonly total: number | undefined } {
    const passing = passingError(answer, file.where);
    if (passing !== undefined) throw passing;
    const encoding = answer.header('content-encoding') ?? 'identity';
    if (answer.status === 206 && start > 0) {
      const told = /^bytes (\d{1,16})-\d{1,16}\/(\d{1,16}|\*)$/.exec(
        answer.header('content-range') ?? '',
      );
      if (told === null || Number(told[1]) !== start || encoding !== 'identity') {
        throw corruptSource(file.where, `it answered with another part of ${printable(file.path)}`);
      }
      return { first: start, total: told[2] === '*' ? undefined : Number(told[2]) };
    }
    if (answer.status === 200 && encoding === 'identity') {
      const length = answer.header('content-length');
      return { first: 0, total: length === undefined ? undefined : Number(length) };
    }
    if (answer.status === 200 || answer.status === 206) {
      throw corruptSource(
        file.where,
        `it sent ${printable(file.path)} in a form that was not asked for`,
      );
    }
    throw file.refusal(answer);
  }
}

/**
 * Reads the body of an answer that is small.
 * @throws MstoreError `corrupt-source` when it has more than `bytesMax` bytes
 */
export async function bodyOf(answer: HttpAnswer, where: string, bytesMax: number): Promise<Buffer> {
  const blocks: Buffer[] = [];
  let size = 0;
  try {
    for await (const block of answer.body) {
      size += block.length;
      if (size > bytesMax) throw corruptSource(where, `an answer has more than ${bytesMax} bytes`);
      blocks.push(Buffer.from(block));
    }
  } catch (error) {
    throw connectionError(error, where);
  } finally {
    answer.close();
  }
  return Buffer.concat(blocks, size);
}

/** Makes the error of an answer that is final, by its status alone. */
export function plainRefusal(answer: HttpAnswer, where: string, path: string): MstoreError {
  const { status } = answer;
  if (status === 404 || status === 410) {
    return new MstoreError('not-found', `There is no ${printable(path)} at ${printable(where)}`, {
      hint: 'Check the address',
      details: { source: where, status },
    });
  }
  const kind =
    status === 401 || status === 403
      ? refused('denied', 'it does not let us read this', 'Check who may read it')
      : refused('wrong-answer', 'it gave an answer that was not expected', 'Check the address');
  return sourceError(kind, where, { said: `HTTP ${status}`, status });
}
