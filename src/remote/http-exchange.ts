import type * as http from 'node:http';
import type * as https from 'node:https';
import { isMstoreError, systemCode } from '../base/errors.ts';

/** A body that is too large to be held: its bytes are asked for while they are sent. */
export interface StreamedBody {
  /** Bytes. */
  readonly length: number;
  /** Yields them from the first one on; each block is sent before the next one is asked for. */
  blocks(): AsyncIterable<Uint8Array>;
}

/** What goes out in one HTTP request. */
export interface HttpRequest {
  readonly method: string;
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  /** Parts are sent one behind the other; Content-Length is the sum of their lengths. */
  readonly body: readonly Uint8Array[] | StreamedBody;
  readonly agent: http.Agent | undefined;
  readonly signal: AbortSignal | undefined;
  /** Milliseconds without a byte, either way, after which the connection is given up. */
  readonly stallMsMax: number;
  /** Called with the bytes of a body that were sent, or have come, since the last call. */
  readonly moved?: ((bytes: number) => void) | undefined;
}

/** What came back. Its body is read to the end, or closed. */
export interface HttpAnswer {
  readonly status: number;
  /** A header by its name in small letters. */
  header(name: string): string | undefined;
  /** Yields the bytes as they were sent; ended early, it closes the connection. */
  readonly body: AsyncIterable<Uint8Array>;
  /** Ends the connection, unless the body has been read to its end. */
  close(): void;
}

/**
 * Pieces that are handed to the connection at once: its progress is seen at their ends, and over TLS as many
 * bytes are held once more, encrypted. Each costs a call of the system and more.
 */
const pieceBytes = 256 * 1024;

/** The module of a protocol, loaded with the first request: most commands send none. */
const protocols = {
  http: () => process.getBuiltinModule('node:http'),
  https: () => process.getBuiltinModule('node:https'),
};

function protocolOf(url: URL): keyof typeof protocols {
  return url.protocol === 'https:' ? 'https' : 'http';
}

/**
 * Keeps connections for further requests, for both protocols.
 * @param tls options of connections by TLS
 */
export function keepAliveAgents(tls: https.AgentOptions = {}): (url: URL) => http.Agent {
  const agents: Partial<Record<keyof typeof protocols, http.Agent>> = {};
  return (url) => {
    const name = protocolOf(url);
    agents[name] ??= new (protocols[name]().Agent)({ keepAlive: true, ...tls });
    return agents[name];
  };
}

/** Makes a connection for one request, which nobody closes while it is on its way. */
export function soleAgent(url: URL, tls: https.AgentOptions = {}): http.Agent {
  return new (protocols[protocolOf(url)]().Agent)({ keepAlive: false, ...tls });
}

/**
 * Sends a request once and waits for the head of its answer, whatever the status. Redirections are not
 * followed, bodies not decompressed. A time in which the reader of the body takes no block is no stall.
 * @throws Error with the code of the system or of TLS; `ETIMEDOUT` when the connection keeps silent,
 * `ABORT_ERR` once the signal is aborted, both from the body as well
 */
export function exchange(request: HttpRequest): Promise<HttpAnswer> {
  const { method, url, agent, signal, body, moved = () => {} } = request;
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(aborted());
    const length = lengthOf(body);
    const out = protocols[protocolOf(url)]().request(url, {
      method,
      headers: { ...request.headers, ...(method === 'GET' ? {} : { 'content-length': length }) },
      ...(agent === undefined ? {} : { agent }),
    });
    let answer: http.IncomingMessage | undefined;
    // Once there is an answer, its reader is to learn why it ends.
    const end = (error: Error) => void (answer ?? out).destroy(error);
    const onAbort = () => end(aborted());
    const watch = new Watch(request.stallMsMax, end);
    signal?.addEventListener('abort', onAbort, { once: true });
    out.once('close', () => {
      watch.end();
      signal?.removeEventListener('abort', onAbort);
    });
    out.on('error', (error) => {
      // Agents of proxies have no code for one that hangs up.
      if (systemCode(error) === undefined && !isMstoreError(error)) {
        Object.assign(error, { code: 'ECONNRESET' });
      }
      reject(error);
    });
    out.once('response', (response) => {
      answer = response;
      watch.stop();
      resolve(answerOf(out, response, { watch, moved }));
    });
    watch.start();
    const answered = (): boolean => answer !== undefined;
    if (isStreamed(body)) sendStreamed(out, body, { watch, moved }, answered).catch(end);
    else send(out, body, { watch, moved }, answered);
  });
}

function isStreamed(body: HttpRequest['body']): body is StreamedBody {
  return !Array.isArray(body);
}

function lengthOf(body: HttpRequest['body']): number {
  if (isStreamed(body)) return body.length;
  return body.reduce((sum, { byteLength }) => sum + byteLength, 0);
}

function aborted(): Error {
  return Object.assign(new Error('The request was ended'), { code: 'ABORT_ERR' });
}

/** Tells when nothing moves. Its timer goes on between two waits: to make one for each costs more. */
class Watch {
  readonly #ms: number;
  readonly #onStall: (error: Error) => void;
  #timer: NodeJS.Timeout | undefined;
  #waiting = false;

  constructor(ms: number, onStall: (error: Error) => void) {
    this.#ms = ms;
    this.#onStall = onStall;
  }

  /** Starts to wait, anew if it is waiting. */
  start(): void {
    this.#waiting = true;
    if (this.#timer !== undefined) return void this.#timer.refresh();
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      if (!this.#waiting) return;
      const text = `No byte came or went for ${this.#ms} ms`;
      this.#onStall(Object.assign(new Error(text), { code: 'ETIMEDOUT' }));
    }, this.#ms);
  }

  /** Waits no longer, until the next start. */
  stop(): void {
    this.#waiting = false;
  }

  /** Gives the timer up. */
  end(): void {
    this.stop();
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}

/** Those who are told how a request gets on. */
interface Observers {
  readonly watch: Watch;
  readonly moved: (bytes: number) => void;
}

function send(
  out: http.ClientRequest,
  body: readonly Uint8Array[],
  { watch, moved }: Observers,
  answered: () => boolean,
): void {
  const pieces = piecesOf(body);
  let handedOver = 0;
  const tell = (): void => {
    if (handedOver > 0) moved(handedOver);
    handedOver = 0;
  };
  const next = (): void => {
    tell();
    for (;;) {
      // An answer that comes early says all: what was not sent is not wanted.
      if (out.destroyed || answered()) return;
      const piece = pieces.next();
      if (piece.done === true) {
        tell();
        return void out.end();
      }
      handedOver += piece.value.length;
      if (!out.write(piece.value)) break;
    }
    out.once('drain', () => {
      if (!answered()) watch.start();
      next();
    });
  };
  next();
}

/** What fails where the bytes come from ends the request, as its error. */
async function sendStreamed(
  out: http.ClientRequest,
  body: StreamedBody,
  { watch, moved }: Observers,
  answered: () => boolean,
): Promise<void> {
  let sent = 0;
  for await (const block of body.blocks()) {
    for (const piece of piecesOf([block])) {
      if (out.destroyed || answered()) return;
      sent += piece.length;
      if (sent > body.length) break;
      // The block's memory is the reader's again when the next one is asked for.
      if (!out.write(Uint8Array.from(piece))) await drained(out);
      watch.start();
      moved(piece.length);
    }
  }
  if (out.destroyed || answered()) return;
  if (sent !== body.length) throw new Error(`A body of ${body.length} bytes has others`);
  out.end();
}

function drained(out: http.ClientRequest): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      out.off('drain', done).off('close', done);
      resolve();
    };
    out.on('drain', done).on('close', done);
  });
}

function* piecesOf(body: readonly Uint8Array[]): Generator<Uint8Array, void, void> {
  for (const part of body) {
    for (let at = 0; at < part.length; at += pieceBytes) yield part.subarray(at, at + pieceBytes);
  }
}

function answerOf(
  out: http.ClientRequest,
  response: http.IncomingMessage,
  observers: Observers,
): HttpAnswer {
  // What breaks before somebody reads is kept by the stream for its reader.
  response.on('error', () => {});
  return {
    status: response.statusCode ?? 0,
    header: (name) => {
      const value = response.headers[name];
      return Array.isArray(value) ? value.join(', ') : value;
    },
    body: blocksOf(out, response, observers),
    close: () => void (response.readableEnded || out.destroy()),
  };
}

async function* blocksOf(
  out: http.ClientRequest,
  response: http.IncomingMessage,
  { watch, moved }: Observers,
): AsyncGenerator<Uint8Array, void, void> {
  const blocks = response[Symbol.asyncIterator]();
  try {
    for (;;) {
      watch.start();
      const block = await blocks.next();
      watch.stop();
      if (block.done === true) return;
      moved((block.value as Buffer).length);
      yield block.value as Buffer;
    }
  } finally {
    watch.end();
    if (!response.readableEnded || !out.writableEnded) out.destroy();
  }
}
