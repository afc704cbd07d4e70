import { X509Certificate } from 'node:crypto';
import { type Digest, sha256 } from '../base/digest.ts';
import { MstoreError } from '../base/errors.ts';
import { printable } from '../base/names.ts';
import { type CertificateFacts, certificateFacts, type Extensions } from './certificate-facts.ts';
import { type PublicKey, publicKeyOf } from './keys.ts';
import { badKey, badSignature } from './problem.ts';

/** Who a certificate says somebody is. */
export interface CertificateOwner {
  readonly publicKey: PublicKey;
  /** Its subject in one line: `CN=…, O=…`. */
  readonly subject: string;
  /** Its other names as OpenSSL shows them: `email:…`, `URI:…`, `DNS:…`. */
  readonly names: readonly string[];
  /** SHA-256 of the certificate in DER. */
  readonly fingerprint: Digest;
  readonly notBefore: Date;
  readonly notAfter: Date;
}

/** Certificates of one file. The bundles of operating systems have some 150. */
const certificatesMax = 1000;
/** One certificate. They have some 2 KiB; a thousand names fit into the bound. */
const certificateBytesMax = 64 * 1024;
/** From the signer's to the root's. */
const pathMax = 8;
/** Signatures that are looked at to find a way to a root, whatever the certificates say of each other. */
const attemptsMax = 200;

/**
 * Reads the certificates of a file: in PEM, any number of them with any text around, or one in DER.
 * @param where names it in errors
 * @throws MstoreError `bad-key`
 */
export function readCertificates(bytes: Buffer, where: string): X509Certificate[] {
  const blocks = bytes
    .toString('latin1')
    .match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g);
  if (blocks !== null && blocks.length > certificatesMax) {
    throw badKey(where, `it holds more than ${certificatesMax} certificates`, fileHint);
  }
  try {
    return (blocks ?? [bytes]).map((one) => new X509Certificate(one));
  } catch (error) {
    throw badKey(where, 'it holds no certificates in PEM, or damaged ones', fileHint, error);
  }
}

const fileHint = 'Name a file of certificates in PEM: -----BEGIN CERTIFICATE-----';

/**
 * Finds a way from the certificate of a signer to one of the roots, as it was when that certificate began: whoever signs
 * with an expired certificate cannot be told from somebody who signed before. Nobody is asked whether one was revoked.
 * @param chain certificates in DER, that of the signer first. Those after it help to find the way, and are trusted for nothing
 * @param trusted roots, which are certificates that their owners signed themselves, and more that help to find the way
 * @param where names the signature in errors
 * @returns whose it is; or why it counts for nothing, as a clause
 * @throws MstoreError `bad-signature` for certificates that cannot be read, `bad-key` where nothing that is trusted is a root
 */
export async function verifyCertificateChain(
  chain: readonly Buffer[],
  trusted: readonly X509Certificate[],
  where: string,
): Promise<CertificateOwner | { readonly problem: string }> {
  const links = await Promise.all(chain.map((der) => linkOf(der, where)));
  const [signer, ...others] = links;
  if (signer === undefined) throw badSignature(where, 'it holds no certificate');
  const publicKey = signerKey(signer, where);
  const wrong = signerProblem(signer.extensions);
  if (wrong !== undefined) return untrusted(signer, wrong);
  const given = await Promise.all(trusted.map((one) => linkOf(one.raw, 'A certificate to trust')));
  const isRoot = ({ x509: one }: Link) => one.subject === one.issuer && one.verify(one.publicKey);
  const search: Search = {
    roots: new Set(given.filter(isRoot).map(({ fingerprint }) => fingerprint)),
    all: [...given, ...others],
    at: signer.notBefore,
    attempts: 0,
    problems: [],
  };
  if (search.roots.size === 0) {
    const text = 'None of the certificates to trust is one that its owner signed';
    throw new MstoreError('bad-key', text, {
      hint: 'Put the certificate of the root authority into the file too, not only those below it',
    });
  }
  if (!leadsToRoot([signer], search)) {
    const problem = search.problems[0] ?? 'no certificate leads from it to one that is trusted';
    return untrusted(signer, problem);
  }
  return ownerOf(signer, publicKey);
}

/** A certificate, and what OpenSSL does not tell of it. */
interface Link extends CertificateFacts {
  readonly x509: X509Certificate;
  readonly fingerprint: Digest;
}

async function linkOf(der: Buffer, where: string): Promise<Link> {
  if (der.length > certificateBytesMax) {
    throw badSignature(where, `a certificate has more than ${certificateBytesMax} bytes`);
  }
  try {
    const x509 = new X509Certificate(der);
    return { x509, fingerprint: sha256(x509.raw), ...(await certificateFacts(x509.raw)) };
  } catch (error) {
    throw badSignature(where, 'a certificate cannot be read', error);
  }
}

interface Search {
  /** Fingerprints. */
  readonly roots: ReadonlySet<Digest>;
  readonly all: readonly Link[];
  readonly at: Date;
  attempts: number;
  /** Why ways that were found were not taken. */
  readonly problems: string[];
}

/** Tells whether a path, from the signer's certificate on, can be gone on with to a root. */
function leadsToRoot(path: readonly Link[], search: Search): boolean {
  const last = path.at(-1) as Link;
  if (search.roots.has(last.fingerprint)) return true;
  if (path.length >= pathMax) return note(search, `the way to a root is longer than ${pathMax}`);
  return search.all.some((issuer) => {
    if (path.some(({ fingerprint }) => fingerprint === issuer.fingerprint)) return false;
    if (!last.x509.checkIssued(issuer.x509) || ++search.attempts > attemptsMax) return false;
    if (!last.x509.verify(issuer.x509.publicKey)) {
      return note(search, `${named(issuer)} did not sign what names it as its issuer`);
    }
    const problem = issuerProblem(issuer, path, search);
    if (problem !== undefined) return note(search, `${named(issuer)} ${problem}`);
    return leadsToRoot([...path, issuer], search);
  });
}

function note({ problems }: Search, problem: string): false {
  problems.push(problem);
  return false;
}

/** Says why a certificate may not have signed the last one of a path (RFC 5280, 6.1), or undefined. */
function issuerProblem(
  issuer: Link,
  path: readonly Link[],
  { at, roots }: Search,
): string | undefined {
  const { extensions, x509 } = issuer;
  const child = path.at(-1) as Link;
  if (!child.extensions.isSignedSoundly)
    return 'signed with a method that is not safe, or not known here';
  if (at < issuer.notBefore || at > issuer.notAfter) {
    return `was not valid when the signer's began, on ${at.toISOString()}`;
  }
  if (extensions.unknown !== undefined)
    return `demands what is not known here: ${extensions.unknown}`;
  if (!extensions.isAuthority) return 'is none of an authority, and may not sign others';
  if (extensions.usage?.keyCertSign === false) return 'may not be used to sign others';
  const below = path.slice(1).filter(({ x509: { subject, issuer: by } }) => subject !== by).length;
  if (extensions.pathLength !== undefined && below > extensions.pathLength) {
    return `may have ${extensions.pathLength} authorities below it, and has ${below}`;
  }
  if (!roots.has(issuer.fingerprint) && extensions.purposes?.codeSigning === false) {
    return 'is for other purposes than signing code';
  }
  const { asymmetricKeyType, asymmetricKeyDetails } = x509.publicKey;
  const isShort = (asymmetricKeyDetails?.modulusLength ?? 0) < 2048;
  return asymmetricKeyType?.startsWith('rsa') && isShort
    ? 'has a key that is too short'
    : undefined;
}

/** Says why a certificate is none to sign models with, or undefined. */
function signerProblem({ unknown, usage, purposes }: Extensions): string | undefined {
  if (unknown !== undefined) return `it demands what is not known here: ${unknown}`;
  if (purposes !== undefined && !purposes.codeSigning) {
    return 'it is for other purposes than signing code';
  }
  if (usage?.digitalSignature === true || purposes?.codeSigning === true) return undefined;
  return 'it does not say that it may be used to sign';
}

function signerKey({ x509 }: Link, where: string): PublicKey {
  try {
    return publicKeyOf(x509.publicKey, 'The certificate of the signer');
  } catch (error) {
    if (!(error instanceof MstoreError)) throw error;
    const what = 'the key of its certificate is none on the curves P-256, P-384 and P-521';
    throw badSignature(where, what, error);
  }
}

/** Reads the certificate of who is going to sign. */
export function certificateOwner(certificate: X509Certificate, where: string): CertificateOwner {
  return ownerOf(
    {
      x509: certificate,
      fingerprint: sha256(certificate.raw),
      notBefore: new Date(certificate.validFrom),
      notAfter: new Date(certificate.validTo),
    },
    publicKeyOf(certificate.publicKey, where),
  );
}

function ownerOf(link: Omit<Link, 'extensions'>, publicKey: PublicKey): CertificateOwner {
  const { x509, fingerprint, notBefore, notAfter } = link;
  return {
    publicKey,
    subject: x509.subject.split('\n').join(', '),
    names: x509.subjectAltName?.split(', ') ?? [],
    fingerprint,
    notBefore,
    notAfter,
  };
}

function named({ x509 }: Link): string {
  return `the certificate of ${printable(x509.subject.split('\n').join(', ').slice(0, 200))}`;
}

function untrusted(signer: Link, why: string): { readonly problem: string } {
  return { problem: `it is signed with ${named(signer)}, which is not trusted: ${why}` };
}
