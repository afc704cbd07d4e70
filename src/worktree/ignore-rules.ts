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
  readonly #folders = new Map<string, Ignore | undefined>();

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
    let folder = path.posix.dirname(relative);
    for (;;) {
      const rules = this.#rulesOf(folder === '.' ? '' : folder);
      if (rules !== undefined) {
        const below = folder === '.' ? relative : relative.slice(folder.length + 1);
        const verdict = rules.test(isFolder ? `${below}/` : below);
        if (verdict.ignored) return true;
        if (verdict.unignored) return false;
      }
      if (folder === '.') return false;
      folder = path.posix.dirname(folder);
    }
  }

  /** Tells whether an entry, or a folder above it, is ignored. */
  ignoresWithParents(relative: string, isFolder: boolean): boolean {
    for (let cut = relative.indexOf('/'); cut > 0; cut = relative.indexOf('/', cut + 1)) {
      if (this.ignores(relative.slice(0, cut), true)) return true;
    }
    return this.ignores(relative, isFolder);
  }

  #rulesOf(folder: string): Ignore | undefined {
    if (this.#folders.has(folder)) return this.#folders.get(folder);
    const bytes = readBounded(path.join(this.#root, folder, this.#fileName), limits.ignoreBytesMax);
    const rules =
      bytes === undefined
        ? undefined
        : ignore({ ignorecase: false, allowRelativePaths: true }).add(bytes.toString());
    this.#folders.set(folder, rules);
    return rules;
  }
}
