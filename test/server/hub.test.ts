import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';
import {
  downloadFile,
  fileExists,
  listFiles,
  modelInfo,
  pathsInfo,
  snapshotDownload,
  whoAmI,
} from '@huggingface/hub';
import { describe, expect, it } from 'vitest';
import type { TestToken } from '../support/http-remote.ts';
import {
  getExactly,
  publishModels,
  reader,
  secondFile,
  servedFiles,
  serveModels,
} from '../support/hub-serving.ts';
import { contentOf, makeImporter } from '../support/importing.ts';
import { tempFolder } from '../support/temp.ts';

const weights = servedFiles['model.safetensors'];
const sha256 = (bytes: string | Buffer) => createHash('sha256').update(bytes).digest('hex');
const commitPattern = /^[0-9a-f]{40}$/;

describe("the Hub's client for JavaScript", () => {
  it('lists and downloads a version, an environment and a commit', async () => {
    const { server, commits } = await serveModels();
    const hub = { hubUrl: server.url, accessToken: `hf_${reader.token}` };
    const info = await modelInfo({ ...hub, name: 'bert', additionalFields: ['sha', 'author'] });
    expect(info).toMatchObject({ name: 'bert', sha: commits.second, private: true });
    for (const [revision, name, commit] of [
      ['v1.0.0', 'bert', commits.first],
      ['production', 'mstore/bert', commits.first],
      ['v1.1.0', 'bert', commits.second],
      [commits.first, 'bert', commits.first],
    ] as const) {
      const at = { ...hub, revision, repo: { type: 'model', name } } as const;
      expect(await modelInfo({ ...hub, name, revision, additionalFields: ['sha'] })).toMatchObject({
        sha: commit,
      });
      const listed = [];
      for await (const entry of listFiles({ ...at, recursive: true })) listed.push(entry);
      const files = listed.filter(({ type }) => type === 'file').map((file) => file.path);
      const expected = { ...servedFiles, ...(commit === commits.second ? secondFile : {}) };
      expect(files).toEqual(Object.keys(expected).sort());
      for (const [file, bytes] of Object.entries(expected)) {
        const asked = file.split('/').map(encodeURIComponent).join('/');
        const blob = await downloadFile({ ...at, path: asked });
        const got = Buffer.from((await blob?.arrayBuffer()) ?? new ArrayBuffer(0));
        expect(got.equals(Buffer.from(bytes)), file).toBe(true);
      }
    }
  });

  it('tells what is there and what is not', async () => {
    const { server } = await serveModels();
    const hub = { hubUrl: server.url, accessToken: `hf_${reader.token}` };
    const repo = { type: 'model', name: 'bert' } as const;
    expect(await fileExists({ ...hub, repo, path: 'config.json' })).toBe(true);
    expect(await fileExists({ ...hub, repo, path: 'none.json' })).toBe(false);
    expect(await downloadFile({ ...hub, repo, path: 'none.json' })).toBe(null);
    const found = await pathsInfo({
      ...hub,
      repo,
      paths: ['config.json', 'sub dir', 'none'],
      expand: true,
    });
    expect(found.map(({ type, path: at }) => [type, at])).toEqual([
      ['file', 'config.json'],
      ['directory', 'sub dir'],
    ]);
    expect(found[0]).toMatchObject({
      lfs: { oid: sha256(servedFiles['config.json']), size: servedFiles['config.json'].length },
      lastCommit: { title: 'bert@v1.1.0' },
    });
    expect(await whoAmI(hub)).toMatchObject({
      name: 'reader',
      auth: { accessToken: { role: 'read' } },
    });
    const statusOf = (work: Promise<unknown>) =>
      work.then(
        () => 200,
        (error: { statusCode: number }) => error.statusCode,
      );
    expect(await statusOf(modelInfo({ ...hub, name: 'nobody' }))).toBe(404);
    expect(await statusOf(modelInfo({ ...hub, name: 'bert', revision: 'v9' }))).toBe(404);
    expect(await statusOf(modelInfo({ ...hub, accessToken: 'hf_mst_unknown', name: 'bert' }))).toBe(
      401,
    );
  });

  it('keeps a snapshot as one of the Hub', async () => {
    const { server } = await serveModels();
    const cacheDir = tempFolder();
    const folder = await snapshotDownload({
      hubUrl: server.url,
      accessToken: `hf_${reader.token}`,
      repo: { type: 'model', name: 'Team/Other' },
      revision: 'v1',
      cacheDir,
    });
    expect(path.basename(folder)).toMatch(commitPattern);
    expect(fs.readFileSync(path.join(folder, 'plain.txt'), 'utf8')).toBe('plain');
    expect(fs.readdirSync(path.join(folder, '../../blobs'))).toEqual([sha256('plain')]);
  });
});

describe('an import from a server', () => {
  it('is one from the Hub, verified by digests', async () => {
    const { server, commits } = await serveModels();
    const importer = await makeImporter({
      env: { HF_ENDPOINT: server.url, HF_TOKEN: reader.token },
    });
    const { record } = await importer.take('hf:bert@production', 'copy@v1');
    expect(record.value.source).toMatchObject({ imported: { commit: commits.first } });
    const expected = Object.entries(servedFiles).map(([name, bytes]) => [name, contentOf(bytes)]);
    expect(await importer.files('copy@v1')).toEqual(Object.fromEntries(expected));
  });
});

describe('a file', () => {
  it('has the headers that clients go by', async () => {
    const { get, commits } = await serveModels();
    const head = await get('/bert/resolve/production/model.safetensors', { method: 'HEAD' });
    expect([head.status, (await head.arrayBuffer()).byteLength]).toEqual([200, 0]);
    expect(Object.fromEntries(head.headers)).toMatchObject({
      'x-repo-commit': commits.first,
      etag: `"${sha256(weights)}"`,
      'content-length': String(weights.length),
      'accept-ranges': 'bytes',
      'mstore-version': 'v1.0.0',
      'cache-control': 'private, no-cache',
    });
    for (const name of ['x-xet-hash', 'link', 'location', 'content-encoding']) {
      expect(head.headers.get(name), name).toBe(null);
    }
    const exact = await get(`/bert/resolve/${commits.first}/config.json`);
    expect(exact.headers.get('cache-control')).toContain('immutable');
    const [entry] = (await (
      await get('/api/models/bert/paths-info/v1.0.0', {
        method: 'POST',
        body: new URLSearchParams([['paths', 'model.safetensors']]),
      })
    ).json()) as { lfs: { oid: string }; oid: string }[];
    expect(`"${entry?.lfs.oid}"`).toBe(head.headers.get('etag'));
    expect(entry?.oid).toMatch(commitPattern);
  });

  it.each([
    ['bytes=0-0', 206, 'bytes 0-0/', 0, 1],
    ['bytes=1500000-', 206, 'bytes 1500000-', 1_500_000, undefined],
    ['bytes=-7', 206, `bytes ${weights.length - 7}-`, weights.length - 7, undefined],
  ])('is sent from where somebody goes on: %s', async (range, status, told, start, end) => {
    const { get } = await serveModels();
    const answer = await get('/bert/resolve/v1.0.0/model.safetensors', { headers: { range } });
    expect(answer.status).toBe(status);
    expect(answer.headers.get('content-range')).toContain(told);
    const bytes = Buffer.from(await answer.arrayBuffer());
    expect(bytes.equals(weights.subarray(start, end))).toBe(true);
  });

  it('is not sent again to whoever has it, nor from behind its end', async () => {
    const { get } = await serveModels();
    const file = '/bert/resolve/v1.0.0/model.safetensors';
    const same = await get(file, { headers: { 'if-none-match': `"${sha256(weights)}"` } });
    expect([same.status, same.headers.get('x-repo-commit')]).toEqual([
      304,
      expect.stringMatching(commitPattern),
    ]);
    const range = `bytes=${weights.length}-`;
    expect((await get(file, { headers: { range } })).status).toBe(416);
    const empty = await get('/bert/resolve/v1.0.0/empty', { headers: { range: 'bytes=0-0' } });
    expect([empty.status, empty.headers.get('content-range')]).toEqual([200, 'bytes */0']);
  });
});

describe('listings', () => {
  it('come in pages that stay with their version', async () => {
    const published = await publishModels();
    const { ws } = published;
    const { get, server } = await serveModels({ models: published });
    let next: string | undefined = '/api/models/bert/tree/main?recursive=True&expand=False&limit=2';
    const paths: string[] = [];
    let pages = 0;
    while (next !== undefined) {
      const answer: Response = await get(next);
      const page = (await answer.json()) as { path: string }[];
      paths.push(...page.map((entry) => entry.path));
      const link = /^<(http[^>]+)>; rel="next"$/.exec(answer.headers.get('link') ?? '')?.[1];
      expect(link === undefined || link.startsWith(server.url)).toBe(true);
      next = link?.slice(server.url.length);
      // What main names is another version from the second page on.
      if (pages++ === 0) await ws.publish('v2.0.0', { other: 'x' });
    }
    expect(pages).toBe(5);
    expect(paths).toEqual([
      ...['config.json', 'empty', 'model.safetensors', 'second.txt'],
      ...['sub dir', 'sub dir/a#b é?.txt', 'sub dir/deep', 'sub dir/deep/last.txt'],
      ...['tokenizer.json', 'tokenizer_config.json'],
    ]);
  });

  it('are of one folder where that is asked for', async () => {
    const { get, commits } = await serveModels();
    const list = async (path: string) => {
      const answer = await get(`/api/models/mstore/bert/tree/${commits.first}${path}`);
      return ((await answer.json()) as { path: string; type: string }[]).map((one) => one.path);
    };
    expect(await list('')).toEqual([
      ...['config.json', 'empty', 'model.safetensors', 'sub dir'],
      ...['tokenizer.json', 'tokenizer_config.json'],
    ]);
    const singly: string[] = [];
    for (
      let cursor = '';
      singly.length < 9;
      cursor = `&cursor=${encodeURIComponent(singly.at(-1) ?? '')}`
    ) {
      const page = await list(`?limit=1${cursor}`);
      if (page.length === 0) break;
      singly.push(...page);
    }
    expect(singly).toEqual(await list(''));
    expect(await list('/sub%20dir?cursor=elsewhere')).toEqual([]);
    expect(await list('/sub%20dir?recursive=false')).toEqual([
      'sub dir/a#b é?.txt',
      'sub dir/deep',
    ]);
    expect(await list('/sub%20dir%2Fdeep?recursive=true')).toEqual(['sub dir/deep/last.txt']);
  });

  it('hold all files of a version with more than a page of them', async () => {
    const published = await publishModels();
    const { ws } = published;
    const { get } = await serveModels({ models: published });
    const names = Array.from(
      { length: 1_123 },
      (_, i) => `d${i % 7}/f${String(i).padStart(6, '0')}`,
    );
    await ws.publish('v3.0.0', Object.fromEntries(names.map((name) => [name, name])));
    const info = (await (await get('/api/models/bert?blobs=true')).json()) as {
      siblings: { rfilename: string; lfs: { sha256: string } }[];
    };
    expect(info.siblings.map(({ rfilename }) => rfilename)).toEqual([...names].sort());
    expect(info.siblings[0]?.lfs.sha256).toBe(sha256('d0/f000000'));
    const page = await get('/api/models/bert/tree/main?recursive=true');
    expect(await page.json()).toHaveLength(1000);
    const second = (/^<([^>]+)>/.exec(page.headers.get('link') ?? '') ?? [])[1] ?? '';
    const rest = await get(new URL(second).pathname + new URL(second).search);
    expect(await rest.json()).toHaveLength(123 + 7);
    expect(rest.headers.get('link')).toBe(null);
    const last = names.at(-1) as string;
    expect(await (await get(`/bert/resolve/main/${last}`)).text()).toBe(last);
  });

  it('of refs have environments as branches and versions as tags', async () => {
    const published = await publishModels();
    const { ws } = published;
    const { get, commits } = await serveModels({ models: published });
    await ws.ok('archive', 'bert@v1.1.0', '--reason', 'old');
    await ws.ok('push');
    const refs = await (await get('/api/models/bert/refs')).json();
    expect(refs).toEqual({
      branches: [
        { name: 'main', ref: 'refs/heads/main', targetCommit: commits.first },
        { name: 'production', ref: 'refs/heads/production', targetCommit: commits.first },
      ],
      tags: [{ name: 'v1.0.0', ref: 'refs/tags/v1.0.0', targetCommit: commits.first }],
      converts: [],
      pullRequests: [],
    });
  });
});

describe('revisions', () => {
  it('are those of the registry', async () => {
    const published = await publishModels();
    const { ws } = published;
    const { get, commits } = await serveModels({ models: published });
    const at = async (revision: string) => {
      const answer = await get(`/bert/resolve/${revision}/config.json`, { method: 'HEAD' });
      return answer.headers.get('x-repo-commit') ?? answer.headers.get('x-error-code');
    };
    expect(await at('main')).toBe(commits.second);
    expect(await at('HEAD')).toBe(commits.second);
    expect(await at('latest')).toBe(commits.second);
    expect(await at('refs%2Fheads%2Fproduction')).toBe(commits.first);
    expect(await at(commits.first)).toBe(commits.first);
    for (const none of [
      'v9',
      'refs%2Fpr%2F1',
      '0'.repeat(40),
      'a%2Fb',
      '%5B',
      commits.first.slice(1),
    ]) {
      expect(await at(none), none).toBe('RevisionNotFound');
    }
    // Whoever has an environment of that name says what main is.
    await ws.ok('deploy', 'bert@v1.0.0', '--env', 'main');
    expect(await at('main')).toBe(commits.first);
    // A version that was archived can still be had, as by pull; one that was deleted is gone, by its commit too.
    await ws.ok('archive', 'bert@v1.1.0', '--reason', 'old');
    await ws.ok('push');
    expect(await at('v1.1.0')).toBe(commits.second);
    await ws.ok('delete', 'bert@v1.1.0', '--reason', 'wrong');
    await ws.ok('push');
    expect(await at('v1.1.0')).toBe('RevisionNotFound');
    expect(await at(commits.second)).toBe('RevisionNotFound');
  });

  it('find a commit on a server that never saw it, which no name takes the place of', async () => {
    const published = await publishModels();
    const { ws } = published;
    const { get, commits } = await serveModels({ models: published });
    // The first request that there is.
    const head = await get(`/bert/resolve/${commits.first}/config.json`, { method: 'HEAD' });
    expect(head.headers.get('mstore-version')).toBe('v1.0.0');
    await ws.publish(commits.first, { 'config.json': 'another' });
    const again = await get(`/bert/resolve/${commits.first}/config.json`);
    expect(await again.text()).toBe(servedFiles['config.json']);
  });

  it('of other models are found past a record that is damaged', async () => {
    const { folder, get, commits } = await serveModels();
    const record = path.join(folder, 'refs/models/bert/versions/v1.1.0.json');
    fs.chmodSync(record, 0o644);
    fs.writeFileSync(record, '{}');
    expect((await get(`/bert/resolve/${commits.first}/config.json`)).status).toBe(200);
    expect((await get('/bert/resolve/v1.1.0/config.json')).status).toBe(502);
  });
});

describe('who may not, and what is not', () => {
  const other: TestToken = {
    name: 'other',
    token: 'mst_other',
    scopes: ['read'],
    models: ['team.other'],
  };
  const pusher: TestToken = { name: 'pusher', token: 'mst_pusher', scopes: ['push'] };

  it.each([
    ['/api/models/nobody', {}, 404, 'RepoNotFound'],
    ['/api/models/team/bert', {}, 404, 'RepoNotFound'],
    ['/nobody/resolve/main/config.json', {}, 404, 'RepoNotFound'],
    ['/api/models/bert/revision/v9', {}, 404, 'RevisionNotFound'],
    ['/api/models/bert/tree/main/none', {}, 404, 'EntryNotFound'],
    ['/bert/resolve/main/none', {}, 404, 'EntryNotFound'],
    ['/bert/resolve/main/sub%20dir', {}, 404, 'EntryNotFound'],
    ['/api/datasets/squad', {}, 404, 'RepoNotFound'],
    ['/datasets/a/squad/resolve/main/f', {}, 404, 'RepoNotFound'],
    ['/api/models/bert/commits/main', {}, 404, null],
    ['/api/models/bert', { authorization: '' }, 401, 'RepoNotFound'],
    ['/api/models/bert', { authorization: 'Bearer hf_stranger' }, 401, null],
    [
      '/bert/resolve/main/config.json',
      { authorization: `Bearer ${other.token}` },
      403,
      'GatedRepo',
    ],
    [
      '/bert/resolve/main/config.json',
      { authorization: `Bearer ${pusher.token}` },
      403,
      'GatedRepo',
    ],
    ['/api/models/bert/tree/main?limit=x', {}, 400, null],
  ])('%s, sent with %j, is answered with %i and %s', async (asked, headers, status, code) => {
    const { server } = await serveModels({ allowed: [other, pusher] });
    const sent: Record<string, string> = { authorization: `Bearer ${reader.token}`, ...headers };
    if (sent['authorization'] === '') delete sent['authorization'];
    const answer = await fetch(server.url + asked, { headers: sent });
    expect([answer.status, answer.headers.get('x-error-code')]).toEqual([status, code]);
    const { error } = (await answer.json()) as { error: string };
    expect(error.length).toBeGreaterThan(20);
    expect(answer.headers.get('x-error-message')).toBe(
      sent['authorization']?.includes('stranger')
        ? 'Invalid credentials in Authorization header'
        : error,
    );
    if (code === 'EntryNotFound') {
      expect(answer.headers.get('x-repo-commit')).toMatch(commitPattern);
    }
    const head = await fetch(server.url + asked, { method: 'HEAD', headers: sent });
    if (asked.includes('/resolve/')) {
      expect([head.status, head.headers.get('x-error-code')]).toEqual([status, code]);
    }
    expect(server.log.join()).not.toContain('stranger');
  });

  it('lets a token for some models see those alone', async () => {
    const { server, get } = await serveModels({ allowed: [other] });
    const names = async (token: string) => {
      const headers = { authorization: `Bearer ${token}` };
      const models = (await (await fetch(`${server.url}/api/models`, { headers })).json()) as {
        id: string;
      }[];
      return models.map(({ id }) => id);
    };
    expect(await names(other.token)).toEqual(['team.other']);
    expect(await names(reader.token)).toEqual(['bert', 'team.other']);
    expect((await get('/api/models/Team/Other')).status).toBe(200);
    const mine = { headers: { authorization: `Bearer hf_${other.token}` } };
    expect((await fetch(`${server.url}/team/other/resolve/main/plain.txt`, mine)).status).toBe(200);
  });

  it('gives out nothing for paths that lead elsewhere, or nowhere', async () => {
    const { server } = await serveModels();
    for (const asked of [
      '/bert/resolve/main/../../../mstore.json',
      '/bert/resolve/main/..%2f..%2fconfig.json',
      '/bert/resolve/main//config.json',
      '/bert/resolve/main/%00',
      '/bert/resolve/main/sub%20%dir',
      '/..%2fbert/resolve/main/config.json',
      '/api/models/..%2f..%2fbert',
      `/bert/resolve/main/${'a/'.repeat(3000)}`,
      `/api/models/bert/revision/${'v'.repeat(3000)}`,
    ]) {
      const { statusCode = 0 } = await getExactly(server.url, asked);
      expect(statusCode >= 400 && statusCode < 500, `${statusCode} ${asked.slice(0, 60)}`).toBe(
        true,
      );
    }
  });

  it('writes nothing by it', async () => {
    const { get, server } = await serveModels();
    for (const asked of [
      '/api/repos/create',
      '/api/models/bert/commit/main',
      '/api/models/bert/preupload/main',
    ]) {
      for (const type of ['application/json', 'application/x-ndjson']) {
        const answer = await get(asked, {
          method: 'POST',
          headers: { 'content-type': type },
          body: '{}',
        });
        expect([answer.status, answer.headers.get('x-error-code')]).toEqual([403, null]);
      }
    }
    expect(server.log.filter((line) => line.includes('"act"'))).toEqual([]);
  });

  it('speaks of models whose names are words of addresses', async () => {
    const published = await publishModels();
    const { ws } = published;
    const { get } = await serveModels({ models: published });
    for (const name of ['resolve', 'api', 'refs', 'datasets', 'models', 'tree']) {
      await ws.ok('register', `${name}@v1`, 'models/bert');
    }
    await ws.ok('push');
    for (const name of [
      'resolve',
      'api',
      'refs',
      'mstore/datasets',
      'models',
      'tree',
      'mstore/api',
    ]) {
      const file = await get(`/${name}/resolve/main/config.json`);
      expect([file.status, await file.text()], name).toEqual([200, servedFiles['config.json']]);
      const info = await get(`/api/models/${name}/revision/v1`);
      expect(await info.json(), name).toMatchObject({ id: name });
    }
  });
});

describe('what is damaged or gone', () => {
  const packs = (remote: string) =>
    fs
      .readdirSync(path.join(remote, 'packs'), { recursive: true, encoding: 'utf8' })
      .map((name) => path.join(remote, 'packs', name))
      .filter((file) => fs.statSync(file).isFile());
  /** Changes a byte of the model in each pack of a remote that has it. */
  const spoil = (remote: string, offset: number) => {
    const wanted = weights.subarray(offset, offset + 64);
    let spoilt = 0;
    for (const file of packs(remote)) {
      const bytes = fs.readFileSync(file);
      const at = bytes.indexOf(wanted);
      if (at < 0) continue;
      bytes[at] = (bytes[at] as number) ^ 1;
      fs.chmodSync(file, 0o644);
      fs.writeFileSync(file, bytes);
      spoilt++;
    }
    return spoilt;
  };

  it('is never sent as if it were whole', async () => {
    const { folder, get } = await serveModels();
    const file = '/bert/resolve/v1.0.0/model.safetensors';
    expect(spoil(folder, 2_900_000)).toBe(1);
    const answer = await get(file);
    expect(answer.status).toBe(200);
    await expect(answer.arrayBuffer()).rejects.toThrow();
    // What is whole of it can be had.
    const begin = await get(file, { headers: { range: 'bytes=0-999' } });
    expect(Buffer.from(await begin.arrayBuffer()).equals(weights.subarray(0, 1000))).toBe(true);
    expect(spoil(folder, 100)).toBe(1);
    const none = await get(file);
    expect(none.status).toBeGreaterThanOrEqual(500);
    expect(none.headers.get('x-error-code')).toBe(null);
  });

  it('is not told as a file that a version never had', async () => {
    const { folder, get } = await serveModels();
    for (const file of packs(folder)) fs.rmSync(file);
    const gone = await get('/bert/resolve/v1.0.0/config.json');
    expect([gone.status, gone.headers.get('x-error-code')]).toEqual([409, null]);
    fs.renameSync(folder, `${folder}-away`);
    const all = await get('/bert/resolve/v1.0.0/config.json');
    expect(all.headers.get('x-error-code')).not.toBe('EntryNotFound');
    expect(all.status).toBeGreaterThanOrEqual(400);
  });
});
