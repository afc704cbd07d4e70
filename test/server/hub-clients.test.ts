import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { recordedRequests } from '../support/hub-clients.ts';
import { reader, secondFile, servedFiles, serveModels } from '../support/hub-serving.ts';

const commitPattern = /^[0-9a-f]{40}$/;
const contents: Readonly<Record<string, string | Buffer>> = { ...servedFiles, ...secondFile };

/** Checks what a client goes by of the answer to a request of a file. */
async function checkFile(answer: Response, method: string, path: string): Promise<void> {
  const { headers, status } = answer;
  expect(headers.get('x-repo-commit'), path).toMatch(commitPattern);
  if (status === 404) {
    expect(headers.get('x-error-code'), path).toBe('EntryNotFound');
    return;
  }
  const bytes = Buffer.from(contents[path] ?? 'none');
  const digest = createHash('sha256').update(bytes).digest('hex');
  expect(headers.get('etag'), path).toBe(`"${digest}"`);
  expect(headers.get('accept-ranges'), path).toBe('bytes');
  for (const name of ['location', 'x-xet-hash', 'content-encoding']) {
    expect(headers.get(name), name).toBe(null);
  }
  const got = Buffer.from(await answer.arrayBuffer());
  const length = Number(headers.get('content-length'));
  if (status === 206) {
    expect(got.equals(bytes.subarray(0, length)), path).toBe(true);
    return;
  }
  expect(length, path).toBe(bytes.length);
  expect(got.equals(method === 'HEAD' ? Buffer.alloc(0) : bytes), path).toBe(true);
}

/** Checks what a client goes by of a document. */
async function checkDocument(answer: Response, path: string): Promise<void> {
  const document = (await answer.json()) as Record<string, unknown> &
    readonly Record<string, unknown>[];
  if (answer.status !== 200) {
    expect(answer.headers.get('x-error-code'), path).toBe('EntryNotFound');
  } else if (path.endsWith('/refs')) {
    expect(Object.keys(document).sort()).toEqual(['branches', 'converts', 'pullRequests', 'tags']);
  } else if (path.includes('/tree/') || path.includes('/paths-info/')) {
    for (const entry of document) {
      expect(entry['oid']).toMatch(commitPattern);
      if (entry['type'] !== 'file') continue;
      const bytes = Buffer.from(contents[String(entry['path'])] ?? 'none');
      const oid = createHash('sha256').update(bytes).digest('hex');
      const lfs = { oid, size: bytes.length, pointerSize: expect.any(Number) };
      expect(entry).toMatchObject({ size: bytes.length, lfs });
      expect(entry).not.toHaveProperty('xetHash');
    }
  } else if (path.startsWith('/api/models/')) {
    expect(document['sha']).toMatch(commitPattern);
    expect(new Date(String(document['lastModified'])).toISOString()).toBe(document['lastModified']);
    const siblings = document['siblings'] as { rfilename: string }[];
    for (const { rfilename } of siblings) expect(contents).toHaveProperty([rfilename]);
  } else {
    expect(document).toMatchObject({ name: 'reader', type: 'user' });
  }
}

describe('what clients ask for', () => {
  const recorded = Object.entries(recordedRequests());

  it('is of two majors of the one for Python', () => {
    expect(recorded.map(([client]) => client.split('.')[0])).toEqual([
      'huggingface_hub 2',
      'huggingface_hub 0',
    ]);
  });

  it.each(recorded)('is answered as it was to %s', async (_client, calls) => {
    const { get, commits } = await serveModels();
    for (const request of Object.values(calls).flat()) {
      const [method = '', asked = '', status] = request.split(' ');
      const url = asked.replace('{first}', commits.first).replace('{second}', commits.second);
      const headers: Record<string, string> = { 'accept-encoding': 'identity' };
      if (status === '206') headers['range'] = 'bytes=0-99999';
      const body = new URLSearchParams([
        ['paths', 'config.json'],
        ['paths', 'no'],
        ['expand', 'False'],
      ]);
      const answer = await get(url, { method, headers, ...(method === 'POST' ? { body } : {}) });
      expect(`${method} ${asked} ${answer.status}`).toBe(request);
      const [, path] = /\/resolve\/[^/]+\/([^?]+)/.exec(asked) ?? [];
      if (path === undefined) await checkDocument(answer, url.replace(/\?.*/, ''));
      else await checkFile(answer, method, decodeURIComponent(path));
    }
  });

  it('needs a token, whatever it is', async () => {
    const { server, commits } = await serveModels();
    const requests = new Set(recorded.flatMap(([, calls]) => Object.values(calls).flat()));
    for (const request of requests) {
      const [method = '', asked = ''] = request.split(' ');
      const url = asked.replace('{first}', commits.first).replace('{second}', commits.second);
      const body =
        method === 'POST' ? { body: new URLSearchParams([['paths', 'config.json']]) } : {};
      expect((await fetch(server.url + url, { method, ...body })).status, request).toBe(401);
      const headers = {
        authorization: `Basic ${Buffer.from(`user:${reader.token}`).toString('base64')}`,
      };
      expect(
        (await fetch(server.url + url, { method, headers, ...body })).status,
        request,
      ).not.toBe(401);
    }
  });
});
