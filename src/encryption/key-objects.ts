import { timingSafeEqual } from 'node:crypto';
import { sha256 } from '../base/digest.ts';
import { MstoreError } from '../base/errors.ts';
import { isJsonObject, type JsonObject, parseJsonBytes } from '../base/json.ts';
import { asksTooMuchWork, type Recipient } from './age.ts';
import { isKeyId, type MasterKey, vouch } from './keys.ts';

/*
 * What lies in clear on an encrypted remote, below `keys/KEY/` for each of its keys:
 *
 *   recipients/NAME.json   the key, wrapped to one recipient
 *   closed.json            another key takes its place: nothing more is recorded under this one
 *   live.json              that other key has all that was under the one before
 */

export const keysPrefix = 'keys/';
/** Where the objects of all keys but the first are, each below its id. */
export const generationsPrefix = 'generations/';
/** What stands for the public key where a key is wrapped to a passphrase. */
export const passphraseName = 'passphrase';

/** What a recipient is called in names and lists: its public key, or {@link passphraseName}. */
export function recipientName(recipient: Recipient): string {
  return recipient.kind === 'age' ? recipient.key : passphraseName;
}

/** Bytes of an object below `keys/`. */
export const keyObjectBytesMax = 16 * 1024;
/** Recipients of one remote. */
export const recipientsMax = 1000;

/** Returns the prefix of the recipients of a key. */
export function recipientsPrefix(key: string): string {
  return `${keysPrefix}${key}/recipients/`;
}

/** Returns the name of the object in which a key is wrapped to a recipient. */
export function recipientKey(key: string, recipient: string): string {
  return `${recipientsPrefix(key)}${sha256(recipient).slice(0, 32)}.json`;
}

/** Returns the name of the object that closes a key. */
export function closedKey(key: string): string {
  return `${keysPrefix}${key}/closed.json`;
}

/** Returns the name of the object that makes a later key count. */
export function liveKey(key: string): string {
  return `${keysPrefix}${key}/live.json`;
}

/** A key, wrapped to one recipient. */
export interface WrappedKey {
  /** `age1…`, or `passphrase`. */
  readonly recipient: string;
  /** When it was wrapped, ISO 8601. */
  readonly added: string;
  /** A file of age. */
  readonly file: Buffer;
  /** What whoever had the key says of the recipient, see {@link isVouched}. */
  readonly vouched: string;
}

const vouchPurpose = 'recipients';

/** Writes a wrapped key. */
export function formatWrappedKey(
  master: MasterKey,
  { recipient, added, file }: Omit<WrappedKey, 'vouched'>,
): Buffer {
  const vouched = vouch(master, vouchPurpose, recipient);
  return jsonBytes({ mstore: 1, recipient, added, wrapped: file.toString('base64'), vouched });
}

/**
 * Reads a wrapped key.
 * @param where names the object in errors
 * @throws MstoreError `corrupt-remote`
 */
export function parseWrappedKey(bytes: Uint8Array, where: string): WrappedKey {
  const value = parseObject(bytes, where);
  const { recipient, added, wrapped, vouched } = value;
  const isText = [recipient, added, wrapped, vouched].every((text) => typeof text === 'string');
  if (!isText || !/^(?:age1[0-9a-z]{58}|passphrase)$/.test(String(recipient))) {
    throw damagedKey(where, 'it names no recipient');
  }
  if (!/^\d{4}-\d\d-\d\dT[\d:.]{8,12}Z$/.test(String(added))) throw damagedKey(where, 'its time');
  const file = Buffer.from(String(wrapped), 'base64');
  if (asksTooMuchWork(file)) throw damagedKey(where, 'it asks for too much work of a passphrase');
  return { recipient: String(recipient), added: String(added), file, vouched: String(vouched) };
}

/** Tells whether somebody who had the key wrapped it to this recipient. */
export function isVouched(master: MasterKey, { recipient, vouched }: WrappedKey): boolean {
  const expected = Buffer.from(vouch(master, vouchPurpose, recipient));
  const told = Buffer.from(vouched);
  return told.length === expected.length && timingSafeEqual(told, expected);
}

/** What an object below `keys/` says of the key that follows. */
export function formatNext(next: string): Buffer {
  return jsonBytes({ mstore: 1, next });
}

/**
 * Reads which key follows.
 * @throws MstoreError `corrupt-remote`
 */
export function parseNext(bytes: Uint8Array, where: string): string {
  const { next } = parseObject(bytes, where);
  if (!isKeyId(next)) throw damagedKey(where, 'it names no key');
  return next;
}

/** What the header of an encrypted remote says. */
export interface EncryptionHeader {
  /** The id of its first key. */
  readonly key: string;
  /** The header without what it says of encryption, for those to whom the remote is a clear one. */
  readonly clear: Buffer;
}

/**
 * Reads what a header says of encryption; undefined for one that says nothing, and for what is no header, which others refuse.
 * @throws MstoreError `newer-format` for an encryption that this version does not know, `corrupt-remote`
 */
export function parseEncryptionHeader(
  bytes: Uint8Array,
  location: string,
): EncryptionHeader | undefined {
  let value: unknown;
  try {
    value = parseJsonBytes(bytes);
  } catch {
    return undefined;
  }
  if (!isJsonObject(value) || !Object.hasOwn(value, 'encryption')) return undefined;
  const { encryption, ...rest } = value;
  const version = isJsonObject(encryption) ? encryption['version'] : undefined;
  if (version !== 1) {
    throw new MstoreError(
      'newer-format',
      `${location} uses encryption of another version, which this mstore cannot read`,
      { hint: 'Install a newer mstore', details: { where: location } },
    );
  }
  const key = isJsonObject(encryption) ? encryption['key'] : undefined;
  if (!isKeyId(key)) throw damagedKey(`${location}/mstore.json`, 'what it says of its key');
  return { key, clear: jsonBytes(rest) };
}

function jsonBytes(value: JsonObject): Buffer {
  return Buffer.from(`${JSON.stringify(value, null, 2)}\n`);
}

function parseObject(bytes: Uint8Array, where: string): JsonObject {
  try {
    const value = parseJsonBytes(bytes);
    if (isJsonObject(value) && value['mstore'] === 1) return value;
  } catch {
    // What it is not is said below.
  }
  throw damagedKey(where, 'it is no object of version 1');
}

/** Makes the error of a damaged object that says something of keys. */
export function damagedKey(where: string, what: string): MstoreError {
  return new MstoreError('corrupt-remote', `${where} is damaged: ${what}`, {
    hint: 'Restore that object from a backup, or have another recipient open the remote and add this one anew: mstore remote recipients NAME --add RECIPIENT',
    details: { where },
  });
}
