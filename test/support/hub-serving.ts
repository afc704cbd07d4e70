import * as fs from 'node:fs';
import * as http from 'node:http';
import * as os from 'node:os';
import * as path from 'node:path';
import { openRemote } from '../../src/remote/open.ts';
import { allScopes, startTestServer, type TestToken } from './http-remote.ts';
import { makePublished } from './resolving.ts';
import { safetensorsFile } from './safetensors.ts';
import { tempFolder } from './temp.ts';
import { xorshiftBytes } from './xorshift.ts';

/** A token as `mstore token create` makes it, which the Hub's clients are given. */
export const reader: TestToken = { name: 'reader', token: 'mst_reader', scopes: ['read'] };

/** Files of a model with names that have to be escaped, an empty one, and one of several chunks. */
export const servedFiles = {
  'config.json': JSON.stringify({ model_type: 'bert', hidden_size: 8, num_attention_heads: 2 }),
  empty: '',
  'model.safetensors': safetensorsFile([
    { name: 'weight', bytes: Buffer.from(xorshiftBytes(5, 3_000_000)) },
  ]),
  'sub dir/a#b é?.txt': 'odd',
  'sub dir/deep/last.txt': 'last',
  'tokenizer.json': JSON.stringify({
    version: '1.0',
    added_tokens: [],
    pre_tokenizer: { type: 'Whitespace' },
    model: { type: 'WordLevel', vocab: { '[UNK]': 0, hello: 1, world: 2 }, unk_token: '[UNK]' },
  }),
  'tokenizer_config.json': JSON.stringify({
    tokenizer_class: 'PreTrainedTokenizerFast',
    unk_token: '[UNK]',
  }),
} as const;

/** The file that the second version has beside those of the first. */
export const secondFile = { 'second.txt': 'second' } as const;

/** A directory remote with the models, and the commits of their versions. */
interface MadeRemote {
  readonly remote: string;
  readonly commits: { readonly first: string; readonly second: string };
}

/**
 * A workspace with `bert` in two versions on its remote, the first of which is live in production, and `team.other`, which has
 * one file alone.
 */
export async function publishModels() {
  const ws = await makePublished();
  const first = await ws.publish('v1.0.0', servedFiles);
  await ws.deploy('v1.0.0');
  ws.write('models/plain.txt', 'plain');
  await ws.ok('add', 'models/plain.txt');
  await ws.ok('register', 'team.other@v1', 'models/plain.txt');
  await ws.ok('push');
  await ws.ok('untrack', 'models/plain.txt');
  const second = await ws.publish('v1.1.0', { ...servedFiles, ...secondFile });
  const commits = { first: first.slice(0, 40), second: second.slice(0, 40) };
  return { ws, remote: ws.remote, commits };
}

let made: Promise<MadeRemote> | undefined;

/** A copy of a remote that {@link publishModels} made, once for all tests of a file. */
async function copiedRemote(): Promise<MadeRemote> {
  made ??= publishModels().then(({ remote, commits }) => {
    const kept = fs.mkdtempSync(path.join(fs.realpathSync(os.tmpdir()), 'mstore-served-'));
    process.once('exit', () => fs.rmSync(kept, { recursive: true, force: true }));
    fs.cpSync(remote, kept, { recursive: true });
    return { remote: kept, commits };
  });
  const { remote, commits } = await made;
  const copy = path.join(tempFolder(), 'remote');
  fs.cpSync(remote, copy, { recursive: true });
  return { remote: copy, commits };
}

/** What is served to whom. */
interface Serving {
  /** Tokens beside the usual ones. */
  readonly allowed?: readonly TestToken[];
  /** By default a copy of what {@link publishModels} makes. */
  readonly models?: MadeRemote;
}

/** Starts a server over models. */
export async function serveModels({ allowed = [], models }: Serving = {}) {
  const { remote: folder, commits } = models ?? (await copiedRemote());
  const remote = await openRemote(folder, { base: '/' });
  const server = await startTestServer({ remote, allowed: [allScopes, reader, ...allowed] });
  const get = (path: string, init: RequestInit = {}) =>
    fetch(server.url + path, {
      ...init,
      headers: { authorization: `Bearer ${reader.token}`, ...init.headers },
    });
  return { folder, server, get, commits };
}

/** Asks for a path exactly as it is written, which `fetch` would tidy up first. */
export function getExactly(url: string, path: string): Promise<http.IncomingMessage> {
  const { hostname, port } = new URL(url);
  const headers = { authorization: `Bearer ${reader.token}` };
  return new Promise((resolve, reject) => {
    http
      .get({ hostname, port, path, headers }, (answer) => resolve(answer.resume()))
      .on('error', reject);
  });
}
