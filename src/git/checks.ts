import { MstoreError } from '../base/errors.ts';
import { printable } from '../base/names.ts';
import { isObjectId } from './revision.ts';

/** Tells whether a mode is that of a regular file: those have 100644 or 100755; links 120000, submodules 160000. */
export function isRegularMode(mode: string | undefined): boolean {
  return mode?.startsWith('100') === true;
}

/**
 * Checks that a text is a whole object id.
 * @throws MstoreError `git-failed`
 */
export function checkObjectId(oid: string): void {
  if (isObjectId(oid)) return;
  throw new MstoreError(
    'git-failed',
    `Not the id of a Git object: ${printable(oid.slice(0, 100))}`,
    {
      hint: 'Ids have 40 (or 64) hexadecimal digits; resolve a name or an abbreviated id first',
    },
  );
}

/** Makes the error for an id that belongs to a commit, a tree or a tag. */
export function notAFile(oid: string, type: string | undefined): MstoreError {
  return new MstoreError('git-failed', `Git object ${oid} is no file but a ${type}`);
}

/** Makes the error for a content above the bound of its reader. */
export function tooLarge(oid: string, size: number, bytesMax: number): MstoreError {
  return new MstoreError(
    'too-large',
    `Git object ${oid} holds ${size} bytes; at most ${bytesMax} are read`,
    { details: { oid, size } },
  );
}
