import type { FastifyInstance, FastifyReply } from 'fastify';
import { Registry } from '../registry/registry.ts';
import { clientSignal } from './answers.ts';
import { maySee, requireScope } from './callers.ts';
import { answerHubError } from './hub-errors.ts';
import { jsonBlocks, listSiblings } from './hub-listing.ts';
import { modelOfRepository, noOtherKind, repositoryId } from './hub-names.ts';
import { commitOf, HubRevisions, mainBranch } from './hub-revisions.ts';
import {
  type Asked,
  type HubParts,
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
import { listingRoutes } from './hub-trees.ts';
import { noFile } from './models.ts';
import { RequestError } from './request-error.ts';

const modelsMax = 10_000;

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
  const revisions = new HubRevisions(parts.workspace);
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

function infoRoutes(app: FastifyInstance, { parts, repository, revision }: Opened): void {
  const info = async (request: Asked, reply: FastifyReply) => {
    const asked = repository(request, reply);
    const named = await revision(asked, reply, request.params.rev ?? mainBranch);
    const files = await parts.files.list(named.found);
    const isPrivate = parts.anonymous === 'none';
    const head = JSON.stringify(factsOf(asked, named, isPrivate)).slice(0, -1);
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
    const text = (textOf(query['search']) ?? '').toLowerCase();
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
