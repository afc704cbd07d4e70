import * as path from 'node:path';
import { readBounded, removeFile, writeAtomically } from '../base/files.ts';
import { limits } from '../base/limits.ts';
import { withLock } from '../base/lock.ts';
import { pointerSuffix } from './pointer.ts';

/** The line of `.gitattributes` that keeps pointers byte-identical on every system. */
export const attributesLine = `*${pointerSuffix} text eol=lf`;

/** The pattern that ignores exactly one entry of the folder of a `.gitignore`. */
export function ignorePattern(name: string): string {
  // Git drops spaces at the end of a line unless they are escaped.
  const escaped = name.replace(/[\\*?[\]]/g, '\\$&').replace(/ +$/, (s) => '\\ '.repeat(s.length));
  return `/${escaped}`;
}

/**
 * Makes Git ignore an entry: adds one line to the `.gitignore` of its folder, and leaves all others as
 * they are. Does nothing when the line is there.
 * @param lockFolder an existing folder for the lock that joins parallel runs
 * @returns whether the file was changed
 */
export function addIgnoreLine(folder: string, name: string, lockFolder: string): Promise<boolean> {
  return editLines(path.join(folder, '.gitignore'), lockFolder, (lines) => {
    const pattern = ignorePattern(name);
    return lines.includes(pattern) ? lines : [...lines, pattern];
  });
}

/** Takes the line of {@link addIgnoreLine} out again; a file that held nothing else is removed. */
export function removeIgnoreLine(
  folder: string,
  name: string,
  lockFolder: string,
): Promise<boolean> {
  return editLines(path.join(folder, '.gitignore'), lockFolder, (lines) => {
    const pattern = ignorePattern(name);
    return lines.filter((line) => line !== pattern);
  });
}

/** Adds the attributes of pointers to `.gitattributes`, unless the user has set some for them. */
export function ensureAttributes(root: string, lockFolder: string): Promise<boolean> {
  return editLines(path.join(root, '.gitattributes'), lockFolder, (lines) => {
    const set = lines.some((line) => line.trim().split(/\s+/)[0] === `*${pointerSuffix}`);
    return set ? lines : [...lines, attributesLine];
  });
}

async function editLines(
  file: string,
  lockFolder: string,
  edit: (lines: readonly string[]) => readonly string[],
): Promise<boolean> {
  return withLock(path.join(lockFolder, 'git-files.lock'), () => {
    const text = readBounded(file, limits.ignoreBytesMax)?.toString() ?? '';
    const newline = text.includes('\r\n') ? '\r\n' : '\n';
    const lines = text === '' ? [] : text.split(/\r?\n/);
    if (lines.at(-1) === '') lines.pop();
    const edited = edit(lines);
    if (edited.length === lines.length) return false;
    if (edited.length === 0) removeFile(file);
    else writeAtomically(file, edited.map((line) => line + newline).join(''));
    return true;
  });
}
