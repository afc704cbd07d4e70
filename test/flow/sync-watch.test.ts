import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, it } from 'vitest';
import { openRemote } from '../../src/remote/open.ts';
import { counting } from '../../src/remote/wrappers/counting.ts';
import { goBack, makeFollower, publishedAndFollowed } from '../support/syncing.ts';
import { tempFolder } from '../support/temp.ts';

const one = { a: 'one', same: 'same' };
const two = { a: 'two', same: 'same' };
const three = { a: 'three' };
const followed = () => publishedAndFollowed({ v1: one, v2: two, v3: three });

/** Takes a directory remote away for a while. */
function unplug(remote: string): () => void {
  fs.renameSync(remote, `${remote}-away`);
  return () => fs.renameSync(`${remote}-away`, remote);
}

describe('sync without its remote', () => {
  it('fails closed: no receipt, and what is live stays', async () => {
    const { ws, follower } = await followed();
    const plug = unplug(ws.remote);
    expect(await follower.refused()).toMatchObject({ exitCode: 8 });
    expect(await follower.refused({ allowStale: true })).toMatchObject({ exitCode: 8 });
    expect(follower.live()).toBeUndefined();
    plug();
    await follower.once();
    unplug(ws.remote);
    expect(await follower.refused()).toMatchObject({ exitCode: 8 });
    expect(follower.receipt()).toBeUndefined();
    expect(follower.texts()).toEqual(one);
  });

  it('takes what is here where that is allowed, if it is whole', async () => {
    const { ws, follower } = await followed();
    await follower.once();
    unplug(ws.remote);
    const result = await follower.once({ allowStale: true });
    expect(result.receipt).toMatchObject({ stale: true, source: null, version: 'v1', entry: 1 });
    expect(follower.receipt()).toEqual(result.receipt);
    expect(follower.warnings.join()).toContain('v1, which is here and whole, is taken');
    fs.chmodSync(follower.at('v1/a'), 0o644);
    fs.writeFileSync(follower.at('v1/a'), 'eno');
    expect(await follower.refused({ allowStale: true })).toMatchObject({ exitCode: 8 });
    expect(follower.receipt()).toBeUndefined();
    expect(follower.warnings.join()).toContain('v1 is damaged: a has other bytes');
  });

  it('asks the next remote, and never goes back in a history', async () => {
    const { ws, follower } = await followed();
    await follower.once();
    const mirror = path.join(tempFolder(), 'mirror');
    fs.cpSync(ws.remote, mirror, { recursive: true });
    await ws.deploy('v2');
    await follower.once();
    const plug = unplug(ws.remote);
    const lagging = { remotes: [ws.remote, mirror] };
    expect(await follower.refused(lagging)).toMatchObject({ code: 'histories-differ' });
    expect(follower.texts()).toEqual(two);
    plug();
    expect(await follower.once(lagging)).toMatchObject({ switched: false });
    // Another history with as many entries.
    const other = { remotes: [mirror] };
    fs.copyFileSync(
      path.join(mirror, 'refs/models/bert/environments/production/00000001.json'),
      path.join(mirror, 'refs/models/bert/environments/production/00000002.json'),
    );
    expect(await follower.refused(other)).toMatchObject({ code: 'corrupt-registry' });
    fs.rmSync(path.join(mirror, 'refs/models/bert/environments/production/00000002.json'));
    expect(await follower.once({ ...other, takeHistory: true })).toMatchObject({
      switched: true,
      previous: 'v2',
    });
    expect(follower.texts()).toEqual(one);
    expect(await follower.once()).toMatchObject({ switched: true });
  });

  it('says what is not there', async () => {
    const { ws, follower } = await followed();
    expect(await follower.refused({ model: 'brt' })).toMatchObject({
      code: 'unknown-model',
      hint: 'Did you mean bert?',
    });
    // Nothing came of it, so that the directory is free for another one.
    expect(await follower.refused({ environment: 'staging' })).toMatchObject({
      code: 'unknown-environment',
      hint: 'Environments of bert: production',
    });
    fs.rmSync(path.join(ws.remote, 'packs'), { recursive: true });
    const gone = makeFollower(ws.remote);
    expect([4, 5]).toContain((await gone.refused()).exitCode);
    expect(gone.live()).toBeUndefined();
  });
});

describe('sync --watch', () => {
  it('follows deployments and the way back, and says each', async () => {
    const { ws, follower } = await followed();
    const watching = follower.watch();
    expect(await watching.next('synced')).toMatchObject({ switched: true });
    for (const [move, live] of [
      [() => ws.deploy('v2'), two],
      [() => ws.deploy('v3'), three],
      [() => goBack(ws, 'v2'), two],
    ] as const) {
      const next = watching.next('synced');
      await move();
      expect(await next).toMatchObject({ switched: true });
      expect(follower.texts()).toEqual(live);
    }
    await watching.stop();
    expect(watching.events.map(({ event }) => event)).toEqual(Array(4).fill('synced'));
    expect(follower.receipt()).toMatchObject({ version: 'v2', entry: 4 });
    expect(fs.existsSync(follower.at('.mstore-sync/sync.lock'))).toBe(false);
  });

  it('makes one listing a look when nothing moved', async () => {
    const { ws } = await followed();
    let remote: ReturnType<typeof counting> | undefined;
    const follower = makeFollower(ws.remote, {
      openRemote: async (url, options) => {
        const opened = counting(await openRemote(url, options));
        if (url === ws.remote) remote = opened;
        return opened;
      },
    });
    const watching = follower.watch();
    await watching.next('synced');
    const before = remote?.counts();
    await new Promise((resolve) => setTimeout(resolve, 300));
    const after = remote?.counts();
    await watching.stop();
    expect(after?.get).toEqual(before?.get);
    expect(after?.stat).toEqual(before?.stat);
    expect(after?.list.calls).toBeGreaterThan((before?.list.calls ?? 0) + 3);
    expect(watching.events).toHaveLength(1);
  });

  it('goes on without a remote, and says so once', async () => {
    const { ws, follower } = await followed();
    const watching = follower.watch();
    await watching.next('synced');
    const gone = watching.next('unreachable');
    const plug = unplug(ws.remote);
    expect(await gone).toMatchObject({ error: { code: 'remote-unreachable' } });
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(follower.texts()).toEqual(one);
    const back = watching.next('reachable');
    plug();
    await back;
    const next = watching.next('synced');
    await ws.deploy('v2');
    await next;
    await watching.stop();
    expect(watching.events.map(({ event }) => event)).toEqual([
      'synced',
      'unreachable',
      'reachable',
      'synced',
    ]);
  });

  it('starts without a remote, and verifies what is here where it may', async () => {
    const { ws, follower } = await followed();
    await follower.once();
    const plug = unplug(ws.remote);
    const watching = follower.watch({ allowStale: true });
    expect(await watching.next('synced')).toMatchObject({ receipt: { stale: true } });
    const next = watching.next('synced');
    plug();
    expect(await next).toMatchObject({ receipt: { stale: false }, switched: false });
    await watching.stop();
  });

  it('tries what was refused again only for a new entry, or when it is told to look', async () => {
    const { ws, follower } = await followed();
    await follower.once();
    const tries = path.join(tempFolder(), 'tries');
    const allowed = `${tries}-allowed`;
    const check = `echo x >> '${tries}'; test -e '${allowed}' || test "$MSTORE_VERSION" != v2`;
    const count = (): number => fs.readFileSync(tries, 'utf8').length / 2;
    const watching = follower.watch({ hooks: { check } });
    await watching.next('synced');
    const refused = watching.next('refused');
    await ws.deploy('v2');
    expect(await refused).toMatchObject({ error: { code: 'check-refused' } });
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(count()).toBe(1);
    expect(follower.live()).toBe('v1');
    const woken = watching.next('refused');
    watching.wake();
    await woken;
    expect(count()).toBe(2);
    fs.writeFileSync(allowed, '');
    const synced = watching.next('synced');
    watching.wake();
    expect(await synced).toMatchObject({ switched: true });
    const third = watching.next('synced');
    await ws.deploy('v3');
    await third;
    await watching.stop();
    expect(follower.texts()).toEqual(three);
  });

  it('keeps others out of its directory, and lets them in when it ends', async () => {
    const { follower } = await followed();
    const watching = follower.watch();
    await watching.next('synced');
    const error = await follower.refused();
    expect(error).toMatchObject({ code: 'locked' });
    expect(follower.receipt()).toMatchObject({ version: 'v1' });
    await watching.stop();
    await follower.once();
  }, 30_000);

  it('goes on after what is in its way', async () => {
    const { ws, follower } = await followed();
    const watching = follower.watch();
    await watching.next('synced');
    fs.mkdirSync(follower.at('v2'));
    const failed = watching.next('failed');
    await ws.deploy('v2');
    expect(await failed).toMatchObject({ error: { code: 'destination-exists' } });
    expect(follower.texts()).toEqual(one);
    fs.rmdirSync(follower.at('v2'));
    await watching.next('synced');
    await watching.stop();
    expect(follower.texts()).toEqual(two);
  });
});
