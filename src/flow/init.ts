import * as fs from 'node:fs';
import * as path from 'node:path';
import { clearDeadTemps } from '../base/dead-temps.ts';
import { fromSystemError, MstoreError } from '../base/errors.ts';
import { ensureCacheFolder, ensureFolder, settleFolder, writeAtomically } from '../base/files.ts';
import { openGit } from '../git/open.ts';
import { configName, localConfigName } from '../worktree/config.ts';
import { addDiffDriver, ensureAttributes } from '../worktree/git-files.ts';
import type { Surroundings } from './surroundings.ts';
import { openWorkspace, type Workspace, workspaceFolderName } from './workspace.ts';

/** What {@link initWorkspace} did. */
export interface InitResult {
  readonly workspace: Workspace;
  /** False when the workspace existed and only what was missing was added. */
  readonly created: boolean;
}

/**
 * Makes a workspace: at the top of the Git repository that `start` lies in, or, without Git, in `start`.
 * Run again it adds what is missing (ignore rules, attributes) and changes nothing else.
 * @param options `diffDriver` also names the driver that shows pointers as lists of files in `git diff`
 * @throws MstoreError `no-git` when there is no repository and `git` is true
 */
export async function initWorkspace(
  start: string,
  options: { git: boolean; diffDriver?: boolean },
  surroundings: Surroundings,
): Promise<InitResult> {
  const git = options.git ? await openGit(start, { env: surroundings.env }) : undefined;
  if (options.git && git === undefined) {
    throw new MstoreError('no-git', `${start} is not in a Git repository`, {
      hint: 'Run "git init" first, or use "mstore init --no-git"',
      details: { path: start },
    });
  }
  const root = git?.root ?? fs.realpathSync(start);
  const folder = path.join(root, workspaceFolderName);
  try {
    ensureFolder(folder);
    ensureCacheFolder(path.join(folder, 'cache'));
    clearDeadTemps(folder, '.', surroundings.clock);
    writeIfAbsent(
      path.join(folder, '.gitignore'),
      `/${localConfigName}\n/store/\n/cache/\n/tmp/\n`,
    );
    const created = writeIfAbsent(
      path.join(folder, configName),
      `[core]\nformat = 1\nrepository = "${surroundings.random.hex(16)}"\n`,
    );
    if (git !== undefined) {
      await ensureAttributes(root, path.join(folder, 'cache'));
      if (options.diffDriver) await addDiffDriver(root, path.join(folder, 'cache'));
    }
    return { workspace: await openWorkspace(root, surroundings), created };
  } catch (error) {
    throw fromSystemError(error, `making ${folder}`);
  }
}

function writeIfAbsent(file: string, text: string): boolean {
  if (!fs.existsSync(file)) return writeAtomically(file, text, { ifAbsent: true });
  settleFolder(path.dirname(file));
  return false;
}
