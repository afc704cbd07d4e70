import { runs } from '../support/runs.ts';
import { testS3Server } from '../support/s3-remote.ts';
import { s3Target } from '../support/s3-target.ts';
import { hostsSuite } from './service-hosts.ts';
import { killSuite, resumeSuite } from './service-kill.ts';

const { endpoint, region } = await testS3Server();
const target = s3Target({
  name: 'the test server',
  endpoint,
  region,
  bucket: 'models',
  prefix: '',
});

resumeSuite(target);
killSuite(target, runs(8).numRuns);
hostsSuite(target, 4);
