import { type Digest, isDigest } from '../base/digest.ts';
import { MstoreError } from '../base/errors.ts';
import { isJsonObject, parseJsonBytes } from '../base/json.ts';
import { limits } from '../base/limits.ts';
import { printable } from '../base/names.ts';
import type { HttpAnswer } from '../remote/http-exchange.ts';
import { refused } from '../remote/service-errors.ts';
import { passingError, sourceError } from './failures.ts';
import { bodyOf, plainRefusal, type Web } from './http.ts';
import { cachedCopy, type HubPlace } from './hub-place.ts';
import { corruptSource, type Snapshot, type SourceFile } from './snapshot.ts';

/** A model on the Hub. */
export interface HubModel {
  /** `org/name`, or a name alone. */
  readonly repository: string;
  /** A branch, tag or commit. */
  readonly revision: string;
}

/** A page of a listing has some hundreds of files. */
const pageBytesMax = 64 * 1024 * 1024;
const pagesMax = 50_000;
const commitPattern = /^[0-9a-f]{40}$/;
const gitBlobPattern = /^[0-9a-f]{40}$/;

/**
 * Opens a model on the Hugging Face Hub at the commit that a revision names now: from then on what it holds cannot
 * change. Listings come by the Hub's own client, files by plain HTTP.
 * @throws MstoreError `not-found`, `remote-refused`, `remote-unreachable`, `corrupt-source`
 */
export async function openHub(
  { repository, revision }: HubModel,
  place: HubPlace,
  web: Web,
  signal: AbortSignal | undefined,
): Promise<Snapshot> {
  const asked = `hf:${repository}@${revision}`;
  const headers: Record<string, string> =
    place.token === undefined ? {} : { authorization: `Bearer ${place.token}` };
  const access = { where: asked, repository, revision, place };
  const { listFiles, modelInfo } = await import('./hub-sdk.ts');
  const hubUrl = place.endpoint.href.replace(/\/$/, '');
  const fetching = (shape: AnswerShape) => ({
    hubUrl,
    fetch: hubReader(web, access, headers, shape, signal),
  });
  const { sha: commit } = await modelInfo({
    ...fetching('object'),
    name: repository,
    revision,
    additionalFields: ['sha'],
  });
  if (typeof commit !== 'string' || !commitPattern.test(commit)) {
    throw corruptSource(asked, 'it does not tell the commit of this revision');
  }
  const reference = `hf:${repository}@${commit}`;
  const files: SourceFile[] = [];
  const repo = { type: 'model', name: repository } as const;
  const listing = listFiles({ ...fetching('list'), repo, revision: commit, recursive: true });
  for await (const entry of listing) {
    if (entry.type === 'directory') continue;
    files.push(fileOf(entry, reference));
    if (files.length > limits.treeEntriesMax) {
      throw corruptSource(reference, `it lists more than ${limits.treeEntriesMax} files`);
    }
  }
  const base = `${hubUrl}/${repository}/resolve/${commit}/`;
  return {
    reference,
    facts: { kind: 'hf', repository, revision, commit, ...endpointFact(place) },
    isFixed: true,
    files,
    read: (file, start, options) =>
      web.read(
        {
          url: new URL(base + file.path.split('/').map(encodeURIComponent).join('/')),
          where: reference,
          path: file.path,
          size: file.size,
          headers,
          refusal: (answer) => hubRefusal(answer, access),
        },
        start,
        options.signal,
      ),
    localCopy: (file) => cachedCopy(place, repository, commit, file),
  };
}

function endpointFact({ endpoint }: HubPlace): { endpoint?: string } {
  return endpoint.hostname === 'huggingface.co' ? {} : { endpoint: endpoint.href };
}

interface ListedFile {
  readonly type: string;
  readonly path: string;
  readonly size: number;
  readonly oid?: string;
  readonly lfs?: { readonly oid: string; readonly size: number };
}

/** What a listing says of a file; that the path may be one is checked with all others. */
function fileOf({ path, size, oid, lfs, type }: ListedFile, where: string): SourceFile {
  const known =
    type === 'file' &&
    typeof path === 'string' &&
    Number.isSafeInteger(lfs?.size ?? size) &&
    (lfs === undefined ? gitBlobPattern.test(oid ?? '') : isDigest(lfs.oid));
  if (!known)
    throw corruptSource(where, `its entry ${printable(String(path))} is no file of the Hub`);
  if (lfs !== undefined) return { path, size: lfs.size, sha256: lfs.oid as Digest };
  return { path, size, gitBlob: oid as string };
}

/** Who reads what on the Hub. */
interface HubAccess extends HubModel {
  readonly where: string;
  readonly place: HubPlace;
}

/** What an answer must be: the Hub's client takes it as it comes. */
type AnswerShape = 'object' | 'list';

function hasShape(value: unknown, shape: AnswerShape): boolean {
  return shape === 'object'
    ? isJsonObject(value)
    : Array.isArray(value) && value.every(isJsonObject);
}

/** The JSON of an answer, checked. */
function checkedJson(body: Buffer, shape: AnswerShape, where: string): Buffer {
  try {
    if (hasShape(parseJsonBytes(body), shape)) return body;
  } catch (error) {
    throw corruptSource(where, 'what it answers is no JSON', error);
  }
  throw corruptSource(where, `what it answers is no ${shape}`);
}

/** What is read of the Hub in JSON: bounded, checked, tried again, credentials to the Hub alone. */
function hubReader(
  web: Web,
  access: HubAccess,
  headers: Readonly<Record<string, string>>,
  shape: AnswerShape,
  signal: AbortSignal | undefined,
): typeof fetch {
  let pages = 0;
  return async (input, init) => {
    const url = webUrl(input instanceof Request ? input.url : String(input), access.where);
    if (++pages > pagesMax) throw corruptSource(access.where, 'its list has no end');
    const own = url.origin === access.place.endpoint.origin ? headers : {};
    const given = Object.fromEntries(new Headers(init?.headers).entries());
    return web.policy.again(async () => {
      const answer = await web.send(url, access.where, { headers: { ...given, ...own }, signal });
      const { status } = answer;
      if (status !== 200) answer.close();
      const passing = passingError(answer, access.where);
      if (passing !== undefined) throw passing;
      if (status !== 200) throw hubRefusal(answer, access);
      const body = checkedJson(
        await bodyOf(answer, access.where, pageBytesMax),
        shape,
        access.where,
      );
      const told = { 'content-type': 'application/json', link: answer.header('link') ?? '' };
      return new Response(body, { status, headers: told });
    }, signal);
  };
}

/** The address of a page, which the page before it tells. */
function webUrl(text: string, where: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol === 'https:' || url?.protocol === 'http:') return url;
  throw corruptSource(where, 'its list goes on at what is no address');
}

/** What is not there, as `details.lacks` of `not-found` says. */
export type HubLack = 'repository' | 'revision' | 'file';

/** Makes the error of an answer that is final, by what the Hub says beside its status. */
function hubRefusal(
  answer: HttpAnswer,
  { where, repository, revision, place }: HubAccess,
): MstoreError {
  const { status } = answer;
  const page = `${place.endpoint.href.replace(/\/$/, '')}/${repository}`;
  const denied = (what: string, hint: string): MstoreError =>
    sourceError(refused('denied', what, hint), where, { said: `HTTP ${status}`, status });
  const missing = (what: string, hint: string, lacks: HubLack = 'repository'): MstoreError =>
    new MstoreError('not-found', what, { hint, details: { source: where, status, lacks } });
  const withToken =
    place.token === undefined
      ? 'Set HF_TOKEN if it is private'
      : 'Check that the token may read it';
  answer.close();
  switch (answer.header('x-error-code')) {
    case 'GatedRepo':
      return denied(
        'its owners have to let you read it',
        place.token === undefined
          ? `Ask for access at ${page}, then set HF_TOKEN`
          : `Ask for access at ${page} with the account of this token`,
      );
    case 'RevisionNotFound':
      return missing(
        `${repository} on the Hub has no revision ${printable(revision)}`,
        `Look at ${page}/branches for the branches and tags it has`,
        'revision',
      );
    case 'RepoNotFound':
      return missing(
        `There is no model ${repository} on the Hub`,
        `Check its name at ${page}. ${withToken}`,
      );
    case 'EntryNotFound':
      return missing(`A file of ${where} is gone`, `Look at ${page}`, 'file');
  }
  if (/Invalid credentials/i.test(answer.header('x-error-message') ?? '')) {
    return denied('the token is not known there', 'Set HF_TOKEN to a token that is valid');
  }
  if (status === 401) {
    return missing(
      `There is no model ${repository} on the Hub that we may see`,
      `Check its name at ${page}. ${withToken}`,
    );
  }
  if (/disabled/i.test(answer.header('x-error-message') ?? '')) {
    return denied('access to it is disabled', `Look at ${page}`);
  }
  return plainRefusal(answer, where, repository);
}
