import * as fs from 'node:fs';
import * as path from 'node:path';
import { type Digest, sha256 } from '../../base/digest.ts';
import { MstoreError } from '../../base/errors.ts';
import { readBounded, writeAtomically } from '../../base/files.ts';
import { limits } from '../../base/limits.ts';
import { printable } from '../../base/names.ts';
import type { VersionRecord } from '../../registry/record.ts';
import type { Sealed } from '../../registry/sealed.ts';
import {
  type AccountSigner,
  formatBundle,
  parseBundle,
  signBundle,
  tooLargeBundle,
} from '../../signing/bundle.ts';
import { readStatement } from '../../signing/foreign.ts';
import type { Signer } from '../../signing/keys.ts';
import { badSignature } from '../../signing/problem.ts';
import { formatStatement, ignoredByDefault } from '../../signing/statement.ts';
import type { WorkOptions } from '../add.ts';
import { localRegistry } from '../registry.ts';
import type { Workspace } from '../workspace.ts';
import { contentProblem, signedFilesOf } from './signed-content.ts';
import { findSigned, subjectName } from './version-signing.ts';

/** What {@link signVersion} and {@link attachSignature} did. */
export interface SignResult {
  readonly model: string;
  readonly version: string;
  /** Digest of the record, which the signature names. */
  readonly record: Digest;
  /** Names the signature: SHA-256 of its bytes. */
  readonly signature: Digest;
  /** Fingerprint of the key that signed; absent for a signature of others, or with an account. */
  readonly key?: Digest;
  /** Files that it lists. */
  readonly files: number;
  /** Whether it was there already. */
  readonly exists: boolean;
  /** Absolute path of the file that it was written to as well. */
  readonly output?: string;
}

/** Options of {@link signVersion}. */
export interface SignOptions extends WorkOptions {
  /** Writes the signature to this file as well; absolute. */
  readonly output?: string | undefined;
}

/**
 * Signs a version: a bundle of OpenSSF Model Signing over the digests that are held, kept beside its record. Files
 * are not read.
 * @param reference names the version
 * @throws MstoreError `usage`, `bad-key`, `objects-missing` where the list of its files is nowhere
 */
export async function signVersion(
  workspace: Workspace,
  reference: string,
  signer: Signer | AccountSigner,
  cwd: string,
  options: SignOptions = {},
): Promise<SignResult> {
  const { record } = await findSigned(workspace, reference, cwd);
  const how = { ignored: ignoredByDefault };
  const { files, allowSymlinks } = await signedFilesOf(workspace, record, how, options);
  const { model, version } = record.value;
  const signed = new Date(workspace.surroundings.clock.now()).toISOString();
  const payload = formatStatement(subjectName(record.value), files, {
    allowSymlinks,
    version: { model, version, record: record.sha256, signed },
  });
  const bundle = formatBundle(await signBundle(payload, signer));
  if (bundle.length > limits.signatureBytesMax) {
    throw tooLargeBundle(`The signature of ${model}@${version}`);
  }
  const kept = await keep(workspace, record, bundle, options);
  const key = 'publicKey' in signer ? { key: signer.publicKey.fingerprint } : {};
  return { ...kept, ...key, files: files.length };
}

/**
 * Keeps a signature that another program made of the files of a version.
 * @param file absolute
 * @throws MstoreError `bad-signature` where it is of other files; who signed is for those to check who trust somebody
 */
export async function attachSignature(
  workspace: Workspace,
  reference: string,
  file: string,
  cwd: string,
  options: SignOptions = {},
): Promise<SignResult> {
  const bytes = readSignatureFile(file);
  const bundle = parseBundle(bytes, file);
  const { record } = await findSigned(workspace, reference, cwd);
  const statement = readStatement(bundle);
  const problem = await contentProblem(workspace, record, bundle, statement, options);
  if (problem !== undefined) throw badSignature(file, problem);
  const kept = await keep(workspace, record, bytes, options);
  return { ...kept, files: statement.resources.length };
}

/** Reads the file of a signature. */
export function readSignatureFile(file: string): Buffer {
  const bytes = readBounded(file, limits.signatureBytesMax);
  if (bytes !== undefined) return bytes;
  throw new MstoreError('not-found', `There is no file ${printable(file)}`, {
    hint: 'Name the file of a signature, such as model.sig',
    details: { path: file },
  });
}

/** A signature replaces an older one, and nothing that is no file. */
function refuseOther(output: string): void {
  const stat = fs.lstatSync(output, { throwIfNoEntry: false });
  if (stat === undefined || stat.isFile()) return;
  throw new MstoreError('destination-exists', `${printable(output)} is there, and is no file`, {
    hint: 'Write --output with the name of a file, or leave it out',
    details: { path: output },
  });
}

async function keep(
  workspace: Workspace,
  { sha256: record, value: { model, version } }: Sealed<VersionRecord>,
  bytes: Buffer,
  { output, signal }: SignOptions,
): Promise<Omit<SignResult, 'files'>> {
  if (output !== undefined) refuseOther(output);
  workspace.store.prepareWriting();
  const registry = await localRegistry(workspace, { signal });
  const outcome = await registry.createSignature(model, version, bytes);
  await registry.settle();
  const signature = sha256(bytes);
  const result = { model, version, record, signature, exists: outcome === 'exists' };
  if (output === undefined) return result;
  writeAtomically(output, bytes);
  return { ...result, output: path.resolve(output) };
}
