import { createHash } from 'node:crypto';
import * as http from 'node:http';
import * as https from 'node:https';
import type { AddressInfo } from 'node:net';
import { onTestFinished } from 'vitest';
import { sha256 } from '../../src/base/digest.ts';

/** How an answer goes wrong. */
export type HubFaultKind =
  | { readonly status: number; readonly headers?: Readonly<Record<string, string>> }
  | 'reset'
  | 'truncate'
  | 'stall'
  | 'wrong-bytes'
  | 'longer'
  | 'no-range'
  | 'other-range'
  | 'packed'
  | 'to-http'
  | 'circle';

/** A fault of the server. */
export interface HubFault {
  readonly how: HubFaultKind;
  /** A part of the path with its query. */
  readonly at: string;
  /** How often; once by default. */
  readonly times?: number;
}

/** A file of a repository: its bytes, and whether it is one of Git LFS. */
interface HubFile {
  readonly bytes: Buffer;
  readonly lfs: boolean;
}

type HubTree = ReadonlyMap<string, HubFile>;

/** A repository of the server. */
export interface HubRepository {
  /** Whoever has no token that may read it is told that there is none. */
  readonly private?: boolean;
  readonly gated?: boolean;
  readonly commits: Map<string, HubTree>;
  /** Branches and tags, and the commits that they name. */
  readonly refs: Map<string, string>;
}

/** One request that came. */
export interface HubRequest {
  readonly method: string;
  readonly url: string;
  readonly authorization: string | undefined;
  readonly range: string | undefined;
  /** Bytes of the body that was sent. */
  sent: number;
}

/** With what a server speaks TLS. */
export interface HubTls {
  readonly key: Buffer;
  readonly cert: Buffer;
}

/** A server that speaks the Hub's protocol for models: revisions, listings in pages, files with a host of their own. */
export class HubServer {
  readonly repositories = new Map<string, HubRepository>();
  readonly requests: HubRequest[] = [];
  /** Tokens that may read what is private, and what is gated. */
  readonly tokens = new Map<string, { readonly granted: boolean }>();
  faults: HubFault[] = [];
  /** Entries of a page of a listing. */
  pageEntries = 3;
  /** Called for each request, before it is answered. */
  onRequest: (request: HubRequest) => void = () => {};
  /** Changes the entries of a listing. */
  spoil: (entries: object[]) => object[] = (entries) => entries;
  readonly #protocol: 'http' | 'https';
  readonly #server: http.Server;
  /** Files of LFS come from here, as from the content network of the Hub. */
  readonly #cdn: http.Server;

  private constructor(tls: HubTls | undefined) {
    const answer: http.RequestListener = (request, response) => this.#answer(request, response);
    const make = () =>
      tls === undefined ? http.createServer(answer) : https.createServer(tls, answer);
    this.#protocol = tls === undefined ? 'http' : 'https';
    this.#server = make();
    this.#cdn = make();
  }

  /** Starts a server on loopback; it ends with the test. */
  static async start(tls?: HubTls): Promise<HubServer> {
    const server = new HubServer(tls);
    for (const one of [server.#server, server.#cdn]) {
      await new Promise<void>((resolve) => one.listen(0, '127.0.0.1', resolve));
      onTestFinished(() => {
        one.closeAllConnections();
        one.close();
      });
    }
    return server;
  }

  get endpoint(): string {
    return `${this.#protocol}://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  get #cdnHost(): string {
    return `${this.#protocol}://127.0.0.1:${(this.#cdn.address() as AddressInfo).port}`;
  }

  /**
   * Makes a commit of a repository, which its branch `main` names then.
   * @param files texts and bytes by path; those of 1,000 bytes and more are of LFS
   * @returns the commit
   */
  commit(
    name: string,
    files: Readonly<Record<string, string | Buffer>>,
    flags: Pick<HubRepository, 'private' | 'gated'> = {},
  ): string {
    const known = this.repositories.get(name);
    const repository = known ?? { ...flags, commits: new Map(), refs: new Map() };
    const tree = new Map(
      Object.entries(files).map(([path, content]) => {
        const bytes = Buffer.from(content);
        return [path, { bytes, lfs: bytes.length >= 1000 }] as const;
      }),
    );
    const id = [...tree].map(([path, { bytes }]) => path + sha1(bytes)).join();
    const commit = sha1(Buffer.from(`${repository.commits.size} ${id}`));
    repository.commits.set(commit, tree);
    repository.refs.set('main', commit);
    this.repositories.set(name, repository);
    return commit;
  }

  /** Requests for bytes of files. */
  get downloads(): HubRequest[] {
    return this.requests.filter(({ url }) => url.startsWith('/cdn/') || url.includes('/resolve/'));
  }

  /** Bytes of bodies of files that were sent. */
  get bytesSent(): number {
    return this.downloads.reduce((sum, { sent }) => sum + sent, 0);
  }

  #answer(request: http.IncomingMessage, response: http.ServerResponse): void {
    const { authorization, range } = request.headers;
    const asked: HubRequest = {
      method: request.method ?? '',
      url: request.url ?? '',
      authorization,
      range,
      sent: 0,
    };
    this.requests.push(asked);
    this.onRequest(asked);
    const fault = this.#fault(asked.url);
    if (typeof fault === 'object') {
      response.writeHead(fault.status, fault.headers).end('{"error":"a fault"}');
      return;
    }
    if (fault === 'reset') {
      request.socket.resetAndDestroy();
      return;
    }
    if (fault === 'circle') {
      response.writeHead(302, { location: asked.url }).end();
      return;
    }
    if (fault === 'to-http') {
      response.writeHead(302, { location: 'ftp://127.0.0.1/x' }).end();
      return;
    }
    this.#serve(asked, fault, response);
  }

  #fault(url: string): HubFaultKind | undefined {
    const fault = this.faults.find(({ at }) => url.includes(at));
    if (fault === undefined) return undefined;
    const left = (fault.times ?? 1) - 1;
    this.faults = this.faults.flatMap((one) =>
      one !== fault ? [one] : left > 0 ? [{ ...one, times: left }] : [],
    );
    return fault.how;
  }

  #serve(asked: HubRequest, fault: HubFaultKind | undefined, response: http.ServerResponse): void {
    const url = new URL(asked.url, this.endpoint);
    const api = /^\/api\/models\/(.+?)\/(revision|tree)\/([^/]+)$/.exec(url.pathname);
    const file = /^\/(cdn\/)?(.+?)\/resolve\/([^/]+)\/(.+)$/.exec(url.pathname);
    const [, cdn] = file ?? [];
    const name = (api?.[1] ?? file?.[2] ?? '') as string;
    const repository = this.#allowed(name, asked, response, cdn !== undefined);
    if (repository === undefined) return;
    const revision = decodeURIComponent(api?.[3] ?? file?.[3] ?? '');
    const commit = repository.refs.get(revision) ?? revision;
    const tree = repository.commits.get(commit);
    if (tree === undefined) refuse(response, 404, 'RevisionNotFound');
    else if (api?.[2] === 'revision') json(response, { id: name, _id: 'x', sha: commit });
    else if (api !== null) this.#list(tree, url, response);
    else
      this.#file(
        tree.get(decodeURIComponent(file?.[4] ?? '')),
        { asked, fault, commit, cdn },
        response,
      );
  }

  #allowed(
    name: string,
    { authorization }: HubRequest,
    response: http.ServerResponse,
    isCdn: boolean,
  ): HubRepository | undefined {
    const token = authorization?.replace('Bearer ', '');
    if (!isCdn && token !== undefined && !this.tokens.has(token)) {
      response.setHeader('x-error-message', 'Invalid credentials in Authorization header');
      refuse(response, 401, undefined);
      return undefined;
    }
    const who = token === undefined ? undefined : this.tokens.get(token);
    const repository = this.repositories.get(name);
    if (repository === undefined || (repository.private && who === undefined && !isCdn)) {
      refuse(
        response,
        who === undefined ? 401 : 404,
        who === undefined ? undefined : 'RepoNotFound',
      );
      return undefined;
    }
    if (repository.gated && !isCdn && who?.granted !== true) {
      refuse(response, who === undefined ? 401 : 403, 'GatedRepo');
      return undefined;
    }
    return repository;
  }

  #list(tree: HubTree, url: URL, response: http.ServerResponse): void {
    const folders = new Set(
      [...tree.keys()].filter((path) => path.includes('/')).map((path) => path.split('/')[0] ?? ''),
    );
    const entries = this.spoil([
      ...[...folders].map((path) => ({ type: 'directory', path, oid: sha1(path), size: 0 })),
      ...[...tree].map(([path, { bytes, lfs }]) => entryOf(path, bytes, lfs)),
    ]);
    const from = Number(url.searchParams.get('cursor') ?? 0);
    const next = from + this.pageEntries;
    if (next < entries.length) {
      url.searchParams.set('cursor', String(next));
      response.setHeader('link', `<${this.endpoint}${url.pathname}${url.search}>; rel="next"`);
    }
    json(response, entries.slice(from, next));
  }

  #file(
    file: HubFile | undefined,
    how: {
      readonly asked: HubRequest;
      readonly fault: HubFaultKind | undefined;
      readonly commit: string;
      readonly cdn: string | undefined;
    },
    response: http.ServerResponse,
  ): void {
    response.setHeader('x-repo-commit', how.commit);
    if (file === undefined) {
      refuse(response, 404, 'EntryNotFound');
      return;
    }
    if (file.lfs && how.cdn === undefined) {
      // Clients name what they keep of a file by this; that of the content network is another.
      response.setHeader('x-linked-etag', `"${sha256(file.bytes)}"`);
      response.setHeader('x-linked-size', file.bytes.length);
      response.writeHead(302, { location: `${this.#cdnHost}/cdn${how.asked.url}` }).end();
      return;
    }
    response.setHeader('etag', file.lfs ? '"of-the-network"' : `"${gitBlob(file.bytes)}"`);
    sendBytes(file.bytes, how.asked, how.fault, response);
  }
}

function sendBytes(
  whole: Buffer,
  asked: HubRequest,
  fault: HubFaultKind | undefined,
  response: http.ServerResponse,
): void {
  const bytes = fault === 'wrong-bytes' ? flipped(whole) : whole;
  const start = Number(/^bytes=(\d+)-/.exec(asked.range ?? '')?.[1] ?? 0);
  const isPart = asked.range !== undefined && fault !== 'no-range';
  const body = isPart ? bytes.subarray(start) : bytes;
  const more = fault === 'longer' ? Buffer.from('and more') : Buffer.alloc(0);
  const first = fault === 'other-range' ? start + 1 : start;
  response.writeHead(isPart ? 206 : 200, {
    'content-length': body.length + more.length,
    ...(isPart ? { 'content-range': `bytes ${first}-${bytes.length - 1}/${bytes.length}` } : {}),
    ...(fault === 'packed' ? { 'content-encoding': 'gzip' } : {}),
  });
  if (asked.method === 'HEAD') {
    response.end();
    return;
  }
  const isCut = fault === 'truncate' || fault === 'stall';
  const cut = isCut ? Math.floor(body.length / 2) : body.length;
  asked.sent = cut;
  response.write(body.subarray(0, cut), () => {
    if (fault === 'truncate') response.destroy();
    else if (fault !== 'stall') response.end(more);
  });
}

function flipped(bytes: Buffer): Buffer {
  const copy = Buffer.from(bytes);
  copy[copy.length >> 1] = (copy[copy.length >> 1] ?? 0) ^ 1;
  return copy;
}

function entryOf(path: string, bytes: Buffer, lfs: boolean): object {
  const size = bytes.length;
  if (!lfs) return { type: 'file', path, size, oid: gitBlob(bytes) };
  const oid = sha256(bytes);
  const pointer = `version https://git-lfs.github.com/spec/v1\noid sha256:${oid}\nsize ${size}\n`;
  return {
    type: 'file',
    path,
    size,
    oid: gitBlob(Buffer.from(pointer)),
    lfs: { oid, size, pointerSize: pointer.length },
    xetHash: 'f'.repeat(64),
  };
}

function gitBlob(bytes: Buffer): string {
  return sha1(Buffer.concat([Buffer.from(`blob ${bytes.length}\0`), bytes]));
}

function sha1(bytes: Buffer | string): string {
  return createHash('sha1').update(bytes).digest('hex');
}

function json(response: http.ServerResponse, value: unknown): void {
  response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(value));
}

function refuse(response: http.ServerResponse, status: number, code: string | undefined): void {
  response
    .writeHead(status, code === undefined ? {} : { 'x-error-code': code })
    .end(JSON.stringify({ error: 'refused' }));
}
