import * as fs from 'node:fs';
import * as path from 'node:path';
import { afterEach } from 'vitest';
import { systemClock, systemRandom } from '../../src/base/clock.ts';
import { systemSurroundings } from '../../src/flow/surroundings.ts';
import { plainWorkspace } from '../../src/flow/workspace.ts';
import { httpRemote } from '../../src/remote/http.ts';
import type { HttpOptions } from '../../src/remote/http-place.ts';
import { memoryRemote } from '../../src/remote/memory.ts';
import type { RemotePruner } from '../../src/remote/remote.ts';
import { counting } from '../../src/remote/wrappers/counting.ts';
import { type RunningServer, type ServerOptions, startServer } from '../../src/server/app.ts';
import { formatTokens, type Scope, Tokens, tokenDigest } from '../../src/server/tokens.ts';
import { tempFolder } from './temp.ts';

/** A token that a test server lets in. */
export interface TestToken {
  readonly name: string;
  readonly token: string;
  readonly scopes: readonly Scope[];
  readonly models?: readonly string[];
  readonly expires?: string;
}

export const allScopes: TestToken = {
  name: 'everything',
  token: 'mst_everything',
  scopes: ['read', 'push', 'deploy', 'report', 'collect'],
};

/** A server of a test, with what it writes. */
export interface TestServer extends RunningServer {
  readonly remote: RemotePruner;
  readonly stateFolder: string;
  readonly tokenFile: string;
  /** Lines of its log. */
  readonly log: string[];
}

const servers: RunningServer[] = [];

afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.close()));
});

/** Writes a file of tokens. */
export function writeTokenFile(file: string, tokens: readonly TestToken[]): void {
  const records = tokens.map(({ token, ...rest }) => ({
    ...rest,
    sha256: tokenDigest(token).toString('hex'),
    created: '2026-01-01T00:00:00.000Z',
  }));
  fs.writeFileSync(file, formatTokens(records));
}

/** Starts a server in this process, which ends with the test. */
export async function startTestServer(
  options: Partial<ServerOptions> & { readonly allowed?: readonly TestToken[] } = {},
): Promise<TestServer> {
  const { allowed = [allScopes], remote = memoryRemote(), ...rest } = options;
  const stateFolder = rest.stateFolder ?? tempFolder();
  const tokenFile = path.join(tempFolder(), 'tokens.json');
  writeTokenFile(tokenFile, allowed);
  const log: string[] = [];
  const server = await startServer(
    {
      remote,
      chosen: { name: 'served', remote: { ...counting(remote), location: 'this server' } },
      workspace: plainWorkspace(stateFolder, systemSurroundings({ ...process.env })),
      stateFolder,
      tokens: new Tokens(tokenFile, () => Date.now()),
      anonymous: 'none',
      page: true,
      requestsPerMinute: 1_000_000,
      uploadBytesMax: 1024 ** 3,
      clock: systemClock,
      random: systemRandom,
      watching: { by: 'monitor at test' },
      log: { write: (line) => void log.push(line) },
      ...rest,
    },
    { host: '127.0.0.1', port: 0 },
  );
  servers.push(server);
  return { ...server, remote, stateFolder, tokenFile, log };
}

/** Opens the remote that a server gives out. */
export function httpRemoteOf(
  { url }: { readonly url: string },
  options: Partial<HttpOptions> = {},
): RemotePruner {
  const token = { value: allScopes.token, isWithheld: false };
  return httpRemote(new URL(url), { random: systemRandom, token, ...options });
}

/** Makes an empty remote behind a server of its own. */
export async function newHttpRemote(options: Partial<HttpOptions> = {}): Promise<RemotePruner> {
  return httpRemoteOf(await startTestServer(), options);
}
