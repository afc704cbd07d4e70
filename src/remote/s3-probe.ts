import { isMstoreError, MstoreError } from '../base/errors.ts';
import { printable } from '../base/names.ts';
import { checkKey } from './keys.ts';
import type { RemoteCallOptions, RemoteProbe, Retention } from './remote.ts';
import type { S3Place } from './s3-client.ts';
import { completeUpload, putAtOnce, type S3Write, settled, startUpload } from './s3-create.ts';
import { notS3Answer } from './s3-errors.ts';
import { sendPart } from './s3-parts.ts';
import { s3Policy } from './s3-policy.ts';
import { endUpload } from './s3-uploads.ts';

/** What an S3 remote can tell and try beyond the contract. */
export function s3Probe(s3: S3Place): RemoteProbe {
  const objects = `s3://${s3.place.bucket}/${s3.place.prefix}*`;
  return {
    rights: {
      read: `s3:GetObject on ${objects}, and s3:ListBucket, without which what is absent is refused too`,
      list: `s3:ListBucket on the bucket ${s3.place.bucket}`,
      write: `s3:PutObject on ${objects}`,
      parts: `s3:PutObject and s3:AbortMultipartUpload on ${objects}`,
      delete: `s3:DeleteObject on ${objects}`,
    },
    endpoint: (call) => s3.call('set up', call, async ({ endpoint }) => endpoint ?? 'Amazon S3'),
    identity: (call) => identityOf(s3, call),
    region: (call) =>
      s3.call('find the region of', call, async ({ client }) => {
        const own = s3.options.settings?.region !== undefined;
        const from = own ? 'remote.NAME.region' : awsConfiguration;
        return `${printable(await client.config.region())}, from ${from}`;
      }),
    reach: (call) => reach(s3, call),
    createIfAbsent: (key, bytes, call) =>
      tried(s3, key, call, (write) =>
        settled(s3, write, () => putAtOnce(s3, write, bytes, { IfNoneMatch: '*' })),
      ),
    createInPartsIfAbsent: (key, bytes, call) =>
      tried(s3, key, call, (write) => createInParts(s3, write, Buffer.from(bytes))),
    policy: (grant, call) =>
      s3.call('set up', call, async ({ endpoint }) =>
        s3Policy(s3.place, grant, endpoint === undefined),
      ),
    mayCreate: (key, call) => tried(s3, key, call, (write) => beginAndEnd(s3, write)),
    retention: (call) => retention(s3, call),
  };
}

/** An upload that is begun and ended at once leaves nothing; who may not end it leaves no object at least. */
async function beginAndEnd(s3: S3Place, write: S3Write): Promise<void> {
  const upload = await startUpload(s3, write);
  await endUpload(s3, upload).catch(() => {});
}

/** Not every service knows of these, and not everybody may ask: such answers say nothing. */
async function retention(
  s3: S3Place,
  call: RemoteCallOptions | undefined,
): Promise<Retention | undefined> {
  const Bucket = s3.place.bucket;
  const attempt = 'look at the bucket of';
  const told = <T>(answer: Promise<T>): Promise<T | undefined> =>
    answer.catch((error: unknown) => {
      if (isMstoreError(error, 'remote-refused')) return undefined;
      throw error;
    });
  const versioning = await told(
    s3.call(attempt, call, ({ sdk, client }, request) =>
      client.send(new sdk.GetBucketVersioningCommand({ Bucket }), request),
    ),
  );
  if (versioning === undefined) return undefined;
  const lock = await told(
    s3.call(attempt, call, ({ sdk, client }, request) =>
      client.send(new sdk.GetObjectLockConfigurationCommand({ Bucket }), request),
    ),
  );
  const versioned = versioning.Status === 'Enabled';
  const { Mode, Days, Years } = lock?.ObjectLockConfiguration?.Rule?.DefaultRetention ?? {};
  if (Mode === undefined) return { versioned };
  const span = Years === undefined ? `${Days} days` : `${Years} years`;
  return { versioned, locked: `${span}, ${Mode.toLowerCase()}` };
}

const awsConfiguration = 'the AWS configuration';

/** Where the SDK says that credentials come from, in words for people. */
const sourcesOfCredentials: readonly (readonly [pattern: RegExp, text: string])[] = [
  [/ENV_VARS_STS_WEB_ID/, 'a web identity token (AWS_WEB_IDENTITY_TOKEN_FILE)'],
  [/ENV_VARS/, 'AWS_ACCESS_KEY_ID'],
  [/SSO/, 'single sign-on'],
  [/LOGIN/, 'a login of the AWS tools'],
  [/PROCESS/, 'the program of a profile'],
  [/WEB_ID/, 'a web identity token'],
  [/STS_ASSUME_ROLE|SOURCE_PROFILE|NAMED_PROVIDER/, 'a role that a profile assumes'],
  [/PROFILE/, 'a profile of the shared files'],
  [/HTTP/, 'the container'],
  [/IMDS/, 'the role of the machine'],
];

async function identityOf(s3: S3Place, call: RemoteCallOptions | undefined): Promise<string> {
  if (s3.options.settings?.anonymous) return 'nobody: requests are not signed';
  return s3.call('find credentials for', call, async ({ client }) => {
    const found = await client.config.credentials();
    const { $source = {} } = found as { $source?: Readonly<Record<string, string>> };
    const named = Object.keys($source).join(' ');
    const [, source = awsConfiguration] =
      sourcesOfCredentials.find(([pattern]) => pattern.test(named)) ?? [];
    const account =
      found.accountId === undefined ? '' : ` of account ${printable(found.accountId)}`;
    const until =
      found.expiration === undefined ? '' : `, until ${new Date(found.expiration).toISOString()}`;
    return `access key …${printable(found.accessKeyId.slice(-4))}${account}, from ${source}${until}`;
  });
}

async function reach(s3: S3Place, call: RemoteCallOptions | undefined): Promise<void> {
  const attempt = 'reach';
  try {
    const page = await s3.call(attempt, call, ({ sdk, client }, request) =>
      client.send(
        new sdk.ListObjectsV2Command({
          Bucket: s3.place.bucket,
          Prefix: s3.place.prefix,
          MaxKeys: 1,
          ...s3.payer,
        }),
        request,
      ),
    );
    if (page.IsTruncated === undefined) throw notS3Answer(attempt, s3.location);
  } catch (error) {
    // To be refused is an answer of the service; which right lacks is told by what needs it.
    if (isMstoreError(error) && error.details['reason'] === 'forbidden') return;
    throw await withPlainHint(s3, error);
  }
}

/** A port for TLS breaks off, without a word, what is sent to it in plain HTTP. */
async function withPlainHint(s3: S3Place, error: unknown): Promise<unknown> {
  if (!isMstoreError(error) || error.details['reason'] !== 'connection') return error;
  const endpoint = await s3.call('reach', undefined, async (connection) => connection.endpoint);
  if (!endpoint?.startsWith('http:')) return error;
  return new MstoreError(error.code, error.message, {
    hint: 'Check the endpoint: if the service speaks TLS there, write https://',
    details: error.details,
    cause: error.cause,
  });
}

/** Makes one write under a number of its own, again where that may help. */
async function tried<T>(
  s3: S3Place,
  key: string,
  call: RemoteCallOptions | undefined,
  work: (write: S3Write) => Promise<T>,
): Promise<T> {
  checkKey(key);
  const number = s3.options.random.hex(16);
  const write = { key, attempt: `write ${key} to`, number, call };
  let repeated = false;
  const once = () => {
    const again = repeated;
    repeated = true;
    return work({ ...write, repeated: again });
  };
  return s3.options.policy?.again(once, call?.signal) ?? once();
}

async function createInParts(
  s3: S3Place,
  write: S3Write,
  bytes: Buffer,
): Promise<'created' | 'exists'> {
  const upload = await startUpload(s3, write);
  let outcome: 'created' | 'exists' | undefined;
  try {
    const part = await sendPart(s3, write, upload, 1, bytes);
    const condition = { IfNoneMatch: '*' } as const;
    outcome = await settled(s3, write, () => completeUpload(s3, write, upload, [part], condition));
  } catch (error) {
    await endUpload(s3, upload).catch(() => {});
    throw error;
  }
  // Here its failure counts: without the right to it, parts stay that somebody pays for.
  if (outcome === 'exists') await endUpload(s3, upload);
  return outcome;
}
