import * as path from 'node:path';
import { MstoreError } from '../../base/errors.ts';
import { printable } from '../../base/names.ts';
import type { FoundVersion } from '../../registry/find.ts';
import type { VersionRecord } from '../../registry/record.ts';
import type { Registry } from '../../registry/registry.ts';
import type { Sealed } from '../../registry/sealed.ts';
import { filesOf, type SignedFiles, wholeFile } from '../../signing/resources.ts';
import type { Serialization } from '../../signing/statement.ts';
import { FarBlobs, type FarOptions } from '../far-blobs.ts';
import { findTargets } from '../targets.ts';
import { contentOf } from '../version-content.ts';
import type { Workspace } from '../workspace.ts';

/**
 * Finds the version that a reference names: only versions of the registry are signed.
 * @param registry the local one unless told
 * @throws MstoreError `usage` for what is no version, and those of `findTargets`
 */
export async function findSigned(
  workspace: Workspace,
  reference: string,
  cwd: string,
  registry?: Registry,
): Promise<FoundVersion> {
  const { version } = await findTargets(workspace, [reference], cwd, registry);
  if (version !== undefined) return version;
  throw new MstoreError('usage', `${printable(reference)} is no version of the registry`, {
    hint: 'Register it first: mstore register MODEL@VERSION PATH',
    details: { ref: reference },
  });
}

/** What a version is called in statements: the name of its directory or file. */
export function subjectName({ content }: Pick<VersionRecord, 'content'>): string {
  return path.posix.basename(content.path);
}

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
