import {
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  GetObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import { expect, it } from 'vitest';
import { type S3Credentials, type S3Target, s3Client } from '../support/s3-target.ts';
import { freshFolder } from '../support/service-target.ts';

/** What the backend builds on, as one server answers it: `done`, or the code of the refusal. */
type Facts = Readonly<Record<string, string>>;

/** Where a server differs from Amazon's own, and why that is borne. */
export type Deviations = Readonly<Record<string, { readonly is: string; readonly why: string }>>;

/** The facts of Amazon's own service. */
const facts: Facts = {
  'a second conditional write': 'PreconditionFailed',
  'conditional writes at once': '1 of 16 done',
  'a conditional completion of a name that is taken': 'PreconditionFailed',
  'a completion with a small part': 'EntityTooSmall',
  'a range behind the end': 'InvalidRange',
  'a read of nothing': 'NoSuchKey',
  'a list of a bucket that is missing': 'NoSuchBucket',
  'a list of the uploads below a folder': '1 of 1',
  'a list of the uploads of one object': '1 of 1',
  'a wrong secret': 'SignatureDoesNotMatch',
  'an unknown key': 'InvalidAccessKeyId',
};

async function answerOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
    return 'done';
  } catch (error) {
    return (error as Error).name;
  }
}

/** Asks a server for all facts. */
async function askFacts(target: S3Target): Promise<Facts> {
  const client = s3Client(target);
  const folder = `${target.prefix}${freshFolder()}`;
  const at = (name: string) => ({ Bucket: target.bucket, Key: `${folder}/${name}` });
  const put = (name: string) =>
    answerOf(client.send(new PutObjectCommand({ ...at(name), Body: name, IfNoneMatch: '*' })));
  const upload = async (name: string, bodies: readonly string[]): Promise<string> => {
    const { UploadId } = await client.send(new CreateMultipartUploadCommand(at(name)));
    const Parts = [];
    for (const [n, Body] of bodies.entries()) {
      const part = { UploadId, PartNumber: n + 1 };
      const { ETag } = await client.send(new UploadPartCommand({ ...at(name), ...part, Body }));
      Parts.push({ PartNumber: n + 1, ETag });
    }
    const whole = { UploadId, MultipartUpload: { Parts }, IfNoneMatch: '*' };
    return answerOf(client.send(new CompleteMultipartUploadCommand({ ...at(name), ...whole })));
  };
  const right = await client.config.credentials();
  const list = (change: Partial<S3Credentials>, Bucket = target.bucket) =>
    answerOf(s3Client(target, { ...right, ...change }).send(new ListObjectsV2Command({ Bucket })));
  const uploadsBelow = async (Prefix: string): Promise<string> => {
    const { Uploads = [] } = await client.send(
      new ListMultipartUploadsCommand({ Bucket: target.bucket, Prefix }),
    );
    return `${Uploads.length} of 1`;
  };
  await client.send(new CreateMultipartUploadCommand(at('begun/x')));
  await put('taken');
  const racers = await Promise.all(Array.from({ length: 16 }, () => put('race')));
  return {
    'a second conditional write': await put('taken'),
    'conditional writes at once': `${racers.filter((answer) => answer === 'done').length} of 16 done`,
    'a conditional completion of a name that is taken': await upload('taken', ['other']),
    'a completion with a small part': await upload('small', ['one', 'two']),
    'a range behind the end': await answerOf(
      client.send(new GetObjectCommand({ ...at('taken'), Range: 'bytes=99-100' })),
    ),
    'a read of nothing': await answerOf(client.send(new GetObjectCommand(at('nothing')))),
    'a list of a bucket that is missing': await list({}, `no-${freshFolder()}`),
    'a list of the uploads below a folder': await uploadsBelow(`${folder}/begun/`),
    'a list of the uploads of one object': await uploadsBelow(`${folder}/begun/x`),
    'a wrong secret': await list({ secretAccessKey: 'wrong' }),
    'an unknown key': await list({ accessKeyId: 'UNKNOWN' }),
  };
}

/** Checks what a server answers against what Amazon's own does; deviations are shown to be there. */
export function s3Facts(target: S3Target, deviations: Deviations = {}): void {
  it(`${target.name} answers as S3 does, but for what is recorded`, async () => {
    const recorded = Object.entries(deviations).map(([fact, { is }]) => [fact, is]);
    expect(await askFacts(target)).toEqual({ ...facts, ...Object.fromEntries(recorded) });
  });
}
