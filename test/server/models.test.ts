import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, it } from 'vitest';
import { openRemote } from '../../src/remote/open.ts';
import { allScopes, startTestServer } from '../support/http-remote.ts';
import { makePublished } from '../support/resolving.ts';
import { safetensorsFile } from '../support/safetensors.ts';
import { xorshiftBytes } from '../support/xorshift.ts';

const weights = Buffer.from(xorshiftBytes(7, 3_000_000));
const files = { 'config.json': '{"model_type":"bert"}', 'nested/weights.bin': weights };

/** A server over a remote with a model in two versions, the first of which is live. */
async function served() {
  const ws = await makePublished();
  const record = await ws.publish('v1', files);
  await ws.deploy('v1');
  await ws.publish('v2', { ...files, 'config.json': '{}' });
  const remote = await openRemote(ws.remote, { base: '/' });
  const server = await startTestServer({ remote });
  const get = (path: string, headers: Record<string, string> = {}, method = 'GET') =>
    fetch(`${server.url}/api/v1/ml-models${path}`, {
      method,
      headers: { authorization: `Bearer ${allScopes.token}`, ...headers },
    });
  const json = async (path: string) => (await get(path)).json();
  return { ws, record, server, get, json };
}

describe('what a server tells of models', () => {
  it('is what the command line tells', async () => {
    const { json, record } = await served();
    expect(await json('')).toMatchObject({
      models: [
        {
          model: 'bert',
          versions: 2,
          latest: 'v2',
          live: [{ environment: 'production', version: 'v1' }],
        },
      ],
    });
    expect(await json('/bert')).toMatchObject({
      model: 'bert',
      latest: 'v2',
      versions: 2,
      live: [{ environment: 'production', version: 'v1' }],
    });
    const versions = (await json('/bert/versions')) as { versions: { version: string }[] };
    expect(versions.versions.map(({ version }) => version)).toEqual(['v2', 'v1']);
    const turned = (await json('/bert/versions?reverse=true')) as typeof versions;
    expect(turned.versions.map(({ version }) => version)).toEqual(['v1', 'v2']);
    expect(await json('/bert/environments')).toEqual({
      model: 'bert',
      lifecycle: [],
      environments: [
        {
          environment: 'production',
          version: 'v1',
          number: 1,
          action: 'deploy',
          since: expect.stringMatching(/^\d{4}-/),
          by: expect.any(String),
        },
      ],
    });
    expect(await json('/bert/history')).toMatchObject({
      total: 1,
      entries: [{ environment: 'production', version: 'v1', number: 1 }],
    });
    for (const name of ['v1', 'production']) {
      expect(await json(`/bert/${name}`)).toMatchObject({
        sha256: record,
        record: { version: 'v1' },
      });
    }
  });

  it.each([
    ['/nobody', 404, 'unknown-model'],
    ['/bert/v9', 404, 'unknown-version'],
    ['/bert/versions?sort=nothing', 400, 'usage'],
    ['/bert/versions?all=perhaps', 400, 'bad-input'],
    ['/bert/history?limit=0', 400, 'bad-input'],
    ['/bert/history?environment=nowhere', 404, 'unknown-environment'],
    ['/bert/v1/files/none', 404, 'not-found'],
    ['/bert/v1/files/../config.json', 404, 'not-found'],
    ['/..%2f..%2fx', 404, 'unknown-model'],
  ])('answers %s with %i and why', async (path, status, code) => {
    const { get } = await served();
    const answer = await get(path);
    expect(answer.status).toBe(status);
    const { error } = (await answer.json()) as { error: Record<string, string> };
    expect(error['code']).toBe(code);
    expect(error['message']).not.toContain('/tmp');
  });

  it('goes by the lifecycle and the gates of the workspace', async () => {
    const { ws } = await served();
    const policy =
      'weights = { f1 = 1 }\nlower_is_better = ["ms"]\n[policy.live.limits]\nms = { max = 9 }';
    const config = `\n[registry]\nlifecycle = "staging,live"\n\n[policy.live]\n${policy}\n`;
    fs.appendFileSync(ws.at('.modelstore/config.toml'), config);
    for (const [version, ms] of [
      ['v3', 8],
      ['v4', 7],
    ] as const) {
      await ws.ok('register', `bert@${version}`, '--metric', `ms=${ms}`, '--metric', 'f1=0.5');
    }
    await ws.ok('push');
    const remote = await openRemote(ws.remote, { base: '/' });
    const { url } = await startTestServer({ remote, workspace: await ws.open() });
    const headers = { authorization: `Bearer ${allScopes.token}` };
    const json = async (path: string) =>
      (await fetch(`${url}/api/v1/ml-models/bert/${path}`, { headers })).json();
    expect(await json('environments')).toMatchObject({ lifecycle: ['staging', 'live'] });
    const listed = (await json('versions?sort=ms')) as { versions: { version: string }[] };
    expect(listed).toMatchObject({ judged: ['f1', 'ms'], lowerIsBetter: ['ms'] });
    // As mstore versions does: the best first, then those that lack it.
    expect(listed.versions.map(({ version }) => version)).toEqual(['v4', 'v3', 'v2', 'v1']);
  });

  it('describes itself', async () => {
    const { server } = await served();
    const document = (await (await fetch(`${server.url}/api/v1/openapi.json`)).json()) as {
      openapi: string;
      paths: object;
    };
    expect(document.openapi).toBe('3.1.0');
    const paths = Object.keys(document.paths);
    for (const name of ['versions', 'compare', 'sharing']) {
      expect(paths).toContain(`/api/v1/ml-models/{model}/${name}`);
    }
  });
});

describe('the health of a model', () => {
  it('tells of one that is whole', async () => {
    const { ws, json } = await served();
    const tensors = [{ name: 'weight', bytes: Buffer.from(xorshiftBytes(9, 5_000_000)) }];
    await ws.publish('v4', { ...files, 'model.safetensors': safetensorsFile(tensors) });
    await ws.deploy('v4');
    expect(await json('/bert/health')).toMatchObject({
      model: 'bert',
      model_type: 'bert',
      version: 'v4',
      status: 'healthy',
      available: true,
      loadable: true,
      metadata: {
        version: 'v4',
        deployed_at: expect.stringMatching(/^\d{4}-/),
        environment: 'production',
        state: 'active',
      },
      problems: [],
    });
    expect(await json('/bert/health?version=v2')).toMatchObject({
      version: 'v2',
      metadata: { deployed_at: null, environment: null },
    });
    expect(await json('/bert/health?environment=nowhere')).toMatchObject({
      error: { code: 'unknown-version' },
    });
  });

  it('tells of one whose bytes are gone', async () => {
    const { ws, json } = await served();
    fs.rmSync(path.join(ws.remote, 'packs'), { recursive: true });
    const health = (await json('/bert/health')) as { problems: string[] };
    expect(health).toMatchObject({ status: 'unavailable', available: false, loadable: false });
    expect(health.problems.length).toBeGreaterThan(0);
  });

  it('tells of one that is not what it is said to be', async () => {
    const { ws, json } = await served();
    await ws.publish('v3', { 'model.safetensors': Buffer.from('no header of any kind at all') });
    const health = (await json('/bert/health?version=v3')) as { problems: string[] };
    expect(health).toMatchObject({ status: 'unavailable', available: true, loadable: false });
    expect(health.problems[0]).toContain('model.safetensors is invalid');
  });

  it('tells of one that should not be used any more', async () => {
    const { ws, json } = await served();
    await ws.ok('deprecate', 'bert@v1', '--reason', 'old', '--force');
    expect(await json('/bert/health')).toMatchObject({
      status: 'degraded',
      problems: ['The version is deprecated', 'None of its files is of a format of models'],
    });
  });
});

describe('environments', () => {
  const post = (url: string, path: string, body: object, token = allScopes.token) =>
    fetch(`${url}/api/v1/ml-models/bert/${path}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });

  it('are moved in the name of the token, and the history tells of it', async () => {
    const { server, json } = await served();
    const moves: Array<[string, object, object]> = [
      [
        'deploy',
        { version: 'v2', environment: 'staging', reason: 'try it' },
        { number: 1, version: 'v2' },
      ],
      [
        'promote',
        { from: 'staging', to: 'production', dryRun: true },
        { dryRun: true, before: 'v1' },
      ],
      [
        'promote',
        { from: 'staging', to: 'production' },
        { number: 2, version: 'v2', before: 'v1' },
      ],
      ['deploy', { version: 'latest', environment: 'production' }, { unchanged: true }],
      ['rollback', { environment: 'production', reason: 'errors' }, { number: 3, version: 'v1' }],
    ];
    for (const [path, body, expected] of moves) {
      const answer = await post(server.url, path, body);
      expect(answer.status, path).toBe(200);
      expect(await answer.json()).toMatchObject(expected);
    }
    const history = (await json('/bert/history?environment=production')) as { entries: object[] };
    expect(history.entries).toMatchObject([
      { number: 3, action: 'rollback', version: 'v1', by: 'everything (token)', reason: 'errors' },
      { number: 2, action: 'promote', version: 'v2', from: 'staging' },
      { number: 1, action: 'deploy', version: 'v1' },
    ]);
  });

  it.each([
    ['deploy', { version: 'v9', environment: 'production' }, 404, 'unknown-version'],
    ['deploy', { version: 'v1' }, 400, 'bad-input'],
    ['deploy', { version: 'v1', environment: 'NOT A NAME' }, 400, 'bad-name'],
    ['deploy', { version: 'v1', environment: 'production', other: 1 }, 400, 'bad-input'],
    ['deploy', { version: 'v2', environment: 'production', force: true }, 400, 'usage'],
    ['promote', {}, 400, 'usage'],
    ['rollback', { environment: 'production' }, 404, 'no-earlier-version'],
  ])('are not moved by %s of %j', async (path, body, status, code) => {
    const { server, json } = await served();
    const answer = await post(server.url, path, body);
    expect(answer.status).toBe(status);
    expect(await answer.json()).toMatchObject({ error: { code } });
    expect(await json('/bert/history')).toMatchObject({ total: 1 });
  });

  it('are moved by one of many who try at once', async () => {
    const { server, json } = await served();
    const tries = Array.from({ length: 6 }, () =>
      post(server.url, 'deploy', { version: 'v2', environment: 'production' }),
    );
    const statuses = (await Promise.all(tries)).map(({ status }) => status);
    // Whoever comes late finds it done, or is told that somebody was faster.
    for (const status of statuses) expect([200, 409]).toContain(status);
    expect(await json('/bert/history')).toMatchObject({ total: 2 });
  });

  it('are not moved without the scope, whatever the body', async () => {
    const { server } = await served();
    expect((await post(server.url, 'deploy', {}, 'mst_unknown')).status).toBe(401);
    const anonymous = await fetch(`${server.url}/api/v1/ml-models/bert/deploy`, { method: 'POST' });
    expect(anonymous.status).toBe(401);
  });
});

describe('files of a version', () => {
  it('are given out as they are, verified, with their digest as ETag', async () => {
    const { get, json } = await served();
    const { files: listed } = (await json('/bert/v1/files')) as {
      files: { path: string; size: number; sha256: string }[];
    };
    expect(listed.map(({ path }) => path)).toEqual(['config.json', 'nested/weights.bin']);
    const answer = await get('/bert/production/files/nested/weights.bin');
    expect(answer.headers.get('etag')).toBe(`"${listed[1]?.sha256}"`);
    expect(answer.headers.get('mstore-version')).toBe('v1');
    expect(Buffer.from(await answer.arrayBuffer()).equals(weights)).toBe(true);
    const head = await get('/bert/v1/files/nested/weights.bin', {}, 'HEAD');
    expect(head.headers.get('content-length')).toBe('3000000');
    expect((await head.arrayBuffer()).byteLength).toBe(0);
  });

  it.each([
    ['bytes=0-0', 206, 'bytes 0-0/3000000', [0, 1]],
    ['bytes=1000000-2000000', 206, 'bytes 1000000-2000000/3000000', [1_000_000, 2_000_001]],
    ['bytes=2999990-', 206, 'bytes 2999990-2999999/3000000', [2_999_990, 3_000_000]],
    ['bytes=-5', 206, 'bytes 2999995-2999999/3000000', [2_999_995, 3_000_000]],
    ['bytes=5-9999999999', 206, 'bytes 5-2999999/3000000', [5, 3_000_000]],
    ['bytes=0-1,5-6', 200, null, [0, 3_000_000]],
    ['lines=1-2', 200, null, [0, 3_000_000]],
    ['bytes=9-5', 200, null, [0, 3_000_000]],
  ])('answer the range %s', async (range, status, contentRange, [start, end]) => {
    const { get } = await served();
    const answer = await get('/bert/v1/files/nested/weights.bin', { range });
    expect(answer.status).toBe(status);
    expect(answer.headers.get('content-range')).toBe(contentRange);
    const bytes = Buffer.from(await answer.arrayBuffer());
    expect(bytes.equals(weights.subarray(start, end))).toBe(true);
  });

  it('answer what one has already, and what is not there', async () => {
    const { get } = await served();
    const file = '/bert/v1/files/nested/weights.bin';
    const etag = (await get(file, {}, 'HEAD')).headers.get('etag') as string;
    for (const header of [etag, `"x", ${etag}`, `W/${etag}`, '*']) {
      const same = await get(file, { 'if-none-match': header });
      expect([same.status, (await same.arrayBuffer()).byteLength], header).toEqual([304, 0]);
    }
    expect((await get(file, { 'if-none-match': '"x"' })).status).toBe(200);
    expect((await get(file, { range: 'bytes=3000000-' })).status).toBe(416);
    expect((await get(file, { range: 'bytes=0-4', 'if-range': '"x"' })).status).toBe(200);
    expect((await get(file, { range: 'bytes=0-4', 'if-range': etag })).status).toBe(206);
  });
});
