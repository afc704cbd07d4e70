import * as path from 'node:path';
import { readBounded } from '../../base/files.ts';
import { IgnoreRules } from '../../base/ignore-rules.ts';
import { limits } from '../../base/limits.ts';

/** A line of a file of attributes that has Git LFS keep files. */
export interface KeptLine {
  /** The file, from the top of the repository. */
  readonly file: string;
  /** The line, without its end. */
  readonly text: string;
}

/** Lines that track nothing any more. */
export interface NeedlessLines {
  /** Those that name one file, and no pattern. */
  readonly literal: readonly KeptLine[];
  /** Those with a pattern, which may be meant for files to come. */
  readonly patterns: readonly KeptLine[];
}

/**
 * Finds the lines of `.gitattributes` that had Git LFS keep some files, and fit no other file of the commit.
 * @param root of the repository
 * @param taken paths from there that Git LFS does not keep any more
 * @param remaining all other paths
 */
export function attributeLines(
  root: string,
  taken: readonly string[],
  remaining: readonly string[],
): NeedlessLines {
  const literal: KeptLine[] = [];
  const patterns: KeptLine[] = [];
  for (const folder of foldersAbove(taken)) {
    const file = path.posix.join(folder, '.gitattributes');
    const bytes = readBounded(path.join(root, file), limits.ignoreBytesMax, { noFollow: true });
    for (const text of bytes?.toString('utf8').split(/\r?\n/) ?? []) {
      const pattern = patternOf(text);
      if (pattern === undefined) continue;
      const fits = fitter(folder, pattern);
      if (!taken.some(fits) || remaining.some(fits)) continue;
      (/[*?[\\]/.test(pattern) ? patterns : literal).push({ file, text });
    }
  }
  return { literal, patterns };
}

function foldersAbove(paths: readonly string[]): string[] {
  const folders = new Set<string>(['']);
  for (const name of paths) {
    for (let end = name.lastIndexOf('/'); end > 0; end = name.lastIndexOf('/', end - 1)) {
      folders.add(name.slice(0, end));
    }
  }
  return [...folders].sort();
}

/** The pattern of a line that sets the filter of Git LFS; patterns in quotes are left alone. */
function patternOf(text: string): string | undefined {
  const [pattern = '', ...attributes] = text.trim().split(/\s+/);
  if (pattern === '' || /^["#!]|^\[attr\]/.test(pattern)) return undefined;
  return attributes.includes('filter=lfs') ? pattern : undefined;
}

/** Tells what a pattern fits as Git does: as in `.gitignore`, but that a folder does not stand for what is in it. */
export function fitter(folder: string, pattern: string): (name: string) => boolean {
  const rules = new IgnoreRules((at) => (at === '' ? pattern : undefined));
  const prefix = folder === '' ? '' : `${folder}/`;
  return (name) => name.startsWith(prefix) && rules.ignores(name.slice(prefix.length), false);
}
