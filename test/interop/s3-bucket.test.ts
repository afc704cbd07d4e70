import { uploadsContract } from '../contract/remote-uploads.ts';
import { s3Facts } from '../contract/s3-facts.ts';
import { resumeSuite } from '../fault/service-kill.ts';
import { s3Target } from '../support/s3-target.ts';
import { s3Commands } from './s3-commands.ts';
import { directSuites, proxySuites } from './service-suites.ts';

/** Reads a variable that must be set where a bucket is named. */
function variable(name: string): string {
  const value = process.env[name] ?? '';
  if (value === '') throw new Error(`Set ${name}: see docs/testing.md`);
  return value;
}

const [, bucket = '', folder = ''] =
  /^s3:\/\/([^/]+)\/?(.*?)\/*$/.exec(variable('MSTORE_TEST_S3_URL')) ?? [];
const target = s3Target({
  name: bucket,
  endpoint: variable('MSTORE_TEST_S3_ENDPOINT'),
  region: variable('MSTORE_TEST_S3_REGION'),
  bucket,
  prefix: folder === '' ? '' : `${folder}/`,
});
s3Facts(target);
s3Commands(target);
uploadsContract(target);
directSuites(target);
// The proxy speaks HTTP, and requests are signed for the name of the host that they are sent to.
if (target.endpoint.startsWith('http:')) {
  proxySuites(target);
  resumeSuite(target);
}
