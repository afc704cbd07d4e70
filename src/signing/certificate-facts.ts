import type { ASN1Obj } from '@sigstore/core';

/** What a certificate says of its use, beyond names, times and keys. */
export interface Extensions {
  /** Whether it was signed by SHA-2 with a key on a curve, of RSA (PKCS #1 1.5), or Ed25519. */
  readonly isSignedSoundly: boolean;
  readonly isAuthority: boolean;
  /** How many authorities may stand between it and a signer. */
  readonly pathLength: number | undefined;
  /** Undefined where it does not say. */
  readonly usage: { readonly digitalSignature: boolean; readonly keyCertSign: boolean } | undefined;
  readonly purposes: { readonly codeSigning: boolean } | undefined;
  /** The number of an extension that must be understood, and is not. */
  readonly unknown: string | undefined;
}

/** A certificate as its bytes say it. */
export interface CertificateFacts {
  readonly extensions: Extensions;
  readonly notBefore: Date;
  readonly notAfter: Date;
}

// Object identifiers by their bytes (X.690), which are one for each, whatever a reader makes of large numbers.
const keyUsage = '551d0f';
const basicConstraints = '551d13';
const nameConstraints = '551d1e';
const extendedKeyUsage = '551d25';
/** Extensions that may be critical: those above; names, key identifiers, policies and places of revocation lists too. */
const known = new Set([
  ...[keyUsage, basicConstraints, extendedKeyUsage],
  ...['551d0e', '551d11', '551d12', '551d1f', '551d20', '551d23'],
]);
/** Signing of code, and any purpose. */
const codeSigning = new Set(['2b06010505070303', '551d2500']);
const soundSignatures = new Set([
  // ECDSA with SHA-256, SHA-384 and SHA-512.
  ...['2a8648ce3d040302', '2a8648ce3d040303', '2a8648ce3d040304'],
  // RSA, PKCS #1 1.5, with the same.
  ...['2a864886f70d01010b', '2a864886f70d01010c', '2a864886f70d01010d'],
  // Ed25519.
  '2b6570',
]);

/**
 * Reads what Node does not tell of a certificate.
 * @param der as OpenSSL read it
 * @throws whatever the parser throws, where it cannot be read
 */
export async function certificateFacts(der: Buffer): Promise<CertificateFacts> {
  const { X509Certificate } = await import('./sigstore-sdk.ts');
  const certificate = X509Certificate.parse(Buffer.from(der));
  const [version, , signature] = certificate.tbsCertificate.subs;
  if (version?.tag.isContextSpecific(0) !== true || certificate.version !== 'v3') {
    throw new Error('it is no certificate of X.509 version 3');
  }
  const values = new Map<string, ASN1Obj | undefined>();
  let unknown: string | undefined;
  for (const { subs } of certificate.extensions) {
    const oid = oidOf(subs[0]);
    if (values.has(oid)) throw new Error('it has one extension twice');
    values.set(oid, subs.at(-1)?.subs[0]);
    // Of three parts the second says that it is critical. Constraints of names bind, even where it does not.
    if (oid === nameConstraints || (subs.length > 2 && !known.has(oid)))
      unknown ??= subs[0]?.toOID();
  }
  const bits = values.get(keyUsage)?.toBitString();
  const constraints = values.get(basicConstraints)?.subs;
  const purposes = values.get(extendedKeyUsage)?.subs;
  const { notBefore, notAfter } = certificate;
  return {
    extensions: {
      isSignedSoundly: soundSignatures.has(oidOf(signature?.subs[0])),
      isAuthority: constraints?.[0]?.toBoolean() ?? false,
      pathLength: constraints?.[1] && Number(constraints[1].toInteger()),
      usage: bits && { digitalSignature: bits[0] === 1, keyCertSign: bits[5] === 1 },
      purposes: purposes && { codeSigning: purposes.some((one) => codeSigning.has(oidOf(one))) },
      unknown,
    },
    notBefore,
    notAfter,
  };
}

function oidOf(value: ASN1Obj | undefined): string {
  if (value?.tag.isOID() !== true) throw new Error('an object identifier is missing');
  return value.value.toString('hex');
}
