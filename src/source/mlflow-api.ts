import { MstoreError } from '../base/errors.ts';
import { isJsonObject, type JsonObject, parseJsonBytes } from '../base/json.ts';
import { limits } from '../base/limits.ts';
import { printable } from '../base/names.ts';
import type { HttpAnswer, StreamedBody } from '../remote/http-exchange.ts';
import { refused } from '../remote/service-errors.ts';
import { passingError, type SourceAct, sourceError } from './failures.ts';
import { bodyOf, type Web } from './http.ts';
import type { MlflowPlace } from './mlflow-place.ts';
import { corruptSource, type SourceFile } from './snapshot.ts';

/** Answers are lists of some thousand entries at most. */
const answerBytesMax = 64 * 1024 * 1024;
const pagesMax = 10_000;

/** One request of the REST API. */
interface ApiRequest {
  readonly method: string;
  /** Below the address of the server. */
  readonly path: string;
  readonly body?: Uint8Array | StreamedBody;
  readonly type?: string;
}

/** The REST API of a tracking server of MLflow (2 and 3), as its own clients use it. */
export class MlflowApi {
  readonly where: string;
  readonly act: SourceAct;
  readonly web: Web;
  readonly #place: MlflowPlace;
  readonly #signal: AbortSignal | undefined;

  /** @param where what is read or published, for errors */
  constructor(
    place: MlflowPlace,
    web: Web,
    where: string,
    act: SourceAct,
    signal: AbortSignal | undefined,
  ) {
    this.#place = place;
    this.web = web;
    this.where = where;
    this.act = act;
    this.#signal = signal;
  }

  /** Headers that say who asks. */
  get credentials(): Record<string, string> {
    const { authorization } = this.#place;
    return authorization === undefined ? {} : { authorization };
  }

  /** An address of the server. */
  url(path: string): URL {
    return new URL(this.#place.base.href.replace(/\/$/, '') + path);
  }

  /**
   * Asks for something.
   * @throws MstoreError `remote-refused`, `remote-unreachable`, `corrupt-source`; `not-found` for what there is not
   */
  get(call: string, query: Readonly<Record<string, string>> = {}): Promise<JsonObject> {
    const text = new URLSearchParams(query).toString();
    const path = `/api/2.0/mlflow/${call}${text === '' ? '' : `?${text}`}`;
    return this.web.policy.again(() => this.#json({ method: 'GET', path }), this.#signal);
  }

  /** Asks for something that may not be there. */
  async find(
    call: string,
    query: Readonly<Record<string, string>> = {},
  ): Promise<JsonObject | undefined> {
    try {
      return await this.get(call, query);
    } catch (error) {
      if (error instanceof MstoreError && error.code === 'not-found') return undefined;
      throw error;
    }
  }

  /** Collects all pages of a search. */
  async search(
    call: string,
    list: string,
    ask: JsonObject,
    method: 'GET' | 'POST',
  ): Promise<JsonObject[]> {
    const found: JsonObject[] = [];
    let token = '';
    for (let page = 0; page < pagesMax; page++) {
      const asked = token === '' ? ask : { ...ask, page_token: token };
      const answer =
        method === 'POST'
          ? await this.post(call, asked)
          : await this.get(call, asked as Record<string, string>);
      for (const one of listIn(answer, list)) found.push(one);
      token = textIn(answer, 'next_page_token');
      if (token === '') return found;
    }
    throw corruptSource(this.where, 'its list has no end');
  }

  /** Sends what may be sent twice, and is sent again where that may help. */
  post(call: string, body: JsonObject, method = 'POST'): Promise<JsonObject> {
    return this.web.policy.again(() => this.send(call, body, method), this.#signal);
  }

  /** Sends something once. */
  send(call: string, body: JsonObject, method = 'POST'): Promise<JsonObject> {
    return this.#json({
      method,
      path: `/api/2.0/mlflow/${call}`,
      body: Buffer.from(JSON.stringify(body)),
      type: 'application/json',
    });
  }

  /**
   * Makes what must not be made twice: where the answer is lost, it is looked for before it is made again.
   * @param find what was made, if it was
   */
  async create<T>(create: () => Promise<T>, find: () => Promise<T | undefined>): Promise<T> {
    const tries = this.web.policy.start(this.#signal);
    for (;;) {
      try {
        return await create();
      } catch (error) {
        await tries.next(error);
        const made = await find();
        if (made !== undefined) return made;
      }
    }
  }

  /** Puts a file below a folder of artifacts. */
  async put(folder: ArtifactFolder, path: string, body: StreamedBody): Promise<void> {
    await this.web.policy.again(async () => {
      const url = folder.url(path);
      const headers = { ...folder.headers, 'content-type': 'application/octet-stream' };
      const answer = await this.#send(url, { method: 'PUT', path: '', body }, headers);
      await bodyOf(answer, this.where, answerBytesMax);
    }, this.#signal);
  }

  /** Lists all files below a folder of artifacts. */
  async list(folder: ArtifactFolder): Promise<SourceFile[]> {
    const files: SourceFile[] = [];
    const folders = [''];
    for (let at = folders.pop(); at !== undefined; at = folders.pop()) {
      const url = folder.listing(at);
      const answer = await this.web.policy.again(
        async () =>
          this.#parsed(await this.#send(url, { method: 'GET', path: '' }, folder.headers)),
        this.#signal,
      );
      for (const entry of listIn(answer, 'files')) {
        const name = textIn(entry, 'path').replace(/^.*\//, '');
        const path = at === '' ? name : `${at}/${name}`;
        if (name === '' || path.length > limits.pathBytesMax) {
          throw corruptSource(this.where, 'its list of files holds a name that cannot be');
        }
        if (entry['is_dir'] === true) folders.push(path);
        else files.push({ path, size: sizeIn(entry, this.where) });
        if (files.length + folders.length > limits.treeEntriesMax) {
          throw corruptSource(this.where, `it lists more than ${limits.treeEntriesMax} files`);
        }
      }
    }
    return files;
  }

  /** Where the artifacts of an address of MLflow are asked for; undefined where the server does not hand them out. */
  artifacts(uri: string): ArtifactFolder | undefined {
    if (!uri.startsWith('mlflow-artifacts:') || !URL.canParse(uri)) return undefined;
    const { host, pathname } = new URL(uri);
    const base = this.url('');
    const isOther = host !== '' && host !== base.host;
    if (isOther) base.host = host;
    const below = pathname.split('/').filter((part) => part !== '');
    return new ArtifactFolder(base, below.join('/'), isOther ? {} : this.credentials);
  }

  /** Makes the error of an answer that is final. */
  refusal(answer: HttpAnswer): MstoreError {
    answer.close();
    return this.#refusal(answer.status, '', '');
  }

  async #json(request: ApiRequest): Promise<JsonObject> {
    const headers = {
      ...this.credentials,
      ...(request.type === undefined ? {} : { 'content-type': request.type }),
    };
    return this.#parsed(await this.#send(this.url(request.path), request, headers));
  }

  async #send(
    url: URL,
    { method, body }: ApiRequest,
    headers: Record<string, string>,
  ): Promise<HttpAnswer> {
    const answer = await this.web.send(url, this.where, {
      method,
      headers,
      body,
      signal: this.#signal,
    });
    const { status } = answer;
    if (status === 200) return answer;
    const passing = passingError(answer, this.where, this.act);
    if (passing !== undefined) {
      answer.close();
      throw passing;
    }
    const said = saidIn(await bodyOf(answer, this.where, answerBytesMax));
    throw this.#refusal(status, said.code, said.message);
  }

  async #parsed(answer: HttpAnswer): Promise<JsonObject> {
    const body = await bodyOf(answer, this.where, answerBytesMax);
    try {
      const value = parseJsonBytes(body);
      if (isJsonObject(value)) return value;
    } catch (error) {
      throw corruptSource(this.where, 'what it answers is no JSON', error);
    }
    throw corruptSource(this.where, 'what it answers is no object');
  }

  #refusal(status: number, code: string, said: string): MstoreError {
    const { where, act } = this;
    const told = { act, status, said: said === '' ? `HTTP ${status}` : said };
    if (status === 401) {
      const hint =
        'Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN';
      return sourceError(refused('denied', 'it does not know who asks', hint), where, told);
    }
    if (status === 403 || code === 'PERMISSION_DENIED') {
      const hint = 'Ask who runs the server for the right to do this';
      return sourceError(refused('denied', 'it does not allow this', hint), where, told);
    }
    const details = { source: where, status, mlflow: code };
    if (missingCodes.has(code)) {
      return new MstoreError('not-found', `${printable(where)}: ${printable(said).slice(0, 300)}`, {
        hint: 'Check the name, and the server that MLFLOW_TRACKING_URI names',
        details,
      });
    }
    if (takenCodes.has(code)) {
      return new MstoreError(
        'name-taken',
        `${printable(where)}: ${printable(said).slice(0, 300)}`,
        {
          hint: 'Look at what has this name there; a deleted experiment keeps its name',
          details,
        },
      );
    }
    const hint = 'Look at what it says, and whether MLFLOW_TRACKING_URI names a server of MLflow';
    return sourceError(refused('wrong-answer', 'it does not take this', hint), where, told);
  }
}

const missingCodes: ReadonlySet<string> = new Set(['RESOURCE_DOES_NOT_EXIST', 'NOT_FOUND']);
const takenCodes: ReadonlySet<string> = new Set(['RESOURCE_ALREADY_EXISTS', 'ALREADY_EXISTS']);

/** A folder of artifacts that a server hands out. */
export class ArtifactFolder {
  readonly #base: URL;
  readonly #path: string;
  readonly headers: Record<string, string>;

  constructor(base: URL, path: string, headers: Record<string, string>) {
    this.#base = base;
    this.#path = path;
    this.headers = headers;
  }

  /** The address of a file. */
  url(path: string): URL {
    const whole = [...this.#path.split('/'), ...path.split('/')].filter((part) => part !== '');
    return new URL(`${this.#root()}/${whole.map(encodeURIComponent).join('/')}`);
  }

  /** The address that lists a folder below. */
  listing(path: string): URL {
    const whole = [this.#path, path].filter((part) => part !== '').join('/');
    return new URL(`${this.#root()}?${new URLSearchParams({ path: whole }).toString()}`);
  }

  #root(): string {
    return `${this.#base.href.replace(/\/$/, '')}/api/2.0/mlflow-artifacts/artifacts`;
  }
}

/** What an error of the server says. */
function saidIn(body: Buffer): { readonly code: string; readonly message: string } {
  try {
    const value = parseJsonBytes(body);
    if (isJsonObject(value)) {
      return { code: textIn(value, 'error_code'), message: textIn(value, 'message') };
    }
  } catch {
    // Proxies and checks of hosts answer in words.
  }
  return { code: '', message: body.subarray(0, 200).toString('utf8').trim() };
}

/** A text of an answer; empty where there is none. */
export function textIn(value: JsonObject | undefined, name: string): string {
  const text = value?.[name];
  return typeof text === 'string' ? text : '';
}

/** An object of an answer; empty where there is none. */
export function objectIn(value: JsonObject | undefined, name: string): JsonObject {
  const inner = value?.[name];
  return isJsonObject(inner) ? inner : {};
}

/** A list of objects of an answer; empty lists are left out of answers. */
export function listIn(value: JsonObject | undefined, name: string): JsonObject[] {
  const list = value?.[name];
  return Array.isArray(list) ? list.filter(isJsonObject) : [];
}

/** Sizes are numbers, or texts of digits. */
function sizeIn(entry: JsonObject, where: string): number {
  const size = Number(entry['file_size'] ?? 0);
  if (Number.isSafeInteger(size) && size >= 0) return size;
  throw corruptSource(where, `its entry ${printable(textIn(entry, 'path'))} has no size`);
}
