import { MstoreError } from '../base/errors.ts';
import { printable } from '../base/names.ts';

/** The work of scrypt that a passphrase is stretched by, as the logarithm to base 2: some second, and 256 MiB. */
const scryptWorkDefault = 18;
/** The most that is accepted: whoever writes to a remote chooses it, and whoever opens it does the work. */
const scryptWorkMax = 18;

/** Whom the key of a remote is wrapped to: the public key of an age identity, or a passphrase. */
export type Recipient =
  | { readonly kind: 'age'; readonly key: string }
  | { readonly kind: 'passphrase'; readonly passphrase: string; readonly work?: number };

/** What unwraps keys: secret keys of age, and a passphrase. */
export interface Secrets {
  readonly identities: readonly string[];
  readonly passphrase?: string | undefined;
  /** Names where they come from, for errors. */
  readonly from: string;
}

const recipientPattern = /^age1[02-9ac-hj-np-z]{58}$/;
const identityPattern = /^AGE-SECRET-KEY-1[02-9AC-HJ-NP-Z]{58}$/;

/**
 * Checks the public key of an age identity.
 * @throws MstoreError `usage`
 */
export async function checkRecipient(key: string): Promise<void> {
  try {
    if (!recipientPattern.test(key)) throw new Error('its form');
    const { Encrypter } = await import('./age-sdk.ts');
    new Encrypter().addRecipient(key);
  } catch (cause) {
    const isSecret = /^AGE-SECRET-KEY-/i.test(key.trim());
    const shown = isSecret ? 'A secret key' : printable(key.slice(0, 100));
    throw new MstoreError('usage', `${shown} is no recipient of age`, {
      hint: isSecret
        ? 'Name the public key, age1…, which stands in the file of the identity; the secret one stays with you'
        : 'Write a public key as "age-keygen" prints it: age1 and 58 letters and digits',
      cause,
    });
  }
}

/** Wraps bytes to a recipient: a file of age. */
export async function wrapKey(bytes: Uint8Array, recipient: Recipient): Promise<Buffer> {
  const { Encrypter } = await import('./age-sdk.ts');
  const encrypter = new Encrypter();
  if (recipient.kind === 'age') {
    encrypter.addRecipient(recipient.key);
  } else {
    encrypter.setPassphrase(recipient.passphrase);
    encrypter.setScryptWorkFactor(recipient.work ?? scryptWorkDefault);
  }
  return Buffer.from(await encrypter.encrypt(bytes));
}

/** Unwraps what was wrapped to one of these; undefined where none of them opens it, or it is damaged. */
export async function unwrapKey(
  file: Uint8Array,
  { identities, passphrase }: Pick<Secrets, 'identities' | 'passphrase'>,
): Promise<Buffer | undefined> {
  const { Decrypter } = await import('./age-sdk.ts');
  const decrypter = new Decrypter();
  for (const identity of identities) decrypter.addIdentity(identity);
  if (passphrase !== undefined) decrypter.addPassphrase(passphrase);
  try {
    return Buffer.from(await decrypter.decrypt(file));
  } catch {
    return undefined;
  }
}

/** Tells whether a file of age asks for more work of a passphrase than is done for it. */
export function asksTooMuchWork(file: Uint8Array): boolean {
  const head = Buffer.from(file.buffer, file.byteOffset, Math.min(file.length, 1024));
  const work = /^-> scrypt \S+ (\S+)$/m.exec(head.toString('latin1'))?.[1];
  return work !== undefined && !(/^\d{1,2}$/.test(work) && Number(work) <= scryptWorkMax);
}

/** An identity of age: what is kept secret, and what others wrap to. */
export interface AgeIdentity {
  readonly secret: string;
  readonly recipient: string;
}

/** Draws an identity. */
export async function drawIdentity(): Promise<AgeIdentity> {
  const { generateX25519Identity, identityToRecipient } = await import('./age-sdk.ts');
  const secret = await generateX25519Identity();
  return { secret, recipient: await identityToRecipient(secret) };
}

/** The public key of an identity; undefined for a text that is none. */
export async function recipientOf(secret: string): Promise<string | undefined> {
  if (!identityPattern.test(secret)) return undefined;
  const { identityToRecipient } = await import('./age-sdk.ts');
  try {
    return await identityToRecipient(secret);
  } catch {
    return undefined;
  }
}
