import { formatManifest, manifestName } from '../archive/manifest.ts';
import type { JsonObject } from '../base/json.ts';
import { type CheckoutToOptions, type CheckoutToResult, checkoutTo } from './checkout-to.ts';
import { planPackage } from './package.ts';
import type { Targets } from './targets.ts';
import type { Workspace } from './workspace.ts';

/** Options of {@link exportTo}. */
export interface ExportOptions extends Omit<CheckoutToOptions, 'link' | 'extra'> {
  /** Writes `mstore-package.json` beside the files: their digests, and the record of the version. */
  readonly metadata?: boolean;
}

/**
 * Writes the files of a version into a directory of its own, whole or not at all, for programs that know nothing of
 * mstore: always as copies, which depend on no store, and nothing is written into one.
 * @throws MstoreError as {@link checkoutTo}; with `metadata` also as {@link planPackage}
 */
export async function exportTo(
  workspace: Workspace,
  targets: Targets,
  directory: string,
  { metadata = false, ...options }: ExportOptions = {},
): Promise<CheckoutToResult> {
  const how = { ...options, link: ['copy'] } as const;
  if (!metadata) return checkoutTo(workspace, targets.tracked, directory, how);
  const manifest = await planPackage(workspace, targets, undefined);
  const record = targets.version?.record.value as JsonObject | undefined;
  const more = record === undefined ? {} : { document: record };
  const extra = { name: manifestName, bytes: formatManifest(manifest, more) };
  return checkoutTo(workspace, targets.tracked, directory, { ...how, extra });
}
