import { expect, it } from 'vitest';
import { systemClock, systemRandom } from '../../src/base/clock.ts';
import { verify } from '../../src/flow/verify/verify.ts';
import { initRemote } from '../../src/store/remote-store.ts';
import { makeProject, withRemotes } from '../support/flow-project.ts';
import { checkRemote, damage, flipAt } from '../support/flow-remote-check.ts';
import { damageIn, kindsIn, layModels } from '../support/flow-verify.ts';
import { listKeys } from '../support/remote-bytes.ts';
import { newS3Remote, testS3Server } from '../support/s3-remote.ts';

const server = await testS3Server({ partBytesMin: 128 * 1024, pageMax: 3 });

it('a bucket is verified and healed as a directory is', { timeout: 60_000 }, async () => {
  const remote = newS3Remote(server, { partBytes: 256 * 1024 });
  await initRemote(remote, systemClock, systemRandom);
  const project = await makeProject(withRemotes({ origin: remote }));
  await layModels(project);
  await project.push();
  const check = async (repair: boolean, jobs: number) => {
    const chosen = { name: 'origin', remote, isService: true };
    return verify(await project.open(), chosen, { jobs, ...(repair ? { repairFrom: [] } : {}) });
  };
  const sound = await check(false, 4);
  expect(sound).toMatchObject({ findings: [], code: null, contents: 4, blobsHashed: 3 });

  const packs = await listKeys(remote, 'packs/');
  await damage(remote, packs[0] as string, flipAt(100));
  await damage(remote, packs[1] as string, (bytes) => bytes.subarray(0, bytes.length / 2));
  await damage(remote, (await listKeys(remote, 'recipes/'))[0] as string, flipAt(70));
  await damage(remote, (await listKeys(remote, 'index/'))[0] as string, () => undefined);
  const found = await check(false, 4);
  expect(kindsIn(found)).toEqual([
    'index-missing',
    'pack-damaged',
    'pack-damaged',
    'recipe-damaged',
  ]);
  const harmed = damageIn(found).flatMap(({ harms }) => harms);
  expect(harmed.map((name) => name.replace(/ pushed by .*/, '')).sort()).toEqual([
    'bert',
    'models/b.bin',
    'small.bin',
  ]);
  // One request at a time must do: a copy within the remote is not read while it is written.
  expect(await check(true, 1)).toMatchObject({ code: null, damage: 0 });
  expect((await check(false, 4)).findings).toEqual([]);
  await checkRemote(remote);
  expect(await listKeys(remote, 'quarantine/')).toEqual([]);
});
