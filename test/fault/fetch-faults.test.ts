import { describe, expect, it } from 'vitest';
import { isMstoreError } from '../../src/base/errors.ts';
import { localRemote } from '../../src/remote/local.ts';
import type { RemotePruner } from '../../src/remote/remote.ts';
import { counting } from '../../src/remote/wrappers/counting.ts';
import { emptyCopyOf, fetchAll, firstPush } from '../support/flow-faults.ts';
import type { Project } from '../support/flow-project.ts';
import { checkRemote } from '../support/flow-remote-check.ts';
import { noise } from '../support/flow-scratch.ts';
import { filesBelow, stateOf } from '../support/flow-state.ts';
import { faulty } from '../support/remote-faulty.ts';

const ways = ['before', 'midway', 'truncate', 'flip'] as const;

/** A remote with everything, and the project that pushed it. */
async function pushed(): Promise<{ project: Project; remote: RemotePruner }> {
  const { project, before, push } = await firstPush();
  for (let n = 0; n < 12; n++) project.write(`parts/${n}`, noise(n % 3 === 0 ? 400_000 : 9_000, n));
  project.write('sole.bin', project.read('parts/6'));
  // One pack, of which the first and the last file are wanted: two ranges far apart.
  for (let n = 0; n < 4; n++) project.write(`x${n}.bin`, noise(400_000, `x${n}`));
  await project.add('parts', 'sole.bin', 'x0.bin', 'x1.bin', 'x2.bin', 'x3.bin');
  await push(before);
  return { project, remote: before };
}

/** The store has the layout of a remote: what is visible in it must be whole. */
async function checkStore(project: Project): Promise<void> {
  const folder = project.at('.modelstore/store');
  expect(filesBelow(`${folder}/tmp`)).toEqual([]);
  if (filesBelow(folder).length > 0) await checkRemote(localRemote(folder));
}

describe.each([
  ['whole packs', ['big.bin', 'm', 'parts', 'sole.bin', 'x0.bin', 'x1.bin', 'x2.bin', 'x3.bin']],
  ['ranges of packs', ['m', 'x0.bin', 'x3.bin']],
])('a fetch of %s', (_, chosen) => {
  it.each(ways)('survives a fault (%s) at every call in turn', async (how) => {
    const { project, remote } = await pushed();
    const wanted = stateOf(project.root);
    const cleanCount = counting(remote);
    const clean = faulty(cleanCount);
    await fetchAll(await emptyCopyOf(project, chosen), clean);
    const cleanBytes = cleanCount.counts().get.bytes;
    expect(clean.calls).toBeGreaterThan(6);
    let failed = 0;
    for (let call = 1; call <= clean.calls; call++) {
      const at = `call ${call} of ${clean.calls}`;
      const copy = await emptyCopyOf(project, chosen);
      const counted = counting(remote);
      const broken = faulty(counted);
      broken.failAt(call, how);
      try {
        await fetchAll(copy, broken);
      } catch (error) {
        if (!isMstoreError(error, 'remote-unreachable', 'corrupt-remote', 'objects-missing'))
          throw error;
        failed++;
      }
      expect(broken.faults, at).toBe(1);
      await checkStore(copy);
      expect(stateOf(copy.root), at).toEqual({});

      await fetchAll(copy, counted);
      await checkStore(copy);
      await copy.checkout();
      for (const [full, is] of Object.entries(stateOf(copy.root))) {
        expect(is, `${full} after ${at}`).toBe(wanted[full]);
      }
      // What has arrived is not asked for again, but for the pack that was on its way.
      expect(counted.counts().get.bytes, at).toBeLessThan(2 * cleanBytes);
      await fetchAll(copy, counted);
    }
    expect(failed).toBeGreaterThan(0);
  });
});

describe('a fetch that is broken off among ranges', () => {
  it('keeps what has arrived', async () => {
    const { project, remote } = await pushed();
    const chosen = ['x0.bin', 'x3.bin'];
    const clean = faulty(remote);
    await fetchAll(await emptyCopyOf(project, chosen), clean);
    const copy = await emptyCopyOf(project, chosen);
    const broken = faulty(remote);
    broken.failAt(clean.calls, 'before');
    await expect(fetchAll(copy, broken)).rejects.toMatchObject({ code: 'remote-unreachable' });
    const counted = counting(remote);
    await fetchAll(copy, counted);
    const { bytes } = counted.counts().get;
    expect(bytes).toBeGreaterThan(400_000);
    expect(bytes).toBeLessThan(500_000);
  });
});
