import { homedir } from 'node:os';
import * as path from 'node:path';
import { MstoreError } from '../base/errors.ts';
import { ensureCacheFolder } from '../base/files.ts';
import { printable } from '../base/names.ts';
import type { HttpToken } from '../remote/http-place.ts';
import { makeDirectoryRemote, parseRemoteUrl } from '../remote/open.ts';
import type { RemotePruner } from '../remote/remote.ts';
import type { ServiceSettings } from '../remote/service.ts';
import { type CountingRemote, counting } from '../remote/wrappers/counting.ts';
import { configName, localConfigName, remoteKeys, withoutPassword } from '../worktree/config.ts';
import { writeConfigKey } from '../worktree/config-file.ts';
import { remoteNamePattern } from '../worktree/config-keys.ts';
import { parseRate } from '../worktree/rate.ts';
import { requireAtomicCreate } from './atomic-create.ts';
import {
  type AddedRemote,
  type AskedRecipients,
  checkEncrypt,
  guarded,
  makeRemote,
  writeEncryption,
} from './encryption.ts';
import { portableUrl } from './remote-url.ts';
import type { Workspace } from './workspace.ts';

/** Transfers at once unless the configuration or `--jobs` says otherwise. */
const jobsDefault = 4;
const packsAtOnceMax = 8;
/** Requests at once to a service, which answers after a while even when little is asked for. */
const serviceRequestsDefault = 16;

/** A remote that was chosen for a command. */
export interface ChosenRemote {
  /** Its name, or the URL where it has none. */
  readonly name: string;
  /** Without the power to delete: only garbage collection has it. */
  readonly remote: Omit<CountingRemote, 'delete' | 'uploads'>;
  /** Whether it is reached over a network, not a directory. */
  readonly isService?: boolean;
}

/** A remote of the configuration. */
export interface RemoteInfo {
  readonly name: string;
  readonly url: string;
  readonly isDefault: boolean;
}

/** Lists the remotes of the configuration. */
export function listRemotes(workspace: Workspace): RemoteInfo[] {
  const chosen = defaultRemote(workspace);
  return workspace.config
    .remotes()
    .map(({ name, url }) => ({ name, url, isDefault: name === chosen }));
}

/** Returns the name of the default remote, if there is one. */
export function defaultRemote(workspace: Workspace): string | undefined {
  const named = workspace.config.string('core.remote');
  if (named !== undefined) return named;
  const remotes = workspace.config.remotes();
  return remotes.length === 1 ? remotes[0]?.name : undefined;
}

/** How a remote that is chosen is opened. */
export interface ChooseOptions {
  /**
   * Bytes a second at most, infinite for no limit; by default what the configuration says of the remote or
   * of all.
   */
  readonly rateMax?: number | undefined;
}

/**
 * Opens the remote that a command works with.
 * @param chosen a name, a URL or a directory; undefined for the default remote
 * @param cwd absolute folder that a directory in `chosen` starts from
 * @throws MstoreError `unknown-remote`
 */
export async function chooseRemote(
  workspace: Workspace,
  chosen: string | undefined,
  cwd: string,
  options: ChooseOptions = {},
): Promise<ChosenRemote> {
  const { name, remote, isService } = await openChosen(workspace, chosen, cwd, options);
  return { name, remote: counting(remote), isService };
}

/** A remote that is to be checked, with the power to delete what a check leaves. */
export interface CheckedRemote {
  /** Its name, or the URL where it has none. */
  readonly name: string;
  readonly remote: RemotePruner;
  /** Whether the configuration accepts that the service has no conditional writes. */
  readonly acceptRaces: boolean;
}

/**
 * Opens the remote that is to be checked; its calls are tried again a few times only.
 * @throws MstoreError `unknown-remote`
 */
export async function chooseToCheck(
  workspace: Workspace,
  chosen: string | undefined,
  cwd: string,
): Promise<CheckedRemote> {
  const { name, remote } = await openChosen(workspace, chosen, cwd, { triesMax: 3 });
  return { name, remote, acceptRaces: settingsOf(workspace, name).acceptRaces ?? false };
}

/** A remote with the power to delete. */
export interface OwnedRemote {
  /** Its name, or the URL where it has none. */
  readonly name: string;
  readonly remote: RemotePruner;
  /** Whether it is reached over a network, not a directory. */
  readonly isService: boolean;
}

/**
 * Opens a remote of which something is to be taken away.
 * @throws MstoreError `unknown-remote`
 */
export async function chooseToClear(
  workspace: Workspace,
  chosen: string | undefined,
  cwd: string,
): Promise<OwnedRemote> {
  return openChosen(workspace, chosen, cwd);
}

async function openChosen(
  workspace: Workspace,
  chosen: string | undefined,
  cwd: string,
  how: ChooseOptions & { readonly triesMax?: number } = {},
): Promise<OwnedRemote> {
  const raw = await chooseAsItLies(workspace, chosen, cwd, how);
  return { ...raw, remote: guarded(workspace, raw.name, raw.remote) };
}

/**
 * Opens a remote as it lies there, encrypted where it is: for what is done to its keys.
 * @throws MstoreError `unknown-remote`
 */
export async function chooseAsItLies(
  workspace: Workspace,
  chosen: string | undefined,
  cwd: string,
  { rateMax, ...more }: ChooseOptions & { readonly triesMax?: number } = {},
): Promise<OwnedRemote> {
  if (chosen === '') {
    throw new MstoreError('usage', '--remote names no remote', {
      hint: 'Write --remote NAME or --remote ./DIR',
    });
  }
  const name = chosen ?? defaultRemote(workspace);
  const remotes = workspace.config.remotes();
  if (name === undefined) {
    const names = remotes.map((remote) => remote.name).join(', ');
    throw new MstoreError(
      'unknown-remote',
      remotes.length === 0 ? 'No remote is set up' : 'No remote is the default',
      {
        hint:
          remotes.length === 0
            ? 'Run "mstore remote add NAME DIR", or use --remote DIR'
            : `Use --remote with one of ${names}, or "mstore config set core.remote NAME"`,
      },
    );
  }
  const url = remotes.find((remote) => remote.name === name)?.url;
  if (url === undefined && (chosen === undefined || !looksLikeUrl(name)))
    throw unknownRemote(workspace, name);
  const { openRemote, offline, clock, random } = workspace.surroundings;
  const token = tokenFor(workspace, name, url);
  const rate = rateMax ?? configuredRate(workspace, name);
  const limited = rate === undefined || rate === Number.POSITIVE_INFINITY ? {} : { rateMax: rate };
  const how = { offline, clock, random, token, ...more, ...limited };
  const remote =
    url === undefined
      ? await openRemote(name, { ...how, base: cwd })
      : await openRemote(url, {
          ...how,
          base: workspace.root,
          settings: settingsOf(workspace, name),
        });
  const address = parseRemoteUrl(url ?? name, { base: workspace.root, home: homedir() });
  return { name, remote, isService: address.kind === 'service' };
}

/**
 * The token of the environment, for a server of mstore. Whoever wrote the configuration of a repository must not
 * be handed it: it goes to addresses that the command line or the environment names, and to the one
 * origin that `MSTORE_TOKEN_ORIGIN` allows.
 * @param url undefined where `name` is the address itself
 */
function tokenFor(
  { config, surroundings: { env } }: Workspace,
  name: string,
  url: string | undefined,
): HttpToken | undefined {
  const value = env['MSTORE_TOKEN']?.trim() ?? '';
  const address = url ?? name;
  if (value === '' || !/^https?:/i.test(address) || !URL.canParse(address)) return undefined;
  if (!/^[\x21-\x7e]{1,4096}$/.test(value)) {
    throw new MstoreError('usage', 'MSTORE_TOKEN holds what no token can hold', {
      hint: 'Set it to the token alone, on one line',
    });
  }
  const isChosen = url === undefined || config.get(`remote.${name}.url`)?.source === 'environment';
  const origin = env['MSTORE_TOKEN_ORIGIN']?.trim() ?? '';
  const isNamed = URL.canParse(origin) && new URL(origin).origin === new URL(address).origin;
  return { value, isWithheld: !(isNamed || (isChosen && origin === '')) };
}

/** The limit of a remote, in bytes a second. */
function configuredRate({ config }: Workspace, name: string): number | undefined {
  const text = config.string(`remote.${name}.rate_limit`) ?? config.string('transfer.rate_limit');
  return text === undefined ? undefined : parseRate(text);
}

/** What the configuration says of a remote beside its URL. */
function settingsOf({ config }: Pick<Workspace, 'config'>, name: string): ServiceSettings {
  const text = (key: string) => config.string(`remote.${name}.${key}`);
  const sse = text('sse');
  return {
    endpoint: text('endpoint'),
    endpointTrusted: config.get(`remote.${name}.endpoint`)?.source === 'environment',
    region: text('region'),
    pathStyle: config.boolean(`remote.${name}.path_style`),
    profile: text('profile'),
    storageClass: text('storage_class'),
    encryption: sse === undefined ? undefined : encryptions[sse],
    encryptionKey: text('sse_key'),
    project: text('project'),
    requesterPays: config.boolean(`remote.${name}.requester_pays`),
    anonymous: config.boolean(`remote.${name}.anonymous`),
    acceptRaces: config.boolean(`remote.${name}.accept_races`),
  };
}

/** What the service calls the values of `remote.NAME.sse`. */
const encryptions: Readonly<Record<string, string>> = { s3: 'AES256', kms: 'aws:kms' };

function looksLikeUrl(text: string): boolean {
  return text.includes('/') || text.includes('\\') || text === '.' || text === '..' || text === '~';
}

function unknownRemote(workspace: Workspace, name: string): MstoreError {
  const known = workspace.config.remotes().map((remote) => remote.name);
  const hint =
    known.length === 0
      ? `Run "mstore remote add ${printable(name)} DIR"`
      : `Remotes: ${known.join(', ')}`;
  return new MstoreError('unknown-remote', `There is no remote ${printable(name)}`, {
    hint: `${hint}; a directory is written with a slash: ./${printable(name)}`,
    details: { name },
  });
}

/** How {@link addRemote} sets a remote up. */
export interface AddRemoteOptions {
  /** Makes it the default remote. */
  readonly isDefault: boolean;
  /** Makes or checks the place itself; without it the name is only written down. */
  readonly create: boolean;
  /** Encrypts the new remote, to these; a place that is a remote already is left as it is. */
  readonly encrypt?: AskedRecipients | undefined;
}

/**
 * Writes a remote into the committed configuration, after making sure that the place is a remote: an
 * empty or absent directory becomes one.
 * @param cwd absolute folder that a relative directory starts from
 * @throws MstoreError `remote-exists` when the name stands for another place
 */
export async function addRemote(
  workspace: Workspace,
  name: string,
  url: string,
  options: AddRemoteOptions,
  cwd: string,
): Promise<AddedRemote> {
  if (!remoteNamePattern.test(name)) {
    throw new MstoreError('usage', `${printable(name)} is no name for a remote`, {
      hint: 'Use letters, digits, "-" and "_", at most 64',
    });
  }
  const kept = portableUrl(workspace, url, cwd);
  const before = workspace.config.get(`remote.${name}.url`)?.value;
  if (before !== undefined && before !== kept) {
    throw new MstoreError(
      'remote-exists',
      `The remote ${name} is ${printable(withoutPassword(String(before)))} already`,
      {
        hint: `Choose another name, or run "mstore remote remove ${name}" first`,
        details: { name },
      },
    );
  }
  const { openRemote, offline, clock, random } = workspace.surroundings;
  // Whoever adds a remote has chosen its address.
  const token = tokenFor(workspace, kept, undefined);
  const where = { base: workspace.root, offline, clock, random };
  const config = workspace.config.withRemote(name, workspace.surroundings.env);
  const settings = settingsOf({ config }, name);
  const { encrypt } = options;
  const asked = encrypt && (await checkEncrypt(workspace, kept, encrypt, options.create));
  const remote = await openRemote(kept, { ...where, settings, token });
  let added: AddedRemote = { state: 'unchecked', encryption: undefined };
  if (options.create) {
    makeDirectoryRemote(kept, where);
    const ready = () =>
      requireAtomicCreate(workspace, { name, remote, acceptRaces: settings.acceptRaces ?? false });
    added = await makeRemote(workspace, { name, remote, asked, ready });
    await remote.settle?.();
  }
  ensureCacheFolder(workspace.cacheFolder);
  const file = path.join(workspace.folder, configName);
  // What the remote must be encrypted by stands there before its address does.
  await writeEncryption(workspace, name, added.encryption, encrypt?.passphraseEnv);
  await writeConfigKey(file, `remote.${name}.url`, kept, workspace.cacheFolder);
  const first = workspace.config.remotes().every((other) => other.name === name);
  if (options.isDefault || (first && workspace.config.string('core.remote') === undefined)) {
    await writeConfigKey(file, 'core.remote', name, workspace.cacheFolder);
  }
  return added;
}

/** Takes a remote out of the configuration. What it holds stays. */
export async function removeRemote(workspace: Workspace, name: string): Promise<void> {
  const entry = workspace.config.get(`remote.${name}.url`);
  if (entry === undefined) throw unknownRemote(workspace, name);
  if (entry.source === 'environment') {
    throw new MstoreError('usage', `The remote ${name} is set by the environment`, {
      hint: 'Unset the variable',
    });
  }
  const own = remoteKeys(name);
  for (const file of [configName, localConfigName]) {
    const full = path.join(workspace.folder, file);
    for (const key of own) await writeConfigKey(full, key, undefined, workspace.cacheFolder);
  }
  if (workspace.config.get('core.remote')?.value === name) {
    await writeConfigKey(
      path.join(workspace.folder, configName),
      'core.remote',
      undefined,
      workspace.cacheFolder,
    );
  }
  for (const key of ['push.remotes', 'fetch.remotes']) await unlist(workspace, key, name);
}

/** Takes a remote out of a list of the configuration. */
async function unlist(workspace: Workspace, key: string, name: string): Promise<void> {
  const entry = workspace.config.get(key);
  const names = String(entry?.value ?? '').split(',');
  if (entry === undefined || entry.source === 'environment' || !names.includes(name)) return;
  const file = entry.source === 'config' ? configName : localConfigName;
  const left = names.filter((other) => other !== name).join(',');
  const value = left === '' ? undefined : left;
  await writeConfigKey(path.join(workspace.folder, file), key, value, workspace.cacheFolder);
}

/** Transfers of packs at once: `--jobs`, else the configuration, else 4; each needs some megabytes. */
export function transferJobs(workspace: Workspace, jobs: number | undefined): number {
  return Math.min(packsAtOnceMax, chosenJobs(workspace, jobs) ?? jobsDefault);
}

/** What `--jobs` or the configuration allows; undefined where it is left to the remote. */
export function chosenJobs(workspace: Workspace, jobs: number | undefined): number | undefined {
  return jobs ?? workspace.config.integer('transfer.jobs');
}

/** Requests of less than a pack at once: as {@link transferJobs}, but of a service 16. */
export function requestJobs(
  workspace: Workspace,
  jobs: number | undefined,
  { isService }: Pick<ChosenRemote, 'isService'>,
): number {
  return chosenJobs(workspace, jobs) ?? (isService ? serviceRequestsDefault : jobsDefault);
}
