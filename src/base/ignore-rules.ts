import ignore, { type Ignore } from 'ignore';
import { MstoreError } from './errors.ts';
import { limits } from './limits.ts';

/** How patterns are read. */
export interface IgnoreOptions {
  /** Whether `A` and `a` are one name; they are two by default. */
  readonly ignoreCase?: boolean;
}

/**
 * Patterns of ignore files in gitignore syntax, read as a walk comes to them. As in Git, a file's
 * patterns concern the paths below its folder, the deepest file that says something decides, and what
 * lies in an ignored folder stays ignored.
 */
export class IgnoreRules {
  readonly #read: (folder: string) => string | undefined;
  readonly #options: { readonly ignorecase: boolean; readonly allowRelativePaths: true };
  /** The rules that concern entries of a folder, those of the deepest folder first. */
  readonly #chains = new Map<string, readonly FolderRules[]>();
  readonly #foldersIgnored = new Map<string, boolean>();

  /**
   * @param read returns the patterns that stand in a folder (its path from the top; empty for the top),
   * one a line, or undefined; asked once a folder
   */
  constructor(
    read: (folder: string) => string | undefined,
    { ignoreCase = false }: IgnoreOptions = {},
  ) {
    this.#read = read;
    this.#options = { ignorecase: ignoreCase, allowRelativePaths: true };
  }

  /**
   * Tells whether an entry is ignored, its parents having been found not to be.
   * @param relative `/`-separated path from the top
   */
  ignores(relative: string, isFolder: boolean): boolean {
    for (const rules of this.#chainOf(parentOf(relative))) {
      const below = relative.slice(rules.start);
      const verdict = this.#exact(rules, parentOf(below)).test(isFolder ? `${below}/` : below);
      if (verdict.ignored) return true;
      if (verdict.unignored) return false;
    }
    return false;
  }

  /** Tells whether an entry, or a folder above it, is ignored. */
  ignoresWithParents(relative: string, isFolder: boolean): boolean {
    const parent = parentOf(relative);
    if (parent !== '' && this.#ignoresFolder(parent)) return true;
    return this.ignores(relative, isFolder);
  }

  #ignoresFolder(folder: string): boolean {
    const known = this.#foldersIgnored.get(folder);
    if (known !== undefined) return known;
    const verdict = this.ignoresWithParents(folder, true);
    this.#foldersIgnored.set(folder, verdict);
    return verdict;
  }

  #chainOf(folder: string): readonly FolderRules[] {
    const known = this.#chains.get(folder);
    if (known !== undefined) return known;
    const above = folder === '' ? [] : this.#chainOf(parentOf(folder));
    const patterns = this.#read(folder);
    checkLengths(patterns ?? '');
    const start = folder === '' ? 0 : folder.length + 1;
    const own = () => ({
      start,
      patterns: patterns ?? '',
      rules: ignore(this.#options).add(patterns ?? ''),
      reopened: new Map<string, Ignore>(),
    });
    const chain = patterns === undefined ? above : [own(), ...above];
    this.#chains.set(folder, chain);
    return chain;
  }

  /**
   * Rules that judge the entries of a folder by their own paths. By itself the library takes what lies in
   * a folder that the patterns match for ignored, and cannot know that a deeper file brought it back.
   */
  #exact({ rules, patterns, reopened }: FolderRules, folder: string): Ignore {
    if (folder === '' || !rules.test(`${folder}/`).ignored) return rules;
    const known = reopened.get(folder);
    if (known !== undefined) return known;
    const parents: string[] = [];
    for (let parent = folder; parent !== ''; parent = parentOf(parent)) {
      parents.unshift(`!/${parent.replace(/[\\*?[\]!# ]/g, '\\$&')}/`);
    }
    const exact = ignore(this.#options).add(patterns).add(parents);
    reopened.set(folder, exact);
    return exact;
  }
}

function checkLengths(patterns: string): void {
  if (patterns.length <= limits.ignorePatternMax) return;
  if (patterns.split('\n').every((line) => line.length <= limits.ignorePatternMax)) return;
  throw new MstoreError(
    'too-large',
    `A pattern of an ignore file has more than ${limits.ignorePatternMax} characters`,
    { hint: 'Shorten it: no path is as long' },
  );
}

/** The patterns of one folder. */
interface FolderRules {
  /** Where the part of a path that they look at starts. */
  readonly start: number;
  readonly patterns: string;
  readonly rules: Ignore;
  /** The rules without what they say of a folder and those above it, by that folder. */
  readonly reopened: Map<string, Ignore>;
}

function parentOf(relative: string): string {
  const slash = relative.lastIndexOf('/');
  return slash === -1 ? '' : relative.slice(0, slash);
}
