import { expect, it } from 'vitest';
import { emptyRemote, makeProject, withRemotes } from '../support/flow-project.ts';
import { noise } from '../support/flow-scratch.ts';
import { cleaners, handClock, makeGcProject } from '../support/gc.ts';
import { listKeys } from '../support/remote-bytes.ts';

it('a clean-up makes the index objects that are missing of packs that stay', async () => {
  const { project, remote, gcRemote } = await makeGcProject();
  project.write('a.bin', noise(300_000, 'a'));
  await project.add('a.bin');
  await project.push();
  const indexes = await listKeys(remote, 'index/');
  expect(indexes).toHaveLength(1);
  await remote.delete(indexes[0] as string);
  await gcRemote({ dryRun: true });
  expect(await listKeys(remote, 'index/')).toEqual([]);
  await gcRemote();
  expect(await listKeys(remote, 'index/')).toEqual(indexes);
});

it('a sweep flushes the copies that it relies on before it removes others', async () => {
  const calls: string[] = [];
  const clock = handClock();
  const there = await emptyRemote('memory://test', clock);
  const remote: typeof there = {
    ...there,
    async settle() {
      calls.push('settle');
    },
    async delete(key, options) {
      calls.push(key);
      await there.delete(key, options);
    },
  };
  const project = await makeProject(withRemotes({ origin: remote }, { clock }));
  project.write('a.bin', noise(300_000, 'a'));
  await project.add('a.bin');
  await project.push();
  for (const key of await listKeys(there, 'roots/')) await there.delete(key);
  clock.pass(1000);
  calls.length = 0;
  await cleaners(project).gcRemote({ graceMs: 0 });
  expect(await listKeys(there, 'packs/')).toEqual([]);
  const first = calls.findIndex((call) => /^(?:packs|index|recipes|roots)\//.test(call));
  expect(first).toBeGreaterThan(0);
  expect(calls.slice(0, first)).toContain('settle');
});
