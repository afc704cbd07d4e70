import * as fs from 'node:fs';
import * as http from 'node:http';
import type { AddressInfo } from 'node:net';
import * as path from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { systemClock, systemRandom } from '../../../src/base/clock.ts';
import type { ErrorCode, MstoreError } from '../../../src/base/errors.ts';
import { openRemote } from '../../../src/remote/open.ts';
import {
  bytesSource,
  type RemoteCallOptions,
  type RemoteSource,
} from '../../../src/remote/remote.ts';
import {
  adaptiveGate,
  type RequestGate,
  type Turn,
} from '../../../src/remote/wrappers/concurrency.ts';
import { retrying, retryPolicy } from '../../../src/remote/wrappers/retry.ts';
import { newGcsRemote, testGcsServer } from '../../support/gcs-remote.ts';
import type { GcsFaultKind } from '../../support/gcs-server.ts';
import { blocksSource, listKeys, readObject, testBytes } from '../../support/remote-bytes.ts';
import { tempFolder } from '../../support/temp.ts';

const emulator = await testGcsServer({ partBytesUnit: 1000, emulator: true });
// The last one started is the one that credentials are found for.
const server = await testGcsServer({ partBytesUnit: 1000, pageMax: 3 });
const text = (value: string) => bytesSource(Buffer.from(value));
const clock = { now: () => 0, monotonic: () => 0 };
const noWait = retryPolicy({ clock, random: systemRandom, sleep: async () => {} });
const failure = (code: ErrorCode, reason: string) =>
  expect.objectContaining({ code, details: expect.objectContaining({ reason }) });

afterEach(() => {
  server.heal();
  server.tokenRefusal = undefined;
});

const turn = () => new Promise((resolve) => setImmediate(resolve));

/** A source that makes a new remote try each time, as another process would. */
const copyOf = (source: RemoteSource): RemoteSource => ({ ...source });

describe('a create whose end is unclear', () => {
  it.each(['lost-reply', 'failed-reply'] as const)('is settled after a %s', async (how) => {
    const remote = newGcsRemote(server, { partBytes: 1000 });
    for (const [key, size] of [
      ['small', 10],
      ['large', 2500],
    ] as const) {
      const bytes = testBytes(size);
      if (size > 1000) {
        const before = server.log.length;
        const sent = () => server.log.slice(before).filter((line) => line.startsWith('PUT '));
        // Only the last part makes the object appear.
        const source = {
          size,
          open: async function* () {
            yield bytes.subarray(0, 2100);
            while (sent().length < 2) await turn();
            server.fault({ how, at: 'PUT ' });
            yield bytes.subarray(2100);
          },
        };
        expect(await remote.create(key, source)).toBe('created');
      } else {
        server.fault({ how, at: 'uploadType=multipart' });
        expect(await remote.create(key, bytesSource(bytes))).toBe('created');
      }
      expect((await readObject(remote, key)).equals(bytes)).toBe(true);
      expect(await remote.create(key, bytesSource(bytes))).toBe('exists');
    }
  });

  it('is known again by a later try with the same source, and by no other', async () => {
    const remote = newGcsRemote(server);
    const source = text('mine');
    server.fault({ how: 'lost-reply', at: 'POST ' });
    server.fault({ how: 'reset', at: 'GET ' });
    await expect(remote.create('a', source)).rejects.toEqual(
      failure('remote-unreachable', 'connection'),
    );
    expect(await remote.create('a', copyOf(source))).toBe('exists');
    expect(await remote.create('a', source)).toBe('created');
    expect(await remote.create('a', source)).toBe('exists');
  });

  it('is lost when another writer was first', async () => {
    const remote = newGcsRemote(server);
    const source = text('mine');
    server.fault({ how: 'reset', at: 'POST ' });
    await expect(remote.create('a', source)).rejects.toMatchObject({ code: 'remote-unreachable' });
    expect(await remote.create('a', text('other'))).toBe('created');
    expect(await remote.create('a', source)).toBe('exists');
    expect(String(await readObject(remote, 'a'))).toBe('other');
  });

  it('is tried again when the connection keeps silent', async () => {
    const remote = newGcsRemote(server, { stallMsMax: 150 });
    server.fault({ how: 'stall', at: 'POST ', times: 2 });
    await expect(remote.create('a', text('x'))).rejects.toEqual(
      failure('remote-unreachable', 'stalled'),
    );
    expect(await retrying(remote, noWait).create('a', text('x'))).toBe('created');
  });

  it('asks nobody when the service turned it away', async () => {
    const remote = newGcsRemote(server, { prefix: 'busy/' });
    const how = { status: 429, reason: 'rateLimitExceeded', retryAfter: 3 };
    server.fault({ how, at: 'POST ' });
    await expect(remote.create('a', text('x'))).rejects.toMatchObject({
      code: 'remote-unreachable',
      details: { reason: 'throttled', retryAfterMs: 3000 },
    });
    expect(server.log.filter((line) => line.includes('busy%2F'))).toHaveLength(1);
  });
});

describe('an upload in parts', () => {
  const bytes = testBytes(10_500);

  it('holds no more bodies in memory than fit, however many run', async () => {
    let most = 0;
    let read = 0;
    const before = server.log.length;
    const count = () => {
      const parts = server.log.slice(before).filter((line) => line.startsWith('PUT '));
      most = Math.max(most, read - 2000 * parts.length);
    };
    const remote = newGcsRemote(server, { partBytes: 2000, partsInMemory: 3 });
    const source = () => ({
      size: bytes.length,
      open: async function* () {
        for (let at = 0; at < bytes.length; at += 500) {
          yield bytes.subarray(at, at + 500);
          read += 500;
          count();
          await turn();
        }
      },
    });
    const keys = Array.from({ length: 12 }, (_, n) => `many/${n}`);
    await Promise.all(keys.map((key) => remote.create(key, source())));
    // A block of each source beside what is in memory.
    expect(most).toBeLessThanOrEqual(3 * 2000 + 12 * 500);
    for (const key of keys) expect((await readObject(remote, key)).equals(bytes)).toBe(true);
  });

  it('sends only what is lacking of the part that failed', async () => {
    const remote = newGcsRemote(server, { partBytes: 2000, policy: noWait });
    for (const [key, how] of [
      ['reset', 'reset'],
      ['busy', { status: 503, reason: 'backendError' }],
      ['lost', 'lost-reply'],
      ['half', 'half-taken'],
    ] as const) {
      const before = server.log.length;
      // The first part is taken, the next ones are not.
      const source = {
        size: bytes.length,
        open: async function* () {
          yield bytes.subarray(0, 4000);
          server.fault({ how, at: 'PUT ' });
          yield bytes.subarray(4000);
        },
      };
      expect(await remote.create(key, source)).toBe('created');
      expect((await readObject(remote, key)).equals(bytes)).toBe(true);
      const puts = server.log.slice(before).filter((line) => line.startsWith('PUT '));
      expect(puts.length, key).toBeGreaterThan(6);
      expect(puts.length, key).toBeLessThanOrEqual(8);
      expect(server.uploads.size).toBe(0);
    }
  });

  it('is given up by one who must not ask, and sent anew', async () => {
    const settings = { endpointTrusted: false };
    const how = { partBytes: 2000, policy: noWait, bucket: 'open', settings };
    const remote = newGcsRemote(emulator, how);
    emulator.fault({ how: 'reset', at: 'PUT ' });
    await expect(remote.create('a', bytesSource(bytes))).rejects.toEqual(
      failure('remote-unreachable', 'upload-gone'),
    );
    expect(await listKeys(remote)).toEqual([]);
    for (const fault of ['reset', 'lost-reply'] as const) {
      emulator.fault({ how: fault, at: 'PUT ' });
      expect(await retrying(remote, noWait).create(fault, bytesSource(bytes))).toBe('created');
      expect((await readObject(remote, fault)).equals(bytes)).toBe(true);
    }
  });

  it('begins anew when the service has forgotten it', async () => {
    const remote = newGcsRemote(server, { partBytes: 1000, policy: noWait });
    server.fault({ how: 'forgotten', at: 'PUT ' });
    await expect(remote.create('a', bytesSource(bytes))).rejects.toEqual(
      failure('remote-unreachable', 'upload-gone'),
    );
    server.fault({ how: 'forgotten', at: 'PUT ' });
    expect(await retrying(remote, noWait).create('a', bytesSource(bytes))).toBe('created');
    expect((await readObject(remote, 'a')).equals(bytes)).toBe(true);
  });

  it('is refused when bytes were damaged on the way, in one request too', async () => {
    const remote = newGcsRemote(server, { partBytes: 6000 });
    for (const at of ['PUT ', 'uploadType=multipart']) {
      const source = bytesSource(at === 'PUT ' ? bytes : bytes.subarray(0, 5000));
      server.fault({ how: 'damaged', at });
      await expect(remote.create('a', source)).rejects.toEqual(
        failure('remote-unreachable', 'damaged-on-the-way'),
      );
      expect(await listKeys(remote)).toEqual([]);
    }
    expect(server.uploads.size).toBe(0);
  });

  it('leaves no upload behind when it fails, and throws what came first', async () => {
    const remote = newGcsRemote(server, { partBytes: 1000 });
    server.fault({ how: { status: 403, reason: 'forbidden' }, at: 'PUT ' });
    await expect(remote.create('a', bytesSource(bytes))).rejects.toEqual(
      failure('remote-refused', 'forbidden'),
    );
    const short = blocksSource([bytes.subarray(0, 5000)], bytes.length);
    await expect(remote.create('a', short)).rejects.toMatchObject({ code: 'file-changed' });
    const longer = blocksSource([bytes, Buffer.from('x')], bytes.length);
    await expect(remote.create('a', longer)).rejects.toMatchObject({ code: 'file-changed' });
    expect(server.uploads.size).toBe(0);
    expect(await listKeys(remote)).toEqual([]);
  });

  it('loses to a writer that was faster, and ends its upload', async () => {
    const remote = newGcsRemote(server, { partBytes: 1000 });
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
    const remote = newGcsRemote(server, { partBytes: 1000, prefix: 'there/' });
    await remote.create('a', bytesSource(bytes));
    const before = server.log.length;
    expect(await remote.create('a', bytesSource(bytes))).toBe('exists');
    const [question, ...others] = server.log.slice(before);
    expect(question).toMatch(/^GET \/storage\/v1\/b\/models\/o\/there%2Fa\?/);
    expect(others).toEqual([]);
  });

  it('gathers one part while another is under way, and no more', async () => {
    const remote = newGcsRemote(server, { partBytes: 1000 });
    server.fault({ how: 'stall', at: 'PUT ' });
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
    expect(read).toBeLessThanOrEqual(2000);
    expect(server.uploads.size).toBe(0);
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
    const remote = newGcsRemote(server, { stallMsMax: 150 });
    await remote.create('a', bytesSource(bytes));
    server.fault({ how, at: 'alt=media' });
    const range = { start: 7, end: 290_000 };
    await expect(readObject(remote, 'a', range)).rejects.toEqual(
      failure('remote-unreachable', reason),
    );
    for (const wanted of [range, undefined]) {
      if (how === 'wrong-range' && wanted === undefined) continue;
      server.fault({ how, at: 'alt=media', times: 2 });
      const got = await readObject(retrying(remote, noWait), 'a', wanted);
      expect(got.equals(bytes.subarray(wanted?.start, wanted?.end))).toBe(true);
    }
  });

  it('asks again only for what is missing', async () => {
    const remote = newGcsRemote(server, { prefix: 'rest/' });
    await remote.create('a', bytesSource(bytes));
    server.fault({ how: 'truncate', at: 'GET ' });
    const before = server.log.length;
    expect((await readObject(retrying(remote, noWait), 'a')).equals(bytes)).toBe(true);
    const asked = server.log.slice(before).map((line) => line.split(' ')[0]);
    expect(asked).toEqual(['GET', 'GET', 'GET']);
  });

  it('does not take the whole object for a range of it', async () => {
    const remote = newGcsRemote(server);
    await remote.create('a', bytesSource(bytes));
    server.fault({ how: 'no-range', at: 'GET ' });
    await expect(readObject(remote, 'a', { start: 1, end: 2 })).rejects.toEqual(
      failure('remote-refused', 'no-ranges'),
    );
  });

  it('tells damage on the way from damage there', async () => {
    const remote = retrying(newGcsRemote(server), noWait);
    await remote.create('a', bytesSource(bytes));
    server.fault({ how: 'wrong-bytes', at: 'alt=media' });
    await expect(readObject(remote, 'a')).rejects.toEqual(
      failure('remote-unreachable', 'damaged-on-the-way'),
    );
    expect((await readObject(remote, 'a')).equals(bytes)).toBe(true);
  });

  it('is not ended by a reader who takes time', async () => {
    const remote = newGcsRemote(server, { stallMsMax: 1000 });
    const large = testBytes(3_000_000);
    await remote.create('a', bytesSource(large));
    let received = 0;
    for await (const block of remote.get('a')) {
      if (received === 0) await new Promise((resolve) => setTimeout(resolve, 2000));
      received += block.length;
    }
    expect(received).toBe(large.length);
  });
});

/** A gate that is always open, and keeps count. */
class CountingGate implements RequestGate {
  readonly most = 64;
  readonly limit = 64;
  readonly asked: (RemoteCallOptions | undefined)[] = [];
  readonly failures: unknown[] = [];
  bytes = 0;
  underWay = 0;

  async enter(options?: RemoteCallOptions): Promise<Turn> {
    this.asked.push(options);
    this.underWay++;
    let ended = false;
    return {
      moved: (bytes) => {
        expect(ended).toBe(false);
        this.bytes += bytes;
      },
      end: (error) => {
        if (ended) return;
        ended = true;
        this.underWay--;
        if (error !== undefined) this.failures.push((error as MstoreError).details?.['reason']);
      },
    };
  }
}

describe('each request', () => {
  const bytes = testBytes(300_000);
  const requests = (from: number) => server.log.length - from;

  it('takes one turn, with what its caller allows, and gives it back', async () => {
    const gate = new CountingGate();
    const remote = newGcsRemote(server, { gate, partBytes: 50_000, policy: noWait });
    const options = { requestsMax: 7 };
    const before = server.log.length;
    await remote.create('large', bytesSource(bytes), options);
    await remote.create('small', text('x'), options);
    await readObject(remote, 'large', undefined, options);
    await readObject(remote, 'large', { start: 5, end: 9 }, options);
    await remote.stat('large', options);
    for await (const _ of remote.list('', options));
    await remote.delete('small', options);
    await remote.delete('small', options);
    expect(await remote.stat('small', options)).toBeUndefined();
    server.fault({ how: 'truncate', at: 'alt=media' });
    await expect(readObject(remote, 'large', undefined, options)).rejects.toThrow();
    await expect(readObject(remote, 'none', undefined, options)).rejects.toThrow();
    await expect(readObject(remote, 'large', { start: 5, end: 1e6 }, options)).rejects.toThrow();
    expect(gate.asked).toHaveLength(requests(before));
    expect(gate.asked.every((asked) => asked?.requestsMax === 7)).toBe(true);
    expect(gate.underWay).toBe(0);
  });

  it('tells its turn of every byte of a body', async () => {
    const gate = new CountingGate();
    const remote = newGcsRemote(server, { gate, partBytes: 120_000 });
    await remote.create('a', bytesSource(bytes));
    expect(gate.bytes).toBeGreaterThan(bytes.length);
    expect(gate.bytes).toBeLessThan(bytes.length + 5000);
    gate.bytes = 0;
    await readObject(remote, 'a');
    expect(gate.bytes).toBe(bytes.length);
  });

  it('holds its turn until the last byte of a read, or the end of it', async () => {
    const gate = new CountingGate();
    const remote = newGcsRemote(server, { gate });
    await remote.create('a', bytesSource(testBytes(3_000_000)));
    for await (const _ of remote.get('a')) {
      expect(gate.underWay).toBe(1);
      break;
    }
    expect(gate.underWay).toBe(0);
  });

  it('says with its turn why it failed', async () => {
    const gate = new CountingGate();
    const remote = newGcsRemote(server, { gate, stallMsMax: 100 });
    await remote.create('a', bytesSource(bytes));
    server.fault({ how: 'stall-body', at: 'alt=media' });
    await expect(readObject(remote, 'a')).rejects.toThrow();
    server.fault({ how: 'stall', at: 'POST ' });
    await expect(remote.create('b', text('x'))).rejects.toThrow();
    server.fault({ how: { status: 429 }, at: 'maxResults' });
    await expect(listKeys(remote)).rejects.toThrow();
    expect(gate.failures).toEqual(['stalled', 'stalled', 'throttled']);
  });

  it('waits for no other while it holds its turn', async () => {
    const gate = adaptiveGate({ clock, least: 1, first: 1, most: 1 });
    const remote = newGcsRemote(server, { gate, partBytes: 50_000, policy: noWait });
    server.fault({ how: 'lost-reply', at: 'PUT ', times: 2 });
    await Promise.all(
      ['a', 'b', 'c'].map(async (key) => {
        await remote.create(key, bytesSource(bytes));
        expect((await readObject(remote, key)).equals(bytes)).toBe(true);
        await expect(readObject(remote, `no-${key}`)).rejects.toMatchObject({ code: 'not-found' });
      }),
    );
  });
});

describe('a listing', () => {
  it('goes on at the key where it broke off', async () => {
    const remote = newGcsRemote(server);
    const keys = Array.from({ length: 10 }, (_, n) => `refs/${n}`);
    for (const key of keys) await remote.create(key, text('x'));
    server.fault({ how: 'reset', at: 'pageToken' });
    expect(await listKeys(retrying(remote, noWait))).toEqual(keys);
  });

  it('leaves out what is no object of a remote', async () => {
    const remote = newGcsRemote(server, { prefix: 'mixed/' });
    const bucket = server.buckets.get('models');
    for (const name of ['', 'a b', 'folder/', '.hidden', 'tmp/x', 'good&', 'good']) {
      bucket?.set(`mixed/${name}`, { bytes: Buffer.alloc(1), generation: 1, resource: {} });
    }
    expect(await listKeys(remote)).toEqual(['good']);
  });
});

describe('what is refused', () => {
  const cases: [string, GcsFaultKind, ErrorCode, string][] = [
    ['forbidden', { status: 403, reason: 'forbidden' }, 'remote-refused', 'forbidden'],
    ['bad credentials', { status: 401, reason: 'authError' }, 'remote-refused', 'bad-credentials'],
    ['no billing', { status: 403, reason: 'accountDisabled' }, 'remote-refused', 'billing'],
    ['nobody who pays', { status: 400, reason: 'required' }, 'remote-refused', 'no-project'],
    [
      'a key of encryption',
      { status: 403, reason: 'forbidden', message: 'Permission denied on Cloud KMS key.' },
      'remote-refused',
      'key-refused',
    ],
    ['an unknown reason', { status: 400, reason: 'strange' }, 'remote-refused', 'refused'],
    ['a redirection', { status: 302 }, 'remote-refused', 'not-gcs'],
    ['no bucket', { status: 404, reason: 'notFound' }, 'not-a-remote', 'no-bucket'],
    ['slow down', { status: 429 }, 'remote-unreachable', 'throttled'],
    ['a rate', { status: 403, reason: 'rateLimitExceeded' }, 'remote-unreachable', 'throttled'],
    [
      'a body that is no body',
      { status: 400, reason: 'parseError' },
      'remote-unreachable',
      'damaged-on-the-way',
    ],
    ['a conflict', { status: 409, reason: 'conflict' }, 'remote-unreachable', 'conflict'],
    ['a time-out', { status: 408 }, 'remote-unreachable', 'stalled'],
    ['a gateway', { status: 502 }, 'remote-unreachable', 'service'],
  ];
  it.each(cases)('%s', async (_, how, code, reason) => {
    const remote = newGcsRemote(server);
    server.fault({ how, at: 'POST ' });
    await expect(remote.create('a', text('x'))).rejects.toEqual(failure(code, reason));
    server.fault({ how, at: 'maxResults' });
    await expect(listKeys(remote)).rejects.toEqual(failure(code, reason));
  });

  it('a missing bucket, told from a missing object', async () => {
    const noBucket = newGcsRemote(server, { bucket: 'missing' });
    const refusal = failure('not-a-remote', 'no-bucket');
    await expect(readObject(noBucket, 'a')).rejects.toEqual(refusal);
    await expect(noBucket.stat('a')).rejects.toEqual(refusal);
    await expect(noBucket.delete('a')).rejects.toEqual(refusal);
    await expect(noBucket.create('a', text('x'))).rejects.toEqual(refusal);
    server.fault({ how: { status: 403, reason: 'forbidden' }, at: 'maxResults' });
    expect(await newGcsRemote(server).stat('a')).toBeUndefined();
  });

  it('credentials that are revoked, refused, missing, or issued by nobody', async () => {
    const remote = newGcsRemote(server);
    await listKeys(remote);
    server.revoke();
    await expect(listKeys(remote)).rejects.toEqual(failure('remote-refused', 'bad-credentials'));
    server.tokenRefusal = { status: 400, error: 'invalid_grant' };
    await expect(listKeys(newGcsRemote(server))).rejects.toEqual(
      failure('remote-refused', 'expired-credentials'),
    );
    server.tokenRefusal = { status: 403, error: 'denied' };
    await expect(listKeys(newGcsRemote(server))).rejects.toEqual(
      failure('remote-refused', 'bad-credentials'),
    );
    const { GOOGLE_APPLICATION_CREDENTIALS: file, HOME: home } = process.env;
    const folder = tempFolder();
    process.env['HOME'] = folder;
    delete process.env['GOOGLE_APPLICATION_CREDENTIALS'];
    await expect(listKeys(newGcsRemote(server))).rejects.toEqual(
      failure('remote-refused', 'no-credentials'),
    );
    const elsewhere = path.join(folder, 'elsewhere.json');
    const kept = fs.readFileSync(file as string, 'utf8');
    fs.writeFileSync(elsewhere, kept.replace(server.endpoint, 'http://127.0.0.1:1'));
    process.env['GOOGLE_APPLICATION_CREDENTIALS'] = elsewhere;
    await expect(listKeys(newGcsRemote(server))).rejects.toMatchObject({
      code: 'remote-unreachable',
      message: expect.stringContaining('the service that issues credentials'),
    });
    process.env['GOOGLE_APPLICATION_CREDENTIALS'] = path.join(folder, 'none.json');
    await expect(listKeys(newGcsRemote(server))).rejects.toEqual(
      failure('remote-refused', 'bad-credentials'),
    );
    Object.assign(process.env, { GOOGLE_APPLICATION_CREDENTIALS: file, HOME: home });
  });

  it('a clock that is wrong', async () => {
    const late = { ...systemClock, now: () => Date.now() - 3_600_000 };
    const remote = newGcsRemote(server, { clock: late });
    server.fault({ how: { status: 401, reason: 'authError' } });
    await expect(listKeys(remote)).rejects.toEqual(failure('remote-refused', 'clock-skew'));
  });

  it('an endpoint that is none, or speaks something else', async () => {
    const unused = newGcsRemote(server, { settings: { endpoint: 'http://127.0.0.1:1' } });
    await expect(unused.stat('a')).rejects.toEqual(failure('remote-unreachable', 'no-endpoint'));
    const endpoint = server.endpoint.replace('http:', 'https:');
    const tls = newGcsRemote(server, { settings: { endpoint } });
    await expect(listKeys(tls)).rejects.toEqual(failure('remote-refused', 'tls'));
    const remote = newGcsRemote(server, { partBytes: 1000 });
    server.fault({ how: 'web-page', times: 6 });
    const refusal = failure('remote-refused', 'not-gcs');
    await expect(listKeys(remote)).rejects.toEqual(refusal);
    await expect(remote.stat('a')).rejects.toEqual(refusal);
    await expect(readObject(remote, 'a')).rejects.toEqual(refusal);
    await expect(remote.create('a', text('x'))).rejects.toEqual(refusal);
    await expect(remote.create('a', bytesSource(testBytes(1500)))).rejects.toEqual(refusal);
  });
});

describe('settings', () => {
  it('reach the service', async () => {
    const settings = { storageClass: 'NEARLINE', encryptionKey: 'projects/p/key' };
    const remote = newGcsRemote(server, { prefix: 'kept/', partBytes: 1000, settings });
    await remote.create('small', text('x'));
    await remote.create('large', bytesSource(testBytes(2500)));
    for (const key of ['small', 'large']) {
      expect(server.buckets.get('models')?.get(`kept/${key}`)?.resource).toMatchObject({
        storageClass: 'NEARLINE',
        kmsKeyName: 'projects/p/key',
      });
    }
  });

  it('name who pays', async () => {
    const settings = { requesterPays: true, project: 'payer-1' };
    const remote = newGcsRemote(server, { bucket: 'paid', partBytes: 1000, settings });
    await remote.create('a', bytesSource(testBytes(2500)));
    expect(await readObject(remote, 'a')).toHaveLength(2500);
    const nobody = newGcsRemote(server, { bucket: 'paid', settings: { requesterPays: true } });
    await expect(listKeys(nobody)).rejects.toEqual(failure('remote-refused', 'no-project'));
    const unaware = newGcsRemote(server, { bucket: 'paid' });
    await expect(listKeys(unaware)).rejects.toEqual(failure('remote-refused', 'no-project'));
  });

  it('let a public bucket be read without credentials', async () => {
    const object = { bytes: Buffer.from('open'), generation: 1, resource: {} };
    server.buckets.get('public')?.set('x/a', object);
    const settings = { anonymous: true };
    const remote = newGcsRemote(server, { bucket: 'public', prefix: 'x/', settings });
    expect(String(await readObject(remote, 'a'))).toBe('open');
    expect(await listKeys(remote)).toEqual(['a']);
    await expect(remote.create('b', text('x'))).rejects.toEqual(
      failure('remote-refused', 'no-credentials'),
    );
  });

  it('of a file hand no credentials to a host that is none of Google', async () => {
    const remote = newGcsRemote(server, { settings: { endpointTrusted: false } });
    await expect(listKeys(remote)).rejects.toMatchObject({
      details: { reason: 'no-credentials' },
      hint: expect.stringContaining('MSTORE_REMOTE_NAME_ENDPOINT'),
    });
  });

  it('keep connections open', async () => {
    const remote = newGcsRemote(server);
    await remote.create('a', text('x'));
    const before = server.connections;
    for (let again = 0; again < 20; again++) await readObject(remote, 'a');
    expect(server.connections - before).toBeLessThan(3);
  });

  it('are taken by an opened URL, and the emulator by its variable', async () => {
    const settings = { endpoint: server.endpoint, endpointTrusted: true };
    const remote = await openRemote('gs://models/opened/', { base: '/', settings });
    expect(remote.location).toBe('gs://models/opened');
    server.fault({ how: 'reset' });
    expect(await remote.create('a', text('x'))).toBe('created');
    expect(server.buckets.get('models')?.has('opened/a')).toBe(true);
    process.env['STORAGE_EMULATOR_HOST'] = server.endpoint;
    server.buckets
      .get('public')
      ?.set('e/a', { bytes: Buffer.from('x'), generation: 1, resource: {} });
    const emulated = await openRemote('gs://public/e', { base: '/' });
    expect(await listKeys(emulated)).toEqual(['a']);
    delete process.env['STORAGE_EMULATOR_HOST'];
  });

  it('leave an emulator aside whose variable is empty, and refuse one that is no URL', async () => {
    const asked: string[] = [];
    const proxy = http.createServer().on('connect', ({ url = '' }, socket) => {
      asked.push(url);
      socket.destroy();
    });
    await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
    const { port } = proxy.address() as AddressInfo;
    const settings = { anonymous: true };
    process.env['HTTPS_PROXY'] = `http://127.0.0.1:${port}`;
    process.env['STORAGE_EMULATOR_HOST'] = '';
    const real = await openRemote('gs://public/e', { base: '/', settings, triesMax: 1 });
    await expect(listKeys(real)).rejects.toEqual(failure('remote-unreachable', 'connection'));
    expect(asked).toEqual(['storage.googleapis.com:443']);
    process.env['STORAGE_EMULATOR_HOST'] = 'http://';
    const nowhere = await openRemote('gs://public/e', { base: '/', settings, triesMax: 1 });
    await expect(listKeys(nowhere)).rejects.toMatchObject({ code: 'config-invalid' });
    delete process.env['STORAGE_EMULATOR_HOST'];
    delete process.env['HTTPS_PROXY'];
    proxy.close();
  });

  it.each([
    ['gs', { region: 'eu' }],
    ['gs', { pathStyle: true }],
    ['gs', { profile: 'p' }],
    ['gs', { encryption: 'AES256' }],
    ['gs', { encryption: 'aws:kms' }],
    ['s3', { project: 'p' }],
  ])('that mean nothing to %s are refused: %j', async (scheme, settings) => {
    await expect(openRemote(`${scheme}://bucket/x`, { base: '/', settings })).rejects.toMatchObject(
      {
        code: 'config-invalid',
      },
    );
  });
});
