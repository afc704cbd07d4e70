import { startVersityGateway } from '../support/s3-servers.ts';
import { serviceSuites } from './service-suites.ts';

serviceSuites(await startVersityGateway());
