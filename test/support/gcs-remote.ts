import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { afterAll } from 'vitest';
import { systemClock, systemRandom } from '../../src/base/clock.ts';
import { gcsRemote } from '../../src/remote/gcs.ts';
import type { GcsOptions } from '../../src/remote/gcs-client.ts';
import type { RemotePruner } from '../../src/remote/remote.ts';
import { type GcsServer, type GcsServerOptions, startGcsServer } from './gcs-server.ts';

const servers: GcsServer[] = [];
const folders: string[] = [];

/** Starts a server that ends with the tests of the file, and sets the credentials for it. */
export async function testGcsServer(options: GcsServerOptions = {}): Promise<GcsServer> {
  // One hook for each file; a second one finds the list empty.
  const server = await startGcsServer(options);
  servers.push(server);
  Object.assign(process.env, gcsEnvironment(server));
  delete process.env['STORAGE_EMULATOR_HOST'];
  return server;
}

afterAll(async () => {
  await Promise.all(servers.splice(0).map((server) => server.close()));
  for (const folder of folders.splice(0)) fs.rmSync(folder, { recursive: true });
});

/** Variables by which the SDK finds credentials for a server, and nothing of this machine. */
export function gcsEnvironment(server: GcsServer): Record<string, string> {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'mstore-test-'));
  folders.push(folder);
  const subject = path.join(folder, 'subject');
  const credentials = path.join(folder, 'credentials.json');
  fs.writeFileSync(subject, server.subjectToken);
  fs.writeFileSync(
    credentials,
    JSON.stringify({
      type: 'external_account',
      audience:
        '//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/q',
      subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
      token_url: `${server.endpoint}/token`,
      credential_source: { file: subject },
    }),
  );
  return {
    GOOGLE_APPLICATION_CREDENTIALS: credentials,
    // Asking the machine whether it is one of Google's takes seconds, and may even succeed.
    METADATA_SERVER_DETECTION: 'none',
    NO_PROXY: '127.0.0.1',
  };
}

let runs = 0;

/** Makes an empty remote: a new folder of a bucket of the server. */
export function newGcsRemote(
  server: GcsServer,
  options: Partial<GcsOptions> & { readonly bucket?: string; readonly prefix?: string } = {},
): RemotePruner {
  const { bucket = 'models', prefix = `team/run-${++runs}/`, settings, ...rest } = options;
  const place = { bucket, prefix, location: `gs://${bucket}/${prefix.replace(/\/$/, '')}` };
  const all = { endpoint: server.endpoint, endpointTrusted: true, ...settings };
  return gcsRemote(place, { clock: systemClock, random: systemRandom, ...rest, settings: all });
}
