import { printable } from '../../base/names.ts';
import type { VersionRecord } from '../../registry/record.ts';
import type { Sealed } from '../../registry/sealed.ts';
import type { Bundle } from '../../signing/bundle.ts';
import { foreignListing, isPlain } from '../../signing/foreign.ts';
import { differenceOf, filesOf, type SignedFiles, wholeFile } from '../../signing/resources.ts';
import type { Serialization, Statement } from '../../signing/statement.ts';
import { BlobReader } from '../../store/blob-reader.ts';
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
  const { files } = await signedFilesOf(workspace, record, serialization, options);
  if (isPlain(serialization)) {
    const listed = files.map(({ name, sha256: digest }) => ({ name, digest }));
    return differenceOf(statement, listed);
  }
  // Digests of another kind are known of no file: each is read from the store.
  const reader = new BlobReader(workspace.store);
  try {
    const readable = files.map((one) => ({ name: one.name, read: () => reader.read(one.sha256) }));
    const listed = await foreignListing(statement, where, readable, options.signal);
    return differenceOf(statement, listed);
  } finally {
    reader.close();
  }
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
