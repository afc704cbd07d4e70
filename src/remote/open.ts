import { homedir } from 'node:os';
import * as path from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Clock, type Random, systemClock, systemRandom } from '../base/clock.ts';
import { MstoreError } from '../base/errors.ts';
import { ensureFolder } from '../base/files.ts';
import { printable } from '../base/names.ts';
import { gcsRemote } from './gcs.ts';
import { httpRemote } from './http.ts';
import type { HttpToken } from './http-place.ts';
import { localRemote } from './local.ts';
import type { RemotePruner } from './remote.ts';
import { s3Remote } from './s3.ts';
import {
  type BucketPlace,
  checkSettings,
  parseBucketUrl,
  type ServiceSettings,
} from './service.ts';
import { fromRemoteSystemError } from './system-errors.ts';
import { adaptiveGate } from './wrappers/concurrency.ts';
import { type RateLimit, rateLimit, rateLimited } from './wrappers/rate.ts';
import { retrying, retryPolicy } from './wrappers/retry.ts';

/** What the URL of a remote names. */
export type RemoteAddress =
  | { readonly kind: 'directory'; readonly folder: string }
  | {
      readonly kind: 'service';
      /** In lower case, without the colon. */
      readonly scheme: string;
      /** The URL without its query, fit to be printed. */
      readonly shown: string;
    };

/** What paths in a remote's URL are relative to. */
export interface RemoteUrlContext {
  /** The folder of relative paths; absolute. */
  readonly base: string;
  /** The folder that `~` stands for. */
  readonly home: string;
}

// One letter in front of a colon is a drive of Windows, not a scheme.
const schemePattern = /^([A-Za-z][A-Za-z0-9+.-]+):\/\//;
const hostPathPattern = /^[^/\\]{2,}:/;

/**
 * Reads the URL of a remote: a path (absolute, `~/…` or relative), a `file://` URL, or the URL of a
 * service. Touches nothing. Texts of errors never hold a part of the URL that could be a secret.
 * @throws MstoreError `usage` when it cannot be read, or holds credentials
 */
export function parseRemoteUrl(url: string, context: RemoteUrlContext): RemoteAddress {
  if (url.trim() === '' || url.includes('\0')) {
    throw usage('Cannot open a remote: its URL is empty or not readable', 'Name a folder or a URL');
  }
  const scheme = schemePattern.exec(url)?.[1]?.toLowerCase();
  if (scheme !== undefined) refuseCredentials(scheme, url);
  if (scheme === 'file') return { kind: 'directory', folder: folderOfFileUrl(url) };
  if (scheme !== undefined) {
    return { kind: 'service', scheme, shown: printable(url.replace(/[?#].*$/s, '')) };
  }
  if (hostPathPattern.test(url)) {
    throw usage(
      'Cannot open a remote of the form HOST:PATH or SCHEME:PATH',
      'Write ./ in front if a folder with a colon in its name is meant',
    );
  }
  return { kind: 'directory', folder: folderOfPath(url, context) };
}

/** How a remote is opened. */
export interface OpenOptions {
  /** The folder of relative paths. */
  readonly base: string;
  /** Refuses remotes that need a network; a directory needs none. */
  readonly offline?: boolean | undefined;
  /** Whether it is read for objects of others, whose names follow no rule of ours. */
  readonly anyNames?: boolean;
  /** What the configuration says of a remote that is a service. */
  readonly settings?: ServiceSettings | undefined;
  /** For servers of mstore: what lets us in, and whether this one may have it. */
  readonly token?: HttpToken | undefined;
  /** Tries of a call to a service that bring nothing, the first one included; 8 by default. */
  readonly triesMax?: number | undefined;
  /** Bytes a second that go to and come from the remote at most, in all; undefined for no limit. */
  readonly rateMax?: number | undefined;
  readonly clock?: Clock;
  readonly random?: Random;
}

/**
 * Opens the remote that `url` names. Nothing is read, written or connected before the first call to it,
 * so a folder or a bucket that is missing is found out then. Calls to services are tried again.
 * @throws MstoreError `usage` when the URL names nothing that can be opened, `offline` when it needs the
 * network and must not use it
 */
export async function openRemote(url: string, options: OpenOptions): Promise<RemotePruner> {
  const address = parseRemoteUrl(url, { base: options.base, home: homedir() });
  const { rateMax: bytesPerSecond, clock = systemClock } = options;
  const limit = bytesPerSecond === undefined ? undefined : rateLimit({ bytesPerSecond, clock });
  if (address.kind === 'directory') {
    const remote = localRemote(address.folder);
    return limit === undefined ? remote : rateLimited(remote, limit);
  }
  if (options.offline) {
    throw new MstoreError('offline', `Cannot open ${address.shown}: it needs the network`, {
      hint: 'Leave --offline out (and MSTORE_OFFLINE unset), or name a directory remote',
    });
  }
  if (address.scheme === 's3' || address.scheme === 'gs') {
    const place = parseBucketUrl(url, address.shown, options.anyNames);
    checkSettings(address.scheme, place, options.settings);
    return openService(address.scheme, place, { ...options, limit });
  }
  if (address.scheme === 'http' || address.scheme === 'https') {
    const server = parseServerUrl(url, address.shown);
    checkSettings('http', { location: address.shown }, options.settings);
    return openServer(server, { ...options, limit });
  }
  throw usage(
    `Cannot open ${address.shown}: this build has no ${address.scheme}:// remotes`,
    'Name a folder (an absolute path, ~/PATH, a path in the workspace, file:///PATH), s3://BUCKET/FOLDER, gs://BUCKET/FOLDER or https://HOST',
  );
}

/** Reads the URL of a server of mstore. */
function parseServerUrl(url: string, shown: string): URL {
  const isReadable = URL.canParse(url) && !/[?#]/.test(url);
  if (isReadable) return new URL(url);
  throw usage(
    `Cannot open ${shown}: the URL of a server has a host, perhaps a port and a path, and no more`,
    'Write https://HOST[:PORT][/PATH]',
  );
}

function openServer(
  url: URL,
  options: OpenOptions & { readonly limit: RateLimit | undefined },
): RemotePruner {
  const { token, clock = systemClock, random = systemRandom, triesMax, limit } = options;
  const policy = retryPolicy({ clock, random, ...(triesMax === undefined ? {} : { triesMax }) });
  const how = { random, policy, gate: adaptiveGate({ clock }), token };
  const remote = retrying(httpRemote(url, how), policy);
  return limit === undefined ? remote : rateLimited(remote, limit);
}

function openService(
  scheme: 's3' | 'gs',
  place: BucketPlace,
  options: OpenOptions & { readonly limit: RateLimit | undefined },
): RemotePruner {
  const { settings, clock = systemClock, random = systemRandom, triesMax, limit } = options;
  const policy = retryPolicy({ clock, random, ...(triesMax === undefined ? {} : { triesMax }) });
  const how = { settings, clock, random, policy, gate: adaptiveGate({ clock }) };
  if (scheme === 's3') {
    const remote = retrying(s3Remote(place, { ...how, limit }), policy);
    return limit === undefined ? remote : rateLimited(remote, limit, 'reads');
  }
  if (limit === undefined) return retrying(gcsRemote(place, how), policy);
  const partBytes = gcsPartBytes(options.rateMax ?? 0);
  return rateLimited(retrying(gcsRemote(place, { ...how, partBytes }), policy), limit);
}

const gcsPartUnit = 256 * 1024;
const gcsPartBytesMax = 12 * 1024 * 1024;

/** A part to Cloud Storage goes out as fast as the link is: with a limit, half a second's worth at once. */
function gcsPartBytes(bytesPerSecond: number): number {
  const units = Math.max(4, Math.round(bytesPerSecond / 2 / gcsPartUnit));
  return Math.min(gcsPartBytesMax, units * gcsPartUnit);
}

/**
 * Makes the folder of a directory remote, with those above it; other kinds of remotes need none.
 * @throws MstoreError `remote-refused` or `remote-full` when it cannot be made
 */
export function makeDirectoryRemote(url: string, options: { readonly base: string }): void {
  const address = parseRemoteUrl(url, { base: options.base, home: homedir() });
  if (address.kind !== 'directory') return;
  try {
    ensureFolder(address.folder);
  } catch (error) {
    throw fromRemoteSystemError(error, 'make the folder of', address.folder);
  }
}

function refuseCredentials(scheme: string, url: string): void {
  const rest = url.slice(url.indexOf('://') + 3);
  const authority = /^[^/\\?#]*/.exec(rest)?.[0] ?? '';
  // Behind a colon that starts no port, an @ further on may end a password that holds a slash.
  const colon = authority.includes(':') && !/:\d{1,5}$/.test(authority);
  if (!authority.includes('@') && !(colon && rest.includes('@'))) return;
  throw usage(
    `Cannot open ${scheme}://…: the URL holds a user name or a password`,
    'Take them out of the URL: credentials come from the environment or the tools of the service',
  );
}

function folderOfFileUrl(url: string): string {
  const hint = 'Write file:/// and the absolute path, with %23 for #, %3F for ? and %25 for %';
  if (/[?#]/.test(url)) throw usage('Cannot open a file:// URL with ? or # in it', hint);
  try {
    return path.normalize(fileURLToPath(url));
  } catch (cause) {
    throw usage('Cannot open the file:// URL: it names no local folder', hint, cause);
  }
}

function folderOfPath(url: string, { base, home }: RemoteUrlContext): string {
  const tilde = /^~([^/\\]*)[/\\]*(.*)$/s.exec(url);
  if (tilde === null) return path.resolve(base, url);
  if (tilde[1] !== '') {
    throw usage(
      `Cannot open ${printable(url)}: only ~ alone stands for a home folder`,
      'Write the whole path, or ./ in front if the name starts with ~',
    );
  }
  return path.resolve(home, tilde[2] ?? '');
}

function usage(message: string, hint: string, cause?: unknown): MstoreError {
  return new MstoreError('usage', message, { hint, cause });
}
