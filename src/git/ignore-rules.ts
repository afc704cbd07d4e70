import * as fs from 'node:fs';
import * as path from 'node:path';
import ignore from 'ignore';
import { readBounded } from '../base/files.ts';
import { IgnoreRules } from '../base/ignore-rules.ts';
import { limits } from '../base/limits.ts';
import type { GitLayout } from './layout.ts';

/**
 * Makes a function that tells whether Git's patterns match a path from the top or a folder above it:
 * those of `.gitignore` in the top and in all folders on the way, and of `info/exclude`. The user's
 * own `core.excludesFile` is not read, nor is the index. Pattern files are read once; make a new
 * function when they may have changed.
 */
export function ignoreRules(layout: GitLayout): (path: string) => boolean {
  const { ignoreCase } = layout;
  const rules = new IgnoreRules((folder) => patternsOf(layout, folder), { ignoreCase });
  return (given) => {
    const target = path.posix.normalize(given).replace(/\/+$/, '');
    if (!ignore.isPathValid(target) || target === '.') return false;
    if (target.split('/').includes('.git')) return false;
    const isFolder = given.endsWith('/') || isFolderOnDisk(layout.root, target);
    return rules.ignoresWithParents(target, isFolder);
  };
}

function patternsOf(layout: GitLayout, folder: string): string | undefined {
  const own = readPatterns(path.join(layout.root, folder, '.gitignore'));
  if (folder !== '') return own;
  // Patterns that stand later win, and info/exclude is weaker than any .gitignore.
  const weaker = readPatterns(path.join(layout.commonDir, 'info/exclude'));
  return weaker === undefined ? own : `${weaker}\n${own ?? ''}`;
}

function readPatterns(file: string): string | undefined {
  // Git does not follow a .gitignore that is a symbolic link.
  if (!fs.lstatSync(file, { throwIfNoEntry: false })?.isFile()) return undefined;
  return readBounded(file, limits.ignoreBytesMax)?.toString('utf8');
}

function isFolderOnDisk(root: string, target: string): boolean {
  return fs.lstatSync(path.join(root, target), { throwIfNoEntry: false })?.isDirectory() === true;
}
