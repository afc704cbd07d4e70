import * as fs from 'node:fs';
import * as path from 'node:path';
import type { Server as TlsServer } from 'node:tls';
import type { FastifyInstance, FastifyServerOptions } from 'fastify';
import type { Clock, Random } from '../base/clock.ts';
import { fromSystemError } from '../base/errors.ts';
import { programVersion } from '../base/version.ts';
import type { ChosenRemote } from '../flow/remotes.ts';
import type { Workspace } from '../flow/workspace.ts';
import { protocolHeader, protocolNumber } from '../remote/http-place.ts';
import { PartMemory } from '../remote/part-memory.ts';
import type { MethodCount, RemoteCounts } from '../remote/wrappers/counting.ts';
import type { CachedRemote } from '../remote/wrappers/disk-cache.ts';
import { verifyArrived } from './arrival.ts';
import { type AnonymousAccess, Callers, requireScope } from './callers.ts';
import { comparingRoutes } from './comparing.ts';
import { answerErrors } from './errors.ts';
import type { Framework } from './framework.ts';
import { hubRoutes } from './hub.ts';
import { Metrics } from './metrics.ts';
import { modelRoutes } from './models.ts';
import { moveRoutes } from './moves.ts';
import { objectRoutes, readRegistryEntry, type ServedRemote, wholeBytesMax } from './objects.ts';
import { outcomeRoutes } from './outcomes.ts';
import { pageRoutes } from './page.ts';
import { RequestError } from './request-error.ts';
import type { Caller, Tokens } from './tokens.ts';
import { Uploads } from './uploads.ts';
import { VersionFiles } from './version-files.ts';
import { makeWatching, type Watching, type WatchingOptions } from './watching.ts';
import { Outcomes } from './writes.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** Who makes the request. */
    caller: Caller;
    /** Bytes of an object or a file that went out behind the head of the answer. */
    sentBytes: number;
  }
}

/** Bytes of bodies that are held in memory at once, of all requests together. */
const bodyMemoryBytes = 8 * wholeBytesMax;
/** Bodies of JSON. */
const jsonBytesMax = 256 * 1024;
/** A client has so long to send a whole request: a part of an upload over a slow line. */
const requestMsMax = 10 * 60_000;
const headersMsMax = 20_000;
/** A connection on which nothing moves for so long is closed. */
const idleMsMax = 120_000;
const connectionsMax = 4096;

/** What a server is made from. */
export interface ServerOptions {
  /** What is served; each call to it is tried again by it alone. */
  readonly remote: ServedRemote;
  /** Numbers of what is kept of it here, where it is kept. */
  readonly cache?: CachedRemote['counts'] | undefined;
  /** What of it reached the place behind, past what is kept here. */
  readonly behind?: (() => RemoteCounts) | undefined;
  /** The same, counted and without the power to delete. */
  readonly chosen: ChosenRemote;
  /** What is known of it is kept there, and its rules hold for who moves environments. */
  readonly workspace: Workspace;
  /** Absolute folder that belongs to this server alone. */
  readonly stateFolder: string;
  readonly tokens: Tokens | undefined;
  readonly anonymous: AnonymousAccess;
  /** Whether there is a page for people. */
  readonly page: boolean;
  /** Requests a minute that one token, or one address without a token, may make. */
  readonly requestsPerMinute: number;
  /** Bytes of uploads that are under way at most. */
  readonly uploadBytesMax: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly watching: WatchingOptions;
  /** Where the log goes, one line of JSON each. */
  readonly log: { write(line: string): void };
  readonly tls?: TlsFiles | undefined;
  /** Addresses and networks of proxies, whose X-Forwarded-For is believed. */
  readonly trustedProxies?: readonly string[] | undefined;
}

/** Certificate and key, PEM. */
export interface TlsFiles {
  readonly cert: Buffer;
  readonly key: Buffer;
}

/** A server that runs. */
export interface RunningServer {
  /** Where it listens, as a URL. */
  readonly url: string;
  /** Has new connections use another certificate; throws what TLS says of one that does not go with its key. */
  renew(tls: TlsFiles): void;
  /** Takes no more requests, ends those that are under way, and frees all. */
  close(): Promise<void>;
}

/**
 * Starts a server.
 * @throws MstoreError where nothing can listen there
 */
export async function startServer(
  options: ServerOptions,
  { host, port }: { readonly host: string; readonly port: number },
): Promise<RunningServer> {
  const parts = await makeApp(options);
  const { app, watching } = parts;
  try {
    const url = await app.listen({ host, port, exclusive: true });
    watching.start();
    const server = app.server as unknown as Partial<TlsServer>;
    const renew = (tls: TlsFiles) => server.setSecureContext?.(tls);
    return { url, renew, close: () => closeServer(parts) };
  } catch (error) {
    await app.close();
    await watching.close();
    throw fromSystemError(error, `listening at ${host}:${port}`);
  }
}

/** Answers that are under way when a server is to end have so long. */
const endMsMax = 10_000;

/** A server with what works behind it. */
interface AppParts {
  readonly app: FastifyInstance;
  readonly uploads: Uploads;
  readonly watching: Watching;
}

async function closeServer({ app, uploads, watching }: AppParts): Promise<void> {
  const { server } = app;
  // A connection may become idle after the framework has looked for those that are.
  const sweep = setInterval(() => server.closeIdleConnections(), 50);
  const end = setTimeout(() => server.closeAllConnections(), endMsMax);
  try {
    await app.close();
    await watching.close();
    await uploads.close();
  } finally {
    clearInterval(sweep);
    clearTimeout(end);
  }
}

async function makeApp(options: ServerOptions): Promise<AppParts> {
  const { remote, clock, random, stateFolder } = options;
  const { framework } = await import('./framework.ts');
  const app = framework.fastify(appOptions(framework, options));
  app.server.maxConnections = connectionsMax;
  app.server.headersTimeout = headersMsMax;
  const metrics = new Metrics(framework.metrics);
  const uploads = new Uploads({
    folder: path.join(stateFolder, 'uploads'),
    bytesMax: options.uploadBytesMax,
    clock,
    random,
    store: async ({ key, contentKey }, source, file) => {
      await verifyArrived(key, { file }, (other) => readRegistryEntry(remote, other));
      return remote.create(key, source, { contentKey });
    },
  });
  metrics.gauge('mstore_uploads', 'Uploads that are under way', () => uploads.count);
  metrics.gauge('mstore_upload_bytes', 'Bytes of uploads under way', () => uploads.bytes);
  countCache(metrics, options);
  countBehind(metrics, options);
  const watching = makeWatching(options, app.log, metrics);
  metrics.watch(app);
  answerErrors(app);
  await guard(app, framework, options);
  await app.register(framework.swagger, { openapi: openApi() });
  const memory = new PartMemory(bodyMemoryBytes, wholeBytesMax);
  objectRoutes(app, { remote, uploads, outcomes: new Outcomes(clock), memory });
  const files = new VersionFiles(options);
  modelRoutes(app, { ...options, files });
  await app.register(async (hub) => hubRoutes(hub, { ...options, files }));
  comparingRoutes(app, options);
  moveRoutes(app, options);
  outcomeRoutes(app, watching.monitors);
  commonRoutes(app, { remote, metrics });
  if (options.page) pageRoutes(app);
  await app.ready();
  return { app, uploads, watching };
}

function countCache(metrics: Metrics, { cache }: ServerOptions): void {
  if (cache === undefined) return;
  const about = 'Blocks of objects that were read';
  metrics.gauge('mstore_cache_hits', `${about} from the cache`, () => cache.hits);
  metrics.gauge('mstore_cache_misses', `${about} from the place behind it`, () => cache.misses);
  metrics.gauge('mstore_cache_bytes', 'Bytes that the cache takes', () => cache.bytes);
}

function countBehind(metrics: Metrics, { behind }: ServerOptions): void {
  if (behind === undefined) return;
  const of = (kind: keyof MethodCount) => () =>
    Object.fromEntries(Object.entries(behind()).map(([method, count]) => [method, count[kind]]));
  metrics.counted('mstore_remote_calls_total', 'Calls of the remote that is served', of('calls'));
  metrics.counted(
    'mstore_remote_bytes_total',
    'Bytes of objects that went there or came from there',
    of('bytes'),
  );
}

function appOptions(
  { LogController }: Framework,
  { log, tls, random, trustedProxies = [] }: ServerOptions,
): FastifyServerOptions {
  return {
    logger: { level: 'info', stream: log, redact: ['req.headers.authorization'] },
    // Each answer is one line of the log; requests that only begin are none.
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: jsonBytesMax,
    requestTimeout: requestMsMax,
    connectionTimeout: idleMsMax,
    keepAliveTimeout: 75_000,
    routerOptions: { maxParamLength: 2048 },
    // What is not known is refused: a slip of the hand is not to be left out silently.
    ajv: { customOptions: { removeAdditional: false, allowUnionTypes: true } },
    genReqId: () => random.hex(8),
    exposeHeadRoutes: false,
    trustProxy: trustedProxies.length === 0 ? false : [...trustedProxies],
    forceCloseConnections: 'idle',
    ...(tls === undefined ? {} : { https: { ...tls } }),
  } as FastifyServerOptions;
}

function openApi() {
  return {
    openapi: '3.1.0',
    info: {
      title: 'mstore',
      description: 'Models, their versions, and what is live where.',
      version: programVersion(),
    },
    components: { securitySchemes: { token: { type: 'http', scheme: 'bearer' } } },
  } as const;
}

/** Says who asks, and bounds how often. */
async function guard(
  app: FastifyInstance,
  { rateLimit }: Framework,
  options: ServerOptions,
): Promise<void> {
  const { tokens, anonymous, requestsPerMinute } = options;
  const callers = new Callers(tokens, anonymous);
  const guesses = new Guesses(options.clock);
  app.decorateRequest('caller');
  app.decorateRequest('sentBytes', 0);
  app.addHook('onRequest', async (request, reply) => {
    reply.headers({
      [protocolHeader]: String(protocolNumber),
      'x-content-type-options': 'nosniff',
      'referrer-policy': 'no-referrer',
    });
    try {
      request.caller = callers.of(request);
    } catch (error) {
      request.caller = { name: 'refused', scopes: new Set(), models: undefined };
      // Tokens that are right are let in all the same: behind one address may be a proxy, and many clients.
      guesses.check(request.ip);
      guesses.count(request.ip);
      throw error;
    }
  });
  app.addHook('onResponse', async (request, reply) => {
    const { method, url, ip, caller } = request;
    const { statusCode: status } = reply.raw;
    const ms = Math.round(reply.elapsedTime);
    request.log.info({ method, url, status, ms, by: caller?.name, from: ip }, 'request');
  });
  await app.register(rateLimit, {
    max: requestsPerMinute,
    timeWindow: '1 minute',
    keyGenerator: ({ caller, ip }) =>
      caller.name === 'anonymous' ? `ip ${ip}` : `token ${caller.name}`,
    errorResponseBuilder: (_request, { ttl }) =>
      new RequestError(429, 'remote-unreachable', 'Too many requests in a minute', {
        hint: 'Wait a moment, with fewer transfers at once (--jobs)',
        details: { retryAfterMs: ttl },
      }),
  });
}

const guessesMax = 20;
const guessWindowMs = 60_000;
const addressesMax = 10_000;

/** Addresses that sent tokens which let nobody in: after some in a minute they are told to wait. */
class Guesses {
  readonly #clock: Clock;
  readonly #counts = new Map<string, { count: number; since: number }>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** @throws RequestError 429 */
  check(address: string): void {
    const found = this.#counts.get(address);
    if (found === undefined) return;
    const left = found.since + guessWindowMs - this.#clock.monotonic();
    if (left <= 0) this.#counts.delete(address);
    else if (found.count >= guessesMax) {
      throw new RequestError(429, 'remote-unreachable', 'Too many tokens that are not known here', {
        hint: 'Wait a minute',
        details: { retryAfterMs: left },
      });
    }
  }

  count(address: string): void {
    const now = this.#clock.monotonic();
    const found = this.#counts.get(address) ?? { count: 0, since: now };
    found.count++;
    if (this.#counts.size >= addressesMax) this.#counts.clear();
    this.#counts.set(address, found);
  }
}

function commonRoutes(
  app: FastifyInstance,
  { remote, metrics }: { readonly remote: ServedRemote; readonly metrics: Metrics },
): void {
  const hide = { schema: { hide: true } };
  app.get('/livez', hide, async () => ({ status: 'ok' }));
  app.get('/readyz', hide, async (request, reply) => {
    try {
      await remote.stat('mstore.json');
      return { status: 'ok' };
    } catch (error) {
      // Anybody may ask: where the place is, and what is wrong with it, stands in the log.
      request.log.warn({ err: error }, 'not ready');
      return reply.code(503).send({ status: 'unreachable' });
    }
  });
  app.get('/metrics', hide, async (request, reply) => {
    requireScope(request.caller, 'read');
    reply.header('content-type', metrics.contentType);
    return metrics.text();
  });
  app.get('/api/v1/whoami', hide, async ({ caller }) => {
    const { name, scopes, models } = caller;
    return { name, scopes: [...scopes], ...(models === undefined ? {} : { models: [...models] }) };
  });
  app.get('/api/v1/openapi.json', hide, async () => app.swagger());
}

/**
 * Reads certificate and key.
 * @throws MstoreError
 */
export function readTls(cert: string, key: string): TlsFiles {
  try {
    return { cert: fs.readFileSync(cert), key: fs.readFileSync(key) };
  } catch (error) {
    throw fromSystemError(error, 'reading the certificate and its key');
  }
}
