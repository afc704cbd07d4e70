import { type ErrorCode, MstoreError } from '../base/errors.ts';
import { formatBytes } from '../base/format-bytes.ts';
import { printable } from '../base/names.ts';
import { packProblem } from '../pack/format.ts';
import type { Store } from '../store/local-store.ts';

/** Something that was wrong with a remote and was got over. */
export interface RemoteProblem {
  readonly code: ErrorCode;
  readonly message: string;
  readonly hint?: string;
}

/** Says of an error what results tell of it. */
export function problemOf({ code, message, hint }: MstoreError): RemoteProblem {
  return { code, message, ...(hint === undefined ? {} : { hint }) };
}

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

/**
 * Says of missing bytes that they may be in what is damaged: that is to be healed, and may be all there is.
 * @param damage what was found on the way; none leaves the error as it is
 */
export function orDamage(missing: MstoreError, damage: readonly MstoreError[]): MstoreError {
  const [first] = damage;
  if (first === undefined) return missing;
  const told = damage.map(({ message }) => `. ${message}`);
  return new MstoreError(first.code, missing.message + told.join(''), {
    ...(first.hint === undefined ? {} : { hint: first.hint }),
    details: { ...missing.details, ...first.details },
    cause: first,
  });
}

/** The errors of packs of the local store that turned out to be damaged, a few of them. */
export function damageHere(store: Store): MstoreError[] {
  const packs = [...store.damagedPacks()].slice(0, pathsShown);
  return packs.map(([pack, reason]) => packProblem(reason, pack));
}
