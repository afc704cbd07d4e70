/** A thread with the S3 server of the tests, which needs nothing but npm. */
import { parentPort } from 'node:worker_threads';
import { useTypeScript } from './typescript.js';

useTypeScript();
const { startS3Server } = await import('../../support/s3-server.ts');
const { endpoint, region, accessKey, secret } = await startS3Server({});
parentPort.postMessage({ endpoint, region, accessKey, secret, bucket: 'models' });
