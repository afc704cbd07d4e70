import * as fs from 'node:fs';
import { isIP } from 'node:net';
import { homedir, hostname } from 'node:os';
import * as path from 'node:path';
import { sha256 } from '../base/digest.ts';
import { fromSystemError, isMstoreError, MstoreError } from '../base/errors.ts';
import { ensureCacheFolder, removeFile, writeAtomically } from '../base/files.ts';
import { LongLock } from '../base/long-lock.ts';
import { printable } from '../base/names.ts';
import { chooseToClear } from '../flow/remotes.ts';
import { rulesOfFile } from '../flow/simulate.ts';
import type { Surroundings } from '../flow/surroundings.ts';
import { openWorkspace, plainWorkspace, type Workspace } from '../flow/workspace.ts';
import type { RemotePruner } from '../remote/remote.ts';
import { counting } from '../remote/wrappers/counting.ts';
import { type CachedRemote, diskCached } from '../remote/wrappers/disk-cache.ts';
import { packOfIndexKey, packOfKey } from '../store/keys.ts';
import { readHeader } from '../store/remote-store.ts';
import { type RunningServer, readTls, startServer } from './app.ts';
import type { AnonymousAccess } from './callers.ts';
import { Tokens } from './tokens.ts';
import type { WatchingOptions } from './watching.ts';

/** What is served, to whom, and where. */
export interface ServeOptions {
  /** Absolute folder that relative paths start from. */
  readonly cwd: string;
  readonly surroundings: Surroundings;
  readonly signal: AbortSignal;
  /** Name, URL or directory of a remote; undefined for the default remote of the workspace. */
  readonly remote: string | undefined;
  readonly host: string;
  readonly port: number;
  /** Absolute path of the file of tokens. */
  readonly tokenFile: string | undefined;
  /** Who may read without a token; by default everybody on this machine where there are no tokens. */
  readonly anonymous: AnonymousAccess | undefined;
  /** Whether there is a page for people at the address of the server. */
  readonly page: boolean;
  /** Absolute folder for what is on its way; by default one of the user's. */
  readonly stateFolder: string | undefined;
  readonly requestsPerMinute: number;
  readonly uploadBytesMax: number;
  /** Absolute folder in which packs that are read are kept, and its size at most; undefined for none. */
  readonly cache: { readonly folder: string; readonly bytesMax: number } | undefined;
  /** Addresses and networks of proxies in front, whose X-Forwarded-For is believed. */
  readonly trustedProxies: readonly string[];
  /** Absolute paths of certificate and key. */
  readonly tls: { readonly cert: string; readonly key: string } | undefined;
  readonly log: { write(line: string): void };
  /** URLs that are told of what happens to environments. */
  readonly notify: readonly string[];
  /** Absolute path of a file with rules of monitors; undefined for those of the workspace. */
  readonly rulesFile: string | undefined;
  /** Absolute path of a file to write down what hosts tell of models; undefined for none. */
  readonly recordFile: string | undefined;
  /** Absolute path of a file that says where it listens, as long as it does. */
  readonly urlFile: string | undefined;
  /** Told once requests are answered. */
  readonly onListening: (facts: { readonly url: string; readonly location: string }) => void;
}

/**
 * Serves a remote until the signal is aborted.
 * @throws MstoreError `usage` where everybody could read by the network, and nobody said so
 */
export async function serve(options: ServeOptions): Promise<void> {
  const { surroundings, signal, host, port } = options;
  const access = accessOf(options);
  const { workspace, isPlain } = await workspaceOf(options);
  const { name, remote, isService } = await chooseToClear(workspace, options.remote, options.cwd);
  await readHeader(remote, { signal });
  const stateFolder = options.stateFolder ?? defaultState(surroundings.env, remote.location);
  prepare(stateFolder);
  const work = async (): Promise<void> => {
    // Where it is, is the business of those who run the server.
    const behind = counting(remote);
    const cached = cacheOf(behind, options);
    const counted = { ...counting(cached ?? behind), location: 'this server' };
    const server = await startServer(
      {
        remote: cached === undefined ? counted : { ...counted, sizeOf: cached.sizeOf },
        cache: cached?.counts,
        behind: () => behind.counts(),
        chosen: { name, remote: counted, isService },
        workspace: isPlain ? plainWorkspace(stateFolder, surroundings) : workspace,
        stateFolder,
        ...access,
        page: options.page,
        requestsPerMinute: options.requestsPerMinute,
        watching: watchingOf(options),
        uploadBytesMax: options.uploadBytesMax,
        clock: surroundings.clock,
        random: surroundings.random,
        log: options.log,
        tls: options.tls && readTls(options.tls.cert, options.tls.key),
        trustedProxies: checkedProxies(options.trustedProxies),
      },
      { host, port },
    );
    const { urlFile } = options;
    const unfollow = followTls(server, options);
    try {
      if (urlFile !== undefined) writeAtomically(urlFile, `${server.url}\n`, { unsynced: true });
      options.onListening({ url: server.url, location: remote.location });
      await aborted(signal);
    } finally {
      unfollow();
      if (urlFile !== undefined) removeFile(urlFile);
      await server.close();
    }
  };
  const of = `the folder ${printable(stateFolder)}`;
  const lock = await LongLock.take(path.join(stateFolder, 'lock'), { of, signal });
  try {
    await work();
  } finally {
    lock.release();
  }
}

/** Keeps packs and their indexes on the disk: their keys are digests. What comes and goes is always asked for. */
function cacheOf(
  remote: RemotePruner,
  { cache, surroundings }: ServeOptions,
): CachedRemote | undefined {
  if (cache === undefined) return undefined;
  const isContent = (key: string): boolean =>
    packOfKey(key) !== undefined || packOfIndexKey(key) !== undefined;
  return diskCached(remote, { ...cache, clock: surroundings.clock, isContent });
}

function accessOf(options: ServeOptions): {
  tokens: Tokens | undefined;
  anonymous: AnonymousAccess;
} {
  const { tokenFile, anonymous, host, surroundings } = options;
  const now = () => surroundings.clock.now();
  const tokens = tokenFile === undefined ? undefined : new Tokens(tokenFile, now);
  const isLoopback = ['127.0.0.1', '::1', 'localhost'].includes(host);
  if (tokens === undefined && anonymous === undefined && !isLoopback) {
    throw new MstoreError(
      'usage',
      `Whoever reaches ${printable(host)} could read all models: nobody said who may`,
      {
        hint: 'Name a file of tokens (--token-file FILE, made by "mstore token create"), or say --anonymous read',
      },
    );
  }
  return { tokens, anonymous: anonymous ?? (tokens === undefined ? 'read' : 'none') };
}

/** Time between two looks at the certificate. */
const tlsLookMs = 2_000;

/** Takes a certificate that was renewed. One that cannot be used changes nothing: its key may be about to come. */
function followTls(server: RunningServer, { tls, log, surroundings }: ServeOptions): () => void {
  if (tls === undefined) return () => {};
  const { cert, key } = tls;
  const note = (level: number, msg: string): void =>
    log.write(`${JSON.stringify({ level, time: surroundings.clock.now(), msg })}\n`);
  const renew = (): void => {
    try {
      server.renew(readTls(cert, key));
      note(30, 'The certificate was renewed');
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      note(40, `The certificate cannot be renewed: ${why}`);
    }
  };
  const files = [cert, key];
  const how = { interval: tlsLookMs, persistent: false };
  for (const file of files) fs.watchFile(file, how, renew);
  return () => {
    for (const file of files) fs.unwatchFile(file, renew);
  };
}

/** Checks addresses such as `10.0.0.7` and networks such as `10.0.0.0/8`. */
function checkedProxies(proxies: readonly string[]): readonly string[] {
  const wrong = proxies.find((proxy) => {
    const [address = '', bits] = proxy.split('/');
    const version = isIP(address);
    const isNumber = bits === undefined || /^\d{1,3}$/.test(bits);
    return version === 0 || !isNumber || Number(bits ?? 0) > (version === 4 ? 32 : 128);
  });
  if (wrong === undefined) return proxies;
  throw new MstoreError('usage', `${printable(wrong)} is no address or network of a proxy`, {
    hint: 'Write --trusted-proxy 10.0.0.0/8',
  });
}

function watchingOf({
  notify,
  recordFile,
  rulesFile,
  surroundings,
}: ServeOptions): WatchingOptions {
  const secret = surroundings.env['MSTORE_NOTIFY_SECRET'] ?? '';
  return {
    by: `monitor at ${printable(hostname())}`,
    rules: rulesFile === undefined ? undefined : rulesOfFile(rulesFile),
    recordFile,
    webhooks: notify.length === 0 ? undefined : { urls: notify, secret },
  };
}

/** The workspace that the server is started in, whose rules hold for it too; a plain one where there is none. */
async function workspaceOf({
  cwd,
  surroundings,
  remote,
}: ServeOptions): Promise<{ workspace: Workspace; isPlain: boolean }> {
  try {
    return { workspace: await openWorkspace(cwd, surroundings), isPlain: false };
  } catch (error) {
    if (remote === undefined || !isMstoreError(error, 'no-workspace')) throw error;
    return { workspace: plainWorkspace(cwd, surroundings), isPlain: true };
  }
}

/** A folder of the user for what a server has on its way, one for each place that is served. */
function defaultState(env: NodeJS.ProcessEnv, location: string): string {
  // By the XDG Base Directory Specification a relative path there counts for nothing.
  const shared = env['XDG_STATE_HOME'] ?? '';
  const home = env['HOME'] || homedir();
  const base = path.isAbsolute(shared) ? shared : path.join(home, '.local', 'state');
  return path.join(base, 'mstore', 'serve', sha256(location).slice(0, 16));
}

function prepare(folder: string): void {
  try {
    ensureCacheFolder(folder);
  } catch (error) {
    throw fromSystemError(error, `making the folder ${printable(folder)}`);
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
