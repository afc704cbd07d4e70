import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, it } from 'vitest';
import { systemRandom } from '../../src/base/clock.ts';
import { MstoreError } from '../../src/base/errors.ts';
import { hostToken } from '../../src/base/host.ts';
import { requireAtomicCreate } from '../../src/flow/atomic-create.ts';
import type { CheckName, CheckResult } from '../../src/flow/check-list.ts';
import { checkRemote, type RemoteCheckOptions } from '../../src/flow/remote-check.ts';
import { addRemote, chooseToCheck } from '../../src/flow/remotes.ts';
import type { Workspace } from '../../src/flow/workspace.ts';
import { memoryRemote } from '../../src/remote/memory.ts';
import { bytesSource, type RemotePruner } from '../../src/remote/remote.ts';
import type { S3Options } from '../../src/remote/s3-client.ts';
import { initRemote } from '../../src/store/remote-store.ts';
import {
  emptyRemote,
  makePlainProject,
  type Project,
  projectAt,
  withRemotes,
} from '../support/flow-project.ts';
import { newGcsRemote, testGcsServer } from '../support/gcs-remote.ts';
import { listKeys, readObject } from '../support/remote-bytes.ts';
import { faulty } from '../support/remote-faulty.ts';
import { newS3Remote, testS3Server } from '../support/s3-remote.ts';
import type { S3Server } from '../support/s3-server.ts';

const servers = {
  kept: await testS3Server(),
  ignored: await testS3Server({ conditions: 'ignored', partBytesMin: 1000 }),
  refused: await testS3Server({ conditions: 'refused', partBytesMin: 1000 }),
  gcs: await testGcsServer(),
};
const clock = { now: () => 0, monotonic: () => 0 };
const text = (value: string) => bytesSource(Buffer.from(value));

async function workspaceWith(remote: RemotePruner): Promise<Workspace> {
  return (await makePlainProject(withRemotes({ checked: remote }))).open();
}

interface Found {
  readonly checks: readonly CheckResult[];
  readonly states: Readonly<Record<string, string>>;
  of(name: CheckName): CheckResult;
}

async function check(
  remote: RemotePruner,
  options: RemoteCheckOptions & { acceptRaces?: boolean; workspace?: Workspace } = {},
): Promise<Found> {
  const { acceptRaces = false, workspace = await workspaceWith(remote), ...rest } = options;
  const { checks } = await checkRemote(workspace, { name: 'origin', remote, acceptRaces }, rest);
  return {
    checks,
    states: Object.fromEntries(checks.map(({ name, state }) => [name, state])),
    of: (name) => checks.find((one) => one.name === name) as CheckResult,
  };
}

async function madeS3(server: S3Server, options: Partial<S3Options> = {}): Promise<RemotePruner> {
  const remote = newS3Remote(server, options);
  await initRemote(remote, clock, systemRandom);
  return remote;
}

const allOk = {
  identity: 'ok',
  region: 'ok',
  reach: 'ok',
  header: 'ok',
  read: 'ok',
  write: 'ok',
  list: 'ok',
  range: 'ok',
  'create-if-absent': 'ok',
  'parts-if-absent': 'ok',
  'read-after-write': 'ok',
  delete: 'ok',
};
const none = 'skipped';

describe('the check of a remote', () => {
  it('tries all on a service, tells of each at once, and leaves nothing', async () => {
    const remote = await madeS3(servers.kept);
    const told: string[] = [];
    const found = await check(remote, { onCheck: ({ name }) => told.push(name) });
    expect(found.states).toEqual(allOk);
    expect(told).toEqual(Object.keys(allOk));
    expect(found.of('identity').message).toBe('access key …TKEY, from AWS_ACCESS_KEY_ID');
    expect(found.of('region').message).toBe('eu-test-1, from remote.NAME.region');
    expect(found.of('reach').message).toBe(servers.kept.endpoint);
    expect(await listKeys(remote)).toEqual(['mstore.json']);
    expect(servers.kept.uploads.size).toBe(0);
  });

  it('tries all on Cloud Storage, and tells who we are there', async () => {
    const remote = newGcsRemote(servers.gcs);
    await initRemote(remote, clock, systemRandom);
    const found = await check(remote);
    expect(found.states).toEqual({ ...allOk, region: none });
    expect(found.of('identity').message).toBe('workload identity federation');
    expect(found.of('reach').message).toBe(servers.gcs.endpoint);
    expect(await listKeys(remote)).toEqual(['mstore.json']);
    expect(servers.gcs.uploads.size).toBe(0);
    servers.gcs.revoke();
    const refused = await check(remote);
    expect(refused.of('identity')).toMatchObject({ state: 'failed', code: 'remote-refused' });
  });

  it.each([
    ['to read', 'alt=media', 'header', /^Ask for storage.objects.get on gs:\/\/models\/.*list on/],
    ['to write', 'POST /upload', 'write', /^Ask for storage.objects.create on gs:\/\/models\//],
    ['to list', 'prefix=', 'list', /^Ask for storage.objects.list on the bucket models$/],
    ['to delete', 'DELETE /storage', 'delete', /^Ask for storage.objects.delete on gs:\/\//],
  ] as const)('tells who lacks the right %s on Cloud Storage', async (_, at, name, hint) => {
    const remote = newGcsRemote(servers.gcs);
    await initRemote(remote, clock, systemRandom);
    servers.gcs.fault({ how: { status: 403, reason: 'forbidden' }, at, times: 99 });
    const found = await check(remote);
    servers.gcs.heal();
    expect(found.of(name).code).toBe('remote-refused');
    expect(found.of(name).hint).toMatch(hint);
  });

  it('serves backends that can tell nothing more', async () => {
    const remote = await emptyRemote();
    const found = await check(remote);
    expect(found.states).toEqual({
      ...allOk,
      identity: none,
      region: none,
      'parts-if-absent': none,
    });
    expect(await listKeys(remote)).toEqual(['mstore.json']);
  });

  it('writes nothing that is only to be read', async () => {
    const inner = await emptyRemote();
    const readOnly: RemotePruner = {
      ...inner,
      create: () => Promise.reject(new Error('A write')),
      delete: () => Promise.reject(new Error('A delete')),
    };
    const found = await check(readOnly, { readOnly: true });
    for (const name of ['header', 'read', 'list', 'range']) expect(found.states[name]).toBe('ok');
    for (const name of ['write', 'create-if-absent', 'read-after-write', 'delete'] as const)
      expect(found.of(name)).toMatchObject({ state: none, message: '--read-only' });
  });

  it('writes nothing to a place of somebody else, but tries an empty one out', async () => {
    const foreign = memoryRemote();
    await foreign.create('photos/a', text('x'));
    const found = await check(foreign);
    expect(found.of('header')).toMatchObject({ state: 'failed', code: 'not-a-remote' });
    expect(found.of('write')).toMatchObject({ state: none, message: 'it is no remote' });
    expect(await listKeys(foreign)).toEqual(['photos/a']);
    const empty = memoryRemote();
    const other = await check(empty);
    expect(other.states).toMatchObject({ header: 'failed', read: none, write: 'ok', range: 'ok' });
    expect(await listKeys(empty)).toEqual([]);
    const damaged = memoryRemote();
    await damaged.create('mstore.json', text('{'));
    expect((await check(damaged)).states).toMatchObject({ header: 'failed', write: none });
  });

  it('needs a workspace for no more than its memory, and takes a name or a URL', async () => {
    const remote = await emptyRemote();
    const workspace = await workspaceWith(remote);
    const chosen = await chooseToCheck(workspace, 'memory://checked', workspace.root);
    expect(chosen).toMatchObject({ name: 'memory://checked', acceptRaces: false });
    await expect(chooseToCheck(workspace, 'nothing', '/')).rejects.toMatchObject({
      code: 'unknown-remote',
    });
  });
});

describe('what a check finds missing', () => {
  const denied = { status: 403, code: 'AccessDenied' };
  const cases: [string, string, CheckName, string, RegExp][] = [
    ['to read', 'GET /models/team', 'header', 'failed', /^Ask for s3:GetObject on s3:\/\/models/],
    ['to write', 'PUT /models', 'write', 'failed', /^Ask for s3:PutObject on s3:\/\/models/],
    ['to list', 'list-type', 'list', 'failed', /^Ask for s3:ListBucket on the bucket models$/],
    [
      'to end uploads',
      'x-id=AbortMultipartUpload',
      'parts-if-absent',
      'failed',
      /s3:AbortMultipartUpload/,
    ],
    [
      'to delete',
      'DELETE /models',
      'delete',
      'warning',
      /^Ask for s3:DeleteObject .*garbage collection needs it, .* [1-9] small objects .* probes\//,
    ],
  ];
  it.each(cases)('tells who lacks the right %s', async (_, at, name, state, hint) => {
    const remote = await madeS3(servers.kept);
    servers.kept.fault({ how: denied, at, times: 99 });
    const found = await check(remote);
    servers.kept.heal();
    expect(found.of(name)).toMatchObject({
      state,
      code: 'remote-refused',
      hint: expect.stringMatching(hint),
    });
    if (name === 'list' || name === 'delete') expect(found.states['write']).toBe('ok');
    if (name === 'write') expect(found.states['create-if-absent']).toBe(none);
  });

  it('tells it where it belongs when nothing can be asked', async () => {
    const wrong: [Partial<S3Options>, CheckName, string][] = [
      [{ settings: { region: 'us-east-1' } }, 'region', 'wrong'],
      [{ settings: { endpoint: 'http://127.0.0.1:1' } }, 'reach', 'nothing listens'],
    ];
    for (const [options, name] of wrong) {
      const found = await check(newS3Remote(servers.kept, options));
      expect(found.checks.filter(({ state }) => state === 'failed').map((one) => one.name)).toEqual(
        [name],
      );
      expect(found.states['identity']).toBe('ok');
      expect(found.of('header')).toMatchObject({
        state: none,
        message: 'the remote was not reached',
      });
    }
    const unused = newS3Remote(servers.kept, { settings: { endpoint: 'http://127.0.0.1:1' } });
    expect((await check(unused)).of('reach').message).toMatch(
      /nothing listens .*; requests go to http:\/\/127\.0\.0\.1:1$/,
    );
    servers.kept.fault({ how: { status: 403, code: 'InvalidAccessKeyId' }, times: 9 });
    const found = await check(newS3Remote(servers.kept));
    servers.kept.heal();
    expect(found.of('identity')).toMatchObject({
      state: 'failed',
      message: expect.stringContaining('does not know the access key'),
    });
    expect(found.of('reach')).toMatchObject({ state: none, message: 'see identity' });
  });

  it.each(['flip', 'truncate'] as const)('finds reads that %s', async (how) => {
    const remote = faulty(await emptyRemote());
    for (const call of [3, 4]) {
      remote.fail('get', { call, how });
      const found = await check(remote);
      remote.heal();
      const failed = found.checks.filter(({ state }) => state === 'failed');
      expect(failed).toMatchObject([{ name: 'range', code: 'remote-refused' }]);
    }
  });

  it('finds writes that are not read at once, deletes that do nothing, and lists that lag', async () => {
    const inner = await emptyRemote();
    const late: RemotePruner = {
      ...inner,
      stat: async (key) => (key.endsWith('-read') ? undefined : inner.stat(key)),
    };
    expect((await check(late)).of('read-after-write')).toMatchObject({ state: 'failed' });
    const keeping: RemotePruner = { ...inner, delete: async () => {} };
    expect((await check(keeping)).of('delete')).toMatchObject({
      state: 'failed',
      message: expect.stringContaining('still there'),
    });
    const lagging: RemotePruner = { ...inner, list: async function* () {} };
    const found = await check(lagging);
    expect(found.of('list')).toMatchObject({ state: 'warning', message: /lag behind/ });
  });

  it('leaves nothing when it fails or is interrupted', async () => {
    const remote = await emptyRemote();
    const stop = new AbortController();
    const interrupted = check(remote, {
      signal: stop.signal,
      onCheck: ({ name }) => name === 'range' && stop.abort(),
    });
    await expect(interrupted).rejects.toMatchObject({ code: 'interrupted' });
    expect(await listKeys(remote)).toEqual(['mstore.json']);
    const broken = faulty(remote);
    broken.fail('create', { call: 3, how: 'before' });
    expect((await check(broken)).states['create-if-absent']).toBe('failed');
    expect(await listKeys(remote)).toEqual(['mstore.json']);
  });

  it('clears what killed checks left, and nothing of one that may run', async () => {
    const remote = await emptyRemote();
    const stamp = (ms: number) => new Date(ms).toISOString().replace(/[-:]|\.\d+/g, '');
    const now = Date.now();
    const gone = [
      `probes/${stamp(now)}-${hostToken()}-999999999-01234567-write`,
      `probes/${stamp(now - 2 * 86_400_000)}-0123456789ab-7-01234567-write`,
    ];
    const kept = [
      `probes/${stamp(now)}-${hostToken()}-1-01234567-write`,
      `probes/${stamp(now)}-0123456789ab-999999999-01234567-write`,
      'probes/create-if-absent',
    ].sort();
    for (const key of [...gone, ...kept]) await remote.create(key, text('x'));
    const found = await check(remote);
    expect(found.of('delete').message).toBe('also 2 that an earlier check left');
    expect(await listKeys(remote, 'probes/')).toEqual(kept);
  });
});

describe('a service without conditional writes', () => {
  it.each([
    ['ignored', 'ignores', ['create-if-absent', 'parts-if-absent']],
    ['refused', 'refuses', ['write']],
  ] as const)('whose conditions are %s is told plainly', async (conditions, word, names) => {
    const server = servers[conditions];
    const accepting = { settings: { acceptRaces: true } };
    const made = await madeS3(server, accepting);
    const plain = newS3Remote(server, { prefix: prefixOf(made) });
    const found = await check(plain);
    const failed = found.checks.filter(({ state }) => state === 'failed');
    expect(failed.map(({ name }) => name)).toEqual(names);
    for (const one of failed) {
      expect(one.message).toContain(`${word} conditional writes (If-None-Match)`);
      expect(one.hint).toContain('mstore config set remote.origin.accept_races true');
    }
    const accepted = await check(made, { acceptRaces: true });
    expect(accepted.states).toEqual({
      ...allOk,
      'create-if-absent': 'warning',
      'parts-if-absent': 'warning',
    });
    expect(await listKeys(made)).toEqual(['mstore.json']);
    expect(server.uploads.size).toBe(0);
  });

  it.each(['ignored', 'refused'] as const)('is written to where %s was accepted', async (how) => {
    const server = servers[how];
    const remote = newS3Remote(server, { partBytes: 1000, settings: { acceptRaces: true } });
    for (const size of [90, 2500]) {
      const key = `a${size}`;
      expect(await remote.create(key, bytesSource(Buffer.alloc(size, 'a')))).toBe('created');
      expect(await remote.create(key, text('other'))).toBe('exists');
      expect(await remote.create(key, bytesSource(Buffer.alloc(3000)))).toBe('exists');
      expect((await readObject(remote, key)).length).toBe(size);
    }
    // What was refused once is not sent twice.
    const before = server.log.length;
    await remote.create('b', text('x'));
    expect(server.log.length - before).toBe(2);
  });

  it('is refused when a remote is to be made on it, and asked about once', async () => {
    for (const conditions of ['ignored', 'refused'] as const) {
      const remote = newS3Remote(servers[conditions]);
      const project = await makePlainProject(withRemotes({ checked: remote }));
      const add = async () =>
        addRemote(
          await project.open(),
          'origin',
          'memory://checked',
          { isDefault: false, create: true },
          project.root,
        );
      await expect(add()).rejects.toMatchObject({
        code: 'remote-refused',
        details: { reason: 'no-atomic-create' },
      });
      expect(await remote.stat('mstore.json')).toBeUndefined();
      project.write('.modelstore/config.local.toml', '[remote.origin]\naccept_races = true\n');
      const accepting = newS3Remote(servers[conditions], {
        prefix: prefixOf(remote),
        settings: { acceptRaces: true },
      });
      const again = projectAt(project.root, withRemotes({ checked: accepting }));
      const place = { isDefault: false, create: true };
      const url = 'memory://checked';
      const added = await addRemote(await again.open(), 'origin', url, place, again.root);
      expect(added.state).toBe('created');
    }
  });

  it('is remembered where it has them, and forgotten when it has them no more', async () => {
    const server = await testS3Server();
    const remote = newS3Remote(server);
    const workspace = await workspaceWith(remote);
    const asked = async () => {
      const before = server.log.length;
      await requireAtomicCreate(workspace, { name: 'origin', remote, acceptRaces: false });
      return server.log.length - before;
    };
    expect(await asked()).toBe(2);
    expect(await asked()).toBe(0);
    expect(await memories(workspace)).toHaveLength(1);
    fs.rmSync(path.join(workspace.cacheFolder, 'atomic-create'), { recursive: true });
    // The object of the first time is there: one request tells.
    expect(await asked()).toBe(1);
    const racy: RemotePruner = {
      ...remote,
      probe: {
        ...(remote.probe as NonNullable<typeof remote.probe>),
        createIfAbsent: async () => 'created',
      },
    };
    await initRemote(remote, clock, systemRandom);
    expect((await check(racy, { workspace })).states['create-if-absent']).toBe('failed');
    expect(await memories(workspace)).toEqual([]);
    await expect(
      requireAtomicCreate(workspace, { name: 'origin', remote: racy, acceptRaces: false }),
    ).rejects.toBeInstanceOf(MstoreError);
    await check(remote, { workspace });
    expect(await memories(workspace)).toHaveLength(1);
  });

  it('costs backends that vouch for themselves nothing', async () => {
    const remote = faulty(await emptyRemote());
    const project: Project = await makePlainProject();
    const workspace = await project.open();
    await requireAtomicCreate(workspace, { name: 'origin', remote, acceptRaces: false });
    expect(remote.calls).toBe(0);
  });
});

function prefixOf({ location }: RemotePruner): string {
  return `${location.replace('s3://models/', '')}/`;
}

async function memories(workspace: Workspace): Promise<string[]> {
  const folder = path.join(workspace.cacheFolder, 'atomic-create');
  return fs.existsSync(folder) ? fs.readdirSync(folder) : [];
}
