import { testS3Server } from '../support/s3-remote.ts';
import { s3Target } from '../support/s3-target.ts';
import { s3Facts } from './s3-facts.ts';

const { endpoint, region } = await testS3Server();
s3Facts(s3Target({ name: 'The test server', endpoint, region, bucket: 'models', prefix: '' }));
