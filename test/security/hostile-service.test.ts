import * as fs from 'node:fs';
import * as http from 'node:http';
import type { AddressInfo } from 'node:net';
import * as path from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, it, onTestFinished } from 'vitest';
import { systemClock, systemRandom } from '../../src/base/clock.ts';
import { GcsPlace } from '../../src/remote/gcs-client.ts';
import { type CliResult, startMstore } from '../support/cli.ts';
import { testGcsServer } from '../support/gcs-remote.ts';
import { tempFolder } from '../support/temp.ts';

/** What one request brought. */
interface Received {
  readonly method: string;
  readonly url: string;
  readonly headers: http.IncomingHttpHeaders;
  readonly body: string;
}

interface HostileServer {
  readonly endpoint: string;
  readonly received: readonly Received[];
}

/** Starts a server that answers as it likes, and keeps all that it is told. */
async function hostileServer(
  answer: (request: Received, response: http.ServerResponse) => void,
): Promise<HostileServer> {
  const received: Received[] = [];
  const server = http.createServer((request, response) => {
    const blocks: Buffer[] = [];
    request.on('error', () => {});
    response.on('error', () => {});
    request.on('data', (block: Buffer) => blocks.push(block));
    request.on('end', () => {
      const { method = '', url = '', headers } = request;
      const one = { method, url, headers, body: Buffer.concat(blocks).toString('latin1') };
      received.push(one);
      answer(one, response);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return { endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, received };
}

const secrets = {
  AWS_ACCESS_KEY_ID: 'AKIAEXAMPLEKEY',
  AWS_SECRET_ACCESS_KEY: 'very/secret+access+key',
  AWS_SESSION_TOKEN: 'session-token-of-the-user',
};
const env = {
  ...secrets,
  AWS_CONFIG_FILE: '/dev/null',
  AWS_SHARED_CREDENTIALS_FILE: '/dev/null',
  AWS_EC2_METADATA_DISABLED: 'true',
};

/** A workspace with a model, whose committed configuration names an endpoint. */
async function workspaceAt(endpoint: string, more = ''): Promise<string> {
  const root = tempFolder();
  expect((await startMstore(root, ['init', '--no-git']).done).code).toBe(0);
  fs.appendFileSync(
    path.join(root, '.modelstore/config.toml'),
    `\n[remote.origin]\nurl = "s3://models/team"\nendpoint = "${endpoint}"\nregion = "eu-test-1"\n${more}`,
  );
  fs.writeFileSync(path.join(root, 'model.bin'), 'model');
  expect((await startMstore(root, ['add', 'model.bin']).done).code).toBe(0);
  return root;
}

function run(root: string, ...args: string[]): Promise<CliResult> {
  return startMstore(root, args, { env }).done;
}

const everything = (server: HostileServer): string => JSON.stringify(server.received);

const emptyList =
  '<?xml version="1.0"?><ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>';

describe('a service of S3 that a repository chose', () => {
  it('gets signatures and never the secret they are made with; nothing where it is anonymous', async () => {
    const server = await hostileServer((_, response) => response.writeHead(403).end());
    const root = await workspaceAt(server.endpoint);
    for (const line of [
      ['fetch'],
      ['push'],
      ['models', '--remote', 'origin'],
      ['remote', 'check'],
    ]) {
      expect((await run(root, ...line)).code, line.join(' ')).toBe(8);
    }
    expect(server.received.length).toBeGreaterThan(3);
    expect(everything(server)).toContain('AWS4-HMAC-SHA256');
    expect(everything(server)).not.toContain(secrets.AWS_SECRET_ACCESS_KEY);

    const stranger = await hostileServer((_, response) => response.writeHead(403).end());
    const anonymous = await workspaceAt(stranger.endpoint, 'anonymous = true\n');
    await run(anonymous, 'fetch');
    expect(stranger.received.length).toBeGreaterThan(0);
    for (const secret of Object.values(secrets)) expect(everything(stranger)).not.toContain(secret);
  });

  it('leads no request on to another host', async () => {
    const other = await hostileServer((_, response) => response.writeHead(200).end(emptyList));
    for (const status of [301, 307]) {
      const server = await hostileServer(({ url }, response) =>
        response
          .writeHead(status, { location: `${other.endpoint}${url}`, 'x-amz-bucket-region': 'x' })
          .end(),
      );
      const root = await workspaceAt(server.endpoint);
      for (const line of ['fetch', 'push']) {
        expect((await run(root, line)).code, `${status} ${line}`).toBe(8);
      }
      expect(server.received.length).toBeGreaterThan(0);
    }
    expect(other.received).toEqual([]);
  });

  it('names what it wants in the text of an error, and shows no secret in any', async () => {
    const said = `<Error><Code>Evil\u001b[31m${'x'.repeat(100)}</Code><Message>\u001b]0;x\u0007</Message></Error>`;
    const server = await hostileServer((request, response) =>
      response
        .writeHead(400, { 'content-type': 'application/xml', 'x-amz-request-id': 'a' })
        .end(said.replace('<Message>', `<Message>${request.headers.authorization} `)),
    );
    const root = await workspaceAt(server.endpoint);
    for (const line of [
      ['push', '-v'],
      ['fetch', '-v'],
      ['fetch', '--json', '-v'],
    ]) {
      const { code, stdout, stderr } = await run(root, ...line);
      expect(code).toBe(8);
      for (const secret of [secrets.AWS_SECRET_ACCESS_KEY, secrets.AWS_SESSION_TOKEN]) {
        expect(stdout + stderr).not.toContain(secret);
      }
      // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not be there
      expect(stdout + stderr).not.toMatch(/[\u0007\u001b]/);
    }
  });

  it.each([
    ['a list', 200],
    ['an error', 400],
  ])('is not read on when %s has no end', async (_, status) => {
    let sent = 0;
    const server = await hostileServer((request, response) => {
      if (request.url?.includes('mstore.json')) {
        response.writeHead(404, { 'content-type': 'application/xml' });
        response.end('<?xml version="1.0"?><Error><Code>NoSuchKey</Code></Error>');
        return;
      }
      response.writeHead(status, { 'content-type': 'application/xml' });
      const block = Buffer.alloc(1024 * 1024, ' ');
      response.write('<?xml version="1.0"?><ListBucketResult>');
      const more = (): void => {
        if (response.destroyed || response.socket?.destroyed) return;
        sent += block.length;
        if (response.write(block)) setImmediate(more);
        else response.once('drain', more);
      };
      more();
    });
    const root = await workspaceAt(server.endpoint);
    const { code, stderr } = await run(root, 'fetch');
    expect(code, stderr).toBe(8);
    expect(stderr).toContain('longer than any that was asked for');
    // What the system buffers between the two comes on top of the bound.
    expect(sent / server.received.length).toBeLessThan(64 * 1024 * 1024);
  });

  it('fills no memory by a body that is packed', async () => {
    const packed = gzipSync(Buffer.alloc(200_000_000));
    const head = { 'content-encoding': 'gzip', etag: '"x"', 'content-length': packed.length };
    const server = await hostileServer((_, response) => response.writeHead(200, head).end(packed));
    const root = await workspaceAt(server.endpoint);
    const { code, stderr } = await run(root, 'fetch');
    expect([5, 8], stderr).toContain(code);
  });

  it('makes no file outside of the store by the names that it lists', async () => {
    const names = [
      'team/packs/../../../evil.pack',
      'team/../evil',
      '/etc/evil',
      'team/index/..%2f..%2fevil.idx',
      'team/refs/models/../../../evil/versions/v1.json',
      'team/refs/models/__proto__/versions/v1.json',
      'team/refs/models/..\\..\\evil/versions/v1.json',
      'team/refs/models/m/versions/\u001b[31m.json',
      'team/tmp/evil',
    ].sort();
    const header = JSON.stringify({
      mstore: 1,
      id: '0'.repeat(32),
      created: '2025-01-01T00:00:00.000Z',
      chunking: { rule: 'mh8', min: 1, norm: 2, max: 3, cuts: [] },
    });
    const server = await hostileServer(({ url }, response) => {
      const { pathname, searchParams } = new URL(url, 'http://localhost');
      if (pathname.endsWith('mstore.json')) {
        response.writeHead(200, { etag: '"x"', 'content-length': header.length }).end(header);
        return;
      }
      const prefix = searchParams.get('prefix') ?? '';
      const escaped = (text: string) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
      const contents = names
        .filter((name) => name.startsWith(prefix) || prefix === '')
        .map((name) => `<Contents><Key>${escaped(name)}</Key><Size>3</Size></Contents>`)
        .join('');
      response
        .writeHead(200, { 'content-type': 'application/xml' })
        .end(`<ListBucketResult><IsTruncated>false</IsTruncated>${contents}</ListBucketResult>`);
    });
    const root = await workspaceAt(server.endpoint);
    fs.rmSync(path.join(root, 'model.bin'));
    fs.rmSync(path.join(root, '.modelstore/store'), { recursive: true });
    const before = fs.readdirSync(path.dirname(root)).filter((name) => name.includes('evil'));
    for (const line of [['fetch'], ['pull'], ['models', '--remote', 'origin']]) {
      const { stdout, stderr } = await run(root, ...line);
      expect(stdout + stderr).not.toContain('\u001b');
    }
    const made = fs.readdirSync(root, { recursive: true, encoding: 'utf8' });
    expect(made.filter((name) => name.includes('evil') || name.includes('proto'))).toEqual([]);
    expect(fs.readdirSync(path.dirname(root)).filter((name) => name.includes('evil'))).toEqual(
      before,
    );
  });
});

describe('Cloud Storage', () => {
  it('gets credentials at its own host, whatever an answer names', async () => {
    const server = await testGcsServer();
    const other = await hostileServer((_, response) => response.writeHead(200).end('{}'));
    const place = { bucket: 'models', prefix: 'team/', location: 'gs://models/team' };
    const gcs = new GcsPlace(place, {
      clock: systemClock,
      random: systemRandom,
      settings: { endpoint: server.endpoint, endpointTrusted: true },
    });
    const { host } = new URL(other.endpoint);
    for (const evil of [`//${host}/upload?upload_id=1`, `${other.endpoint}/upload?upload_id=1`]) {
      const call = gcs.json('write a to', undefined, { method: 'PUT', path: evil });
      await expect(call).rejects.toMatchObject({ code: 'remote-refused' });
    }
    expect(other.received).toEqual([]);
  });
});
