import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import {
  deploy,
  type MoveOptions,
  type MoveResult,
  promote,
  rollback,
} from '../flow/environments.ts';
import { clientSignal } from './answers.ts';
import { requireScope } from './callers.ts';
import { noteAct } from './journal.ts';
import type { ModelParts } from './models.ts';
import { schemas } from './schemas.ts';

/** The body of a move, as the schemas have checked it. */
interface Asked {
  readonly version?: string;
  readonly environment?: string;
  readonly from?: string;
  readonly to?: string;
  readonly reason?: string;
  readonly force?: boolean;
  readonly dryRun?: boolean;
}

type MoveRequest = FastifyRequest<{ Params: { model: string }; Body: Asked }>;

/** Does one kind of move. */
type Move = (model: string, asked: Asked, options: MoveOptions) => Promise<MoveResult>;

/**
 * Routes that move environments: by the rules of the workspace that the server was started in, in the name of the token, and
 * kept by the history of the remote.
 */
export function moveRoutes(app: FastifyInstance, { workspace, chosen }: ModelParts): void {
  const moves: Readonly<Record<'deploy' | 'promote' | 'rollback', Move>> = {
    deploy: (model, { version = '', environment = '' }, options) =>
      deploy(workspace, { model, version, environment }, options),
    promote: (model, { from, to }, options) => promote(workspace, { model, from, to }, options),
    rollback: (model, { environment = '', to }, options) =>
      rollback(workspace, { model, environment, to }, options),
  };
  for (const name of ['deploy', 'promote', 'rollback'] as const) {
    app.post(
      `/api/v1/ml-models/:model/${name}`,
      {
        schema: schemas[name],
        // Before the body is read.
        onRequest: async ({ caller, params }) =>
          requireScope(caller, 'deploy', (params as { model: string }).model),
      },
      async (request: FastifyRequest, reply: FastifyReply) => {
        const { params, body, caller } = request as MoveRequest;
        const { model } = params;
        const { remote: _, ...result } = await moves[name](model, body, {
          remote: chosen,
          by: `${caller.name} (token)`,
          reason: body.reason,
          force: body.force === true,
          dryRun: body.dryRun === true,
          signal: clientSignal(reply),
        });
        const { environment, version, number } = result;
        noteAct(request, name, { model, environment, version, number, dryRun: result.dryRun });
        return result;
      },
    );
  }
}
