import * as http from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { noise } from './flow-scratch.ts';

/**
 * How a request goes wrong on its way. Where the name says `request` or `response`, the fault is at a
 * point of that body drawn by chance:
 *
 * - `reset`: the connection is reset there, and the other side is cut off too
 * - `cut`: the connection ends there as if that were all
 * - `stall`: no further byte moves for the client, until it gives up; the service is left
 * - `wrong`: some bytes are others
 * - `doubled`: some bytes come twice, and as many at the end are lost
 * - `short-response`: an answer that is whole by its headers lacks its end
 *
 * `lost-reply` and `failed-reply` let the service do what was asked, then break off or answer 500.
 */
export type ProxyFaultKind =
  | { readonly status: number; readonly code: string; readonly retryAfter?: number }
  | `${'reset' | 'cut' | 'stall' | 'wrong' | 'doubled'}-${'request' | 'response'}`
  | 'short-response'
  | 'lost-reply'
  | 'failed-reply';

/** A fault of the proxy, and the requests that it befalls. */
export interface ProxyFault {
  readonly how: ProxyFaultKind;
  /** What the method and the URL, `PUT /bucket/a?partNumber=2`, must match; all by default. */
  readonly at?: RegExp;
  /** How often at most; without a bound by default. */
  readonly times?: number;
  /** The share of those requests that it befalls, from 0 to 1; all by default. */
  readonly share?: number;
}

/** What slows all that goes through a proxy. */
export interface ProxySpeed {
  /** Milliseconds before a request is passed on. */
  readonly latencyMs?: number;
  /** Of each body, in either direction. */
  readonly bytesPerSecond?: number;
}

/** A request that came through a proxy. */
export interface ProxyRequest {
  readonly method: string;
  readonly url: string;
  /** Bytes of its body that went on to the service. */
  sent: number;
  /** What the service answered; undefined when it did not. */
  status: number | undefined;
}

/** An answer of the service, its body read to the end. */
interface Answer {
  readonly status: number;
  readonly headers: string[];
  readonly body: Buffer;
}

/** A request that has been begun at the service. */
interface PassedOn {
  readonly upstream: http.ClientRequest;
  readonly answered: Promise<Answer>;
}

/** A way that a request does not go further on: its connection is gone. */
class Broken extends Error {}

const doubledBytes = 512;
const keepOpen = { destroyOnReturn: false };
const answerBytesMax = 512 * 1024 * 1024;

/**
 * A proxy in front of an HTTP service, on the loopback. Requests go on as they came, with the header
 * `Host` that they are signed with; faults are drawn by a seed, so that a run can be repeated.
 */
export class FaultProxy {
  /** All requests so far, in the order in which they began. */
  readonly requests: ProxyRequest[] = [];
  /** Called at the start of each request and after each block of a body, in either direction. */
  onStep: () => void = () => {};
  /** Faults that took place so far. */
  befell = 0;
  readonly #target: URL;
  readonly #seed: string;
  readonly #http: http.Server;
  #speed: ProxySpeed = {};
  #faults: { fault: ProxyFault; left: number }[] = [];
  #unlisted: Set<string> | undefined;
  #drawn = 0;
  #active = 0;

  constructor(target: string, seed: string) {
    this.#target = new URL(target);
    this.#seed = seed;
    this.#http = http.createServer((request, response) => {
      this.#active++;
      void this.#serve(request, response)
        .catch((error: unknown) => {
          if (error instanceof Broken && error.message === 'cut') request.socket.destroySoon();
          else request.socket.resetAndDestroy();
        })
        .finally(() => this.#active--);
    });
  }

  get endpoint(): string {
    return `http://127.0.0.1:${(this.#http.address() as AddressInfo).port}`;
  }

  listen(): Promise<void> {
    return new Promise((resolve) => this.#http.listen(0, '127.0.0.1', resolve));
  }

  close(): Promise<void> {
    this.#http.closeAllConnections();
    return new Promise((resolve) => this.#http.close(() => resolve()));
  }

  /** Lets requests go wrong from now on. */
  fault(fault: ProxyFault): void {
    this.#faults.push({ fault, left: fault.times ?? Number.POSITIVE_INFINITY });
  }

  /** Slows all requests from now on. */
  slow(speed: ProxySpeed): void {
    this.#speed = speed;
  }

  /** Lets lists lag: they lack from now on what is created from now on. */
  lagLists(): void {
    this.#unlisted = new Set();
  }

  heal(): void {
    this.#faults = [];
    this.#unlisted = undefined;
    this.#speed = {};
    this.onStep = () => {};
  }

  /** Resolves when no request has been under way for some time: what a dead client sent has ended too. */
  async idle(): Promise<void> {
    for (let quiet = 0; quiet < 5; quiet++) {
      await delay(10);
      if (this.#active > 0) quiet = 0;
    }
  }

  #chance(): number {
    return noise(4, `${this.#seed} ${this.#drawn++}`).readUInt32LE() / 2 ** 32;
  }

  /** Draws a point inside of a body, so that there are bytes on both sides of it. */
  #pointIn(length: number): number {
    return Math.min(length, 1 + Math.floor(this.#chance() * (length - 1)));
  }

  #faultOf(line: string): ProxyFaultKind | undefined {
    for (const entry of this.#faults) {
      const { at, share = 1, how } = entry.fault;
      if (entry.left <= 0 || at?.test(line) === false) continue;
      if (share < 1 && this.#chance() >= share) continue;
      entry.left--;
      this.befell++;
      return how;
    }
    return undefined;
  }

  async #serve(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    const { method = '', url = '' } = request;
    const entry: ProxyRequest = { method, url, sent: 0, status: undefined };
    this.requests.push(entry);
    this.onStep();
    const how = this.#faultOf(`${method} ${url}`);
    await delay(this.#speed.latencyMs ?? 0);
    if (typeof how === 'object') {
      for await (const _ of request) this.onStep();
      return this.#answer(request, response, refusal(how));
    }
    const answer = await this.#passOn(request, entry, how);
    entry.status = answer.status;
    this.#note(entry);
    if (how === 'lost-reply') throw new Broken();
    if (how === 'failed-reply') {
      return this.#answer(request, response, refusal({ status: 500, code: 'InternalError' }));
    }
    const onAnswer = how?.endsWith('-response') ? how : undefined;
    await this.#answer(request, response, this.#lagging(entry, answer), onAnswer);
  }

  /** Sends a request on, and reads the answer to its end. */
  async #passOn(
    request: http.IncomingMessage,
    entry: ProxyRequest,
    how: ProxyFaultKind | undefined,
  ): Promise<Answer> {
    const { hostname, port } = this.#target;
    const upstream = http.request({
      hostname,
      port,
      method: request.method,
      path: request.url,
      agent: false,
      setHost: false,
    });
    for (const [name, value] of pairs(request.rawHeaders)) {
      if (!hopHeaders.has(name.toLowerCase())) upstream.appendHeader(name, value);
    }
    const answered = answerOf(upstream);
    const giveUp = () => upstream.destroy();
    request.socket.once('close', giveUp);
    try {
      await this.#sendBody(request, { upstream, answered }, entry, how);
      return await answered;
    } finally {
      request.socket.removeListener('close', giveUp);
      upstream.destroy();
    }
  }

  async #sendBody(
    request: http.IncomingMessage,
    { upstream, answered }: PassedOn,
    entry: ProxyRequest,
    how: ProxyFaultKind | undefined,
  ): Promise<void> {
    let over = false;
    const ended = () => {
      over = true;
    };
    const answer = answered.then(ended, ended);
    const length = Number(request.headers['content-length'] ?? 0);
    const spoils = how === 'wrong-request' || how === 'doubled-request';
    const ends = how === 'reset-request' || how === 'cut-request' || how === 'stall-request';
    const point = spoils || ends ? this.#pointIn(length) : 0;
    let left = ends ? point : length;
    const blocks = spoils ? spoiled(request, how, point) : request.iterator(keepOpen);
    for await (const block of blocks) {
      const piece = (block as Buffer).subarray(0, left);
      left -= piece.length;
      if (piece.length === 0) continue;
      // A service that has answered already may read no further; the client is still heard out.
      if (!over) await Promise.race([written(upstream, piece).catch(() => {}), answer]);
      entry.sent += piece.length;
      this.onStep();
      await this.#pace(piece.length);
      if (ends && left === 0) break;
    }
    if (how === 'stall-request') {
      // Some services hold the name of an object until the connection that writes it is gone.
      upstream.destroy();
      await this.#stall(request);
    }
    if (ends) throw new Broken(how === 'cut-request' ? 'cut' : 'reset');
    upstream.end();
  }

  async #answer(
    request: http.IncomingMessage,
    response: http.ServerResponse,
    answer: Answer,
    how?: ProxyFaultKind,
  ): Promise<void> {
    const { body } = answer;
    const point = how === undefined ? 0 : this.#pointIn(body.length);
    const sent = how === 'short-response' ? body.subarray(0, point) : spoil(body, how, point);
    const ends = how === 'reset-response' || how === 'cut-response' || how === 'stall-response';
    const headers = pairs(answer.headers).filter(([name]) => !hopHeaders.has(name.toLowerCase()));
    response.statusCode = answer.status;
    for (const [name, value] of headers) {
      if (name.toLowerCase() !== 'content-length') response.appendHeader(name, value);
    }
    // The answer to HEAD tells the length of a body that it does not have.
    const length = request.method === 'HEAD' ? lengthOf(headers) : sent.length;
    if (length !== undefined && answer.status !== 204) response.setHeader('content-length', length);
    if (ends && body.length === 0) throw new Broken();
    const until = ends ? point : sent.length;
    for (let at = 0; at < until; ) {
      const piece = sent.subarray(at, Math.min(until, at + 64 * 1024));
      at += piece.length;
      await written(response, piece);
      this.onStep();
      await this.#pace(piece.length);
    }
    if (how === 'stall-response') await this.#stall(request);
    if (ends) throw new Broken(how === 'cut-response' ? 'cut' : 'reset');
    response.end();
    await finished(response);
  }

  /** Waits until the connection is gone. Until then nothing is under way on it. */
  async #stall({ socket }: http.IncomingMessage): Promise<void> {
    this.#active--;
    await new Promise((resolve) => socket.once('close', resolve));
    this.#active++;
  }

  async #pace(bytes: number): Promise<void> {
    const { bytesPerSecond } = this.#speed;
    if (bytesPerSecond !== undefined) await delay((1000 * bytes) / bytesPerSecond);
  }

  /** Remembers what was created while lists lag. */
  #note({ method, url, status = 500 }: ProxyRequest): void {
    const { pathname, searchParams: query } = new URL(url, this.#target);
    if (status >= 300 || (method !== 'PUT' && method !== 'POST') || query.has('partNumber')) return;
    // GCS names the object in the query where one is made.
    const [, bucketed = ''] = /^\/[^/]+\/(.*)$/.exec(decodeURIComponent(pathname)) ?? [];
    this.#unlisted?.add(query.get('name') ?? bucketed);
  }

  #lagging({ method, url }: ProxyRequest, answer: Answer): Answer {
    const unlisted = this.#unlisted;
    const { pathname, searchParams: query } = new URL(url, this.#target);
    if (unlisted === undefined || method !== 'GET') return answer;
    if (query.get('list-type') === '2') {
      const text = String(answer.body).replace(/<Contents>.*?<\/Contents>/gs, (object) => {
        const key = /<Key>(.*?)<\/Key>/s.exec(object)?.[1] ?? '';
        return unlisted.has(key) ? '' : object;
      });
      return { ...answer, body: Buffer.from(text) };
    }
    if (!/^\/storage\/v1\/b\/[^/]+\/o$/.test(pathname) || answer.status !== 200) return answer;
    const page = JSON.parse(String(answer.body)) as { items?: { name: string }[] };
    const items = page.items?.filter(({ name }) => !unlisted.has(name));
    return { ...answer, body: Buffer.from(JSON.stringify({ ...page, items })) };
  }
}

/** Starts a proxy in front of the service at the URL `target`; the caller closes it. */
export async function startFaultProxy(target: string, seed = 'proxy'): Promise<FaultProxy> {
  const proxy = new FaultProxy(target, seed);
  await proxy.listen();
  return proxy;
}

/** Headers of one connection, which are not passed on. */
const hopHeaders = new Set(['connection', 'keep-alive', 'transfer-encoding']);

function pairs(rawHeaders: string[]): [string, string][] {
  return rawHeaders.flatMap((name, n) =>
    n % 2 === 0 ? [[name, rawHeaders[n + 1] ?? ''] as [string, string]] : [],
  );
}

function lengthOf(headers: [string, string][]): string | undefined {
  return headers.find(([name]) => name.toLowerCase() === 'content-length')?.[1];
}

/** The answer to a request, as a promise that may fail before anybody waits for it. */
function answerOf(upstream: http.ClientRequest): Promise<Answer> {
  const answered = new Promise<http.IncomingMessage>((resolve, reject) => {
    upstream.once('response', resolve);
    upstream.once('error', reject);
    upstream.once('close', () => reject(new Broken()));
  }).then(async (answer) => ({
    status: answer.statusCode ?? 0,
    headers: answer.rawHeaders,
    body: await readAll(answer),
  }));
  answered.catch(() => {});
  return answered;
}

async function readAll(stream: AsyncIterable<Buffer>): Promise<Buffer> {
  const blocks: Buffer[] = [];
  let size = 0;
  for await (const block of stream) {
    size += block.length;
    if (size > answerBytesMax) throw new Error('A body is too large for the proxy');
    blocks.push(block);
  }
  return Buffer.concat(blocks);
}

async function* spoiled(
  request: http.IncomingMessage,
  how: ProxyFaultKind,
  point: number,
): AsyncGenerator<Buffer, void, void> {
  yield spoil(await readAll(request), how, point);
}

/** Spoils a body at a point, without a change of its length. */
function spoil(body: Buffer, how: ProxyFaultKind | undefined, point: number): Buffer {
  if (how === 'wrong-request' || how === 'wrong-response') {
    const wrong = Buffer.from(body);
    for (let at = point; at < Math.min(body.length, point + 5); at++) wrong[at] = ~(wrong[at] ?? 0);
    return wrong;
  }
  if (how === 'doubled-request' || how === 'doubled-response') {
    const from = Math.max(0, point - doubledBytes);
    const doubled = [body.subarray(0, point), body.subarray(from, point), body.subarray(point)];
    return Buffer.concat(doubled).subarray(0, body.length);
  }
  return body;
}

/** An error in the form of S3. */
function refusal({ status, code, retryAfter }: Exclude<ProxyFaultKind, string>): Answer {
  const again = retryAfter === undefined ? [] : ['retry-after', String(retryAfter)];
  const text = `<?xml version="1.0" encoding="UTF-8"?><Error><Code>${code}</Code><Message>A fault of the proxy</Message></Error>`;
  const headers = ['content-type', 'application/xml', ...again];
  return { status, headers, body: Buffer.from(text) };
}

function written(stream: http.OutgoingMessage, bytes: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    // What is written to a connection that is about to close is kept for ever, and nobody called.
    const gone = () => reject(new Broken());
    if (stream.closed) return gone();
    stream.once('close', gone);
    stream.write(bytes, (error) => {
      stream.removeListener('close', gone);
      if (error) reject(error);
      else resolve();
    });
  });
}

function finished(response: http.ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    // Whoever asked may be gone since long, and then neither comes.
    if (response.closed) resolve();
    response.once('finish', resolve);
    response.once('close', resolve);
  });
}
