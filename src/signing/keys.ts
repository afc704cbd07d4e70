import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  sign,
  verify,
} from 'node:crypto';
import { type Digest, sha256 } from '../base/digest.ts';
import { badKey } from './problem.ts';

/** Curves of signing keys, by the names that commands know, as SP 800-186 has them. */
export const curves = ['p256', 'p384', 'p521'] as const;
export type Curve = (typeof curves)[number];

/** OpenSSL's names, and the hash that goes with each curve in OpenSSF Model Signing 1.0. */
const facts: Readonly<Record<Curve, { readonly named: string; readonly hash: string }>> = {
  p256: { named: 'prime256v1', hash: 'sha256' },
  p384: { named: 'secp384r1', hash: 'sha384' },
  p521: { named: 'secp521r1', hash: 'sha512' },
};

/** The key that a signature is checked with. */
export interface PublicKey {
  readonly key: KeyObject;
  readonly curve: Curve;
  /** SubjectPublicKeyInfo in PEM, with a newline at the end, the same for one key wherever it was read. */
  readonly pem: string;
  /** SHA-256 of that text: what bundles call the hint. */
  readonly fingerprint: Digest;
}

/** What makes signatures: a key in memory, or a program that has one. */
export interface Signer {
  readonly publicKey: PublicKey;
  /** Certificates in DER that say whose key it is, that of the key first; signatures hold them in place of the key's name. */
  readonly certificates?: readonly Buffer[];
  /** Signs bytes by ECDSA with the hash of the curve; the signature is in DER. */
  sign(message: Buffer): Promise<Buffer>;
}

/** A pair of keys in PEM. */
export interface KeyPair {
  /** PKCS #8; encrypted where there is a passphrase. */
  readonly privatePem: string;
  readonly publicKey: PublicKey;
}

/**
 * Makes a new pair of keys.
 * @param passphrase encrypts the private one, by AES-256-CBC with a key from PBKDF2 (PKCS #5), which OpenSSL and the
 * libraries of other languages read
 */
export function generateKeyPair(curve: Curve, passphrase?: string): KeyPair {
  const pair = generateKeyPairSync('ec', { namedCurve: facts[curve].named });
  const pem = { type: 'pkcs8', format: 'pem' } as const;
  const options = passphrase === undefined ? pem : { ...pem, cipher: 'aes-256-cbc', passphrase };
  return {
    privatePem: String(pair.privateKey.export(options)),
    publicKey: publicKeyOf(pair.publicKey, 'a new key'),
  };
}

/**
 * Reads a public key in PEM.
 * @param where names it in errors
 * @throws MstoreError `bad-key`
 */
export function readPublicKey(pem: string | Buffer, where: string): PublicKey {
  if (/-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----/.test(String(pem))) {
    const hint = 'Name the file of the public key, which ends in .pub; keep this one to yourself';
    throw badKey(where, 'it is a private key', hint);
  }
  let key: KeyObject;
  try {
    key = createPublicKey(pem);
  } catch (error) {
    throw badKey(where, 'it is no public key in PEM', pemHint, error);
  }
  return publicKeyOf(key, where);
}

/** Checks the kind of a public key. */
export function publicKeyOf(key: KeyObject, where: string): PublicKey {
  const named = key.asymmetricKeyDetails?.namedCurve;
  const curve = curves.find((one) => facts[one].named === named);
  if (key.asymmetricKeyType !== 'ec' || curve === undefined) {
    const kind = [key.asymmetricKeyType, named].filter(Boolean).join(' ');
    throw badKey(
      where,
      `it is a key of another kind (${kind})`,
      'OpenSSF Model Signing takes keys on the curves P-256, P-384 and P-521; "mstore keygen" makes one',
    );
  }
  const pem = String(key.export({ type: 'spki', format: 'pem' }));
  return { key, curve, pem, fingerprint: sha256(pem) };
}

const pemHint = 'Write a file in PEM; "mstore keygen" and "openssl ec -pubout" make such files';

/**
 * Reads a private key in PEM: PKCS #8 or the older form of OpenSSL (SEC 1), either encrypted or not.
 * @param where names it in errors
 * @throws MstoreError `bad-key`
 */
export function readPrivateKey(
  pem: string | Buffer,
  passphrase: string | undefined,
  where: string,
): Signer {
  const text = String(pem);
  const isEncrypted = /-----BEGIN ENCRYPTED PRIVATE KEY-----|^Proc-Type: 4,ENCRYPTED/m.test(text);
  if (isEncrypted && passphrase === undefined) {
    throw badKey(where, 'it is encrypted, and there is no passphrase', passphraseHint);
  }
  let key: KeyObject;
  try {
    key = createPrivateKey({ key: pem, ...(isEncrypted ? { passphrase } : {}) });
  } catch (error) {
    if (isEncrypted) throw badKey(where, 'its passphrase is another one', passphraseHint, error);
    throw badKey(where, 'it is no private key in PEM', pemHint, error);
  }
  const publicKey = publicKeyOf(createPublicKey(key), where);
  const { hash } = facts[publicKey.curve];
  return { publicKey, sign: async (message) => sign(hash, message, key) };
}

const passphraseHint =
  'Put the passphrase into a variable of the environment and name that with --passphrase-env NAME';

/** The hash that goes with a curve, by its name in OpenSSL. */
export function hashOf(curve: Curve): string {
  return facts[curve].hash;
}

/** Tells whether a signature in DER is that of the key over the bytes. */
export function isSignatureOf(
  message: Uint8Array,
  signature: Uint8Array,
  { key, curve }: Pick<PublicKey, 'key' | 'curve'>,
): boolean {
  try {
    return verify(facts[curve].hash, message, { key, dsaEncoding: 'der' }, signature);
  } catch {
    // What is no DER at all is an error of OpenSSL.
    return false;
  }
}

/**
 * Brings what another program calls a signature into DER: DER itself, or the two numbers side by side (IEEE P1363),
 * each as it is, in base64 or in hexadecimal digits.
 * @returns undefined where it is no signature of the key over the bytes in any of these forms
 */
export function foreignSignature(
  given: Buffer,
  message: Uint8Array,
  publicKey: PublicKey,
): Buffer | undefined {
  const text = given.toString('latin1').trim();
  const decoded = [
    given,
    /^[0-9a-fA-F]+$/.test(text) ? Buffer.from(text, 'hex') : undefined,
    /^[A-Za-z0-9+/\s]+={0,2}$/.test(text) ? Buffer.from(text, 'base64') : undefined,
  ].filter((one) => one !== undefined);
  const { hash } = facts[publicKey.curve];
  for (const bytes of decoded) {
    if (isSignatureOf(message, bytes, publicKey)) return bytes;
    const key = { key: publicKey.key, dsaEncoding: 'ieee-p1363' } as const;
    if (verify(hash, message, key, bytes)) return derOf(bytes);
  }
  return undefined;
}

/** Writes two numbers of equal length as a sequence of two integers (X.690). */
function derOf(numbers: Buffer): Buffer {
  const half = numbers.length / 2;
  const integers = [numbers.subarray(0, half), numbers.subarray(half)].map((number) => {
    const start = number.findIndex((byte) => byte !== 0);
    const short = start === -1 ? Buffer.of(0) : number.subarray(start);
    const value = (short[0] as number) >= 0x80 ? Buffer.concat([Buffer.of(0), short]) : short;
    return Buffer.concat([Buffer.of(2, value.length), value]);
  });
  const body = Buffer.concat(integers);
  const length = body.length < 0x80 ? Buffer.of(body.length) : Buffer.of(0x81, body.length);
  return Buffer.concat([Buffer.of(0x30), length, body]);
}
