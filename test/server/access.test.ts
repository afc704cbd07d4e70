import * as fs from 'node:fs';
import * as net from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { formatEntry } from '../../src/registry/entry.ts';
import { formatRecord } from '../../src/registry/record.ts';
import { seal } from '../../src/registry/sealed.ts';
import { localRemote } from '../../src/remote/local.ts';
import { memoryRemote } from '../../src/remote/memory.ts';
import { bytesSource } from '../../src/remote/remote.ts';
import {
  allScopes,
  httpRemoteOf,
  startTestServer,
  type TestServer,
  type TestToken,
  writeTokenFile,
} from '../support/http-remote.ts';
import { environmentDraft, madeRecord } from '../support/registry.ts';
import { listKeys } from '../support/remote-bytes.ts';
import { tempFolder } from '../support/temp.ts';

const reader: TestToken = { name: 'reader', token: 'mst_reader', scopes: ['read'] };
const pusher: TestToken = { name: 'pusher', token: 'mst_pusher', scopes: ['read', 'push'] };
const keeper: TestToken = { name: 'keeper', token: 'mst_keeper', scopes: ['read', 'collect'] };
const mover: TestToken = { name: 'mover', token: 'mst_mover', scopes: ['read', 'deploy'] };
const past: TestToken = {
  ...reader,
  name: 'past',
  token: 'mst_past',
  expires: '2020-01-01T00:00:00Z',
};
const ofBert: TestToken = {
  name: 'bert-team',
  token: 'mst_bert',
  scopes: ['read', 'push', 'deploy', 'collect'],
  models: ['bert'],
};
const allowed = [allScopes, reader, pusher, keeper, mover, past, ofBert];

const entry = (model: string) => `refs/models/${model}/environments/production/00000001.json`;
const record = (model: string) => `refs/models/${model}/versions/v1.json`;

const opened = (server: TestServer, { token }: TestToken) =>
  httpRemoteOf(server, { token: { value: token, isWithheld: false } });

/** Tries a request, and tells its status. */
async function statusOf(server: TestServer, path: string, init: RequestInit = {}) {
  const answer = await fetch(`${server.url}${path}`, init);
  await answer.arrayBuffer();
  return answer.status;
}

const bearer = (token: string) => ({ headers: { authorization: `Bearer ${token}` } });

/** What a create, or a delete, comes to. */
async function outcomeOf(work: Promise<unknown>): Promise<unknown> {
  return work.then(
    (outcome) => outcome ?? 'done',
    (error) => error.details.status ?? error.code,
  );
}

describe('who may do what', () => {
  it('goes by the scopes of a token', async () => {
    const server = await startTestServer({ allowed });
    const keys = { data: 'packs/ab/x.pack', record: record('bert'), entry: entry('bert') };
    const tried: Record<string, unknown[]> = {};
    for (const token of [reader, pusher, mover, keeper]) {
      const remote = opened(server, token);
      const made = Object.values(keys).map((key) => `${key.replace('x.pack', token.name)}`);
      const outcomes = [];
      const version = madeRecord(token.name, 'v1');
      const draft = environmentDraft(version, 'production');
      const bodies = [
        Buffer.from('{}'),
        formatRecord(version),
        formatEntry(seal({ ...draft, number: 1, previous: null })),
      ];
      for (const [i, key] of made.entries()) {
        const own = i === 0 ? key : key.replace('bert', token.name);
        outcomes.push(await outcomeOf(remote.create(own, bytesSource(bodies[i] as Buffer))));
      }
      outcomes.push(
        await outcomeOf(remote.create(`gc/${token.name}`, bytesSource(Buffer.from('x')))),
      );
      outcomes.push(await outcomeOf(remote.delete('packs/ab/none')));
      tried[token.name] = outcomes;
    }
    expect(tried).toEqual({
      // data, record of a version, entry of an environment, mark of a clean-up, deletion
      reader: [403, 403, 403, 403, 403],
      pusher: ['created', 'created', 403, 403, 403],
      mover: [403, 403, 'created', 403, 403],
      keeper: [403, 403, 403, 'created', 'done'],
    });
    expect(await listKeys(opened(server, reader))).toHaveLength(4);
  });

  it('asks everybody for a token who has none, and lets nobody in by another one', async () => {
    const server = await startTestServer({ allowed });
    const open = ['/livez', '/readyz', '/api/v1/whoami', '/api/v1/openapi.json'];
    const closed = [
      '/api/v1/ml-models',
      '/api/v1/objects',
      '/api/v1/objects/mstore.json',
      '/metrics',
    ];
    for (const path of open) expect(await statusOf(server, path), path).toBe(200);
    for (const path of closed) expect(await statusOf(server, path), path).toBe(401);
    const wrong = [
      '',
      'mst_',
      `${reader.token}x`,
      reader.token.slice(0, -1),
      past.token,
      'x'.repeat(5000),
    ];
    for (const token of wrong) {
      expect(await statusOf(server, '/livez', bearer(token)), token.slice(0, 20)).toBe(401);
    }
    expect(await statusOf(server, '/metrics', bearer(reader.token))).toBe(200);
    const basic = Buffer.from(`anybody:${reader.token}`).toString('base64');
    const asPassword = { headers: { authorization: `Basic ${basic}` } };
    expect(await statusOf(server, '/metrics', asPassword)).toBe(200);
  });

  it('lets everybody read, and nobody write, where that was said', async () => {
    const server = await startTestServer({ allowed, anonymous: 'read' });
    await opened(server, pusher).create('recipes/ab/x', bytesSource(Buffer.from('x')));
    const anybody = httpRemoteOf(server, { token: undefined });
    expect(await listKeys(anybody)).toEqual(['recipes/ab/x']);
    const create = anybody.create('recipes/ab/y', bytesSource(Buffer.from('x')));
    await expect(create).rejects.toMatchObject({ code: 'remote-refused' });
    await expect(anybody.delete('recipes/ab/x')).rejects.toMatchObject({ code: 'remote-refused' });
  });

  it('keeps the registries of other models from a token of one', async () => {
    const server = await startTestServer({ allowed });
    for (const model of ['bert', 'secret']) {
      for (const key of [record(model), entry(model)]) {
        await server.remote.create(key, bytesSource(Buffer.from('{}')));
      }
    }
    const remote = opened(server, ofBert);
    expect(await listKeys(remote)).toEqual([entry('bert'), record('bert')]);
    await expect(remote.stat(record('secret'))).rejects.toMatchObject({ code: 'remote-refused' });
    expect(await remote.stat(record('bert'))).toBe(2);
    const other = remote.create(record('other'), bytesSource(Buffer.from('{}')));
    await expect(other).rejects.toMatchObject({ code: 'remote-refused' });
    await expect(remote.delete(entry('secret'))).rejects.toMatchObject({ code: 'remote-refused' });
    expect(await statusOf(server, '/api/v1/ml-models/secret', bearer(ofBert.token))).toBe(403);
    expect(await statusOf(server, '/api/v1/ml-models/secret/history', bearer(ofBert.token))).toBe(
      403,
    );
  });

  it('goes by the file of tokens as it is now, and closes where that is damaged', async () => {
    const server = await startTestServer({ allowed: [reader] });
    expect(await statusOf(server, '/metrics', bearer(reader.token))).toBe(200);
    writeTokenFile(server.tokenFile, [pusher]);
    await delay(1100);
    expect(await statusOf(server, '/metrics', bearer(reader.token))).toBe(401);
    expect(await statusOf(server, '/metrics', bearer(pusher.token))).toBe(200);
    fs.writeFileSync(server.tokenFile, '{');
    await delay(1100);
    expect(await statusOf(server, '/metrics', bearer(pusher.token))).toBe(500);
    fs.rmSync(server.tokenFile);
    await delay(1100);
    expect(await statusOf(server, '/metrics', bearer(pusher.token))).toBe(401);
    writeTokenFile(server.tokenFile, [pusher]);
    await delay(1100);
    expect(await statusOf(server, '/metrics', bearer(pusher.token))).toBe(200);
  });

  it('has those wait who guess, and says nothing of tokens in its log', async () => {
    const server = await startTestServer({ allowed });
    const statuses = [];
    for (let i = 0; i < 25; i++)
      statuses.push(await statusOf(server, '/livez', bearer(`guess-${i}`)));
    expect(statuses.slice(0, 20)).toEqual(Array(20).fill(401));
    expect(statuses.slice(20)).toEqual(Array(5).fill(429));
    // Others may be behind the same address.
    expect(await statusOf(server, '/metrics', bearer(reader.token))).toBe(200);
    const log = server.log.join('');
    expect(log).not.toContain('guess-');
    expect(log).not.toContain(reader.token);
  });

  it('bounds requests of one token, and tells it how long to wait', async () => {
    const server = await startTestServer({ allowed, requestsPerMinute: 5 });
    const answers = [];
    for (let i = 0; i < 7; i++)
      answers.push(await fetch(`${server.url}/metrics`, bearer(reader.token)));
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200, 200, 429, 429]);
    expect(Number(answers[6]?.headers.get('retry-after'))).toBeGreaterThan(0);
    expect(await statusOf(server, '/metrics', bearer(pusher.token))).toBe(200);
  });

  it('tells of each act who did it', async () => {
    const server = await startTestServer({ allowed });
    await opened(server, pusher).create('recipes/ab/x', bytesSource(Buffer.from('x')));
    await opened(server, keeper).delete('recipes/ab/x');
    const acts = server.log.map((line) => JSON.parse(line)).filter(({ act }) => act !== undefined);
    expect(acts).toMatchObject([
      { act: 'create', by: 'pusher', key: 'recipes/ab/x', outcome: 'created' },
      { act: 'delete', by: 'keeper', key: 'recipes/ab/x' },
    ]);
  });
});

describe('what nobody should send', () => {
  const paths = [
    '/api/v1/objects/../../etc/passwd',
    '/api/v1/objects/..%2f..%2fetc%2fpasswd',
    '/api/v1/objects/%2e%2e/%2e%2e/etc/passwd',
    '/api/v1/objects/a//b',
    '/api/v1/objects//etc/passwd',
    '/api/v1/objects/tmp/x',
    '/api/v1/objects/a%00b',
    '/api/v1/objects/a%5cb',
    '/api/v1/objects/.hidden',
    '/api/v1/objects/%ff',
    '/api/v1/objects?prefix=../',
    '/api/v1/objects?prefix=a',
    '/api/v1/objects?prefix=a/&prefix=b/',
    '/api/v1/uploads/../../x',
    '/api/v1/uploads/%2e%2e',
  ];

  it.each(paths)('finds nothing at %s', async (path) => {
    const folder = tempFolder();
    const server = await startTestServer({ remote: localRemote(folder) });
    const answer = await raw(server, [
      `GET ${path} HTTP/1.1`,
      'host: x',
      `authorization: Bearer ${allScopes.token}`,
      'connection: close',
    ]);
    expect(answer).toMatch(/^HTTP\/1\.1 (400|404|410) /);
    expect(answer).not.toContain('root:');
  });

  it('ends a head that is too long, or has no end, and goes on', async () => {
    const server = await startTestServer();
    const long = await raw(server, ['GET /livez HTTP/1.1', 'host: x', `x: ${'y'.repeat(100_000)}`]);
    expect(long).toMatch(/^HTTP\/1\.1 431 /);
    expect(await raw(server, ['NONSENSE'])).toMatch(/^HTTP\/1\.1 400 /);
    expect(await statusOf(server, '/livez')).toBe(200);
  });

  it('takes no body that is longer than is allowed, and no JSON that is none', async () => {
    const server = await startTestServer();
    const post = (body: string) =>
      statusOf(server, '/api/v1/uploads', {
        method: 'POST',
        body,
        headers: { ...bearer(allScopes.token).headers, 'content-type': 'application/json' },
      });
    expect(await post(`{"key":"${'x'.repeat(1_000_000)}"}`)).toBe(413);
    for (const body of [
      '{',
      '[]',
      'null',
      '{"key":5}',
      '{"__proto__":{"key":"a"}}',
      '{"key":"a","size":-1}',
    ]) {
      expect(await post(body), body).toBe(400);
    }
    const whole = memoryRemote();
    expect(await listKeys(whole)).toEqual([]);
  });

  it('answers others while many connections send nothing', async () => {
    const server = await startTestServer();
    const { port, hostname } = new URL(server.url);
    const idle = Array.from({ length: 200 }, () => net.connect(Number(port), hostname));
    for (const socket of idle) {
      socket.on('error', () => {});
      socket.write('GET /livez HTTP/1.1\r\nx-slow: ');
    }
    const times = Array.from({ length: 20 }, () => statusOf(server, '/livez'));
    expect(await Promise.all(times)).toEqual(Array(20).fill(200));
    for (const socket of idle) socket.destroy();
  });
});

/** Sends a head as it is, which `fetch` would mend or refuse. */
function raw({ url }: TestServer, lines: readonly string[]): Promise<string> {
  const { port, hostname } = new URL(url);
  return new Promise((resolve, reject) => {
    const socket = net.connect(Number(port), hostname, () =>
      socket.write(`${lines.join('\r\n')}\r\n\r\n`),
    );
    let text = '';
    socket.setEncoding('latin1');
    socket.on('data', (chunk) => {
      text += chunk;
    });
    socket.on('error', (error) => (text === '' ? reject(error) : resolve(text)));
    socket.on('close', () => resolve(text));
  });
}
