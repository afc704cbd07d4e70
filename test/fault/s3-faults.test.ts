import { testS3Server } from '../support/s3-remote.ts';
import { s3Target } from '../support/s3-target.ts';
import { faultSuite } from './service-faults.ts';

const { endpoint, region } = await testS3Server({ partBytesMin: 128 * 1024, pageMax: 20 });
const target = s3Target({
  name: 'the test server',
  endpoint,
  region,
  bucket: 'models',
  prefix: '',
});

faultSuite(target, { stallMsMax: 300, partBytes: 256 * 1024 });
