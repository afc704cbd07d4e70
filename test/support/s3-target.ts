import { S3Client } from '@aws-sdk/client-s3';
import { systemRandom } from '../../src/base/clock.ts';
import { s3Remote } from '../../src/remote/s3.ts';
import type { ServiceTarget } from './service-target.ts';

/** Where a bucket of S3 is. */
export interface S3Place {
  readonly name: string;
  readonly endpoint: string;
  readonly region: string;
  readonly bucket: string;
  /** In front of all keys that tests make: empty, or with its final `/`. */
  readonly prefix: string;
}

/** A bucket of a service that speaks S3. */
export interface S3Target extends ServiceTarget, S3Place {}

/** Makes a target of a bucket. */
export function s3Target(place: S3Place): S3Target {
  const { endpoint, region, bucket, prefix } = place;
  const url = (folder: string) => `s3://${bucket}/${prefix}${folder}`;
  return {
    ...place,
    at: (other) => s3Target({ ...place, endpoint: other }),
    url,
    settings: { endpoint, region },
    remote(folder, options = {}) {
      const at = { bucket, prefix: `${prefix}${folder}/`, location: url(folder) };
      return s3Remote(at, { random: systemRandom, ...options, settings: { endpoint, region } });
    },
  };
}

/** What requests are signed with. */
export interface S3Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
}

/** The credentials of all servers that tests start. */
export const testCredentials: S3Credentials = {
  accessKeyId: 'TESTKEY',
  secretAccessKey: 'test secret',
};

/** The region of all servers that tests start. */
export const testRegion = 'eu-test-1';

/** Lets the SDK find these credentials, in this process and its children, and nothing of the machine. */
export function useTestCredentials(): void {
  process.env['AWS_ACCESS_KEY_ID'] = testCredentials.accessKeyId;
  process.env['AWS_SECRET_ACCESS_KEY'] = testCredentials.secretAccessKey;
  process.env['AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED'] = 'true';
  process.env['AWS_CONFIG_FILE'] = process.env['AWS_SHARED_CREDENTIALS_FILE'] = '/dev/null';
  process.env['AWS_EC2_METADATA_DISABLED'] = 'true';
  for (const name of ['AWS_PROFILE', 'AWS_REGION', 'AWS_DEFAULT_REGION', 'AWS_SESSION_TOKEN']) {
    delete process.env[name];
  }
}

/** A client for what tests ask a service directly, which tries nothing twice. */
export function s3Client({ endpoint, region }: S3Place, credentials?: S3Credentials): S3Client {
  return new S3Client({
    endpoint,
    region,
    forcePathStyle: true,
    ...(credentials === undefined ? {} : { credentials }),
    maxAttempts: 1,
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
  });
}
