import { afterAll } from 'vitest';
import { systemRandom } from '../../src/base/clock.ts';
import { gcsFacts } from '../contract/gcs-facts.ts';
import { gcsTarget } from '../support/gcs-target.ts';
import { directSuites, proxySuites } from './service-suites.ts';

/*
 * The suites on a bucket that variables name; see docs/testing.md. All of it is in a folder of its own,
 * which is emptied in the end.
 */
const bucket = process.env['MSTORE_TEST_GCS_BUCKET'] ?? '';
const endpoint = process.env['MSTORE_TEST_GCS_ENDPOINT'] || 'https://storage.googleapis.com';
const top = `mstore-test-${systemRandom.hex(8)}`;
const place = {
  name: bucket,
  endpoint,
  signedIn: new URL(endpoint).hostname.endsWith('.googleapis.com'),
  bucket,
  project: process.env['MSTORE_TEST_GCS_PROJECT'] || undefined,
};
const target = gcsTarget({ ...place, prefix: `${top}/` });
gcsFacts(target);
directSuites(target);
// The proxy speaks HTTP, and credentials go to Google alone.
if (endpoint.startsWith('http:')) proxySuites(target);

afterAll(async () => {
  const all = gcsTarget({ ...place, prefix: '' }).remote(top);
  for await (const { key } of all.list('')) await all.delete(key);
});
