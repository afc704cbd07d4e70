import * as fs from 'node:fs';
import * as path from 'node:path';
import { fromSystemError, systemCode } from '../base/errors.ts';
import type { IgnoreRules } from '../base/ignore-rules.ts';
import { compareUtf8 } from '../base/json.ts';
import { limits } from '../base/limits.ts';
import { pointerSuffix } from './pointer.ts';

const skipped = new Set(['.git', '.modelstore', 'node_modules']);

/** What {@link findFiles} looks for. */
export interface Wanted {
  /** Tells by its name whether a file is wanted. */
  readonly file: (name: string) => boolean;
  /** Tells whether a folder is not entered, by its path from the root and all names beside it. */
  readonly closed: (relative: string, names: ReadonlySet<string>) => boolean;
  /** Path from the root to start in; all where it is left out. */
  readonly below?: string;
}

/**
 * Finds all pointer files of a workspace. Folders that Git ignores are not entered, nor the tracked
 * directories themselves, nor links.
 * @param below path from the root to start in; empty for all
 * @returns paths from the root, `/`-separated, sorted
 */
export function findPointers(root: string, rules: readonly IgnoreRules[], below = ''): string[] {
  return findFiles(root, {
    file: (name) => name.endsWith(pointerSuffix) && name !== pointerSuffix,
    closed: (relative, names) =>
      names.has(path.posix.basename(relative) + pointerSuffix) ||
      rules.some((rule) => rule.ignores(relative, true)),
    below,
  });
}

/**
 * Finds regular files by their names. Folders of Git, of mstore and of Node's packages are not entered, nor links.
 * @returns paths from the root, `/`-separated, sorted
 */
export function findFiles(root: string, { file, closed, below = '' }: Wanted): string[] {
  const found: string[] = [];
  const todo = [below];
  for (let folder = todo.pop(); folder !== undefined; folder = todo.pop()) {
    if (folder.split('/').length > limits.treeDepthMax) continue;
    const dirents = readFolder(path.join(root, folder));
    const names = new Set(dirents.map((dirent) => dirent.name));
    for (const dirent of dirents) {
      const relative = folder === '' ? dirent.name : `${folder}/${dirent.name}`;
      if (dirent.isFile() && file(dirent.name)) found.push(relative);
      else if (dirent.isDirectory() && !skipped.has(dirent.name) && !closed(relative, names)) {
        todo.push(relative);
      }
    }
  }
  return found.sort(compareUtf8);
}

function readFolder(folder: string): fs.Dirent[] {
  try {
    return fs.readdirSync(folder, { withFileTypes: true });
  } catch (error) {
    const code = systemCode(error);
    if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'EACCES') return [];
    throw fromSystemError(error, `listing ${folder}`);
  }
}
