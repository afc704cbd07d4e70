import { testGcsServer } from '../support/gcs-remote.ts';
import { gcsTarget } from '../support/gcs-target.ts';
import { gcsFacts } from './gcs-facts.ts';

const { endpoint } = await testGcsServer();
const place = { name: 'The test server', endpoint, bucket: 'models', prefix: '' };
gcsFacts(gcsTarget({ ...place, signedIn: true }));
