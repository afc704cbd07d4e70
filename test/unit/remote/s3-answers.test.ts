import * as net from 'node:net';
import { afterAll, describe, expect, it } from 'vitest';
import type { RemotePruner } from '../../../src/remote/remote.ts';
import { newS3Remote, testS3Server } from '../../support/s3-remote.ts';

const server = await testS3Server();
const sockets: net.Server[] = [];
afterAll(() => {
  for (const one of sockets) one.close();
});

/** A server that answers whatever comes with the same bytes, and closes. */
async function answering(bytes: string): Promise<string> {
  const one = net.createServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', () => socket.end(Buffer.from(bytes, 'latin1')));
  });
  sockets.push(one);
  await new Promise<void>((resolve) => one.listen(0, '127.0.0.1', resolve));
  return `127.0.0.1:${(one.address() as net.AddressInfo).port}`;
}

async function failureAt(endpoint: string): Promise<unknown> {
  const remote = newS3Remote(server, { settings: { endpoint } });
  return reachFailure(remote);
}

async function reachFailure(remote: RemotePruner): Promise<unknown> {
  return remote.probe?.reach().then(
    () => 'reached',
    (error: unknown) => error,
  );
}

function http(status: string, body: string, type?: string): string {
  const header = type === undefined ? '' : `Content-Type: ${type}\r\n`;
  return `HTTP/1.1 ${status}\r\n${header}Content-Length: ${body.length}\r\n\r\n${body}`;
}

const page = '<!doctype html><html><p>Hello<br></html>';
const goText = 'Client sent an HTTP request to an HTTPS server.\n';

describe('what answers at an endpoint and is no service', () => {
  it.each([
    ['a page', http('200 OK', page, 'text/html')],
    ['a page that is not found', http('404 Not Found', page, 'text/html; charset=utf-8')],
    ['a page that is forbidden', http('403 Forbidden', page, 'text/html')],
    ['a way to a login', http('302 Found', page, 'text/html')],
    ['a document of another kind', http('200 OK', '{}', 'application/json')],
    ['a server for TLS that says so', http('400 Bad Request', goText)],
    ['one that says so in a page', http('400 Bad Request', page, 'text/html')],
    ['an alert of TLS', '\x15\x03\x01\x00\x02\x02\x46', 'not-http'],
    ['another protocol', 'SSH-2.0-OpenSSH_9.2\r\n', 'not-http'],
  ] as [string, string, string?][])('%s', async (_, bytes, reason = 'not-s3') => {
    const spoken = reason === 'not-s3' ? 'S3' : 'HTTP';
    expect(await failureAt(`http://${await answering(bytes)}`)).toMatchObject({
      code: 'remote-refused',
      message: expect.stringContaining(`what answers there does not speak ${spoken}`),
      hint: expect.stringMatching(/endpoint.*https:\/\//),
      details: { reason },
    });
  });

  it('plain HTTP where TLS is expected', async () => {
    for (const bytes of [http('400 Bad Request', ''), 'SSH-2.0-OpenSSH_9.2\r\n']) {
      expect(await failureAt(`https://${await answering(bytes)}`)).toMatchObject({
        code: 'remote-refused',
        message: expect.stringContaining('no TLS connection can be made'),
        hint: expect.stringContaining('write http://'),
        details: { reason: 'tls' },
      });
    }
  });

  it('TLS where plain HTTP is expected, which breaks off without a word', async () => {
    expect(await failureAt(`http://${await answering('')}`)).toMatchObject({
      code: 'remote-unreachable',
      message: expect.stringContaining('broke off (ECONNRESET)'),
      hint: expect.stringContaining('write https://'),
      details: { reason: 'connection' },
    });
  });

  it('a service that is down behind a gateway is no such thing', async () => {
    for (const status of ['502 Bad Gateway', '503 Unavailable', '429 Too Many Requests']) {
      const failure = await failureAt(`http://${await answering(http(status, page, 'text/html'))}`);
      expect(failure).toMatchObject({ code: 'remote-unreachable' });
    }
  });

  it('an answer that breaks the rules of HTTP is worth another try', async () => {
    const broken = 'HTTP/1.1 200 OK\r\nContent-Length: 2x\r\n\r\nab';
    expect(await failureAt(`http://${await answering(broken)}`)).toMatchObject({
      code: 'remote-unreachable',
      details: { reason: 'wrong-answer' },
    });
  });

  it('nobody, or a host that is not known', async () => {
    expect(await failureAt('http://127.0.0.1:1')).toMatchObject({
      message: expect.stringContaining('nothing listens at its endpoint (ECONNREFUSED)'),
      details: { reason: 'no-endpoint' },
    });
    expect(await failureAt('http://nowhere.invalid')).toMatchObject({
      message: expect.stringMatching(/its host is not known|hosts cannot be looked up/),
      details: { reason: 'no-endpoint' },
    });
  });
});

describe('what a service refuses', () => {
  const told = async (code: string, status = 403) => {
    server.fault({ how: { status, code } });
    const failure = await reachFailure(newS3Remote(server));
    server.heal();
    return failure as { message: string; hint: string };
  };

  it('has a text of its own for each fault of the credentials', async () => {
    const codes = ['InvalidAccessKeyId', 'SignatureDoesNotMatch', 'InvalidToken', 'ExpiredToken'];
    const texts: { message: string; hint: string }[] = [];
    for (const code of codes) texts.push(await told(code, 400));
    expect(texts.map(({ message }) => message.split(': ').at(-1))).toEqual([
      'the service does not know the access key (InvalidAccessKeyId)',
      'the secret does not fit the access key (SignatureDoesNotMatch)',
      'the session token is not valid (InvalidToken)',
      'the credentials have expired (ExpiredToken)',
    ]);
    expect(new Set(texts.map(({ hint }) => hint)).size).toBe(4);
  });

  it('is reached all the same where only a right is lacking', async () => {
    expect(await told('AccessDenied')).toBe('reached');
    expect(await told('NoSuchBucket', 404)).toMatchObject({ code: 'not-a-remote' });
  });
});

describe('the endpoint that the environment names', () => {
  it.each(['AWS_ENDPOINT_URL', 'AWS_ENDPOINT_URL_S3'])(
    'in %s has the bucket in the path',
    async (name) => {
      process.env[name] = server.endpoint;
      process.env['AWS_REGION'] = server.region;
      try {
        const remote = newS3Remote(server, { bare: true });
        const before = server.log.length;
        expect(await reachFailure(remote)).toBe('reached');
        expect(server.log[before]).toMatch(/^GET \/models\/?\?/);
        expect(await remote.probe?.endpoint()).toBe(server.endpoint);
        expect(await remote.probe?.region?.()).toBe('eu-test-1, from the AWS configuration');
      } finally {
        delete process.env[name];
        delete process.env['AWS_REGION'];
      }
    },
  );

  it('has it in the host name when that is asked for', async () => {
    process.env['AWS_ENDPOINT_URL'] = server.endpoint.replace('127.0.0.1', 'nowhere.invalid');
    try {
      const settings = { region: server.region, pathStyle: false };
      const failure = await reachFailure(newS3Remote(server, { bare: true, settings }));
      expect(String((failure as Error).cause)).toContain('models.nowhere.invalid');
    } finally {
      delete process.env['AWS_ENDPOINT_URL'];
    }
  });
});
