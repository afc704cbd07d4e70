import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { fromSystemError } from '../base/errors.ts';
import { programFile } from '../base/program-files.ts';
import { accepts, matches } from './answers.ts';

/** A file of the page, as the build lists it. */
interface PageFile {
  /** Path that it is asked for by. */
  readonly path: string;
  /** Name of the file; each coding of it has the name of the coding behind it. */
  readonly file: string;
  readonly type: string;
  readonly sha256: string;
  /** Codings that there are, the best one first. */
  readonly codings: readonly string[];
  /** Whether its path names its bytes, which never change then. */
  readonly isFixed: boolean;
}

/** The folder of its files in the program. */
const folder = 'dist/web';

/**
 * What the page may do: load its own files, and ask this server. Nothing is run that stands in the page, and nothing
 * of what models and people are called can become markup.
 */
const policy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join('; ');

const pageHeaders = {
  'content-security-policy': policy,
  'x-frame-options': 'DENY',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
};

/**
 * Routes that give out the page for people: one for each file that the build lists, and no other. Whoever reaches the
 * server may read them: there is nothing of any model in them.
 * @throws MstoreError where the page was not built
 */
export function pageRoutes(app: FastifyInstance): void {
  for (const one of readList()) {
    app.route({
      method: ['GET', 'HEAD'],
      url: one.path,
      schema: { hide: true },
      handler: async (request, reply) => sendPageFile(one, request, reply),
    });
  }
}

function readList(): readonly PageFile[] {
  try {
    const bytes = programFile(`${folder}/files.json`);
    return JSON.parse(Buffer.from(bytes).toString()) as PageFile[];
  } catch (error) {
    throw fromSystemError(error, 'reading the list of the files of the page');
  }
}

/** Files that were asked for; all of them together are some 100 KB. */
const kept = new Map<string, Buffer>();

async function sendPageFile(
  { file, type, sha256, codings, isFixed }: PageFile,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply> {
  const { headers } = request;
  const coding = codings.find((one) => accepts(headers['accept-encoding'], one));
  const etag = `"${sha256.slice(0, 32)}${coding === undefined ? '' : `-${coding}`}"`;
  reply.headers({
    ...pageHeaders,
    etag,
    vary: 'accept-encoding',
    'cache-control': isFixed ? 'public, max-age=31536000, immutable' : 'no-cache',
  });
  if (matches(headers['if-none-match'], etag)) return reply.code(304).send();
  if (coding !== undefined) reply.header('content-encoding', coding);
  const name = coding === undefined ? file : `${file}.${coding}`;
  const bytes = kept.get(name) ?? Buffer.from(programFile(`${folder}/${name}`));
  kept.set(name, bytes);
  return reply.type(type).send(bytes);
}
