import * as path from 'node:path';
import { MstoreError } from '../../base/errors.ts';
import { readBounded } from '../../base/files.ts';
import { limits } from '../../base/limits.ts';
import { printable } from '../../base/names.ts';
import type { DvcRemote } from '../../dvc/config.ts';
import { badConfig, type IniSection, parseIni } from '../../dvc/ini.ts';
import type { DvcPlace } from '../../source/dvc-objects.ts';
import type { RemoteSettings } from '../surroundings.ts';
import type { Workspace } from '../workspace.ts';

type Keys = NonNullable<RemoteSettings['keys']>;

/**
 * Opens a remote of DVC for reading. Nothing is asked of it yet.
 * @throws MstoreError `unsupported-source` for a kind that is not read, `config-invalid`, `offline`
 */
export async function openDvcRemote(
  { root, surroundings }: Workspace,
  remote: DvcRemote,
): Promise<DvcPlace> {
  const { name, url, options } = remote;
  for (const key of ['version_aware', 'worktree']) {
    if (isOn(options, key)) {
      const what = `it keeps the versions of a bucket ("${key}"), not objects by their MD5`;
      throw unsupported(name, what);
    }
  }
  const [, scheme, rest = ''] = /^([a-z][a-z0-9+.-]*):\/\/(.*)$/is.exec(url) ?? [];
  if (scheme === undefined) return { name: `the remote ${name} (${url})`, folder: url };
  const kind = { s3: 's3', gs: 'gs', gcs: 'gs' }[scheme.toLowerCase()];
  if (kind === undefined) {
    throw unsupported(name, `its place is of the kind ${printable(scheme)}://`);
  }
  const { clock, random, offline } = surroundings;
  const settings = kind === 's3' ? settingsOfS3(remote) : settingsOfGcs(remote);
  const reader = await surroundings.openRemote(`${kind}://${rest}`, {
    base: root,
    offline,
    anyNames: true,
    settings,
    clock,
    random,
  });
  return { name: `the remote ${name} (${reader.location})`, reader };
}

function unsupported(name: string, what: string): MstoreError {
  return new MstoreError(
    'unsupported-source',
    `The remote ${printable(name)} of DVC cannot be read: ${what}`,
    {
      hint: 'Run "dvc fetch" first: what is in the cache of DVC needs no remote; folders, s3:// and gs:// are read directly',
      details: { remote: name },
    },
  );
}

function isOn(options: ReadonlyMap<string, string>, key: string): boolean {
  return ['true', '1', 'yes', 'on'].includes(options.get(key)?.toLowerCase() ?? '');
}

function settingsOfS3({ name, options }: DvcRemote): RemoteSettings {
  const profile = options.get('profile');
  const config = profileIn(options.get('configpath'), profile, (of) => `profile ${of}`);
  const access = options.get('access_key_id');
  const secret = options.get('secret_access_key');
  if ((access === undefined) !== (secret === undefined)) {
    throw badConfig(`The remote ${name}`, 'it has one of access_key_id and secret_access_key');
  }
  const credentials = options.get('credentialpath');
  const keys =
    access !== undefined && secret !== undefined
      ? keysOf(access, secret, options.get('session_token'))
      : keysIn(
          credentials,
          profileIn(credentials, profile, (of) => of),
        );
  return {
    endpoint: withScheme(options.get('endpointurl') ?? config?.get('endpoint_url'), options),
    region: options.get('region') ?? config?.get('region'),
    // The SDK looks for it in files that it finds by itself.
    profile: credentials === undefined && config === undefined ? profile : undefined,
    anonymous: isOn(options, 'allow_anonymous_login') || undefined,
    keys,
  };
}

function settingsOfGcs({ options, isOwn }: DvcRemote): RemoteSettings {
  const keyFile = options.get('credentialpath');
  return {
    endpoint: options.get('endpointurl'),
    endpointTrusted: isOwn,
    project: options.get('projectname'),
    anonymous: isOn(options, 'allow_anonymous_login') || undefined,
    keyFile,
  };
}

/** DVC takes an endpoint without a scheme, and has a switch for it. */
function withScheme(
  endpoint: string | undefined,
  options: ReadonlyMap<string, string>,
): string | undefined {
  if (endpoint === undefined || endpoint === '') return undefined;
  if (/^https?:\/\//i.test(endpoint)) return endpoint;
  const isPlain = ['false', '0', 'no', 'off'].includes(options.get('use_ssl')?.toLowerCase() ?? '');
  return `${isPlain ? 'http' : 'https'}://${endpoint}`;
}

function keysOf(accessKeyId: string, secretAccessKey: string, sessionToken?: string): Keys {
  return { accessKeyId, secretAccessKey, ...(sessionToken === undefined ? {} : { sessionToken }) };
}

function keysIn(file: string | undefined, section: IniSection | undefined): Keys | undefined {
  if (file === undefined) return undefined;
  const [access, secret] = ['aws_access_key_id', 'aws_secret_access_key'].map((key) =>
    section?.get(key),
  );
  if (access !== undefined && secret !== undefined) {
    return keysOf(access, secret, section?.get('aws_session_token'));
  }
  throw badConfig(file, 'its profile has no aws_access_key_id and aws_secret_access_key');
}

/** Reads a profile of a file of Amazon's tools; undefined where no file is named. */
function profileIn(
  file: string | undefined,
  profile: string | undefined,
  sectionOf: (profile: string) => string,
): IniSection | undefined {
  if (file === undefined) return undefined;
  const bytes = readBounded(file, limits.configBytesMax);
  if (bytes === undefined) throw badConfig(path.normalize(file), 'there is no such file');
  const sections = parseIni(bytes.toString(), file, { values: 'plain' });
  const name = profile === undefined || profile === 'default' ? 'default' : sectionOf(profile);
  const found = sections.get(name);
  if (found === undefined) throw badConfig(file, `it has no section [${printable(name)}]`);
  return found;
}
