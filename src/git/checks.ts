import { MstoreError } from '../base/errors.ts';
import { printable } from '../base/names.ts';
import { isObjectId, isReferenceName } from './revision.ts';

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

/** Tells whether Git takes a name for a tag. */
export function isTagName(name: string): boolean {
  return isReferenceName(`refs/tags/${name}`) && !name.startsWith('-');
}

/** Makes the error for a name that Git does not take for a tag. */
export function badTagName(name: string): MstoreError {
  return new MstoreError('git-failed', `Git takes no tag of the name ${printable(name)}`, {
    hint: 'Names of tags have no spaces, no "..", none of ~^:?*[ and no part that begins with a dot or ends with ".lock"',
    details: { name },
  });
}
