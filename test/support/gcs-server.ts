import { createHash } from 'node:crypto';
import * as http from 'node:http';
import * as https from 'node:https';
import type { AddressInfo } from 'node:net';
import { crc32c } from '@node-rs/crc32';

/** How a request goes wrong: with an error of the service, or as the words of {@link GcsFault} say. */
export type GcsFaultKind =
  | {
      readonly status: number;
      readonly reason?: string;
      readonly message?: string;
      readonly retryAfter?: number;
    }
  | 'reset'
  | 'lost-reply'
  | 'failed-reply'
  | 'stall'
  | 'stall-body'
  | 'truncate'
  | 'wrong-bytes'
  | 'wrong-range'
  | 'no-range'
  | 'web-page'
  | 'half-taken'
  | 'damaged'
  | 'forgotten';

/**
 * A fault of the server. `lost-reply` and `failed-reply` do what was asked, then break off or answer 503;
 * `stall-body`, `truncate` and `wrong-bytes` spoil the second half of a body; `half-taken` keeps half of a
 * part, `damaged` changes a byte that arrives, `forgotten` loses the upload.
 */
export interface GcsFault {
  readonly how: GcsFaultKind;
  /** A method and a part of the path with its query, as {@link GcsServer.log} has them; all by default. */
  readonly at?: string;
  /** How often; once by default. */
  readonly times?: number;
}

/** An object, as the server keeps it. */
export interface GcsObject {
  readonly bytes: Buffer;
  readonly generation: number;
  /** What the writer sent to be kept. */
  readonly resource: Readonly<Record<string, unknown>>;
  /** Absent where a test put it there. */
  readonly created?: Date;
}

interface Upload {
  readonly bucket: string;
  readonly name: string;
  readonly query: URLSearchParams;
  readonly resource: Readonly<Record<string, unknown>>;
  received: Buffer;
}

interface Ask {
  readonly method: string;
  readonly url: URL;
  readonly headers: http.IncomingHttpHeaders;
  readonly body: Buffer;
  readonly how: GcsFaultKind | undefined;
}

interface Answer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string | number>>;
  readonly body?: Buffer | string;
}

/** Options of {@link startGcsServer}. */
export interface GcsServerOptions {
  /** What the size of a part but the last is a multiple of: 256 KiB, as the service has it. */
  readonly partBytesUnit?: number;
  /** Objects on one page of a list, at most. */
  readonly pageMax?: number;
  /** Milliseconds by which its clock is ahead. */
  readonly clockAhead?: number;
  /**
   * Numbers no answers, and takes the question how much of an upload it has for its end, whatever is
   * there: as fake-gcs-server does.
   */
  readonly emulator?: boolean;
  /** Speaks TLS, with this key and certificate. */
  readonly tls?: { readonly key: Buffer; readonly cert: Buffer };
}

/**
 * A server that speaks as much of the JSON interface of Cloud Storage as the backend needs, over HTTP on
 * the loopback: bearer tokens and checksums checked, generations, resumable uploads, ranges, pages of
 * chance sizes, errors as JSON. It issues its tokens itself, at `/token`. It has one bucket `models`, one
 * for which whoever asks pays, `paid`, a public one, `public`, and one that anybody may write to, `open`.
 */
export class GcsServer {
  readonly buckets = new Map<string, Map<string, GcsObject>>([
    ['models', new Map()],
    ['paid', new Map()],
    ['public', new Map()],
    ['open', new Map()],
  ]);
  /** Uploads that were neither completed nor ended. */
  readonly uploads = new Map<string, Upload>();
  /** Objects that completed uploads made: the service tells of them for a week. */
  readonly #completed = new Map<string, Answer>();
  /** One line for each request to the storage: method, path and query. */
  readonly log: string[] = [];
  /** What a token is issued for. */
  readonly subjectToken = 'test subject';
  /** Connections that were accepted. */
  connections = 0;
  /** What `/token` answers instead of a token. */
  tokenRefusal: { readonly status: number; readonly error: string } | undefined;
  readonly #tokens = new Set<string>();
  readonly #options: Required<Omit<GcsServerOptions, 'tls'>> & Pick<GcsServerOptions, 'tls'>;
  readonly #http: http.Server;
  #faults: { how: GcsFaultKind; at: string; left: number }[] = [];
  #numbers = 0;

  constructor(options: GcsServerOptions) {
    const usual = { partBytesUnit: 256 * 1024, pageMax: 1000, clockAhead: 0, emulator: false };
    this.#options = { ...usual, ...options };
    const { tls } = options;
    const serve = (request: http.IncomingMessage, response: http.ServerResponse) => {
      void this.#serve(request, response).catch(() => response.destroy());
    };
    this.#http = tls === undefined ? http.createServer(serve) : https.createServer(tls, serve);
    this.#http.on('connection', () => this.connections++);
  }

  get endpoint(): string {
    const scheme = this.#options.tls === undefined ? 'http' : 'https';
    return `${scheme}://127.0.0.1:${(this.#http.address() as AddressInfo).port}`;
  }

  listen(): Promise<void> {
    return new Promise((resolve) => this.#http.listen(0, '127.0.0.1', resolve));
  }

  close(): Promise<void> {
    this.#http.closeAllConnections();
    return new Promise((resolve) => this.#http.close(() => resolve()));
  }

  /** Lets requests fail from now on. */
  fault({ how, at = '', times = 1 }: GcsFault): void {
    this.#faults.push({ how, at, left: times });
  }

  heal(): void {
    this.#faults = [];
  }

  /** Makes all tokens invalid that were issued so far. */
  revoke(): void {
    this.#tokens.clear();
  }

  #faultOf(line: string): GcsFaultKind | undefined {
    const fault = this.#faults.find(({ at, left }) => left > 0 && line.includes(at));
    if (fault === undefined) return undefined;
    fault.left--;
    return fault.how;
  }

  async #serve(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    const { method = '', url: target = '' } = request;
    response.sendDate = false;
    const now = new Date(Date.now() + this.#options.clockAhead).toUTCString();
    response.setHeader('date', now);
    const blocks: Buffer[] = [];
    const url = new URL(target, 'http://localhost');
    const line = `${method} ${target}`;
    const how = url.pathname === '/token' ? undefined : this.#faultOf(line);
    if (url.pathname !== '/token') this.log.push(line);
    for await (const block of request) blocks.push(block as Buffer);
    const body = Buffer.concat(blocks);
    if (url.pathname === '/token') return send(response, this.#issue(body));
    if (how === 'reset') return void request.socket.destroy();
    if (how === 'stall') return;
    if (how === 'web-page') {
      return send(response, { status: 200, body: '<html><body>Hello</body></html>' });
    }
    if (typeof how === 'object') return send(response, errorAnswer(how));
    const answer = this.#answer({ method, url, headers: request.headers, body, how });
    if (how === 'lost-reply') return void request.socket.destroy();
    if (how === 'failed-reply')
      return send(response, errorAnswer({ status: 503, reason: 'backendError' }));
    if (how === 'wrong-range') {
      const headers = { ...answer.headers, 'content-range': 'bytes 1-2/3' };
      return send(response, { ...answer, headers });
    }
    if (how === 'stall-body' || how === 'truncate' || how === 'wrong-bytes') {
      return spoil(response, answer, how);
    }
    send(response, answer);
  }

  #issue(body: Buffer): Answer {
    if (this.tokenRefusal !== undefined) {
      const { status, error } = this.tokenRefusal;
      return json(status, { error, error_description: 'Test' });
    }
    if (new URLSearchParams(String(body)).get('subject_token') !== this.subjectToken) {
      return json(400, { error: 'invalid_grant', error_description: 'Test' });
    }
    const token = `token-${++this.#numbers}`;
    this.#tokens.add(token);
    const issued_token_type = 'urn:ietf:params:oauth:token-type:access_token';
    return json(200, {
      access_token: token,
      issued_token_type,
      token_type: 'Bearer',
      expires_in: 3600,
    });
  }

  #answer(ask: Ask): Answer {
    const { method, url } = ask;
    const [, upload, bucket = '', name] =
      /^(\/upload)?\/storage\/v1\/b\/([^/]+)\/o(?:\/([^/]+))?$/.exec(url.pathname) ?? [];
    if (bucket === '') return { status: 404, body: 'Not Found' };
    const refusal = this.#refusal(ask, bucket);
    if (refusal !== undefined) return refusal;
    const objects = this.buckets.get(bucket);
    if (objects === undefined) {
      return errorAnswer({
        status: 404,
        reason: 'notFound',
        message: 'The specified bucket does not exist.',
      });
    }
    if (upload !== undefined) return this.#upload(objects, bucket, ask);
    if (name === undefined)
      return method === 'GET' ? this.#list(objects, url.searchParams) : noMethod;
    const key = decodeURIComponent(name);
    const object = objects.get(key);
    if (object === undefined) {
      const text = `No such object: ${bucket}/${key}`;
      // Where bytes are asked for, the service answers in plain text.
      if (url.searchParams.get('alt') === 'media') return { status: 404, body: text };
      return errorAnswer({ status: 404, reason: 'notFound', message: text });
    }
    if (method === 'DELETE') {
      objects.delete(key);
      return { status: 204 };
    }
    if (method !== 'GET') return noMethod;
    if (url.searchParams.get('alt') === 'media') return read(object, ask);
    return json(200, resourceOf(bucket, key, object));
  }

  #refusal({ method, url, headers }: Ask, bucket: string): Answer | undefined {
    const { authorization } = headers;
    if (authorization === undefined) {
      if (bucket === 'open' || (bucket === 'public' && method === 'GET')) return undefined;
      const message = 'Anonymous caller does not have access';
      return errorAnswer({ status: 401, reason: 'required', message });
    }
    if (!this.#tokens.has(authorization.replace(/^Bearer /, ''))) {
      return errorAnswer({ status: 401, reason: 'authError', message: 'Invalid Credentials' });
    }
    if (bucket === 'paid' && !url.searchParams.has('userProject')) {
      return errorAnswer({
        status: 400,
        reason: 'required',
        message: 'Bucket is a requester pays bucket',
      });
    }
    return undefined;
  }

  #upload(objects: Map<string, GcsObject>, bucket: string, ask: Ask): Answer {
    const { method, url, headers } = ask;
    const query = url.searchParams;
    const id = query.get('upload_id');
    if (id !== null) return this.#continue(objects, id, ask);
    if (method !== 'POST') return noMethod;
    const name = query.get('name') ?? '';
    if (query.get('uploadType') === 'multipart') {
      const parts = splitParts(ask.body, headers['content-type'] ?? '');
      if (parts === undefined) return errorAnswer({ status: 400, reason: 'parseError' });
      const { resource, bytes } = parts;
      return this.#make(objects, { bucket, name, query, resource, received: arrived(bytes, ask) });
    }
    if (query.get('uploadType') !== 'resumable')
      return errorAnswer({ status: 400, reason: 'invalid' });
    if (isTaken(objects, name, query)) return taken;
    const resource = JSON.parse(String(ask.body)) as Record<string, unknown>;
    const newId = `upload-${++this.#numbers}`;
    this.uploads.set(newId, { bucket, name, query, resource, received: Buffer.alloc(0) });
    const location = `http://elsewhere.invalid${url.pathname}?uploadType=resumable&upload_id=${newId}`;
    const number = this.#options.emulator ? {} : { 'x-guploader-uploadid': newId };
    return { status: 200, headers: { location, ...number } };
  }

  #continue(objects: Map<string, GcsObject>, id: string, ask: Ask): Answer {
    if (ask.how === 'forgotten') this.uploads.delete(id);
    const completed = this.#completed.get(id);
    if (completed !== undefined && ask.method === 'PUT') return completed;
    const upload = this.uploads.get(id);
    if (upload === undefined) return errorAnswer({ status: 404, reason: 'notFound' });
    if (ask.method === 'DELETE') {
      this.uploads.delete(id);
      return { status: 499 };
    }
    const range = ask.headers['content-range'] ?? '';
    const [, first, last, total] = /^bytes (?:(\d+)-(\d+)|\*)\/(\d+)$/.exec(range) ?? [];
    if (total === undefined) return errorAnswer({ status: 400, reason: 'invalid' });
    if (first === undefined && !this.#options.emulator) return incomplete(upload);
    if (first === undefined) return this.#finish(objects, id, upload);
    const length = Number(last) + 1 - Number(first);
    const isLast = Number(last) + 1 === Number(total);
    const whole = isLast || ask.body.length % this.#options.partBytesUnit === 0;
    if (Number(first) !== upload.received.length || ask.body.length !== length || !whole) {
      return errorAnswer({ status: 400, reason: 'invalid', message: 'Invalid range of a part' });
    }
    const half = ask.body.subarray(0, Math.ceil(length / 2));
    const kept = ask.how === 'half-taken' ? half : arrived(ask.body, ask);
    upload.received = Buffer.concat([upload.received, kept]);
    if (upload.received.length < Number(total)) return incomplete(upload);
    const [, wanted] = /crc32c=([^,]+)/.exec(String(ask.headers['x-goog-hash'] ?? '')) ?? [];
    const resource =
      wanted === undefined ? upload.resource : { ...upload.resource, crc32c: wanted };
    return this.#finish(objects, id, { ...upload, resource });
  }

  #finish(objects: Map<string, GcsObject>, id: string, upload: Upload): Answer {
    const answer = this.#make(objects, upload);
    this.uploads.delete(id);
    if (answer.status === 200) this.#completed.set(id, answer);
    return answer;
  }

  #make(
    objects: Map<string, GcsObject>,
    { bucket, name, query, resource, received }: Upload,
  ): Answer {
    const wanted = resource['crc32c'];
    if (wanted !== undefined && wanted !== crcText(received)) {
      const message = `Provided CRC32C "${wanted}" doesn't match calculated CRC32C "${crcText(received)}".`;
      return errorAnswer({ status: 400, reason: 'invalid', message });
    }
    if (isTaken(objects, name, query)) return taken;
    const kmsKeyName = query.get('kmsKeyName');
    const object: GcsObject = {
      bytes: received,
      created: new Date(),
      generation: 1_700_000_000_000_000 + ++this.#numbers,
      resource: { ...resource, ...(kmsKeyName === null ? {} : { kmsKeyName }) },
    };
    objects.set(name, object);
    return json(200, resourceOf(bucket, name, object));
  }

  #list(objects: Map<string, GcsObject>, query: URLSearchParams): Answer {
    const prefix = query.get('prefix') ?? '';
    const after = Buffer.from(query.get('pageToken') ?? '', 'base64url').toString();
    const keys = [...objects.keys()].filter((key) => key.startsWith(prefix) && key > after).sort();
    const most = Math.min(Number(query.get('maxResults') ?? 1000), this.#options.pageMax);
    const page = keys.slice(0, 1 + Math.floor(Math.random() * most));
    const items = page.map((name) => {
      const { bytes, created = new Date() } = objects.get(name) as GcsObject;
      return { name, size: String(bytes.length), timeCreated: created.toISOString() };
    });
    const nextPageToken = Buffer.from(page.at(-1) ?? '').toString('base64url');
    return json(200, {
      kind: 'storage#objects',
      ...(page.length < keys.length ? { nextPageToken } : {}),
      ...(items.length === 0 ? {} : { items }),
    });
  }
}

/** Starts a server; the caller closes it. */
export async function startGcsServer(options: GcsServerOptions = {}): Promise<GcsServer> {
  const server = new GcsServer(options);
  await server.listen();
  return server;
}

/** The bytes of a request, as they arrive. */
function arrived(bytes: Buffer, { how }: Ask): Buffer {
  if (how !== 'damaged') return bytes;
  const damaged = Buffer.from(bytes);
  damaged[0] = (damaged[0] ?? 0) ^ 1;
  return damaged;
}

/** Asks for the bytes behind those that have arrived. */
function incomplete({ received }: Upload): Answer {
  const range = received.length === 0 ? {} : { range: `bytes=0-${received.length - 1}` };
  return { status: 308, headers: range };
}

function isTaken(objects: Map<string, GcsObject>, name: string, query: URLSearchParams): boolean {
  const wanted = query.get('ifGenerationMatch');
  return wanted !== null && Number(wanted) !== (objects.get(name)?.generation ?? 0);
}

function splitParts(
  body: Buffer,
  type: string,
): { resource: Record<string, unknown>; bytes: Buffer } | undefined {
  const [, boundary] = /^multipart\/related; boundary=([0-9a-f]+)$/.exec(type) ?? [];
  const [end, gap] = [`\r\n--${boundary}--\r\n`, '\r\n\r\n'];
  const first = body.indexOf(gap);
  const second = body.indexOf(`\r\n--${boundary}\r\n`, first);
  const start = body.indexOf(gap, second) + gap.length;
  if (boundary === undefined || second < 0 || String(body.subarray(-end.length)) !== end)
    return undefined;
  const resource = JSON.parse(String(body.subarray(first, second))) as Record<string, unknown>;
  return { resource, bytes: body.subarray(start, -end.length) };
}

function resourceOf(
  bucket: string,
  name: string,
  { bytes, generation, resource, created = new Date() }: GcsObject,
) {
  const own = { kind: 'storage#object', bucket, name, size: String(bytes.length) };
  return {
    ...resource,
    ...own,
    timeCreated: created.toISOString(),
    generation: String(generation),
    crc32c: crcText(bytes),
  };
}

function read({ bytes, generation }: GcsObject, { headers, how }: Ask): Answer {
  const md5 = createHash('md5').update(bytes).digest('base64');
  const own = {
    'x-goog-generation': String(generation),
    'x-goog-hash': `crc32c=${crcText(bytes)},md5=${md5}`,
    'accept-ranges': 'bytes',
  };
  const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(headers.range ?? '') ?? [];
  if (first === undefined || how === 'no-range') return { status: 200, headers: own, body: bytes };
  const start = Number(first);
  const end = Math.min(Number(last) + 1, bytes.length);
  if (start >= bytes.length) return { status: 416, body: 'Request range not satisfiable' };
  const range = { 'content-range': `bytes ${start}-${end - 1}/${bytes.length}` };
  return { status: 206, headers: { ...own, ...range }, body: bytes.subarray(start, end) };
}

const taken = errorAnswer({ status: 412, reason: 'conditionNotMet' });
const noMethod = errorAnswer({ status: 405, reason: 'methodNotAllowed' });

function errorAnswer(fault: Extract<GcsFaultKind, object>): Answer {
  const { status, reason, message = 'Test', retryAfter } = fault;
  const headers = {
    'x-guploader-uploadid': 'R1',
    ...(retryAfter === undefined ? {} : { 'retry-after': retryAfter }),
  };
  if (reason === undefined) return { status, headers };
  const errors = [{ message, domain: 'global', reason }];
  return { ...json(status, { error: { code: status, message, errors } }), headers };
}

function json(status: number, value: object): Answer {
  const headers = { 'content-type': 'application/json; charset=UTF-8' };
  return { status, headers, body: JSON.stringify(value) };
}

function send(response: http.ServerResponse, answer: Answer): void {
  const body = Buffer.from(answer.body ?? '');
  const length = answer.status === 204 ? {} : { 'content-length': body.length };
  response.writeHead(answer.status, { ...answer.headers, ...length });
  response.end(body);
}

/** Sends the first half of a body as it is, then stops, breaks off or goes on with other bytes. */
function spoil(
  response: http.ServerResponse,
  answer: Answer,
  how: 'stall-body' | 'truncate' | 'wrong-bytes',
): void {
  const body = Buffer.from(answer.body ?? '');
  const half = Math.floor(body.length / 2);
  response.writeHead(answer.status, { ...answer.headers, 'content-length': body.length });
  response.write(body.subarray(0, half), () => {
    if (how === 'truncate') response.destroy();
    if (how === 'wrong-bytes') response.end(Buffer.alloc(body.length - half));
  });
}

function crcText(bytes: Buffer): string {
  const sum = Buffer.alloc(4);
  sum.writeUInt32BE(crc32c(bytes));
  return sum.toString('base64');
}
