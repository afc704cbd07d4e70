import { createHash, randomBytes } from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, it } from 'vitest';
import { planImport } from '../../src/flow/import/import.ts';
import { HubServer } from '../support/hub-server.ts';
import { contentOf, makeImporter } from '../support/importing.ts';

const weights = randomBytes(3_000_000);
const model = {
  'config.json': '{"model_type":"bert"}',
  'model.safetensors': weights,
  'onnx/model.onnx': randomBytes(50_000),
  'sub dir/a#b 100%.txt': 'ü',
  '.gitattributes': '*.bin filter=lfs',
  'empty.txt': '',
};

async function hubWith(files: Record<string, string | Buffer> = model) {
  const hub = await HubServer.start();
  const commit = hub.commit('org/bert', files);
  return { hub, commit };
}

const contents = (files: Record<string, string | Buffer>): Record<string, string> =>
  Object.fromEntries(Object.entries(files).map(([name, bytes]) => [name, contentOf(bytes)]));

describe('import from the Hub', () => {
  it('takes every file at the commit that the branch names, and says so in the record', async () => {
    const { hub, commit } = await hubWith();
    const one = await makeImporter({ hub });
    const result = await one.take('hf:org/bert', 'bert@v1', { metrics: { f1: 0.5 } });
    expect(result).toMatchObject({
      created: true,
      from: `hf:org/bert@${commit}`,
      files: 6,
      bytesReceived: result.bytes,
    });
    expect(result.record.value).toMatchObject({
      metrics: { f1: 0.5 },
      content: { path: 'models/bert', kind: 'tree' },
      source: {
        imported: { kind: 'hf', repository: 'org/bert', revision: 'main', commit },
      },
    });
    expect(result.record.value.source?.git).toBeUndefined();
    expect(await one.files('bert@v1')).toEqual(contents(model));
    expect(one.kept()).toEqual([]);
    // Nothing of the workspace's own files was touched.
    expect(fs.existsSync(path.join(one.root, 'models'))).toBe(false);
  });

  it('tells what it would receive, and receives that alone afterwards', async () => {
    const { hub, commit } = await hubWith();
    const one = await makeImporter({ hub });
    const request = { from: 'hf:org/bert', model: 'bert', version: 'v1', cwd: one.root };
    const planned = await planImport(await one.open(), request);
    expect(planned).toMatchObject({ from: `hf:org/bert@${commit}`, files: 6, dryRun: true });
    expect(planned.steps.map(({ act, what }) => `${act} ${what}`).sort()).toEqual(
      [...Object.keys(model).map((name) => `receive ${name}`), 'register bert@v1'].sort(),
    );
    expect(hub.downloads).toEqual([]);
    expect(one.kept()).toEqual([]);
    await one.take('hf:org/bert', 'bert@v1');
    expect((await planImport(await one.open(), request)).steps).toEqual([]);
    hub.commit('org/bert', { ...model, 'config.json': '{"model_type":"t5"}' });
    const later = await planImport(await one.open(), { ...request, version: 'v2' });
    expect(later.steps).toEqual([
      { act: 'receive', what: 'config.json', bytes: 19 },
      { act: 'register', what: 'bert@v2' },
    ]);
    const taken = await one.take('hf:org/bert', 'bert@v2');
    expect(taken.bytesReceived).toBe(19);
  });

  it('reads one commit, though the branch moves between the list and the downloads', async () => {
    const { hub, commit } = await hubWith();
    const one = await makeImporter({ hub });
    hub.onRequest = ({ url }) => {
      if (url.includes('/resolve/')) hub.commit('org/bert', { 'config.json': 'another' });
    };
    expect((await one.take('hf:org/bert', 'bert@v1')).from).toBe(`hf:org/bert@${commit}`);
    expect(await one.files('bert@v1')).toEqual(contents(model));
  });

  it('takes branches, tags and commits by name, and refuses what is none', async () => {
    const { hub, commit } = await hubWith();
    const later = hub.commit('org/bert', { ...model, 'config.json': '{}' });
    hub.repositories.get('org/bert')?.refs.set('refs/pr/1', commit);
    hub.repositories.get('org/bert')?.refs.set('feat/x', later);
    const one = await makeImporter({ hub });
    expect((await one.take(`hf:org/bert@${commit}`, 'bert@v1')).from).toContain(commit);
    expect((await one.take('hf:org/bert@refs/pr/1', 'bert@v2')).from).toContain(commit);
    expect((await one.take('hf:org/bert@feat/x', 'bert@v3')).from).toContain(later);
    await expect(one.take('hf:org/bert@nope', 'bert@v4')).rejects.toMatchObject({
      code: 'not-found',
      message: expect.stringContaining('no revision nope'),
    });
  });

  it('receives nothing that the store has, small files included', async () => {
    const { hub } = await hubWith();
    const one = await makeImporter({ hub });
    await one.take('hf:org/bert', 'bert@v1');
    hub.commit('org/bert', { ...model, 'config.json': '{"model_type":"roberta"}' });
    hub.requests.length = 0;
    const second = await one.take('hf:org/bert', 'bert@v2');
    expect(hub.downloads.map(({ url }) => url.split('/').at(-1))).toEqual(['config.json']);
    expect(second.bytesReceived).toBe(24);
    expect((await one.files('bert@v2'))['config.json']).toBe('{"model_type":"roberta"}');
  });

  it('is done at once when it is repeated, and refuses another commit under the same name', async () => {
    const { hub } = await hubWith();
    const one = await makeImporter({ hub });
    const first = await one.take('hf:org/bert', 'bert@v1');
    hub.requests.length = 0;
    const again = await one.take('hf:org/bert', 'bert@v1');
    expect(again).toMatchObject({ created: false, record: first.record, bytesReceived: 0 });
    expect(hub.downloads).toEqual([]);
    hub.commit('org/bert', { ...model, new: 'x' });
    await expect(one.take('hf:org/bert', 'bert@v1')).rejects.toMatchObject({
      code: 'version-exists',
    });
    await expect(one.take(first.from, 'bert@v1', { metrics: { f1: 1 } })).rejects.toMatchObject({
      code: 'version-exists',
    });
  });

  it('uses the cache of the Hub, verified, and downloads what is wrong there', async () => {
    const { hub, commit } = await hubWith();
    const one = await makeImporter({ hub });
    const cache = path.join(one.home, '.cache/huggingface/hub/models--org--bert');
    fs.mkdirSync(path.join(cache, 'blobs'), { recursive: true });
    fs.mkdirSync(path.join(cache, 'snapshots', commit, 'onnx'), { recursive: true });
    const oid = createHash('sha256').update(weights).digest('hex');
    fs.writeFileSync(path.join(cache, 'blobs', oid), weights);
    const wrong = Buffer.from(model['onnx/model.onnx']);
    wrong[7] = (wrong[7] ?? 0) ^ 1;
    fs.writeFileSync(path.join(cache, 'snapshots', commit, 'onnx/model.onnx'), wrong);
    const result = await one.take('hf:org/bert', 'bert@v1');
    expect(result.bytesReceived).toBe(result.bytes - weights.length);
    expect(await one.files('bert@v1')).toEqual(contents(model));
  });

  it('takes what patterns say, and remembers them', async () => {
    const { hub } = await hubWith();
    const one = await makeImporter({ hub });
    const chosen = { include: ['*.json', 'onnx/'], exclude: ['.gitattributes'] };
    const { record } = await one.take('hf:org/bert', 'bert@v1', chosen);
    expect(Object.keys(await one.files('bert@v1'))).toEqual(['config.json', 'onnx/model.onnx']);
    expect(record.value.source).toMatchObject({ imported: chosen });
    await expect(one.take('hf:org/bert', 'bert@v2', { include: ['*.gguf'] })).rejects.toMatchObject(
      { code: 'not-found' },
    );
  });

  it('shows what has changed since, and takes nothing', async () => {
    const { hub, commit } = await hubWith();
    const one = await makeImporter({ hub });
    await one.take('hf:org/bert', 'bert@v1', { exclude: ['.gitattributes'] });
    expect(await one.refresh('bert', 'v1')).toMatchObject({
      from: `hf:org/bert@${commit}`,
      now: `hf:org/bert@${commit}`,
      changes: [],
    });
    const { 'empty.txt': _, ...others } = model;
    const now = hub.commit('org/bert', {
      ...others,
      'config.json': '{"model_type":"BERT"}',
      'model.safetensors': randomBytes(2000),
      'new.txt': 'n',
    });
    hub.requests.length = 0;
    const { changes, ...rest } = await one.refresh('bert', 'latest');
    expect(rest).toMatchObject({ now: `hf:org/bert@${now}`, asked: 'hf:org/bert@main' });
    expect([...changes].sort((a, b) => a.path.localeCompare(b.path))).toEqual([
      { path: 'config.json', change: 'changed', size: 21, sizeBefore: 21 },
      { path: 'empty.txt', change: 'removed', sizeBefore: 0 },
      { path: 'model.safetensors', change: 'changed', size: 2000, sizeBefore: weights.length },
      { path: 'new.txt', change: 'added', size: 1 },
    ]);
    expect(hub.downloads).toEqual([]);
  });
});

describe('import from the Hub, when things go wrong', () => {
  it('goes on behind the last byte when a download breaks off', async () => {
    const { hub } = await hubWith();
    const one = await makeImporter({ hub });
    hub.faults = [
      { at: '/cdn/', how: 'truncate', times: 2 },
      { at: '/resolve/', how: 'reset' },
      { at: '/tree/', how: { status: 503, headers: { 'retry-after': '0' } } },
      { at: '/revision/', how: { status: 429, headers: { ratelimit: '"api";r=0;t=1' } } },
    ];
    await one.take('hf:org/bert', 'bert@v1');
    expect(await one.files('bert@v1')).toEqual(contents(model));
    const ranges = hub.downloads
      .filter(({ url }) => url.startsWith('/cdn/') && url.endsWith('/model.safetensors'))
      .map(({ range }) => Number(/\d+/.exec(range ?? '0')));
    expect(ranges).toEqual([0, ...ranges.slice(1)].sort((a, b) => a - b));
    expect(ranges.slice(1)).not.toContain(0);
  });

  it('goes on where an import ended that was given up', async () => {
    const { hub } = await hubWith({ 'model.safetensors': weights });
    const one = await makeImporter({ hub });
    hub.faults = [
      { at: '/cdn/', how: 'truncate' },
      { at: '/cdn/', how: { status: 403 }, times: 9 },
    ];
    await expect(one.take('hf:org/bert', 'bert@v1')).rejects.toMatchObject({
      code: 'remote-refused',
    });
    expect(one.kept()).toHaveLength(1);
    hub.faults = [];
    hub.requests.length = 0;
    await one.take('hf:org/bert', 'bert@v1');
    expect(hub.downloads.at(-1)?.range).toMatch(/^bytes=\d{6,}-$/);
    expect(await one.files('bert@v1')).toEqual(contents({ 'model.safetensors': weights }));
    expect(one.kept()).toEqual([]);
  });

  it('takes no byte that has another digest than the list says', async () => {
    const { hub } = await hubWith();
    for (const at of ['model.safetensors', 'config.json']) {
      hub.faults = [{ at, how: 'wrong-bytes', times: 9 }];
      const one = await makeImporter({ hub });
      // Files of LFS are redirected first, which a fault of bytes leaves as it is.
      await expect(one.take('hf:org/bert', 'bert@v1')).rejects.toMatchObject({
        code: 'corrupt-source',
        message: expect.stringContaining('other bytes than its listing says'),
      });
    }
  });

  it('refuses answers that are longer, packed, or of another place', async () => {
    const { hub } = await hubWith({ 'model.safetensors': weights });
    const one = await makeImporter({ hub });
    for (const how of ['longer', 'packed'] as const) {
      hub.faults = [{ at: '/cdn/', how }];
      await expect(one.take('hf:org/bert', 'bert@v1')).rejects.toMatchObject({
        code: how === 'longer' ? 'source-changed' : 'corrupt-source',
      });
    }
    hub.faults = [
      { at: '/cdn/', how: 'truncate' },
      { at: '/cdn/', how: 'other-range' },
    ];
    await expect(one.take('hf:org/bert', 'bert@v1')).rejects.toMatchObject({
      code: 'corrupt-source',
      message: expect.stringContaining('another part'),
    });
    // A server without ranges sends all again; what is there is passed over.
    hub.faults = [{ at: '/cdn/', how: 'no-range' }];
    await one.take('hf:org/bert', 'bert@v1');
    expect(await one.files('bert@v1')).toEqual(contents({ 'model.safetensors': weights }));
  });

  it.each([
    ['to-http', /redirects to what is not read/],
    ['circle', /redirects in a circle/],
  ] as const)('follows no redirection %s', async (how, message) => {
    const { hub } = await hubWith();
    const one = await makeImporter({ hub });
    hub.faults = [{ at: '/resolve/', how, times: 99 }];
    await expect(one.take('hf:org/bert', 'bert@v1')).rejects.toMatchObject({
      code: 'remote-refused',
      message: expect.stringMatching(message),
    });
  });

  it('gives up on a Hub that only fails', async () => {
    const { hub } = await hubWith();
    const one = await makeImporter({ hub });
    hub.faults = [{ at: '/api/', how: { status: 500 }, times: 99 }];
    await expect(one.take('hf:org/bert', 'bert@v1')).rejects.toMatchObject({
      code: 'remote-unreachable',
    });
    expect(hub.requests).toHaveLength(8);
  });
});

describe('import of private and gated models', () => {
  it('sends the token to the Hub alone, and says what to do without one', async () => {
    const hub = await HubServer.start();
    hub.commit('org/own', { 'model.safetensors': weights, 'a.txt': 'a' }, { private: true });
    hub.commit('org/gated', { 'a.txt': 'a' }, { gated: true });
    hub.tokens.set('hf_good', { granted: true });
    hub.tokens.set('other-form', { granted: false });
    const anonymous = await makeImporter({ hub });
    await expect(anonymous.take('hf:org/own', 'own@v1')).rejects.toMatchObject({
      code: 'not-found',
      hint: expect.stringContaining('HF_TOKEN'),
    });
    await expect(anonymous.take('hf:org/gated', 'own@v1')).rejects.toMatchObject({
      code: 'remote-refused',
      hint: expect.stringMatching(/Ask for access at .*\/org\/gated, then set HF_TOKEN/),
    });
    const known = await makeImporter({ hub, env: { HF_TOKEN: 'hf_good' } });
    await known.take('hf:org/own', 'own@v1');
    await known.take('hf:org/gated', 'gated@v1');
    const toCdn = hub.requests.filter(({ url }) => url.startsWith('/cdn/'));
    expect(toCdn).not.toEqual([]);
    expect(toCdn.filter(({ authorization }) => authorization !== undefined)).toEqual([]);
    const ungranted = await makeImporter({ hub, env: { HF_TOKEN: 'other-form' } });
    await expect(ungranted.take('hf:org/gated', 'own@v1')).rejects.toMatchObject({
      code: 'remote-refused',
      hint: expect.stringContaining('with the account of this token'),
    });
    const stale = await makeImporter({ hub, env: { HF_TOKEN: 'hf_stale' } });
    const refused = stale.take('hf:org/own', 'own@v1');
    await expect(refused).rejects.toMatchObject({
      code: 'remote-refused',
      message: expect.stringContaining('the token is not known there'),
    });
    await expect(refused).rejects.not.toThrow(/hf_stale/);
  });

  it('reads the token that was stored at sign-in', async () => {
    const hub = await HubServer.start();
    hub.commit('org/own', { 'a.txt': 'a' }, { private: true });
    hub.tokens.set('hf_stored', { granted: true });
    const one = await makeImporter({ hub });
    fs.mkdirSync(path.join(one.home, '.cache/huggingface'), { recursive: true });
    fs.writeFileSync(path.join(one.home, '.cache/huggingface/token'), 'hf_stored\n');
    expect((await one.take('hf:org/own', 'own@v1')).files).toBe(1);
  });
});

describe('import from a hostile Hub', () => {
  it.each([
    ['a path outside', [{ type: 'file', path: '../x', size: 1, oid: 'a'.repeat(40) }]],
    ['an absolute path', [{ type: 'file', path: '/x', size: 1, oid: 'a'.repeat(40) }]],
    ['the folder of Git', [{ type: 'file', path: '.git/config', size: 1, oid: 'a'.repeat(40) }]],
    [
      'names that are one elsewhere',
      ['A', 'a'].map((path) => ({ type: 'file', path, size: 1, oid: 'a'.repeat(40) })),
    ],
    [
      'a file where a folder is',
      ['a', 'a/b'].map((path) => ({ type: 'file', path, size: 1, oid: 'a'.repeat(40) })),
    ],
    ['a size that is none', [{ type: 'file', path: 'a', size: -1, oid: 'a'.repeat(40) }]],
    ['no digest', [{ type: 'file', path: 'a', size: 1 }]],
    ['a digest that is none', [{ type: 'file', path: 'a', size: 1, lfs: { oid: 'x', size: 1 } }]],
    ['no files', []],
  ])('refuses a list with %s', async (_, entries) => {
    const { hub } = await hubWith();
    hub.spoil = () => entries;
    const one = await makeImporter({ hub });
    await expect(one.take('hf:org/bert', 'bert@v1')).rejects.toMatchObject({
      code: 'corrupt-source',
    });
    expect(hub.downloads).toEqual([]);
  });

  it('refuses a list without an end, and one that leads elsewhere with the token', async () => {
    const { hub } = await hubWith();
    hub.tokens.set('hf_good', { granted: true });
    const other = await HubServer.start();
    other.commit('org/bert', model);
    const one = await makeImporter({ hub, env: { HF_TOKEN: 'hf_good' } });
    hub.faults = [
      {
        at: '/tree/',
        how: {
          status: 200,
          headers: { link: `<${other.endpoint}/api/models/x/tree/y>; rel="next"` },
        },
      },
    ];
    await expect(one.take('hf:org/bert', 'bert@v1')).rejects.toThrow();
    expect(other.requests.filter(({ authorization }) => authorization !== undefined)).toEqual([]);
  });

  it('opens no connection where that is forbidden', async () => {
    const { hub } = await hubWith();
    const offline = await makeImporter({ hub, more: { offline: true } });
    await expect(offline.take('hf:org/bert', 'bert@v1')).rejects.toMatchObject({ code: 'offline' });
    const hubOffline = await makeImporter({ hub, env: { HF_HUB_OFFLINE: 'yes' } });
    await expect(hubOffline.take('hf:org/bert', 'bert@v1')).rejects.toMatchObject({
      code: 'offline',
      message: expect.stringContaining('HF_HUB_OFFLINE'),
    });
    expect(hub.requests).toEqual([]);
  });
});
