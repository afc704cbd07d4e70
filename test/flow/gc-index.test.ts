import { expect, it } from 'vitest';
import { noise } from '../support/flow-scratch.ts';
import { makeGcProject } from '../support/gc.ts';
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
