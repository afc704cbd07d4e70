import { testGcsServer } from '../support/gcs-remote.ts';
import { gcsTarget } from '../support/gcs-target.ts';
import { runs } from '../support/runs.ts';
import { hostsSuite } from './service-hosts.ts';
import { killSuite } from './service-kill.ts';

const { endpoint } = await testGcsServer();
const place = { name: 'the test server of GCS', endpoint, bucket: 'open', prefix: '' };
const target = gcsTarget({ ...place, signedIn: false });

killSuite(target, runs(6).numRuns);
hostsSuite(target, 3);
