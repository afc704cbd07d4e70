import * as fs from 'node:fs';
import * as path from 'node:path';
import ignore, { type Ignore } from 'ignore';
import { readBounded } from '../base/files.ts';
import { limits } from '../base/limits.ts';
import type { GitLayout } from './layout.ts';

/**
 * Makes a function that tells whether Git's patterns match a path from the top or a folder above it:
 * those of `.gitignore` in the top and in all folders on the way, and of `info/exclude`. The user's
 * own `core.excludesFile` is not read, nor is the index. Pattern files are read once; make a new
 * function when they may have changed.
 */
export function ignoreRules(layout: GitLayout): (path: string) => boolean {
  const rulesOf = new Map<string, Ignore | undefined>();
  const verdicts = new Map<string, boolean>();

  function rules(folder: string): Ignore | undefined {
    if (!rulesOf.has(folder)) rulesOf.set(folder, readRules(layout, folder));
    return rulesOf.get(folder);
  }

  /** Asks the folders from the nearest upwards; the first that has a pattern for the path decides. */
  function decide(target: string, isFolder: boolean): boolean {
    for (let folder = parentOf(target); ; folder = parentOf(folder)) {
      const relative = folder === '' ? target : target.slice(folder.length + 1);
      const verdict = verdictOf(rules(folder), relative, isFolder);
      if (verdict !== undefined) return verdict;
      if (folder === '') return false;
    }
  }

  function isIgnored(target: string, isFolder: boolean): boolean {
    const key = isFolder ? `${target}/` : target;
    const known = verdicts.get(key);
    if (known !== undefined) return known;
    // Below an ignored folder, no pattern can bring anything back.
    const parent = parentOf(target);
    const verdict = (parent !== '' && isIgnored(parent, true)) || decide(target, isFolder);
    verdicts.set(key, verdict);
    return verdict;
  }

  return (given) => {
    const target = path.posix.normalize(given).replace(/\/+$/, '');
    if (!ignore.isPathValid(target) || target === '.') return false;
    if (target.split('/').includes('.git')) return false;
    return isIgnored(target, given.endsWith('/') || isFolderOnDisk(layout.root, target));
  };
}

/** What the patterns of one folder say: ignored, brought back, or nothing. */
function verdictOf(
  rules: Ignore | undefined,
  relative: string,
  isFolder: boolean,
): boolean | undefined {
  if (rules === undefined) return undefined;
  const answer = rules.test(isFolder ? `${relative}/` : relative);
  if (answer.unignored) return false;
  if (!answer.ignored) return undefined;
  // A folder above was decided before, and was not ignored: nearer patterns had brought it back.
  const parent = parentOf(relative);
  return parent !== '' && rules.test(`${parent}/`).ignored ? undefined : true;
}

function readRules(layout: GitLayout, folder: string): Ignore | undefined {
  const own = readPatterns(path.join(layout.root, folder, '.gitignore'));
  // Patterns added later win, and info/exclude is weaker than any .gitignore.
  const weaker =
    folder === '' ? readPatterns(path.join(layout.commonDir, 'info/exclude')) : undefined;
  if (own === undefined && weaker === undefined) return undefined;
  return ignore({ ignorecase: layout.ignoreCase })
    .add(weaker ?? '')
    .add(own ?? '');
}

function readPatterns(file: string): string | undefined {
  // Git does not follow a .gitignore that is a symbolic link.
  if (!fs.lstatSync(file, { throwIfNoEntry: false })?.isFile()) return undefined;
  return readBounded(file, limits.ignoreBytesMax)?.toString('utf8');
}

function isFolderOnDisk(root: string, target: string): boolean {
  return fs.lstatSync(path.join(root, target), { throwIfNoEntry: false })?.isDirectory() === true;
}

function parentOf(target: string): string {
  const slash = target.lastIndexOf('/');
  return slash < 0 ? '' : target.slice(0, slash);
}
