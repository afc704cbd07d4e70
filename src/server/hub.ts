import type { FastifyInstance, FastifyReply, FastifyRequest, FastifySchema } from 'fastify';
import type { FoundVersion } from '../registry/find.ts';
import { Registry } from '../registry/registry.ts';
import { clientSignal, sendBlocks } from './answers.ts';
import { type AnonymousAccess, maySee, requireScope } from './callers.ts';
import { answerHubError } from './hub-errors.ts';
import {
  entryAt,
  hasFolder,
  jsonBlocks,
  type ListedCommit,
  listEntries,
  listSiblings,
} from './hub-listing.ts';
import { modelOfRepository, noOtherKind, type RepositoryName, repositoryId } from './hub-names.ts';
import { commitOf, HubRevisions, mainBranch } from './hub-revisions.ts';
import { hubSchemas } from './hub-schemas.ts';
import { type ModelParts, noFile } from './models.ts';
import { RequestError } from './request-error.ts';
import type { VersionFiles } from './version-files.ts';

/** What the routes of the Hub work with. */
export interface HubParts extends ModelParts {
  readonly files: VersionFiles;
  readonly anonymous: AnonymousAccess;
}

type Asked = FastifyRequest<{
  Params: RepositoryName & { readonly rev?: string; readonly '*'?: string };
  Querystring: Record<string, string | readonly string[] | undefined>;
}>;

/** A repository that somebody asks for, which they may read. */
interface Repository {
  readonly id: string;
  readonly model: string;
  readonly registry: Registry;
}

/** A version that was found by a revision. */
interface Revision {
  readonly found: FoundVersion;
  readonly commit: string;
}

const json = 'application/json; charset=utf-8';
/** Entries of a page of a listing, as on the Hub. */
const pageEntries = 1000;
const modelsMax = 10_000;
const pathsMax = 10_000;

/**
 * Routes by which clients of the Hugging Face Hub read models: those of its interface that Python's `huggingface_hub`, what
 * stands on it, and `@huggingface/hub` use to look at models and to download them. They speak of what the other routes
 * speak of, and ask for the same scope.
 */
export function hubRoutes(app: FastifyInstance, parts: HubParts): void {
  app.setErrorHandler(answerHubError);
  app.addContentTypeParser(
    'application/x-www-form-urlencoded',
    { parseAs: 'string' },
    (_request, body, done) => done(null, new URLSearchParams(String(body))),
  );
  const revisions = new HubRevisions();
  const opened: Opened = {
    parts,
    revisions,
    repository({ caller, params }, reply) {
      const model = modelOfRepository(params);
      requireScope(caller, 'read', model);
      const registry = new Registry(parts.chosen.remote, { signal: clientSignal(reply) });
      return { id: repositoryId(params), model, registry };
    },
    async revision({ registry, model }, reply, revision) {
      const found = await revisions.find(registry, model, revision);
      const commit = commitOf(found);
      reply.headers({ 'x-repo-commit': commit, 'mstore-version': found.record.value.version });
      return { found, commit };
    },
  };
  infoRoutes(app, opened);
  listingRoutes(app, opened);
  fileRoutes(app, opened);
  accountRoutes(app, opened);
  otherRoutes(app);
}

/** What all routes go by. */
interface Opened {
  readonly parts: HubParts;
  readonly revisions: HubRevisions;
  /** @throws RequestError where whoever asks may not read it */
  repository(request: Asked, reply: FastifyReply): Repository;
  revision(repository: Repository, reply: FastifyReply, revision: string): Promise<Revision>;
}

/** A route of repositories, whose ids have a namespace or none. */
function repositoryRoute(
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

function infoRoutes(app: FastifyInstance, { parts, repository, revision }: Opened): void {
  const info = async (request: Asked, reply: FastifyReply) => {
    const asked = repository(request, reply);
    const named = await revision(asked, reply, request.params.rev ?? mainBranch);
    const files = await parts.files.list(named.found);
    const isPrivate = parts.anonymous === 'none';
    const { id, author, ...facts } = factsOf(asked, named, isPrivate);
    const head = JSON.stringify({ id, author, ...facts }).slice(0, -1);
    const siblings = listSiblings(files, { blobs: isTrue(request.query['blobs']) });
    await sendJson(reply, jsonBlocks(`${head},"siblings":[`, siblings, ']}'));
    return reply;
  };
  const base = '/api/models/:repository';
  repositoryRoute(app, { method: ['GET'], path: base, schema: hubSchemas.model }, info);
  const path = `${base}/revision/:rev`;
  repositoryRoute(app, { method: ['GET'], path, schema: hubSchemas.revision }, info);
}

/** What is told of a model at a revision, but for its files. */
function factsOf({ id, model }: Repository, { found, commit }: Revision, isPrivate: boolean) {
  const { version, created } = found.record.value;
  return {
    _id: commit.slice(0, 24),
    id,
    modelId: id,
    author: id.includes('/') ? id.slice(0, id.indexOf('/')) : undefined,
    sha: commit,
    lastModified: created,
    createdAt: created,
    private: isPrivate,
    gated: false,
    disabled: false,
    downloads: 0,
    likes: 0,
    tags: [],
    mstore: { model, version, sha256: found.record.sha256, state: found.state },
  };
}

function listingRoutes(app: FastifyInstance, opened: Opened): void {
  const { parts, revisions, repository, revision } = opened;
  const base = '/api/models/:repository';
  const tree = async (request: Asked, reply: FastifyReply) => {
    const asked = repository(request, reply);
    const named = await revision(asked, reply, request.params.rev ?? mainBranch);
    await sendTree(parts.files, { id: asked.id, ...named }, request, reply);
    return reply;
  };
  const treePath = { method: ['GET'], path: `${base}/tree/:rev`, schema: hubSchemas.tree };
  repositoryRoute(app, treePath, tree);
  const below = { ...treePath, path: `${base}/tree/:rev/*`, schema: hubSchemas.treeBelow };
  repositoryRoute(app, below, tree);

  const paths = {
    method: ['POST'],
    path: `${base}/paths-info/:rev`,
    schema: hubSchemas.pathsInfo,
  };
  repositoryRoute(app, paths, async (request, reply) => {
    const wanted = wantedPaths(request.body);
    const asked = repository(request, reply);
    const { found, commit } = await revision(asked, reply, request.params.rev ?? mainBranch);
    const files = await parts.files.list(found);
    const expand = wanted.expand ? listedCommit(found, commit) : undefined;
    return wanted.paths.flatMap((path) => entryAt(files, path, commit, { expand }) ?? []);
  });

  const refs = { method: ['GET'], path: `${base}/refs`, schema: hubSchemas.refs };
  repositoryRoute(app, refs, async (request, reply) =>
    listRefs(revisions, repository(request, reply)),
  );
}

/** Sends a page of a listing, and says where the next one is. */
async function sendTree(
  store: VersionFiles,
  { id, found, commit }: Revision & { readonly id: string },
  request: Asked,
  reply: FastifyReply,
): Promise<void> {
  const { params, query } = request;
  const folder = (params['*'] ?? '').replace(/\/+$/, '');
  const files = await store.list(found);
  if (folder !== '' && !hasFolder(files, folder)) throw noFile(found, folder);
  const [recursive, expanded] = [isTrue(query['recursive']), isTrue(query['expand'])];
  const skipped = numberOf(query['cursor'], 0);
  const most = Math.max(1, Math.min(pageEntries, numberOf(query['limit'], pageEntries)));
  const expand = expanded ? listedCommit(found, commit) : undefined;
  const entries = [];
  let at = 0;
  let isMore = false;
  for (const entry of listEntries(files, commit, { folder, recursive, expand })) {
    isMore = entries.length === most;
    if (isMore) break;
    if (at++ >= skipped) entries.push(entry);
  }
  if (isMore) {
    // The page behind this one is of the same version, whatever a name is moved to meanwhile.
    const below = folder === '' ? '' : `/${encodeURIComponent(folder)}`;
    const next = new URL(
      `${request.protocol}://${request.host}/api/models/${id}/tree/${commit}${below}`,
    );
    const more = { recursive, expand: expanded, limit: most, cursor: skipped + most };
    for (const [key, value] of Object.entries(more)) next.searchParams.set(key, String(value));
    reply.header('link', `<${next.href}>; rel="next"`);
  }
  await sendJson(reply, jsonBlocks('[', entries, ']'));
}

async function sendJson(reply: FastifyReply, blocks: AsyncIterable<Uint8Array>): Promise<void> {
  const headers = { 'content-type': json, 'cache-control': 'private, no-cache' };
  await sendBlocks(reply, blocks, { status: 200, headers });
}

/** Environments move, as branches do; versions stay, as tags do. */
async function listRefs(revisions: HubRevisions, { model, registry }: Repository) {
  const names = await registry.namesOf(model);
  const states = await registry.states(names);
  const used = [...names.versions].filter((name) =>
    ['active', 'deprecated'].includes(states.get(name) ?? 'active'),
  );
  const commits = await revisions.commits(registry, model, used);
  const live = await Promise.all(
    [...names.environments.keys()].sort().map(async (name) => {
      const entry = await registry.live(model, name);
      return { name, commit: entry?.value.record.slice(0, 40) };
    }),
  );
  const main = await revisions.find(registry, model, mainBranch).then(commitOf, () => undefined);
  const branches = [{ name: mainBranch, commit: main }, ...live.filter(isNotMain)];
  const refOf = (kind: string) => (one: { name: string; commit?: string | undefined }) =>
    one.commit === undefined
      ? []
      : [{ name: one.name, ref: `refs/${kind}/${one.name}`, targetCommit: one.commit }];
  const tags = [...commits].map(([name, commit]) => ({ name, commit }));
  return {
    branches: branches.flatMap(refOf('heads')),
    tags: tags.flatMap(refOf('tags')),
    converts: [],
    pullRequests: [],
  };
}

function isNotMain({ name }: { readonly name: string }): boolean {
  return name !== mainBranch;
}

function fileRoutes(app: FastifyInstance, { parts, repository, revision }: Opened): void {
  const send = async (request: Asked, reply: FastifyReply) => {
    const { rev = mainBranch, '*': path = '' } = request.params;
    const { found, commit } = await revision(repository(request, reply), reply, rev);
    const file = await parts.files.find(found, path);
    if (file === undefined) throw noFile(found, path);
    if (file.size === 0 && request.headers.range !== undefined) {
      // One client asks for the first byte, to learn the size, and takes a refusal of it for a failure.
      reply.header('content-range', 'bytes */0');
      delete request.headers.range;
    }
    await parts.files.send(file, { request, reply, isFixed: rev === commit });
    return reply;
  };
  const method = ['GET', 'HEAD'];
  for (const [word, schema] of [
    ['resolve', hubSchemas.file],
    ['raw', hubSchemas.raw],
  ] as const) {
    repositoryRoute(app, { method, path: `/:repository/${word}/:rev/*`, schema }, send);
  }
}

function accountRoutes(app: FastifyInstance, { parts, repository }: Opened): void {
  app.get('/api/whoami-v2', { schema: hubSchemas.whoami }, async ({ caller }) => {
    if (caller.name === 'anonymous') {
      throw new RequestError(401, 'remote-refused', 'There is no token in the request', {
        hint: 'Set HF_TOKEN to a token of this server',
      });
    }
    const role = caller.scopes.has('push') ? 'write' : 'read';
    const accessToken = { displayName: caller.name, role };
    return {
      type: 'user',
      id: caller.name,
      name: caller.name,
      fullname: caller.name,
      orgs: [],
      auth: { type: 'access_token', accessToken },
    };
  });

  const check = {
    method: ['GET'],
    path: '/api/models/:repository/auth-check',
    schema: hubSchemas.authCheck,
  };
  repositoryRoute(app, check, async (request, reply) => {
    const { registry, model } = repository(request, reply);
    await registry.namesOf(model);
    return {};
  });

  app.get('/api/models', { schema: hubSchemas.models }, async (request: Asked, reply) => {
    const { caller, query } = request;
    requireScope(caller, 'read');
    const registry = new Registry(parts.chosen.remote, { signal: clientSignal(reply) });
    const text = String(query['search'] ?? '').toLowerCase();
    const most = numberOf(query['limit'], modelsMax);
    const names = (await registry.names()).map(({ model }) => model);
    const found = names.filter((model) => maySee(caller, model) && model.includes(text));
    return found
      .slice(0, Math.min(most, modelsMax))
      .map((id) => ({ _id: id, id, modelId: id, tags: [] }));
  });
}

/** What the Hub has, and this server does not. */
function otherRoutes(app: FastifyInstance): void {
  const hidden = { schema: { hide: true } };
  const method = ['GET', 'HEAD'];
  for (const kind of ['datasets', 'spaces']) {
    for (const url of [`/api/${kind}`, `/api/${kind}/*`, `/${kind}/*`]) {
      const handler = async () => {
        throw noOtherKind();
      };
      app.route({ method, url, ...hidden, handler });
    }
  }
  app.get('/api/models/*', hidden, async () => {
    throw new RequestError(
      404,
      'bad-input',
      "This part of the Hub's interface is not spoken here",
      {
        hint: 'Models, their files and revisions can be read',
      },
    );
  });
  for (const word of ['models', 'datasets', 'spaces', 'repos']) {
    app.route({
      method: ['POST', 'PUT', 'DELETE'],
      url: `/api/${word}/*`,
      ...hidden,
      // Before the body is looked at, of whatever type it is.
      onRequest: async () => {
        throw new RequestError(403, 'remote-refused', "The Hub's interface is for reading here", {
          hint: 'Register versions with "mstore register" and "mstore push"',
        });
      },
      handler: async () => {},
    });
  }
}

function listedCommit(found: FoundVersion, id: string): ListedCommit {
  const { model, version, created } = found.record.value;
  return { id, title: `${model}@${version}`, date: created };
}

/** Reads the paths of a request: Python's client sends a form, that for JavaScript sends JSON. */
function wantedPaths(body: unknown): { paths: readonly string[]; expand: boolean } {
  const given =
    body instanceof URLSearchParams
      ? { paths: body.getAll('paths'), expand: body.get('expand') }
      : ((body ?? {}) as { paths?: unknown; expand?: unknown });
  const paths = [given.paths ?? []].flat() as unknown[];
  if (paths.length <= pathsMax && paths.every((path) => typeof path === 'string')) {
    return { paths: paths as string[], expand: isTrue(String(given.expand)) };
  }
  throw new RequestError(400, 'bad-input', `"paths" has to be a list of ${pathsMax} paths at most`);
}

/** Reads a flag of a query; clients write it in several ways. */
function isTrue(value: unknown): boolean {
  return ['true', '1'].includes(String(value).toLowerCase());
}

/** Reads a number of a query. */
function numberOf(value: unknown, otherwise: number): number {
  if (value === undefined) return otherwise;
  if (/^\d{1,9}$/.test(String(value))) return Number(value);
  throw new RequestError(400, 'bad-input', 'A number of the address is none', {
    hint: 'Write "limit" and "cursor" as digits',
  });
}
