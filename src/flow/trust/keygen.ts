import * as fs from 'node:fs';
import { MstoreError } from '../../base/errors.ts';
import { writeAtomically } from '../../base/files.ts';
import { printable } from '../../base/names.ts';
import { type Curve, generateKeyPair } from '../../signing/keys.ts';

/** What {@link generateKeyFiles} made. */
export interface GeneratedKey {
  /** Absolute. */
  readonly privateKey: string;
  /** Absolute. */
  readonly publicKey: string;
  readonly type: Curve;
  /** Names the public key: SHA-256 of its PEM. */
  readonly fingerprint: string;
  readonly encrypted: boolean;
}

/**
 * Makes a pair of keys: the private one in a file that its owner alone may read, the public one beside it with `.pub`
 * behind the name. Never over a file that is there.
 * @param file absolute
 * @throws MstoreError `destination-exists`
 */
export function generateKeyFiles(
  file: string,
  type: Curve,
  passphrase: string | undefined,
): GeneratedKey {
  const publicFile = `${file}.pub`;
  for (const one of [file, publicFile]) if (fs.existsSync(one)) throw exists(one);
  const { privatePem, publicKey } = generateKeyPair(type, passphrase);
  // Should this end in between, a public key without its private one is there, which harms nobody.
  writeNew(publicFile, publicKey.pem, 0o644);
  try {
    writeNew(file, privatePem, 0o600);
  } catch (error) {
    fs.rmSync(publicFile, { force: true });
    throw error;
  }
  return {
    privateKey: file,
    publicKey: publicFile,
    type,
    fingerprint: publicKey.fingerprint,
    encrypted: passphrase !== undefined,
  };
}

/** Writes a file that must not be there. */
function writeNew(file: string, text: string, mode: number): void {
  if (!writeAtomically(file, text, { ifAbsent: true, mode })) throw exists(file);
}

function exists(file: string): MstoreError {
  return new MstoreError('destination-exists', `${printable(file)} is there already`, {
    hint: 'A key is never replaced: name another file, or move this one away',
    details: { path: file },
  });
}
