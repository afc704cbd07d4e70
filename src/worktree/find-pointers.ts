import * as fs from 'node:fs';
import * as path from 'node:path';
import { fromSystemError, systemCode } from '../base/errors.ts';
import type { IgnoreRules } from '../base/ignore-rules.ts';
import { compareUtf8 } from '../base/json.ts';
import { limits } from '../base/limits.ts';
import { pointerSuffix } from './pointer.ts';

const skipped = new Set(['.git', '.modelstore', 'node_modules']);

/**
 * Finds all pointer files of a workspace. Folders that Git ignores are not entered, nor the tracked
 * directories themselves, nor links.
 * @param below path from the root to start in; empty for all
 * @returns paths from the root, `/`-separated, sorted
 */
export function findPointers(root: string, rules: readonly IgnoreRules[], below = ''): string[] {
  const found: string[] = [];
  const todo = [below];
  for (let folder = todo.pop(); folder !== undefined; folder = todo.pop()) {
    if (folder.split('/').length > limits.treeDepthMax) continue;
    const dirents = readFolder(path.join(root, folder));
    const names = new Set(dirents.map((dirent) => dirent.name));
    for (const dirent of dirents) {
      const relative = folder === '' ? dirent.name : `${folder}/${dirent.name}`;
      if (dirent.isFile() && dirent.name.endsWith(pointerSuffix) && dirent.name !== pointerSuffix) {
        found.push(relative);
      } else if (dirent.isDirectory() && !skipped.has(dirent.name)) {
        if (names.has(dirent.name + pointerSuffix)) continue;
        if (rules.some((rule) => rule.ignores(relative, true))) continue;
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
