import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, it } from 'vitest';
import { deploy } from '../../src/flow/environments.ts';
import { pushWithVersions } from '../../src/flow/push-versions.ts';
import { register } from '../../src/flow/register.ts';
import { chooseRemote } from '../../src/flow/remotes.ts';
import { findTargets } from '../../src/flow/targets.ts';
import { setVersionState } from '../../src/flow/version-states.ts';
import { noise } from '../support/flow-scratch.ts';
import { callOf, globalOp, pickleOf } from '../support/pickles.ts';
import { makePublished } from '../support/resolving.ts';
import { goBack, makeFollower, publishedAndFollowed } from '../support/syncing.ts';
import { tempFolder } from '../support/temp.ts';

const evilPickle = pickleOf(2, callOf(globalOp('os', 'system')));

const one = { 'config.json': '{"v":1}', 'weights.bin': 'one '.repeat(50_000), 'same.txt': 'same' };
const two = { 'config.json': '{"v":2}', 'weights.bin': 'two '.repeat(50_000), 'same.txt': 'same' };
const three = { 'config.json': '{"v":3}', 'same.txt': 'same', 'more/x': '' };

const followed = () => publishedAndFollowed({ v1: one, v2: two, v3: three });

describe('sync', () => {
  it('has what is live here, with links and a receipt, and finds it again', async () => {
    const { ws, follower } = await followed();
    const first = await follower.once();
    expect(first).toMatchObject({ switched: true, previous: undefined, done: 'written' });
    expect(follower.texts()).toEqual(one);
    expect(fs.readlinkSync(follower.at('current'))).toBe('v1');
    expect(fs.readlinkSync(follower.at('latest'))).toBe('current');
    const { record } = JSON.parse(
      fs.readFileSync(path.join(ws.remote, 'refs/models/bert/versions/v1.json'), 'utf8'),
    ) as { record: { content: { sha256: string } } };
    expect(follower.receipt()).toEqual({
      mstore: 1,
      model: 'bert',
      environment: 'production',
      entry: 1,
      version: 'v1',
      record: first.receipt.record,
      tree: record.content.sha256,
      directory: follower.at('v1'),
      source: ws.remote,
      at: expect.stringMatching(/^20.*Z$/),
      verified: { files: 3, bytes: 200_011 },
      stale: false,
    });
    const mode = fs.statSync(follower.at('v1/weights.bin')).mode & 0o777;
    expect(mode & 0o222).toBe(0);
    const inode = fs.statSync(follower.at('v1')).ino;
    const second = await follower.once();
    expect(second).toMatchObject({ switched: false, previous: 'v1', done: 'kept' });
    // A record and an entry, and nothing of the model.
    expect(second.bytesReceived).toBeLessThan(5_000);
    expect(fs.statSync(follower.at('v1')).ino).toBe(inode);
    expect(fs.readdirSync(follower.directory).sort()).toEqual([
      '.mstore-sync',
      'current',
      'latest',
      'receipt.json',
      'v1',
    ]);
    expect(follower.warnings).toEqual([]);
  });

  it('follows a deployment, and goes back to what is kept without moving a byte', async () => {
    const { ws, follower } = await followed();
    await follower.once();
    await ws.deploy('v2');
    const forth = await follower.once();
    expect(forth).toMatchObject({ switched: true, previous: 'v1', done: 'written', removed: [] });
    expect(follower.texts()).toEqual(two);
    await goBack(ws, 'v1');
    const back = await follower.once();
    expect(back).toMatchObject({ switched: true, previous: 'v2', done: 'kept' });
    expect(back.bytesReceived).toBeLessThan(5_000);
    expect(follower.live()).toBe('v1');
    expect(follower.texts()).toEqual(one);
  });

  it('fetches of a file that was changed only what is new', async () => {
    const weights = noise(8_000_000, 'weights');
    const edited = Buffer.from(weights);
    noise(80_000, 'edit').copy(edited, 4_000_000);
    const other = noise(2_000_000, 'other');
    const { ws, follower } = await publishedAndFollowed({
      v1: { 'weights.bin': weights, 'other.bin': other },
      v2: { 'weights.bin': edited, 'other.bin': other },
    });
    const first = await follower.once();
    expect(first.bytesReceived).toBeGreaterThan(10_000_000);
    await ws.deploy('v2');
    const second = await follower.once();
    expect(second.done).toBe('written');
    expect(second.bytesReceived).toBeLessThan(1_200_000);
    expect(second.bytesShared + second.bytesCopied).toBe(2_000_000);
    expect(second.bytesMade).toBe(8_000_000);
    expect(fs.readFileSync(follower.at('current/weights.bin')).equals(edited)).toBe(true);
    // The store has given up what is in the versions.
    expect(fs.existsSync(follower.at('.mstore-sync/store/packs'))).toBe(false);
  });

  it('tells of versions that are out of use, and keeps what is live', async () => {
    const { ws, follower } = await followed();
    await follower.once();
    const workspace = await ws.open();
    const remote = await chooseRemote(workspace, undefined, ws.root);
    const change = (state: 'archived' | 'deleted') =>
      setVersionState(
        workspace,
        { model: 'bert', version: 'v1', state },
        { remote, force: true, reason: 'Slow' },
      );
    await change('archived');
    expect(await follower.once()).toMatchObject({ switched: false, done: 'kept' });
    expect(follower.warnings).toEqual(['bert@v1 is archived']);
    await change('deleted');
    expect(await follower.once()).toMatchObject({ done: 'kept' });
    expect(follower.warnings[1]).toBe('bert@v1 is deleted');
    // Where it is not yet, it is taken no more.
    const other = makeFollower(ws.remote);
    expect(await other.refused()).toMatchObject({ code: 'unknown-version' });
    expect(other.live()).toBeUndefined();
  });

  it('takes a file for a directory, and versions by the policy', async () => {
    const ws = await makePublished();
    const workspace = await ws.open();
    ws.write('model.pkl', evilPickle);
    await ws.add('model.pkl');
    await register(workspace, { model: 'evil', version: 'v1', path: 'model.pkl' });
    const remote = await chooseRemote(workspace, undefined, ws.root);
    const { tracked } = await findTargets(workspace, [], ws.root);
    await pushWithVersions(workspace, tracked, remote, { registry: 'all' });
    await deploy(
      workspace,
      { model: 'evil', version: 'v1', environment: 'production' },
      { remote },
    );
    const denying = makeFollower(ws.remote, {}, { MSTORE_VALIDATE_POLICY: 'deny' });
    expect(await denying.refused({ model: 'evil' })).toMatchObject({ code: 'validation-refused' });
    expect(denying.live()).toBeUndefined();
    const follower = makeFollower(ws.remote);
    await follower.once({ model: 'evil' });
    expect(follower.warnings.join()).toContain('model.pkl is dangerous');
    expect(fs.readdirSync(follower.at('current/'))).toEqual(['model.pkl']);
  });

  it('keeps what was fetched in a store that the environment names', async () => {
    const { ws, follower } = await followed();
    const store = path.join(tempFolder(), 'store');
    const sharing = (to: string) => makeFollower(to, {}, { MSTORE_STORE_PATH: store });
    const [first, other] = [sharing(ws.remote), sharing(ws.remote)];
    expect((await first.once()).bytesReceived).toBeGreaterThan(5_000);
    expect((await other.once()).bytesReceived).toBeLessThan(5_000);
    expect(other.texts()).toEqual(one);
    expect(fs.readdirSync(store)).toContain('packs');
    await follower.once();
    const relative = makeFollower(ws.remote, {}, { MSTORE_STORE_PATH: 'store' });
    expect(await relative.refused()).toMatchObject({ code: 'usage' });
  });

  it('keeps as many versions as it is told to', async () => {
    const { ws, follower } = await followed();
    for (const version of ['v1', 'v2', 'v3']) {
      if (version !== 'v1') await ws.deploy(version);
      await follower.once({ keep: 3 });
    }
    expect(fs.readdirSync(follower.directory)).toEqual(expect.arrayContaining(['v1', 'v2', 'v3']));
    const { removed } = await follower.once();
    expect(removed).toEqual(['v1']);
    expect(fs.existsSync(follower.at('v1'))).toBe(false);
    expect(fs.existsSync(follower.at('v2'))).toBe(true);
  });
});
