import { createHash, randomBytes } from 'node:crypto';
import * as fs from 'node:fs';
import { describe, expect, it } from 'vitest';
import { setVersionState } from '../../src/flow/version-states.ts';
import { HubServer } from '../support/hub-server.ts';
import { makePublisher, type Publisher } from '../support/publishing.ts';

const to = 'hf:org/bert';
const weights = randomBytes(300_000);
const files = { 'config.json': '{"a":1}', 'model.safetensors': weights, 'deep/empty.txt': '' };

async function makeHub(): Promise<HubServer> {
  const hub = await HubServer.start();
  hub.tokens.set('hf_write', { granted: true, writes: true });
  hub.tokens.set('hf_read', { granted: true });
  return hub;
}

async function scene(more: NodeJS.ProcessEnv = {}): Promise<{ hub: HubServer; from: Publisher }> {
  const hub = await makeHub();
  const from = await makePublisher({ HF_ENDPOINT: hub.endpoint, HF_TOKEN: 'hf_write', ...more });
  await from.version('v1', files, { metrics: { accuracy: 0.9 }, description: 'The first one' });
  return { hub, from };
}

/** Files that a revision has there. */
function there(hub: HubServer, revision: string): Record<string, Buffer> {
  const repository = hub.repositories.get('org/bert');
  const commit = repository?.refs.get(revision) ?? revision;
  const tree = [...(repository?.commits.get(commit) ?? [])];
  return Object.fromEntries(tree.map(([name, { bytes }]) => [name, bytes]));
}

function written(hub: HubServer): string[] {
  return hub.requests
    .filter(({ method }) => method !== 'GET')
    .map(({ method, url }) => `${method} ${url}`);
}

describe('a version that is published to the Hub', () => {
  it('has a private repository, its files byte for byte, a card and a tag', async () => {
    const { hub, from } = await scene();
    const result = await from.publish('bert@v1', to);
    expect(hub.repositories.get('org/bert')?.private).toBe(true);
    const { 'README.md': card, '.gitattributes': own, ...rest } = there(hub, 'v1');
    expect(own).toBeDefined();
    expect(Object.keys(rest).sort()).toEqual(Object.keys(files).sort());
    expect(rest['model.safetensors']?.equals(weights)).toBe(true);
    expect(card?.toString()).toContain('| accuracy | 0.9 |');
    const commit = hub.repositories.get('org/bert')?.refs.get('v1');
    expect(result).toMatchObject({ changed: true, reference: `${to}@${commit}` });
    expect(result.bytesSent).toBe(weights.length);
    expect(result.url).toBe(`${hub.endpoint}/org/bert/tree/${commit}`);
    for (const { url, authorization } of hub.requests) {
      expect([url, authorization]).toEqual([
        url,
        url.startsWith('/lfs/') || url.startsWith('/cdn/') ? undefined : 'Bearer hf_write',
      ]);
    }
  });

  it('is sent once: again, nothing is written', async () => {
    const { hub, from } = await scene();
    const first = await from.publish('bert@v1', to);
    const before = written(hub).length;
    const again = await from.publish('bert@v1', to);
    expect(written(hub)).toHaveLength(before);
    expect(again).toMatchObject({ changed: false, reference: first.reference, bytesSent: 0 });
  });

  it('sends what changed alone, and removes what the version does not have', async () => {
    const { hub, from } = await scene();
    await from.publish('bert@v1', to);
    fs.rmSync(from.project.at('models/bert/config.json'));
    await from.version('v2', { 'tokenizer.json': '{}' });
    const before = hub.requests.length;
    const plan = await from.publish('bert@v2', to, { dryRun: true });
    expect(plan.steps).toEqual([
      { act: 'upload', what: 'tokenizer.json', bytes: 2 },
      { act: 'write', what: 'README.md', bytes: expect.any(Number) },
      { act: 'delete', what: 'config.json' },
      { act: 'tag', what: 'v2' },
    ]);
    expect(hub.requests.slice(before).every(({ method }) => method === 'GET')).toBe(true);
    const result = await from.publish('bert@v2', to);
    expect(result.steps).toEqual(plan.steps);
    expect(result.bytesSent).toBe(0);
    expect(Object.keys(there(hub, 'v2')).sort()).toEqual([
      '.gitattributes',
      'README.md',
      'deep/empty.txt',
      'model.safetensors',
      'tokenizer.json',
    ]);
    expect(Object.keys(there(hub, 'v1'))).toContain('config.json');
  });

  it('goes in parts where the Hub asks for parts', async () => {
    const { hub, from } = await scene();
    hub.writes.partBytesMin = 100_000;
    const result = await from.publish('bert@v1', to);
    expect(result.bytesSent).toBe(weights.length);
    expect(hub.requests.filter(({ url }) => url.includes('?part='))).toHaveLength(3);
    expect(there(hub, 'v1')['model.safetensors']?.equals(weights)).toBe(true);
  });

  it('goes to a branch that is made for it', async () => {
    const { hub, from } = await scene();
    await from.publish('bert@v1', to);
    await from.version('v2', { 'config.json': '{"a":2}' });
    const plan = await from.publish('bert@v2', `${to}@next`, { dryRun: true });
    expect(plan.steps[0]).toEqual({ act: 'create', what: 'branch next' });
    await from.publish('bert@v2', `${to}@next`);
    expect(there(hub, 'next')['config.json']?.toString()).toBe('{"a":2}');
    expect(there(hub, 'main')['config.json']?.toString()).toBe('{"a":1}');
  });

  it('is public only where that is asked for', async () => {
    const { hub, from } = await scene();
    const plan = await from.publish('bert@v1', to, { dryRun: true, isPublic: true });
    expect(plan.steps[0]).toEqual({ act: 'create', what: 'public repository org/bert' });
    expect(hub.repositories.size).toBe(0);
    await from.publish('bert@v1', to, { isPublic: true });
    expect(hub.repositories.get('org/bert')?.private).toBe(false);
  });
});

describe('a card', () => {
  it('that somebody wrote on the Hub is left as it is, unless it is to be replaced', async () => {
    const { hub, from } = await scene();
    hub.commit('org/bert', { 'README.md': '# By hand', 'config.json': '{"a":1}' });
    const result = await from.publish('bert@v1', to);
    expect(result.notes).toEqual([expect.stringContaining('--replace-card')]);
    expect(there(hub, 'v1')['README.md']?.toString()).toBe('# By hand');
    await from.version('v2', { 'config.json': '{"a":2}' });
    await from.publish('bert@v2', to, { replaceCard: true });
    expect(there(hub, 'v2')['README.md']?.toString()).toContain('# bert v2');
    await from.version('v3', { 'config.json': '{"a":3}' });
    const third = await from.publish('bert@v3', to);
    expect(third.notes).toEqual([]);
    expect(there(hub, 'v3')['README.md']?.toString()).toContain('# bert v3');
  });

  it('of the version itself is published, and no other', async () => {
    const { hub, from } = await scene();
    await from.version('v2', { 'README.md': '# Ours' });
    await from.publish('bert@v2', to);
    expect(there(hub, 'v2')['README.md']?.toString()).toBe('# Ours');
    await expect(from.publish('bert@v2', to, { card: '/x.md' })).rejects.toMatchObject({
      code: 'usage',
    });
  });
});

describe('a failure', () => {
  it.each(['/lfs/', '/preupload/', '/batch', '/tag/', '/api/repos/create'])(
    'of the service at %s is mended by another try',
    async (at) => {
      const { hub, from } = await scene();
      hub.faults = [
        { how: { status: 503 }, at },
        { how: 'silent', at },
      ];
      const result = await from.publish('bert@v1', to);
      expect(result.bytesSent).toBe(weights.length);
      expect(there(hub, 'v1')['model.safetensors']?.equals(weights)).toBe(true);
    },
  );

  it('in the middle of a file sends it again from its beginning', async () => {
    const { hub, from } = await scene();
    hub.faults = [{ how: 'cut', at: '/lfs/', times: 2 }];
    await from.publish('bert@v1', to);
    expect(there(hub, 'v1')['model.safetensors']?.equals(weights)).toBe(true);
  });

  it('to learn that a commit was made makes no second one', async () => {
    const { hub, from } = await scene();
    hub.faults = [{ how: 'silent', at: '/commit/' }];
    await from.publish('bert@v1', to);
    expect(written(hub).filter((line) => line.includes('/commit/'))).toHaveLength(1);
    expect(hub.repositories.get('org/bert')?.commits.size).toBe(2);
  });

  it('that lasts leaves what was sent, and the next run sends the rest', async () => {
    const { hub, from } = await scene();
    hub.faults = [{ how: { status: 500 }, at: '/commit/', times: 100 }];
    await expect(from.publish('bert@v1', to)).rejects.toMatchObject({
      code: 'remote-unreachable',
      message: expect.stringContaining('Cannot publish to hf:org/bert'),
      hint: expect.stringContaining('not sent again'),
    });
    hub.faults = [];
    const sent = written(hub).filter((line) => line.includes('PUT /lfs/')).length;
    await from.publish('bert@v1', to);
    expect(written(hub).filter((line) => line.includes('PUT /lfs/'))).toHaveLength(sent);
  });

  it('of a neighbour who commits at the same time is told', async () => {
    const { hub, from } = await scene();
    await from.publish('bert@v1', to);
    await from.version('v2', { 'config.json': '{"a":2}' });
    hub.onRequest = ({ url }) => {
      if (!url.includes('/preupload/')) return;
      hub.onRequest = () => {};
      hub.commit('org/bert', { x: 'a neighbour was here' });
    };
    await expect(from.publish('bert@v2', to)).rejects.toMatchObject({ code: 'lost-race' });
    await from.publish('bert@v2', to);
    expect(there(hub, 'v2')['x']).toBeUndefined();
  });

  it('of the service to keep what it was sent is found', async () => {
    const { hub, from } = await scene();
    const commit = hub.writes.commit.bind(hub.writes);
    hub.writes.commit = (repository, branch, body) => {
      const answer = commit(repository, branch, body);
      const tree = repository.commits.get(repository.refs.get(branch) ?? '');
      (tree as Map<string, unknown>).delete('config.json');
      return answer;
    };
    await expect(from.publish('bert@v1', to)).rejects.toMatchObject({ code: 'corrupt-remote' });
    expect(hub.repositories.get('org/bert')?.refs.has('v1')).toBe(false);
  });
});

describe('what cannot be published', () => {
  it.each([
    ['a token that is not known', { HF_TOKEN: 'hf_other' }, 'remote-refused'],
    ['a token that may only read', { HF_TOKEN: 'hf_read' }, 'remote-refused'],
    ['no token', { HF_TOKEN: '' }, 'usage'],
    ['a Hub that must not be asked', { HF_HUB_OFFLINE: '1' }, 'offline'],
  ])('by %s is refused, and nothing is written', async (_, env, code) => {
    const { hub, from } = await scene(env);
    await expect(from.publish('bert@v1', to)).rejects.toMatchObject({ code });
    expect(hub.repositories.size).toBe(0);
  });

  it('is what a tag names otherwise', async () => {
    const { hub, from } = await scene();
    const commit = hub.commit('org/bert', { 'config.json': 'other' });
    hub.repositories.get('org/bert')?.refs.set('v1', commit);
    await expect(from.publish('bert@v1', to)).rejects.toMatchObject({ code: 'name-taken' });
    await from.publish('bert@v1', to, { tag: 'release-1' });
    expect(there(hub, 'release-1')['config.json']?.toString()).toBe('{"a":1}');
  });

  it('is a version that was archived, a path, and what is not here', async () => {
    const { from } = await scene();
    await expect(from.publish('models/bert', to)).rejects.toMatchObject({ code: 'usage' });
    const change = { model: 'bert', version: 'v1', reason: 'old' };
    await setVersionState(await from.project.open(), { ...change, state: 'archived' });
    await expect(from.publish('bert@v1', to)).rejects.toMatchObject({ code: 'version-retired' });
  });

  it.each([
    'hf:bert',
    's3://bucket/x',
    'bert@v1',
    'mlflow:models:/x/1',
    'mlflow:a/b',
    'hf:o/n@a b',
  ])('goes to %s', async (where) => {
    const { from } = await scene();
    await expect(from.publish('bert@v1', where)).rejects.toMatchObject({ code: 'usage' });
  });

  it('is damaged here: nothing is committed', async () => {
    const { hub, from } = await scene();
    const folder = from.project.at('.modelstore');
    const names = fs.readdirSync(folder, { recursive: true, encoding: 'utf8' });
    for (const name of names.filter((one) => one.endsWith('.pack'))) {
      const file = `${folder}/${name}`;
      const bytes = fs.readFileSync(file);
      bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1;
      fs.chmodSync(file, 0o644);
      fs.writeFileSync(file, bytes);
    }
    await expect(from.publish('bert@v1', to)).rejects.toMatchObject({ code: 'corrupt-chunk' });
    expect(written(hub).filter((line) => line.includes('/commit/'))).toEqual([]);
    const sent = [...hub.writes.objects.keys()];
    expect(sent).not.toContain(createHash('sha256').update(weights).digest('hex'));
  });
});
