import type { Digest } from '../base/digest.ts';
import { MstoreError } from '../base/errors.ts';

/**
 * Says how a damaged object of a remote is healed. What it held of older versions has to be sent again too.
 * @param object names it in the middle of a sentence
 */
export function pushedAgain(object: string): string {
  return `Remove ${object} from the remote, then push again with --all-versions from a host that has the data`;
}

/** Builds the error of a pack of the local store that is gone: a clean-up may have taken it away. */
export function missingPack(pack: Digest): MstoreError {
  return new MstoreError('objects-missing', `The pack ${pack} is missing from the store`, {
    hint: 'Run "mstore fetch" to get its data again',
    details: { pack },
  });
}
