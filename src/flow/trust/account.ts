import { MstoreError } from '../../base/errors.ts';
import type { AccountSigner } from '../../signing/bundle.ts';
import { publicFulcio, publicRekor, signKeyless } from '../../signing/keyless.ts';
import type { KeyContext } from './signing-key.ts';

/** Variables that say who signs with an account, and by which services. */
const accountVariables = {
  token: 'SIGSTORE_ID_TOKEN',
  fulcio: 'MSTORE_FULCIO_URL',
  rekor: 'MSTORE_REKOR_URL',
} as const;

/** Services of Sigstore that are not the public ones. */
export interface AccountPlaces {
  readonly fulcio?: string | undefined;
  readonly rekor?: string | undefined;
}

/**
 * Opens the account that the environment holds a token of.
 * @throws MstoreError `offline`, `usage` where there is no token
 */
export function openAccount(
  { fulcio, rekor }: AccountPlaces,
  { surroundings: { env, offline, clock }, signal }: Omit<KeyContext, 'cwd'>,
): AccountSigner {
  if (offline) {
    throw new MstoreError('offline', 'An account cannot sign offline', {
      hint: 'Sign with a key (--key FILE), or leave out --offline and MSTORE_OFFLINE',
    });
  }
  const token = env[accountVariables.token];
  if (token === undefined || token === '') {
    throw new MstoreError('usage', `The variable ${accountVariables.token} holds no token`, {
      hint: 'Put a token of your identity there that its provider made for the audience "sigstore"',
    });
  }
  const account = {
    token,
    fulcio: fulcio ?? (env[accountVariables.fulcio] || publicFulcio),
    rekor: rekor ?? (env[accountVariables.rekor] || publicRekor),
  };
  return { bundle: (payload) => signKeyless(payload, account, { now: clock.now(), signal }) };
}
