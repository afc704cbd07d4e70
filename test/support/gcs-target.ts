import { systemClock, systemRandom } from '../../src/base/clock.ts';
import { gcsRemote } from '../../src/remote/gcs.ts';
import type { ServiceTarget } from './service-target.ts';

/** Where a bucket of Cloud Storage is. */
export interface GcsBucket {
  readonly name: string;
  readonly endpoint: string;
  /** Whether requests carry the credentials that the SDK finds. Commands send these to Google alone. */
  readonly signedIn: boolean;
  readonly bucket: string;
  /** In front of all keys that tests make: empty, or with its final `/`. */
  readonly prefix: string;
  /** The project that pays, where the bucket lets whoever asks pay. */
  readonly project?: string | undefined;
}

/** A bucket of a service that speaks as Cloud Storage does. */
export interface GcsTarget extends ServiceTarget, GcsBucket {}

/** Makes a target of a bucket. */
export function gcsTarget(place: GcsBucket): GcsTarget {
  const { endpoint, signedIn, bucket, prefix, project } = place;
  const url = (folder: string) => `gs://${bucket}/${prefix}${folder}`;
  const pays = project === undefined ? undefined : { project, requesterPays: true };
  return {
    ...place,
    at: (other) => gcsTarget({ ...place, endpoint: other }),
    url,
    settings: { endpoint, ...(project === undefined ? {} : { project, requester_pays: true }) },
    remote(folder, options = {}) {
      const at = { bucket, prefix: `${prefix}${folder}/`, location: url(folder) };
      const settings = { endpoint, endpointTrusted: signedIn, ...pays };
      return gcsRemote(at, { clock: systemClock, random: systemRandom, ...options, settings });
    },
  };
}
