import type { Digest } from '../../base/digest.ts';
import { isMstoreError, MstoreError } from '../../base/errors.ts';
import type { VersionRecord } from '../../registry/record.ts';
import type { Registry } from '../../registry/registry.ts';
import type { Sealed } from '../../registry/sealed.ts';
import { type Bundle, parseBundle, signerHint } from '../../signing/bundle.ts';
import { checkSignature, type SignedBy, type Trust } from '../../signing/check.ts';
import { readStatement } from '../../signing/foreign.ts';
import { differenceOf } from '../../signing/resources.ts';
import { ignoredByDefault, type SignedVersion, type Statement } from '../../signing/statement.ts';
import type { WorkOptions } from '../add.ts';
import type { Workspace } from '../workspace.ts';
import { readSignatureFile } from './sign.ts';
import { contentProblem } from './signed-content.ts';
import { listSignedDirectory } from './signed-directory.ts';

/** What one signature is worth. */
export interface SignatureReport {
  /** SHA-256 of its bytes, for one that is kept with the version; else its file. */
  readonly signature: string;
  /** Whether somebody who is trusted made it, of exactly these files. */
  readonly valid: boolean;
  /** Why it counts for nothing, as a clause. */
  readonly problem?: string;
  /** Who signed, as far as it is proven: the fingerprint of a key, or the identity of a certificate. */
  readonly by?: string;
  /** Who vouched for an identity; absent for keys and certificates. */
  readonly issuer?: string;
  /** When it was made, where a log of Sigstore proves it. */
  readonly logged?: string;
  /** What the signature itself says of who made it; it proves nothing. */
  readonly hint: string;
  /** When it was made, by the clock of who made it. */
  readonly signed?: string;
  /** The version that it is for; absent where another program signed files. */
  readonly for?: string;
  /** Files that it lists. */
  readonly files?: number;
  /** Paths that it says nothing of, beside those that all signatures leave out. */
  readonly ignored?: readonly string[];
}

/** What {@link verifyVersionSignatures} and {@link verifyDirectorySignature} found. */
export interface SignaturesReport {
  /** What was compared: `MODEL@VERSION`, or a directory or file. */
  readonly target: string;
  /** Digest of the record; absent where a directory was compared. */
  readonly record?: Digest;
  readonly signatures: readonly SignatureReport[];
  /** How many of them are valid. */
  readonly valid: number;
}

/**
 * Checks all signatures that are kept with a version, against those who are trusted and the files of the version.
 * @throws MstoreError `corrupt-registry`, `objects-missing` where the list of its files is nowhere
 */
export async function verifyVersionSignatures(
  workspace: Workspace,
  registry: Registry,
  record: Sealed<VersionRecord>,
  trusted: readonly Trust[],
  options: WorkOptions = {},
): Promise<SignaturesReport> {
  const { model, version } = record.value;
  const target = `${model}@${version}`;
  const signatures: SignatureReport[] = [];
  for (const sha256 of await registry.signatures(model, version)) {
    const name = `The signature ${sha256.slice(0, 12)} of ${target}`;
    const bytes = await registry.signature(model, version, sha256);
    const report = await reportOf(name, bytes, trusted, (bundle, statement) =>
      contentProblem(workspace, record, bundle, statement, options),
    );
    signatures.push({ signature: sha256, ...report });
  }
  return { target, record: record.sha256, signatures, valid: countOf(signatures) };
}

/** The same for one signature in a file. */
export async function verifyVersionSignatureFile(
  workspace: Workspace,
  record: Sealed<VersionRecord>,
  file: string,
  trusted: readonly Trust[],
  options: WorkOptions = {},
): Promise<SignaturesReport> {
  const { model, version } = record.value;
  const report = await reportOf(file, readSignatureFile(file), trusted, (bundle, statement) =>
    contentProblem(workspace, record, bundle, statement, options),
  );
  const signatures = [{ signature: file, ...report }];
  const target = `${model}@${version}`;
  return { target, record: record.sha256, signatures, valid: countOf(signatures) };
}

/**
 * Checks a signature in a file against a directory, or a file: each byte of each file is read.
 * @param target absolute
 * @param file absolute
 */
export async function verifyDirectorySignature(
  target: string,
  file: string,
  trusted: readonly Trust[],
  options: WorkOptions = {},
): Promise<SignaturesReport> {
  const report = await reportOf(file, readSignatureFile(file), trusted, async (_, statement) => {
    const found = await listSignedDirectory(target, file, statement, options);
    return 'problem' in found ? found.problem : differenceOf(statement, found.files);
  });
  const signatures = [{ signature: file, ...report }];
  return { target, signatures, valid: countOf(signatures) };
}

function countOf(signatures: readonly SignatureReport[]): number {
  return signatures.filter(({ valid }) => valid).length;
}

/**
 * Judges a signature: who made it, then what it is of. Nothing it says is looked at before it is known to be
 * of somebody who is trusted.
 * @param differs compares the statement with what is there
 */
async function reportOf(
  where: string,
  bytes: Buffer,
  trusted: readonly Trust[],
  differs: (bundle: Bundle, statement: Statement) => Promise<string | undefined>,
): Promise<Omit<SignatureReport, 'signature'>> {
  let hint = 'unknown';
  try {
    const bundle = parseBundle(bytes, where);
    hint = signerHint(bundle);
    const checked = await checkSignature(bundle, trusted);
    if ('problem' in checked) return { valid: false, problem: checked.problem, hint };
    const statement = readStatement(bundle);
    const said = { ...factsOf(statement, checked.who), ...provenBy(checked) };
    const problem = await differs(bundle, statement);
    if (problem !== undefined) return { valid: false, problem, hint, ...said };
    return { valid: true, hint, ...said };
  } catch (error) {
    if (!isMstoreError(error, 'bad-signature', 'too-large')) throw error;
    return { valid: false, problem: error.message, hint };
  }
}

function factsOf(
  { version, resources, serialization }: Statement,
  by: string,
): Pick<SignatureReport, 'by' | 'signed' | 'for' | 'files' | 'ignored'> {
  const usual: readonly string[] = ignoredByDefault;
  const ignored = serialization.ignored.filter((one) => !usual.includes(one));
  return {
    by,
    ...(version === undefined ? {} : versionFacts(version)),
    files: resources.length,
    ...(ignored.length === 0 ? {} : { ignored }),
  };
}

function provenBy({ issuer, logged }: SignedBy): Pick<SignatureReport, 'issuer' | 'logged'> {
  return {
    ...(issuer === undefined ? {} : { issuer }),
    ...(logged === undefined ? {} : { logged: logged.toISOString() }),
  };
}

function versionFacts({ model, version, signed }: SignedVersion): { for: string; signed: string } {
  return { for: `${model}@${version}`, signed };
}

/** Makes the error of what nobody signed who is trusted; undefined where somebody did. */
export function refusalOf({
  target,
  signatures,
  valid,
}: SignaturesReport): MstoreError | undefined {
  if (valid > 0) return undefined;
  const [first] = signatures;
  const why =
    first === undefined
      ? 'it has no signature'
      : signatures.length === 1
        ? `its signature does not count: ${first.problem}`
        : `none of its ${signatures.length} signatures counts; the first: ${first.problem}`;
  return new MstoreError('untrusted', `${target} is not signed by anybody who is trusted: ${why}`, {
    hint:
      first === undefined
        ? 'Sign it with "mstore sign", or fetch signatures that the remote has with "mstore fetch"'
        : 'Compare the key with that of the signer, or have the version signed again',
    details: { target },
  });
}
