import { homedir } from 'node:os';
import * as path from 'node:path';
import { invariant, MstoreError } from '../base/errors.ts';
import { printable } from '../base/names.ts';
import {
  checkRecipient,
  type Recipient,
  recipientOf,
  type Secrets,
  wrapKey,
} from '../encryption/age.ts';
import { type GuardOptions, guardedRemote, openKey } from '../encryption/guarded-remote.ts';
import { makeIdentityFile, readIdentityFile } from '../encryption/identity-file.ts';
import {
  formatWrappedKey,
  passphraseName,
  recipientKey,
  recipientName,
} from '../encryption/key-objects.ts';
import { drawMasterKey, type MasterKey } from '../encryption/keys.ts';
import {
  bytesSource,
  type RemoteCallOptions,
  type RemotePruner,
  type RemoteWriter,
} from '../remote/remote.ts';
import { initRemote } from '../store/remote-store.ts';
import { type Config, configName, localConfigName } from '../worktree/config.ts';
import { writeConfigKey } from '../worktree/config-file.ts';
import type { Surroundings } from './surroundings.ts';
import type { Workspace } from './workspace.ts';

/** The variable that holds the passphrase of a remote, where no other is named. */
const passphraseVariable = 'MSTORE_PASSPHRASE';
/** Characters of a passphrase: fewer are guessed by whoever has a copy of the remote. */
const passphraseMin = 12;
const passphraseMax = 1024;

/** Where secrets come from: the configuration of this machine, and its environment. */
export interface SecretPlaces {
  readonly root: string;
  readonly config: Config;
  readonly surroundings: Pick<Surroundings, 'env'>;
}

/** Gets what opens an encrypted remote: the identities of this machine, and the passphrase of the environment. */
async function secretsFor(places: SecretPlaces, name: string): Promise<Secrets> {
  const file = identityFile(places);
  const passphrase = passphraseOf(places, passphraseVariableOf(places, name));
  return {
    identities: file === undefined ? [] : await readIdentityFile(file),
    passphrase,
    from: file === undefined ? 'the passphrase' : `the identity in ${printable(file)}`,
  };
}

/** The file of identities of this machine. A repository names none: it would choose among the files of whoever works in it. */
function identityFile({ root, config }: SecretPlaces): string | undefined {
  const text = machineOnly(config, 'identity.file');
  if (text === undefined) return undefined;
  const home = /^~[/\\]+(.*)$/s.exec(text)?.[1];
  return home === undefined ? path.resolve(root, text) : path.join(homedir(), home);
}

function passphraseVariableOf({ config }: SecretPlaces, name: string): string {
  return machineOnly(config, `remote.${name}.passphrase_env`) ?? passphraseVariable;
}

function passphraseOf({ surroundings: { env } }: SecretPlaces, name: string): string | undefined {
  const value = env[name];
  return value === undefined || value === '' ? undefined : value;
}

/**
 * A value that each machine sets for itself.
 * @throws MstoreError `config-invalid` where the committed configuration has it
 */
function machineOnly(config: Config, key: string): string | undefined {
  const entry = config.get(key);
  if (entry === undefined) return undefined;
  if (entry.source !== 'config') return String(entry.value);
  throw new MstoreError('config-invalid', `${key} stands in config.toml, which Git keeps`, {
    hint: `Take it out of that file; each machine sets its own: mstore config set ${key} VALUE --local`,
    details: { key },
  });
}

/** Whom a new key is to be wrapped to, as it is asked for. */
export interface AskedRecipients {
  /** Public keys of age. */
  readonly recipients: readonly string[];
  /** The variable that holds a passphrase. */
  readonly passphraseEnv?: string | undefined;
}

/**
 * Checks whom a key is to be wrapped to, and reads the passphrase.
 * @throws MstoreError `usage`
 */
export async function checkAsked(
  places: Pick<SecretPlaces, 'surroundings'>,
  { recipients, passphraseEnv }: AskedRecipients,
): Promise<Recipient[]> {
  const keys = [...new Set(recipients)];
  for (const key of keys) await checkRecipient(key);
  const asked: Recipient[] = keys.map((key) => ({ kind: 'age', key }));
  if (passphraseEnv === undefined) return asked;
  if (!/^[A-Za-z_][A-Za-z0-9_]{0,127}$/.test(passphraseEnv)) {
    throw new MstoreError('usage', 'What --passphrase-env names is no variable', {
      hint: 'Write the name of an environment variable that holds the passphrase, never the passphrase itself',
    });
  }
  const passphrase = places.surroundings.env[passphraseEnv] ?? '';
  if (passphrase.length < passphraseMin || passphrase.length > passphraseMax) {
    const what = passphrase === '' ? 'is not set' : 'holds no passphrase of a good length';
    throw new MstoreError('usage', `The variable ${passphraseEnv} ${what}`, {
      hint: `Set it to ${passphraseMin} to ${passphraseMax} characters, of a password manager or several words drawn by chance: whoever copies the remote can try as many as they like`,
    });
  }
  return [...asked, { kind: 'passphrase', passphrase }];
}

/**
 * Draws the first key of a new remote and wraps it to its recipients, before anything is encrypted by it.
 */
async function beginEncryption(
  { clock, random }: Pick<Surroundings, 'clock' | 'random'>,
  remote: RemoteWriter,
  recipients: readonly Recipient[],
): Promise<MasterKey> {
  const master = drawMasterKey(random);
  for (const recipient of recipients) {
    await addWrappedKey(remote, master, recipient, new Date(clock.now()), {});
  }
  return master;
}

/** Wraps a key to a recipient. */
export async function addWrappedKey(
  remote: RemoteWriter,
  master: MasterKey,
  recipient: Recipient,
  now: Date,
  options: RemoteCallOptions,
): Promise<'created' | 'exists'> {
  const name = recipientName(recipient);
  const file = await wrapKey(master.bytes, recipient);
  const bytes = formatWrappedKey(master, { recipient: name, added: now.toISOString(), file });
  return remote.create(recipientKey(master.id, name), bytesSource(bytes), options);
}

/** The names under which keys are wrapped to whoever has these secrets. */
export async function ownNames({ identities, passphrase }: Secrets): Promise<string[]> {
  const names = await Promise.all(identities.map((identity) => recipientOf(identity)));
  return [...names, passphrase && passphraseName].filter((name) => name !== undefined);
}

/**
 * The passphrase of this machine for a remote, to wrap a new key to it.
 * @throws MstoreError `usage` where its variable is not set
 */
export async function passphraseRecipient(places: SecretPlaces, name: string): Promise<Recipient> {
  const passphraseEnv = passphraseVariableOf(places, name);
  const [recipient] = await checkAsked(places, { recipients: [], passphraseEnv });
  invariant(recipient !== undefined, 'a passphrase that was checked');
  return recipient;
}

/** Puts encryption in front of a remote that is encrypted, or must be. */
export function guarded(workspace: Workspace, name: string, remote: RemotePruner): RemotePruner {
  return guardedRemote(remote, guardOptions(workspace, name));
}

/** What is known of the encryption of a remote. */
export function guardOptions(workspace: Workspace, name: string): GuardOptions {
  return {
    pinned: workspace.config.string(`remote.${name}.encryption`),
    name,
    secrets: () => secretsFor(workspace, name),
    random: workspace.surroundings.random,
  };
}

/**
 * Checks what a remote is to be encrypted to, before anything is made.
 * @throws MstoreError `usage`
 */
export async function checkEncrypt(
  workspace: Workspace,
  url: string,
  encrypt: AskedRecipients,
  create: boolean,
): Promise<Recipient[]> {
  if (/^https?:/i.test(url)) {
    throw new MstoreError(
      'usage',
      'A remote behind a server of mstore cannot be encrypted from here',
      {
        hint: 'The server verifies what arrives, for which it reads it: encrypt the remote that it serves, and let the server have an identity',
      },
    );
  }
  if (!create) {
    throw new MstoreError('usage', '--encrypt and --no-create together make nothing', {
      hint: 'Leave one of them out: a key is drawn when the place is made',
    });
  }
  const asked = await checkAsked(workspace, encrypt);
  if (asked.length > 0) return asked;
  throw new MstoreError('usage', '--encrypt needs somebody who can read the remote afterwards', {
    hint: 'Add --recipient age1…, or --passphrase-env VARIABLE',
  });
}

/** A remote as it was added. */
export interface AddedRemote {
  readonly state: 'created' | 'exists' | 'unchecked';
  /** The id of the key that it is encrypted by; undefined for a clear one. */
  readonly encryption: string | undefined;
}

/** A place that is to be a remote. */
interface NewRemote {
  readonly name: string;
  readonly remote: RemotePruner;
  /** Whom it is to be encrypted to; undefined where it is not. */
  readonly asked: readonly Recipient[] | undefined;
  /** Called before anything is made there. */
  readonly ready: () => Promise<void>;
}

/**
 * Makes the place a remote, encrypted where that is asked for, or opens the one that is there.
 * @throws MstoreError `remote-exists` for one that is there and is not what was asked for
 */
export async function makeRemote(
  workspace: Workspace,
  { name, remote, asked, ready }: NewRemote,
): Promise<AddedRemote> {
  const { surroundings } = workspace;
  const { clock, random } = surroundings;
  const opened = await openKey(remote, guardOptions(workspace, name), {});
  if (opened.master !== undefined) {
    await checkSame(remote, opened.master, asked ?? []);
    return { state: 'exists', encryption: opened.master.id };
  }
  let encryption: string | undefined;
  const state = await initRemote(remote, clock, random, async () => {
    await ready();
    if (asked === undefined) return undefined;
    encryption = (await beginEncryption(surroundings, remote, asked)).id;
    return { version: 1, key: encryption };
  });
  if (asked === undefined || state === 'created') return { state, encryption };
  throw new MstoreError(
    'remote-exists',
    `${remote.location} is a remote already, and not encrypted`,
    {
      hint: 'Choose an empty place and push to it, or leave --encrypt out: what lies there in clear stays in clear',
      details: { name },
    },
  );
}

/** Makes sure that a remote which is there is encrypted to those who were asked for. */
async function checkSame(
  remote: RemotePruner,
  master: MasterKey,
  asked: readonly Recipient[],
): Promise<void> {
  for (const recipient of asked) {
    const name = recipientName(recipient);
    if ((await remote.stat(recipientKey(master.id, name))) !== undefined) continue;
    throw new MstoreError(
      'remote-exists',
      `${remote.location} is an encrypted remote already, and ${name} is none of its recipients`,
      {
        hint: `Leave --encrypt out to use it; then: mstore remote recipients NAME --add ${name}`,
        details: { location: remote.location },
      },
    );
  }
}

/** Writes down what a remote must be encrypted by, for all, and where its passphrase is, for this machine. */
export async function writeEncryption(
  { folder, cacheFolder }: Workspace,
  name: string,
  key: string | undefined,
  passphraseEnv?: string,
): Promise<void> {
  if (key === undefined) return;
  const file = path.join(folder, configName);
  await writeConfigKey(file, `remote.${name}.encryption`, key, cacheFolder);
  if (passphraseEnv === undefined || passphraseEnv === passphraseVariable) return;
  const local = path.join(folder, localConfigName);
  await writeConfigKey(local, `remote.${name}.passphrase_env`, passphraseEnv, cacheFolder);
}

/**
 * Makes an identity of age in a new file.
 * @param file absolute
 * @returns what others encrypt to
 * @throws MstoreError `destination-exists`
 */
export function generateIdentity(
  file: string,
  { clock }: Pick<Surroundings, 'clock'>,
): Promise<string> {
  return makeIdentityFile(file, new Date(clock.now()));
}
