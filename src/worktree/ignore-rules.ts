import * as path from 'node:path';
import { readBounded } from '../base/files.ts';
import { IgnoreRules } from '../base/ignore-rules.ts';
import { limits } from '../base/limits.ts';

/** The file of patterns, in gitignore syntax, that leaves files out of what is added. */
export const mstoreIgnoreName = '.mstoreignore';

/**
 * Rules of the ignore files of one name. Letter case counts on every system.
 * @param root absolute folder; patterns of files above it do not count
 */
export function ignoreFileRules(root: string, fileName: string): IgnoreRules {
  return new IgnoreRules((folder) =>
    readBounded(path.join(root, folder, fileName), limits.ignoreBytesMax)?.toString(),
  );
}
