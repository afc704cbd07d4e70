import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { sha256Raw } from '../base/digest.ts';
import type { MstoreError } from '../base/errors.ts';
import { limits } from '../base/limits.ts';
import { auditPrefix, parseAuditKey } from '../registry/audit.ts';
import { parseRegistryKey } from '../registry/keys.ts';
import { isKeyName, noObject, reservedName } from '../remote/keys.ts';
import type { PartMemory } from '../remote/part-memory.ts';
import {
  bytesSource,
  type RemoteObject,
  type RemotePruner,
  readObject as readSmallObject,
} from '../remote/remote.ts';
import type { CachedRemote } from '../remote/wrappers/disk-cache.ts';
import { cleanUpPrefix, probesPrefix, quarantinePrefix } from '../store/keys.ts';
import { bodyBytes, clientSignal, rangeOf, sendBlocks } from './answers.ts';
import { verifyArrived } from './arrival.ts';
import { maySee, requireScope } from './callers.ts';
import { noteAct } from './journal.ts';
import { digestMismatch, RequestError } from './request-error.ts';
import type { Caller, Scope } from './tokens.ts';
import type { Uploads } from './uploads.ts';
import type { Outcomes } from './writes.ts';

/** Objects up to this size are created by one request, and held in memory meanwhile. */
export const wholeBytesMax = 8 * 1024 * 1024;
/** Parts of larger ones. */
const partBytesMax = 64 * 1024 * 1024;
const octets = 'application/octet-stream';

/** A remote that is served; one whose reads are kept may know sizes without asking. */
export type ServedRemote = RemotePruner & Partial<Pick<CachedRemote, 'sizeOf'>>;

/** What the routes of objects work with. */
export interface ObjectParts {
  readonly remote: ServedRemote;
  readonly uploads: Uploads;
  readonly outcomes: Outcomes;
  /** Memory for bodies that are on their way in. */
  readonly memory: PartMemory;
}

type KeyRequest = FastifyRequest<{ Params: { '*': string } }>;

/** Routes by which others use the remote as their own: see docs/format.md, "A remote over HTTP". */
export function objectRoutes(app: FastifyInstance, parts: ObjectParts): void {
  const { remote } = parts;
  const hidden = { schema: { hide: true } };
  // Bodies are taken as they come, block by block.
  app.addContentTypeParser(octets, (_request, body, done) => done(null, body));

  app.get('/api/v1/objects', hidden, async (request: FastifyRequest, reply) => {
    requireScope(request.caller, 'read');
    const { prefix = '' } = request.query as { prefix?: string };
    if (typeof prefix !== 'string' || !isPrefix(prefix)) throw badKey(prefix);
    const signal = clientSignal(reply);
    const lines = listLines(remote.list(prefix, { signal }), request.caller);
    const headers = { 'content-type': 'application/x-ndjson', 'cache-control': 'no-store' };
    await sendBlocks(reply, lines, { status: 200, headers });
  });

  app.head('/api/v1/objects/*', hidden, async (request: KeyRequest, reply) => {
    const key = keyOf(request, 'read');
    const size = await remote.stat(key, { signal: clientSignal(reply) });
    if (size === undefined) throw noObject(key, 'it');
    reply.headers({ 'content-length': size, 'content-type': octets, 'accept-ranges': 'bytes' });
    return reply.send();
  });

  const get = { ...hidden, exposeHeadRoute: false };
  app.get('/api/v1/objects/*', get, async (request: KeyRequest, reply) => {
    await sendObject(remote, keyOf(request, 'read'), request, reply);
  });

  app.put('/api/v1/objects/*', { ...hidden, bodyLimit: wholeBytesMax }, async (request, reply) => {
    const keyed = request as KeyRequest;
    const key = keyOf(keyed, scopeToCreate(keyed.params['*']));
    const outcome = await createWhole(parts, key, keyed, clientSignal(reply));
    noteAct(request, 'create', { key, outcome });
    return reply.code(outcome === 'created' ? 201 : 412).send();
  });

  app.delete('/api/v1/objects/*', hidden, async (request, reply) => {
    const key = keyOf(request as KeyRequest, 'collect');
    await remote.delete(key, { signal: clientSignal(reply) });
    noteAct(request, 'delete', { key });
    return reply.code(204).send();
  });

  uploadRoutes(app, parts);
}

function uploadRoutes(app: FastifyInstance, { remote, uploads }: ObjectParts): void {
  const hidden = { schema: { hide: true } };
  type IdRequest = FastifyRequest<{ Params: { id: string }; Querystring: Record<string, string> }>;

  app.post('/api/v1/uploads', hidden, async (request, reply) => {
    const { key, size, contentKey } = (request.body ?? {}) as Record<string, unknown>;
    if (typeof key !== 'string') throw badKey(String(key));
    checkKey(request.caller, key, scopeToCreate(key));
    if (!Number.isSafeInteger(size) || Number(size) < 0) {
      throw new RequestError(400, 'bad-input', 'The size of an upload is a number of bytes');
    }
    // Sending hundreds of megabytes to learn that they are there would be a waste.
    if ((await remote.stat(key, { signal: clientSignal(reply) })) !== undefined) {
      const known = uploads.known(request.caller.name, numberOf(request));
      return known === undefined ? reply.code(412).send({ state: 'exists' }) : known;
    }
    const state = uploads.begin({
      key,
      size: Number(size),
      contentKey: contentKey === true,
      number: numberOf(request),
      by: request.caller.name,
    });
    return reply.code(201).send(state);
  });

  app.get('/api/v1/uploads/:id', hidden, async (request: IdRequest) => {
    const seconds = Number(request.query['wait'] ?? 0);
    const upload = uploads.find(request.params.id, request.caller.name);
    requireScope(request.caller, scopeToCreate(upload.facts.key));
    return upload.wait(Math.min(20, Math.max(0, seconds || 0)) * 1000);
  });

  const part = { ...hidden, bodyLimit: partBytesMax };
  app.put('/api/v1/uploads/:id', part, async (request) => {
    const { params, query, body, caller } = request as IdRequest;
    const upload = uploads.find(params.id, caller.name);
    requireScope(caller, scopeToCreate(upload.facts.key));
    const offset = Number(query['offset']);
    return upload.append(offset, bodyOf(body), contentDigestOf(request));
  });

  app.post('/api/v1/uploads/:id/finish', hidden, async (request) => {
    const { params, caller, body } = request as IdRequest;
    const upload = uploads.find(params.id, caller.name);
    requireScope(caller, scopeToCreate(upload.facts.key));
    const { digest } = (body ?? {}) as { digest?: unknown };
    const state = upload.finish(String(digest));
    noteAct(request, 'upload', { key: upload.facts.key, outcome: state.state });
    return state;
  });

  app.delete('/api/v1/uploads/:id', hidden, async (request, reply) => {
    const { params, caller } = request as IdRequest;
    uploads.end(params.id, caller.name);
    return reply.code(204).send();
  });
}

/** Sends an object, or the range of it that a request asks for. */
async function sendObject(
  remote: ServedRemote,
  key: string,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<void> {
  const signal = clientSignal(reply);
  const size = await (remote.sizeOf?.(key, { signal }) ?? remote.stat(key, { signal }));
  if (size === undefined) throw noObject(key, 'it');
  const range = rangeOf(request.headers.range, size);
  const length = range === undefined ? size : range.end - range.start;
  const headers = {
    'content-type': octets,
    'content-length': length,
    'accept-ranges': 'bytes',
    // Objects are never changed; they may be removed.
    'cache-control': 'private, no-cache',
    ...(range === undefined
      ? {}
      : { 'content-range': `bytes ${range.start}-${range.end - 1}/${size}` }),
  };
  const status = range === undefined ? 200 : 206;
  const wanted = range ?? { start: 0, end: size };
  await sendBlocks(reply, remote.get(key, wanted, { signal }), { status, headers });
}

/** Creates an object of a request that holds all of it. */
async function createWhole(
  { remote, outcomes, memory }: ObjectParts,
  key: string,
  request: FastifyRequest,
  signal: AbortSignal,
): Promise<'created' | 'exists'> {
  if (request.headers['if-none-match'] !== '*') {
    throw new RequestError(428, 'bad-input', 'Objects are created where there is none', {
      hint: 'Send "If-None-Match: *"',
    });
  }
  const digest = contentDigestOf(request);
  const size = Number(request.headers['content-length'] ?? Number.NaN);
  if (!Number.isSafeInteger(size)) {
    throw new RequestError(411, 'bad-input', 'The length of the body is not known');
  }
  if (size > wholeBytesMax) {
    throw new RequestError(413, 'bad-input', `One request creates ${wholeBytesMax} bytes at most`, {
      hint: 'Begin an upload, and send it in parts',
    });
  }
  const bytes = await memory.take(size, signal);
  try {
    await bodyBytes(bodyOf(request.body), bytes);
    if (sha256Raw(bytes).toString('base64') !== digest) throw digestMismatch();
    await verifyArrived(key, { bytes }, (other) => readRegistryEntry(remote, other));
    const write = { by: request.caller.name, number: numberOf(request), key, digest };
    return await outcomes.once(write, {
      create: () => remote.create(key, bytesSource(bytes)),
      isSame: async () => (await readSmallObject(remote, key, size)).equals(bytes),
    });
  } finally {
    memory.give(bytes, true);
  }
}

/** Reads an entry that another one is to follow. */
export function readRegistryEntry(remote: ServedRemote, key: string): Promise<Buffer> {
  return readSmallObject(remote, key, limits.registryObjectBytesMax);
}

function bodyOf(body: unknown): AsyncIterable<Uint8Array> {
  const isStream = typeof body === 'object' && body !== null && Symbol.asyncIterator in body;
  if (isStream) return body as AsyncIterable<Uint8Array>;
  throw new RequestError(415, 'bad-input', `The body is not of the type ${octets}`);
}

function contentDigestOf({ headers }: FastifyRequest): string {
  const header = headers['content-digest'];
  const [, digest] = /^sha-256=:([A-Za-z0-9+/]{43}=):$/.exec(String(header)) ?? [];
  if (digest !== undefined) return digest;
  throw new RequestError(400, 'bad-input', 'The digest of the body is not told', {
    hint: 'Send "Content-Digest: sha-256=:BASE64:"',
  });
}

function numberOf({ headers }: FastifyRequest): string {
  const number = String(headers['idempotency-key'] ?? '');
  if (/^[A-Za-z0-9_-]{16,64}$/.test(number)) return number;
  throw new RequestError(400, 'bad-input', 'The write has no number', {
    hint: 'Send "Idempotency-Key:" and 16 to 64 letters or digits, the same for each try',
  });
}

/** Lists as lines of JSON. The last one says that nothing is lacking. */
async function* listLines(
  objects: AsyncIterable<RemoteObject>,
  caller: Caller,
): AsyncGenerator<Uint8Array, void, void> {
  let lines = '';
  for await (const { key, size, time } of objects) {
    const model = modelOf(key);
    if (model !== undefined && !maySee(caller, model)) continue;
    if (key.startsWith(auditPrefix) && !maySeeLog(caller)) continue;
    lines += `${JSON.stringify({ key, size, time })}\n`;
    if (lines.length < 64 * 1024) continue;
    yield Buffer.from(lines);
    lines = '';
  }
  yield Buffer.from(`${lines}{"end":true}\n`);
}

/** The model whose registry an object is of. */
function modelOf(key: string): string | undefined {
  return parseRegistryKey(key)?.model;
}

/** Which scope creates an object: what is live is the business of few. */
function scopeToCreate(key: string): Scope {
  if (parseRegistryKey(key)?.kind === 'environments') return 'deploy';
  // Clean-ups and repairs take away; what they write says what.
  return key.startsWith(cleanUpPrefix) || key.startsWith(quarantinePrefix) ? 'collect' : 'push';
}

function keyOf({ params, caller }: KeyRequest, scope: Scope): string {
  const key = params['*'];
  checkKey(caller, key, scope);
  return key;
}

function checkKey(caller: Caller, key: string, scope: Scope): void {
  if (!isKey(key)) throw badKey(key);
  // Whoever may write may try it out, and clear what the trial left.
  const isProbe = scope === 'collect' && key.startsWith(probesPrefix) && caller.scopes.has('push');
  if (isProbe) return;
  if (key.startsWith(auditPrefix)) checkAuditKey(caller, key, scope);
  else requireScope(caller, scope, modelOf(key));
}

/** Whoever may change something logs it. Nobody takes a line away. */
function checkAuditKey(caller: Caller, key: string, scope: Scope): void {
  if (scope === 'collect') {
    throw new RequestError(403, 'remote-refused', 'Lines of the audit log are never removed');
  }
  if (scope === 'read') {
    requireScope(caller, scope);
    if (maySeeLog(caller)) return;
    throw new RequestError(
      403,
      'remote-refused',
      `The token ${caller.name} is not for all models`,
      {
        hint: 'The audit log tells of all of them: ask who runs the server for a token that is',
      },
    );
  }
  if (!mayAct(caller)) requireScope(caller, scope);
  if (parseAuditKey(key) === undefined) throw badKey(key);
}

/** The log tells of all models; who writes a line needs the one before it. */
function maySeeLog(caller: Caller): boolean {
  return caller.models === undefined || mayAct(caller);
}

function mayAct({ scopes }: Caller): boolean {
  return scopes.has('push') || scopes.has('deploy') || scopes.has('collect');
}

function isKey(key: string): boolean {
  const names = key.split('/');
  return names.every(isKeyName) && names[0] !== reservedName;
}

function isPrefix(prefix: string): boolean {
  return prefix === '' || (prefix.endsWith('/') && isKey(prefix.slice(0, -1)));
}

function badKey(key: string): MstoreError {
  return new RequestError(400, 'bad-input', 'That is no name of an object', {
    details: { key: key.slice(0, 200) },
  });
}
