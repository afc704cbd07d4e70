import { afterAll } from 'vitest';
import { uploadsContract } from '../contract/remote-uploads.ts';
import { s3Facts } from '../contract/s3-facts.ts';
import { resumeSuite } from '../fault/service-kill.ts';
import { startVersityGateway } from '../support/s3-servers.ts';
import { endServers } from '../support/server-process.ts';
import { s3Commands } from './s3-commands.ts';
import { directSuites, proxySuites } from './service-suites.ts';

afterAll(endServers);
const target = await startVersityGateway();
s3Facts(target, {
  'an unknown key': {
    is: 'XAdminUserNotFound',
    why: 'its user service answers in its own words; the backend knows them',
  },
});
s3Commands(target);
uploadsContract(target);
directSuites(target);
proxySuites(target);
resumeSuite(target);
