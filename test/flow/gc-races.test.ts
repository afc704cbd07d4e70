import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { takeBack } from '../../src/flow/gc/gc.ts';
import { push } from '../../src/flow/push.ts';
import { chooseRemote } from '../../src/flow/remotes.ts';
import { SweepWatch } from '../../src/flow/sweep-watch.ts';
import { findTargets } from '../../src/flow/targets.ts';
import { memoryRemote } from '../../src/remote/memory.ts';
import type { RemotePruner } from '../../src/remote/remote.ts';
import { bytesSource } from '../../src/remote/remote.ts';
import {
  beginSweep,
  cleanUpId,
  endSweep,
  listCleanUps,
  markKey,
} from '../../src/store/clean-up.ts';
import {
  cloneProject,
  emptyRemote,
  makeProject,
  type Project,
  projectAt,
  type SurroundingsChange,
  withRemotes,
} from '../support/flow-project.ts';
import { checkRemote } from '../support/flow-remote-check.ts';
import { clearScratch, noise } from '../support/flow-scratch.ts';
import { cleaners, handClock, hourMs, remoteOf } from '../support/gc.ts';
import { listKeys, readObject } from '../support/remote-bytes.ts';
import { hooked } from '../support/remote-hook.ts';

const kib = 1024;

/** A remote with data that nothing keeps, and a project about to push just that. */
async function scene(): Promise<{ project: Project; objects: ReadonlyMap<string, Buffer> }> {
  const remote = await emptyRemote();
  const project = await makeProject(withRemotes({ origin: remote }));
  project.write('kept.bin', noise(300 * kib, 'kept'));
  project.write('m.bin', noise(1200 * kib, 'm'));
  await project.add('kept.bin', 'm.bin');
  project.commit();
  await project.push(['m.bin']);
  for (const key of await listKeys(remote)) {
    if (key.startsWith('roots/')) await remote.delete(key);
  }
  await project.push(['kept.bin']);
  project.write('new.bin', noise(400 * kib, 'new'));
  await project.add('new.bin');
  const objects = new Map<string, Buffer>();
  for (const key of await listKeys(remote)) objects.set(key, await readObject(remote, key));
  return { project, objects };
}

async function copyOf(objects: ReadonlyMap<string, Buffer>): Promise<RemotePruner> {
  const remote = memoryRemote('memory://copy');
  for (const [key, bytes] of objects) await remote.create(key, bytesSource(bytes));
  return remote;
}

/** All that was pushed can be pulled by somebody who has nothing. */
async function checkWhole(project: Project, remote: RemotePruner): Promise<void> {
  await checkRemote(remote);
  const fresh = cloneProject(project, withRemotes({ origin: remote }));
  for (const name of ['kept.bin', 'm.bin', 'new.bin']) {
    fresh.write(`${name}.mstore`, project.read(`${name}.mstore`));
  }
  await fresh.pull();
  for (const name of ['kept.bin', 'm.bin', 'new.bin']) {
    expect(fresh.read(name).equals(project.read(name)), name).toBe(true);
  }
}

describe('gc at the same time as others', () => {
  it('may run whole between any two calls of a push', async () => {
    const { project, objects } = await scene();
    const other = cloneProject(project);
    let swept = 0;
    for (let call = 1, happened = true; happened; call++) {
      const place = await copyOf(objects);
      const remote = hooked(place);
      remote.before(call, async () => {
        const there = withRemotes({ origin: place });
        const cleaner = { ...other, open: () => other.open(there) };
        swept += (await cleaners(cleaner).gcRemote({ graceMs: 0 })).swept.packs;
      });
      const pusher = withRemotes({ origin: remote });
      await pushAll(project, pusher);
      happened = remote.happened;
      await checkWhole(project, place);
    }
    // It was not all for nothing: the data was taken away in the middle of pushes.
    expect(swept).toBeGreaterThan(3);
    clearScratch();
  });

  it('may be overtaken by a whole push between any two of its calls', async () => {
    const { project, objects } = await scene();
    const other = cloneProject(project);
    for (let call = 1, happened = true; happened; call++) {
      const place = await copyOf(objects);
      const remote = hooked(place);
      let pushing: Promise<unknown> = Promise.resolve();
      remote.before(call, async () => {
        pushing = pushAll(project, withRemotes({ origin: place }));
        // Where a sweep is under way, the push waits for its end, which is ours.
        await Promise.race([pushing, delay(150)]);
      });
      const there = withRemotes({ origin: remote });
      await cleaners({ ...other, open: () => other.open(there) }).gcRemote({ graceMs: 0 });
      await pushing;
      happened = remote.happened;
      if (happened) await checkWhole(project, place);
    }
    clearScratch();
  });

  it('is gone on with after it was killed between any two of its calls', async () => {
    const { project, objects } = await scene();
    const other = cloneProject(project);
    const killed = new Error('killed');
    for (let call = 1, happened = true; happened; call++) {
      const place = await copyOf(objects);
      const remote = hooked(place);
      // From then on nothing works for it any more, as for a process that is gone.
      const gone = () => {
        remote.before(1, async () => {
          gone();
          throw killed;
        });
      };
      remote.before(call, async () => {
        gone();
        throw killed;
      });
      const cleaner = (at: RemotePruner) =>
        cleaners({ ...other, open: () => other.open(withRemotes({ origin: at })) });
      let failed = false;
      await cleaner(remote)
        .gcRemote({ graceMs: 0 })
        .catch((error: unknown) => {
          failed = error === killed;
        });
      happened = failed;
      await endSweeps(place);
      await cleaner(place).gcRemote({ graceMs: 0 });
      await pushAll(project, withRemotes({ origin: place }));
      await checkWhole(project, place);
      const left = (await listKeys(place)).filter((key) => key.endsWith('/mark.json'));
      expect(left).toEqual([]);
    }
    clearScratch();
  });

  it('goes on when marks are taken back between any two of its calls', async () => {
    const { project, objects } = await scene();
    const other = cloneProject(project);
    const marked = await copyOf(objects);
    const at = (place: RemotePruner) => projectAt(other.root, withRemotes({ origin: place }));
    await cleaners(at(marked)).gcRemote({ graceMs: hourMs });
    const keys = await listKeys(marked);
    const start = new Map<string, Buffer>();
    for (const key of keys) start.set(key, await readObject(marked, key));
    let taken = 0;
    for (let call = 1, happened = true; happened; call++) {
      const place = await copyOf(start);
      const remote = hooked(place);
      let taking: ReturnType<typeof takeBack> | undefined;
      remote.before(call, async () => {
        const workspace = await at(place).open();
        taking = takeBack(workspace, await remoteOf(at(place)), undefined);
        // Where a sweep is under way, its end is waited for, which is ours.
        await Promise.race([taking, delay(150)]);
      });
      await cleaners(at(remote)).gcRemote({ graceMs: hourMs });
      taken += (await taking)?.marks.length ?? 0;
      happened = remote.happened;
    }
    expect(taken).toBeGreaterThan(3);
    clearScratch();
  });
});

describe('a mark that comes while others work', () => {
  it('is looked at once, as it may give up a record that they rely on', async () => {
    const remote = await emptyRemote();
    const project = await makeProject(withRemotes({ origin: remote }));
    const id = cleanUpId(new Date().toISOString(), 'b'.repeat(8));
    const { surroundings } = await project.open();
    const watch = await SweepWatch.begin(remote, surroundings);
    expect(await watch.mayHaveLost()).toBe(false);
    await remote.create(markKey(id), bytesSource(Buffer.from('{}')));
    expect(await watch.mayHaveLost()).toBe(true);
    expect(await watch.mayHaveLost()).toBe(false);
    expect(await (await SweepWatch.begin(remote, surroundings)).mayHaveLost()).toBe(false);
  });
});

describe('a push beside a removal that was killed on another host', () => {
  const killed = cleanUpId(new Date().toISOString(), 'a'.repeat(8));

  it('waits until nothing can be removed any more, and goes on', async () => {
    const { project, objects } = await scene();
    const place = await copyOf(objects);
    await beginSweep(place, killed, '00000001');
    const clock = handClock();
    const slept: number[] = [];
    const sleep = async (ms: number) => {
      slept.push(ms);
      clock.pass(ms);
    };
    await pushAll(project, withRemotes({ origin: place }, { clock, sleep }));
    const waited = slept.reduce((sum, ms) => sum + ms, 0);
    expect(waited).toBeGreaterThan(hourMs);
    expect(waited).toBeLessThan(1.1 * hourMs);
    expect((await listCleanUps(place)).flatMap(({ sweeps }) => sweeps)).toMatchObject([
      { number: '00000001', ended: true },
    ]);
    await checkWhole(project, place);
  });

  it('does not wait for ever where one begins after the other', async () => {
    const { project, objects } = await scene();
    const place = await copyOf(objects);
    const clock = handClock();
    let count = 0;
    const begin = () => beginSweep(place, killed, String(count++).padStart(8, '0'));
    await begin();
    const sleep = async (ms: number) => {
      clock.pass(Math.max(ms, hourMs / 2));
      await begin();
    };
    await expect(
      pushAll(project, withRemotes({ origin: place }, { clock, sleep })),
    ).rejects.toMatchObject({ code: 'locked' });
  });
});

describe('a clean-up beside one that does not end', () => {
  it('announces itself the less often the longer it takes to look around', async () => {
    const { project, objects } = await scene();
    const clock = handClock();
    const there = memoryRemote('memory://copy', clock);
    for (const [key, bytes] of objects) await there.create(key, bytesSource(bytes));
    await beginSweep(there, cleanUpId(new Date().toISOString(), 'a'.repeat(8)), '00000001');
    let announced = 0;
    const slow: RemotePruner = {
      ...there,
      async create(key, ...rest) {
        if (key.endsWith('.sweep')) announced++;
        return there.create(key, ...rest);
      },
      async *list(prefix, ...rest) {
        if (prefix === 'gc/') clock.pass(60_000);
        yield* there.list(prefix, ...rest);
      },
    };
    const sleep = async (ms: number) => clock.pass(ms);
    const cleaner = projectAt(project.root, withRemotes({ origin: slow }, { clock, sleep }));
    const { swept } = await cleaners(cleaner).gcRemote({ graceMs: 0 });
    expect(swept.packs).toBe(1);
    expect(clock.monotonic()).toBeLessThan(1.5 * hourMs);
    expect(announced).toBeLessThan(25);
  });
});

async function pushAll(project: Project, change: SurroundingsChange): Promise<void> {
  const workspace = await project.open(change);
  const { tracked } = await findTargets(workspace, [], project.root);
  await push(workspace, tracked, await chooseRemote(workspace, 'memory://origin', project.root));
}

/** Says of the sweeps that were killed what an hour would say: that they are over. */
async function endSweeps(place: RemotePruner): Promise<void> {
  for (const { id, sweeps } of await listCleanUps(place)) {
    for (const { number, ended } of sweeps) if (!ended) await endSweep(place, id, number);
  }
}
