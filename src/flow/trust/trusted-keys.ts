import { MstoreError } from '../../base/errors.ts';
import type { SignerKey } from '../../registry/trust-rules.ts';
import type { Trust } from '../../signing/check.ts';
import { readPublicKey } from '../../signing/keys.ts';
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
  const trusted = keys.map((key) => trustOf({ key }, cwd));
  if (trusted.length > 0) return trusted;
  throw new MstoreError('usage', 'Nobody is named whose signature counts', {
    hint: 'Write --key FILE with the public key of the signer',
  });
}

/**
 * Reads a way by which somebody signs.
 * @param folder absolute folder that files start from
 * @throws MstoreError `bad-key`, `not-found`
 */
export function trustOf({ key = '' }: SignerKey, folder: string): Trust {
  const isText = key.includes('-----BEGIN ');
  const read = isText
    ? readPublicKey(key, 'a key of the rules of trust')
    : readPublicKeyFile(key, folder);
  return { kind: 'key', key: read };
}
