import { MstoreError } from '../../base/errors.ts';
import type { Trust } from '../../signing/check.ts';
import { readPublicKeyFile } from './signing-key.ts';

/** Whom options name as trusted. */
export interface TrustOptions {
  /** Files of public keys in PEM. */
  readonly keys: readonly string[];
}

/**
 * Reads those who are trusted.
 * @param cwd absolute folder that files start from
 * @throws MstoreError `usage` where nobody is named, `bad-key`, `not-found`
 */
export function trustedBy({ keys }: TrustOptions, cwd: string): Trust[] {
  const trusted = keys.map((file): Trust => ({ kind: 'key', key: readPublicKeyFile(file, cwd) }));
  if (trusted.length > 0) return trusted;
  throw new MstoreError('usage', 'Nobody is named whose signature counts', {
    hint: 'Write --key FILE with the public key of the signer',
  });
}
