import * as http from 'node:http';
import * as https from 'node:https';
import type { AddressInfo } from 'node:net';
import { onTestFinished } from 'vitest';
import { sha256 } from '../../src/base/digest.ts';
import { entryOf, gitBlob, sendBytes, sha1 } from './hub-files.ts';
import {
  type HubFile,
  type HubTree,
  HubWrites,
  lfsBytesMin,
  type WriteAnswer,
} from './hub-writes.ts';

/** How an answer goes wrong. */
export type HubFaultKind =
  | { readonly status: number; readonly headers?: Readonly<Record<string, string>> }
  | 'reset'
  | 'truncate'
  | 'cut'
  | 'silent'
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
  /** Bytes of the body that came. */
  received: number;
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
  /** Tokens that may read what is private, what is gated, and who may write. */
  readonly tokens = new Map<string, { readonly granted: boolean; readonly writes?: boolean }>();
  readonly writes = new HubWrites();
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
        return [path, { bytes, lfs: bytes.length >= lfsBytesMin }] as const;
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
      received: 0,
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
    if (request.method === 'GET' || request.method === 'HEAD') {
      this.#serve(asked, fault, response);
      return;
    }
    const blocks: Buffer[] = [];
    request.on('data', (block: Buffer) => {
      blocks.push(block);
      asked.received += block.length;
      if (fault === 'cut' && asked.received > 50_000) request.socket.resetAndDestroy();
    });
    request.on('end', () => {
      const { status, body, headers } = this.#write(asked, Buffer.concat(blocks));
      // What was asked for is done, and nobody learns of it.
      if (fault === 'silent') return void request.socket.resetAndDestroy();
      response.writeHead(status, { 'content-type': 'application/json', ...headers });
      response.end(body === undefined ? undefined : JSON.stringify(body));
    });
  }

  #write({ url: given, authorization, method }: HubRequest, body: Buffer): WriteAnswer {
    const url = new URL(given, this.endpoint);
    const [, oid = '', complete] = /^\/lfs\/([0-9a-f]{64})(\/complete)?$/.exec(url.pathname) ?? [];
    const part = url.searchParams.get('part');
    if (complete !== undefined) return this.writes.complete(body);
    if (oid !== '' && method === 'PUT') {
      return this.writes.put(oid, part === null ? undefined : Number(part), body);
    }
    const token = this.tokens.get(authorization?.replace('Bearer ', '') ?? '');
    if (token === undefined)
      return { status: 401, body: { error: 'Invalid username or password.' } };
    if (token.writes !== true) return { status: 403, body: { error: 'You may not write here.' } };
    if (url.pathname === '/api/repos/create') return this.#create(body);
    const [, batched] = /^\/(.+)\.git\/info\/lfs\/objects\/batch$/.exec(url.pathname) ?? [];
    if (batched !== undefined) return this.writes.batch(body, this.#cdnHost);
    const [, name = '', what, rest = ''] =
      /^\/api\/models\/(.+?)\/(preupload|commit|tag|branch)\/([^/]+)$/.exec(url.pathname) ?? [];
    const repository = this.repositories.get(name);
    if (repository === undefined)
      return { status: 404, headers: { 'x-error-code': 'RepoNotFound' } };
    const revision = decodeURIComponent(rest);
    switch (what) {
      case 'preupload':
        return this.writes.preupload(body);
      case 'commit':
        return this.writes.commit(repository, revision, body, `${this.endpoint}/${name}`);
      case 'tag':
        return this.writes.name(
          repository,
          (JSON.parse(body.toString()) as { tag: string }).tag,
          revision,
        );
      default:
        return this.writes.name(repository, revision, 'main');
    }
  }

  #create(body: Buffer): WriteAnswer {
    const { name, organization, visibility, ...rest } = JSON.parse(body.toString()) as {
      name: string;
      organization: string;
      visibility?: string;
      private?: boolean;
    };
    const whole = `${organization}/${name}`;
    if (this.repositories.has(whole))
      return { status: 409, body: { error: 'You already created it' } };
    const isPrivate = visibility === 'private' || rest.private === true;
    this.commit(whole, { '.gitattributes': '*.bin filter=lfs\n' }, { private: isPrivate });
    return { status: 200, body: { url: `${this.endpoint}/${whole}`, id: whole } };
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

function json(response: http.ServerResponse, value: unknown): void {
  response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(value));
}

function refuse(response: http.ServerResponse, status: number, code: string | undefined): void {
  response
    .writeHead(status, code === undefined ? {} : { 'x-error-code': code })
    .end(JSON.stringify({ error: 'refused' }));
}
