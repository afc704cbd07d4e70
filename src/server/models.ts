import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { MstoreError } from '../base/errors.ts';
import { compareUtf8 } from '../base/json.ts';
import { printable } from '../base/names.ts';
import { isFileEntry } from '../base/tree.ts';
import { lifecycleOf } from '../flow/environments.ts';
import { FarBlobs } from '../flow/far-blobs.ts';
import { modelHealth } from '../flow/health.ts';
import { readEnvironments } from '../flow/live-environments.ts';
import { metricPreferences } from '../flow/metric-preferences.ts';
import { readHistory, readVersion } from '../flow/registry-history.ts';
import { listModels, readVersions } from '../flow/registry-read.ts';
import type { ChosenRemote } from '../flow/remotes.ts';
import type { Tracked } from '../flow/tracked.ts';
import { contentOf } from '../flow/version-content.ts';
import type { Workspace } from '../flow/workspace.ts';
import { type FoundVersion, findVersion } from '../registry/find.ts';
import { Registry } from '../registry/registry.ts';
import { clientSignal, matches, rangeOf, sendBlocks } from './answers.ts';
import { maySee, requireScope } from './callers.ts';
import { RequestError } from './request-error.ts';
import { schemas } from './schemas.ts';

/** What the routes of models work with. */
export interface ModelParts {
  readonly workspace: Workspace;
  readonly chosen: ChosenRemote;
}

type Asked = FastifyRequest<{
  Params: Record<'model' | 'version' | '*', string>;
  Querystring: Record<string, string | number | boolean | undefined>;
}>;

/** Routes that tell of models, their versions and environments, and give out their files. */
export function modelRoutes(app: FastifyInstance, { workspace, chosen }: ModelParts): void {
  const registry = (reply: FastifyReply) =>
    new Registry(chosen.remote, { signal: clientSignal(reply) });
  const seen = ({ caller, params }: Asked): string => {
    requireScope(caller, 'read', params.model);
    return params.model;
  };
  const base = '/api/v1/ml-models';

  app.get(base, { schema: schemas.models }, async (request: Asked, reply) => {
    requireScope(request.caller, 'read');
    const models = await listModels(registry(reply));
    return { models: models.filter(({ model }) => maySee(request.caller, model)) };
  });

  app.get(`${base}/:model`, { schema: schemas.model }, async (request: Asked, reply) => {
    const model = seen(request);
    const { latest, versions, retired } = await readVersions(registry(reply), model);
    return { model, latest, versions: versions.length, retired, live: liveOf(versions) };
  });

  app.get(
    `${base}/:model/versions`,
    { schema: schemas.versions },
    async (request: Asked, reply) => {
      const model = seen(request);
      return listVersions(workspace, registry(reply), model, request.query);
    },
  );

  app.get(
    `${base}/:model/environments`,
    { schema: schemas.environments },
    async (request, reply) => {
      const model = seen(request as Asked);
      const environments = await readEnvironments(registry(reply), model);
      return { model, lifecycle: lifecycleOf(workspace), environments };
    },
  );

  app.get(`${base}/:model/history`, { schema: schemas.history }, async (request: Asked, reply) => {
    const { environment, limit } = request.query;
    return readHistory(registry(reply), seen(request), {
      ...(environment === undefined ? {} : { environment: String(environment) }),
      limit: Number(limit),
    });
  });

  app.get(`${base}/:model/health`, { schema: schemas.health }, async (request: Asked, reply) => {
    const { environment, version } = request.query;
    return modelHealth(workspace, registry(reply), {
      model: seen(request),
      selector: String(version ?? environment),
      remotes: async () => [chosen],
      signal: clientSignal(reply),
    });
  });

  app.get(`${base}/:model/:version`, { schema: schemas.version }, async (request: Asked, reply) =>
    readVersion(registry(reply), seen(request), request.params.version),
  );

  fileRoutes(app, { base, workspace, chosen, registry, seen });
}

/** Lists versions as the command line does, with what the gates of the workspace say of their metrics. */
async function listVersions(
  workspace: Workspace,
  registry: Registry,
  model: string,
  { all, sort, reverse }: Asked['query'],
) {
  const { weights, lowerIsBetter } = metricPreferences(workspace, model);
  const list = await readVersions(registry, model, {
    all: all === true,
    reverse: reverse === true,
    lowerIsBetter,
    ...(sort === undefined ? {} : { sort: String(sort) }),
  });
  return {
    ...list,
    judged: [...new Set([...weights.keys(), ...lowerIsBetter])].sort(compareUtf8),
    lowerIsBetter: [...lowerIsBetter].sort(compareUtf8),
  };
}

/** Where versions are live. */
function liveOf(versions: ReadonlyArray<{ version: string; live: readonly string[] }>) {
  const live = versions.flatMap(({ version, live }) =>
    live.map((environment) => ({ environment, version })),
  );
  return live.sort((a, b) => (a.environment < b.environment ? -1 : 1));
}

interface FileParts extends ModelParts {
  readonly base: string;
  readonly registry: (reply: FastifyReply) => Registry;
  readonly seen: (request: Asked) => string;
}

/** Bytes of files that are read ahead of clients, of all together; each has its least at any rate. */
const aheadBytes = { all: 256 * 1024 * 1024, least: 1024 * 1024, most: 16 * 1024 * 1024 } as const;
/** Files that are sent at once. */
const sendsMax = 256;

function fileRoutes(app: FastifyInstance, parts: FileParts): void {
  const { base, workspace, chosen, registry, seen } = parts;
  let sends = 0;
  const ahead = (): number =>
    Math.min(aheadBytes.most, Math.max(aheadBytes.least, aheadBytes.all / sends));
  const blobs = () => new FarBlobs(workspace, { remotes: async () => [chosen], aheadBytes: ahead });

  app.get(
    `${base}/:model/:version/files`,
    { schema: schemas.files },
    async (request: Asked, reply) => {
      const found = await findVersion(registry(reply), seen(request), request.params.version);
      const far = blobs();
      try {
        const files = await filesOf(workspace, far, found);
        const { model, version } = found.record.value;
        return { model, version, files };
      } finally {
        far.close();
      }
    },
  );

  const file = { schema: schemas.file, exposeHeadRoute: false };
  app.route({
    method: ['GET', 'HEAD'],
    url: `${base}/:model/:version/files/*`,
    ...file,
    handler: async (request: Asked, reply) => {
      const model = seen(request);
      if (sends >= sendsMax) throw tooManySends();
      sends++;
      const far = blobs();
      try {
        const found = await findVersion(registry(reply), model, request.params.version);
        await sendFile({ workspace, far, found }, request, reply);
      } finally {
        sends--;
        far.close();
      }
      return reply;
    },
  });
}

function tooManySends(): RequestError {
  return new RequestError(503, 'remote-unreachable', `${sendsMax} files are being sent already`, {
    hint: 'Try again in a moment',
    details: { retryAfterMs: 1000 },
  });
}

/** Lists the files of a version by their paths in it. */
async function filesOf(workspace: Workspace, far: FarBlobs, { record }: FoundVersion) {
  const item: Tracked = contentOf(workspace.store, record.value, {});
  const { entries } = await far.filesOf(item);
  return entries.filter(isFileEntry).map(({ path, size, sha256 }) => ({ path, size, sha256 }));
}

/**
 * Sends a file of a version, or a range of it. Its digest is its ETag. Every byte is verified before it goes out: a
 * connection that is closed early says that the rest was damaged.
 */
async function sendFile(
  parts: { workspace: Workspace; far: FarBlobs; found: FoundVersion },
  request: Asked,
  reply: FastifyReply,
): Promise<void> {
  const { workspace, far, found } = parts;
  const wanted = request.params['*'];
  const file = (await filesOf(workspace, far, found)).find(({ path }) => path === wanted);
  const { model, version } = found.record.value;
  if (file === undefined) {
    throw new MstoreError('not-found', `${model}@${version} has no file ${printable(wanted)}`, {
      hint: 'List its files at …/files',
      details: { model, version, path: wanted },
    });
  }
  const { size, sha256 } = file;
  const etag = `"${sha256}"`;
  const isExact = request.params.version === version;
  reply.headers({
    etag,
    'accept-ranges': 'bytes',
    'content-type': 'application/octet-stream',
    // What a version is never changes; what an environment names does.
    'cache-control': isExact ? 'private, max-age=31536000, immutable' : 'private, no-cache',
    'mstore-version': version,
  });
  if (matches(request.headers['if-none-match'], etag)) return void (await reply.code(304).send());
  // A range of what has changed since would be a part of something else.
  const ifRange = request.headers['if-range'];
  const isSame = ifRange === undefined || ifRange === etag;
  const range = isSame ? rangeOf(request.headers.range, size) : undefined;
  const { start, end } = range ?? { start: 0, end: size };
  const headers = {
    'content-length': end - start,
    ...(range === undefined ? {} : { 'content-range': `bytes ${start}-${end - 1}/${size}` }),
  };
  const status = range === undefined ? 200 : 206;
  if (request.method === 'HEAD') return void (await reply.code(status).headers(headers).send());
  const blob = await far.open(sha256, size, wanted);
  await sendBlocks(reply, blob.blocks(start, end), { status, headers });
}
