import type { AddressInfo } from 'node:net';
import * as net from 'node:net';
import { systemClock, systemRandom } from '../../../src/base/clock.ts';
import type { ErrorCode } from '../../../src/base/errors.ts';
import { gcsRemote } from '../../../src/remote/gcs.ts';
import { bytesSource, type RemotePruner } from '../../../src/remote/remote.ts';
import { s3Remote } from '../../../src/remote/s3.ts';
import { type FuzzTarget, Parts, promise, refusedLater } from '../target.ts';

/** Answers every connection with the same bytes, whatever it is asked. */
class Parrot {
  answer: Buffer = Buffer.alloc(0);
  readonly #server = net.createServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', () => socket.end(this.answer));
  });
  #url: Promise<string> | undefined;

  /** Starts to listen at the first call, as long as the process lives. */
  url(): Promise<string> {
    this.#url ??= new Promise((resolve) => {
      this.#server.listen(0, '127.0.0.1', () => {
        const { port } = this.#server.address() as AddressInfo;
        this.#server.unref();
        resolve(`http://127.0.0.1:${port}`);
      });
    });
    return this.#url;
  }
}

const parrot = new Parrot();

/** What an answer of a service, or of something else, may lead to. */
const codes: readonly ErrorCode[] = [
  'remote-unreachable',
  'remote-refused',
  'remote-full',
  'corrupt-remote',
  'not-found',
  'not-a-remote',
];

const key = `packs/ab/${'ab'.repeat(32)}.pack`;
const range = { start: 2, end: 6 };

async function bytesOf(remote: RemotePruner, part?: typeof range): Promise<number> {
  let length = 0;
  for await (const block of remote.get(key, part)) length += block.length;
  return length;
}

async function list(remote: RemotePruner): Promise<void> {
  let last = '';
  for await (const { key: listed, size } of remote.list('packs/')) {
    promise(listed > last && listed.startsWith('packs/'), 'a list is in order');
    promise(Number.isSafeInteger(size) && size >= 0, 'an object that is listed has a size');
    last = listed;
  }
}

/** The calls of a remote, one of which an input chooses. */
const calls: ReadonlyArray<(remote: RemotePruner) => Promise<void>> = [
  async (remote) => {
    const size = await remote.stat(key);
    promise(
      size === undefined || (Number.isSafeInteger(size) && size >= 0),
      'an object has a size',
    );
  },
  async (remote) => {
    promise(
      (await bytesOf(remote, range)) === range.end - range.start,
      'a range is as long as it is',
    );
  },
  async (remote) => {
    await bytesOf(remote);
  },
  list,
  async (remote) => {
    await remote.create(key, bytesSource(Buffer.from('bytes')));
  },
  (remote) => remote.delete(key),
  async (remote) => {
    for await (const { bytes } of remote.uploads?.list() ?? []) {
      promise(bytes === undefined || bytes >= 0, 'an upload has a size');
    }
  },
];

function answer(
  status: string,
  headers: Readonly<Record<string, string | number>>,
  body = '',
): string {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  return `HTTP/1.1 ${status}\r\n${lines.join('')}\r\n${body}`;
}

/** An answer with a body of its own length. */
function whole(status: string, body: string, more: Record<string, string> = {}): string {
  return answer(status, { 'content-length': Buffer.byteLength(body), ...more }, body);
}

/** Each seed begins with the number of a call. */
function numbered(
  seeds: Readonly<Record<string, readonly [number, string]>>,
): Record<string, Buffer> {
  return Object.fromEntries(
    Object.entries(seeds).map(([name, [call, text]]) => [
      name,
      Buffer.concat([Buffer.from([call]), Buffer.from(text, 'latin1')]),
    ]),
  );
}

async function ask(remote: RemotePruner, bytes: Buffer): Promise<void> {
  const parts = new Parts(bytes);
  const call = calls[parts.byte() % calls.length] as (typeof calls)[number];
  parrot.answer = parts.rest();
  await refusedLater(codes, () => call(remote));
}

const headerWords = [
  ...[
    'content-length: ',
    'content-range: bytes ',
    'transfer-encoding: chunked',
    'etag: "a"',
    '\r\n\r\n',
  ],
  ...[
    'content-encoding: gzip',
    'retry-after: ',
    'location: http://',
    'date: ',
    'HTTP/1.1 416 X\r\n',
  ],
];
const stallMsMax = 2_000;

const listXml =
  '<?xml version="1.0"?><ListBucketResult><IsTruncated>false</IsTruncated>' +
  `<Contents><Key>${key}</Key><Size>5</Size></Contents></ListBucketResult>`;
const uploadsXml =
  '<ListMultipartUploadsResult><IsTruncated>false</IsTruncated><Upload><UploadId>u</UploadId>' +
  `<Key>${key}</Key><Initiated>2026-01-01T00:00:00Z</Initiated></Upload></ListMultipartUploadsResult>`;
const part = { etag: '"a"', 'content-range': 'bytes 2-5/9' };

let s3: RemotePruner | undefined;

export const s3Answers: FuzzTarget = {
  name: 's3-answers',
  bytesMax: 16 * 1024,
  seeds: () =>
    numbered({
      stat: [0, answer('200 OK', { etag: '"a"', 'content-length': 9 })],
      range: [1, whole('206 Partial Content', 'cdef', part)],
      whole: [2, whole('200 OK', 'abcdefghi', { etag: '"a"' })],
      list: [3, whole('200 OK', listXml)],
      more: [
        3,
        whole(
          '200 OK',
          listXml
            .replace('false', 'true')
            .replace('<Contents>', '<NextContinuationToken>t</NextContinuationToken><Contents>'),
        ),
      ],
      create: [4, whole('200 OK', '', { etag: '"a"' })],
      exists: [
        4,
        whole('412 Precondition Failed', '<Error><Code>PreconditionFailed</Code></Error>'),
      ],
      delete: [5, answer('204 No Content', {})],
      uploads: [6, whole('200 OK', uploadsXml)],
      slow: [
        3,
        whole('503 X', '<Error><Code>SlowDown</Code><Message>m</Message></Error>', {
          'retry-after': '3',
        }),
      ],
      page: [3, whole('200 OK', '<html><body>Sign in</body></html>')],
      chunked: [
        2,
        answer('200 OK', { etag: '"a"', 'transfer-encoding': 'chunked' }, '3\r\nabc\r\n0\r\n\r\n'),
      ],
    }),
  words: [
    ...headerWords,
    '<Key>',
    '</Key>',
    '<Size>',
    '<IsTruncated>true</IsTruncated>',
    '&lt;',
    '&#0;',
    '<!DOCTYPE a [<!ENTITY b "c">]>',
    '<![CDATA[',
  ],
  async run(bytes) {
    s3 ??= s3Remote(
      { bucket: 'bucket', prefix: '', location: 's3://bucket' },
      {
        settings: {
          endpoint: await parrot.url(),
          region: 'us-east-1',
          anonymous: true,
          acceptRaces: true,
        },
        random: systemRandom,
        stallMsMax,
      },
    );
    await ask(s3, bytes);
  },
};

const objectJson = JSON.stringify({ name: key, size: '9', generation: '1', crc32c: 'AAAAAA==' });
const listJson = JSON.stringify({ kind: 'storage#objects', items: [{ name: key, size: '5' }] });
const gcsHeaders = { 'x-goog-generation': '1', 'x-goog-hash': 'crc32c=AAAAAA==' };

let gcs: RemotePruner | undefined;

export const gcsAnswers: FuzzTarget = {
  name: 'gcs-answers',
  bytesMax: 16 * 1024,
  seeds: () =>
    numbered({
      stat: [0, whole('200 OK', objectJson)],
      range: [
        1,
        whole('206 Partial Content', 'cdef', { ...gcsHeaders, 'content-range': 'bytes 2-5/9' }),
      ],
      whole: [2, whole('200 OK', 'abcdefghi', { 'x-goog-generation': '1' })],
      list: [3, whole('200 OK', listJson)],
      more: [3, whole('200 OK', listJson.replace('{"kind"', '{"nextPageToken":"t","kind"'))],
      create: [4, whole('200 OK', objectJson)],
      exists: [
        4,
        whole(
          '412 Precondition Failed',
          '{"error":{"message":"m","errors":[{"reason":"conditionNotMet"}]}}',
        ),
      ],
      delete: [5, answer('204 No Content', {})],
      missing: [0, whole('404 Not Found', '{"error":{"message":"No such object"}}')],
      busy: [
        3,
        whole('429 X', '{"error":{"errors":[{"reason":"rateLimitExceeded"}]}}', {
          'retry-after': '2',
        }),
      ],
      page: [3, whole('200 OK', '<html><body>Sign in</body></html>')],
    }),
  words: [
    ...headerWords,
    '"items":[',
    '"size":"',
    '"name":',
    '"kind":"storage#objects"',
    '"nextPageToken":"',
    '"generation":',
    '"error":',
  ],
  async run(bytes) {
    gcs ??= gcsRemote(
      { bucket: 'bucket', prefix: '', location: 'gs://bucket' },
      {
        settings: { endpoint: await parrot.url(), anonymous: true },
        clock: systemClock,
        random: systemRandom,
        stallMsMax,
      },
    );
    await ask(gcs, bytes);
  },
};
