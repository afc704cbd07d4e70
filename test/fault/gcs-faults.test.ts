import { testGcsServer } from '../support/gcs-remote.ts';
import { gcsTarget } from '../support/gcs-target.ts';
import { faultSuite } from './service-faults.ts';

const { endpoint } = await testGcsServer({ partBytesUnit: 64 * 1024, pageMax: 20 });
const place = { name: 'the test server of GCS', endpoint, bucket: 'models', prefix: '' };

faultSuite(gcsTarget({ ...place, signedIn: true }), { stallMsMax: 300, partBytes: 256 * 1024 });
