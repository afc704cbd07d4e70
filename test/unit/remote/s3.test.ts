import * as net from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { systemRandom } from '../../../src/base/clock.ts';
import type { ErrorCode, MstoreError } from '../../../src/base/errors.ts';
import { openRemote } from '../../../src/remote/open.ts';
import { bytesSource, type RemotePruner, type RemoteSource } from '../../../src/remote/remote.ts';
import { s3Remote } from '../../../src/remote/s3.ts';
import { type RetryPolicy, retrying, retryPolicy } from '../../../src/remote/wrappers/retry.ts';
import { blocksSource, listKeys, readObject, testBytes } from '../../support/remote-bytes.ts';
import { newS3Remote, testS3Server } from '../../support/s3-remote.ts';
import type { S3FaultKind } from '../../support/s3-server.ts';

const server = await testS3Server({ partBytesMin: 1000, pageMax: 3 });
const text = (value: string) => bytesSource(Buffer.from(value));
const clock = { now: () => 0, monotonic: () => 0 };
const noWait = retryPolicy({ clock, random: systemRandom, sleep: async () => {} });
const failure = (code: ErrorCode, reason: string) =>
  expect.objectContaining({ code, details: expect.objectContaining({ reason }) });

afterEach(() => server.heal());

/** A source that makes a new remote try each time, as another process would. */
const copyOf = (source: RemoteSource): RemoteSource => ({ ...source });

describe('a create whose end is unclear', () => {
  it.each(['lost-reply', 'failed-reply'] as const)('is settled after a %s', async (how) => {
    const remote = newS3Remote(server, { partBytes: 1000 });
    for (const [key, size] of [
      ['small', 10],
      ['large', 5000],
    ] as const) {
      const bytes = testBytes(size);
      server.fault({ how, at: size > 1000 ? 'large?uploadId=' : 'PUT ' });
      expect(await remote.create(key, bytesSource(bytes))).toBe('created');
      expect((await readObject(remote, key)).equals(bytes)).toBe(true);
      expect(await remote.create(key, bytesSource(bytes))).toBe('exists');
    }
  });

  it('is known again by a later try with the same source, and by no other', async () => {
    const remote = newS3Remote(server);
    const source = text('mine');
    server.fault({ how: 'lost-reply', at: 'PUT ' });
    server.fault({ how: 'reset', at: 'HEAD ' });
    await expect(remote.create('a', source)).rejects.toEqual(
      failure('remote-unreachable', 'connection'),
    );
    expect(await remote.create('a', copyOf(source))).toBe('exists');
    expect(await remote.create('a', source)).toBe('created');
    expect(await remote.create('a', source)).toBe('exists');
  });

  it('is lost when another writer was first', async () => {
    const remote = newS3Remote(server);
    const source = text('mine');
    server.fault({ how: 'reset', at: 'PUT ' });
    await expect(remote.create('a', source)).rejects.toMatchObject({ code: 'remote-unreachable' });
    expect(await remote.create('a', text('other'))).toBe('created');
    expect(await remote.create('a', source)).toBe('exists');
    expect(String(await readObject(remote, 'a'))).toBe('other');
  });

  it('is tried again when the connection keeps silent', async () => {
    const remote = newS3Remote(server, { stallMsMax: 150 });
    server.fault({ how: 'stall', at: 'PUT ', times: 2 });
    await expect(remote.create('a', text('x'))).rejects.toEqual(
      failure('remote-unreachable', 'stalled'),
    );
    expect(await retrying(remote, noWait).create('a', text('x'))).toBe('created');
  });

  it.each([
    [429, 7, 7000],
    [503, 7, 7000],
    [503, 'Wed, 01 Jan 2031 00:00:40 GMT', 40_000],
    [503, 'Tue, 31 Dec 2030 23:59:00 GMT', undefined],
    [503, 'soon', undefined],
  ])('waits as long as a %i with Retry-After %s says', async (status, retryAfter, ms) => {
    const remote = newS3Remote(server);
    // The clock of the service counts, wherever ours stands.
    const date = 'Wed, 01 Jan 2031 00:00:00 GMT';
    server.fault({ how: { status, code: '', retryAfter, date }, at: 'PUT ' });
    const error = await remote.create('a', text('x')).catch((failed: MstoreError) => failed);
    expect(error).toMatchObject({ details: { reason: 'throttled' } });
    expect((error as MstoreError).details['retryAfterMs']).toBe(ms);
  });

  it('is given up when nobody reads what is sent', async () => {
    const deaf = net.createServer((socket) => socket.pause());
    await new Promise<void>((resolve) => deaf.listen(0, '127.0.0.1', resolve));
    const { port } = deaf.address() as net.AddressInfo;
    const settings = { endpoint: `http://127.0.0.1:${port}` };
    const remote = newS3Remote(server, { settings, stallMsMax: 200, partBytes: 32_000_000 });
    const created = remote.create('a', bytesSource(Buffer.alloc(30_000_000)));
    await expect(created).rejects.toEqual(failure('remote-unreachable', 'stalled'));
    deaf.close();
  });

  it('asks nobody when the service turned it away', async () => {
    const remote = newS3Remote(server, { prefix: 'busy/' });
    server.fault({ how: { status: 503, code: 'SlowDown', retryAfter: 3 }, at: 'PUT ' });
    await expect(remote.create('a', text('x'))).rejects.toMatchObject({
      code: 'remote-unreachable',
      details: { reason: 'throttled', retryAfterMs: 3000 },
    });
    expect(server.log.filter((line) => line.includes('/busy/'))).toHaveLength(1);
  });
});

/** A remote whose address the backend learns late, as from the configuration of the SDK. */
function checkedRemote(at: typeof server, policy?: RetryPolicy): RemotePruner {
  process.env['AWS_ENDPOINT_URL_S3'] = at.endpoint;
  const place = { bucket: 'models', prefix: 'checked/', location: 's3://models/checked' };
  const settings = { region: at.region, pathStyle: true };
  return s3Remote(place, { random: systemRandom, partBytes: 1000, settings, policy });
}

describe('an upload in parts', () => {
  const bytes = testBytes(10_500);

  it('sends only the part again that failed', async () => {
    const remote = newS3Remote(server, { partBytes: 1000, policy: noWait, prefix: 'parts/' });
    server.fault({ how: 'reset', at: 'partNumber=3' });
    server.fault({ how: { status: 503, code: 'SlowDown' }, at: 'partNumber=7', times: 2 });
    expect(await remote.create('a', bytesSource(bytes))).toBe('created');
    expect((await readObject(remote, 'a')).equals(bytes)).toBe(true);
    const parts = server.log.filter((line) => /^PUT .*\/parts\/a\?.*partNumber=/.test(line));
    expect(parts).toHaveLength(11 + 3);
  });

  /** Requests below a folder since some point of the log, counted by what they ask for. */
  const asked = (folder: string, from: number): Record<string, number> => {
    const counts: Record<string, number> = {};
    for (const line of server.log.slice(from)) {
      if (!line.includes(`/${folder}/`)) continue;
      const [method = '', url = ''] = line.split(' ');
      const what = /partNumber|uploads|uploadId/.exec(url)?.[0] ?? 'object';
      counts[`${method} ${what}`] = (counts[`${method} ${what}`] ?? 0) + 1;
    }
    return counts;
  };

  it.each([
    ['a service that is busy', { status: 503, code: 'SlowDown' }],
    ['replies that are lost', 'lost-reply'],
    ['connections that break', 'reset'],
  ] as const)('sends no part again for %s at its end', async (_, how) => {
    const inner = newS3Remote(server, { partBytes: 1000, policy: noWait, prefix: 'end/' });
    const remote = retrying(inner, noWait);
    const from = server.log.length;
    server.fault({ how, at: 'POST /models/end/a?uploadId', times: 3 });
    expect(await remote.create('a', bytesSource(bytes))).toBe('created');
    expect((await readObject(remote, 'a')).equals(bytes)).toBe(true);
    const { 'PUT partNumber': parts, 'POST uploads': begun, ...rest } = asked('end', from);
    expect([parts, begun]).toEqual([11, 1]);
    expect(rest['POST uploadId']).toBe(how === 'lost-reply' ? 1 : 4);
    expect(server.uploads.size).toBe(0);
    await remote.delete('a');
  });

  it('has one budget of tries for its steps and itself', async () => {
    const inner = newS3Remote(server, { partBytes: 1000, policy: noWait, prefix: 'budget/' });
    const remote = retrying(inner, noWait);
    for (const [at, counted] of [
      ['a?partNumber=3', 'a?partNumber=3'],
      ['POST /models/budget/a?uploadId', 'POST /models/budget/a?uploadId'],
      ['HEAD /models/budget/a', 'HEAD /models/budget/a'],
      ['PUT /models/budget/small', 'PUT /models/budget/small'],
    ] as const) {
      const from = server.log.length;
      server.fault({ how: { status: 503, code: 'SlowDown' }, at, times: 99 });
      const [key, source] = at.includes('small') ? ['small', text('x')] : ['a', bytesSource(bytes)];
      await expect(remote.create(key as string, source as RemoteSource)).rejects.toEqual(
        failure('remote-unreachable', 'throttled'),
      );
      const lines = server.log.slice(from).filter((line) => line.includes(counted));
      expect(lines, at).toHaveLength(8);
      server.heal();
    }
    expect(server.uploads.size).toBe(0);
  });

  it('begins anew at once when the service has forgotten it', async () => {
    const inner = newS3Remote(server, { partBytes: 1000, policy: noWait, prefix: 'gone/' });
    const remote = retrying(inner, noWait);
    for (const at of ['partNumber=4', 'POST /models/gone/a?uploadId']) {
      const from = server.log.length;
      server.fault({ how: { status: 404, code: 'NoSuchUpload' }, at });
      expect(await remote.create('a', bytesSource(bytes))).toBe('created');
      expect(asked('gone', from)).toMatchObject({ 'POST uploads': 2 });
      await remote.delete('a');
    }
    const from = server.log.length;
    const conflict = { status: 409, code: 'ConditionalRequestConflict' };
    server.fault({ how: conflict, at: 'POST /models/gone/a?uploadId' });
    expect(await remote.create('a', bytesSource(bytes))).toBe('created');
    expect(asked('gone', from)).toMatchObject({ 'POST uploads': 2, 'POST uploadId': 2 });
    expect(server.uploads.size).toBe(0);
  });

  it('leaves no upload behind when it fails, and throws what came first', async () => {
    const remote = newS3Remote(server, { partBytes: 1000 });
    server.fault({ how: { status: 403, code: 'AccessDenied' }, at: 'partNumber=4' });
    await expect(remote.create('a', bytesSource(bytes))).rejects.toEqual(
      failure('remote-refused', 'forbidden'),
    );
    const cut = blocksSource([bytes.subarray(0, 5000)], bytes.length);
    await expect(remote.create('a', cut)).rejects.toMatchObject({ code: 'file-changed' });
    const longer = blocksSource([bytes, Buffer.from('x')], bytes.length);
    await expect(remote.create('a', longer)).rejects.toMatchObject({ code: 'file-changed' });
    expect(server.uploads.size).toBe(0);
    expect(await listKeys(remote)).toEqual([]);
  });

  it('loses to a writer that was faster, and ends its upload', async () => {
    const remote = newS3Remote(server, { partBytes: 1000 });
    const slow = {
      size: bytes.length,
      open: async function* () {
        yield bytes.subarray(0, 8000);
        await remote.create('a', text('fast'));
        yield bytes.subarray(8000);
      },
    };
    expect(await remote.create('a', slow)).toBe('exists');
    expect(String(await readObject(remote, 'a'))).toBe('fast');
    expect(server.uploads.size).toBe(0);
  });

  it('sends nothing of an object that is there', async () => {
    const remote = newS3Remote(server, { partBytes: 1000, prefix: 'there/' });
    await remote.create('a', bytesSource(bytes));
    const before = server.log.length;
    expect(await remote.create('a', bytesSource(bytes))).toBe('exists');
    expect(server.log.slice(before)).toEqual(['HEAD /models/there/a']);
  });

  it('gathers a bounded number of parts', async () => {
    const remote = newS3Remote(server, { partBytes: 1000, partsInMemory: 3, prefix: 'bounded/' });
    server.fault({ how: 'stall', at: 'partNumber=', times: 9 });
    let read = 0;
    const stop = new AbortController();
    const source = {
      size: bytes.length,
      open: async function* () {
        for (; read < bytes.length; read += 500) yield bytes.subarray(read, read + 500);
      },
    };
    const created = remote.create('a', source, { signal: stop.signal });
    setTimeout(() => stop.abort(), 100);
    await expect(created).rejects.toMatchObject({ code: 'interrupted' });
    expect(read).toBeLessThanOrEqual(3500);
    expect(server.uploads.size).toBe(0);
  });
});

describe('uploads that are left over', () => {
  const list = async (remote: RemotePruner) => {
    const found: [string, number | undefined][] = [];
    for await (const { key, bytes } of remote.uploads?.list() ?? []) found.push([key, bytes]);
    return found;
  };
  /** A remote with uploads that nobody was left to end. */
  const leaving = async (prefix: string, keys: readonly string[]) => {
    const remote = newS3Remote(server, { partBytes: 1000, policy: noWait, prefix });
    for (const key of keys) {
      server.fault({ how: { status: 403, code: 'AccessDenied' }, at: 'partNumber=3' });
      server.fault({ how: 'reset', at: 'DELETE ' });
      await expect(remote.create(key, bytesSource(testBytes(3000)))).rejects.toThrow();
    }
    return remote;
  };
  afterEach(() => server.uploads.clear());

  it('are listed in spite of failures, and without what is gone or foreign', async () => {
    const remote = await leaving('left/', ['a', 'b', 'c', 'd', 'e']);
    const [first] = server.uploads.values();
    for (const key of ['left/.x', 'left/tmp/x', 'left/a b', 'leftover']) {
      server.uploads.set(`foreign ${key}`, { ...first, key } as typeof first & object);
    }
    server.fault({ how: { status: 503, code: 'SlowDown' }, at: 'uploads', times: 3 });
    server.fault({ how: 'reset', at: 'GET /models/left/b?' });
    server.fault({ how: { status: 404, code: 'NoSuchUpload' }, at: 'GET /models/left/c?' });
    server.fault({ how: { status: 403, code: 'AccessDenied' }, at: 'GET /models/left/d?' });
    expect(await list(remote)).toEqual([
      ['a', 2000],
      ['b', 2000],
      ['d', undefined],
      ['e', 2000],
    ]);
  });

  it('are an error where they cannot be listed or ended', async () => {
    const remote = await leaving('denied/', ['a']);
    server.fault({ how: { status: 403, code: 'AccessDenied' }, times: 2 });
    await expect(list(remote)).rejects.toEqual(failure('remote-refused', 'forbidden'));
    await expect(remote.uploads?.end({ key: 'a', id: 'x' })).rejects.toEqual(
      failure('remote-refused', 'forbidden'),
    );
    server.fault({ how: 'web-page' });
    await expect(list(remote)).rejects.toEqual(failure('remote-refused', 'not-s3'));
  });
});

describe('an upload that was broken off', () => {
  const bytes = testBytes(10_500);
  const contentKey = true;
  /** Numbers of the parts of an object that were sent since some point of the log. */
  const partsSent = (at: typeof server, key: string, from: number) =>
    at.log
      .slice(from)
      .flatMap((line) => {
        const [, number] = /^PUT (?:.*)partNumber=(\d+)/.exec(line) ?? [];
        return number === undefined || !line.includes(`/${key}?`) ? [] : [Number(number)];
      })
      .sort((a, b) => a - b);
  /** Interrupts a create when the parts of these numbers have arrived, and leaves it. */
  const breakOff = async (remote: RemotePruner, at: typeof server, source = bytesSource(bytes)) => {
    for (const part of [4, 6, 9, 10, 11]) {
      at.fault({ how: 'stall', at: `partNumber=${part}&` });
    }
    const stop = new AbortController();
    const created = remote.create('packs/a', source, { contentKey, signal: stop.signal });
    const waiting = setInterval(() => {
      const [upload] = at.uploads.values();
      if (upload?.parts.size === 6) stop.abort();
    }, 5);
    await expect(created).rejects.toMatchObject({ code: 'interrupted' });
    clearInterval(waiting);
    at.heal();
    expect(at.uploads.size).toBe(1);
  };
  const lacking = [4, 6, 9, 10, 11];
  afterEach(() => server.uploads.clear());

  it('is gone on with by another process, which sends what has not arrived', async () => {
    const how = { partBytes: 1000, prefix: 'resumed/' };
    await breakOff(newS3Remote(server, how), server);
    const from = server.log.length;
    const later = newS3Remote(server, how);
    expect(await later.create('packs/a', bytesSource(bytes), { contentKey })).toBe('created');
    expect(partsSent(server, 'packs/a', from)).toEqual(lacking);
    expect((await readObject(later, 'packs/a')).equals(bytes)).toBe(true);
    expect(server.uploads.size).toBe(0);
    expect(await later.create('packs/a', bytesSource(bytes), { contentKey })).toBe('exists');
  });

  it.each(['digest', 'drawn'] as const)(
    'is known by checksums where there are any, with a %s',
    async (etags) => {
      const at = await testS3Server({ partBytesMin: 1000, etags, pageMax: 2 });
      const open = () => checkedRemote(at);
      try {
        await breakOff(open(), at);
        const from = at.log.length;
        expect(await open().create('packs/a', bytesSource(bytes), { contentKey })).toBe('created');
        expect(partsSent(at, 'packs/a', from)).toEqual(lacking);
        expect((await readObject(open(), 'packs/a')).equals(bytes)).toBe(true);
      } finally {
        delete process.env['AWS_ENDPOINT_URL_S3'];
      }
    },
  );

  it('saves nothing where its parts differ, or nothing tells whether they do', async () => {
    const drawn = await testS3Server({ partBytesMin: 1000, etags: 'drawn' });
    const other = testBytes(10_500, 'other');
    const cases = [
      [drawn, bytes, {}, 0],
      [server, other, {}, 0],
      // These begin one of their own.
      [server, bytes, { partBytes: 1100 }, 1],
      [server, bytes, { settings: { encryption: 'AES256' } }, 1],
      [server, bytes, { settings: { storageClass: 'STANDARD_IA' } }, 1],
    ] as const;
    for (const [at, wanted, change, left] of cases) {
      const how = {
        partBytes: 1000,
        prefix: `alone-${cases.findIndex((one) => one[2] === change)}/`,
      };
      await breakOff(newS3Remote(at, how), at);
      const from = at.log.length;
      const later = newS3Remote(at, { ...how, ...change });
      expect(await later.create('packs/a', bytesSource(wanted), { contentKey })).toBe('created');
      expect(partsSent(at, 'packs/a', from).slice(0, 9)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9]);
      expect((await readObject(later, 'packs/a')).equals(wanted)).toBe(true);
      expect(at.uploads.size).toBe(left);
      at.uploads.clear();
    }
  });

  it('has parts sent again that are not what they should be', async () => {
    const how = { partBytes: 1000, prefix: 'changed/' };
    await breakOff(newS3Remote(server, how), server);
    const other = Buffer.from(bytes);
    other[2500] = (other[2500] ?? 0) ^ 1;
    const from = server.log.length;
    const later = newS3Remote(server, how);
    expect(await later.create('packs/a', bytesSource(other), { contentKey })).toBe('created');
    expect(partsSent(server, 'packs/a', from)).toEqual([3, ...lacking]);
    expect((await readObject(later, 'packs/a')).equals(other)).toBe(true);
  });

  it('is not looked for where the key says nothing of the bytes, or whoever asks may not know', async () => {
    const remote = newS3Remote(server, { partBytes: 1000, prefix: 'denied/' });
    const lists = () => server.log.filter((line) => /^GET .*[?&]uploads/.test(line)).length;
    const before = lists();
    expect(await remote.create('refs/a', bytesSource(bytes))).toBe('created');
    expect(lists()).toBe(before);
    server.fault({ how: { status: 403, code: 'AccessDenied' }, at: 'uploads' });
    for (const key of ['packs/a', 'packs/b']) {
      expect(await remote.create(key, bytesSource(bytes), { contentKey })).toBe('created');
    }
    expect(lists()).toBe(before + 1);
  });

  it('is ended by what no other try mends', async () => {
    const remote = newS3Remote(server, { partBytes: 1000, prefix: 'ended/' });
    server.fault({ how: { status: 403, code: 'AccessDenied' }, at: 'partNumber=4' });
    const created = remote.create('packs/a', bytesSource(bytes), { contentKey });
    await expect(created).rejects.toEqual(failure('remote-refused', 'forbidden'));
    const cut = blocksSource([bytes.subarray(0, 5000)], bytes.length);
    await expect(remote.create('packs/a', cut, { contentKey })).rejects.toMatchObject({
      code: 'file-changed',
    });
    expect(server.uploads.size).toBe(0);
  });

  it.each([
    ['digest', 'checksums'],
    ['drawn', 'checksums'],
    ['digest', 'names alone'],
    ['drawn', 'names alone'],
  ] as const)(
    'may be shared by writers at once, and the object is whole (%s, %s)',
    async (etags, told) => {
      const at = await testS3Server({ partBytesMin: 1000, etags });
      const open = (policy?: RetryPolicy) =>
        told === 'checksums'
          ? checkedRemote(at, policy)
          : newS3Remote(at, { partBytes: 1000, prefix: 'checked/', policy });
      try {
        for (let round = 0; round < 6; round++) {
          await breakOff(open(), at);
          const writers = Array.from({ length: 4 }, (_, n) => {
            const slow = {
              size: bytes.length,
              open: async function* () {
                for (let start = 0; start < bytes.length; start += 700) {
                  if ((start + round) % (n + 2) === 0) await new Promise((go) => setImmediate(go));
                  yield bytes.subarray(start, start + 700);
                }
              },
            };
            return retrying(open(noWait), noWait).create('packs/a', slow, { contentKey });
          });
          const outcomes = await Promise.all(writers);
          expect(outcomes).toContain('created');
          expect((await readObject(open(), 'packs/a')).equals(bytes)).toBe(true);
          // Where names are drawn anew, whoever found its parts changed leaves it to the others.
          expect(at.uploads.size).toBeLessThanOrEqual(etags === 'digest' ? 0 : 1);
          at.uploads.clear();
          await open().delete('packs/a');
        }
      } finally {
        delete process.env['AWS_ENDPOINT_URL_S3'];
      }
    },
  );
});

describe('the checksum of a body', () => {
  const bytes = testBytes(2500);
  afterEach(() => delete process.env['AWS_ENDPOINT_URL_S3']);

  it('is sent with small objects and with each part, beside the signature where there is no TLS', async () => {
    const remote = checkedRemote(server);
    expect(await remote.create('small', text('x'))).toBe('created');
    expect(await remote.create('large', bytesSource(bytes))).toBe('created');
    expect((await readObject(remote, 'large')).equals(bytes)).toBe(true);
    expect(server.checkedBodies).toBe(4);
    expect(server.unsignedBodies).toBe(0);
  });

  it('is left out where the service does not know it', async () => {
    const old = await testS3Server({ partBytesMin: 1000, checksums: false });
    const remote = checkedRemote(old);
    expect(await remote.create('large', bytesSource(bytes))).toBe('created');
    const before = old.log.length;
    expect(await remote.create('small', text('x'))).toBe('created');
    expect(old.log.slice(before)).toEqual(['PUT /models/checked/small?x-id=PutObject']);
    expect((await readObject(remote, 'large')).equals(bytes)).toBe(true);
  });
});

describe('a read', () => {
  const bytes = testBytes(300_000);

  it.each([
    ['truncate', 'connection'],
    ['stall-body', 'stalled'],
    ['wrong-range', 'wrong-answer'],
    ['reset', 'connection'],
    ['stall', 'stalled'],
  ] as const)('fails at a %s and goes on with retries', async (how, reason) => {
    const remote = newS3Remote(server, { stallMsMax: 150 });
    await remote.create('a', bytesSource(bytes));
    server.fault({ how, at: 'GET ' });
    const range = { start: 7, end: 290_000 };
    await expect(readObject(remote, 'a', range)).rejects.toEqual(
      failure('remote-unreachable', reason),
    );
    for (const wanted of [range, undefined]) {
      if (how === 'wrong-range' && wanted === undefined) continue;
      server.fault({ how, at: 'GET ', times: 2 });
      const got = await readObject(retrying(remote, noWait), 'a', wanted);
      expect(got.equals(bytes.subarray(wanted?.start, wanted?.end))).toBe(true);
    }
  });

  it('asks again only for what is missing', async () => {
    const remote = newS3Remote(server, { prefix: 'rest/' });
    await remote.create('a', bytesSource(bytes));
    server.fault({ how: 'truncate', at: 'GET ' });
    const before = server.log.length;
    expect((await readObject(retrying(remote, noWait), 'a')).equals(bytes)).toBe(true);
    const asked = server.log.slice(before).map((line) => line.split(' ')[0]);
    expect(asked).toEqual(['GET', 'HEAD', 'GET']);
  });

  it('does not take the whole object for a range of it', async () => {
    const remote = newS3Remote(server);
    await remote.create('a', bytesSource(bytes));
    server.fault({ how: 'no-range', at: 'GET ' });
    await expect(readObject(remote, 'a', { start: 1, end: 2 })).rejects.toEqual(
      failure('remote-refused', 'no-ranges'),
    );
  });

  it('is not ended by a reader who takes time', async () => {
    const prefix = 'slow-reader/';
    const remote = newS3Remote(server, { stallMsMax: 100, prefix });
    const large = testBytes(3_000_000);
    await newS3Remote(server, { prefix }).create('a', bytesSource(large));
    let received = 0;
    for await (const block of retrying(remote, noWait).get('a')) {
      if (received === 0) await new Promise((resolve) => setTimeout(resolve, 300));
      received += block.length;
    }
    expect(received).toBe(large.length);
  });
});

describe('a listing', () => {
  it('goes on at the key where it broke off', async () => {
    const remote = newS3Remote(server);
    const keys = Array.from({ length: 10 }, (_, n) => `refs/${n}`);
    for (const key of keys) await remote.create(key, text('x'));
    server.fault({ how: 'reset', at: 'continuation-token' });
    expect(await listKeys(retrying(remote, noWait))).toEqual(keys);
  });

  it('leaves out what is no object of a remote', async () => {
    const remote = newS3Remote(server, { prefix: 'mixed/' });
    const bucket = server.buckets.get('models');
    for (const name of ['', 'a b', 'folder/', '.hidden', 'tmp/x', 'good&', 'good']) {
      bucket?.set(`mixed/${name}`, { bytes: Buffer.alloc(1), etag: 'e', headers: {} });
    }
    expect(await listKeys(remote)).toEqual(['good']);
  });
});

describe('what is refused', () => {
  const cases: [string, S3FaultKind, ErrorCode, string][] = [
    ['forbidden', { status: 403, code: 'AccessDenied' }, 'remote-refused', 'forbidden'],
    ['expired', { status: 400, code: 'ExpiredToken' }, 'remote-refused', 'expired-credentials'],
    ['redirected', { status: 301, code: 'PermanentRedirect' }, 'remote-refused', 'wrong-region'],
    ['an unknown code', { status: 400, code: 'Strange' }, 'remote-refused', 'refused'],
    [
      'no conditional writes',
      { status: 501, code: 'NotImplemented' },
      'remote-refused',
      'not-implemented',
    ],
    ['full', { status: 507, code: 'XMinioStorageFull' }, 'remote-full', 'full'],
    ['no bucket', { status: 404, code: 'NoSuchBucket' }, 'not-a-remote', 'no-bucket'],
    ['slow down', { status: 429, code: 'TooManyRequests' }, 'remote-unreachable', 'throttled'],
    [
      'a conflict',
      { status: 409, code: 'ConditionalRequestConflict' },
      'remote-unreachable',
      'conflict',
    ],
    [
      'a bad digest',
      { status: 400, code: 'BadDigest' },
      'remote-unreachable',
      'damaged-on-the-way',
    ],
    ['a gateway', { status: 502 }, 'remote-unreachable', 'service'],
  ];
  it.each(cases)('%s', async (_, how, code, reason) => {
    const remote = newS3Remote(server);
    server.fault({ how, at: 'PUT ' });
    await expect(remote.create('a', text('x'))).rejects.toEqual(failure(code, reason));
    server.fault({ how, at: 'list-type' });
    await expect(listKeys(remote)).rejects.toEqual(failure(code, reason));
  });

  it.each([
    [403, 'remote-refused', 'forbidden'],
    [400, 'remote-refused', 'refused'],
    [503, 'remote-unreachable', 'throttled'],
    [500, 'remote-unreachable', 'service'],
  ] as const)(
    'tells the status, %i, where an answer has nothing else',
    async (status, code, reason) => {
      const remote = newS3Remote(server);
      server.fault({ how: { status, code: '' }, times: 3 });
      const calls = [() => remote.stat('a'), () => listKeys(remote)];
      for (const call of calls) {
        const told = await call().then(
          () => undefined,
          (error: MstoreError) => error,
        );
        expect(told).toEqual(failure(code, reason));
        expect(told?.message).toMatch(new RegExp(` \\(${status}\\)$`));
      }
      server.heal();
    },
  );

  it('tells why where an answer has no body', async () => {
    const remote = newS3Remote(server);
    await remote.create('a', text('four'));
    const how = { status: 403, code: 'InvalidAccessKeyId' };
    server.fault({ how, times: 2 });
    await expect(remote.stat('a')).rejects.toEqual(failure('remote-refused', 'bad-credentials'));
    server.fault({ how: { status: 502, code: '' }, at: 'HEAD ' });
    await expect(remote.stat('a')).rejects.toThrow(/the service failed \(502\)$/);
    server.fault({ how, at: 'HEAD ', times: 2 });
    expect(await remote.stat('a')).toBe(4);
    expect(await remote.stat('b')).toBeUndefined();
  });

  it('a wrong secret, a wrong region, no bucket, with a hint each', async () => {
    const wrongRegion = newS3Remote(server, { settings: { region: 'us-east-1' } });
    await expect(listKeys(wrongRegion)).rejects.toMatchObject({
      code: 'remote-refused',
      message: expect.stringContaining('another region, eu-test-1 (AuthorizationHeaderMalformed)'),
      details: { reason: 'wrong-region', region: 'eu-test-1' },
    });
    await expect(wrongRegion.stat('a')).rejects.toEqual(failure('remote-refused', 'wrong-region'));
    const noBucket = newS3Remote(server, { bucket: 'missing' });
    await expect(readObject(noBucket, 'a')).rejects.toEqual(failure('not-a-remote', 'no-bucket'));
    const { AWS_SECRET_ACCESS_KEY: secret } = process.env;
    process.env['AWS_SECRET_ACCESS_KEY'] = 'wrong';
    const wrong = newS3Remote(server);
    await expect(listKeys(wrong)).rejects.toEqual(failure('remote-refused', 'bad-credentials'));
    process.env['AWS_SECRET_ACCESS_KEY'] = '';
    const none = newS3Remote(server);
    await expect(listKeys(none)).rejects.toEqual(failure('remote-refused', 'no-credentials'));
    process.env['AWS_SECRET_ACCESS_KEY'] = secret;
  });

  it('an unknown user, which is no missing object whatever the status', async () => {
    const remote = newS3Remote(server);
    server.fault({ how: { status: 404, code: 'XAdminUserNotFound' }, at: 'GET ' });
    await expect(readObject(remote, 'a')).rejects.toEqual(
      failure('remote-refused', 'bad-credentials'),
    );
  });

  it('a clock that is wrong', async () => {
    const ahead = await testS3Server({ clockAhead: 3_600_000 });
    await expect(listKeys(newS3Remote(ahead))).rejects.toEqual(
      failure('remote-refused', 'clock-skew'),
    );
  });

  it('an endpoint that is none, or speaks something else', async () => {
    const unused = newS3Remote(server, { settings: { endpoint: 'http://127.0.0.1:1' } });
    await expect(unused.stat('a')).rejects.toEqual(failure('remote-unreachable', 'no-endpoint'));
    const tls = newS3Remote(server, {
      settings: { endpoint: server.endpoint.replace('http:', 'https:') },
    });
    await expect(listKeys(tls)).rejects.toEqual(failure('remote-refused', 'tls'));
    const remote = newS3Remote(server, { partBytes: 1000 });
    server.fault({ how: 'web-page', times: 6 });
    const refusal = failure('remote-refused', 'not-s3');
    await expect(listKeys(remote)).rejects.toEqual(refusal);
    await expect(remote.stat('a')).rejects.toEqual(refusal);
    await expect(readObject(remote, 'a')).rejects.toEqual(refusal);
    await expect(remote.create('a', text('x'))).rejects.toEqual(refusal);
    await expect(remote.create('a', bytesSource(testBytes(1500)))).rejects.toEqual(refusal);
  });
});

describe('settings', () => {
  it('reach the service', async () => {
    const remote = newS3Remote(server, {
      prefix: 'kept/',
      partBytes: 1000,
      settings: { storageClass: 'STANDARD_IA', encryption: 'aws:kms', encryptionKey: 'key-1' },
    });
    await remote.create('small', text('x'));
    await remote.create('large', bytesSource(testBytes(2500)));
    for (const key of ['small', 'large']) {
      expect(server.buckets.get('models')?.get(`kept/${key}`)?.headers).toMatchObject({
        'x-amz-storage-class': 'STANDARD_IA',
        'x-amz-server-side-encryption': 'aws:kms',
        'x-amz-server-side-encryption-aws-kms-key-id': 'key-1',
      });
    }
  });

  it('let a public bucket be read without credentials', async () => {
    server.buckets
      .get('public')
      ?.set('x/a', { bytes: Buffer.from('open'), etag: 'e', headers: {} });
    const { AWS_ACCESS_KEY_ID: id } = process.env;
    delete process.env['AWS_ACCESS_KEY_ID'];
    const remote = newS3Remote(server, {
      bucket: 'public',
      prefix: 'x/',
      settings: { anonymous: true },
    });
    expect(String(await readObject(remote, 'a'))).toBe('open');
    expect(await listKeys(remote)).toEqual(['a']);
    await expect(remote.create('b', text('x'))).rejects.toEqual(
      failure('remote-refused', 'forbidden'),
    );
    process.env['AWS_ACCESS_KEY_ID'] = id;
  });

  it('keep connections open', async () => {
    const remote = newS3Remote(server);
    await remote.create('a', text('x'));
    const before = server.connections;
    for (let turn = 0; turn < 20; turn++) await readObject(remote, 'a');
    expect(server.connections - before).toBeLessThan(3);
  });

  it('are taken by an opened URL', async () => {
    const settings = { endpoint: server.endpoint, region: server.region };
    const remote = await openRemote('s3://models/opened/', { base: '/', settings });
    expect(remote.location).toBe('s3://models/opened');
    server.fault({ how: 'reset' });
    expect(await remote.create('a', text('x'))).toBe('created');
    expect(server.buckets.get('models')?.has('opened/a')).toBe(true);
  });

  it('without a region say so', async () => {
    const place = { bucket: 'models', prefix: '', location: 's3://models' };
    const remote = s3Remote(place, { random: systemRandom });
    await expect(remote.stat('a')).rejects.toEqual(failure('remote-refused', 'no-region'));
  });
});
