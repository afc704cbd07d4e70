import type { Digest } from '../base/digest.ts';
import { type Bundle, keysFor } from './bundle.ts';
import { preAuthEncoding } from './dsse.ts';
import { isSignatureOf, type PublicKey } from './keys.ts';

/** Whom a signature may be of. */
export type Trust = { readonly kind: 'key'; readonly key: PublicKey };

/** Who made a signature, as far as it is proven. */
export interface SignedBy {
  /** The fingerprint of the key, or the identity of a certificate. */
  readonly who: string;
  /** Fingerprint of the key that it was made with. */
  readonly key: Digest;
}

/** What {@link checkSignature} found: who signed, or why it counts for nothing, as a clause. */
export type SignatureCheck = SignedBy | { readonly problem: string };

/** Checks that a bundle was signed by one of those who are trusted. What it says is another question. */
export async function checkSignature(
  bundle: Bundle,
  trusted: readonly Trust[],
): Promise<SignatureCheck> {
  const { material } = bundle;
  const keys = trusted.flatMap((trust) => (trust.kind === 'key' ? [trust.key] : []));
  if (material.kind === 'key') {
    const asked = keysFor(bundle, keys);
    const message = preAuthEncoding(bundle.payload);
    const key = asked.find((one) => isSignatureOf(message, bundle.signature, one));
    if (key !== undefined) return { who: key.fingerprint, key: key.fingerprint };
    return {
      problem:
        asked.length === 0
          ? `it is of another key (${material.hint?.slice(0, 12) ?? 'without a name'})`
          : 'its signature does not fit what it says: it was damaged or forged',
    };
  }
  return {
    problem:
      material.kind === 'certificates'
        ? 'it is of a certificate, and none is trusted'
        : 'it is a signature of Sigstore, and no identity is trusted',
  };
}
