import type { FastifyInstance, FastifyReply, FastifyRequest, FastifySchema } from 'fastify';
import type { FoundVersion } from '../registry/find.ts';
import type { Registry } from '../registry/registry.ts';
import { sendBlocks } from './answers.ts';
import type { AnonymousAccess } from './callers.ts';
import type { RepositoryName } from './hub-names.ts';
import type { HubRevisions } from './hub-revisions.ts';
import type { ModelParts } from './models.ts';
import { RequestError } from './request-error.ts';
import type { VersionFiles } from './version-files.ts';

/** What the routes of the Hub work with. */
export interface HubParts extends ModelParts {
  readonly files: VersionFiles;
  readonly anonymous: AnonymousAccess;
}

/** A request of a route of a repository. */
export type Asked = FastifyRequest<{
  Params: RepositoryName & { readonly rev?: string; readonly '*'?: string };
  Querystring: Record<string, string | readonly string[] | undefined>;
}>;

/** A repository that somebody asks for, which they may read. */
export interface Repository {
  readonly id: string;
  readonly model: string;
  readonly registry: Registry;
}

/** A version that was found by a revision. */
export interface Revision {
  readonly found: FoundVersion;
  readonly commit: string;
}

/** What all routes go by. */
export interface Opened {
  readonly parts: HubParts;
  readonly revisions: HubRevisions;
  /** @throws RequestError where whoever asks may not read it */
  repository(request: Asked, reply: FastifyReply): Repository;
  revision(repository: Repository, reply: FastifyReply, revision: string): Promise<Revision>;
}

const json = 'application/json; charset=utf-8';
/** A route of repositories, whose ids have a namespace or none. */
export function repositoryRoute(
  app: FastifyInstance,
  { method, path, schema }: { method: string[]; path: string; schema: FastifySchema },
  handler: (request: Asked, reply: FastifyReply) => Promise<unknown>,
): void {
  const how = { method, exposeHeadRoute: false, handler } as const;
  app.route({ ...how, url: path.replace(':repository', ':name'), schema });
  app.route({
    ...how,
    url: path.replace(':repository', ':ns/:name'),
    schema: { ...schema, hide: true },
  });
}

/** Sends a document of JSON. */
export async function sendJson(
  reply: FastifyReply,
  blocks: AsyncIterable<Uint8Array>,
): Promise<void> {
  const headers = { 'content-type': json, 'cache-control': 'private, no-cache' };
  await sendBlocks(reply, blocks, { status: 200, headers });
}

/** Reads a flag of a query; clients write it in several ways. */
export function isTrue(value: unknown): boolean {
  return ['true', '1'].includes(String(value).toLowerCase());
}

/** Reads a text of a query. */
export function textOf(value: string | readonly string[] | undefined): string | undefined {
  return typeof value === 'string' ? value : value?.at(-1);
}

/** Reads a number of a query. */
export function numberOf(value: unknown, otherwise: number): number {
  if (value === undefined) return otherwise;
  if (/^\d{1,9}$/.test(String(value))) return Number(value);
  throw new RequestError(400, 'bad-input', 'A number of the address is none', {
    hint: 'Write "limit" as digits',
  });
}
