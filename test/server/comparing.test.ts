import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, it } from 'vitest';
import type { VersionComparison } from '../../src/flow/version-comparison.ts';
import type { VersionSharing } from '../../src/flow/version-sharing.ts';
import { openRemote } from '../../src/remote/open.ts';
import { allScopes, startTestServer } from '../support/http-remote.ts';
import { makePublished } from '../support/resolving.ts';
import { xorshiftBytes } from '../support/xorshift.ts';

const megabyte = 1_000_000;
const shared = Buffer.from(xorshiftBytes(7, 3 * megabyte));
const fresh = Buffer.from(xorshiftBytes(8, megabyte));

/** A model in three versions: most of the second is in the first, and the third is the second with a file more. */
async function served() {
  const ws = await makePublished();
  const v1 = { 'config.json': '{"a":1}', 'old.txt': 'old', 'weights.bin': shared };
  const v2 = { 'config.json': '{"a":2}', 'weights.bin': Buffer.concat([shared, fresh]) };
  await ws.publish('v1', v1);
  await ws.publish('v2', v2);
  await ws.publish('v3', { ...v2, 'more.txt': 'more' });
  await ws.deploy('v2');
  const remote = await openRemote(ws.remote, { base: '/' });
  const readers = { name: 'other', token: 'mst_other', scopes: ['read'], models: ['x'] } as const;
  const server = await startTestServer({ remote, allowed: [allScopes, readers] });
  const get = (rest: string, token = allScopes.token) =>
    fetch(`${server.url}/api/v1/ml-models/bert/${rest}`, {
      headers: { authorization: `Bearer ${token}` },
    });
  const compare = async (query: string) =>
    (await (await get(`compare?${query}`)).json()) as VersionComparison;
  const sharing = async (query = '') =>
    (await (await get(`sharing${query}`)).json()) as VersionSharing;
  return { ws, get, compare, sharing };
}

describe('two versions', () => {
  it('are compared by files, bytes and metrics', async () => {
    const { compare } = await served();
    const found = await compare('from=v1&to=production');
    expect(found).toMatchObject({
      model: 'bert',
      from: { version: 'v1', state: 'active', absent: 0, size: 3 * megabyte + 10 },
      to: { version: 'v2', size: 4 * megabyte + 7 },
      files: { added: 0, removed: 1, modified: 2, mode: 0, same: 0 },
      metrics: [],
    });
    expect(found.changes.map(({ path, change }) => `${change} ${path}`)).toEqual([
      'modified config.json',
      'removed old.txt',
      'modified weights.bin',
    ]);
    // What was there before is known again within the longer file.
    expect(found.shared).toBeGreaterThan(2.5 * megabyte);
    expect(found.to.own).toBeGreaterThan(megabyte);
    expect(found.to.own).toBeLessThan(1.7 * megabyte);
    expect(found.to.stored).toBe(found.shared + found.to.own);
    expect(found.from.stored).toBe(found.shared + found.from.own);
  });

  it('share all that the smaller one has, and nothing differs of a version from itself', async () => {
    const { compare } = await served();
    const found = await compare('from=v2&to=latest');
    // The list of the files alone.
    expect(found.from.own).toBeLessThan(1000);
    expect(found).toMatchObject({
      to: { version: 'v3' },
      files: { added: 1, removed: 0, modified: 0, same: 2 },
      changes: [{ path: 'more.txt', change: 'added', after: { size: 4 } }],
    });
    expect(await compare('from=v2&to=v2')).toMatchObject({
      from: { own: 0 },
      to: { own: 0 },
      files: { added: 0, removed: 0, modified: 0, same: 2 },
      changes: [],
    });
  });

  it('are compared page by page, and counted whole', async () => {
    const { compare } = await served();
    const pages = await Promise.all(
      [0, 1, 2, 3].map((offset) => compare(`from=v1&to=v2&limit=1&offset=${offset}`)),
    );
    expect(pages.flatMap(({ changes }) => changes.map((one) => one.path))).toEqual([
      'config.json',
      'old.txt',
      'weights.bin',
    ]);
    for (const { files } of pages) expect(files).toMatchObject({ removed: 1, modified: 2 });
  });

  it('are compared where bytes are gone, which is told', async () => {
    const { ws, compare } = await served();
    fs.rmSync(path.join(ws.remote, 'recipes'), { recursive: true });
    const found = await compare('from=v1&to=v2');
    expect([found.from.absent, found.to.absent]).toEqual([1, 1]);
    expect(found.files).toMatchObject({ removed: 1, modified: 2 });
  });

  it.each([
    ['compare?from=v1', 400, 'bad-input'],
    ['compare?from=v1&to=v9', 404, 'unknown-version'],
    ['compare?from=v1&to=v2&limit=0', 400, 'bad-input'],
    ['compare?from=v1&to=v2&offset=-1', 400, 'bad-input'],
    ['sharing?limit=101', 400, 'bad-input'],
    ['sharing?limit=some', 400, 'bad-input'],
  ])('are not compared by %s', async (rest, status, code) => {
    const { get } = await served();
    const answer = await get(rest);
    expect(answer.status).toBe(status);
    expect(await answer.json()).toMatchObject({ error: { code } });
  });

  it('are nothing for a token of other models', async () => {
    const { get } = await served();
    for (const rest of ['compare?from=v1&to=v2', 'sharing']) {
      expect((await get(rest, 'mst_other')).status).toBe(403);
      expect((await get(rest, 'mst_nobody')).status).toBe(401);
    }
  });
});

describe('what versions share', () => {
  it('adds up', async () => {
    const { sharing } = await served();
    const { versions, stored, size, older } = await sharing();
    expect(versions.map(({ version }) => version)).toEqual(['v1', 'v2', 'v3']);
    expect(older).toBe(0);
    expect(size).toBe(versions.reduce((sum, one) => sum + one.size, 0));
    expect(stored).toBe(versions.reduce((sum, { added }) => sum + added, 0));
    const [v1, v2, v3] = versions;
    expect(v1?.added).toBe(v1?.stored);
    expect(v2?.added).toBeLessThan(1.7 * megabyte);
    // The file that is new, and the list of files that names it.
    expect(v3?.added).toBeLessThan(1000);
    expect(v3?.own).toBe(v3?.added);
    expect(v3?.stored).toBeGreaterThan(4 * megabyte);
    // All of the second but its list of files is in the third.
    expect(v2?.own).toBeLessThan(1000);
    expect(versions.map(({ absent }) => absent)).toEqual([0, 0, 0]);
  });

  it('is asked of the newest ones, of which the first then brought all', async () => {
    const { sharing } = await served();
    const { versions, older } = await sharing('?limit=2');
    expect(versions.map(({ version }) => version)).toEqual(['v2', 'v3']);
    expect(older).toBe(1);
    expect(versions[0]?.added).toBe(versions[0]?.stored);
  });

  it('leaves out versions that are not in use', async () => {
    const { ws, sharing } = await served();
    await ws.ok('archive', 'bert@v1', '--reason', 'old', '--force');
    expect((await sharing()).versions.map(({ version }) => version)).toEqual(['v2', 'v3']);
  });
});
