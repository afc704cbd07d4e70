import * as fs from 'node:fs';
import * as path from 'node:path';
import type { FoundVersion } from '../registry/find.ts';
import { parseReference } from '../registry/reference.ts';
import type { Verdict } from '../validate/report.ts';
import type { FileValidation } from '../validate/validate.ts';
import type { WorkOptions } from './add.ts';
import { findTargets } from './targets.ts';
import { validateAll } from './validate-files.ts';
import { StoredSources, sourcesOnDisk } from './validate-sources.ts';
import type { Workspace } from './workspace.ts';

/** What was found in files. */
export interface ValidateResult {
  /** The worst verdict of all files. */
  readonly verdict: Verdict;
  readonly files: readonly FileValidation[];
  /** The version that was chosen by a reference. */
  readonly version: FoundVersion | undefined;
}

/**
 * Looks into files and folders of the disk, tracked or not. No workspace is needed.
 * @param paths from `cwd`
 * @throws MstoreError `not-found`
 */
export async function validatePaths(
  paths: readonly string[],
  cwd: string,
  options: WorkOptions = {},
): Promise<ValidateResult> {
  const sources = paths.flatMap((one) => sourcesOnDisk(path.resolve(cwd, one), shownPath(one)));
  return { ...(await validateAll(sources, options)), version: undefined };
}

/**
 * Looks into what a reference or tracked paths name, read from the local store.
 * @param targets a reference, then paths in it; or tracked paths
 * @throws MstoreError `objects-missing`, and those of {@link findTargets}
 */
export async function validateStored(
  workspace: Workspace,
  targets: readonly string[],
  cwd: string,
  options: WorkOptions = {},
): Promise<ValidateResult> {
  const { tracked, version } = await findTargets(workspace, targets, cwd);
  const stored = new StoredSources(workspace);
  try {
    const sources = tracked.flatMap((item) => stored.list(item));
    return { ...(await validateAll(sources, options)), version };
  } finally {
    stored.close();
  }
}

/**
 * {@link validatePaths} where all that is given exists on the disk and is not written as a reference
 * (`MODEL@NAME`, `git:REV`), else {@link validateStored}.
 * @param workspace opens the workspace, where a reference needs it
 */
export async function validate(
  workspace: () => Promise<Workspace>,
  args: readonly string[],
  cwd: string,
  options: WorkOptions = {},
): Promise<ValidateResult> {
  return args.length > 0 && args.every((arg) => isOnDisk(arg, cwd))
    ? validatePaths(args, cwd, options)
    : validateStored(await workspace(), args, cwd, options);
}

function isOnDisk(arg: string, cwd: string): boolean {
  const { kind } = parseReference(arg);
  if (kind !== 'path' && kind !== 'word') return false;
  return fs.existsSync(path.resolve(cwd, arg));
}

function shownPath(arg: string): string {
  const shown = path.normalize(arg).split(path.sep).join('/').replace(/\/$/, '');
  return shown === '' ? '/' : shown;
}
