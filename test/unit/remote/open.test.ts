import * as os from 'node:os';
import * as path from 'node:path';
import { pathToFileURL } from 'node:url';
import { describe, expect, it } from 'vitest';
import { isMstoreError } from '../../../src/base/errors.ts';
import { openRemote, parseRemoteUrl } from '../../../src/remote/open.ts';
import { bytesSource } from '../../../src/remote/remote.ts';
import { testGcsServer } from '../../support/gcs-remote.ts';
import { readObject, testBytes } from '../../support/remote-bytes.ts';
import { testS3Server } from '../../support/s3-remote.ts';
import { tempFolder } from '../../support/temp.ts';

const base = path.resolve('/some folder/base');
const home = path.resolve('/home/someone');
const parse = (url: string) => parseRemoteUrl(url, { base, home });

function failureOf(work: () => unknown): { message: string; hint: string | undefined } {
  try {
    work();
  } catch (error) {
    if (isMstoreError(error, 'usage')) return { message: error.message, hint: error.hint };
    throw error;
  }
  throw new Error('Nothing was thrown');
}

describe('the URL of a remote', () => {
  it.each([
    ['/srv/models', path.resolve('/srv/models')],
    ['/srv/../srv/models/', path.resolve('/srv/models')],
    ['/srv/a:b', path.resolve('/srv/a:b')],
    ['../store', path.resolve(base, '../store')],
    ['store', path.join(base, 'store')],
    ['./host:path', path.join(base, 'host:path')],
    ['./~x', path.join(base, '~x')],
    ['~', home],
    ['~/', home],
    ['~/a/b', path.join(home, 'a/b')],
    ['~//a', path.join(home, 'a')],
    ['a b@c#d?e', path.join(base, 'a b@c#d?e')],
    ['C:\\models', path.resolve(base, 'C:\\models')],
    ['c:/models', path.resolve(base, 'c:/models')],
  ])('%s is a folder', (url, folder) => {
    expect(parse(url)).toEqual({ kind: 'directory', folder });
  });

  it.runIf(process.platform !== 'win32').each([
    ['file:///srv/a%20b%23c', '/srv/a b#c'],
    ['FILE:///srv/x', '/srv/x'],
    ['file://localhost/srv', '/srv'],
    ['file:///srv/a@b', '/srv/a@b'],
  ])('%s is a folder', (url, folder) => {
    expect(parse(url)).toEqual({ kind: 'directory', folder });
  });

  it.each([
    's3://bucket/prefix',
    'gs://bucket',
    'http://localhost:9000/x@y',
    'https://host/x',
    'ssh://host/x',
    'memory://',
  ])('%s is a service', (url) => {
    const scheme = url.slice(0, url.indexOf(':'));
    expect(parse(url)).toEqual({ kind: 'service', scheme, shown: url });
  });

  it.each([
    '',
    ' ',
    'a\0b',
    'git@host:path',
    's3:bucket/x',
    'file:relative',
    'file://host/share',
    'file:///a%2Fb',
    'file:///a?b',
    'file:///a#b',
    'file:///a%',
    '~someone/x',
  ])('%j is refused', (url) => {
    const { message, hint } = failureOf(() => parse(url));
    expect(message).toMatch(/^Cannot open /);
    expect(hint).toMatch(/^[A-Z]/);
  });

  it.each([
    's3://KEY:hunter2@bucket/x',
    'https://hunter2@host/x',
    'https://user:hun/hunter2@host/x',
    'https://user:p?hunter2@host',
    'file://user:hunter2@host/x',
    'https://user:hunter2\\@host/x',
  ])('%s is refused without telling the secret', (url) => {
    const { message, hint } = failureOf(() => parse(url));
    expect(message).toMatch(/user name or a password/);
    expect(`${message} ${hint}`).not.toMatch(/hunter2|KEY|hun\b/);
  });
});

describe('openRemote', () => {
  it('opens a folder', async () => {
    const folder = tempFolder();
    const options = { base: path.dirname(folder), offline: true };
    for (const url of [folder, path.basename(folder), pathToFileURL(folder).href]) {
      const remote = await openRemote(url, options);
      expect(remote.location).toBe(folder);
    }
    const remote = await openRemote(folder, options);
    await remote.create('a', bytesSource(Buffer.from('x')));
    expect(String(await readObject(await openRemote(folder, options), 'a'))).toBe('x');
    expect((await openRemote('~/x', options)).location).toBe(path.join(os.homedir(), 'x'));
  });

  it('bounds the rate of all kinds, both ways', async () => {
    const [s3, gs] = [await testS3Server(), await testGcsServer()];
    const kinds = [
      { url: tempFolder() },
      {
        url: 's3://models/rate',
        settings: { endpoint: s3.endpoint, region: s3.region, pathStyle: undefined },
      },
      { url: 'gs://models/rate', settings: { endpoint: gs.endpoint, endpointTrusted: true } },
    ];
    for (const { url, settings } of kinds) {
      const free = await openRemote(url, { base, settings });
      await free.create('a', bytesSource(testBytes(2000)));
      const remote = await openRemote(url, { base, settings, rateMax: 10_000 });
      // A twentieth of a second at once.
      for await (const block of remote.get('a')) expect(block.length).toBeLessThanOrEqual(500);
      const stop = new AbortController();
      const source = bytesSource(testBytes(1_000_000));
      const created = remote.create('b', source, { signal: stop.signal });
      setTimeout(() => stop.abort(), 300);
      await expect(created, url).rejects.toMatchObject({ code: 'interrupted' });
      expect(await free.stat('b')).toBeUndefined();
    }
  });

  it('touches nothing by itself', async () => {
    const base = tempFolder();
    const remote = await openRemote('missing', { base });
    await expect(remote.stat('a')).rejects.toMatchObject({ code: 'remote-unreachable' });
  });

  it('names a bucket and touches nothing', async () => {
    for (const url of ['s3://bucket/some/folder', 'S3://bucket/some/folder//']) {
      expect((await openRemote(url, { base })).location).toBe('s3://bucket/some/folder');
    }
    expect((await openRemote('s3://my.bucket-1', { base })).location).toBe('s3://my.bucket-1');
  });

  it.each([
    's3://bucket/prefix?token=hunter2#hunter2',
    's3://',
    's3:///folder',
    's3://b/x',
    's3://-bucket',
    's3://bucket/a//b',
    's3://bucket/../b',
    's3://bucket/a b',
    's3://bucket/.hidden',
    's3://bucket/tmp/x',
  ])('refuses %s, without what a query holds', async (url) => {
    const opened = openRemote(url, { base });
    await expect(opened).rejects.toMatchObject({
      code: 'usage',
      message: expect.not.stringContaining('hunter2'),
      hint: expect.stringContaining('s3://BUCKET/FOLDER'),
    });
  });

  it.each(['ftp://host/x', 'ssh://host/x'])('says that it has no %s', async (url) => {
    const scheme = url.slice(0, url.indexOf(':'));
    await expect(openRemote(url, { base })).rejects.toMatchObject({
      code: 'usage',
      message: `Cannot open ${url}: this build has no ${scheme}:// remotes`,
    });
  });

  it.each(['http://127.0.0.1:1', 'https://host:8443/a/b/', 'HTTPS://host'])(
    'opens %s without asking anybody',
    async (url) => {
      const remote = await openRemote(url, { base });
      expect(remote.location).toBe(new URL(url).href.replace(/\/+$/, ''));
    },
  );

  it.each(['https://host/x?token=hunter2', 'https://host/#hunter2', 'https://', 'http://a b'])(
    'refuses %s, which names more or less than a server',
    async (url) => {
      await expect(openRemote(url, { base })).rejects.toMatchObject({
        code: 'usage',
        message: expect.not.stringContaining('hunter2'),
      });
    },
  );

  it('refuses settings that mean nothing to a server', async () => {
    const opened = openRemote('https://host', { base, settings: { region: 'eu-central-1' } });
    await expect(opened).rejects.toMatchObject({ code: 'config-invalid' });
  });

  it.each(['s3://bucket/x', 's3://bucket/a b', 'gs://bucket', 'https://host'])(
    'refuses %s offline',
    async (url) => {
      await expect(openRemote(url, { base, offline: true })).rejects.toMatchObject({
        code: 'offline',
      });
    },
  );
});
