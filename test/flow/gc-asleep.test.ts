import { describe, expect, it } from 'vitest';
import type { RemotePruner } from '../../src/remote/remote.ts';
import { makeProject, projectAt, withRemotes } from '../support/flow-project.ts';
import { checkRemote } from '../support/flow-remote-check.ts';
import { noise } from '../support/flow-scratch.ts';
import { cleaners, hourMs, makeGcProject } from '../support/gc.ts';
import { listKeys } from '../support/remote-bytes.ts';

/*
 * A host may fall asleep in the middle of a sweep and wake when others have taken it for over.
 */

const mib = 1024 * 1024;
const minuteMs = 60_000;

/** Data that nothing leads to, that of the sleeper's neighbour, and what of both is there. */
async function scene() {
  const { project, remote, clock } = await makeGcProject();
  project.write('m.bin', noise(2 * mib, 'm'));
  await project.add('m.bin');
  await project.push();
  for (const key of await listKeys(remote, 'roots/')) await remote.delete(key);
  const other = await makeProject(withRemotes({ origin: remote }, { clock }));
  other.write('n.bin', noise(2 * mib, 'n'));
  await other.add('n.bin');
  await other.push();
  const repository = (await other.open()).config.string('core.repository') as string;
  const sleeper = (place: RemotePruner) =>
    cleaners(projectAt(project.root, withRemotes({ origin: place }, { clock })));
  return { remote, clock, project, other, repository, sleeper };
}

/** Lets something happen once, when a listing begins for the first time after a sweep did. */
function inSweep(remote: RemotePruner, prefix: string, work: () => Promise<void>): RemotePruner {
  let isSweeping = false;
  let isDone = false;
  return {
    ...remote,
    async create(key, ...rest) {
      if (key.endsWith('.sweep')) isSweeping = true;
      return remote.create(key, ...rest);
    },
    async *list(asked, ...rest) {
      if (isSweeping && !isDone && asked === prefix) {
        isDone = true;
        await work();
      }
      yield* remote.list(asked, ...rest);
    },
  };
}

describe('a clean-up whose host slept in the middle of a sweep', () => {
  it('does not take for damage what others have taken away meanwhile', async () => {
    const { remote, clock, other, repository, sleeper } = await scene();
    // It has read the roots then, and not what is there.
    const place = inSweep(remote, 'packs/', async () => {
      clock.pass(2 * hourMs);
      const forget = [repository];
      const result = await cleaners(other).gcRemote({ graceMs: 0, forget });
      expect(result.swept).toMatchObject({ packs: 2, roots: 1 });
    });
    const { pending } = await sleeper(place).gcRemote({ graceMs: 0 });
    expect(pending).toEqual([]);
    expect(await listKeys(remote, 'packs/')).toEqual([]);
    await checkRemote(remote);
  });

  it('says so at once where the remote is damaged and nobody slept', async () => {
    const { remote, sleeper } = await scene();
    const place = inSweep(remote, 'packs/', async () => {
      for (const key of await listKeys(remote, 'packs/')) await remote.delete(key);
    });
    await expect(sleeper(place).gcRemote({ graceMs: 0 })).rejects.toMatchObject({
      code: 'corrupt-remote',
    });
  });

  it('removes nothing by a sweep of which it learned late that it had begun', async () => {
    const { remote, clock, project, sleeper } = await scene();
    let begun = 0;
    const ages: number[] = [];
    let isFirst = true;
    const place: RemotePruner = {
      ...remote,
      async create(key, ...rest) {
        const outcome = await remote.create(key, ...rest);
        if (!key.endsWith('.sweep')) return outcome;
        begun = clock.now();
        // The answer comes when the host wakes: for others this sweep is over.
        if (isFirst) clock.pass(1.1 * hourMs);
        isFirst = false;
        return outcome;
      },
      async delete(key, ...rest) {
        if (key.startsWith('packs/')) ages.push(clock.now() - begun);
        return remote.delete(key, ...rest);
      },
    };
    await sleeper(place).gcRemote({ graceMs: 0 });
    expect(ages).toHaveLength(1);
    expect(Math.max(...ages)).toBeLessThan(40 * minuteMs);
    await project.push();
    await checkRemote(remote);
  });
});
