import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as net from 'node:net';
import * as path from 'node:path';
import { describe, expect, it } from 'vitest';
import { MstoreError } from '../../src/base/errors.ts';
import { memoryRemote } from '../../src/remote/memory.ts';
import { bytesSource, type RemotePruner, type RemoteSource } from '../../src/remote/remote.ts';
import {
  allScopes,
  httpRemoteOf,
  startTestServer,
  type TestToken,
} from '../support/http-remote.ts';
import { readObject, testBytes } from '../support/remote-bytes.ts';
import { tempFolder } from '../support/temp.ts';

const part = 64 * 1024;
const bytes = testBytes(5 * part + 17);
const key = 'packs/ab/large.pack';
const digestOf = (value: Uint8Array) => createHash('sha256').update(value).digest('base64');
const pushOnly: TestToken = { name: 'sender', token: 'mst_sender', scopes: ['push'] };
const other: TestToken = { ...allScopes, name: 'other', token: 'mst_other' };

/** What a request of the protocol comes to. */
async function ask(
  server: { readonly url: string },
  method: string,
  address: string,
  {
    body,
    headers = {},
    token = allScopes.token,
  }: {
    body?: Uint8Array | object;
    headers?: Record<string, string>;
    token?: string;
  } = {},
): Promise<{ status: number; json: Record<string, unknown> }> {
  const isBytes = body instanceof Uint8Array;
  const answer = await fetch(`${server.url}/api/v1/${address}`, {
    method,
    headers: {
      authorization: `Bearer ${token}`,
      ...(body === undefined
        ? {}
        : { 'content-type': isBytes ? 'application/octet-stream' : 'application/json' }),
      ...(isBytes ? { 'content-digest': `sha-256=:${digestOf(body)}:` } : {}),
      ...headers,
    },
    ...(body === undefined ? {} : { body: isBytes ? Buffer.from(body) : JSON.stringify(body) }),
  });
  const text = await answer.text();
  return { status: answer.status, json: text === '' ? {} : JSON.parse(text) };
}

const number = (n: number) => ({ 'idempotency-key': `number-of-a-write-${n}` });

function begin(server: { readonly url: string }, n = 1, more: object = {}) {
  const body = { key, size: bytes.length, contentKey: true, ...more };
  return ask(server, 'POST', 'uploads', { body, headers: number(n) });
}

function send(
  server: { readonly url: string },
  id: unknown,
  start: number,
  end: number,
  more = {},
) {
  const body = bytes.subarray(start, end);
  return ask(server, 'PUT', `uploads/${id}?offset=${start}`, { body, ...more });
}

describe('an upload', () => {
  it('goes on where the one before it was broken off, also behind another server', async () => {
    const stateFolder = tempFolder();
    const remote = memoryRemote();
    const first = await startTestServer({ stateFolder, remote });
    const { json: begun } = await begin(first);
    await send(first, begun['id'], 0, 2 * part);
    await first.close();
    const second = await startTestServer({ stateFolder, remote });
    const sent: number[] = [];
    const client = httpRemoteOf(second, { partBytes: part });
    const counted: RemoteSource = {
      size: bytes.length,
      async *open() {
        yield bytes;
      },
    };
    expect(await client.create(key, counted, { contentKey: true })).toBe('created');
    for (const line of second.log) {
      const offset = /uploads\/[0-9a-f]+\?offset=(\d+)/.exec(line)?.[1];
      if (offset !== undefined) sent.push(Number(offset));
    }
    expect(sent).toEqual([2 * part, 3 * part, 4 * part, 5 * part]);
    expect((await readObject(client, key)).equals(bytes)).toBe(true);
    expect(fs.readdirSync(path.join(stateFolder, 'uploads'))).toEqual([]);
  });

  it('is not gone on with where what was sent before begins otherwise', async () => {
    const server = await startTestServer();
    const { json: begun } = await begin(server);
    const wrong = Buffer.from(bytes.subarray(0, part)).fill(7);
    const body = { body: wrong };
    expect((await ask(server, 'PUT', `uploads/${begun['id']}?offset=0`, body)).status).toBe(200);
    const client = httpRemoteOf(server, { partBytes: part });
    const create = () => client.create(key, bytesSource(bytes), { contentKey: true });
    await expect(create()).rejects.toMatchObject({
      code: 'remote-unreachable',
      details: { reason: 'upload-gone' },
    });
    expect(await create()).toBe('created');
    expect((await readObject(client, key)).equals(bytes)).toBe(true);
  });

  it('takes the part that is due, with the digest that it says', async () => {
    const server = await startTestServer();
    const { json: begun } = await begin(server);
    const { id } = begun;
    expect(begun).toMatchObject({ state: 'receiving', offset: 0 });
    expect((await send(server, id, part, 2 * part)).status).toBe(409);
    const headers = { 'content-digest': `sha-256=:${digestOf(Buffer.from('other'))}:` };
    expect((await send(server, id, 0, part, { headers })).status).toBe(422);
    expect((await send(server, id, 0, part, { headers: { 'content-digest': 'x' } })).status).toBe(
      400,
    );
    expect(await ask(server, 'GET', `uploads/${id}`)).toMatchObject({ json: { offset: 0 } });
    expect(await send(server, id, 0, part)).toMatchObject({
      status: 200,
      json: { offset: part, digest: digestOf(bytes.subarray(0, part)) },
    });
    const long = { body: testBytes(6 * part) };
    expect((await ask(server, 'PUT', `uploads/${id}?offset=${part}`, long)).status).toBe(400);
    const early = { body: { digest: digestOf(bytes) } };
    expect((await ask(server, 'POST', `uploads/${id}/finish`, early)).status).toBe(409);
    expect(await server.remote.stat(key)).toBeUndefined();
  });

  it('of other bytes than it says does not appear', async () => {
    const server = await startTestServer();
    const { json } = await begin(server);
    await send(server, json['id'], 0, bytes.length);
    const body = { digest: digestOf(Buffer.from('other')) };
    expect((await ask(server, 'POST', `uploads/${json['id']}/finish`, { body })).status).toBe(422);
    expect(await server.remote.stat(key)).toBeUndefined();
    // It cannot be finished by another word either; the same content begins anew.
    const again = { body: { digest: digestOf(bytes) } };
    expect((await ask(server, 'POST', `uploads/${json['id']}/finish`, again)).status).toBe(422);
    expect((await begin(server, 2)).json['id']).not.toBe(json['id']);
  });

  it('is told how it ended as often as that is asked, and to nobody else', async () => {
    const server = await startTestServer({ allowed: [allScopes, other] });
    const { json } = await begin(server);
    const { id } = json;
    await send(server, id, 0, bytes.length);
    const end = { body: { digest: digestOf(bytes) } };
    await ask(server, 'POST', `uploads/${id}/finish`, end);
    for (let i = 0; i < 2; i++) {
      expect((await ask(server, 'GET', `uploads/${id}?wait=5`)).json['state']).toBe('created');
      expect((await ask(server, 'POST', `uploads/${id}/finish`, end)).json['state']).toBe(
        'created',
      );
      // The same write, begun again since its answer was lost, is not told that somebody was faster.
      expect((await begin(server)).json['state']).toBe('created');
    }
    expect((await begin(server, 2)).status).toBe(412);
    expect((await ask(server, 'GET', `uploads/${id}`, { token: other.token })).status).toBe(410);
    expect((await ask(server, 'GET', 'uploads/0123456789abcdef')).status).toBe(410);
  });

  it('is sent by a token that may do nothing else', async () => {
    const server = await startTestServer({ allowed: [pushOnly] });
    const token = { value: pushOnly.token, isWithheld: false };
    const client = httpRemoteOf(server, { partBytes: part, token });
    expect(await client.create(key, bytesSource(bytes))).toBe('created');
  });

  it('is refused where there is no room for it', async () => {
    const server = await startTestServer({ uploadBytesMax: 2 * bytes.length });
    expect((await begin(server, 1)).status).toBe(201);
    expect((await begin(server, 2, { key: 'packs/ab/b.pack' })).status).toBe(201);
    const third = await begin(server, 3, { key: 'packs/ab/c.pack' });
    expect(third).toMatchObject({ status: 507, json: { error: { code: 'remote-full' } } });
    const client = httpRemoteOf(server, { partBytes: part });
    const create = client.create('packs/ab/d.pack', bytesSource(bytes));
    await expect(create).rejects.toMatchObject({ code: 'remote-full' });
  });

  it('that the place behind cannot take for a moment is finished by the next try', async () => {
    const failing = failingRemote(2);
    const server = await startTestServer({ remote: failing.remote });
    const client = httpRemoteOf(server, { partBytes: part });
    const source = bytesSource(bytes);
    const outcomes = [];
    for (let i = 0; i < 3; i++) {
      outcomes.push(await client.create(key, source).catch((error) => error.code));
    }
    expect(outcomes).toEqual(['remote-unreachable', 'remote-unreachable', 'created']);
    expect(failing.creates()).toBe(3);
    const parts = server.log.filter((line) => line.includes('?offset='));
    // Nothing was sent twice.
    expect(parts).toHaveLength(6);
  });
});

describe('a small object', () => {
  it('is created once for all tries of a write, and its maker told so', async () => {
    const server = await startTestServer();
    const put = (n: number, body = Buffer.from('first')) =>
      ask(server, 'PUT', 'objects/refs/a', {
        body,
        headers: { ...number(n), 'if-none-match': '*' },
      });
    const tries = await Promise.all([put(1), put(1), put(1)]);
    expect(tries.map(({ status }) => status)).toEqual([201, 201, 201]);
    expect((await put(2)).status).toBe(412);
    expect((await put(1, Buffer.from('other'))).status).toBe(412);
  });

  it('whose end the server did not learn is known again by its bytes', async () => {
    const { remote } = failingRemote(1, true);
    const server = await startTestServer({ remote });
    const client = httpRemoteOf(server);
    const source = bytesSource(Buffer.from('mine'));
    await expect(client.create('refs/a', source)).rejects.toMatchObject({
      code: 'remote-unreachable',
    });
    expect(await client.create('refs/a', source)).toBe('created');
    expect(await client.create('refs/a', bytesSource(Buffer.from('mine')))).toBe('exists');
  });

  it('is no larger than one request may be, whatever its length is said to be', async () => {
    const server = await startTestServer();
    const { port, hostname } = new URL(server.url);
    for (const length of ['8388609', '99999999999', '9'.repeat(30), '-1', 'x']) {
      const answer = await new Promise<string>((resolve, reject) => {
        const socket = net.connect(Number(port), hostname, () =>
          socket.write(
            [
              'PUT /api/v1/objects/refs/a HTTP/1.1',
              'host: x',
              `authorization: Bearer ${allScopes.token}`,
              'content-type: application/octet-stream',
              `content-digest: sha-256=:${digestOf(Buffer.from('x'))}:`,
              'idempotency-key: 0123456789abcdef',
              'if-none-match: *',
              `content-length: ${length}`,
              '',
              'x',
            ].join('\r\n'),
          ),
        );
        let text = '';
        socket.on('data', (chunk) => {
          text += chunk;
          if (text.includes('\r\n\r\n')) socket.destroy();
        });
        socket.on('error', reject);
        socket.on('close', () => resolve(text));
      });
      expect(answer, length).toMatch(/^HTTP\/1\.1 (400|411|413) /);
    }
    expect(await server.remote.stat('refs/a')).toBeUndefined();
  });

  it('needs the condition, a digest and a number', async () => {
    const server = await startTestServer();
    const body = Buffer.from('x');
    const all: Record<string, string> = { ...number(1), 'if-none-match': '*' };
    const without = async (name: string, value = '') => {
      const headers = { ...all, [name]: value };
      return (await ask(server, 'PUT', 'objects/refs/a', { body, headers })).status;
    };
    expect(await without('if-none-match', '"x"')).toBe(428);
    expect(await without('idempotency-key')).toBe(400);
    expect(await without('content-digest', 'md5=:x:')).toBe(400);
    expect(await without('content-digest', `sha-256=:${digestOf(Buffer.from('y'))}:`)).toBe(422);
    expect(await without('content-type', 'text/plain')).toBe(415);
    expect(await server.remote.stat('refs/a')).toBeUndefined();
  });
});

/** A place that fails the first creates, before or after it has done them. */
function failingRemote(times: number, afterwards = false) {
  const remote: RemotePruner = memoryRemote();
  let creates = 0;
  const failure = () => new MstoreError('remote-unreachable', 'Cannot write to it: it is away');
  return {
    creates: () => creates,
    remote: {
      ...remote,
      async create(...args: Parameters<RemotePruner['create']>) {
        creates++;
        if (creates > times) return remote.create(...args);
        if (afterwards) await remote.create(...args);
        throw failure();
      },
    } satisfies RemotePruner,
  };
}
