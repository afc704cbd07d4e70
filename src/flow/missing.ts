import { MstoreError } from '../base/errors.ts';
import { formatBytes } from '../base/format-bytes.ts';
import { printable } from '../base/names.ts';

/** A tracked path of which some bytes cannot be had. */
export interface MissingPath {
  readonly path: string;
  readonly bytes: number;
}

/** Paths named in one message; the rest is counted. */
const pathsShown = 3;

/**
 * Builds the error of bytes that are not where they are needed.
 * @param where completes "N bytes of PATH are"
 */
export function missingError(
  paths: readonly MissingPath[],
  where: string,
  hint: string,
): MstoreError {
  const bytes = paths.reduce((sum, path) => sum + path.bytes, 0);
  const named = paths.slice(0, pathsShown).map(({ path }) => printable(path));
  const more = paths.length > pathsShown ? ` and ${paths.length - pathsShown} more` : '';
  return new MstoreError(
    'objects-missing',
    `${formatBytes(bytes)} of ${named.join(', ')}${more} are ${where}`,
    {
      hint,
      details: { bytes, paths: paths.map(({ path }) => path) },
    },
  );
}
