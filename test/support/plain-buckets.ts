import { createHash } from 'node:crypto';
import { gcsEnvironment, testGcsServer } from './gcs-remote.ts';
import { s3Environment, testS3Server, testTls } from './s3-remote.ts';

/** A folder of a bucket with files that no mstore wrote. */
export interface PlainBucket {
  readonly url: string;
  put(key: string, bytes: Buffer, modified?: Date): void;
  remove(key: string): void;
}

const old = new Date('2026-01-01T00:00:00Z');

/** Starts a service of each kind, which ends with the tests of the file. */
export async function plainBuckets(): Promise<{
  readonly env: NodeJS.ProcessEnv;
  readonly buckets: Readonly<Record<'s3' | 'gs', PlainBucket>>;
}> {
  const s3 = await testS3Server();
  const gcs = await testGcsServer();
  const env = {
    ...s3Environment(s3),
    AWS_ENDPOINT_URL: s3.endpoint,
    AWS_REGION: s3.region,
    NODE_EXTRA_CA_CERTS: testTls.authority,
    ...gcsEnvironment(gcs),
    STORAGE_EMULATOR_HOST: gcs.endpoint,
  };
  const buckets = {
    s3: {
      url: 's3://models/some folder/bert',
      put(key: string, bytes: Buffer, modified = old) {
        const etag = `"${createHash('md5').update(bytes).digest('hex')}"`;
        const object = { bytes, etag, headers: {}, modified };
        s3.buckets.get('models')?.set(`some folder/bert/${key}`, object);
      },
      remove: (key: string) => void s3.buckets.get('models')?.delete(`some folder/bert/${key}`),
    },
    gs: {
      // An emulator gets no credentials: anybody may read this one.
      url: 'gs://public/some folder/bert',
      put(key: string, bytes: Buffer, modified = old) {
        const object = { bytes, generation: 1, resource: {}, created: modified };
        gcs.buckets.get('public')?.set(`some folder/bert/${key}`, object);
      },
      remove: (key: string) => void gcs.buckets.get('public')?.delete(`some folder/bert/${key}`),
    },
  };
  return { env, buckets };
}
