import { isMstoreError, MstoreError } from '../base/errors.ts';
import { type RemoteCallOptions, type RemoteReader, readObject } from '../remote/remote.ts';
import { recipientOf, type Secrets, unwrapKey } from './age.ts';
import {
  damagedKey,
  keyObjectBytesMax,
  parseWrappedKey,
  passphraseName,
  recipientKey,
  type WrappedKey,
} from './key-objects.ts';
import { keyBytes, type MasterKey, masterKey } from './keys.ts';

/**
 * Gets a key of a remote by one of the secrets. Only what is wrapped to one of them is asked for.
 * @param key the id of the key, which what is found must have
 * @throws MstoreError `wrong-key` when none of them opens it, `corrupt-remote`
 */
export async function unlockKey(
  remote: RemoteReader,
  key: string,
  secrets: Secrets,
  options: RemoteCallOptions,
): Promise<MasterKey> {
  let refused = 0;
  for (const secret of await secretsByName(secrets)) {
    const object = recipientKey(key, secret.recipient);
    const wrapped = await readWrappedKey(remote, object, options);
    if (wrapped === undefined) continue;
    const where = `${remote.location}/${object}`;
    const bytes = await unwrapKey(wrapped.file, secret);
    if (bytes === undefined) {
      // A passphrase may be wrong; a key of age that is named there is not.
      if (secret.recipient !== passphraseName) throw damagedKey(where, 'the key in it is');
      refused++;
      continue;
    }
    if (bytes.length === keyBytes && masterKey(bytes).id === key) return masterKey(bytes);
    throw damagedKey(where, 'it holds another key than it says');
  }
  throw wrongKey(remote, key, secrets, refused > 0);
}

/** Reads a key as it is wrapped to one recipient; undefined where it is not. */
export async function readWrappedKey(
  remote: RemoteReader,
  object: string,
  options: RemoteCallOptions,
): Promise<WrappedKey | undefined> {
  try {
    const bytes = await readObject(remote, object, keyObjectBytesMax, options);
    return parseWrappedKey(bytes, `${remote.location}/${object}`);
  } catch (error) {
    if (isMstoreError(error, 'not-found')) return undefined;
    throw error;
  }
}

async function secretsByName({ identities, passphrase }: Secrets) {
  const named: Array<Pick<Secrets, 'identities' | 'passphrase'> & { recipient: string }> = [];
  for (const identity of identities) {
    const recipient = await recipientOf(identity);
    if (recipient !== undefined) named.push({ recipient, identities: [identity] });
  }
  if (passphrase !== undefined) {
    named.push({ recipient: passphraseName, identities: [], passphrase });
  }
  return named;
}

function wrongKey(
  remote: RemoteReader,
  key: string,
  { identities, passphrase, from }: Secrets,
  wasRefused: boolean,
): MstoreError {
  const has = identities.length > 0 || passphrase !== undefined;
  const what = wasRefused ? 'the passphrase is wrong' : `not to ${from}`;
  return new MstoreError(
    'wrong-key',
    `The remote ${remote.location} is encrypted, and ${has ? what : 'no identity is set here'}`,
    {
      hint: 'Set MSTORE_IDENTITY_FILE to the file of an identity that can read it, or MSTORE_PASSPHRASE; somebody who can adds you: mstore remote recipients NAME --add age1…',
      details: { key, location: remote.location },
    },
  );
}
