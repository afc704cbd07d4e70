import type { MstoreError } from '../base/errors.ts';
import { isJsonObject, type JsonObject, parseJsonBytes } from '../base/json.ts';
import { printable } from '../base/names.ts';
import type { Bundle } from './bundle.ts';
import { certificateFacts } from './certificate-facts.ts';
import { badKey, badSignature } from './problem.ts';

/** The document that names authorities and logs, as it was read; {@link verifySigstore} looks into it. */
export interface TrustedRootFile {
  readonly json: JsonObject;
  /** Names it in errors. */
  readonly where: string;
}

/** Whom to trust, of those who sign with an account in place of a key. */
export interface SigstoreTrust {
  readonly root: TrustedRootFile;
  /** As the certificate has it: an address of mail, or a URI; see {@link identityProblem} for its end. */
  readonly identity: string;
  /** URL of who vouched for the identity. */
  readonly issuer: string;
}

/** Who signed, as an authority and a log say. */
export interface SigstoreSigner {
  readonly identity: string;
  readonly issuer: string;
  /** When, by the log or a timestamp. */
  readonly at: Date;
  /** The certificate in DER; it was valid for some minutes. */
  readonly certificate: Buffer;
}

/**
 * Reads the document that names authorities and logs of Sigstore, `trusted_root.json`, or one that holds it.
 * @param where names it in errors
 * @throws MstoreError `bad-key`
 */
export function readTrustedRoot(bytes: Buffer, where: string): TrustedRootFile {
  let value: unknown;
  try {
    value = parseJsonBytes(bytes);
  } catch (error) {
    throw badRoot(where, 'it is not UTF-8 JSON', error);
  }
  // The configuration of clients holds it, beside what is needed to sign.
  const json = isJsonObject(value) ? (value['trustedRoot'] ?? value) : value;
  if (!isJsonObject(json) || !Array.isArray(json['certificateAuthorities'])) {
    throw badRoot(where, 'it names no authorities of Sigstore');
  }
  return { json, where };
}

function badRoot(where: string, what: string, cause?: unknown): MstoreError {
  const hint =
    'Name a trusted_root.json of Sigstore: "cosign trusted-root create" makes one, and cosign keeps the public one below ~/.sigstore';
  return badKey(where, what, hint, cause);
}

/** Says why a text names nobody in particular, or undefined. */
export function identityProblem(identity: string): string | undefined {
  const star = identity.indexOf('*');
  if (star === -1) return identity === '' ? 'is empty' : undefined;
  // In a URI of a workflow what follows the @ is a branch or a tag.
  const isWorkflow = /^https:\/\/[^/*]+\/[^*]+@[^*]*\*$/.test(identity);
  return isWorkflow ? undefined : 'has a * in another place than at the end of a URI, behind an @';
}

/**
 * Checks a bundle that was signed with an account: the certificate by the authority, its entry in a log, the signature,
 * and who it was. The network is not asked.
 * @returns who it was; or why it counts for nothing, as a clause
 * @throws MstoreError `bad-signature` for a bundle that is not whole
 */
export async function verifySigstore(
  bundle: Bundle,
  trust: SigstoreTrust,
): Promise<SigstoreSigner | { readonly problem: string }> {
  const { where } = bundle;
  const { bundleFromJSON, toSignedEntity, Verifier } = await import('./sigstore-sdk.ts');
  const { material, ctlogs } = await trustMaterial(trust.root);
  let entity: Entity;
  let certificate: Buffer;
  try {
    const parsed = bundleFromJSON(bundle.json);
    const { content } = parsed.verificationMaterial;
    if (content.$case !== 'certificate') throw new Error('it holds no certificate');
    certificate = content.certificate.rawBytes;
    entity = toSignedEntity(parsed);
  } catch (error) {
    const reason = error instanceof Error ? printable(error.message) : '';
    throw badSignature(where, `it is no whole bundle of Sigstore: ${reason}`, error);
  }
  let signer: Signer;
  try {
    // A trusted root that names no log of certificates is of an authority that keeps none.
    signer = new Verifier(material, { ctlogThreshold: Math.min(ctlogs, 1) }).verify(entity);
  } catch (error) {
    return { problem: reasonOf(error) };
  }
  const { extensions } = await certificateFacts(certificate);
  if (extensions.purposes?.codeSigning !== true) {
    return { problem: 'its certificate is for other purposes than signing code' };
  }
  const identity = signer.identity?.subjectAlternativeName ?? '';
  const issuer = signer.identity?.extensions?.issuer ?? '';
  if (!isIdentity(identity, trust.identity) || issuer !== trust.issuer) {
    const signed = `${printable(identity)}, for whom ${printable(issuer)} vouched`;
    const wanted = `${printable(trust.identity)}, for whom ${printable(trust.issuer)} vouches`;
    return { problem: `it was signed by ${signed}, and not by ${wanted}` };
  }
  return { identity, issuer, at: signedAt(entity), certificate };
}

type Sdk = typeof import('./sigstore-sdk.ts');
type Entity = ReturnType<Sdk['toSignedEntity']>;
type Signer = ReturnType<InstanceType<Sdk['Verifier']>['verify']>;

async function trustMaterial({ json, where }: TrustedRootFile): Promise<{
  readonly material: ReturnType<Sdk['toTrustMaterial']>;
  readonly ctlogs: number;
}> {
  const { toTrustMaterial, TrustedRoot } = await import('./sigstore-sdk.ts');
  try {
    const root = TrustedRoot.fromJSON(json);
    return { material: toTrustMaterial(root), ctlogs: root.ctlogs.length };
  } catch (error) {
    throw badRoot(where, 'an authority or a log in it cannot be read', error);
  }
}

function isIdentity(identity: string, wanted: string): boolean {
  if (!wanted.endsWith('*')) return identity === wanted;
  return identityProblem(wanted) === undefined && identity.startsWith(wanted.slice(0, -1));
}

function signedAt({ timestamps }: Entity): Date {
  const [first] = timestamps;
  if (first?.$case === 'timestamp-authority') return first.timestamp.signingTime;
  return new Date(Number(first?.tlogEntry.integratedTime) * 1000);
}

/** What is wrong, by the codes of the package that checks. */
const reasons: Readonly<Record<string, string>> = {
  TIMESTAMP_ERROR: 'no log and no timestamp that is trusted says when it was signed',
  CERTIFICATE_ERROR:
    'its certificate is of no authority that is trusted, or was not valid when it was signed',
  TLOG_ERROR: 'no entry of a log goes with it',
  TLOG_MISSING_INCLUSION_ERROR: 'nothing proves that a log has its entry',
  TLOG_INCLUSION_PROOF_ERROR: 'no log that is trusted has its entry',
  TLOG_INCLUSION_PROMISE_ERROR: 'no log that is trusted promised its entry',
  TLOG_BODY_ERROR: 'the entry of the log is of another signature',
  SIGNATURE_ERROR: 'its signature does not fit what it says: it was damaged or forged',
};

function reasonOf(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  return reasons[code] ?? 'what it holds cannot be checked';
}
