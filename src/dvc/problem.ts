import { MstoreError } from '../base/errors.ts';
import { printable } from '../base/names.ts';

/** Builds the error of a file of DVC that cannot be understood. */
export function badDvcFile(where: string, what: string, cause?: unknown): MstoreError {
  return new MstoreError('corrupt-source', `${printable(where)} cannot be taken: ${what}`, {
    hint: 'Nothing of it was taken; look at it with DVC ("dvc status"), or restore it from Git',
    cause,
    details: { source: where },
  });
}
