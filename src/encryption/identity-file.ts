import * as fs from 'node:fs';
import { fromSystemError, MstoreError } from '../base/errors.ts';
import { writeAtomically } from '../base/files.ts';
import { limits } from '../base/limits.ts';
import { printable } from '../base/names.ts';
import { drawIdentity, recipientOf } from './age.ts';

/** Identities of one file. */
const identitiesMax = 32;

/**
 * Reads a file of identities as `age-keygen` writes it: a secret key on each line, comments behind `#`.
 * No part of what it holds is ever in an error.
 * @throws MstoreError `bad-input` for a file that is none, and the errors of reading it
 */
export async function readIdentityFile(file: string): Promise<string[]> {
  let bytes: Buffer;
  try {
    const stats = fs.statSync(file);
    const isTooLarge = stats.size > limits.identityFileBytesMax;
    if (!stats.isFile() || isTooLarge) throw badIdentity(file, 'it is no small file');
    bytes = fs.readFileSync(file);
  } catch (error) {
    throw error instanceof MstoreError
      ? error
      : fromSystemError(error, `reading ${printable(file)}`);
  }
  return parseIdentities(bytes, file);
}

/**
 * Reads the bytes of such a file.
 * @throws MstoreError `bad-input`
 */
export async function parseIdentities(bytes: Uint8Array, file: string): Promise<string[]> {
  if (bytes.length > limits.identityFileBytesMax) throw badIdentity(file, 'it is no small file');
  const lines = Buffer.from(bytes).toString('latin1').split(/\r?\n/);
  const secrets = lines.map((line) => line.trim()).filter((line) => /^[^#]/.test(line));
  if (secrets[0]?.startsWith('age-encryption.org/') || secrets[0]?.startsWith('-----BEGIN AGE')) {
    throw badIdentity(file, 'it is encrypted itself');
  }
  if (secrets.length === 0) throw badIdentity(file, 'it holds no identity');
  if (secrets.length > identitiesMax) {
    throw badIdentity(file, `it holds more than ${identitiesMax} lines`);
  }
  for (const secret of secrets) {
    if ((await recipientOf(secret)) === undefined) {
      throw badIdentity(
        file,
        `line ${lines.findIndex((line) => line.trim() === secret) + 1} is none`,
      );
    }
  }
  return secrets;
}

/**
 * Makes an identity and keeps it in a new file, which its owner alone can read. A file that is there stays as it is.
 * @returns the recipient: what others wrap to
 * @throws MstoreError `destination-exists`, and the errors of writing it
 */
export async function makeIdentityFile(file: string, created: Date): Promise<string> {
  const { secret, recipient } = await drawIdentity();
  const text = `# created: ${created.toISOString()}\n# public key: ${recipient}\n${secret}\n`;
  if (!writeAtomically(file, text, { ifAbsent: true, mode: 0o600 })) {
    throw new MstoreError('destination-exists', `${printable(file)} is there already`, {
      hint: 'Name another file: what is encrypted to an identity cannot be read without it',
      details: { path: file },
    });
  }
  return recipient;
}

function badIdentity(file: string, what: string): MstoreError {
  return new MstoreError('bad-input', `${printable(file)} is no file of age identities: ${what}`, {
    hint: 'Make one with "mstore keygen FILE --type age"; one that is encrypted is decrypted first: age -d FILE',
    details: { path: file },
  });
}
