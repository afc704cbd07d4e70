import { describe, expect, it } from 'vitest';
import { type AuditLine, AuditLog, auditKey, formatLine } from '../../src/registry/audit.ts';
import { seal } from '../../src/registry/sealed.ts';
import { bytesSource, readObject } from '../../src/remote/remote.ts';
import {
  httpRemoteOf,
  startTestServer,
  type TestServer,
  type TestToken,
} from '../support/http-remote.ts';
import { listKeys } from '../support/remote-bytes.ts';

const token = (name: string, ...scopes: TestToken['scopes']): TestToken => ({
  name,
  token: `mst_${name}`,
  scopes,
});
const reader = token('reader', 'read');
const reporter = token('reporter', 'read', 'report');
const pusher = token('pusher', 'read', 'push');
const mover = token('mover', 'read', 'deploy');
const keeper = token('keeper', 'read', 'collect');
const ofBert: TestToken = { ...token('bert', 'read', 'push'), models: ['bert'] };
const readsBert: TestToken = { ...token('reads-bert', 'read'), models: ['bert'] };
const allowed = [reader, reporter, pusher, mover, keeper, ofBert, readsBert];

const opened = (server: TestServer, { token: value }: TestToken) =>
  httpRemoteOf(server, { token: { value, isWithheld: false } });

const draft = { at: '2026-01-02T03:04:05.678Z', by: 'Ann', tool: 'mstore 1.2.3', act: 'deploy' };
const first = seal<AuditLine>({ ...draft, number: 1, previous: null });

const statusOf = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    (outcome) => outcome,
    ({ details }) => details.status,
  );

describe('the audit log behind a server', () => {
  it('is written by those who act, each behind the line before', async () => {
    const server = await startTestServer({ allowed });
    for (const one of [pusher, mover, keeper, ofBert]) {
      const log = new AuditLog(opened(server, one));
      const last = await log.find(await log.lastNumber(0)).catch(() => undefined);
      await log.append({ ...draft, by: one.name }, last);
    }
    const log = new AuditLog(server.remote);
    expect(await log.lastNumber(0)).toBe(4);
    expect((await log.line(4)).value.previous).toBe((await log.line(3)).sha256);
  });

  it('is written by nobody else, and not in another form', async () => {
    const server = await startTestServer({ allowed });
    const create = (one: TestToken, key: string, bytes: Buffer) =>
      statusOf(opened(server, one).create(key, bytesSource(bytes)));
    for (const one of [reader, reporter, readsBert]) {
      expect(await create(one, auditKey(1), formatLine(first)), one.name).toBe(403);
    }
    expect(await create(pusher, auditKey(1), Buffer.from('{}'))).toBe(400);
    expect(await create(pusher, auditKey(2), formatLine(first))).toBe(400);
    expect(await create(pusher, 'audit/notes', formatLine(first))).toBe(400);
    expect(await create(pusher, auditKey(1), formatLine(first))).toBe('created');
    const loose = seal<AuditLine>({ ...draft, number: 2, previous: seal({}).sha256 });
    expect(await create(pusher, auditKey(2), formatLine(loose))).toBe(400);
    expect(await listKeys(server.remote, 'audit/')).toEqual([auditKey(1)]);
  });

  it('is taken away by nobody, and seen by who may see all models', async () => {
    const server = await startTestServer({ allowed });
    await opened(server, pusher).create(auditKey(1), bytesSource(formatLine(first)));
    expect(await statusOf(opened(server, keeper).delete(auditKey(1)))).toBe(403);
    for (const one of [reader, ofBert]) {
      const remote = opened(server, one);
      expect(await readObject(remote, auditKey(1), 10_000)).toEqual(formatLine(first));
      expect(await listKeys(remote, 'audit/')).toEqual([auditKey(1)]);
    }
    const some = opened(server, readsBert);
    expect(await statusOf(readObject(some, auditKey(1), 10_000))).toBe(403);
    expect(await listKeys(some)).toEqual([]);
  });
});
