import * as path from 'node:path';
import { MstoreError } from '../../base/errors.ts';
import { printable } from '../../base/names.ts';
import type { FoundVersion } from '../../registry/find.ts';
import type { VersionRecord } from '../../registry/record.ts';
import type { Registry } from '../../registry/registry.ts';
import { findTargets } from '../targets.ts';
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
