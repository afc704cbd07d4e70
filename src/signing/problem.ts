import { MstoreError } from '../base/errors.ts';
import { printable } from '../base/names.ts';

/**
 * Makes the error of a signature that cannot be used: damaged, of another key, or of other files.
 * @param where names the signature: a file, or the key of an object
 */
export function badSignature(where: string, what: string, cause?: unknown): MstoreError {
  return new MstoreError('bad-signature', `${printable(where)} proves nothing: ${what}`, {
    hint: 'Have the version signed again by somebody you trust, or look who changed it',
    details: { path: where },
    ...(cause === undefined ? {} : { cause }),
  });
}

/** Makes the error of a key, or of a certificate, that cannot be used. */
export function badKey(where: string, what: string, hint: string, cause?: unknown): MstoreError {
  return new MstoreError('bad-key', `${printable(where)} cannot be used as a key: ${what}`, {
    hint,
    details: { path: where },
    ...(cause === undefined ? {} : { cause }),
  });
}
