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

/** What {@link validate} found. */
export interface ValidateResult {
  /** The worst verdict of all files. */
  readonly verdict: Verdict;
  readonly files: readonly FileValidation[];
  /** The version that was chosen by a reference. */
  readonly version: FoundVersion | undefined;
}

/**
 * Looks into files: paths of the disk, or what a reference names, read from the local store.
 * @param args paths; or a reference, then paths in it. What exists on the disk is a path, unless it is written
 * as a reference (`MODEL@NAME`, `git:REV`)
 * @param workspace opens the workspace, where a reference needs it
 * @throws MstoreError `not-found`, and those of {@link findTargets}
 */
export async function validate(
  workspace: () => Promise<Workspace>,
  args: readonly string[],
  cwd: string,
  options: WorkOptions = {},
): Promise<ValidateResult> {
  if (args.length > 0 && args.every((arg) => isOnDisk(arg, cwd))) {
    const sources = args.flatMap((arg) => sourcesOnDisk(path.resolve(cwd, arg), shownPath(arg)));
    return { ...(await validateAll(sources, options)), version: undefined };
  }
  const opened = await workspace();
  const { tracked, version } = await findTargets(opened, args, cwd);
  const stored = new StoredSources(opened);
  try {
    const sources = tracked.flatMap((item) => stored.list(item));
    return { ...(await validateAll(sources, options)), version };
  } finally {
    stored.close();
  }
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
