import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, it } from 'vitest';
import { sha256Raw } from '../../src/base/digest.ts';
import { bytesSource, readObject } from '../../src/remote/remote.ts';
import { allScopes, httpRemoteOf, startTestServer } from '../support/http-remote.ts';
import { makePublished } from '../support/resolving.ts';
import { xorshiftBytes } from '../support/xorshift.ts';

const objects = new Map<string, Buffer>();

/** Publishes two versions once, and remembers all objects of the remote. */
async function published(): Promise<void> {
  if (objects.size > 0) return;
  const ws = await makePublished();
  const large = Buffer.from(xorshiftBytes(5, 12_000_000));
  await ws.publish('v1', { 'config.json': '{}', 'weights.bin': large });
  await ws.publish('v2', {
    'config.json': '{"v":2}',
    'more.bin': Buffer.from(xorshiftBytes(9, 3_000_000)),
  });
  await ws.deploy('v1');
  await ws.deploy('v2');
  for (const entry of fs.readdirSync(ws.remote, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const file = path.join(entry.parentPath, entry.name);
    objects.set(path.relative(ws.remote, file).split(path.sep).join('/'), fs.readFileSync(file));
  }
}

/** Finds an object that comes in one request, or one of a size at least. */
function find(pattern: RegExp, atLeast = 0): [key: string, bytes: Buffer] {
  const atMost = atLeast > 0 ? Number.POSITIVE_INFINITY : 8_000_000;
  const found = [...objects].find(
    ([key, { length }]) => pattern.test(key) && length >= atLeast && length <= atMost,
  );
  if (found === undefined) throw new Error(`There is no ${pattern}`);
  return found;
}

function flipped(bytes: Buffer, at: number): Buffer {
  const copy = Buffer.from(bytes);
  copy[at] = (copy[at] ?? 0) ^ 1;
  return copy;
}

async function put(url: string, key: string, bytes: Buffer): Promise<Response> {
  return fetch(`${url}/api/v1/objects/${key}`, {
    method: 'PUT',
    headers: {
      authorization: `Bearer ${allScopes.token}`,
      'if-none-match': '*',
      'content-type': 'application/octet-stream',
      'content-digest': `sha-256=:${sha256Raw(bytes).toString('base64')}:`,
      'idempotency-key': '0123456789abcdef',
    },
    body: new Uint8Array(bytes),
  });
}

const small = /^packs\/.*\.pack$/;

describe('what arrives at a server', () => {
  it('is stored as it is, where it is what its key says', async () => {
    await published();
    const server = await startTestServer();
    const remote = httpRemoteOf(server);
    for (const [key, bytes] of objects) {
      expect(await remote.create(key, bytesSource(bytes)), key).toBe('created');
      expect((await readObject(remote, key, bytes.length)).equals(bytes)).toBe(true);
    }
  });

  it.each<[string, () => [string, Buffer], string]>([
    [
      'a pack with a chunk of other bytes',
      () => [find(small)[0], flipped(find(small)[1], 7)],
      'corrupt-chunk',
    ],
    [
      'a pack with another footer',
      () => [find(small)[0], flipped(find(small)[1], find(small)[1].length - 80)],
      'corrupt-pack',
    ],
    [
      'a pack that is cut short',
      () => [find(small)[0], find(small)[1].subarray(0, -1)],
      'corrupt-pack',
    ],
    [
      'a pack under the name of another one',
      () => [`packs/aa/${'a'.repeat(64)}.pack`, find(small)[1]],
      'corrupt-pack',
    ],
    ['nothing as a pack', () => [find(small)[0], Buffer.alloc(0)], 'corrupt-pack'],
    [
      'an index of other bytes',
      () => [find(/^index\/.*\.idx$/)[0], flipped(find(/^index\/.*\.idx$/)[1], 40)],
      'corrupt-pack',
    ],
    [
      'the record of another version',
      () => [find(/versions\/v1\.json$/)[0], find(/versions\/v2\.json$/)[1]],
      'corrupt-registry',
    ],
    [
      'an entry in the place of another one',
      () => [find(/production\/00000001\.json$/)[0], find(/production\/00000002\.json$/)[1]],
      'corrupt-registry',
    ],
  ])('is refused where it is %s', async (_, make, code) => {
    await published();
    const server = await startTestServer();
    const [key, bytes] = make();
    const answer = await put(server.url, key, bytes);
    expect(answer.status).toBe(400);
    expect(((await answer.json()) as { error: { code: string } }).error.code).toBe(code);
    expect(await server.remote.stat(key)).toBeUndefined();
  });

  it('is refused where an entry follows none that is there', async () => {
    await published();
    const server = await startTestServer();
    const [key, bytes] = find(/production\/00000002\.json$/);
    expect((await put(server.url, key, bytes)).status).toBe(404);
    expect(await server.remote.stat(key)).toBeUndefined();
  });

  it('is refused behind an upload in parts too, at once and for good', async () => {
    await published();
    const server = await startTestServer();
    const [key, bytes] = find(small, 9_000_000);
    const remote = httpRemoteOf(server);
    const damaged = flipped(bytes, 1_000_000);
    await expect(remote.create(key, bytesSource(damaged))).rejects.toMatchObject({
      message: expect.stringContaining('is damaged') as string,
    });
    expect(await server.remote.stat(key)).toBeUndefined();
    expect(await remote.create(key, bytesSource(bytes))).toBe('created');
  });
});
