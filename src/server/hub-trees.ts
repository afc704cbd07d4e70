import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { mapConcurrently } from '../base/concurrency.ts';
import { isMstoreError } from '../base/errors.ts';
import type { FoundVersion } from '../registry/find.ts';
import { entryAt, hasFolder, jsonBlocks, type ListedCommit, listEntries } from './hub-listing.ts';
import { commitOf, type HubRevisions, mainBranch, readsAtOnce } from './hub-revisions.ts';
import {
  type Asked,
  isTrue,
  numberOf,
  type Opened,
  type Repository,
  type Revision,
  repositoryRoute,
  sendJson,
  textOf,
} from './hub-routes.ts';
import { hubSchemas } from './hub-schemas.ts';
import { noFile } from './models.ts';
import { RequestError } from './request-error.ts';
import type { VersionFiles } from './version-files.ts';

/** Entries of a page of a listing, as on the Hub. */
const pageEntries = 1000;
const pathsMax = 10_000;

/** Routes that list the files and the revisions of a model. */
export function listingRoutes(app: FastifyInstance, opened: Opened): void {
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
  const behind = textOf(query['cursor']);
  const most = Math.max(1, Math.min(pageEntries, numberOf(query['limit'], pageEntries)));
  const expand = expanded ? listedCommit(found, commit) : undefined;
  const entries = [];
  for (const entry of listEntries(files, commit, { folder, recursive, expand, behind })) {
    entries.push(entry);
    if (entries.length > most) break;
  }
  if (entries.length > most) {
    entries.pop();
    const below = folder === '' ? '' : `/${encodeURIComponent(folder)}`;
    // The page behind this one is of the same version, whatever a name is moved to meanwhile.
    const next = ownUrl(request, `/api/models/${id}/tree/${commit}${below}`);
    const cursor = String(entries.at(-1)?.['path']);
    const more = { recursive, expand: expanded, limit: most, cursor };
    for (const [key, value] of Object.entries(more)) next.searchParams.set(key, String(value));
    reply.header('link', `<${next.href}>; rel="next"`);
  }
  await sendJson(reply, jsonBlocks('[', entries, ']'));
}

/** A path as an address that whoever asks reaches this server at. */
function ownUrl({ protocol, host }: FastifyRequest, path: string): URL {
  const url = `${protocol}://${host}${path}`;
  if (URL.canParse(url)) return new URL(url);
  throw new RequestError(400, 'bad-input', 'The request does not tell which host it asks', {
    hint: 'Send the header Host',
  });
}

/** Environments move, as branches do; versions stay, as tags do. */
async function listRefs(revisions: HubRevisions, { model, registry }: Repository) {
  const mainCommit = async (): Promise<string | undefined> => {
    try {
      return commitOf(await revisions.find(registry, model, mainBranch));
    } catch (error) {
      if (isMstoreError(error, 'unknown-version')) return undefined;
      throw error;
    }
  };
  const names = await registry.namesOf(model);
  const states = await registry.states(names);
  const used = [...names.versions].filter((name) =>
    ['active', 'deprecated'].includes(states.get(name) ?? 'active'),
  );
  const commits = await revisions.commits(registry, model, used);
  const environments = [...names.environments.keys()].filter((name) => name !== mainBranch).sort();
  const live = await mapConcurrently(environments, readsAtOnce, async (name) => {
    try {
      return { name, commit: commitOf(await revisions.find(registry, model, name)) };
    } catch (error) {
      // A branch that nobody may follow is none.
      if (!isMstoreError(error, 'untrusted', 'unknown-version', 'corrupt-registry')) throw error;
      return { name, commit: undefined };
    }
  });
  const branches = [{ name: mainBranch, commit: await mainCommit() }, ...live];
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
