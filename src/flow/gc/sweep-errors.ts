import { MstoreError } from '../../base/errors.ts';
import { sweepMsMax } from '../sweep-watch.ts';
import type { GcPlace } from './place.ts';
import type { Reach } from './reach.ts';

/** Makes the error of a place that takes too long to be looked at. */
export function tooSlow({ remote: { location } }: GcPlace): MstoreError {
  const minutes = sweepMsMax / 60_000;
  return new MstoreError(
    'io',
    `Looking at what is kept in ${location} took over ${minutes} minutes, so that nothing may be removed any more`,
    {
      hint: 'Run it from a host nearer to the remote, or with more requests at once (--jobs)',
      details: { location },
    },
  );
}

/** Makes the error of a clean-up that others are in the way of. */
export function contested({ remote: { location } }: GcPlace): MstoreError {
  return new MstoreError('locked', `Another clean-up of ${location} is under way`, {
    hint: 'Wait for it to end; what was broken off counts as over after an hour',
    details: { location },
  });
}

/**
 * Ends a clean-up when something that is to be kept is not all there: as long as it is unknown which chunks it
 * had, they might be taken for useless.
 * @throws MstoreError `corrupt-remote`
 */
export function refuseMissing({ remote, name }: GcPlace, { missing, missingCount }: Reach): void {
  const [first] = missing;
  if (first === undefined) return;
  const more = missingCount > 1 ? `, and ${missingCount - 1} more` : '';
  throw new MstoreError(
    'corrupt-remote',
    `${remote.location} lacks data of ${first.name}${more}: nothing is cleaned up there`,
    {
      hint: `Run "mstore verify --remote ${name} --repair", or push from a host that has it`,
      details: { location: remote.location, missing: missing.map((one) => one.name) },
    },
  );
}
