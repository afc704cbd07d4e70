import { createHash, randomBytes } from 'node:crypto';
import * as http from 'node:http';
import * as https from 'node:https';
import type { AddressInfo } from 'node:net';
import { crc32 } from 'node:zlib';
import { allowsRequest, type S3Policy } from './s3-policy-rules.ts';
import { checkSignature, type Refusal } from './s3-signature.ts';

/** How a request goes wrong: with an error of S3, or as the words of {@link S3Fault} say. */
export type S3FaultKind =
  | {
      readonly status: number;
      readonly code?: string;
      /** Retry-After: seconds or a date. */
      readonly retryAfter?: number | string;
      /** What the clock of the server says. */
      readonly date?: string;
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
  | 'web-page';

/**
 * A fault of the server. `lost-reply` and `failed-reply` do what was asked, then break off or answer 500;
 * `stall-body`, `truncate` and `wrong-bytes` spoil the second half of a body.
 */
export interface S3Fault {
  readonly how: S3FaultKind;
  /** A method and a part of the path with its query: `PUT /bucket/a?partNumber=2`; all by default. */
  readonly at?: string;
  /** How often; once by default. */
  readonly times?: number;
}

interface StoredObject {
  readonly bytes: Buffer;
  readonly etag: string;
  /** `x-amz-…` headers that the writer sent to be kept. */
  readonly headers: Readonly<Record<string, string>>;
  /** When it was written; absent where a test put it there. */
  readonly modified?: Date;
}

interface Upload {
  readonly bucket: string;
  readonly key: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Whether parts must have a CRC-32, and the end of the upload name it. */
  readonly checked: boolean;
  /** Milliseconds since 1970-01-01 UTC. */
  begun: number;
  readonly parts: Map<number, StoredObject>;
}

/** What one request asks for. */
interface Ask {
  readonly method: string;
  readonly bucket: string;
  readonly key: string;
  readonly query: URLSearchParams;
  readonly headers: http.IncomingHttpHeaders;
  readonly body: Buffer;
}

interface Answer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string | number>>;
  readonly body?: Buffer | string;
}

/** Options of {@link startS3Server}. */
export interface S3ServerOptions {
  /** Least size of a part that is not the last: 5 MiB, as the service has it. */
  readonly partBytesMin?: number;
  /** Objects on one page of a list, at most. */
  readonly pageMax?: number;
  /** Milliseconds by which its clock is ahead. */
  readonly clockAhead?: number;
  /** What it does with `If-None-Match`: some services ignore it, some answer 501. */
  readonly conditions?: 'kept' | 'ignored' | 'refused';
  /** Speaks TLS, with this key and certificate. */
  readonly tls?: { readonly key: Buffer; readonly cert: Buffer };
  /** What names a part: a digest of its bytes, or a word drawn anew each time, as where keys encrypt it. */
  readonly etags?: 'digest' | 'drawn';
  /** Knows checksums in the head of a request; true by default. */
  readonly checksums?: boolean;
}

/**
 * A server that speaks as much of S3 as the backend needs, over HTTP on the loopback: signatures and
 * digests checked, conditional writes, parts, ranges, pages, errors as XML. It has one bucket `models`
 * in the region `eu-test-1`, and a public one, `public`. Bodies in chunks with trailing checksums are
 * refused, as several real servers do.
 */
export class S3Server {
  readonly buckets = new Map<string, Map<string, StoredObject>>([
    ['models', new Map()],
    ['public', new Map()],
  ]);
  /** Uploads that were neither completed nor ended. */
  readonly uploads = new Map<string, Upload>();
  /** One line for each request: method, path and query. */
  readonly log: string[] = [];
  readonly accessKey = 'TESTKEY';
  readonly secret = 'test secret';
  readonly region = 'eu-test-1';
  /** Others than the owner, by their access keys, with all that they may do. */
  readonly users = new Map<string, { readonly secret: string; readonly policy: S3Policy }>();
  /** What the bucket says of itself; with `locked`, nothing can be deleted. */
  readonly bucketState = { versioned: false, locked: false };
  /** Bodies whose digest was in no signature; taken over TLS alone. */
  unsignedBodies = 0;
  /** Bodies that came with a CRC-32, which was right. */
  checkedBodies = 0;
  /** Connections that were accepted. */
  connections = 0;
  readonly #options: Required<Omit<S3ServerOptions, 'tls'>> & Pick<S3ServerOptions, 'tls'>;
  readonly #http: http.Server;
  #faults: { how: S3FaultKind; at: string; left: number }[] = [];
  #numbers = 0;

  constructor(options: S3ServerOptions) {
    const usual = {
      pageMax: 1000,
      clockAhead: 0,
      conditions: 'kept',
      checksums: true,
      etags: 'digest',
    } as const;
    this.#options = { partBytesMin: 5 * 1024 * 1024, ...usual, ...options };
    const serve = (request: http.IncomingMessage, response: http.ServerResponse) => {
      void this.#serve(request, response).catch(() => response.destroy());
    };
    const { tls } = options;
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
  fault({ how, at = '', times = 1 }: S3Fault): void {
    this.#faults.push({ how, at, left: times });
  }

  heal(): void {
    this.#faults = [];
  }

  #faultOf(line: string): S3FaultKind | undefined {
    const fault = this.#faults.find(({ at, left }) => left > 0 && line.includes(at));
    if (fault === undefined) return undefined;
    fault.left--;
    return fault.how;
  }

  async #serve(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    const line = `${request.method} ${request.url}`;
    this.log.push(line);
    const how = this.#faultOf(line);
    const blocks: Buffer[] = [];
    for await (const block of request) blocks.push(block as Buffer);
    if (how === 'reset') return void request.socket.destroy();
    if (how === 'stall') return;
    if (how === 'web-page') {
      return send(request, response, { status: 200, body: '<html><body>Hello</body></html>' });
    }
    if (typeof how === 'object') return send(request, response, errorAnswer({ code: '', ...how }));
    const answer = this.#answer(request, Buffer.concat(blocks), how === 'no-range');
    if (how === 'lost-reply') return void request.socket.destroy();
    if (how === 'failed-reply') {
      return send(request, response, errorAnswer({ status: 500, code: 'InternalError' }));
    }
    if (how === 'wrong-range') {
      const headers = { ...answer.headers, 'content-range': 'bytes 1-2/3' };
      return send(request, response, { ...answer, headers });
    }
    if (how === undefined || how === 'no-range') return send(request, response, answer);
    spoil(response, answer, how);
  }

  #answer(request: http.IncomingMessage, body: Buffer, wholeOnly: boolean): Answer {
    const url = new URL(request.url ?? '', 'http://localhost');
    const [, bucket = '', ...names] = url.pathname.split('/').map(decodeURIComponent);
    const headers = { ...request.headers };
    if (wholeOnly) delete headers.range;
    const method = request.method ?? '';
    const ask: Ask = {
      method,
      bucket,
      key: names.join('/'),
      query: url.searchParams,
      headers,
      body,
    };
    const refusal = this.#refusal(request, ask) ?? this.#forbidden(ask);
    if (refusal !== undefined) return errorAnswer(refusal);
    const objects = this.buckets.get(bucket);
    if (objects === undefined) return errorAnswer({ status: 404, code: 'NoSuchBucket' });
    if (ask.key === '') {
      if (method !== 'GET') return notImplemented;
      if (ask.query.has('uploads')) return this.#listUploads(bucket, ask.query);
      if (ask.query.has('versioning') || ask.query.has('object-lock'))
        return this.#state(ask.query);
      return ask.query.get('list-type') === '2' ? this.#list(objects, ask.query) : notImplemented;
    }
    if (ask.query.has('uploads') || ask.query.has('uploadId')) return this.#upload(objects, ask);
    if (method === 'PUT') return this.#put(objects, ask);
    if (method === 'DELETE') {
      if (this.bucketState.locked && objects.has(ask.key)) return locked;
      objects.delete(ask.key);
      return { status: 204 };
    }
    return method === 'GET' || method === 'HEAD' ? read(objects.get(ask.key), ask) : notImplemented;
  }

  /** What the policy of a user has no right for. */
  #forbidden(ask: Ask): Refusal | undefined {
    const key = /Credential=([^/]+)/.exec(ask.headers.authorization ?? '')?.[1] ?? '';
    const user = this.users.get(key);
    if (user === undefined || allowsRequest(user.policy, ask)) return undefined;
    return { status: 403, code: 'AccessDenied' };
  }

  #state(query: URLSearchParams): Answer {
    const { versioned, locked: isLocked } = this.bucketState;
    if (query.has('versioning')) {
      return xml('VersioningConfiguration', versioned ? '<Status>Enabled</Status>' : '');
    }
    if (!isLocked)
      return errorAnswer({ status: 404, code: 'ObjectLockConfigurationNotFoundError' });
    const rule = '<DefaultRetention><Mode>COMPLIANCE</Mode><Days>30</Days></DefaultRetention>';
    const enabled = '<ObjectLockEnabled>Enabled</ObjectLockEnabled>';
    return xml('ObjectLockConfiguration', `${enabled}<Rule>${rule}</Rule>`);
  }

  #refusal(
    request: http.IncomingMessage,
    { method, bucket, headers, body }: Ask,
  ): Refusal | undefined {
    if (headers.authorization === undefined) {
      const mayRead = bucket === 'public' && (method === 'GET' || method === 'HEAD');
      return mayRead ? undefined : { status: 403, code: 'AccessDenied' };
    }
    // Some servers store the framing of such bodies: nothing may ever send one.
    if (/chunked/.test(`${headers['content-encoding']} ${headers['transfer-encoding']}`)) {
      return { status: 501, code: 'NotImplemented' };
    }
    const others = [...this.users].map(([key, { secret }]) => [key, secret] as const);
    const secrets = { ...Object.fromEntries(others), [this.accessKey]: this.secret };
    const now = Date.now() + this.#options.clockAhead;
    const { tls, checksums } = this.#options;
    const rules = { secrets, region: this.region, now, unsignedBodies: tls !== undefined };
    const refusal = checkSignature(request, body, rules);
    if (refusal !== undefined) return refusal;
    if (headers['x-amz-content-sha256'] === 'UNSIGNED-PAYLOAD') this.unsignedBodies++;
    const sum = headers['x-amz-checksum-crc32'];
    if (!checksums && (sum ?? headers['x-amz-checksum-algorithm']) !== undefined) {
      return { status: 501, code: 'NotImplemented' };
    }
    if (sum === undefined) return undefined;
    if (sum !== checksumOf(body)) return { status: 400, code: 'BadDigest' };
    this.checkedBodies++;
    return undefined;
  }

  /** The answer to a precondition that stands in the way; undefined where the name may be written. */
  #unmet(objects: Map<string, StoredObject>, { headers, key }: Ask): Answer | undefined {
    const { conditions } = this.#options;
    if (headers['if-none-match'] !== '*' || conditions === 'ignored') return undefined;
    if (conditions === 'refused') return notImplemented;
    return objects.has(key) ? taken : undefined;
  }

  #put(objects: Map<string, StoredObject>, ask: Ask): Answer {
    const unmet = this.#unmet(objects, ask);
    if (unmet !== undefined) return unmet;
    const sent = { bytes: ask.body, etag: md5(ask.body), headers: keptHeaders(ask) };
    const object = { ...sent, modified: new Date() };
    objects.set(ask.key, object);
    return { status: 200, headers: { etag: `"${object.etag}"` } };
  }

  #upload(objects: Map<string, StoredObject>, ask: Ask): Answer {
    if (ask.query.has('uploads')) {
      if (ask.method !== 'POST') return notImplemented;
      const id = `upload-${++this.#numbers}`;
      const checked = ask.headers['x-amz-checksum-algorithm'] === 'CRC32';
      const begun = Date.now() + this.#options.clockAhead;
      const { bucket, key } = ask;
      const headers = keptHeaders(ask);
      this.uploads.set(id, { bucket, key, headers, checked, begun, parts: new Map() });
      return xml('InitiateMultipartUploadResult', `<UploadId>${id}</UploadId>`);
    }
    const id = ask.query.get('uploadId') ?? '';
    const upload = this.uploads.get(id);
    if (upload?.key !== ask.key || upload.bucket !== ask.bucket)
      return errorAnswer({ status: 404, code: 'NoSuchUpload' });
    if (ask.method === 'DELETE') {
      this.uploads.delete(id);
      return { status: 204 };
    }
    if (ask.method === 'GET') return this.#listParts(upload, ask.query);
    if (ask.method === 'PUT') {
      if (upload.checked !== (ask.headers['x-amz-checksum-crc32'] !== undefined)) {
        return errorAnswer({ status: 400, code: 'InvalidRequest' });
      }
      const drawn = this.#options.etags === 'drawn';
      const etag = drawn ? randomBytes(16).toString('hex') : md5(ask.body);
      const part = { bytes: ask.body, etag, headers: {}, modified: new Date() };
      upload.parts.set(Number(ask.query.get('partNumber')), part);
      return { status: 200, headers: { etag: `"${etag}"` } };
    }
    return this.#complete(objects, ask, id, upload);
  }

  #complete(objects: Map<string, StoredObject>, ask: Ask, id: string, upload: Upload): Answer {
    const named = [...String(ask.body).matchAll(/<Part>(.*?)<\/Part>/gs)].map(([, text = '']) => ({
      number: Number(/<PartNumber>(\d+)</.exec(text)?.[1]),
      etag: /<ETag>(?:"|&quot;)?([0-9a-f]+)/.exec(text)?.[1],
      sum: /<ChecksumCRC32>([^<]+)</.exec(text)?.[1],
    }));
    const parts = named.flatMap(({ number, etag, sum }) => {
      const part = upload.parts.get(number);
      if (part === undefined || part.etag !== etag) return [];
      return sum === (upload.checked ? checksumOf(part.bytes) : undefined) ? [part] : [];
    });
    const ordered = named.every(({ number }, i) => i === 0 || number > (named[i - 1]?.number ?? 0));
    if (!ordered) return errorAnswer({ status: 400, code: 'InvalidPartOrder' });
    if (parts.length === 0 || parts.length !== named.length) {
      return errorAnswer({ status: 400, code: 'InvalidPart' });
    }
    if (parts.slice(0, -1).some(({ bytes }) => bytes.length < this.#options.partBytesMin)) {
      return errorAnswer({ status: 400, code: 'EntityTooSmall' });
    }
    const unmet = this.#unmet(objects, ask);
    if (unmet !== undefined) return unmet;
    const bytes = Buffer.concat(parts.map((part) => part.bytes));
    const digests = Buffer.concat(parts.map(({ etag }) => Buffer.from(etag, 'hex')));
    const etag = `${md5(digests)}-${parts.length}`;
    objects.set(ask.key, { bytes, etag, headers: upload.headers, modified: new Date() });
    this.uploads.delete(id);
    return xml('CompleteMultipartUploadResult', `<ETag>&quot;${etag}&quot;</ETag>`);
  }

  #listUploads(bucket: string, query: URLSearchParams): Answer {
    const prefix = query.get('prefix') ?? '';
    const [keyAfter, idAfter] = [query.get('key-marker') ?? '', query.get('upload-id-marker')];
    const all = [...this.uploads]
      .filter(([, one]) => one.bucket === bucket && one.key.startsWith(prefix))
      .sort(([a, { key: x }], [b, { key: y }]) => (x === y ? (a < b ? -1 : 1) : x < y ? -1 : 1))
      .filter(
        ([id, { key }]) => key > keyAfter || (key === keyAfter && idAfter !== null && id > idAfter),
      );
    const page = all.slice(0, this.#options.pageMax);
    const [lastId = '', last] = page.at(-1) ?? [];
    const next =
      page.length < all.length
        ? `<NextKeyMarker>${escaped(last?.key ?? '')}</NextKeyMarker><NextUploadIdMarker>${lastId}</NextUploadIdMarker>`
        : '';
    const uploads = page.map(
      ([id, { key, begun, checked }]) =>
        `<Upload><Key>${escaped(key)}</Key><UploadId>${id}</UploadId>${algorithmOf(checked)}` +
        `<Initiated>${new Date(begun).toISOString()}</Initiated></Upload>`,
    );
    const truncated = `<IsTruncated>${next !== ''}</IsTruncated>`;
    return xml('ListMultipartUploadsResult', `${truncated}${next}${uploads.join('')}`);
  }

  #listParts({ parts, checked, headers }: Upload, query: URLSearchParams): Answer {
    const after = Number(query.get('part-number-marker') ?? 0);
    const all = [...parts].filter(([number]) => number > after).sort(([a], [b]) => a - b);
    const page = all.slice(0, this.#options.pageMax);
    const next =
      page.length < all.length
        ? `<NextPartNumberMarker>${page.at(-1)?.[0]}</NextPartNumberMarker>`
        : '';
    const listed = page.map(([number, { bytes, etag }]) => {
      const sum = checked ? `<ChecksumCRC32>${checksumOf(bytes)}</ChecksumCRC32>` : '';
      return `<Part><PartNumber>${number}</PartNumber><ETag>&quot;${etag}&quot;</ETag><Size>${bytes.length}</Size>${sum}</Part>`;
    });
    const truncated = `<IsTruncated>${next !== ''}</IsTruncated>`;
    const kept = `<StorageClass>${headers['x-amz-storage-class'] ?? 'STANDARD'}</StorageClass>`;
    const head = `${truncated}${next}${kept}${algorithmOf(checked)}`;
    return xml('ListPartsResult', `${head}${listed.join('')}`);
  }

  #list(objects: Map<string, StoredObject>, query: URLSearchParams): Answer {
    const prefix = query.get('prefix') ?? '';
    const after = Buffer.from(query.get('continuation-token') ?? '', 'base64url').toString();
    const keys = [...objects.keys()].filter((key) => key.startsWith(prefix) && key > after).sort();
    const max = Math.min(Number(query.get('max-keys') ?? 1000), this.#options.pageMax);
    const page = keys.slice(0, max);
    const next =
      page.length < keys.length
        ? `<NextContinuationToken>${Buffer.from(page.at(-1) ?? '').toString('base64url')}</NextContinuationToken>`
        : '';
    const contents = page.map((key) => {
      const { bytes, modified = new Date() } = objects.get(key) as StoredObject;
      const about = `<LastModified>${modified.toISOString()}</LastModified><Size>${bytes.length}</Size>`;
      return `<Contents><Key>${escaped(key)}</Key>${about}</Contents>`;
    });
    const truncated = `<IsTruncated>${next !== ''}</IsTruncated>`;
    return xml('ListBucketResult', `${truncated}${next}${contents.join('')}`);
  }
}

/** Starts a server; the caller closes it. */
export async function startS3Server(options: S3ServerOptions = {}): Promise<S3Server> {
  const server = new S3Server(options);
  await server.listen();
  return server;
}

function read(object: StoredObject | undefined, { headers }: Ask): Answer {
  if (object === undefined) return errorAnswer({ status: 404, code: 'NoSuchKey' });
  const { bytes, etag } = object;
  const own = { ...object.headers, etag: `"${etag}"`, 'accept-ranges': 'bytes' };
  const [, first, last] = /^bytes=(\d+)-(\d+)?$/.exec(headers.range ?? '') ?? [];
  if (first === undefined) return { status: 200, headers: own, body: bytes };
  const start = Number(first);
  const end = Math.min(last === undefined ? bytes.length : Number(last) + 1, bytes.length);
  if (start >= bytes.length) return errorAnswer({ status: 416, code: 'InvalidRange' });
  const range = { 'content-range': `bytes ${start}-${end - 1}/${bytes.length}` };
  return { status: 206, headers: { ...own, ...range }, body: bytes.subarray(start, end) };
}

function keptHeaders({ headers }: Ask): Record<string, string> {
  const kept = /^x-amz-(meta-.*|storage-class|server-side-encryption.*)$/;
  const all = Object.entries(headers).filter(([name]) => kept.test(name));
  return Object.fromEntries(all.map(([name, value]) => [name, String(value)]));
}

const taken = errorAnswer({ status: 412, code: 'PreconditionFailed' });
const locked = errorAnswer({ status: 400, code: 'ObjectLocked' });
const notImplemented = errorAnswer({ status: 501, code: 'NotImplemented' });

function errorAnswer(
  refusal: Refusal & { readonly retryAfter?: number | string; readonly date?: string },
): Answer {
  const { status, code, region, retryAfter, date } = refusal;
  const inRegion = region === undefined ? '' : `<Region>${region}</Region>`;
  const text = `<Error><Code>${code}</Code><Message>Test</Message>${inRegion}<RequestId>R1</RequestId></Error>`;
  const headers = {
    ...(retryAfter === undefined ? {} : { 'retry-after': retryAfter }),
    ...(date === undefined ? {} : { date }),
    ...(region === undefined ? {} : { 'x-amz-bucket-region': region }),
  };
  return { status, headers, body: code === '' ? '' : `<?xml version="1.0"?>${text}` };
}

function xml(name: string, content: string): Answer {
  const namespace = 'http://s3.amazonaws.com/doc/2006-03-01/';
  const body = `<?xml version="1.0"?><${name} xmlns="${namespace}">${content}</${name}>`;
  return { status: 200, headers: { 'content-type': 'application/xml' }, body };
}

function algorithmOf(checked: boolean): string {
  return checked ? '<ChecksumAlgorithm>CRC32</ChecksumAlgorithm>' : '';
}

function escaped(text: string): string {
  return text.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;');
}

function send(request: http.IncomingMessage, response: http.ServerResponse, answer: Answer): void {
  const body = Buffer.from(answer.body ?? '');
  const length = answer.status === 204 ? {} : { 'content-length': body.length };
  response.writeHead(answer.status, { ...answer.headers, ...length });
  response.end(request.method === 'HEAD' ? undefined : body);
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

function checksumOf(bytes: Buffer): string {
  const sum = Buffer.alloc(4);
  sum.writeUInt32BE(crc32(bytes));
  return sum.toString('base64');
}

function md5(bytes: Buffer): string {
  return createHash('md5').update(bytes).digest('hex');
}
