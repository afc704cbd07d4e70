import * as fs from 'node:fs';
import { describe, expect, it } from 'vitest';
import { push } from '../../src/flow/push.ts';
import { chooseRemote } from '../../src/flow/remotes.ts';
import type { RemotePruner } from '../../src/remote/remote.ts';
import { counting } from '../../src/remote/wrappers/counting.ts';
import {
  emptyRemote,
  makePlainProject,
  makeProject,
  type Project,
  withRemotes,
} from '../support/flow-project.ts';
import { checkRemote, damage, flipAt } from '../support/flow-remote-check.ts';
import { noise } from '../support/flow-scratch.ts';
import { filesBelow } from '../support/flow-state.ts';
import { listKeys, readObject } from '../support/remote-bytes.ts';

const mib = 1024 * 1024;

async function withRemote(): Promise<{ project: Project; remote: RemotePruner }> {
  const remote = await emptyRemote();
  return { project: await makePlainProject(withRemotes({ origin: remote })), remote };
}

describe('push', () => {
  it('sends everything once: packs, index, recipes, one root', async () => {
    const { project, remote } = await withRemote();
    project.write('a.bin', noise(3 * mib, 'a'));
    project.write('m/x', 'x');
    await project.add('a.bin', 'm');
    const result = await project.push();
    expect(result).toMatchObject({ remote: 'memory://origin', paths: 2, blobs: 3, packsSent: 1 });
    expect(await checkRemote(remote)).toBe(1);
    const keys = await listKeys(remote);
    const count = (prefix: string) => keys.filter((key) => key.startsWith(prefix)).length;
    expect([count('packs/'), count('index/'), count('recipes/'), count('roots/')]).toEqual([
      1, 1, 1, 1,
    ]);
    let stored = 0;
    for (const key of keys) stored += key === 'mstore.json' ? 0 : ((await remote.stat(key)) ?? 0);
    expect(result.bytesSent).toBe(stored);
  });

  it('sends 0 bytes the second time, by few calls', async () => {
    const remote = counting(await emptyRemote());
    const project = await makePlainProject(withRemotes({ origin: remote }));
    project.write('a.bin', noise(3 * mib, 'a'));
    await project.add('a.bin');
    await project.push();
    const before = remote.counts();
    const keys = await listKeys(remote);
    expect(await project.push()).toMatchObject({ bytesSent: 0, chunksSent: 0, packsSent: 0 });
    const after = remote.counts();
    expect(after.create).toEqual(before.create);
    expect(after.get.calls - before.get.calls).toBe(1);
    expect(await listKeys(remote)).toEqual(keys);
  });

  it('sends whole packs as they are in the store', async () => {
    const { project, remote } = await withRemote();
    project.write('a.bin', noise(2 * mib, 'a'));
    await project.add('a.bin');
    await project.push();
    const here = filesBelow(project.at('.modelstore/store/packs'));
    const there = (await listKeys(remote, 'packs/')).map((key) => key.slice('packs/'.length));
    expect(there).toEqual(here);
  });

  it('sends only what is wanted of a pack, packed anew', async () => {
    const { project, remote } = await withRemote();
    for (const name of ['a', 'b', 'c']) project.write(name, noise(100_000, name));
    await project.add('a', 'b', 'c');
    const result = await project.push(['a']);
    expect(result).toMatchObject({ chunksSent: 1, packsSent: 1 });
    expect(result.bytesSent).toBeLessThan(102_000);
    expect(await checkRemote(remote)).toBe(1);
    expect(filesBelow(project.at('.modelstore/store/tmp'))).toEqual([]);
    // The chunk that is there already is not sent again.
    const second = await project.push();
    expect(second).toMatchObject({ chunksSent: 2 });
    expect(second.bytesSent).toBeLessThan(203_000);
    expect(await checkRemote(remote)).toBe(2);
  });

  it('sends only the changed chunks of a second version', async () => {
    const { project, remote } = await withRemote();
    const first = noise(8 * mib, 'a');
    project.write('a.bin', first);
    await project.add('a.bin');
    const sent = await project.push();
    project.write('a.bin', Buffer.concat([Buffer.from('at the head'), first]));
    await project.add('a.bin');
    const again = await project.push();
    expect(again.chunksSent).toBeGreaterThan(0);
    expect(again.bytesSent).toBeLessThan(sent.bytesSent / 4);
    expect(await checkRemote(remote)).toBe(2);
  });

  it('sends what two workspaces have in common once', async () => {
    const { project, remote } = await withRemote();
    const other = await makePlainProject(withRemotes({ origin: remote }));
    for (const each of [project, other]) {
      each.write('a.bin', noise(mib, 'a'));
      await each.add('a.bin');
    }
    await project.push();
    expect(await other.push()).toMatchObject({ chunksSent: 0, packsSent: 0 });
    // Each repository has its own root: either may stop needing it.
    expect(await checkRemote(remote)).toBe(2);
  });

  it('publishes one root for one list, in whatever order it is pushed', async () => {
    const { project, remote } = await withRemote();
    project.write('a', 'a');
    project.write('b', 'b');
    await project.add('a', 'b');
    await project.push();
    await project.push(['b', 'a']);
    await project.push(['a', 'b']);
    expect(await listKeys(remote, 'roots/')).toHaveLength(1);
    await project.push(['a']);
    const [one, two] = await listKeys(remote, 'roots/');
    expect(two).toBeDefined();
    const record = JSON.parse(String(await readObject(remote, one ?? '')));
    expect(record).toMatchObject({ mstore: 1, paths: [{ path: 'a', kind: 'file', size: 1 }, {}] });
    expect(one).toContain(`roots/${record.repository}/`);
  });

  it('needs nothing here of what the remote has', async () => {
    const { project } = await withRemote();
    project.write('a.bin', noise(mib, 'a'));
    await project.add('a.bin');
    await project.push();
    fs.rmSync(project.at('.modelstore/store'), { recursive: true });
    expect(await project.push()).toMatchObject({ bytesSent: 0 });
  });

  it('sends nothing when neither side has some bytes', async () => {
    const { project, remote } = await withRemote();
    project.write('a.bin', noise(mib, 'a'));
    project.write('b.bin', noise(mib, 'b'));
    await project.add('a.bin');
    fs.rmSync(project.at('.modelstore/store'), { recursive: true });
    await project.add('b.bin');
    await expect(project.push()).rejects.toMatchObject({
      code: 'objects-missing',
      details: { bytes: mib, paths: ['a.bin'] },
    });
    expect(await listKeys(remote)).toEqual(['mstore.json']);
    await project.push(['b.bin']);
  });

  it('says that a local pack is damaged, and publishes nothing that needs it', async () => {
    const { project, remote } = await withRemote();
    project.write('a.bin', noise(3 * mib, 'a'));
    await project.add('a.bin');
    const [pack] = filesBelow(project.at('.modelstore/store/packs'));
    const file = project.at(`.modelstore/store/packs/${pack}`);
    fs.writeFileSync(file, flipAt(mib)(fs.readFileSync(file)));
    await expect(project.push()).rejects.toMatchObject({ code: 'corrupt-chunk' });
    expect(await listKeys(remote)).toEqual(['mstore.json']);
  });

  it('says that a pack is cut short on the remote', async () => {
    const { project, remote } = await withRemote();
    project.write('a.bin', noise(mib, 'a'));
    await project.add('a.bin');
    await project.push();
    const [pack] = await listKeys(remote, 'packs/');
    await damage(remote, pack ?? '', (bytes) => bytes.subarray(0, 1_000));
    await expect(project.push()).rejects.toMatchObject({
      code: 'corrupt-remote',
      details: { key: pack },
    });
    await remote.delete(pack ?? '');
    await project.push();
    await checkRemote(remote);
  });

  it.each(['packs/', 'index/', 'recipes/'])(
    'heals a remote that lost what is in %s',
    async (at) => {
      const { project, remote } = await withRemote();
      project.write('a.bin', noise(mib, 'a'));
      await project.add('a.bin');
      await project.push();
      for (const key of await listKeys(remote, at)) await remote.delete(key);
      const { bytesSent } = await project.push();
      expect(bytesSent).toBeGreaterThan(0);
      if (at !== 'packs/') expect(bytesSent).toBeLessThan(2_000);
      await checkRemote(remote);
    },
  );

  it('takes no other place for a remote', async () => {
    const { memoryRemote } = await import('../../src/remote/memory.ts');
    const project = await makePlainProject(withRemotes({ origin: memoryRemote() }));
    project.write('a', 'a');
    await project.add('a');
    await expect(project.push()).rejects.toMatchObject({ code: 'not-a-remote' });
  });

  it('ends when it is interrupted, and goes on where it was', async () => {
    const { project, remote } = await withRemote();
    for (const name of ['a', 'b', 'c', 'd']) {
      project.write(`${name}.bin`, noise(mib, name));
      await project.add(`${name}.bin`);
    }
    const workspace = await project.open();
    const { trackedInWorkspace } = await import('../../src/flow/tracked.ts');
    const { tracked } = trackedInWorkspace(workspace);
    const abort = new AbortController();
    let blocks = 0;
    const progress = {
      start: () => {},
      finish: () => {},
      advance: () => {
        if (++blocks === 3) abort.abort();
      },
    };
    const chosen = await chooseRemote(workspace, 'memory://origin', project.root);
    await expect(
      push(workspace, tracked, chosen, { signal: abort.signal, progress, jobs: 1 }),
    ).rejects.toMatchObject({ code: 'interrupted' });
    expect(await checkRemote(remote)).toBe(0);
    const { packsSent } = await project.push();
    expect(packsSent).toBeLessThan(4);
    expect(await checkRemote(remote)).toBe(1);
  });

  it('pushes every version that Git knows', async () => {
    const remote = await emptyRemote();
    const project = await makeProject(withRemotes({ origin: remote }));
    const { allVersions } = await import('../../src/flow/history.ts');
    for (const version of ['one', 'two', 'three']) {
      project.write('a', version);
      await project.add('a');
      if (version !== 'three') project.commit();
    }
    const workspace = await project.open();
    const { tracked, broken } = await allVersions(workspace);
    expect(tracked.map(({ pointer }) => pointer.size).sort()).toEqual([3, 3, 5]);
    expect(broken).toEqual([]);
    await push(workspace, tracked, await chooseRemote(workspace, 'memory://origin', project.root));
    fs.rmSync(project.at('.modelstore/store'), { recursive: true });
    fs.rmSync(project.at('a'));
    await project.pull(['HEAD~1']);
    expect(project.read('a').toString()).toBe('one');
  });
});

describe('a push to a remote that is damaged', () => {
  async function damagedPack(): Promise<{ project: Project; remote: RemotePruner; key: string }> {
    const { project, remote } = await withRemote();
    project.write('a.bin', noise(mib, 'a'));
    await project.add('a.bin');
    await project.push();
    const [key = ''] = (await listKeys(remote)).filter((name) => name.startsWith('packs/'));
    await damage(remote, key, (bytes) => bytes.subarray(0, 1000));
    return { project, remote, key };
  }

  it('tells of it where it does no harm', async () => {
    const { project, remote, key } = await damagedPack();
    fs.rmSync(project.at('a.bin.mstore'));
    project.write('b.bin', 'b');
    await project.add('b.bin');
    const { packsSent, problems } = await project.push();
    expect(packsSent).toBe(1);
    const message = expect.stringContaining(key);
    const hint = expect.stringMatching(/^Remove that object .* push again/);
    expect(problems).toEqual([{ code: 'corrupt-remote', message, hint }]);
    await remote.delete(key);
    expect((await project.push()).problems).toEqual([]);
  });

  it('tells of it where the data is not here either', async () => {
    const { project, key } = await damagedPack();
    for (const name of ['packs', 'index', 'recipes']) {
      fs.rmSync(project.at(`.modelstore/store/${name}`), { recursive: true });
    }
    await expect(project.push()).rejects.toMatchObject({
      code: 'corrupt-remote',
      message: expect.stringMatching(
        new RegExp(`^1\\.00 MiB of a\\.bin are neither .* nor on the remote\\. .*${key}`),
      ),
      hint: expect.stringMatching(/push again with --all-versions from a host that has the data/),
    });
  });

  it('tells of a damaged pack here that may have held the data', async () => {
    const { project, remote, key } = await damagedPack();
    await remote.delete(key);
    const [pack = ''] = filesBelow(project.at('.modelstore/store/packs'));
    fs.truncateSync(project.at(`.modelstore/store/packs/${pack}`), 1000);
    await expect(project.push()).rejects.toMatchObject({
      code: 'corrupt-pack',
      message: expect.stringMatching(
        /nor on the remote\. The pack [0-9a-f]{64} is damaged: it has/,
      ),
      hint: expect.stringMatching(/mstore fetch/),
    });
  });
});
