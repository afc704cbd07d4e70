import { MstoreError } from '../base/errors.ts';
import { isJsonObject, type JsonObject, parseJsonBytes } from '../base/json.ts';
import { limits } from '../base/limits.ts';
import { printable } from '../base/names.ts';
import { preAuthEncoding, statementType } from './dsse.ts';
import type { PublicKey, Signer } from './keys.ts';
import { badSignature } from './problem.ts';

/** Form 0.3 of Sigstore's bundles, the one that releases of OpenSSF Model Signing write and read. */
const mediaType = 'application/vnd.dev.sigstore.bundle.v0.3+json';

/** What a bundle says of who signed. Nothing of it is trusted: it says what to compare with what is. */
export type Material =
  /** A key that the reader has; `hint` is the fingerprint of it. */
  | { readonly kind: 'key'; readonly hint: string | undefined }
  /** Certificates in DER, that of the signer first. */
  | { readonly kind: 'certificates'; readonly chain: readonly Buffer[] }
  /** Sigstore's own way: a certificate of short life and entries of a log. */
  | { readonly kind: 'sigstore' };

/** A bundle as it was read: a statement in an envelope with one signature. */
export interface Bundle {
  /** The bytes of the statement, as they were signed. */
  readonly payload: Buffer;
  /** In DER. */
  readonly signature: Buffer;
  readonly material: Material;
  /** The document, for those who check other parts of it. */
  readonly json: JsonObject;
  /** Names it in errors. */
  readonly where: string;
}

/** Somebody with an account, for whom each signature has a key of its own. */
export interface AccountSigner {
  /** Makes a bundle of a statement. */
  bundle(payload: Buffer): Promise<JsonObject>;
}

/** Signs a statement, and makes a bundle of it. */
export async function signBundle(
  payload: Buffer,
  signer: Signer | AccountSigner,
): Promise<JsonObject> {
  if ('bundle' in signer) return signer.bundle(payload);
  const signature = await signer.sign(preAuthEncoding(payload));
  const certificates = signer.certificates?.map((der) => ({ rawBytes: der.toString('base64') }));
  return bundleOf(
    payload,
    signature,
    certificates === undefined
      ? { publicKey: { hint: signer.publicKey.fingerprint } }
      : { x509CertificateChain: { certificates } },
  );
}

/** Makes a bundle of a statement and its signature. */
export function bundleOf(payload: Buffer, signature: Buffer, material: JsonObject): JsonObject {
  return {
    mediaType,
    verificationMaterial: { ...material, tlogEntries: [] },
    dsseEnvelope: {
      payload: payload.toString('base64'),
      payloadType: statementType,
      signatures: [{ sig: signature.toString('base64'), keyid: '' }],
    },
  };
}

/** The bytes of a bundle. */
export function formatBundle(bundle: JsonObject): Buffer {
  return Buffer.from(`${JSON.stringify(bundle)}\n`);
}

/**
 * Parses a bundle; nothing of it is checked but its form.
 * @param where names it in errors
 * @throws MstoreError `bad-signature`, `too-large`
 */
export function parseBundle(bytes: Uint8Array, where: string): Bundle {
  if (bytes.length > limits.signatureBytesMax) throw tooLargeBundle(where);
  let json: unknown;
  try {
    json = parseJsonBytes(bytes);
  } catch (error) {
    throw badSignature(where, 'it is not UTF-8 JSON', error);
  }
  return bundleIn(json, where);
}

/** The same for a document that stands in another one. */
export function bundleIn(json: unknown, where: string): Bundle {
  const problem = (what: string) => badSignature(where, what);
  if (!isJsonObject(json)) throw problem('it is not a JSON object');
  const given = json['mediaType'];
  if (given !== mediaType) {
    throw problem(
      `it is no bundle that is known here: its mediaType is ${typeof given === 'string' ? printable(given.slice(0, 80)) : 'missing'}`,
    );
  }
  const envelope = json['dsseEnvelope'];
  if (!isJsonObject(envelope)) throw problem('it holds no statement, but a bare signature');
  if (envelope['payloadType'] !== statementType) throw problem('it is of no statement of in-toto');
  const signatures = envelope['signatures'];
  const one = Array.isArray(signatures) && signatures.length === 1 ? signatures[0] : undefined;
  if (!isJsonObject(one)) throw problem('it has not exactly one signature');
  return {
    payload: base64In(envelope, 'payload', problem),
    signature: base64In(one, 'sig', problem),
    material: materialOf(json['verificationMaterial'], problem),
    json,
    where,
  };
}

/** The error of a bundle that is beyond the bound. */
export function tooLargeBundle(where: string): MstoreError {
  const text = `${printable(where)} is larger than ${limits.signatureBytesMax} bytes`;
  return new MstoreError('too-large', text, {
    hint: 'A signature lists each file: put files that belong together into one',
    details: { path: where },
  });
}

/** Certificates of one bundle at most. */
const chainMax = 10;

function materialOf(value: unknown, problem: (what: string) => MstoreError): Material {
  if (!isJsonObject(value)) throw problem('it does not say who signed');
  const kinds = ['publicKey', 'x509CertificateChain', 'certificate'].filter(
    (key) => value[key] !== undefined && value[key] !== null,
  );
  if (kinds.length !== 1) throw problem('it says in more than one way, or in none, who signed');
  if (kinds[0] === 'certificate') return { kind: 'sigstore' };
  if (kinds[0] === 'publicKey') {
    const key = value['publicKey'];
    if (!isJsonObject(key)) throw problem('its key is no object');
    const hint = key['hint'] ?? undefined;
    if (hint !== undefined && typeof hint !== 'string') throw problem('its hint is no text');
    return { kind: 'key', hint: hint === '' ? undefined : hint };
  }
  const chain = value['x509CertificateChain'];
  const certificates = isJsonObject(chain) ? chain['certificates'] : undefined;
  if (
    !Array.isArray(certificates) ||
    certificates.length === 0 ||
    certificates.length > chainMax ||
    !certificates.every(isJsonObject)
  ) {
    throw problem(`it holds no list of 1 to ${chainMax} certificates`);
  }
  return {
    kind: 'certificates',
    chain: certificates.map((one) => base64In(one, 'rawBytes', problem)),
  };
}

function base64In(value: JsonObject, key: string, problem: (what: string) => MstoreError): Buffer {
  const text = value[key];
  // Both alphabets are read, as readers of Protocol Buffers in JSON do.
  if (typeof text === 'string' && /^[A-Za-z0-9+/_-]+={0,2}$/.test(text)) {
    return Buffer.from(text, 'base64');
  }
  throw problem(`its ${key} is no base64`);
}

/** Tells which key a bundle asks for, in a word for people. */
export function signerHint({ material }: Bundle): string {
  if (material.kind !== 'key') return material.kind;
  return material.hint?.slice(0, 12) ?? 'a key without a name';
}

/** Finds the key that a bundle asks for; each key where it does not say. */
export function keysFor({ material }: Bundle, keys: readonly PublicKey[]): readonly PublicKey[] {
  if (material.kind !== 'key') return [];
  const { hint } = material;
  return hint === undefined ? keys : keys.filter(({ fingerprint }) => fingerprint === hint);
}
