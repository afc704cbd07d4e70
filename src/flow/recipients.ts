import { isMstoreError, MstoreError } from '../base/errors.ts';
import { checkRecipient } from '../encryption/age.ts';
import { nextKeyOf, openKey, replaced } from '../encryption/guarded-remote.ts';
import {
  isVouched,
  passphraseName,
  recipientKey,
  recipientName,
  recipientsMax,
  recipientsPrefix,
} from '../encryption/key-objects.ts';
import type { MasterKey } from '../encryption/keys.ts';
import { readWrappedKey } from '../encryption/unlock.ts';
import type { RemoteCallOptions, RemotePruner } from '../remote/remote.ts';
import { logKeyAct } from './audit/key-acts.ts';
import { type AskedRecipients, addWrappedKey, checkAsked, guardOptions } from './encryption.ts';
import type { OwnedRemote } from './remotes.ts';
import type { Workspace } from './workspace.ts';

/** Somebody who can read an encrypted remote. */
export interface RemoteRecipient {
  /** `age1…`, or `passphrase`. */
  readonly recipient: string;
  /** When the key was wrapped to them, ISO 8601; null where their object is damaged. */
  readonly added: string | null;
  /**
   * `good`; `damaged`, where they cannot open the remote; `unvouched`, where nobody who has the key made it: it opens nothing, and
   * somebody who may write there has put it there.
   */
  readonly state: 'good' | 'damaged' | 'unvouched';
}

/** What {@link changeRecipients} found and did. */
export interface RecipientsResult {
  readonly remote: string;
  readonly location: string;
  /** The id of the key. */
  readonly key: string;
  /** In the order of their names. */
  readonly recipients: readonly RemoteRecipient[];
  readonly added: readonly string[];
  readonly removed: readonly string[];
  /** What should be known, such as that the change could not be logged. */
  readonly warnings: readonly string[];
}

/** What is to be changed about the recipients of a remote. */
export interface RecipientChanges extends RemoteCallOptions {
  readonly add: AskedRecipients;
  /** `age1…`, or `passphrase`. */
  readonly remove: readonly string[];
}

/**
 * Adds and removes recipients of an encrypted remote, and lists them. Nothing is encrypted anew: who had the key may have kept it.
 * @throws MstoreError `usage` for a clear remote, `not-found` for one who is to be removed and is none, `wrong-key`, `key-changed`
 */
export async function changeRecipients(
  workspace: Workspace,
  chosen: OwnedRemote,
  { add, remove, ...options }: RecipientChanges,
): Promise<RecipientsResult> {
  const { name, remote } = chosen;
  const asked = await checkAsked(workspace, add);
  for (const one of remove) if (one !== passphraseName) await checkRecipient(one);
  const { master } = await openKey(remote, guardOptions(workspace, name), options);
  if (master === undefined) throw notEncrypted(chosen);
  const changes = asked.length > 0 || remove.length > 0;
  if (changes && (await nextKeyOf(remote, master.id, options)) !== undefined) {
    throw replaced(remote, name);
  }
  const before = await recipientsOf(remote, master, options);
  const added: string[] = [];
  for (const recipient of asked) {
    const who = recipientName(recipient);
    const known = before.find((one) => one.recipient === who);
    if (known?.state === 'good') continue;
    // What is damaged there, or put there by others, is replaced.
    await remote.delete(recipientKey(master.id, who), options);
    const now = new Date(workspace.surroundings.clock.now());
    await addWrappedKey(remote, master, recipient, now, options);
    added.push(who);
  }
  const removed = await removeRecipients(chosen, master, { before, added, remove }, options);
  const recipients = changes ? await recipientsOf(remote, master, options) : before;
  const told = [
    ...added.map((who) => `added ${who}`),
    ...removed.map((who) => `removed ${who}`),
  ].join(', ');
  const act = { act: 'recipients', reason: told } as const;
  const warnings = told === '' ? [] : await logKeyAct(workspace, chosen, act);
  const { location } = remote;
  return { remote: name, location, key: master.id, recipients, added, removed, warnings };
}

async function removeRecipients(
  { remote, name }: OwnedRemote,
  master: MasterKey,
  {
    before,
    added,
    remove,
  }: {
    readonly before: readonly RemoteRecipient[];
    readonly added: readonly string[];
    readonly remove: readonly string[];
  },
  options: RemoteCallOptions,
): Promise<string[]> {
  const removed = [...new Set(remove)];
  for (const who of removed) {
    if (before.some(({ recipient }) => recipient === who)) continue;
    throw new MstoreError('not-found', `${who} is no recipient of ${name}`, {
      hint: `Run "mstore remote recipients ${name}" to see them`,
    });
  }
  const good = before.filter(({ state }) => state === 'good').map(({ recipient }) => recipient);
  const left = [...good, ...added].filter((who) => !removed.includes(who));
  if (removed.length > 0 && left.length === 0) {
    throw new MstoreError('usage', `Nobody could read ${name} any more`, {
      hint: 'Add another recipient first: what is encrypted there would be lost',
    });
  }
  for (const who of removed) await remote.delete(recipientKey(master.id, who), options);
  return removed;
}

/** Lists the recipients of a key. */
export async function recipientsOf(
  remote: RemotePruner,
  master: MasterKey,
  options: RemoteCallOptions,
): Promise<RemoteRecipient[]> {
  const found: RemoteRecipient[] = [];
  for await (const { key } of remote.list(recipientsPrefix(master.id), options)) {
    if (found.length >= recipientsMax) throw tooMany(remote);
    found.push(await readRecipient(remote, master, key, options));
  }
  return found.sort((a, b) => (a.recipient < b.recipient ? -1 : 1));
}

async function readRecipient(
  remote: RemotePruner,
  master: MasterKey,
  key: string,
  options: RemoteCallOptions,
): Promise<RemoteRecipient> {
  const damaged = { recipient: key, added: null, state: 'damaged' } as const;
  try {
    const wrapped = await readWrappedKey(remote, key, options);
    if (wrapped === undefined || recipientKey(master.id, wrapped.recipient) !== key) return damaged;
    const { recipient, added } = wrapped;
    return { recipient, added, state: isVouched(master, wrapped) ? 'good' : 'unvouched' };
  } catch (error) {
    if (isMstoreError(error, 'corrupt-remote')) return damaged;
    throw error;
  }
}

function tooMany({ location }: RemotePruner): MstoreError {
  return new MstoreError(
    'corrupt-remote',
    `${location} has more than ${recipientsMax} recipients`,
    {
      hint: 'Remove the objects below keys/ that nobody needs; somebody may have put them there',
    },
  );
}

/** Makes the error of a remote that has no key. */
export function notEncrypted({ name, remote }: OwnedRemote): MstoreError {
  return new MstoreError('usage', `The remote ${name}, ${remote.location}, is not encrypted`, {
    hint: 'Make an encrypted one in an empty place and push to it: mstore remote add NAME DIR --encrypt --recipient age1…',
  });
}
