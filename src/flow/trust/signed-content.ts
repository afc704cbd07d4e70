import { printable } from '../../base/names.ts';
import type { VersionRecord } from '../../registry/record.ts';
import type { Sealed } from '../../registry/sealed.ts';
import type { Bundle } from '../../signing/bundle.ts';
import { badSignature } from '../../signing/problem.ts';
import { differenceOf, filesOf, type SignedFiles, wholeFile } from '../../signing/resources.ts';
import type { Serialization, Statement } from '../../signing/statement.ts';
import { FarBlobs, type FarOptions } from '../far-blobs.ts';
import { contentOf } from '../version-content.ts';
import type { Workspace } from '../workspace.ts';

/**
 * Lists the files of a version as signatures do, by the digests that are held. The list of a directory comes from a
 * remote where it is not here; files are never read.
 * @throws MstoreError `objects-missing`
 */
export async function signedFilesOf(
  workspace: Workspace,
  { value }: Sealed<VersionRecord>,
  how: Pick<Serialization, 'ignored'>,
  options: FarOptions = {},
): Promise<SignedFiles> {
  const item = contentOf(workspace.store, value, {});
  if (item.pointer.kind === 'file') return wholeFile(item.pointer.sha256);
  const { entries } = await new FarBlobs(workspace, options).filesOf(item);
  return filesOf(entries, how);
}

/**
 * Says what keeps a statement from being one of a version: other files, or another record.
 * @returns a clause; undefined where it is of this version
 */
export async function contentProblem(
  workspace: Workspace,
  record: Sealed<VersionRecord>,
  { where }: Pick<Bundle, 'where'>,
  statement: Statement,
  options: FarOptions,
): Promise<string | undefined> {
  const { serialization, version } = statement;
  const named = versionProblem(record, version);
  if (named !== undefined) return named;
  if (serialization.method !== 'files' || serialization.hashType !== 'sha256') {
    throw badSignature(where, 'it lists other digests than SHA-256 of whole files');
  }
  const { files } = await signedFilesOf(workspace, record, serialization, options);
  return differenceOf(
    statement,
    files.map(({ name, sha256: digest }) => ({ name, digest })),
  );
}

/** Says which other version a signature is for, if it says that it is for one. */
export function versionProblem(
  { sha256: record, value }: Sealed<VersionRecord>,
  version: Statement['version'],
): string | undefined {
  if (version === undefined) return undefined;
  if (version.model !== value.model || version.version !== value.version) {
    return `it is of ${printable(version.model)}@${printable(version.version)}, not of ${value.model}@${value.version}`;
  }
  if (version.record === record) return undefined;
  return 'it is of another record of that version';
}
