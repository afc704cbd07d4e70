import { testS3Server } from '../support/s3-remote.ts';
import { s3Target } from '../support/s3-target.ts';
import { uploadsContract } from './remote-uploads.ts';

const { endpoint, region } = await testS3Server({ pageMax: 4 });
uploadsContract(
  s3Target({ name: 'the test server', endpoint, region, bucket: 'models', prefix: 'team/' }),
);
