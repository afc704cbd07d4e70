import { MstoreError } from '../../base/errors.ts';
import { printable } from '../../base/names.ts';
import type { SignerKey } from '../../registry/trust-rules.ts';
import { readCertificates } from '../../signing/certificate.ts';
import type { Trust } from '../../signing/check.ts';
import { readPublicKey } from '../../signing/keys.ts';
import { identityProblem, readTrustedRoot } from '../../signing/sigstore.ts';
import { readCertificateFiles } from './certificates.ts';
import { readKeyFile, readPublicKeyFile } from './signing-key.ts';

/** Whom options name as trusted. */
export interface TrustOptions {
  /** Files of public keys in PEM. */
  readonly keys: readonly string[];
  /** Files of certificates in PEM, roots among them. */
  readonly certificates?: readonly string[];
  /** Who a certificate has to be of, or somebody with an account. */
  readonly identity?: string | undefined;
  /** URL of who vouches for an account. */
  readonly issuer?: string | undefined;
  /** File that names authorities and logs of Sigstore. */
  readonly trustRoot?: string | undefined;
}

/** One way by which somebody signs. */
type TrustWay = {
  readonly [K in Exclude<keyof SignerKey, 'from' | 'until' | 'revoked'>]?: string | undefined;
};

/**
 * Reads those who are trusted.
 * @param cwd absolute folder that files start from
 * @throws MstoreError `usage` where nobody is named, `bad-key`, `not-found`
 */
export function trustedBy(options: TrustOptions, cwd: string): Trust[] {
  const { keys, certificates = [], identity, issuer, trustRoot } = options;
  const account = { identity, issuer, trustRoot };
  const isAccount = (issuer ?? trustRoot) !== undefined;
  if (isAccount ? Object.values(account).includes(undefined) : identity && !certificates.length) {
    throw new MstoreError('usage', 'An identity needs who vouches for it, and whom to believe', {
      hint: 'Write --identity NAME --issuer URL --trust-root FILE, or --identity NAME --certificate-chain FILE',
    });
  }
  const who = isAccount ? {} : { identity };
  const ways: TrustWay[] = [
    ...keys.map((key) => ({ key })),
    ...certificates.map((certificateChain) => ({ certificateChain, ...who })),
    ...(isAccount ? [account] : []),
  ];
  const trusted = joined(ways.map((way) => trustOf(way, cwd)));
  if (trusted.length > 0) return trusted;
  throw new MstoreError('usage', 'Nobody is named whose signature counts', {
    hint: 'Write --key FILE with the public key of the signer, --certificate-chain FILE with a root, or --identity',
  });
}

/** Puts certificates of several files together, as one may lead to another. */
function joined(trusted: readonly Trust[]): Trust[] {
  const authorities = trusted.filter((trust) => trust.kind === 'authority');
  const [first] = authorities;
  if (first === undefined) return [...trusted];
  const certificates = authorities.flatMap((trust) => trust.certificates);
  const others = trusted.filter(({ kind }) => kind !== 'authority');
  return [...others, { ...first, certificates }];
}

/**
 * Reads a way by which somebody signs.
 * @param folder absolute folder that files start from
 * @throws MstoreError `bad-key`, `not-found`, `usage` for an identity that names nobody in particular
 */
export function trustOf(
  { key = '', certificateChain, identity, issuer, trustRoot }: TrustWay,
  folder: string,
): Trust {
  if (certificateChain !== undefined) {
    const certificates = isPem(certificateChain)
      ? readCertificates(Buffer.from(certificateChain), 'certificates of the rules of trust')
      : readCertificateFiles([certificateChain], folder);
    return { kind: 'authority', certificates, identity };
  }
  if (identity !== undefined && issuer !== undefined && trustRoot !== undefined) {
    const problem = identityProblem(identity);
    if (problem !== undefined) {
      throw new MstoreError('usage', `The identity ${printable(identity)} ${problem}`, {
        hint: 'Write it in full, or end the URI of a workflow with @refs/tags/*',
      });
    }
    const root = readTrustedRoot(readKeyFile(trustRoot, folder), trustRoot);
    return { kind: 'identity', identity, issuer, root };
  }
  const read = isPem(key)
    ? readPublicKey(key, 'a key of the rules of trust')
    : readPublicKeyFile(key, folder);
  return { kind: 'key', key: read };
}

function isPem(text: string): boolean {
  return text.includes('-----BEGIN ');
}
