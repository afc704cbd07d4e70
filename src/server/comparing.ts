import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { compareTwoVersions } from '../flow/version-comparison.ts';
import { versionSharing } from '../flow/version-sharing.ts';
import { Registry } from '../registry/registry.ts';
import { clientSignal } from './answers.ts';
import { requireScope } from './callers.ts';
import type { ModelParts } from './models.ts';
import { schemas } from './schemas.ts';

type Asked = FastifyRequest<{
  Params: { model: string };
  Querystring: { from: string; to: string; limit: number; offset: number };
}>;

/** Routes that hold versions of a model against each other, by the indexes of the remote. */
export function comparingRoutes(app: FastifyInstance, { workspace, chosen }: ModelParts): void {
  const asked = (request: FastifyRequest, reply: FastifyReply) => {
    const { caller, params, query } = request as Asked;
    requireScope(caller, 'read', params.model);
    const signal = clientSignal(reply);
    return {
      ...query,
      model: params.model,
      signal,
      registry: new Registry(chosen.remote, { signal }),
    };
  };

  app.get(
    '/api/v1/ml-models/:model/compare',
    { schema: schemas.compare },
    async (request, reply) => {
      const { registry, ...question } = asked(request, reply);
      return compareTwoVersions(workspace, registry, { ...question, chosen });
    },
  );

  app.get(
    '/api/v1/ml-models/:model/sharing',
    { schema: schemas.sharing },
    async (request, reply) => {
      const { registry, model, limit, signal } = asked(request, reply);
      return versionSharing(workspace, registry, { model, chosen }, { limit, signal });
    },
  );
}
