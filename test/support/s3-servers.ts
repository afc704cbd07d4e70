import { CreateBucketCommand } from '@aws-sdk/client-s3';
import { type GoProgram, installGoProgram } from './go-program.ts';
import {
  type S3Target,
  s3Client,
  s3Target,
  testCredentials,
  testRegion,
  useTestCredentials,
} from './s3-target.ts';
import { startServerProcess } from './server-process.ts';

const { accessKeyId, secretAccessKey } = testCredentials;

/** The gateway of Versity. */
export const versityGateway: GoProgram = {
  from: 'github.com/versity/versitygw/cmd/versitygw',
  version: 'v1.8.0',
  name: 'versitygw',
};

/** Starts the gateway of Versity, which keeps objects as files. */
export async function startVersityGateway(): Promise<S3Target> {
  const program = await installGoProgram(versityGateway);
  const { port } = await startServerProcess(({ folder, port }) => ({
    program,
    args: ['--port', `127.0.0.1:${port}`, '--region', testRegion, '--quiet', 'posix', folder],
    env: { ROOT_ACCESS_KEY: accessKeyId, ROOT_SECRET_KEY: secretAccessKey },
  }));
  return readyTarget('versitygw', port);
}

/** MinIO. */
export const minio: GoProgram = {
  from: 'github.com/minio/minio',
  version: 'v0.0.0-20260212201848-7aac2a2c5b7c',
  name: 'minio',
};

/** Starts MinIO over one folder. */
export async function startMinio(): Promise<S3Target> {
  const program = await installGoProgram(minio);
  const { port } = await startServerProcess(({ folder, port }) => ({
    program,
    args: ['server', '--quiet', '--address', `127.0.0.1:${port}`, `${folder}/data`],
    env: {
      MINIO_ROOT_USER: accessKeyId,
      MINIO_ROOT_PASSWORD: secretAccessKey,
      MINIO_REGION: testRegion,
      MINIO_BROWSER: 'off',
      MINIO_UPDATE: 'off',
    },
  }));
  return readyTarget('MinIO', port);
}

/** Makes the bucket of a server that was started here, and sets the credentials for it. */
export async function readyTarget(name: string, port: number): Promise<S3Target> {
  useTestCredentials();
  const endpoint = `http://127.0.0.1:${port}`;
  const target = s3Target({ name, endpoint, region: testRegion, bucket: 'models', prefix: '' });
  await s3Client(target).send(new CreateBucketCommand({ Bucket: target.bucket }));
  return target;
}
