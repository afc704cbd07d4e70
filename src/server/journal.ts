import type { FastifyRequest } from 'fastify';

/** What a request did, beside its method and path. */
export type ActFacts = Readonly<Record<string, string | number | boolean | undefined>>;

/** Notes an act of a request that changes something: a line of the log that says who did what. */
export function noteAct(request: FastifyRequest, act: string, facts: ActFacts): void {
  request.log.info({ act, by: request.caller.name, from: request.ip, ...facts }, act);
}
