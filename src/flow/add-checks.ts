import * as fs from 'node:fs';
import * as path from 'node:path';
import { MstoreError } from '../base/errors.ts';
import { limits } from '../base/limits.ts';
import { collisionKey, nameProblem, printable, shellWord } from '../base/names.ts';
import { pointerSuffix } from '../worktree/pointer.ts';
import { pointerPath } from './tracked.ts';
import { type Workspace, workspaceFolderName } from './workspace.ts';

/**
 * Refuses paths by their place alone, before anything is looked at.
 * @param paths from the top of the workspace
 */
export function checkPlaces(workspace: Workspace, paths: readonly string[]): void {
  const all = new Set(paths);
  for (const given of all) checkPlace(workspace, given, all);
  refuseTwins(workspace, all);
}

function checkPlace(workspace: Workspace, given: string, all: ReadonlySet<string>): void {
  const name = path.posix.basename(given);
  const details = { path: given };
  if (given === '') {
    throw new MstoreError('usage', 'The top of the workspace cannot be tracked as a whole', {
      hint: 'Name the files or directories that hold the model',
    });
  }
  const parts = given.split('/');
  if (parts.includes('.git') || parts.includes(workspaceFolderName)) {
    throw new MstoreError('usage', `${printable(given)} belongs to Git or mstore itself`, {
      hint: 'Name the files or directories that hold the model',
      details,
    });
  }
  if (name.endsWith(pointerSuffix)) {
    throw new MstoreError('is-a-pointer', `${printable(given)} is a pointer, not a model`, {
      hint: `Name the path it stands for: ${printable(given.slice(0, -pointerSuffix.length))}`,
      details,
    });
  }
  for (const part of parts) {
    const problem = nameProblem(part);
    if (problem === undefined) continue;
    throw new MstoreError('bad-name', `${printable(given)} has ${problem} in its name`, {
      hint: 'Rename it, then add it',
      details,
    });
  }
  if (Buffer.byteLength(name) + pointerSuffix.length > limits.nameBytesMax) {
    throw new MstoreError(
      'bad-name',
      `${printable(given)} has a name too long for its pointer, which is ${pointerSuffix.length} bytes longer`,
      {
        hint: `Use a name of at most ${limits.nameBytesMax - pointerSuffix.length} bytes`,
        details,
      },
    );
  }
  for (let cut = given.lastIndexOf('/'); cut > 0; cut = given.lastIndexOf('/', cut - 1)) {
    const parent = given.slice(0, cut);
    // Both would be tracked, the file twice.
    if (all.has(parent)) throw insideTracked(given, parent, 'which is added as a whole');
    if (!fs.existsSync(workspace.absolute(pointerPath(parent)))) continue;
    throw insideTracked(given, parent, 'which is tracked as a whole');
  }
}

function insideTracked(given: string, parent: string, why: string): MstoreError {
  return new MstoreError(
    'inside-tracked',
    `${printable(given)} lies in ${printable(parent)}, ${why}`,
    {
      hint: `Run "mstore add ${shellWord(parent)}" to store its present state`,
      details: { path: given, tracked: parent },
    },
  );
}

/** Refuses a path whose pointer could not lie beside another one on Windows or macOS. */
function refuseTwins(workspace: Workspace, all: ReadonlySet<string>): void {
  const folders = new Map<string, Map<string, string>>();
  for (const given of all) {
    const folder = path.posix.dirname(given);
    const names = folders.get(folder) ?? trackedNames(workspace.absolute(folder));
    folders.set(folder, names);
    const name = path.posix.basename(given);
    const twin = names.get(collisionKey(name));
    if (twin !== undefined && twin !== name) {
      throw new MstoreError(
        'name-collision',
        `${printable(given)} and the tracked ${printable(twin)} beside it differ only by case: they would be one file on Windows or macOS`,
        {
          hint: `Rename it, or run "mstore untrack" for ${printable(twin)} first`,
          details: { path: given, tracked: twin },
        },
      );
    }
    names.set(collisionKey(name), name);
  }
}

/** Names that have a pointer in a folder, by their collision keys. */
function trackedNames(folder: string): Map<string, string> {
  const names = new Map<string, string>();
  for (const file of listFolder(folder)) {
    if (!file.endsWith(pointerSuffix)) continue;
    const name = file.slice(0, -pointerSuffix.length);
    names.set(collisionKey(name), name);
  }
  return names;
}

function listFolder(folder: string): string[] {
  try {
    return fs.readdirSync(folder);
  } catch {
    // What is wrong with the folder is found, and said, when the path itself is looked at.
    return [];
  }
}

/** Refuses what Git has already, and pointers that Git would not keep. */
export async function checkGit(workspace: Workspace, given: string): Promise<void> {
  const { git, gitPrefix } = workspace;
  if (git === undefined) return;
  const [inGit, ...others] = await git.trackedBelow(gitPrefix + given, 2);
  if (inGit !== undefined) {
    const more = others.length === 0 ? '' : ' and others';
    throw new MstoreError('tracked-by-git', `Git already keeps ${printable(inGit)}${more}`, {
      hint: `Run "git rm -r --cached -- ${shellWord(given)}" (the files stay), then add it again`,
      details: { path: given },
    });
  }
  await checkPointersKept(workspace, [given]);
}

/** Refuses paths whose pointers Git would not keep. */
export async function checkPointersKept(
  workspace: Workspace,
  paths: readonly string[],
): Promise<void> {
  const { git, gitPrefix } = workspace;
  if (git === undefined) return;
  const ignored = await git.ignored(paths.map((given) => gitPrefix + pointerPath(given)));
  const [pointer] = ignored;
  if (pointer === undefined) return;
  throw new MstoreError(
    'pointer-ignored',
    `Git ignores the pointer ${printable(pointer)}, so it could not be committed`,
    {
      hint: `Find the pattern with "git check-ignore -v -- ${shellWord(pointer)}" and narrow it`,
      details: { path: pointer },
    },
  );
}
