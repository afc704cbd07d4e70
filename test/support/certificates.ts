import 'reflect-metadata';
import { webcrypto } from 'node:crypto';
import * as x509 from '@peculiar/x509';

x509.cryptoProvider.set(webcrypto);

/** A certificate with the key that goes with it. */
export interface Made {
  readonly certificate: x509.X509Certificate;
  readonly keys: webcrypto.CryptoKeyPair;
  readonly der: Buffer;
  readonly pem: string;
}

/** What a certificate is to say; an authority without more of it says all that it should. */
export interface Wanted {
  readonly name: string;
  /** Who signs it; itself by default. */
  readonly by?: Made;
  /** What it calls who signs it, where that is a lie. */
  readonly issuerName?: string;
  readonly key?: webcrypto.Algorithm &
    Partial<webcrypto.EcKeyGenParams & webcrypto.RsaHashedKeyGenParams>;
  readonly signing?: webcrypto.Algorithm & { readonly hash: string };
  readonly from?: Date;
  readonly to?: Date;
  readonly extensions?: readonly x509.Extension[];
}

/** P-256, unless a certificate wants another key. */
export const p256 = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;

/** The time at which all certificates of the tests are valid. */
export const day = (text: string): Date => new Date(`${text}T00:00:00Z`);

/** Extensions of an authority. */
export function authority(pathLength?: number): x509.Extension[] {
  return [
    new x509.BasicConstraintsExtension(true, pathLength, true),
    new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
  ];
}

/** Extensions of somebody who signs. */
export function signer(): x509.Extension[] {
  return [
    new x509.BasicConstraintsExtension(false, undefined, true),
    new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
    new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.codeSigning]),
    new x509.SubjectAlternativeNameExtension([{ type: 'email', value: 'ann@example.com' }]),
  ];
}

/** Makes a certificate. */
export async function certificate(wanted: Wanted): Promise<Made> {
  const { name, by, key = p256, from = day('2026-01-01'), to = day('2036-01-01') } = wanted;
  const keys = (await webcrypto.subtle.generateKey(key, true, [
    'sign',
    'verify',
  ])) as webcrypto.CryptoKeyPair;
  const made = await x509.X509CertificateGenerator.create({
    subject: `CN=${name}`,
    issuer: `CN=${wanted.issuerName ?? by?.certificate.subjectName.getField('CN')[0] ?? name}`,
    notBefore: from,
    notAfter: to,
    publicKey: keys.publicKey,
    signingKey: (by?.keys ?? keys).privateKey,
    signingAlgorithm: wanted.signing ?? { name: 'ECDSA', hash: 'SHA-256' },
    extensions: [...(wanted.extensions ?? authority())],
  });
  return {
    certificate: made,
    keys,
    der: Buffer.from(made.rawData),
    pem: `${made.toString('pem')}\n`,
  };
}

export { x509 };

/** Writes the private key of a certificate in PEM. */
export async function privatePem({ keys }: Made): Promise<string> {
  const der = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey));
  const lines = der.toString('base64').replace(/.{64}(?=.)/g, '$&\n');
  return `-----BEGIN PRIVATE KEY-----\n${lines}\n-----END PRIVATE KEY-----\n`;
}
