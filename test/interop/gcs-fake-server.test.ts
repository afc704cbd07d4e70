import { afterAll } from 'vitest';
import { gcsFacts } from '../contract/gcs-facts.ts';
import { startFakeGcsServer } from '../support/gcs-servers.ts';
import { endServers } from '../support/server-process.ts';
import { directSuites, proxySuites } from './service-suites.ts';

afterAll(endServers);
const target = await startFakeGcsServer();
gcsFacts(target, {
  'an upload, once it has begun': {
    is: 'its answer has no number',
    why: 'it numbers nothing; by that the backend knows that it must not ask how much an upload has',
  },
  'the question how much an upload has': {
    is: '200, an object of 262144 bytes',
    why: 'it takes the question for the end of the upload; the backend sends such an upload anew instead',
  },
  'an upload of a name that is taken': {
    is: '200',
    why: 'it looks at the condition when the upload ends; the backend hears of it then',
  },
  'an upload whose last part has a wrong checksum': {
    is: '200',
    why: 'it reads no X-Goog-Hash; the backend compares the checksum in the answer',
  },
  'an upload that was ended': {
    is: '499, then taken',
    why: 'it forgets no upload; the backend sends nothing to one that it has ended',
  },
});
directSuites(target);
proxySuites(target, { kills: 10 });
