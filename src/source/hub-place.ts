import * as fs from 'node:fs';
import * as path from 'node:path';
import { MstoreError } from '../base/errors.ts';
import { isToken, serviceAddress, setting } from './settings.ts';
import type { SourceFile } from './snapshot.ts';

const homeEndpoint = 'https://huggingface.co';
const tokenBytesMax = 4096;

/** Where the Hub is, and who asks. */
export interface HubPlace {
  /** Without a slash at the end. */
  readonly endpoint: URL;
  readonly token: string | undefined;
  /** The folder in which the Hub's own clients keep what they downloaded. */
  readonly cache: string;
}

/**
 * Reads the environment as the Hub's own clients do: `HF_ENDPOINT`, `HF_TOKEN` or the file that `hf auth login` wrote,
 * `HF_HUB_CACHE`, `HF_HOME`, `XDG_CACHE_HOME`.
 * @param home the user's home folder
 * @throws MstoreError `usage` when an address or a token cannot be
 */
export function hubPlace(env: NodeJS.ProcessEnv, home: string): HubPlace {
  const hubHome =
    setting(env['HF_HOME']) ??
    path.join(setting(env['XDG_CACHE_HOME']) ?? path.join(home, '.cache'), 'huggingface');
  const cache =
    setting(env['HF_HUB_CACHE']) ??
    setting(env['HUGGINGFACE_HUB_CACHE']) ??
    path.join(hubHome, 'hub');
  return {
    endpoint: endpointOf(setting(env['HF_ENDPOINT']) ?? homeEndpoint),
    token: tokenOf(env, hubHome),
    cache: path.resolve(cache),
  };
}

/** Tells whether the environment forbids the Hub's clients to use the network. */
export function isHubOffline(env: NodeJS.ProcessEnv): boolean {
  return ['HF_HUB_OFFLINE', 'TRANSFORMERS_OFFLINE'].some((name) =>
    /^(?:1|on|yes|true)$/i.test(env[name] ?? ''),
  );
}

function endpointOf(text: string): URL {
  return serviceAddress(text, {
    what: 'HF_ENDPOINT is no address of a Hub',
    hint: 'Set it to https://HOST, or unset it',
  });
}

function tokenOf(env: NodeJS.ProcessEnv, hubHome: string): string | undefined {
  const given = setting(env['HF_TOKEN']) ?? setting(env['HUGGING_FACE_HUB_TOKEN']);
  const token = given ?? tokenIn(setting(env['HF_TOKEN_PATH']) ?? path.join(hubHome, 'token'));
  if (token === undefined || isToken(token)) return token;
  throw new MstoreError('usage', 'The token for the Hub holds characters that no token has', {
    hint: given === undefined ? 'Run "hf auth login" again' : 'Set HF_TOKEN to the token alone',
  });
}

function tokenIn(file: string): string | undefined {
  try {
    if (fs.statSync(file).size > tokenBytesMax) return undefined;
    return setting(fs.readFileSync(file, 'utf8'));
  } catch {
    return undefined;
  }
}

/** The folder in which the Hub's clients have the files of a commit, there or not. */
export function hubSnapshotFolder(
  { cache }: Pick<HubPlace, 'cache'>,
  repository: string,
  commit: string,
): string {
  return path.join(cache, `models--${repository.replaceAll('/', '--')}`, 'snapshots', commit);
}

/**
 * Finds a file in the cache of the Hub's clients. Its bytes have to be verified: nobody did.
 * @returns undefined when there is none of that size
 */
export function cachedCopy(
  { cache }: HubPlace,
  repository: string,
  commit: string,
  { path: name, size, sha256, gitBlob }: SourceFile,
): string | undefined {
  const snapshot = hubSnapshotFolder({ cache }, repository, commit);
  const folder = path.dirname(path.dirname(snapshot));
  const blob = sha256 ?? gitBlob;
  const places = [
    ...(blob === undefined ? [] : [path.join(folder, 'blobs', blob)]),
    path.join(snapshot, name),
  ];
  return places.find((place) => {
    try {
      const stat = fs.statSync(place);
      return stat.isFile() && stat.size === size;
    } catch {
      return false;
    }
  });
}
