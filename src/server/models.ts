import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { compareUtf8 } from '../base/json.ts';
import { printable } from '../base/names.ts';
import { modelHealth } from '../flow/health.ts';
import { lifecycleOf } from '../flow/lifecycle.ts';
import { readEnvironments } from '../flow/live-environments.ts';
import { metricPreferences } from '../flow/metric-preferences.ts';
import { readHistory, readVersion } from '../flow/registry-history.ts';
import { listModels, readVersions } from '../flow/registry-read.ts';
import type { ChosenRemote } from '../flow/remotes.ts';
import { findTrusted } from '../flow/trust/policy.ts';
import type { Workspace } from '../flow/workspace.ts';
import type { FoundVersion } from '../registry/find.ts';
import { Registry } from '../registry/registry.ts';
import { clientSignal } from './answers.ts';
import { maySee, requireScope } from './callers.ts';
import { RequestError } from './request-error.ts';
import { schemas } from './schemas.ts';
import type { VersionFiles } from './version-files.ts';

/** What the routes of models work with. */
export interface ModelParts {
  readonly workspace: Workspace;
  readonly chosen: ChosenRemote;
}

interface ModelRouteParts extends ModelParts {
  readonly files: VersionFiles;
}

type Asked = FastifyRequest<{
  Params: Record<'model' | 'version' | '*', string>;
  Querystring: Record<string, string | number | boolean | undefined>;
}>;

/** Routes that tell of models, their versions and environments, and give out their files. */
export function modelRoutes(
  app: FastifyInstance,
  { workspace, chosen, files }: ModelRouteParts,
): void {
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

  fileRoutes(app, { workspace, base, files, registry, seen });
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

/** Says that a version has no file of a path. */
export function noFile({ record }: FoundVersion, path: string): RequestError {
  const { model, version } = record.value;
  return new RequestError(404, 'not-found', `${model}@${version} has no file ${printable(path)}`, {
    hint: 'List its files, to see what they are called',
    details: { model, version, path },
  });
}

interface FileRouteParts {
  readonly workspace: Workspace;
  readonly base: string;
  readonly files: VersionFiles;
  readonly registry: (reply: FastifyReply) => Registry;
  readonly seen: (request: Asked) => string;
}

function fileRoutes(
  app: FastifyInstance,
  { workspace, base, files, registry, seen }: FileRouteParts,
): void {
  app.get(
    `${base}/:model/:version/files`,
    { schema: schemas.files },
    async (request: Asked, reply) => {
      const { model: named, version: selector } = { ...request.params, model: seen(request) };
      const found = await findTrusted(workspace, registry(reply), named, selector);
      const { model, version } = found.record.value;
      const listed = await files.list(found);
      const shown = listed.map(({ path, size, sha256 }) => ({ path, size, sha256 }));
      return { model, version, files: shown };
    },
  );

  app.route({
    method: ['GET', 'HEAD'],
    url: `${base}/:model/:version/files/*`,
    schema: schemas.file,
    exposeHeadRoute: false,
    handler: async (request: Asked, reply) => {
      const { version: selector, '*': path } = request.params;
      const found = await findTrusted(workspace, registry(reply), seen(request), selector);
      const file = await files.find(found, path);
      if (file === undefined) throw noFile(found, path);
      const { version } = found.record.value;
      reply.header('mstore-version', version);
      await files.send(file, { request, reply, isFixed: selector === version });
      return reply;
    },
  });
}
