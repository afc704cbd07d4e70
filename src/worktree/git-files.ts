import * as path from 'node:path';
import { clearDeadTemps } from '../base/dead-temps.ts';
import {
  readBounded,
  removeFile,
  settleFolder,
  syncFolder,
  writeAtomically,
} from '../base/files.ts';
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
    const pattern = asLatin1(ignorePattern(name));
    return lines.some((line) => bare(line) === pattern) ? lines : withLine(lines, pattern);
  });
}

/** Takes the line of {@link addIgnoreLine} out again; a file that held nothing else is removed. */
export function removeIgnoreLine(
  folder: string,
  name: string,
  lockFolder: string,
): Promise<boolean> {
  return editLines(path.join(folder, '.gitignore'), lockFolder, (lines) => {
    const pattern = asLatin1(ignorePattern(name));
    return lines.filter((line) => bare(line) !== pattern);
  });
}

/** Adds the attributes of pointers to `.gitattributes`, unless the user has set some for them. */
export function ensureAttributes(root: string, lockFolder: string): Promise<boolean> {
  return editLines(path.join(root, '.gitattributes'), lockFolder, (lines) => {
    return lines.some(isPointerLine) ? lines : withLine(lines, attributesLine);
  });
}

/** Takes lines out of a file of attributes, all that hold exactly a text; a file that held nothing else is removed. */
export function removeAttributeLines(
  file: string,
  text: string,
  lockFolder: string,
): Promise<boolean> {
  const unwanted = asLatin1(text);
  return editLines(file, lockFolder, (lines) => lines.filter((line) => bare(line) !== unwanted));
}

/** Names the diff driver `mstore` for pointers, beside the attributes that are set. */
export function addDiffDriver(root: string, lockFolder: string): Promise<boolean> {
  return editLines(path.join(root, '.gitattributes'), lockFolder, (lines) => {
    const named = lines.some((line) => isPointerLine(line) && /\sdiff=/.test(line));
    return named ? lines : withLine(lines, `*${pointerSuffix} diff=mstore`);
  });
}

function isPointerLine(line: string): boolean {
  return line.trim().split(/\s+/)[0] === `*${pointerSuffix}`;
}

/** A line without its end. */
function bare(line: string): string {
  return line.replace(/\r?\n$/, '');
}

/** Adds a line that ends as the others do; where the last has no end, it gets one. */
function withLine(lines: readonly string[], added: string): string[] {
  const newline = lines.some((line) => line.endsWith('\r\n')) ? '\r\n' : '\n';
  const ended = lines.map((line) => (line.endsWith('\n') ? line : line + newline));
  return [...ended, added + newline];
}

function asLatin1(text: string): string {
  return Buffer.from(text).toString('latin1');
}

/**
 * Edits a file as a list of lines, each with its end. Every character stands for one byte, so that
 * lines in whatever encoding stay as they are.
 */

async function editLines(
  file: string,
  lockFolder: string,
  edit: (lines: readonly string[]) => readonly string[],
): Promise<boolean> {
  return withLock(path.join(lockFolder, 'git-files.lock'), () => {
    clearDeadTemps(lockFolder);
    clearDeadTemps(path.dirname(file), '.');
    const bytes = readBounded(file, limits.ignoreBytesMax, { noFollow: true });
    const text = bytes?.toString('latin1') ?? '';
    const lines = text.match(/[^\n]*\n|[^\n]+$/g) ?? [];
    const edited = edit(lines);
    if (edited.length === lines.length) {
      settleFolder(path.dirname(file));
      return false;
    }
    if (edited.length === 0) {
      removeFile(file);
      syncFolder(path.dirname(file));
    } else writeAtomically(file, Buffer.from(edited.join(''), 'latin1'));
    return true;
  });
}
