import { MstoreError } from '../base/errors.ts';
import { printable } from '../base/names.ts';

/**
 * Builds the error of a package that cannot be used.
 * @param where the package, for people
 * @param what completes "PACKAGE cannot be used: …"
 */
export function corruptPackage(where: string, what: string, cause?: unknown): MstoreError {
  return new MstoreError('corrupt-package', `${printable(where)} cannot be used: ${what}`, {
    hint: 'Nothing of it was taken; get the package again, or make it anew with "mstore package" where the version is',
    details: { path: where },
    cause,
  });
}
