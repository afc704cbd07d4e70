import { afterAll, describe } from 'vitest';
import { systemClock, systemRandom } from '../../src/base/clock.ts';
import { gcsRemote } from '../../src/remote/gcs.ts';
import { retrying, retryPolicy } from '../../src/remote/wrappers/retry.ts';
import { remoteContract } from '../contract/remote.ts';

/*
 * The contract on a bucket of Google Cloud Storage, or of an emulator. Variables choose it; see
 * docs/testing.md. Credentials are those that the SDK finds.
 */
const bucket = process.env['MSTORE_TEST_GCS_BUCKET'] || undefined;
const endpoint = process.env['MSTORE_TEST_GCS_ENDPOINT'] || undefined;
const project = process.env['MSTORE_TEST_GCS_PROJECT'] || undefined;
const anonymous = process.env['MSTORE_TEST_GCS_ANONYMOUS'] === 'true';
const top = `mstore-test-${systemRandom.hex(8)}`;
const policy = retryPolicy({ clock: systemClock, random: systemRandom });
let runs = 0;

function remoteAt(prefix: string, partBytes?: number) {
  const place = { bucket: bucket ?? '', prefix, location: `gs://${bucket}/${prefix}` };
  const pays = project === undefined ? {} : { project, requesterPays: true };
  const settings = { endpoint, endpointTrusted: true, anonymous, ...pays };
  const how = { settings, clock: systemClock, random: systemRandom, policy };
  return retrying(gcsRemote(place, { ...how, ...(partBytes && { partBytes }) }), policy);
}

afterAll(async () => {
  if (bucket === undefined) return;
  const all = remoteAt(`${top}/`);
  for await (const { key } of all.list('')) await all.delete(key);
});

describe.runIf(bucket !== undefined)('a bucket that variables choose', () => {
  remoteContract('GCS', () => remoteAt(`${top}/${++runs}/`));
  remoteContract('GCS in parts', () => remoteAt(`${top}/${++runs}/`, 256 * 1024));
});
