import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Outcome } from '../monitor/outcome.ts';
import { rulesDocument } from '../monitor/rules.ts';
import { requireScope } from './callers.ts';
import type { Monitors, WatchedState } from './monitors.ts';
import { schemas } from './schemas.ts';

type OutcomesRequest = FastifyRequest<{
  Params: { model: string };
  Body: { environment: string; outcomes: readonly Outcome[] };
}>;

type MonitorRequest = FastifyRequest<{ Params: { model: string } }>;

/** Routes by which hosts tell what became of calls, and that tell how models are doing. */
export function outcomeRoutes(app: FastifyInstance, monitors: Monitors): void {
  const base = '/api/v1/ml-models/:model';
  app.post(
    `${base}/outcomes`,
    {
      schema: schemas.outcomes,
      // Before the body is read.
      onRequest: async ({ caller, params }) =>
        requireScope(caller, 'report', (params as { model: string }).model),
    },
    async (request: FastifyRequest) => {
      const { params, body } = request as OutcomesRequest;
      const { environment, outcomes } = body;
      await monitors.take({ model: params.model, environment }, outcomes);
      return { taken: outcomes.length };
    },
  );
  app.get(`${base}/monitor`, { schema: schemas.monitor }, async (request: FastifyRequest) => {
    const { params, caller } = request as MonitorRequest;
    requireScope(caller, 'read', params.model);
    const states = await monitors.states(params.model);
    return { model: params.model, environments: states.flatMap(environmentDocument) };
  });
}

function environmentDocument({ environment, rules, judgement, last }: WatchedState): object[] {
  if (judgement === undefined) return [];
  const { live, measured, failuresInRow, isSettled, breaches } = judgement;
  return [
    {
      environment,
      version: live.version,
      number: live.number,
      since: new Date(live.sinceMs).toISOString(),
      compared_with: live.before ?? null,
      settled: isSettled,
      rules: rules === undefined ? null : rulesDocument(rules),
      measured: { ...measured, failures_in_row: failuresInRow },
      broken: breaches.map(({ rule, value, limit, text }) => ({ rule, value, limit, text })),
      last_act: last === undefined ? null : { at: last.at, ...last.act },
    },
  ];
}
