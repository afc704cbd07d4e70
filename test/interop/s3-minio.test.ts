import { afterAll } from 'vitest';
import { uploadsContract } from '../contract/remote-uploads.ts';
import { s3Facts } from '../contract/s3-facts.ts';
import { resumeSuite } from '../fault/service-kill.ts';
import { startMinio } from '../support/s3-servers.ts';
import { endServers } from '../support/server-process.ts';
import { s3Commands } from './s3-commands.ts';
import { directSuites, proxySuites } from './service-suites.ts';

afterAll(endServers);
const target = await startMinio();
s3Facts(target, {
  'a list of the uploads below a folder': {
    is: '0 of 1',
    why: 'it lists the uploads of one object alone, and ends unfinished ones itself after a day',
  },
});
s3Commands(target);
uploadsContract(target, { listsFolders: false });
directSuites(target);
proxySuites(target);
resumeSuite(target);
