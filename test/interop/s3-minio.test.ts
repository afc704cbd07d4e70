import { s3Facts } from '../contract/s3-facts.ts';
import { startMinio } from '../support/s3-servers.ts';
import { s3Commands } from './s3-commands.ts';
import { directSuites, proxySuites } from './service-suites.ts';

const target = await startMinio();
s3Facts(target);
s3Commands(target);
directSuites(target);
proxySuites(target);
