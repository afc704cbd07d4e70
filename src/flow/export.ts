import { formatManifest, manifestName } from '../archive/manifest.ts';
import type { JsonObject } from '../base/json.ts';
import {
  type CheckoutToOptions,
  type CheckoutToResult,
  checkoutTo,
  type ExtraFile,
} from './checkout-to.ts';
import { type LfsExported, LfsExporter } from './lfs/export-objects.ts';
import { planPackage } from './package.ts';
import type { Targets } from './targets.ts';
import type { Workspace } from './workspace.ts';

/** Options of {@link exportTo}. */
export interface ExportOptions extends Omit<CheckoutToOptions, 'link' | 'extra' | 'change'> {
  /** Writes `mstore-package.json` beside the files: their digests, and the record of the version. */
  readonly metadata?: boolean;
  /** Patterns of `.gitattributes`: files that they fit become objects and pointers of Git LFS. */
  readonly lfs?: readonly string[] | undefined;
}

/** What {@link exportTo} did. */
export interface ExportResult extends CheckoutToResult {
  /** What became of the files that Git LFS is to keep, where that was asked for. */
  readonly lfs?: LfsExported;
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
  { metadata = false, lfs, ...options }: ExportOptions = {},
): Promise<ExportResult> {
  const exporter = lfs && (await LfsExporter.open(workspace, directory, lfs));
  const change = exporter?.change.bind(exporter);
  const extra = metadata ? await metadataOf(workspace, targets) : undefined;
  const how = { ...options, link: ['copy'], change, extra } as const;
  const written = await checkoutTo(workspace, targets.tracked, directory, how);
  return exporter === undefined ? written : { ...written, lfs: exporter.done };
}

async function metadataOf(workspace: Workspace, targets: Targets): Promise<ExtraFile> {
  const manifest = await planPackage(workspace, targets, undefined);
  const record = targets.version?.record.value as JsonObject | undefined;
  const more = record === undefined ? {} : { document: record };
  return { name: manifestName, bytes: formatManifest(manifest, more) };
}
