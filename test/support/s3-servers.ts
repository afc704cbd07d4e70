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

const versityGateway: GoProgram = {
  from: 'github.com/versity/versitygw/cmd/versitygw',
  version: 'v1.8.0',
  name: 'versitygw',
};

/** Starts the gateway of Versity, which keeps objects as files. */
export async function startVersityGateway(): Promise<S3Target> {
  const program = installGoProgram(versityGateway);
  const { port } = await startServerProcess(({ folder, port }) => ({
    program,
    args: ['--port', `127.0.0.1:${port}`, '--region', testRegion, '--quiet', 'posix', folder],
    env: {
      ROOT_ACCESS_KEY: testCredentials.accessKeyId,
      ROOT_SECRET_KEY: testCredentials.secretAccessKey,
    },
  }));
  return readyTarget('versitygw', port);
}

/** Makes the bucket of a server that was started here, and sets the credentials for it. */
async function readyTarget(name: string, port: number): Promise<S3Target> {
  useTestCredentials();
  const endpoint = `http://127.0.0.1:${port}`;
  const target = s3Target({ name, endpoint, region: testRegion, bucket: 'models', prefix: '' });
  await s3Client(target).send(new CreateBucketCommand({ Bucket: target.bucket }));
  return target;
}
