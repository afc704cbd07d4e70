import * as fs from 'node:fs';
import * as path from 'node:path';
import { afterAll } from 'vitest';
import { systemRandom } from '../../src/base/clock.ts';
import type { RemotePruner } from '../../src/remote/remote.ts';
import { s3Remote } from '../../src/remote/s3.ts';
import type { S3Options } from '../../src/remote/s3-client.ts';
import { type S3Server, type S3ServerOptions, startS3Server } from './s3-server.ts';

const servers: S3Server[] = [];

const tlsFolder = path.resolve(import.meta.dirname, '../fixtures/tls');

/** What a server that speaks TLS needs, and the authority that its clients have to trust. */
export const testTls = {
  key: fs.readFileSync(path.join(tlsFolder, 'server.key')),
  cert: fs.readFileSync(path.join(tlsFolder, 'trusted.crt')),
  authority: path.join(tlsFolder, 'authority.crt'),
};

/** Starts a server that ends with the tests of the file, and sets the credentials for it. */
export async function testS3Server(options: S3ServerOptions = {}): Promise<S3Server> {
  // One hook for each file; a second one finds the list empty.
  const server = await startS3Server(options);
  servers.push(server);
  Object.assign(process.env, s3Environment(server));
  process.env['AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED'] = 'true';
  // Nothing of the machine that runs the tests may decide how they end.
  for (const name of Object.keys(process.env)) {
    if (/^AWS_(PROFILE|REGION|DEFAULT_REGION|SESSION_TOKEN|ENDPOINT_URL.*)$/.test(name)) {
      delete process.env[name];
    }
  }
  return server;
}

afterAll(async () => {
  await Promise.all(servers.splice(0).map((server) => server.close()));
});

let folders = 0;

/** Makes an empty remote: a new folder of a bucket of the server. */
export function newS3Remote(
  server: S3Server,
  options: Partial<S3Options> & {
    readonly bucket?: string;
    readonly prefix?: string;
    /** Says neither endpoint nor region: the environment does. */
    readonly bare?: boolean;
  } = {},
): RemotePruner {
  const { bucket = 'models', prefix = `team/run-${++folders}/`, settings, bare, ...rest } = options;
  const place = { bucket, prefix, location: `s3://${bucket}/${prefix.replace(/\/$/, '')}` };
  const own = bare ? {} : { endpoint: server.endpoint, region: server.region };
  const all = { ...own, ...settings };
  return s3Remote(place, { random: systemRandom, ...rest, settings: all });
}

/** The environment in which programs sign in to a server, and look for nothing of whoever runs them. */
export function s3Environment(
  server: Readonly<Record<'accessKey' | 'secret', string>>,
): Record<string, string> {
  return {
    AWS_ACCESS_KEY_ID: server.accessKey,
    AWS_SECRET_ACCESS_KEY: server.secret,
    AWS_CONFIG_FILE: '/dev/null',
    AWS_SHARED_CREDENTIALS_FILE: '/dev/null',
    AWS_EC2_METADATA_DISABLED: 'true',
  };
}
