import { beforeEach, describe, expect, it } from 'vitest';
import { isMstoreError } from '../../src/base/errors.ts';
import type { RemotePruner } from '../../src/remote/remote.ts';
import { counting } from '../../src/remote/wrappers/counting.ts';
import { copyOfRemote, firstPush, type Pushing, secondPush } from '../support/flow-faults.ts';
import { checkRemote } from '../support/flow-remote-check.ts';
import { listKeys } from '../support/remote-bytes.ts';
import { type FaultyRemote, faulty } from '../support/remote-faulty.ts';

const ways = ['before', 'midway', 'afterWrite', 'truncate', 'flip'] as const;

/** What a push without faults needs. */
interface Clean {
  readonly calls: number;
  readonly bytes: number;
  readonly largestObject: number;
}

async function cleanPush(pushing: Pushing): Promise<Clean> {
  const remote = await copyOfRemote(pushing.before);
  const counted = counting(remote);
  const watched = faulty(counted);
  await pushing.push(watched);
  let largestObject = 0;
  for await (const { size } of remote.list('')) largestObject = Math.max(largestObject, size);
  return { calls: watched.calls, bytes: counted.counts().create.bytes, largestObject };
}

/** Pushes with a fault; returns whether the push failed. */
async function pushFails(pushing: Pushing, remote: FaultyRemote): Promise<boolean> {
  try {
    await pushing.push(remote);
    return false;
  } catch (error) {
    if (isMstoreError(error, 'remote-unreachable', 'corrupt-remote')) return true;
    throw error;
  }
}

describe.each([
  ['the first push', firstPush],
  ['the push of a second version', secondPush],
] as const)('%s', (_, prepare) => {
  let pushing: Pushing;
  let clean: Clean;
  beforeEach(async () => {
    pushing = await prepare();
    clean = await cleanPush(pushing);
  });

  it.each(ways)('survives a fault (%s) at every call in turn', async (how) => {
    expect(clean.calls).toBeGreaterThan(8);
    let failed = 0;
    for (let call = 1; call <= clean.calls; call++) {
      const at = `call ${call} of ${clean.calls}`;
      const remote: RemotePruner = await copyOfRemote(pushing.before);
      const counted = counting(remote);
      const broken = faulty(counted);
      broken.failAt(call, how);
      if (await pushFails(pushing, broken)) failed++;
      expect(broken.faults, at).toBe(1);
      await checkRemote(remote);

      await pushing.push(faulty(counted));
      const roots = await checkRemote(remote);
      expect(roots, at).toBe(pushing.rootsAfter);
      const sent = counted.counts().create.bytes;
      expect(sent, at).toBeGreaterThanOrEqual(clean.bytes);
      // Nothing goes twice but the object that was on its way.
      expect(sent, at).toBeLessThanOrEqual(clean.bytes + clean.largestObject);

      const before = counted.counts().create.bytes;
      await pushing.push(counted);
      expect(counted.counts().create.bytes, at).toBe(before);
    }
    expect(failed).toBeGreaterThan(clean.calls / 3);
  });

  it('survives faults at two calls, the second in the rerun', async () => {
    for (let call = 1; call <= clean.calls; call += 2) {
      const remote = await copyOfRemote(pushing.before);
      for (const how of ['afterWrite', 'midway'] as const) {
        const broken = faulty(remote);
        broken.failAt(call, how);
        await pushFails(pushing, broken);
        await checkRemote(remote);
      }
      await pushing.push(remote);
      expect(await checkRemote(remote)).toBe(pushing.rootsAfter);
    }
  });
});

describe('the order of a push', () => {
  it('is packs, each before its index, then recipes, then the root', async () => {
    const pushing = await firstPush();
    const remote = await copyOfRemote(pushing.before);
    const created: string[] = [];
    await pushing.push({
      ...remote,
      create: (key, source, options) => {
        created.push(key);
        return remote.create(key, source, options);
      },
    });
    const kinds = created.map((key) => key.slice(0, key.indexOf('/')));
    const last = (kind: string) => kinds.lastIndexOf(kind);
    expect(last('index')).toBeLessThan(kinds.indexOf('recipes'));
    expect(last('recipes')).toBeLessThan(kinds.indexOf('roots'));
    for (const key of created.filter((name) => name.startsWith('index/'))) {
      const pack = key.replace('index/', 'packs/').replace('.idx', '.pack');
      expect(created.indexOf(pack)).toBeGreaterThanOrEqual(0);
      expect(created.indexOf(pack)).toBeLessThan(created.indexOf(key));
    }
    expect([...created, 'mstore.json'].sort()).toEqual((await listKeys(remote)).sort());
  });
});
