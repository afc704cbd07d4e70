import { beforeEach, describe, expect, it } from 'vitest';
import { systemClock, systemRandom } from '../../src/base/clock.ts';
import { MstoreError } from '../../src/base/errors.ts';
import { cleanUp } from '../../src/flow/gc/gc.ts';
import { remotePlace } from '../../src/flow/gc/place.ts';
import { checkRemote } from '../../src/flow/remote-check.ts';
import { verify } from '../../src/flow/verify/verify.ts';
import type { RemotePruner } from '../../src/remote/remote.ts';
import { initRemote } from '../../src/store/remote-store.ts';
import {
  emptyRemote,
  makePlainProject,
  type Project,
  withRemotes,
} from '../support/flow-project.ts';
import { listKeys } from '../support/remote-bytes.ts';
import { newS3Remote, testS3Server } from '../support/s3-remote.ts';

const server = await testS3Server();
beforeEach(() => void Object.assign(server.bucketState, { versioned: false, locked: false }));

async function pushed(remote: RemotePruner): Promise<Project> {
  const project = await makePlainProject(withRemotes({ origin: remote }));
  project.write('data', 'one');
  await project.add('data');
  await project.push();
  return project;
}

async function collect(project: Project, remote: RemotePruner) {
  const workspace = await project.open();
  const repository = workspace.config.string('core.repository') ?? '';
  const place = remotePlace(workspace, { name: 'origin', remote, isService: true });
  return cleanUp(workspace, place, { graceMs: 0, forget: [repository] });
}

async function onS3(): Promise<RemotePruner> {
  const remote = newS3Remote(server);
  await initRemote(remote, systemClock, systemRandom);
  return remote;
}

/** A remote that lets nobody delete below some prefixes. */
function keeping(remote: RemotePruner, ...prefixes: string[]): RemotePruner {
  return {
    ...remote,
    delete: async (key, options) => {
      if (!prefixes.some((prefix) => key.startsWith(prefix))) return remote.delete(key, options);
      const details = { reason: 'forbidden' };
      throw new MstoreError('remote-refused', `Cannot delete ${key}: denied`, { details });
    },
  };
}

describe('a clean-up of a place that refuses deletions', () => {
  it('says what a locked bucket keeps, and removes it when the time is over', async () => {
    const remote = await onS3();
    const project = await pushed(remote);
    Object.assign(server.bucketState, { versioned: true, locked: true });
    const { swept, refused, marked } = await collect(project, remote);
    expect(marked).toMatchObject({ packs: 1 });
    expect(swept).toMatchObject({ packs: 0, roots: 0 });
    expect(refused).toMatchObject({
      retained: true,
      message: expect.stringMatching(/refuses to delete them: .*a lock or a retention period/),
      hint: expect.stringContaining('30 days, compliance'),
    });
    server.bucketState.locked = false;
    const after = await collect(project, remote);
    expect(after.swept).toMatchObject({ packs: 1, roots: 1 });
    expect(after.refused).toBeUndefined();
  });

  it('keeps what a record names that could not be removed', async () => {
    const there = await emptyRemote();
    const remote = keeping(there, 'roots/');
    const project = await pushed(remote);
    const { swept, refused } = await collect(project, remote);
    expect(swept).toMatchObject({ roots: 0, recipes: 0, packs: 0 });
    expect(refused).toMatchObject({ objects: 1, retained: false });
    const owned = { name: 'origin', remote: there, isService: false };
    expect(await verify(await project.open(), owned)).toMatchObject({ code: null, packs: 1 });
  });

  it('leaves no index without its pack, and goes on with the rest', async () => {
    const there = await emptyRemote();
    const project = await pushed(keeping(there, 'index/'));
    const { swept, refused } = await collect(project, keeping(there, 'index/'));
    expect(swept).toMatchObject({ roots: 1, packs: 0 });
    expect(refused?.hint).toContain('the right to delete');
    const packs = await listKeys(there, 'packs/');
    expect(packs).toHaveLength(1);
    expect(await listKeys(there, 'index/')).toHaveLength(1);
    const { swept: later, refused: none } = await collect(project, there);
    expect([later.packs, none]).toEqual([1, undefined]);
  });

  it('leaves packs that stay to the next one', async () => {
    const there = await emptyRemote();
    const project = await pushed(there);
    const { refused } = await collect(project, keeping(there, 'packs/'));
    expect(refused).toMatchObject({ objects: 1 });
    expect(refused?.bytes).toBeGreaterThan(0);
    const { swept } = await collect(project, there);
    expect(swept.packs).toBe(1);
    expect(await listKeys(there, 'index/')).toEqual([]);
  });
});

describe('remote check', () => {
  const deletion = async (remote: RemotePruner) => {
    const workspace = await (await makePlainProject(withRemotes({ origin: remote }))).open();
    const checked = { name: 'origin', remote, acceptRaces: false };
    const { checks } = await checkRemote(workspace, checked);
    return checks.find(({ name }) => name === 'delete');
  };

  it('says that a versioned bucket keeps what is deleted', async () => {
    const remote = await onS3();
    expect((await deletion(remote))?.message).toBeUndefined();
    server.bucketState.versioned = true;
    expect(await deletion(remote)).toMatchObject({
      state: 'ok',
      message: expect.stringContaining('stays as an older version'),
    });
  });

  it('warns of a bucket that lets nothing be deleted', async () => {
    const remote = await onS3();
    Object.assign(server.bucketState, { versioned: true, locked: true });
    expect(await deletion(remote)).toMatchObject({
      state: 'warning',
      code: 'remote-refused',
      message: expect.stringContaining('a lock or a retention period keeps the object'),
    });
  });
});
