import * as path from 'node:path';
import { readCacheDocument } from '../base/cache-file.ts';
import { mapConcurrently } from '../base/concurrency.ts';
import { sha256 } from '../base/digest.ts';
import { isMstoreError, MstoreError } from '../base/errors.ts';
import { ensureCacheFolder, removeFile, writeAtomically } from '../base/files.ts';
import { type Progress, silentProgress } from '../base/progress.ts';
import type { Recipient } from '../encryption/age.ts';
import { encryptedRemote } from '../encryption/encrypted-remote.ts';
import { folderOf, liveKeyOf, nextKeyOf, openKey } from '../encryption/guarded-remote.ts';
import {
  closedKey,
  type EncryptionHeader,
  formatNext,
  generationsPrefix,
  keysPrefix,
  liveKey,
  passphraseName,
  recipientKey,
  recipientName,
} from '../encryption/key-objects.ts';
import { drawMasterKey, isKeyId, type MasterKey } from '../encryption/keys.ts';
import { isOwnName } from '../encryption/names.ts';
import { unlockKey } from '../encryption/unlock.ts';
import {
  bytesSource,
  type RemoteCallOptions,
  type RemotePruner,
  type RemoteSource,
} from '../remote/remote.ts';
import { logKeyAct } from './audit/key-acts.ts';
import {
  type AskedRecipients,
  addWrappedKey,
  checkAsked,
  guardOptions,
  ownNames,
  passphraseRecipient,
  writeEncryption,
} from './encryption.ts';
import { notEncrypted, recipientsOf } from './recipients.ts';
import type { OwnedRemote } from './remotes.ts';
import type { Workspace } from './workspace.ts';

/** Looks at what is not copied yet: writers that were under way when the key was closed end within few of them. */
const roundsMax = 20;
const memoryFormat = 1;
const memoryBytesMax = 4096;
/** What is about the old key alone: tries, and clean-ups, whose marks say when objects came that come anew now. */
const leftBehind = /^(?:gc|probes)\//;

/** What {@link rekeyRemote} did. */
export interface RekeyResult {
  readonly remote: string;
  readonly location: string;
  /** The ids of the key before and of the new one. */
  readonly before: string;
  readonly key: string;
  /** Who can read it by the new key. */
  readonly recipients: readonly string[];
  /** Objects that were encrypted anew in this run, and their bytes. */
  readonly objects: number;
  readonly bytes: number;
  /** Objects under keys of the past that were deleted. */
  readonly deleted: number;
  /** What should be known, such as that the change could not be logged. */
  readonly warnings: readonly string[];
}

/** Options of {@link rekeyRemote}. */
export interface RekeyOptions extends RemoteCallOptions {
  /** Who can read the remote afterwards; by default who can now. */
  readonly recipients: AskedRecipients;
  /** Gives up a new key that somebody began to bring in and does not bring in any more. */
  readonly restart: boolean;
  /** Objects that are copied at once. */
  readonly jobs: number;
  readonly progress?: Progress;
}

/** A change of the key of one remote, on its way. */
interface Change {
  readonly workspace: Workspace;
  readonly chosen: OwnedRemote;
  readonly options: RekeyOptions;
  readonly header: EncryptionHeader;
  readonly old: MasterKey;
}

/**
 * Gives a remote a new key, and encrypts all of it anew. One that was interrupted is gone on with by the same call in the same
 * workspace, which remembers which key it drew: another would trust what somebody who has the old key could have put there.
 *
 * The old key is closed first, so that nothing more is recorded under it; then all is copied until nothing is lacking; then the
 * new key is made the one that counts, by one object; then what was under the old one is deleted.
 * @throws MstoreError `usage`, `wrong-key`, `key-changed`, `lost-race` while somebody else gives it a new key
 */
export async function rekeyRemote(
  workspace: Workspace,
  chosen: OwnedRemote,
  options: RekeyOptions,
): Promise<RekeyResult> {
  const { name, remote } = chosen;
  const asked = await checkAsked(workspace, options.recipients);
  const memory = readMemory(workspace, remote);
  const guard = guardOptions(workspace, name);
  const isPinned = guard.pinned !== undefined && guard.pinned === memory?.from;
  const opened = await openKey(remote, guard, options).catch((error: unknown) => {
    // The new key counts already, and the configuration was not told.
    if (!isPinned || !isMstoreError(error, 'key-changed')) throw error;
    return openKey(remote, { ...guard, pinned: memory?.next }, options);
  });
  const { header, master } = opened;
  if (header === undefined || master === undefined) throw notEncrypted(chosen);
  if (memory !== undefined && memory.next === master.id) {
    return finish({ workspace, chosen, options, header, old: master }, memory.from, master, none);
  }
  const change = { workspace, chosen, options, header, old: master };
  const next = await beginNext(change, asked, memory);
  const copied = await copyAll(change, next);
  await makeLive(change, next);
  return finish(change, master.id, next, copied);
}

const none = { objects: 0, bytes: 0 };

/** Draws the new key and closes the old one, or gets the key that an earlier run drew. */
async function beginNext(
  change: Change,
  asked: readonly Recipient[],
  memory: Memory | undefined,
): Promise<MasterKey> {
  const { workspace, chosen, options, old } = change;
  const { name, remote } = chosen;
  const begun = await nextKeyOf(remote, old.id, options);
  const secrets = await guardOptions(workspace, name).secrets();
  if (begun !== undefined && memory?.from === old.id && memory.next === begun) {
    return unlockKey(remote, begun, secrets, options);
  }
  if (begun !== undefined && !options.restart) throw begunElsewhere(chosen);
  if (begun !== undefined) await giveUp(remote, old.id, begun, options);
  const recipients = asked.length > 0 ? asked : await recipientsAsNow(change);
  await requireOwn(change, recipients);
  const next = drawMasterKey(workspace.surroundings.random);
  await wrapToAll(change, next, recipients);
  writeMemory(workspace, remote, { from: old.id, next: next.id });
  const closed = bytesSource(formatNext(next.id));
  if ((await remote.create(closedKey(old.id), closed, options)) === 'exists') {
    throw begunElsewhere(chosen);
  }
  // Whoever cleared what changes of the past have left may have taken these for such.
  await wrapToAll(change, next, recipients);
  return next;
}

async function wrapToAll(
  { workspace, chosen: { remote }, options }: Change,
  master: MasterKey,
  recipients: readonly Recipient[],
): Promise<void> {
  for (const recipient of recipients) {
    const who = recipientName(recipient);
    if ((await remote.stat(recipientKey(master.id, who), options)) !== undefined) continue;
    const now = new Date(workspace.surroundings.clock.now());
    await addWrappedKey(remote, master, recipient, now, options);
  }
}

/** Those who can read the remote now: whoever had the key made them so, and nobody else. */
async function recipientsAsNow({ workspace, chosen, options, old }: Change): Promise<Recipient[]> {
  const recipients: Recipient[] = [];
  for (const { recipient, state } of await recipientsOf(chosen.remote, old, options)) {
    if (state !== 'good') {
      throw new MstoreError(
        'corrupt-remote',
        `The recipient ${recipient} of ${chosen.name} is ${state}`,
        {
          hint: 'Name those who are to read it: --recipient age1…; or mend or remove this one with "mstore remote recipients"',
        },
      );
    }
    if (recipient !== passphraseName) recipients.push({ kind: 'age', key: recipient });
    else recipients.push(await passphraseRecipient(workspace, chosen.name));
  }
  return recipients;
}

/** Whoever changes the key has to be able to read what is written by it, to go on where this run ends early. */
async function requireOwn(
  { workspace, chosen: { name } }: Change,
  recipients: readonly Recipient[],
): Promise<void> {
  const own = await ownNames(await guardOptions(workspace, name).secrets());
  const names = recipients.map(recipientName);
  if (names.some((one) => own.includes(one))) return;
  throw new MstoreError(
    'usage',
    'None of the recipients is you: you could not read what you write',
    {
      hint: 'Add --recipient with the public key of your own identity; it can be removed afterwards',
    },
  );
}

/** Encrypts all objects anew, until a list of those under the old key and one of those under the new one are alike. */
async function copyAll(
  change: Change,
  next: MasterKey,
): Promise<{ objects: number; bytes: number }> {
  const { workspace, chosen, options, header, old } = change;
  const { progress = silentProgress, jobs, signal } = options;
  const { remote } = chosen;
  const { random } = workspace.surroundings;
  const place = (master: MasterKey) =>
    encryptedRemote(remote, { master, folder: folderOf(header, master.id), random });
  const [from, to] = [place(old), place(next)];
  const done = { objects: 0, bytes: 0 };
  for (let round = 0; round < roundsMax; round++) {
    const lacking = await lackingObjects(from, to, { signal });
    if (lacking.length === 0) return done;
    const bytesTotal = lacking.reduce((sum, { size }) => sum + size, 0);
    progress.start('push', { bytesTotal, filesTotal: lacking.length });
    await mapConcurrently(lacking, jobs, async ({ key, size }) => {
      const source: RemoteSource = { size, open: () => from.get(key, undefined, { signal }) };
      try {
        await to.create(key, source, { signal });
      } catch (error) {
        // A clean-up that was under way has taken it.
        if (isMstoreError(error, 'not-found')) return;
        throw error;
      }
      done.objects++;
      done.bytes += size;
      progress.advance({ bytes: size, files: 1 });
    });
    progress.finish();
  }
  throw new MstoreError('lost-race', `${remote.location} is written to all the while`, {
    hint: 'End what writes there with an older version, and run the same command again: it goes on',
  });
}

async function lackingObjects(
  from: RemotePruner,
  to: RemotePruner,
  options: RemoteCallOptions,
): Promise<Array<{ key: string; size: number }>> {
  const there = new Map<string, number>();
  for await (const { key, size } of to.list('', options)) there.set(key, size);
  const lacking: Array<{ key: string; size: number }> = [];
  for await (const { key, size } of from.list('', options)) {
    if (leftBehind.test(key) || there.get(key) === size) continue;
    if (!there.has(key)) lacking.push({ key, size });
    else throw otherSize(to, key);
  }
  return lacking;
}

/** Makes the new key the one that counts. */
async function makeLive({ chosen, options, old }: Change, next: MasterKey): Promise<void> {
  const { remote } = chosen;
  await remote.settle?.(options);
  await remote.create(liveKey(next.id), bytesSource(formatNext(next.id)), options);
  // Somebody may have given this change up and begun another.
  if ((await nextKeyOf(remote, old.id, options)) !== next.id) throw begunElsewhere(chosen);
}

/** Tells the configuration, and clears what is under keys of the past. */
async function finish(
  { workspace, chosen, options, header }: Change,
  before: string,
  next: MasterKey,
  copied: { readonly objects: number; readonly bytes: number },
): Promise<RekeyResult> {
  const { name, remote } = chosen;
  if (workspace.config.string(`remote.${name}.url`) !== undefined) {
    await writeEncryption(workspace, name, next.id);
  }
  const deleted = await clearPast(remote, header, options);
  removeFile(memoryFile(workspace, remote));
  const recipients = (await recipientsOf(remote, next, options)).map(({ recipient }) => recipient);
  const reason = `key ${before} was replaced by ${next.id}`;
  const warnings = await logKeyAct(workspace, chosen, { act: 'rekey', reason });
  return {
    ...{ remote: name, location: remote.location, before, key: next.id, recipients },
    ...{ ...copied, deleted, warnings },
  };
}

/** Deletes what is neither under the key that counts nor under one that is to follow it. */
async function clearPast(
  remote: RemotePruner,
  header: EncryptionHeader,
  options: RekeyOptions,
): Promise<number> {
  const live = await liveKeyOf(remote, header, options);
  const kept = [live, await nextKeyOf(remote, live, options)];
  const past: string[] = [];
  for await (const { key } of remote.list('', options)) {
    const [top = '', id = '', kind = ''] = key.split('/');
    // The chain from the first key to the one that counts stays: where no key is pinned, readers go along it.
    if (top === keysPrefix.slice(0, -1)) {
      if (!kept.includes(id) && kind === 'recipients') past.push(key);
    } else if (top === generationsPrefix.slice(0, -1)) {
      if (!kept.includes(id)) past.push(key);
    } else if (!kept.includes(header.key) && isOwnName(top)) past.push(key);
  }
  await mapConcurrently(past, options.jobs, (key) =>
    remote.delete(key, { signal: options.signal }),
  );
  return past.length;
}

/** Takes back that a key is to be followed by another that nobody brings in. */
async function giveUp(
  remote: RemotePruner,
  old: string,
  next: string,
  options: RekeyOptions,
): Promise<void> {
  await remote.delete(closedKey(old), options);
  for (const prefix of [`${keysPrefix}${next}/`, `${generationsPrefix}${next}/`]) {
    const left: string[] = [];
    for await (const { key } of remote.list(prefix, options)) left.push(key);
    await mapConcurrently(left, options.jobs, (key) => remote.delete(key, options));
  }
}

/** Which key this workspace drew for which remote: kept here, as nothing that lies on the remote can vouch for it. */
interface Memory {
  readonly from: string;
  readonly next: string;
}

function memoryFile({ cacheFolder }: Workspace, { location }: RemotePruner): string {
  return path.join(cacheFolder, 'rekey', `${sha256(location)}.json`);
}

function readMemory(workspace: Workspace, remote: RemotePruner): Memory | undefined {
  const document = readCacheDocument(memoryFile(workspace, remote), memoryFormat, memoryBytesMax);
  const [from, next] = [document?.['from'], document?.['next']];
  return isKeyId(from) && isKeyId(next) ? { from, next } : undefined;
}

function writeMemory(workspace: Workspace, remote: RemotePruner, memory: Memory): void {
  const file = memoryFile(workspace, remote);
  ensureCacheFolder(path.dirname(file));
  writeAtomically(file, JSON.stringify({ format: memoryFormat, ...memory }));
}

function otherSize({ location }: RemotePruner, key: string): MstoreError {
  return new MstoreError(
    'corrupt-remote',
    `${key} of ${location} has another size under the new key`,
    {
      hint: 'Begin anew: mstore remote rekey NAME --restart',
      details: { key },
    },
  );
}

function begunElsewhere({ name, remote }: OwnedRemote): MstoreError {
  return new MstoreError(
    'lost-race',
    `Another run, of another workspace or person, is giving ${remote.location} a new key`,
    {
      hint: `Let it come to its end, where it was begun; if nobody goes on with it, begin anew: mstore remote rekey ${name} --restart`,
      details: { name },
    },
  );
}
