import * as fs from 'node:fs';
import * as path from 'node:path';
import { writeCacheFile } from '../base/cache-file.ts';
import { sha256 } from '../base/digest.ts';
import { isMstoreError, MstoreError } from '../base/errors.ts';
import { removeFile } from '../base/files.ts';
import type { RemoteCallOptions, RemoteWriter } from '../remote/remote.ts';
import { probesPrefix } from '../store/keys.ts';
import type { Workspace } from './workspace.ts';

/** The object by which every host finds out whether names are given once; it is made once and stays. */
const probeKey = `${probesPrefix}create-if-absent`;
const probeBytes = Buffer.from('Two writers of this name must not both be first.\n');

/** A remote to which something is to be published. */
export interface PublishingRemote {
  /** Its name in the configuration, or its URL. */
  readonly name: string;
  readonly remote: RemoteWriter;
  /** Whether the configuration accepts that the service has no conditional writes. */
  readonly acceptRaces: boolean;
}

/**
 * Makes sure, before anything is written of which two hosts may be the author at once, that the service
 * gives a name to one of them. It is asked once by each workspace, with one small request or two, and a
 * service that does is remembered. Backends that vouch for themselves are not asked.
 * @throws MstoreError `remote-refused` with the reason `no-atomic-create`, unless the risk was accepted
 */
export async function requireAtomicCreate(
  workspace: Workspace,
  { name, remote, acceptRaces }: PublishingRemote,
  options: RemoteCallOptions = {},
): Promise<void> {
  const { probe } = remote;
  if (probe?.createIfAbsent === undefined || acceptRaces) return;
  const memory = await memoryOf(workspace, remote, options);
  if (memory === undefined || fs.existsSync(memory)) return;
  let outcome: 'created' | 'exists';
  try {
    outcome = await probe.createIfAbsent(probeKey, probeBytes, options);
    if (outcome === 'created') outcome = await probe.createIfAbsent(probeKey, probeBytes, options);
  } catch (error) {
    throw refusesCondition(error) ? notAtomic(name, remote, 'refuses', error) : error;
  }
  if (outcome === 'created') throw notAtomic(name, remote, 'ignores');
  remember(memory, remote.location);
}

/** Tells whether a service refused a request because it does not know the precondition. */
export function refusesCondition(error: unknown): boolean {
  return isMstoreError(error) && error.details['reason'] === 'not-implemented';
}

/** Makes the error of a service that does not give a name to one writer alone. */
export function notAtomic(
  name: string,
  { location }: RemoteWriter,
  how: 'ignores' | 'refuses',
  cause?: unknown,
): MstoreError {
  return new MstoreError(
    'remote-refused',
    `The service of ${location} ${how} conditional writes (If-None-Match): of two hosts that write one name at once, both win and the work of one is lost`,
    {
      hint: `Use a service, or a version of it, that has them; where one host alone writes, accept the risk: mstore config set remote.${configurable(name)}.accept_races true`,
      details: { reason: 'no-atomic-create', location },
      cause,
    },
  );
}

/** A key of the configuration needs a name; a URL has none. */
function configurable(name: string): string {
  return /[/\\:.~]/.test(name) ? 'NAME' : name;
}

/** Keeps what a check found out, so that the next command need not ask. */
export async function rememberAtomicCreate(
  workspace: Workspace,
  remote: RemoteWriter,
  atomic: boolean,
): Promise<void> {
  const memory = await memoryOf(workspace, remote, {});
  if (memory === undefined) return;
  if (atomic) remember(memory, remote.location);
  else removeFile(memory);
}

/** The file that stands for a service which gives names once; undefined where none is needed. */
async function memoryOf(
  workspace: Workspace,
  remote: RemoteWriter,
  options: RemoteCallOptions,
): Promise<string | undefined> {
  if (remote.probe?.createIfAbsent === undefined) return undefined;
  const service = `${await remote.probe.endpoint(options)}\n${remote.location}`;
  return path.join(workspace.cacheFolder, 'atomic-create', sha256(service).slice(0, 32));
}

function remember(file: string, location: string): void {
  writeCacheFile(file, `${location}\n`);
}
