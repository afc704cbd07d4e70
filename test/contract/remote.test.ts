import { systemClock, systemRandom } from '../../src/base/clock.ts';
import { encryptedRemote } from '../../src/encryption/encrypted-remote.ts';
import { drawMasterKey } from '../../src/encryption/keys.ts';
import { localRemote } from '../../src/remote/local.ts';
import { memoryRemote } from '../../src/remote/memory.ts';
import type { RemotePruner } from '../../src/remote/remote.ts';
import { counting } from '../../src/remote/wrappers/counting.ts';
import { diskCached } from '../../src/remote/wrappers/disk-cache.ts';
import { rateLimit, rateLimited } from '../../src/remote/wrappers/rate.ts';
import { retrying, retryPolicy } from '../../src/remote/wrappers/retry.ts';
import { newGcsRemote, testGcsServer } from '../support/gcs-remote.ts';
import { httpRemoteOf, newHttpRemote, startTestServer } from '../support/http-remote.ts';
import { faulty } from '../support/remote-faulty.ts';
import { newS3Remote, testS3Server } from '../support/s3-remote.ts';
import { tempFolder } from '../support/temp.ts';
import { remoteContract } from './remote.ts';

remoteContract('memory', () => memoryRemote());
remoteContract('a directory', () => localRemote(tempFolder()));
remoteContract('counting', () => counting(localRemote(tempFolder())));
// Pages of a few objects and parts of a few bytes, so that small tests meet both.
const server = await testS3Server({ pageMax: 7, partBytesMin: 64 * 1024 });
remoteContract('S3', () => newS3Remote(server));
remoteContract('S3 in parts', () => newS3Remote(server, { partBytes: 64 * 1024 }));
remoteContract('S3 with retries', () =>
  retrying(newS3Remote(server), retryPolicy({ clock: systemClock, random: systemRandom })),
);
const gcs = await testGcsServer({ pageMax: 7, partBytesUnit: 64 * 1024 });
remoteContract('GCS', () => newGcsRemote(gcs));
remoteContract('GCS in parts', () => newGcsRemote(gcs, { partBytes: 64 * 1024 }));
remoteContract('GCS with retries', () =>
  retrying(newGcsRemote(gcs), retryPolicy({ clock: systemClock, random: systemRandom })),
);
remoteContract('HTTP', () => newHttpRemote());
remoteContract('HTTP in parts', () => newHttpRemote({ partBytes: 64 * 1024 }));
remoteContract('HTTP with retries', async () =>
  retrying(await newHttpRemote(), retryPolicy({ clock: systemClock, random: systemRandom })),
);
remoteContract('HTTP before a directory', async () =>
  httpRemoteOf(await startTestServer({ remote: localRemote(tempFolder()) })),
);
remoteContract('retries', () =>
  retrying(memoryRemote(), retryPolicy({ clock: systemClock, random: systemRandom })),
);
const fast = { bytesPerSecond: 1_000_000_000, clock: systemClock };
remoteContract('a limit of the rate', () => rateLimited(memoryRemote(), rateLimit(fast)));
remoteContract('S3 with a limit', () => {
  const limit = rateLimit(fast);
  return rateLimited(newS3Remote(server, { limit, partBytes: 64 * 1024 }), limit, 'reads');
});
remoteContract('kept on the disk', () =>
  diskCached(memoryRemote(), {
    folder: tempFolder(),
    bytesMax: 1024 ** 3,
    clock: systemClock,
    isContent: (key) => key.startsWith('packs/'),
  }),
);
const encrypted = (remote: RemotePruner, folder = '') =>
  encryptedRemote(remote, { master: drawMasterKey(systemRandom), folder, random: systemRandom });
remoteContract('encrypted', () => encrypted(memoryRemote()));
remoteContract('encrypted below a folder', () => encrypted(memoryRemote(), 'generations/2/'));
remoteContract('an encrypted directory', () => encrypted(localRemote(tempFolder())));
remoteContract('encrypted S3 in parts', () =>
  encrypted(newS3Remote(server, { partBytes: 64 * 1024 })),
);
remoteContract('encrypted GCS in parts', () =>
  encrypted(newGcsRemote(gcs, { partBytes: 64 * 1024 })),
);
remoteContract('faulty without faults', () => faulty(memoryRemote()));
