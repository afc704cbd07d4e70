import { expect, it } from 'vitest';
import { memoryRemote } from '../../../src/remote/memory.ts';
import { counting } from '../../../src/remote/wrappers/counting.ts';
import {
  beginSweep,
  cleanUpId,
  endSweep,
  listCleanUps,
  readMarks,
} from '../../../src/store/clean-up.ts';

it('a clean-up of which sweeps alone are left has no mark, and none is asked for', async () => {
  const place = counting(memoryRemote());
  const id = cleanUpId('2026-01-02T03:04:05.678Z', '0123abcd');
  await beginSweep(place, id, '00000001');
  await endSweep(place, id, '00000001');
  expect(await listCleanUps(place)).toMatchObject([{ id, mark: undefined }]);
  for await (const { mark } of readMarks(place)) throw new Error(`There is no mark ${mark.id}`);
  expect(place.counts().get.calls).toBe(0);
});
