/** The servers that the section of services measures with; each starts empty, on the loopback. */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { useTypeScript } from './typescript.js';

/** All servers, by the names that the options know. */
export const serviceServers = {
  versitygw: {
    title: 'S3, versitygw',
    scheme: 's3',
    async program() {
      useTypeScript();
      const { versityGateway } = await import('../../support/s3-servers.ts');
      return versityGateway;
    },
    async start() {
      useTypeScript();
      const { startVersityGateway } = await import('../../support/s3-servers.ts');
      return s3Target(await startVersityGateway());
    },
  },
  minio: {
    title: 'S3, MinIO',
    scheme: 's3',
    async program() {
      useTypeScript();
      const { minio } = await import('../../support/s3-servers.ts');
      return minio;
    },
    async start() {
      useTypeScript();
      const { startMinio } = await import('../../support/s3-servers.ts');
      return s3Target(await startMinio());
    },
  },
  'fake-gcs-server': {
    title: 'Google Cloud Storage, fake-gcs-server',
    scheme: 'gs',
    async program() {
      useTypeScript();
      const { fakeGcsServer } = await import('../../support/gcs-servers.ts');
      return fakeGcsServer;
    },
    async start(publicUrl) {
      useTypeScript();
      const { startFakeGcsServer } = await import('../../support/gcs-servers.ts');
      const { endpoint, bucket } = await startFakeGcsServer(publicUrl);
      return { endpoint, bucket, end: await endOfServers() };
    },
  },
  /** Holds all in memory, and is slow: it proves that the section works. */
  test: {
    title: 'S3, the server of the tests',
    scheme: 's3',
    async start() {
      const worker = new Worker(new URL('test-server.js', import.meta.url));
      const [target] = await once(worker, 'message');
      return { ...target, end: () => worker.terminate() };
    },
  },
};

/** The servers that are measured where no others are asked for. */
export const usualServers = Object.keys(serviceServers).filter((name) => name !== 'test');

/** Where a program of Go is that was built; undefined where it was not. */
export async function builtProgram(program) {
  useTypeScript();
  const { builtGoProgram } = await import('../../support/go-program.ts');
  return builtGoProgram(program);
}

async function s3Target({ endpoint, region, bucket }) {
  const { testCredentials } = await import('../../support/s3-target.ts');
  const { accessKeyId: accessKey, secretAccessKey: secret } = testCredentials;
  return { endpoint, region, bucket, accessKey, secret, end: await endOfServers() };
}

async function endOfServers() {
  const { endServers } = await import('../../support/server-process.ts');
  return endServers;
}
