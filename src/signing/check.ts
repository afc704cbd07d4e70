import { X509Certificate } from 'node:crypto';
import type { Digest } from '../base/digest.ts';
import { printable } from '../base/names.ts';
import { type Bundle, keysFor } from './bundle.ts';
import { verifyCertificateChain } from './certificate.ts';
import { preAuthEncoding } from './dsse.ts';
import { isOldStatement, oldPreAuthEncoding } from './foreign.ts';
import { isSignatureOf, type PublicKey, publicKeyOf } from './keys.ts';
import { type SigstoreTrust, verifySigstore } from './sigstore.ts';

/** Whom a signature may be of. */
export type Trust =
  | { readonly kind: 'key'; readonly key: PublicKey }
  /** Everybody to whom certificates lead from these roots; with an identity, that one alone. */
  | {
      readonly kind: 'authority';
      readonly certificates: readonly X509Certificate[];
      readonly identity?: string | undefined;
    }
  /** Somebody with an account. */
  | ({ readonly kind: 'identity' } & SigstoreTrust);

/** Who made a signature, as far as it is proven. */
export interface SignedBy {
  /** The fingerprint of the key, or the identity of a certificate. */
  readonly who: string;
  /** Fingerprint of the key that it was made with. */
  readonly key: Digest;
  /** Who vouched for an identity: the URL of its provider. */
  readonly issuer?: string;
  /** When it was made, where a log proves it. */
  readonly logged?: Date;
}

/** What {@link checkSignature} found: who signed, or why it counts for nothing, as a clause. */
export type SignatureCheck = SignedBy | { readonly problem: string };

/** Checks that a bundle was signed by one of those who are trusted. What it says is another question. */
export async function checkSignature(
  bundle: Bundle,
  trusted: readonly Trust[],
): Promise<SignatureCheck> {
  const { kind } = bundle.material;
  if (kind === 'key') return checkKey(bundle, trusted);
  const wanted = kind === 'certificates' ? 'authority' : 'identity';
  let problem =
    kind === 'certificates'
      ? 'it is of a certificate, and none is trusted'
      : 'it is a signature of Sigstore, and no identity is trusted';
  for (const trust of trusted) {
    if (trust.kind !== wanted) continue;
    const checked = await (trust.kind === 'authority'
      ? checkCertificates(bundle, trust)
      : checkIdentity(bundle, trust));
    if (!('problem' in checked)) return checked;
    problem = checked.problem;
  }
  return { problem };
}

const forged = 'its signature does not fit what it says: it was damaged or forged';

function checkKey(bundle: Bundle, trusted: readonly Trust[]): SignatureCheck {
  const { material } = bundle;
  const keys = trusted.flatMap((trust) => (trust.kind === 'key' ? [trust.key] : []));
  const asked = keysFor(bundle, keys);
  const key = asked.find((one) => isSigned(bundle, one, one));
  if (key !== undefined) return { who: key.fingerprint, key: key.fingerprint };
  if (asked.length > 0 || material.kind !== 'key') return { problem: forged };
  return { problem: `it is of another key (${material.hint?.slice(0, 12) ?? 'without a name'})` };
}

async function checkCertificates(
  bundle: Bundle,
  { certificates, identity }: Extract<Trust, { readonly kind: 'authority' }>,
): Promise<SignatureCheck> {
  const { material, where } = bundle;
  const chain = material.kind === 'certificates' ? material.chain : [];
  const owner = await verifyCertificateChain(chain, certificates, where);
  if ('problem' in owner) return owner;
  const { publicKey: key, names, subject } = owner;
  // Release 0.2 signed by SHA-256 with certificates, whatever the curve.
  if (!isSigned(bundle, key, { key: key.key, curve: 'p256' })) return { problem: forged };
  const who = [subject, ...names].join(', ');
  // Names are shown with their kind before them: email:ann@example.com.
  const known = [subject, ...names.map((name) => name.slice(name.indexOf(':') + 1))];
  if (identity === undefined || known.includes(identity)) return { who, key: key.fingerprint };
  return { problem: `it was signed by ${printable(who)}, and not by ${printable(identity)}` };
}

async function checkIdentity(bundle: Bundle, trust: SigstoreTrust): Promise<SignatureCheck> {
  const signer = await verifySigstore(bundle, trust);
  if ('problem' in signer) return signer;
  const { identity, issuer, at, certificate } = signer;
  const key = publicKeyOf(new X509Certificate(certificate).publicKey, bundle.where);
  return { who: identity, key: key.fingerprint, issuer, logged: at };
}

/** Checks the signature of a key; that of release 0.2 is made in another way, by the hash of the curve that `old` names. */
function isSigned(bundle: Bundle, key: PublicKey, old: Pick<PublicKey, 'key' | 'curve'>): boolean {
  const { payload, signature } = bundle;
  if (isSignatureOf(preAuthEncoding(payload), signature, key)) return true;
  return isOldStatement(bundle) && isSignatureOf(oldPreAuthEncoding(payload), signature, old);
}
