import * as fs from 'node:fs';
import * as path from 'node:path';
import { fromSystemError, MstoreError } from '../base/errors.ts';
import { printable } from '../base/names.ts';
import type { WebTls } from './http.ts';
import { isToken, serviceAddress, setting } from './settings.ts';

/** A tracking server of MLflow, and who asks. */
export interface MlflowPlace {
  /** Without a slash at the end; a path of a proxy belongs to it. */
  readonly base: URL;
  /** Value of the header `Authorization`. */
  readonly authorization: string | undefined;
  readonly tls: WebTls | undefined;
}

const credentialsBytesMax = 64 * 1024;

/**
 * Reads the environment as MLflow's own client does: `MLFLOW_REGISTRY_URI`, else `MLFLOW_TRACKING_URI`; user and password or a token by
 * `MLFLOW_TRACKING_USERNAME`, `MLFLOW_TRACKING_PASSWORD`, `MLFLOW_TRACKING_TOKEN`, or `~/.mlflow/credentials`.
 * @param home the user's home folder
 * @throws MstoreError `usage` when no server is named, or none that is asked by HTTP
 */
export function mlflowPlace(env: NodeJS.ProcessEnv, home: string): MlflowPlace {
  const text = setting(env['MLFLOW_TRACKING_URI']);
  const registry = setting(env['MLFLOW_REGISTRY_URI']);
  if (text !== undefined && registry !== undefined && registry !== text) {
    throw new MstoreError('usage', 'MLFLOW_REGISTRY_URI and MLFLOW_TRACKING_URI name two servers', {
      hint: 'Set both to one server, or unset MLFLOW_REGISTRY_URI',
    });
  }
  return {
    base: baseOf(text ?? registry),
    authorization: authorizationOf(env, home),
    tls: tlsOf(env),
  };
}

function baseOf(text: string | undefined): URL {
  if (text === undefined) {
    throw new MstoreError('usage', 'Nothing says where the tracking server of MLflow is', {
      hint: 'Set MLFLOW_TRACKING_URI to https://HOST',
    });
  }
  return serviceAddress(text, {
    what: 'MLFLOW_TRACKING_URI names no server that is asked by HTTP',
    hint: 'Set it to https://HOST; files and data bases of MLflow are read by its own server alone, and passwords belong to MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD',
  });
}

/** User and password win over a token, as in MLflow's client; the environment over the file. */
function authorizationOf(env: NodeJS.ProcessEnv, home: string): string | undefined {
  const kept = credentialsIn(path.join(home, '.mlflow', 'credentials'));
  const user = env['MLFLOW_TRACKING_USERNAME'] ?? kept['mlflow_tracking_username'];
  const password = env['MLFLOW_TRACKING_PASSWORD'] ?? kept['mlflow_tracking_password'];
  if (user !== undefined && user !== '' && password !== undefined) {
    return `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;
  }
  const token = setting(env['MLFLOW_TRACKING_TOKEN']);
  if (token === undefined) return undefined;
  if (isToken(token)) return `Bearer ${token}`;
  throw new MstoreError('usage', 'MLFLOW_TRACKING_TOKEN holds characters that no token has', {
    hint: 'Set it to the token alone',
  });
}

/** The section `[mlflow]` of the file that `mlflow login` writes. */
function credentialsIn(file: string): Partial<Record<string, string>> {
  let text: string;
  try {
    if (fs.statSync(file).size > credentialsBytesMax) return {};
    text = fs.readFileSync(file, 'utf8');
  } catch {
    return {};
  }
  const found: Partial<Record<string, string>> = {};
  let isOurs = false;
  for (const line of text.split(/\r?\n/)) {
    const section = /^\s*\[(.*)\]\s*$/.exec(line)?.[1];
    if (section !== undefined) isOurs = section === 'mlflow';
    const [, name = '', value = ''] = /^\s*([A-Za-z_]+)\s*[=:]\s*(.*?)\s*$/.exec(line) ?? [];
    if (isOurs && name !== '') found[name.toLowerCase()] = value;
  }
  return found;
}

function tlsOf(env: NodeJS.ProcessEnv): WebTls | undefined {
  const isUnchecked = /^(?:1|true)$/i.test(env['MLFLOW_TRACKING_INSECURE_TLS'] ?? '');
  const file = setting(env['MLFLOW_TRACKING_SERVER_CERT_PATH']);
  if (isUnchecked) {
    throw new MstoreError(
      'usage',
      'MLFLOW_TRACKING_INSECURE_TLS asks not to check who the server is, and mstore always does',
      {
        hint: 'Unset it, and name the authority of the server in MLFLOW_TRACKING_SERVER_CERT_PATH',
      },
    );
  }
  if (file === undefined) return undefined;
  try {
    return { ca: fs.readFileSync(file) };
  } catch (error) {
    throw fromSystemError(error, `reading ${printable(file)}`);
  }
}
