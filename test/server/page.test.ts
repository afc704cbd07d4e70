import * as fs from 'node:fs';
import * as path from 'node:path';
import { brotliDecompressSync, gunzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { startTestServer } from '../support/http-remote.ts';

/** What the page names, as a browser would read it. */
function namedIn(page: string): string[] {
  return [...page.matchAll(/(?:href|src)="([^"]+)"/g)].map(([, name]) => name as string);
}

async function page() {
  const { url } = await startTestServer();
  const text = await (await fetch(url)).text();
  return { url, text, named: namedIn(text) };
}

describe('the page', () => {
  it('is there for everybody, may do little, and is asked for anew each time', async () => {
    const { url, text } = await page();
    const answer = await fetch(url);
    expect(answer.status).toBe(200);
    expect(answer.headers.get('content-type')).toBe('text/html; charset=utf-8');
    expect(answer.headers.get('cache-control')).toBe('no-cache');
    expect(answer.headers.get('x-frame-options')).toBe('DENY');
    expect(answer.headers.get('x-content-type-options')).toBe('nosniff');
    expect(answer.headers.get('referrer-policy')).toBe('no-referrer');
    const policy = answer.headers.get('content-security-policy')?.split('; ') ?? [];
    expect(policy[0]).toBe("default-src 'none'");
    expect(policy).toContain("frame-ancestors 'none'");
    expect(policy.join(' ')).not.toMatch(/unsafe|https?:|\*|data:|blob:/);
    // Nothing runs that stands in the page itself.
    expect(text).not.toMatch(/<script(?![^>]*\bsrc=)|<style| on\w+=| style=/);
    const etag = answer.headers.get('etag') as string;
    const again = await fetch(url, { headers: { 'if-none-match': etag } });
    expect([again.status, await again.text()]).toEqual([304, '']);
    expect(again.headers.get('content-security-policy')).toBe(policy.join('; '));
  });

  it('names what it loads by digests, below where it is itself', async () => {
    const { url, named } = await page();
    expect(named).toHaveLength(3);
    for (const name of named) {
      expect(name).toMatch(/^web\/\w+-[0-9a-f]{12}\.(?:js|css|svg)$/);
      const answer = await fetch(new URL(name, `${url}/`));
      expect(answer.status).toBe(200);
      expect(answer.headers.get('cache-control')).toBe('public, max-age=31536000, immutable');
      expect((await answer.text()).length).toBeGreaterThan(100);
    }
    const types = await Promise.all(
      named.map(async (name) =>
        (await fetch(new URL(name, `${url}/`), { method: 'HEAD' })).headers.get('content-type'),
      ),
    );
    expect(types.sort()).toEqual([
      'image/svg+xml',
      'text/css; charset=utf-8',
      'text/javascript; charset=utf-8',
    ]);
  });

  it.each([
    ['br', brotliDecompressSync],
    ['gzip', gunzipSync],
  ] as const)('is sent as %s to who takes it', async (coding, decode) => {
    const { url, named } = await page();
    const script = new URL(named.find((name) => name.endsWith('.js')) as string, `${url}/`);
    const raw = (encoding: string) =>
      fetch(script, { headers: { 'accept-encoding': encoding }, method: 'HEAD' });
    const plain = await raw('identity');
    const coded = await raw(`${coding};q=0.5, identity`);
    expect(plain.headers.get('content-encoding')).toBeNull();
    expect(coded.headers.get('content-encoding')).toBe(coding);
    expect(coded.headers.get('vary')).toContain('accept-encoding');
    expect(coded.headers.get('etag')).not.toBe(plain.headers.get('etag'));
    expect(Number(coded.headers.get('content-length'))).toBeLessThan(
      Number(plain.headers.get('content-length')) / 2,
    );
    expect((await raw(`${coding};q=0`)).headers.get('content-encoding')).toBeNull();
    const folder = path.resolve(import.meta.dirname, '../../dist/web');
    const file = path.join(folder, path.basename(script.pathname));
    expect(decode(fs.readFileSync(`${file}.${coding}`))).toEqual(fs.readFileSync(file));
  });

  it.each([
    '/web/',
    '/web/files.json',
    '/web/page.html',
    '/web/../web/files.json',
    '/web/%2e%2e/%2e%2e/package.json',
    '/web/..%2f..%2fpackage.json',
    '/web/main.js',
    '/index.html',
    '/favicon.ico',
    '/models/ocr',
  ])('gives out nothing at %s', async (address) => {
    const { url } = await startTestServer();
    const answer = await fetch(url + address);
    expect(answer.status).toBe(404);
    expect(await answer.json()).toMatchObject({ error: { code: 'not-found' } });
  });

  it('takes nothing', async () => {
    const { url } = await startTestServer();
    for (const method of ['POST', 'PUT', 'DELETE']) {
      expect((await fetch(url, { method })).status).toBe(404);
    }
  });

  it('is left out where it is not wanted', async () => {
    const { url } = await startTestServer({ page: false });
    expect((await fetch(url)).status).toBe(404);
    expect((await fetch(`${url}/livez`)).status).toBe(200);
  });
});
