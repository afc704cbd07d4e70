import type { X509Certificate } from 'node:crypto';
import { MstoreError } from '../../base/errors.ts';
import { printable } from '../../base/names.ts';
import { certificateOwner, readCertificates } from '../../signing/certificate.ts';
import type { Signer } from '../../signing/keys.ts';
import { badKey } from '../../signing/problem.ts';
import { readKeyFile } from './signing-key.ts';

/** Reads certificates of files in PEM, in their order. */
export function readCertificateFiles(files: readonly string[], cwd: string): X509Certificate[] {
  return files.flatMap((file) => readCertificates(readKeyFile(file, cwd), file));
}

/** Files of certificates that say whose key one is. */
export interface CertificateFiles {
  /** That of the key; others may follow it in the same file. */
  readonly certificate: string | undefined;
  /** Those between it and the root, which readers have. */
  readonly chain: readonly string[];
}

/**
 * Has signatures of a key hold its certificate.
 * @throws MstoreError `usage` for a chain without a certificate, `bad-key` for one of another key, `not-found`
 */
export function withCertificates(
  signer: Signer,
  { certificate, chain }: CertificateFiles,
  cwd: string,
): Signer {
  if (certificate === undefined) {
    if (chain.length === 0) return signer;
    throw new MstoreError('usage', '--certificate-chain goes with --certificate', {
      hint: 'Name the certificate of the key with --certificate FILE',
    });
  }
  const certificates = readCertificateFiles([certificate, ...chain], cwd);
  const [first] = certificates;
  const { publicKey } = certificateOwner(first as X509Certificate, certificate);
  if (publicKey.fingerprint !== signer.publicKey.fingerprint) {
    const hint = `Name the certificate of the key ${signer.publicKey.fingerprint.slice(0, 12)} first`;
    throw badKey(printable(certificate), 'it is the certificate of another key', hint);
  }
  return { ...signer, certificates: certificates.map(({ raw }) => raw) };
}
