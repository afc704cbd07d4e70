import * as path from 'node:path';
import ignore, { type Ignore } from 'ignore';
import { readBounded } from '../base/files.ts';
import { limits } from '../base/limits.ts';

/** The file of patterns, in gitignore syntax, that leaves files out of what is added. */
export const mstoreIgnoreName = '.mstoreignore';

/**
 * Patterns of ignore files, read as a walk comes to them. As in Git, a file's patterns concern the
 * paths below its folder, the deepest file that says something decides, and what lies in an ignored
 * folder stays ignored. Letter case counts on every system.
 */
export class IgnoreRules {
  readonly #root: string;
  readonly #fileName: string;
  /** The rules that concern entries of a folder, those of the deepest folder first. */
  readonly #chains = new Map<string, readonly FolderRules[]>();

  /** @param root absolute folder; patterns of files above it do not count */
  constructor(root: string, fileName: string) {
    this.#root = root;
    this.#fileName = fileName;
  }

  /**
   * Tells whether an entry is ignored, its parents having been found not to be.
   * @param relative `/`-separated path from the root
   */
  ignores(relative: string, isFolder: boolean): boolean {
    for (const { start, rules } of this.#chainOf(parentOf(relative))) {
      const below = relative.slice(start);
      const verdict = rules.test(isFolder ? `${below}/` : below);
      if (verdict.ignored) return true;
      if (verdict.unignored) return false;
    }
    return false;
  }

  /** Tells whether an entry, or a folder above it, is ignored. */
  ignoresWithParents(relative: string, isFolder: boolean): boolean {
    for (let cut = relative.indexOf('/'); cut > 0; cut = relative.indexOf('/', cut + 1)) {
      if (this.ignores(relative.slice(0, cut), true)) return true;
    }
    return this.ignores(relative, isFolder);
  }

  #chainOf(folder: string): readonly FolderRules[] {
    const known = this.#chains.get(folder);
    if (known !== undefined) return known;
    const above = folder === '' ? [] : this.#chainOf(parentOf(folder));
    const rules = this.#read(folder);
    const start = folder === '' ? 0 : folder.length + 1;
    const chain = rules === undefined ? above : [{ start, rules }, ...above];
    this.#chains.set(folder, chain);
    return chain;
  }

  #read(folder: string): Ignore | undefined {
    const bytes = readBounded(path.join(this.#root, folder, this.#fileName), limits.ignoreBytesMax);
    if (bytes === undefined) return undefined;
    return ignore({ ignorecase: false, allowRelativePaths: true }).add(bytes.toString());
  }
}

/** The patterns of one folder. */
interface FolderRules {
  /** Where the part of a path that they look at starts. */
  readonly start: number;
  readonly rules: Ignore;
}

function parentOf(relative: string): string {
  const slash = relative.lastIndexOf('/');
  return slash === -1 ? '' : relative.slice(0, slash);
}
